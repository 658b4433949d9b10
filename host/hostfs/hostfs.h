/*
 * The host's side of folders in a container (abi/hostfs.h): threads that do what the kernel's messages ask, beneath the
 * shared folders and nowhere else.
 *
 * A node is an O_PATH descriptor. It comes from a name without '/', not "." or "..", opened in another node without
 * following links, so no path leads out of a folder; other file systems mounted below it are not entered.
 */
#ifndef COFRE_HOST_HOSTFS_HOSTFS_H
#define COFRE_HOST_HOSTFS_HOSTFS_H

#include "abi/boot.h"
#include "abi/hostfs.h"

struct runtime;

/* Opens the folders that the options name and starts the threads. After the zygote was forked. 0 or negative errno. */
int hostfs_open(struct runtime *runtime, char **ret_error);
struct boot_blob hostfs_blob(void);
/* Requests or forgotten nodes may wait while the threads sleep: wakes one. Any thread; cheap. */
void hostfs_ring(void);

#endif

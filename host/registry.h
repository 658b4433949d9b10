/*
 * The containers of this user that run on this machine, for `cofre ps`: a folder with a file for each, of the
 * container's name, which its runtime keeps locked for as long as it lives. The host's own business: no enclave hears
 * of it.
 */
#ifndef COFRE_HOST_REGISTRY_H
#define COFRE_HOST_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define REGISTRY_NAME_MAX 63

struct registry_entry {
    const char *name;
    pid_t pid;
    uint64_t started; /* seconds since 1970 */
    const char *image, *ports;
    bool exec; /* commands may be asked for: registry_connect() */
};

/* A letter or digit, then those and "_.-". */
bool registry_name_ok(const char *name);
/*
 * Enter a container that this process runs, until registry_leave() or its end. 0; -EEXIST if the name is in use, then
 * *ret_pid is who has it; or another negative errno if there is no place to enter it. Once in a process.
 */
int registry_enter(const struct registry_entry *entry, pid_t *ret_pid);
void registry_leave(void);
/* Where `cofre exec` asks for commands: a listening socket, if entry->exec was set; else -1. */
int registry_exec_socket(void);
/* Calls fn for each that runs, the oldest first, and removes what is left of others. 0 or negative errno. */
int registry_for_each(void (*fn)(void *arg, const struct registry_entry *entry), void *arg);
/* A connection to that of a running container: a descriptor or negative errno. */
int registry_connect(const char *name);

#endif

/* The container's standard input, output and error: the arena's first three channels. */
#ifndef COFRE_KERNEL_FS_CONSOLE_H
#define COFRE_KERNEL_FS_CONSOLE_H

#include "kernel/lib/types.h"

struct file;
struct inode;
struct tty;

/* The terminal of BOOT_TTY, or NULL. */
struct tty *console_tty(void);
/* Makes the terminal, if there is to be one; before fs_init(). */
void console_init(void);
/* For the first process, after net_init(): descriptors 0, 1 and 2, as a container engine gives them. 0 or -errno. */
must_check int console_open_std(void);
/* If inode is one of the streams, make file another description of it; else -ENOENT. */
int console_reopen(struct inode *inode, struct file *file);

/* The channel of a stream that file can be written to, or -1. */
int console_output_channel(const struct file *file);

#endif

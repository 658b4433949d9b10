/* Device numbers, and pseudo-terminals. */
#ifndef COFRE_KERNEL_FS_DEV_H
#define COFRE_KERNEL_FS_DEV_H

#include "kernel/lib/types.h"

struct tty;

#define DEV(major, minor) ((uint64_t)((major) << 8 | ((minor)&0xff) | ((minor) & ~0xffu) << 12))
#define DEV_NULL DEV(1, 3)
#define DEV_ZERO DEV(1, 5)
#define DEV_FULL DEV(1, 7)
#define DEV_RANDOM DEV(1, 8)
#define DEV_URANDOM DEV(1, 9)
#define DEV_TTY DEV(5, 0)
#define DEV_CONSOLE DEV(5, 1)
#define DEV_PTMX DEV(5, 2)
#define DEV_PTS(n) DEV(136, n)

#define PTY_MAX 256

/* kernel/fs/pty.c: the slave of a pair (borrowed), or NULL if there is none of that number. */
struct tty *pty_slave(unsigned number);
/* The first number >= *number that is in use; false if none. */
bool pty_next(uint64_t *number);
void pty_init(void);

struct super_block;
/* The file system of /dev/pts. */
struct super_block *devpts_new(void);
/* Registers the character devices; called by devfs_new(). */
void dev_init(void);

#endif

/* Where a process stands in the tree: its root, working directory and umask. Shared by its threads. */
#ifndef COFRE_KERNEL_FS_FS_CONTEXT_H
#define COFRE_KERNEL_FS_FS_CONTEXT_H

#include "kernel/lib/types.h"

struct dentry;

struct fs_context {
    unsigned refcount;
    uint32_t umask;
    struct dentry *root; /* referenced */
    struct dentry *cwd;  /* referenced */
};

/* Root and working directory at "/", umask 022. After fs_init. */
struct fs_context *fs_context_new(void) must_check;
struct fs_context *fs_context_get(struct fs_context *fs);
void fs_context_put(struct fs_context *fs);
struct fs_context *fs_context_copy(const struct fs_context *fs) must_check;
/* The current process gets one that it shares with nobody. 0 or -ENOMEM. */
must_check int fs_unshare(void);
/* The current process's; the boot context before there is one. */
struct fs_context *fs_current(void);
/* As chdir(2). */
int fs_chdir(const char *path);

#endif

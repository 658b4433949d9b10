/*
 * The name cache. A dentry is a name in a directory: positive (has an inode) or negative. Hashed ones are found by
 * (parent, name); unused ones stay on an LRU list of bounded length. A dentry references its parent and its inode.
 * Only kernel/fs/ includes this.
 */
#ifndef COFRE_KERNEL_FS_DENTRY_H
#define COFRE_KERNEL_FS_DENTRY_H

#include "kernel/fs/vfs.h"

#define DENTRY_INLINE_NAME 32
#define DENTRY_UNUSED_MAX 4096

struct dentry {
    unsigned refcount;
    uint32_t hash;
    struct dentry *parent; /* NULL: root of a file system, or detached */
    struct inode *inode;
    struct super_block *sb;
    struct mount *mounted; /* what covers this directory */
    LIST_ENTRY(dentry) hash_link;
    TAILQ_ENTRY(dentry) lru_link;
    bool hashed, on_lru;
    bool deleted; /* its name is gone; kept by open files */
    uint16_t name_size;
    char *name; /* inline_name or kmalloc'd */
    char inline_name[DENTRY_INLINE_NAME];
};

/* The root of a file system; takes a reference to its inode. */
struct dentry *dentry_new_root(struct super_block *sb) must_check;
/*
 * The dentry of a name (not "." or "..") in dir, from the cache or by asking the file system: 0 with a referenced
 * dentry that may be negative, or -errno. Checks nothing.
 */
int dentry_lookup(struct dentry *dir, const char *name, size_t name_size, struct dentry **ret_dentry);
/* A negative dentry got an inode (reference taken over). */
void dentry_instantiate(struct dentry *dentry, struct inode *inode);
/* The name is gone: later lookups ask again. */
void dentry_delete(struct dentry *dentry);
/* rename: source takes the place of target (same parent and name as target), which is deleted or, if exchange, takes
 * the source's. */
void dentry_move(struct dentry *source, struct dentry *target, bool exchange);
/* Drop up to count unused dentries (all if SIZE_MAX). */
void dentry_shrink(size_t count);
/* True if ancestor is dentry or above it within the same file system. */
bool dentry_is_ancestor(const struct dentry *ancestor, const struct dentry *dentry);
/* The whole path from the global root, for messages and getcwd; as dentry_path. */
char *dentry_path_from(const struct dentry *root, const struct dentry *dentry, char *buf, size_t size,
                       bool *ret_reachable);

#endif

/* What the files of kernel/fs share with each other only. */
#ifndef COFRE_KERNEL_FS_INTERNAL_H
#define COFRE_KERNEL_FS_INTERNAL_H

#include "kernel/fs/vfs.h"
#include "kernel/process/process.h"

/* Those of the process, or root's while there is none (boot). */
const struct credentials *fs_credentials(void);
bool fs_capable(int capability);

struct dentry *dentry_root_of(struct super_block *sb); /* borrowed; NULL if not mounted */

/* kernel/fs/fd.c */
int fd_get_flags(int fd); /* FD_CLOEXEC or 0, -EBADF */
int fd_dup(int fd, int min, bool cloexec);

/* kernel/fs/locks.c */
void locks_release_file(struct file *file);                       /* OFD and flock locks of a description */
void locks_release_owner(struct inode *inode, const void *owner); /* POSIX locks of a process */
/* Record locks of processes and of descriptions see each other; flock's are a world of their own. */
enum lock_kind { LOCK_POSIX, LOCK_OFD, LOCK_FLOCK };
#define END_OF_FILE INT64_MAX /* of a lock, inclusive */
struct lock_told {
    enum lock_kind kind;
    unsigned number;
    bool waits; /* for the lock of this number, told before */
    bool exclusive;
    int pid; /* who asked for it; -1: nobody in particular */
    const struct inode *inode;
    file_off_t start, end; /* end inclusive */
};
/* Calls fn with each lock from number `first` (1, 2...) on, `count` at most, and with those that wait for one of them.
 * How many locks there are. */
unsigned locks_tell(unsigned first, unsigned count, void (*fn)(const struct lock_told *, void *), void *arg);
int64_t locks_fcntl(struct file *file, unsigned command, uint64_t arg);

/* kernel/fs/notify.c. Most inodes are watched by nobody. */
static inline void notify(struct inode *inode, uint32_t mask, const char *name, struct inode *child, uint32_t cookie)
{
    if (unlikely(inode->watches))
        fsnotify(inode, mask, name, child, cookie);
}
void fsnotify_close(struct file *file);

/*
 * A walk along a path (kernel/fs/walk.c): walk_begin(), then walk_to_parent() resolves all but the last component;
 * walk_last() looks that up. Where it is a link to follow, walk_follow() takes the link's target as the rest of the
 * path, and the caller starts over with walk_to_parent(). walk_end() always.
 */
enum path_last { LAST_NAME, LAST_DOT, LAST_DOTDOT, LAST_ROOT, LAST_JUMPED };
struct walk {
    struct dentry *at;     /* referenced: where the walk stands; after walk_to_parent the directory of the last name */
    struct dentry *root;   /* borrowed: "/" */
    struct dentry *held;   /* referenced: the process's root, so that a chroot meanwhile does no harm */
    struct dentry *floor;  /* borrowed: RESOLVE_BENEATH's limit, or NULL */
    struct dentry *anchor; /* referenced: keeps root or floor valid, or NULL */
    const char *path;      /* what is left */
    char *owned;           /* kmalloc'd text that path points into, or NULL */
    unsigned resolve;      /* RESOLVE_* */
    unsigned link_count;
    enum path_last last;
    struct super_block *locked; /* whose names this walk may change; walk_end() unlocks */
    bool trailing_slash;        /* the last component must be a directory */
    size_t name_size;
    char name[256]; /* the last component if LAST_NAME */
};
int walk_begin(struct walk *walk, int dfd, const char *path, unsigned resolve);
int walk_to_parent(struct walk *walk);
/* After walk_to_parent, before a name there is looked at to be changed. */
void walk_lock(struct walk *walk);
void walk_unlock(struct walk *walk);
/* Referenced dentry of the last component, maybe negative, mounts crossed; links not followed. */
int walk_last(struct walk *walk, struct dentry **ret_dentry);
/* Takes over the reference of link (the last component's dentry) on success and failure. */
int walk_follow(struct walk *walk, struct dentry *link);
void walk_end(struct walk *walk);
/* Full lookup with openat2's RESOLVE_* bits. */
int path_lookup(int dfd, const char *path, unsigned lookup_flags, unsigned resolve, struct dentry **ret_dentry);
/* The same of a path in user memory. */
int user_path_lookup(int dfd, uaddr_t path, unsigned lookup_flags, struct dentry **ret_dentry);

/* May the caller add names to, remove names from dir? victim: may be NULL. 0, -EACCES, -EPERM, -EROFS, -ENOENT. */
int dir_may_create(struct dentry *dir);
int dir_may_delete(struct dentry *dir, struct inode *victim, bool want_dir);
int super_writable(const struct super_block *sb); /* 0 or -EROFS */

/* Set-id bits go when a file changes under somebody without CAP_FSETID. */
void inode_drop_setid(struct inode *inode);
int inode_setattr(struct inode *inode, const struct inode_attr *attr);
int inode_truncate(struct inode *inode, file_off_t size);
bool inode_owner_or_capable(const struct inode *inode);

/* O_* flags of open and openat2 together. */
struct open_how_checked {
    unsigned flags;
    uint32_t mode;
    unsigned resolve;
};
int path_open(int dfd, const char *path, const struct open_how_checked *how, struct file **ret_file);

#endif

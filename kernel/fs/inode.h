/*
 * Inodes: what a file is, whatever its file system. Reference counted; a file system embeds struct inode first in its
 * own.
 */
#ifndef COFRE_KERNEL_FS_INODE_H
#define COFRE_KERNEL_FS_INODE_H

#include <linux/stat.h>

#include "kernel/lib/types.h"

struct inode;
struct file;
struct file_ops;
struct super_block;
struct iov_iter;

struct timespec_ns {
    int64_t sec;
    uint32_t nsec;
};

/* What to change, for setattr. */
enum { ATTR_MODE = 1, ATTR_UID = 2, ATTR_GID = 4, ATTR_SIZE = 8, ATTR_ATIME = 16, ATTR_MTIME = 32, ATTR_CTIME = 64 };
struct inode_attr {
    unsigned valid;
    uint32_t mode, uid, gid;
    file_off_t size;
    struct timespec_ns atime, mtime, ctime;
};

/*
 * Every member may be NULL: -ENOSYS-like defaults apply (-EPERM, -ENOTDIR, -EOPNOTSUPP as Linux gives). Names are NUL-
 * terminated, <= 255 bytes, no '/'. Functions that return an inode give the caller a reference.
 */
struct inode_ops {
    int (*lookup)(struct inode *dir, const char *name, struct inode **ret_inode); /* -ENOENT if absent */
    int (*create)(struct inode *dir, const char *name, uint32_t mode, uint64_t rdev,
                  struct inode **ret_inode); /* any type but dir, link */
    int (*mkdir)(struct inode *dir, const char *name, uint32_t mode, struct inode **ret_inode);
    int (*symlink)(struct inode *dir, const char *name, const char *target, struct inode **ret_inode);
    int (*link)(struct inode *dir, const char *name, struct inode *target);
    int (*unlink)(struct inode *dir, const char *name, struct inode *victim);
    int (*rmdir)(struct inode *dir, const char *name, struct inode *victim);
    int (*rename)(struct inode *old_dir, const char *old_name, struct inode *new_dir, const char *new_name,
                  unsigned flags);
    ssize_t (*readlink)(struct inode *inode, char *buf, size_t size);   /* bytes, no NUL */
    int (*setattr)(struct inode *inode, const struct inode_attr *attr); /* permission already checked */
    void (*getattr)(struct inode *inode, struct statx *stat);           /* after the generic fields were filled */
    ssize_t (*getxattr)(struct inode *inode, const char *name, void *buf, size_t size); /* size 0: length wanted */
    int (*setxattr)(struct inode *inode, const char *name, const void *value, size_t size, int flags);
    ssize_t (*listxattr)(struct inode *inode, char *buf, size_t size);
    int (*removexattr)(struct inode *inode, const char *name);
    /* Fill one page (zeroed past the end of the file) for mmap and caches: 0, -EIO. */
    int (*read_page)(struct inode *inode, uint64_t page_index, void *page);
    /* The page that shared mappings share: the file's own storage; made if absent. NULL op: MAP_SHARED writes
     * impossible. */
    int (*write_page)(struct inode *inode, uint64_t page_index, const void *page);
    int (*truncate)(struct inode *inode, file_off_t size);
    void (*evict)(struct inode *inode); /* last reference gone: free it */
};

struct inode {
    const struct inode_ops *ops;
    const struct file_ops
        *file_ops; /* what open() gives a struct file; set for special files at open by device number */
    struct super_block *sb;
    uint64_t ino;
    uint32_t mode; /* S_IFMT | permissions */
    uint32_t nlink;
    uint32_t uid, gid;
    uint64_t rdev; /* Linux's dev_t encoding: new_encode_dev */
    file_off_t size;
    struct timespec_ns atime, mtime, ctime, btime;
    unsigned refcount;
    unsigned write_count; /* open for writing; < 0 semantics are not used: deny_write covers ETXTBSY */
    unsigned deny_write;
    void *locks;    /* POSIX and flock locks, kernel/fs/locks.c */
    void *watches;  /* inotify, kernel/fs/inotify.c */
    void *socket;   /* a bound unix socket, kernel/net/unix.c */
    void *pipe;     /* an open FIFO, kernel/fs/pipe.c */
    void *mappings; /* shared mappings, kernel/mm/shared.c */
};

struct inode *inode_get(struct inode *inode);
void inode_put(struct inode *inode);

#endif

/*
 * Inodes: what a file is, whatever its file system. Reference counted; a file system embeds struct inode first in its
 * own.
 */
#ifndef COFRE_KERNEL_FS_INODE_H
#define COFRE_KERNEL_FS_INODE_H

#include <linux/stat.h>

#include "kernel/lib/types.h"

/* <linux/stat.h> leaves these out once any header of the C library (such as <sys/queue.h>) has been seen. */
#ifndef S_IFMT
#define S_IFMT 00170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define S_ISUID 0004000
#define S_ISGID 0002000
#define S_ISVTX 0001000
#define S_ISLNK(m) (((m)&S_IFMT) == S_IFLNK)
#define S_ISREG(m) (((m)&S_IFMT) == S_IFREG)
#define S_ISDIR(m) (((m)&S_IFMT) == S_IFDIR)
#define S_ISCHR(m) (((m)&S_IFMT) == S_IFCHR)
#define S_ISBLK(m) (((m)&S_IFMT) == S_IFBLK)
#define S_ISFIFO(m) (((m)&S_IFMT) == S_IFIFO)
#define S_ISSOCK(m) (((m)&S_IFMT) == S_IFSOCK)
#define S_IRWXU 00700
#define S_IRUSR 00400
#define S_IWUSR 00200
#define S_IXUSR 00100
#define S_IRWXG 00070
#define S_IRGRP 00040
#define S_IWGRP 00020
#define S_IXGRP 00010
#define S_IRWXO 00007
#define S_IROTH 00004
#define S_IWOTH 00002
#define S_IXOTH 00001
#endif

struct dentry;
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
    ssize_t (*readlink)(struct inode *inode, char *buf, size_t size); /* bytes, no NUL */
    /* A link that is not a path but a place (/proc/self/fd/N, exe, cwd): the referenced place. */
    int (*magic_link)(struct inode *inode, struct dentry **ret_dentry);
    /* Permission already checked. NULL: the generic fields are set in memory. ATTR_SIZE comes through truncate. */
    int (*setattr)(struct inode *inode, const struct inode_attr *attr);
    void (*getattr)(struct inode *inode, struct statx *stat); /* after the generic fields were filled */
    ssize_t (*getxattr)(struct inode *inode, const char *name, void *buf, size_t size); /* size 0: length wanted */
    int (*setxattr)(struct inode *inode, const char *name, const void *value, size_t size, int flags);
    ssize_t (*listxattr)(struct inode *inode, char *buf, size_t size);
    int (*removexattr)(struct inode *inode, const char *name);
    /* Fill one page (zeroed past the end of the file) for mmap and caches: 0, -EIO. */
    int (*read_page)(struct inode *inode, uint64_t page_index, void *page);
    /* The same for count pages in order, all within the file: how many were, at least one, or -EIO. NULL: one by one.
     */
    ssize_t (*read_pages)(struct inode *inode, uint64_t page_index, size_t count, void *pages);
    /* Which block of the root image the page is, whole and by itself; -1: none. NULL: not of the root image. */
    int64_t (*root_block)(struct inode *inode, uint64_t page_index);
    /* The page that shared mappings share: the file's own storage; made if absent. NULL op: MAP_SHARED writes
     * impossible. */
    int (*write_page)(struct inode *inode, uint64_t page_index, const void *page);
    /*
     * Of a file system whose read_page sleeps, and whose files enclaves share: the page, which is within the file, is
     * in memory. So neither read_page nor write_page of it sleeps, or lacks memory, until the next sleep here, and as
     * long as shared_lent() says so. write: there is room for it to change. 0, -EIO (also without room) or -ENOMEM;
     * not sleep: -EAGAIN if it would have to.
     */
    int (*hold_page)(struct inode *inode, uint64_t page_index, bool write, bool sleep);
    /* shared_lent() does not say so any more, or never did. Does not sleep. */
    void (*release_page)(struct inode *inode, uint64_t page_index);
    int (*truncate)(struct inode *inode, file_off_t size);
    /* As open with O_TMPFILE: a nameless regular file. */
    int (*tmpfile)(struct inode *dir, uint32_t mode, struct inode **ret_inode);
    /* May access be granted? NULL: mode bits and capabilities (inode_permission_generic). */
    int (*permission)(struct inode *inode, unsigned mask);
    void (*evict)(struct inode *inode); /* last reference gone: free it. NULL: static storage */
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
    /* So many may set its mode and are not waited for: inode_settle(). */
    unsigned mode_assured;
    bool linkable;  /* made by O_TMPFILE without O_EXCL: may get its first name */
    void *locks;    /* POSIX and flock locks, kernel/fs/locks.c */
    void *watches;  /* inotify, kernel/fs/inotify.c */
    void *socket;   /* a bound unix socket, kernel/net/unix.c */
    void *pipe;     /* an open FIFO, kernel/fs/pipe.c */
    void *mappings; /* shared mappings, kernel/mm/shared.c */
    void *shared;   /* pages that other enclaves have, kernel/remote/shared_home.c */
};

/* A zeroed-and-set-up part common to all inodes: refcount 1, nlink 1, times now, ids of the caller. */
void inode_init(struct inode *inode, struct super_block *sb, const struct inode_ops *ops, uint32_t mode);
struct inode *inode_get(struct inode *inode);
void inode_put(struct inode *inode);                                       /* NULL is fine */
void inode_attr_store(struct inode *inode, const struct inode_attr *attr); /* what is valid, and nothing besides */
/* All that stat(2) shows but the device and the number. */
void inode_attr_copy(struct inode *inode, const struct inode *from);
/* Inode numbers for file systems that have none of their own. */
uint64_t inode_number_next(void);
struct timespec_ns time_now(void); /* CLOCK_REALTIME */

#endif

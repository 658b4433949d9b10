/*
 * Open file descriptions and descriptor tables.
 */
#ifndef COFRE_KERNEL_FS_FILE_H
#define COFRE_KERNEL_FS_FILE_H

#include "kernel/fs/inode.h"
#include "kernel/lib/types.h"
#include "kernel/mm/uio.h"
#include "kernel/sched/wait.h"

struct fd_table;
struct dentry;
struct vma;
struct poll_table;

struct dir_context {
    file_off_t pos; /* cookie of the next entry */
    /* Returns false when the buffer is full: stop without advancing pos. type is DT_*. */
    bool (*emit)(struct dir_context *ctx, const char *name, size_t name_size, uint64_t ino, unsigned type,
                 file_off_t next_pos);
};

/* Any member may be NULL (EINVAL, ENOTTY, ESPIPE, ENOTDIR... as Linux gives; poll NULL = always readable and writable).
 */
struct file_ops {
    /* pos is the position to use and advance; NULL for files without one (pipes, sockets). May sleep unless O_NONBLOCK.
     */
    ssize_t (*read)(struct file *file, struct iov_iter *to, file_off_t *pos);
    ssize_t (*write)(struct file *file, struct iov_iter *from, file_off_t *pos);
    /* EPOLL* bits now true; registers with poll_wait() on every queue that can change them when table is not NULL. */
    uint32_t (*poll)(struct file *file, struct poll_table *table);
    int64_t (*ioctl)(struct file *file, unsigned command, uint64_t arg);
    int (*readdir)(struct file *file, struct dir_context *ctx);
    file_off_t (*llseek)(struct file *file, file_off_t offset, int whence);
    int (*mmap)(struct file *file, struct vma *vma); /* NULL: inode->ops->read_page serves it, or -ENODEV */
    int (*fsync)(struct file *file, bool data_only);
    int (*fallocate)(struct file *file, int mode, file_off_t offset, file_off_t size);
    /* What whole pages from `first` on, before `end`, are in memory and could be read again may go (fadvise). */
    void (*forget)(struct file *file, uint64_t first, uint64_t end);
    int (*open)(struct inode *inode, struct file *file);
    /* each close(2) of a descriptor, which was one of that table */
    void (*flush)(struct file *file, const struct fd_table *table);
    void (*release)(struct file *file); /* last reference gone */
    void (*settle)(struct file *file);  /* its status flags are about to change. May sleep */
    void (*show_fdinfo)(struct file *file, char *buf, size_t size);
};

struct file {
    const struct file_ops *ops;
    struct inode *inode; /* referenced; anonymous kinds (pipes, sockets, eventfd...) have one of the anon file system */
    struct dentry *dentry; /* referenced or NULL */
    unsigned flags;        /* O_* status flags and access mode */
    file_off_t pos;
    unsigned refcount;
    void *private;
    int owner_pid, owner_signal;    /* F_SETOWN, F_SETSIG */
    uint32_t owner_uid, owner_euid; /* of who called F_SETOWN */
    void *epoll_watchers;           /* kernel/fs/epoll.c: to drop watches at release */
    bool has_locks;                 /* OFD or flock locks may exist: kernel/fs/locks.c */
    bool write_counted;             /* counted in inode->write_count */
    bool messages; /* a socket for messages: what one write sends is one, and cannot be sent in parts */
};

/* A file of no file system, e.g. "anon_inode:[eventfd]" for /proc/self/fd. flags: O_RDWR, O_NONBLOCK... */
struct file *file_new_anon(const char *name, const struct file_ops *ops, void *private, unsigned flags) must_check;
/* A file over an inode that exists already (the other end of a pipe, a FIFO, a memfd); takes a reference to inode. */
struct file *file_new_inode(struct inode *inode, const struct file_ops *ops, void *private, unsigned flags) must_check;
struct file *file_get(struct file *file);
void file_put(struct file *file);

/* What /proc/self/fd/N says: the path of a file in the tree (" (deleted)" added if so), "pipe:[INO]", "socket:[INO]",
 * "anon_inode:[eventfd]", "/memfd:NAME (deleted)". Pointer into buf, or NULL if too long. */
char *file_path(struct file *file, char *buf, size_t size);
/* The file's name in the tree, or a nameless one for its inode, so that /proc/self/fd/N can be opened; referenced. */
struct dentry *file_dentry_get(struct file *file) must_check;
/* llseek for plain files with a size (SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE without holes). */
file_off_t file_llseek_size(struct file *file, file_off_t offset, int whence);
/* llseek of directories: positions are cookies. */
file_off_t file_llseek_dir(struct file *file, file_off_t offset, int whence);

/* Descriptor tables. */
struct fd_table *fd_table_new(void) must_check;
struct fd_table *fd_table_get(struct fd_table *table);
void fd_table_put(struct fd_table *table);
/* A copy: same files, same close-on-exec flags. */
struct fd_table *fd_table_copy(struct fd_table *table) must_check;
/* The file behind a descriptor of the current process, with a reference; NULL = EBADF. O_PATH descriptors give NULL. */
struct file *fd_get(int fd);
/* The same, O_PATH descriptors included (fstat, *at calls, fchdir, /proc). */
struct file *fd_get_any(int fd);
/* The same of any table. *ret_cloexec may be NULL. */
struct file *fd_table_file(struct fd_table *table, int fd, bool *ret_cloexec);
/* 0 or -EMFILE: for calls that do something before they have a file to install. */
must_check int fd_room(void);
/* Lowest free descriptor >= min now holding file (takes over the caller's reference on success), or -EMFILE. */
int fd_install(struct file *file, int min, bool cloexec);
/* Put file at exactly fd, closing what is there (dup2); takes over the reference on success. */
int fd_install_at(struct file *file, int fd, bool cloexec);
int fd_close(int fd);
int fd_get_flags(int fd); /* FD_CLOEXEC or 0, -EBADF */
int fd_set_flags(int fd, unsigned flags);
void fd_close_on_exec(struct fd_table *table);
/* The current process gets a table that it shares with nobody. 0 or -ENOMEM. */
must_check int fd_unshare(void);
/* Of any table: put file at fd, whatever is there; takes over the reference. 0, -EBADF, or -ENOMEM. */
must_check int fd_table_set(struct fd_table *table, int fd, struct file *file, bool cloexec);
/* 0 or -EBADF. May sleep as far as closing the file does. */
int fd_table_close(struct fd_table *table, int fd);
/* All descriptors from here on are free; mostly the lowest such number. */
unsigned fd_table_end(struct fd_table *table);
/* Do several processes have this one? */
bool fd_table_shared(const struct fd_table *table);
/* Calls fn for each open descriptor, ascending; stops when it returns non-zero, which is returned. */
int fd_for_each(struct fd_table *table, int (*fn)(int fd, struct file *file, void *arg), void *arg);

static inline bool file_readable(const struct file *f)
{
    return (f->flags & 3) != 1;
}
static inline bool file_writable(const struct file *f)
{
    return (f->flags & 3) != 0;
}

#endif

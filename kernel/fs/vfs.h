/*
 * Path names, mounts, and what the rest of the kernel asks of the file system.
 */
#ifndef COFRE_KERNEL_FS_VFS_H
#define COFRE_KERNEL_FS_VFS_H

#include <asm/statfs.h>

#include "kernel/fs/file.h"
#include "kernel/fs/inode.h"
#include "kernel/lib/list.h"

/*
 * What only a file system needs whose operations sleep. An operation of another task may then come between two of ours:
 * who changes names holds `lock` from the look at the name to the change of the dentries.
 */
struct dentry;
struct super_ops {
    void (*lock)(struct super_block *sb);
    void (*unlock)(struct super_block *sb);
    void (*pos_lock)(struct inode *inode); /* read, write and the file position as one, as Linux has it */
    void (*pos_unlock)(struct inode *inode);
    int (*sync)(struct super_block *sb);
    /* Does a cached name still mean what it did, where others change them? 1, 0, -errno. NULL: always. Sleeps. */
    int (*revalidate)(struct dentry *dentry);
    /* The number of the root image's inode whose contents a file of an overlay still shows unchanged; 0 if it has
     * others. */
    uint64_t (*unchanged)(struct inode *inode); /* may be NULL */
    int (*close)(struct super_block *sb); /* after sync, when the container has ended: is all of it kept? May be NULL */
};

struct super_block {
    const struct super_ops *ops; /* NULL: nothing sleeps, nothing lasts */
    const char *type;            /* "erofs", "tmpfs", "proc", ... */
    uint64_t dev;                /* st_dev */
    struct inode *root;
    unsigned flags;                                             /* MS_RDONLY... */
    uint32_t magic;                                             /* statfs f_type */
    void (*statfs)(struct super_block *sb, struct statfs *ret); /* may be NULL */
    bool volatile_names; /* names come and go by themselves (/proc): looked up each time, never cached */
    void *private;
    struct mount *mount;    /* where it is mounted; kernel/fs/mount.c */
    const char *show_flags; /* options for /proc/mounts besides ro/rw..., "" or ",size=...": may be NULL */
};

/* A new device number for a file system without a device, as st_dev gives it. */
uint64_t super_dev_next(void);

/* One mounted file system, in mount order. */
struct mount {
    TAILQ_ENTRY(mount) link;
    int id, parent_id;
    struct super_block *sb;
    struct dentry *root;
    struct dentry *point; /* NULL for the root */
    const char *path;     /* as mounted; "/" for the root */
    unsigned flags;       /* MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC */
};
TAILQ_HEAD(mount_list, mount);
extern struct mount_list mounts;

/* File systems that fs_init mounts; NULL when out of memory. */
struct super_block *procfs_new(void); /* kernel/fs/proc.c */
struct super_block *sysfs_new(void);  /* kernel/fs/sysfs.c */
struct super_block *devfs_new(void);  /* kernel/fs/dev.c: may be a tmpfs_new() with nodes made by inode_ops */
/* An empty tmpfs; size_max in bytes, 0 = bounded only by memory. mode: of its root, owned by root. */
struct super_block *tmpfs_new(uint64_t size_max, uint32_t mode) must_check;
/* What open(2) of a FIFO gives (kernel/fs/pipe.c): its open operation waits for the other end. */
extern const struct file_ops fifo_file_ops;

/* A name in the tree. Cached; referenced. */
struct dentry;
struct dentry *dentry_get(struct dentry *dentry);
void dentry_put(struct dentry *dentry);
struct inode *dentry_inode(const struct dentry *dentry); /* borrowed; NULL for a negative dentry */
/* The absolute path from the process's root into buf; pointer into buf, or NULL if too long. " (deleted)" appended if
 * so. */
char *dentry_path(const struct dentry *dentry, char *buf, size_t size);

/* A nameless dentry for inode (pipes, sockets...); takes a reference to it. */
struct dentry *dentry_new_detached(struct inode *inode, const char *name) must_check;
/* The parent's inode, borrowed; NULL for roots and nameless ones. The name is valid while the dentry is not renamed. */
struct inode *dentry_parent_inode(const struct dentry *dentry);
const char *dentry_name(const struct dentry *dentry);
struct super_block *dentry_super(const struct dentry *dentry);

#define AT_FDCWD_ (-100)

/* Lookup flags. */
enum { LOOKUP_FOLLOW = 1, LOOKUP_DIRECTORY = 2, LOOKUP_EMPTY_PATH = 4, LOOKUP_NO_SYMLINKS = 8 };

/* Path already in kernel memory. dfd: a descriptor or AT_FDCWD. */
int vfs_lookup(int dfd, const char *path, unsigned lookup_flags, struct dentry **ret_dentry);
/* From the process's root, following links, but through no other mount and no link of /proc (-EXDEV, -ELOOP). */
must_check int vfs_lookup_on_root(const char *path, struct dentry **ret_dentry);
/* As open(2)/openat(2) without installing a descriptor. flags O_*; mode after umask. */
int vfs_open(int dfd, const char *path, unsigned flags, uint32_t mode, struct file **ret_file);
/* Create a special file (unix sockets, fifos, devices). -EEXIST if there. */
int vfs_mknod(int dfd, const char *path, uint32_t mode, uint64_t rdev, struct dentry **ret_dentry);
int vfs_unlink(int dfd, const char *path);
int vfs_mkdir(int dfd, const char *path, uint32_t mode);
int vfs_symlink(const char *target, int dfd, const char *path);
/* As vfs_open of something already looked up. */
int vfs_open_dentry(struct dentry *dentry, unsigned flags, struct file **ret_file);
/* Read at pos into kernel memory; bytes or -errno; short only at the end. */
ssize_t vfs_read_kernel(struct file *file, void *buf, size_t size, file_off_t pos);
ssize_t vfs_write_kernel(struct file *file, const void *buf, size_t size, file_off_t pos);
/* Access check with the current fsuid/fsgid; mask of 4 read, 2 write, 1 execute. 0 or -EACCES. */
int inode_permission(struct inode *inode, unsigned mask);
int inode_permission_generic(struct inode *inode, unsigned mask);
/* Fill *stat as statx(2) would for any inode. */
void inode_stat(struct inode *inode, struct statx *stat);
must_check int inode_stat_to_user(struct inode *inode, uaddr_t buf); /* as stat(2) would; 0 or -EFAULT */
/* A memfd sealed against writing (F_SEAL_WRITE, F_SEAL_FUTURE_WRITE): no new writable shared mappings. */
bool inode_write_sealed(struct inode *inode);
void inode_touch_atime(struct inode *inode);
/* A regular file: will reading it in the next hour leave its attributes as they are? */
bool inode_reads_leave_times(struct inode *inode);
void inode_touch_mtime(struct inode *inode); /* and ctime */
/*
 * May the current process change the mode of the file (of 0777) from now on, without sleeping, until its owner or the
 * process's rights change? Only files in memory that have no name any more. And: do so.
 */
bool file_mode_assured(const struct file *file);
void file_mode_set(struct file *file, uint32_t mode, uint64_t age_ns);
/*
 * Before attributes of an inode that may have no name are looked at, or set: modes that were set elsewhere before this
 * call are known here. Sleeps, but not where nobody else may set them (kernel/remote/leases.c).
 */
extern void (*inode_settle_assured)(struct inode *inode);
static inline void inode_settle(struct inode *inode)
{
    if (unlikely(inode->mode_assured > 0))
        inode_settle_assured(inode);
}
/* Path string from user memory; kmalloc'd, NUL-terminated, 1..4095 bytes; -EFAULT, -ENAMETOOLONG, -ENOENT if empty
 * (unless allow_empty). */
int path_from_user(uaddr_t path, bool allow_empty, char **ret_path);

/* readdir helper: "." and ".." at positions 0 and 1. False when the buffer is full. Entries follow from position 2. */
bool dir_emit_dots(struct file *file, struct dir_context *ctx);

/* sync(2): of every file system; the first error. */
int vfs_sync(void);
/* The container has ended: what is mounted becomes durable and is closed. False if not all of it was kept. Sleeps. */
bool volumes_unmount(void);
/* Attach sb's root over the directory at path (made in the tree at boot by fs_init). */
int vfs_mount(const char *path, struct super_block *sb, unsigned flags);

/* Boot: root image (verity + EROFS), overlay, /proc, /dev, /sys, /tmp and policy mounts. */
void fs_init(void);
/* In a member enclave: the root image alone, to read files whose number the init enclave gives. */
void fs_init_member(void);
must_check int fs_root_inode(uint64_t number, struct inode **ret_inode);
/* Nothing more is to be put into the root by the kernel: from here on it is read-only, if the policy says so. */
void fs_init_done(void);
/* A path of the policy may have parents that do not exist: all of it, at boot. */
void fs_make_directories(const char *path, uint32_t mode);
/* Write a small file at boot, over what is there; directories and a dangling link are no obstacle. */
int fs_write_text(const char *path, const char *text, size_t size);

/* Character devices by number; dev modules register at init. */
#define DEVICE_ANY_MINOR (1ULL << 63) /* or-ed to rdev: for all of its major number that have no entry of their own */
void device_register(uint64_t rdev, const struct file_ops *ops);

/* inotify hooks, called by the VFS and by file operations that change things. mask: IN_*; name may be NULL. */
void fsnotify(struct inode *inode, uint32_t mask, const char *name, struct inode *child, uint32_t cookie);
/* The same for what happens to an open file or a name: tells watches of the parent (with its name) and of itself. */
void fsnotify_dentry(struct dentry *dentry, uint32_t mask);

#endif

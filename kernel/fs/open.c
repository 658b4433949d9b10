/* Opening files: open, openat, openat2, creat. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/inotify.h>
#include <linux/openat2.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/internal.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

#define OPEN_FLAGS                                                                                                     \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | FASYNC |           \
     O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE)
/* x86-64's struct file always says O_LARGEFILE; the UAPI header's value is right for it. */
#define O_TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)

#define OPEN_HOW_SIZE_VER0 24

#define DEVICES_MAX 64
static struct {
    uint64_t rdev;
    const struct file_ops *ops;
} devices[DEVICES_MAX];
static size_t device_count;

void device_register(uint64_t rdev, const struct file_ops *ops)
{
    if (device_count < DEVICES_MAX) {
        devices[device_count].rdev = rdev;
        devices[device_count].ops = ops;
        device_count++;
    }
}

static const struct file_ops *device_find(uint64_t rdev)
{
    for (size_t i = 0; i < device_count; i++)
        if (devices[i].rdev == rdev)
            return devices[i].ops;
    for (size_t i = 0; i < device_count; i++)
        if ((devices[i].rdev & DEVICE_ANY_MINOR) && (devices[i].rdev & 0xfff00) == (rdev & 0xfff00))
            return devices[i].ops;
    return NULL;
}

static int special_ops(struct inode *inode, const struct file_ops **ret_ops)
{
    *ret_ops = inode->file_ops;
    switch (inode->mode & S_IFMT) {
    case S_IFCHR:
        if (inode->sb->flags & MS_NODEV)
            return -EACCES;
        *ret_ops = device_find(inode->rdev);
        return *ret_ops ? 0 : -ENXIO;
    case S_IFBLK:
        return inode->sb->flags & MS_NODEV ? -EACCES : -ENXIO;
    case S_IFIFO:
        *ret_ops = &fifo_file_ops;
        return 0;
    case S_IFSOCK:
        return -ENXIO;
    default:
        return *ret_ops ? 0 : -ENXIO;
    }
}

/* Access mode to permission mask; O_TRUNC writes. */
static unsigned open_mask(unsigned flags)
{
    static const unsigned masks[] = {4, 2, 6, 6};
    return masks[flags & O_ACCMODE] | (flags & O_TRUNC ? 2 : 0);
}

static int may_open(struct inode *inode, unsigned flags)
{
    unsigned mask = open_mask(flags);
    if (S_ISLNK(inode->mode))
        return -ELOOP;
    if (S_ISDIR(inode->mode) && (mask & 2))
        return -EISDIR;
    int error = inode_permission(inode, mask);
    if (error)
        return error;
    if ((flags & O_NOATIME) && !inode_owner_or_capable(inode))
        return -EPERM;
    return 0;
}

static const struct file_ops path_only_ops;

static struct file *file_new_dentry(struct dentry *dentry, const struct file_ops *ops, unsigned flags)
{
    struct file *file = file_new_inode(dentry->inode, ops, NULL, flags);
    if (file)
        file->dentry = dentry_get(dentry);
    return file;
}

/* created: by this very open, which then needs no permission. */
static int open_dentry(struct dentry *dentry, unsigned flags, bool created, struct file **ret_file)
{
    struct inode *inode = dentry->inode;
    if ((flags & O_DIRECTORY) && !(flags & O_TMPFILE_BIT) && !S_ISDIR(inode->mode))
        return -ENOTDIR;
    if (flags & O_PATH) {
        *ret_file = file_new_dentry(dentry, &path_only_ops, flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW));
        return *ret_file ? 0 : -ENOMEM;
    }
    int error = created ? 0 : may_open(inode, flags);
    if (error)
        return error;
    const struct file_ops *ops;
    error = special_ops(inode, &ops);
    if (error)
        return error;
    bool writes = open_mask(flags) & 2;
    if (writes && S_ISREG(inode->mode) && inode->deny_write)
        return -ETXTBSY;
    struct file *file = file_new_dentry(dentry, ops, (flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC)) | O_LARGEFILE);
    if (!file)
        return -ENOMEM;
    if (writes && S_ISREG(inode->mode)) {
        inode->write_count++;
        file->write_counted = true;
    }
    if ((flags & O_TRUNC) && S_ISREG(inode->mode) && !created)
        error = inode_truncate(inode, 0);
    if (!error && ops->open)
        error = ops->open(inode, file);
    if (error) {
        file->ops = &path_only_ops; /* open failed: nothing to release */
        file_put(file);
        return error;
    }
    file->flags &= ~O_NOCTTY;
    fsnotify_dentry(dentry, IN_OPEN);
    *ret_file = file;
    return 0;
}

int vfs_open_dentry(struct dentry *dentry, unsigned flags, struct file **ret_file)
{
    return open_dentry(dentry, flags, false, ret_file);
}

static int create_last(struct walk *walk, struct dentry *dentry, uint32_t mode)
{
    struct inode *dir = walk->at->inode, *inode;
    int error = dir_may_create(walk->at);
    if (error)
        return error;
    if (!dir->ops->create)
        return -EACCES;
    error = dir->ops->create(dir, dentry->name, S_IFREG | (mode & 07777), 0, &inode);
    if (error)
        return error;
    dentry_instantiate(dentry, inode);
    notify(dir, IN_CREATE, dentry->name, inode, 0);
    return 0;
}

/* The last component is known: create, refuse, or open. */
static int open_last(struct walk *walk, struct dentry *dentry, const struct open_how_checked *how,
                     struct file **ret_file)
{
    bool created = false;
    if (!dentry->inode) {
        if (!(how->flags & O_CREAT))
            return -ENOENT;
        int error = create_last(walk, dentry, how->mode);
        if (error)
            return error;
        created = true;
    } else if ((how->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        return -EEXIST;
    } else if ((how->flags & O_CREAT) && S_ISDIR(dentry->inode->mode)) {
        return -EISDIR;
    }
    walk_unlock(walk); /* opening may wait: for a FIFO's other end */
    if (walk->trailing_slash && !S_ISDIR(dentry->inode->mode))
        return -ENOTDIR;
    return open_dentry(dentry, how->flags, created, ret_file);
}

static int open_walk(struct walk *walk, const struct open_how_checked *how, struct file **ret_file)
{
    bool exclusive = (how->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
    bool follow = !(how->flags & O_NOFOLLOW) && !exclusive;
    for (;;) {
        struct dentry *d;
        int error = walk_to_parent(walk);
        if (error)
            return error;
        if ((how->flags & O_CREAT) && walk->trailing_slash && walk->last == LAST_NAME)
            return -EISDIR;
        if (how->flags & O_CREAT)
            walk_lock(walk);
        error = walk_last(walk, &d);
        if (error)
            return error;
        if (d->inode && S_ISLNK(d->inode->mode) && walk->last == LAST_NAME && (follow || walk->trailing_slash)) {
            walk_unlock(walk);
            error = walk_follow(walk, d);
            if (error)
                return error;
            continue;
        }
        error = open_last(walk, d, how, ret_file);
        dentry_put(d);
        return error;
    }
}

static int open_tmpfile(int dfd, const char *path, const struct open_how_checked *how, struct file **ret_file)
{
    struct dentry *dir;
    int error = path_lookup(dfd, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, how->resolve, &dir);
    if (error)
        return error;
    struct inode *inode;
    error = inode_permission(dir->inode, 3);
    if (!error)
        error = super_writable(dir->sb);
    if (!error)
        error = dir->inode->ops->tmpfile ? dir->inode->ops->tmpfile(dir->inode, S_IFREG | (how->mode & 07777), &inode)
                                         : -EOPNOTSUPP;
    if (!error) {
        inode->linkable = !(how->flags & O_EXCL);
        char name[48], dir_path[512];
        const char *where = dentry_path(dir, dir_path, sizeof(dir_path));
        char *full = kmalloc(sizeof(dir_path) + sizeof(name));
        struct dentry *nameless = NULL;
        if (full) {
            snprintf(full, sizeof(dir_path) + sizeof(name), "%s/#%lu (deleted)", where && where[1] ? where : "",
                     (unsigned long)inode->ino);
            nameless = dentry_new_detached(inode, full);
            kfree(full);
        }
        inode_put(inode);
        error = -ENOMEM;
        if (nameless) {
            error = open_dentry(nameless, how->flags & ~O_DIRECTORY, true, ret_file);
            dentry_put(nameless);
        }
    }
    dentry_put(dir);
    return error;
}

int path_open(int dfd, const char *path, const struct open_how_checked *how, struct file **ret_file)
{
    if (how->flags & O_TMPFILE_BIT)
        return open_tmpfile(dfd, path, how, ret_file);
    struct walk walk;
    int error = walk_begin(&walk, dfd, path, how->resolve);
    if (!error)
        error = open_walk(&walk, how, ret_file);
    walk_end(&walk);
    return error;
}

int vfs_open(int dfd, const char *path, unsigned flags, uint32_t mode, struct file **ret_file)
{
    struct open_how_checked how = {.flags = flags, .mode = mode};
    return path_open(dfd, path, &how, ret_file);
}

static int64_t open_install(int dfd, uaddr_t path_addr, const struct open_how_checked *how)
{
    char *path;
    struct file *file;
    int error = path_from_user(path_addr, false, &path);
    if (error)
        return error;
    error = fd_room();
    if (!error)
        error = path_open(dfd, path, how, &file);
    kfree(path);
    if (error)
        return error;
    int fd = fd_install(file, 0, how->flags & O_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

/* open(2) and openat(2) ignore bits they do not know. */
static int64_t open_plain(int dfd, uaddr_t path, unsigned flags, uint32_t mode)
{
    struct open_how_checked how = {.flags = flags & OPEN_FLAGS};
    if (flags & O_PATH)
        how.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (how.flags & O_TMPFILE_BIT) {
        if ((how.flags & O_TMPFILE) != O_TMPFILE || (how.flags & O_ACCMODE) == O_RDONLY || (how.flags & O_CREAT))
            return -EINVAL;
    }
    if ((how.flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT))
        return -EINVAL;
    if (how.flags & (O_CREAT | O_TMPFILE_BIT))
        how.mode = mode & 07777 & ~fs_current()->umask;
    return open_install(dfd, path, &how);
}

SYSCALL_DEFINE3(open, uaddr_t, path, unsigned, flags, uint32_t, mode)
{
    return open_plain(AT_FDCWD, path, flags, mode);
}

SYSCALL_DEFINE4(openat, int, dfd, uaddr_t, path, unsigned, flags, uint32_t, mode)
{
    return open_plain(dfd, path, flags, mode);
}

SYSCALL_DEFINE2(creat, uaddr_t, path, uint32_t, mode)
{
    return open_plain(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

#define RESOLVE_ALL                                                                                                    \
    (RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED)

static int how_from_user(uaddr_t addr, size_t size, struct open_how *ret_how)
{
    if (size < OPEN_HOW_SIZE_VER0)
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    memset(ret_how, 0, sizeof(*ret_how));
    if (copy_from_user(ret_how, addr, MIN(size, sizeof(*ret_how))) < 0)
        return -EFAULT;
    for (size_t i = sizeof(*ret_how); i < size; i++) {
        uint8_t byte;
        if (copy_from_user(&byte, addr + i, 1) < 0)
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    return 0;
}

SYSCALL_DEFINE4(openat2, int, dfd, uaddr_t, path, uaddr_t, how_addr, size_t, size)
{
    struct open_how how;
    int error = how_from_user(how_addr, size, &how);
    if (error)
        return error;
    if ((how.flags & ~(uint64_t)OPEN_FLAGS) || (how.resolve & ~(uint64_t)RESOLVE_ALL) ||
        (how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) == (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
        return -EINVAL;
    bool creates = how.flags & (O_CREAT | O_TMPFILE_BIT);
    if ((how.mode & ~07777ULL) || (!creates && how.mode))
        return -EINVAL;
    if ((how.flags & O_TMPFILE_BIT) &&
        ((how.flags & O_TMPFILE) != O_TMPFILE || (how.flags & O_ACCMODE) == O_RDONLY || (how.flags & O_CREAT)))
        return -EINVAL;
    if ((how.flags & O_PATH) && (how.flags & ~(uint64_t)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)))
        return -EINVAL;
    if ((how.flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT))
        return -EINVAL;
    struct open_how_checked checked = {
        .flags = how.flags, .mode = how.mode & ~fs_current()->umask, .resolve = how.resolve};
    return open_install(dfd, path, &checked);
}

/* stat in all its forms, readlink, access. */
#include <asm/stat.h>
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/internal.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

static uint64_t encode_dev(uint32_t major, uint32_t minor)
{
    return (minor & 0xff) | (uint64_t)major << 8 | (uint64_t)(minor & ~0xffu) << 12;
}

int inode_stat_to_user(struct inode *inode, uaddr_t buf)
{
    struct statx x;
    inode_stat(inode, &x);
    struct stat st = {
        .st_dev = encode_dev(x.stx_dev_major, x.stx_dev_minor),
        .st_ino = x.stx_ino,
        .st_nlink = x.stx_nlink,
        .st_mode = x.stx_mode,
        .st_uid = x.stx_uid,
        .st_gid = x.stx_gid,
        .st_rdev = encode_dev(x.stx_rdev_major, x.stx_rdev_minor),
        .st_size = x.stx_size,
        .st_blksize = x.stx_blksize,
        .st_blocks = x.stx_blocks,
        .st_atime = x.stx_atime.tv_sec,
        .st_atime_nsec = x.stx_atime.tv_nsec,
        .st_mtime = x.stx_mtime.tv_sec,
        .st_mtime_nsec = x.stx_mtime.tv_nsec,
        .st_ctime = x.stx_ctime.tv_sec,
        .st_ctime_nsec = x.stx_ctime.tv_nsec,
    };
    return copy_to_user(buf, &st, sizeof(st));
}

static int64_t stat_path(int dfd, uaddr_t path, uaddr_t buf, unsigned lookup)
{
    struct dentry *dentry;
    int error = user_path_lookup(dfd, path, lookup, &dentry);
    if (error)
        return error;
    error = inode_stat_to_user(dentry->inode, buf);
    dentry_put(dentry);
    return error;
}

static int64_t stat_fd(int fd, uaddr_t buf)
{
    struct file *file = fd_get_any(fd);
    if (!file)
        return -EBADF;
    inode_settle(file->inode);
    int error = inode_stat_to_user(file->inode, buf);
    file_put(file);
    return error;
}

SYSCALL_DEFINE2(stat, uaddr_t, path, uaddr_t, buf)
{
    return stat_path(AT_FDCWD, path, buf, LOOKUP_FOLLOW);
}

SYSCALL_DEFINE2(lstat, uaddr_t, path, uaddr_t, buf)
{
    return stat_path(AT_FDCWD, path, buf, 0);
}

SYSCALL_DEFINE2(fstat, int, fd, uaddr_t, buf)
{
    return stat_fd(fd, buf);
}

static bool path_is_empty(uaddr_t path)
{
    char first;
    return copy_from_user(&first, path, 1) == 0 && first == 0;
}

SYSCALL_DEFINE4(newfstatat, int, dfd, uaddr_t, path, uaddr_t, buf, unsigned, flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
        return -EINVAL;
    /* How the C library spells fstat: no dentry needed. */
    if ((flags & AT_EMPTY_PATH) && dfd >= 0 && path_is_empty(path))
        return stat_fd(dfd, buf);
    unsigned lookup = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
    return stat_path(dfd, path, buf, lookup | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY_PATH : 0));
}

SYSCALL_DEFINE5(statx, int, dfd, uaddr_t, path, unsigned, flags, unsigned, mask, uaddr_t, buf)
{
    struct statx x;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
        return -EINVAL;
    if ((mask & STATX__RESERVED) || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
        return -EINVAL;
    if ((flags & AT_EMPTY_PATH) && dfd >= 0 && path_is_empty(path)) {
        struct file *file = fd_get_any(dfd);
        if (!file)
            return -EBADF;
        inode_settle(file->inode);
        inode_stat(file->inode, &x);
        file_put(file);
        return copy_to_user(buf, &x, sizeof(x));
    }
    struct dentry *dentry;
    unsigned lookup = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
    int error = user_path_lookup(dfd, path, lookup | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY_PATH : 0), &dentry);
    if (error)
        return error;
    inode_stat(dentry->inode, &x);
    if (!dentry->parent && dentry == dentry_root_of(dentry->sb))
        x.stx_attributes |= STATX_ATTR_MOUNT_ROOT;
    x.stx_attributes_mask |= STATX_ATTR_MOUNT_ROOT;
    dentry_put(dentry);
    return copy_to_user(buf, &x, sizeof(x));
}

static int64_t do_readlink(int dfd, uaddr_t path, uaddr_t buf, int size)
{
    struct dentry *dentry;
    if (size <= 0)
        return -EINVAL;
    int error = user_path_lookup(dfd, path, LOOKUP_EMPTY_PATH, &dentry);
    if (error)
        return error;
    int64_t result = -EINVAL;
    if (path_is_empty(path) && !S_ISLNK(dentry->inode->mode)) {
        result = -ENOENT;
    } else if (S_ISLNK(dentry->inode->mode) && dentry->inode->ops->readlink) {
        char *text = kmalloc(PAGE_SIZE);
        result = text ? dentry->inode->ops->readlink(dentry->inode, text, PAGE_SIZE) : -ENOMEM;
        if (result > 0) {
            result = MIN(result, (int64_t)size);
            if (copy_to_user(buf, text, result) < 0)
                result = -EFAULT;
            else
                inode_touch_atime(dentry->inode);
        }
        kfree(text);
    }
    dentry_put(dentry);
    return result;
}

SYSCALL_DEFINE3(readlink, uaddr_t, path, uaddr_t, buf, int, size)
{
    return do_readlink(AT_FDCWD, path, buf, size);
}

SYSCALL_DEFINE4(readlinkat, int, dfd, uaddr_t, path, uaddr_t, buf, int, size)
{
    return do_readlink(dfd, path, buf, size);
}

/* access(2) asks for the real ids, with what capabilities those would have. */
static int permission_real_ids(struct dentry *dentry, unsigned mode)
{
    struct credentials *c = &process_self()->credentials;
    uint32_t fsuid = c->fsuid, fsgid = c->fsgid;
    uint64_t effective = c->cap_effective;
    c->fsuid = c->uid;
    c->fsgid = c->gid;
    c->cap_effective = c->uid == 0 ? c->cap_permitted : 0;
    int error = inode_permission(dentry->inode, mode);
    c->fsuid = fsuid;
    c->fsgid = fsgid;
    c->cap_effective = effective;
    return error;
}

static int64_t do_access(int dfd, uaddr_t path, unsigned mode, unsigned flags)
{
    struct dentry *dentry;
    if ((mode & ~7u) || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return -EINVAL;
    unsigned lookup = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
    int error = user_path_lookup(dfd, path, lookup | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY_PATH : 0), &dentry);
    if (error)
        return error;
    const struct credentials *c = fs_credentials();
    if ((mode & 1) && S_ISREG(dentry->inode->mode) && (dentry->inode->sb->flags & MS_NOEXEC))
        error = -EACCES;
    else if ((flags & AT_EACCESS) || (c->fsuid == c->uid && c->fsgid == c->gid))
        error = mode ? inode_permission(dentry->inode, mode) : 0;
    else
        error = mode ? permission_real_ids(dentry, mode) : 0;
    dentry_put(dentry);
    return error;
}

SYSCALL_DEFINE2(access, uaddr_t, path, unsigned, mode)
{
    return do_access(AT_FDCWD, path, mode, 0);
}

SYSCALL_DEFINE3(faccessat, int, dfd, uaddr_t, path, unsigned, mode)
{
    return do_access(dfd, path, mode, 0);
}

SYSCALL_DEFINE4(faccessat2, int, dfd, uaddr_t, path, unsigned, mode, unsigned, flags)
{
    return do_access(dfd, path, mode, flags);
}

/* Changing attributes: chmod, chown, utimensat and their kin, truncate, fallocate. */
#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/inotify.h>
#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/utime.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/signal.h"
#include "kernel/syscalls/syscall.h"

#define SI_KERNEL_CODE 0x80
/* <linux/stat.h> does not export these. */
#define UTIME_NOW 0x3fffffff
#define UTIME_OMIT 0x3ffffffe

static void notify_attributes(struct dentry *dentry, struct inode *inode)
{
    if (dentry)
        fsnotify_dentry(dentry, IN_ATTRIB);
    else
        notify(inode, IN_ATTRIB, NULL, NULL, 0);
}

static int change_mode(struct dentry *dentry, struct inode *inode, uint32_t mode)
{
    int error = super_writable(inode->sb);
    if (error)
        return error;
    if (!inode_owner_or_capable(inode))
        return -EPERM;
    if (S_ISLNK(inode->mode))
        return -EOPNOTSUPP;
    const struct credentials *c = fs_credentials();
    mode &= 07777;
    if (c->fsgid != inode->gid && !credentials_in_group(c, inode->gid) && !fs_capable(CAP_FSETID))
        mode &= ~(uint32_t)S_ISGID;
    struct inode_attr attr = {.valid = ATTR_MODE, .mode = mode};
    error = inode_setattr(inode, &attr);
    if (!error)
        notify_attributes(dentry, inode);
    return error;
}

bool file_mode_assured(const struct file *file)
{
    const struct inode *inode = file->inode, *dir = file->dentry ? dentry_parent_inode(file->dentry) : NULL;
    return S_ISREG(inode->mode) && inode->nlink == 0 && inode->ops->setattr == mem_setattr && !inode->watches &&
           !(dir && dir->watches) && super_writable(inode->sb) == 0 && inode_owner_or_capable(inode);
}

/* So long before now, but not before the earliest. */
static struct timespec_ns time_ago(uint64_t age_ns, struct timespec_ns earliest)
{
    struct timespec_ns t = time_now();
    t.sec -= (int64_t)(age_ns / 1000000000);
    if (t.nsec < age_ns % 1000000000) {
        t.sec--;
        t.nsec += 1000000000;
    }
    t.nsec -= (uint32_t)(age_ns % 1000000000);
    return t.sec < earliest.sec || (t.sec == earliest.sec && t.nsec < earliest.nsec) ? earliest : t;
}

void file_mode_set(struct file *file, uint32_t mode, uint64_t age_ns)
{
    struct inode_attr attr = {.valid = ATTR_MODE | ATTR_CTIME,
                              .mode = mode & 0777,
                              .ctime = time_ago(MIN(age_ns, (uint64_t)INT64_MAX), file->inode->ctime)};
    (void)!inode_setattr(file->inode, &attr);
    notify_attributes(file->dentry, file->inode);
}

static int64_t chmod_path(int dfd, uaddr_t path, uint32_t mode)
{
    struct dentry *dentry;
    int error = user_path_lookup(dfd, path, LOOKUP_FOLLOW, &dentry);
    if (error)
        return error;
    error = change_mode(dentry, dentry->inode, mode);
    dentry_put(dentry);
    return error;
}

SYSCALL_DEFINE2(chmod, uaddr_t, path, uint32_t, mode)
{
    return chmod_path(AT_FDCWD, path, mode);
}

SYSCALL_DEFINE3(fchmodat, int, dfd, uaddr_t, path, uint32_t, mode)
{
    return chmod_path(dfd, path, mode);
}

SYSCALL_DEFINE2(fchmod, int, fd, uint32_t, mode)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    inode_settle(file->inode);
    int error = change_mode(file->dentry, file->inode, mode);
    file_put(file);
    return error;
}

/* -1 leaves an id as it is. */
static int change_owner(struct dentry *dentry, struct inode *inode, uint32_t uid, uint32_t gid)
{
    const struct credentials *c = fs_credentials();
    struct inode_attr attr = {.valid = 0, .uid = uid, .gid = gid};
    int error = super_writable(inode->sb);
    if (error)
        return error;
    if (uid != UINT32_MAX) {
        attr.valid |= ATTR_UID;
        if (!fs_capable(CAP_CHOWN) && (c->fsuid != inode->uid || uid != inode->uid))
            return -EPERM;
    }
    if (gid != UINT32_MAX) {
        attr.valid |= ATTR_GID;
        bool member = gid == inode->gid || gid == c->fsgid || credentials_in_group(c, gid);
        if (!fs_capable(CAP_CHOWN) && (c->fsuid != inode->uid || !member))
            return -EPERM;
    }
    if (!S_ISDIR(inode->mode) && (inode->mode & (S_ISUID | S_ISGID))) {
        attr.valid |= ATTR_MODE;
        attr.mode = inode->mode & 07777 & ~(uint32_t)S_ISUID;
        if (inode->mode & S_IXGRP)
            attr.mode &= ~(uint32_t)S_ISGID;
    }
    error = inode_setattr(inode, &attr);
    if (!error)
        notify_attributes(dentry, inode);
    return error;
}

static int64_t chown_path(int dfd, uaddr_t path, uint32_t uid, uint32_t gid, unsigned lookup)
{
    struct dentry *dentry;
    int error = user_path_lookup(dfd, path, lookup, &dentry);
    if (error)
        return error;
    error = change_owner(dentry, dentry->inode, uid, gid);
    dentry_put(dentry);
    return error;
}

SYSCALL_DEFINE3(chown, uaddr_t, path, uint32_t, uid, uint32_t, gid)
{
    return chown_path(AT_FDCWD, path, uid, gid, LOOKUP_FOLLOW);
}

SYSCALL_DEFINE3(lchown, uaddr_t, path, uint32_t, uid, uint32_t, gid)
{
    return chown_path(AT_FDCWD, path, uid, gid, 0);
}

SYSCALL_DEFINE5(fchownat, int, dfd, uaddr_t, path, uint32_t, uid, uint32_t, gid, unsigned, flags)
{
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return chown_path(dfd, path, uid, gid,
                      (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) |
                          (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY_PATH : 0));
}

SYSCALL_DEFINE3(fchown, int, fd, uint32_t, uid, uint32_t, gid)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int error = change_owner(file->dentry, file->inode, uid, gid);
    file_put(file);
    return error;
}

/* times: two of them, or NULL for now. */
static int change_times(struct dentry *dentry, struct inode *inode, const struct __kernel_timespec times[2])
{
    struct inode_attr attr = {.valid = ATTR_ATIME | ATTR_MTIME};
    struct timespec_ns now = time_now();
    bool both_now = !times || (times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW);
    attr.atime = attr.mtime = now;
    int error = super_writable(inode->sb);
    if (error)
        return error;
    if (both_now) {
        if (!inode_owner_or_capable(inode)) {
            error = inode_permission(inode, 2);
            if (error)
                return error;
        }
    } else {
        if (!inode_owner_or_capable(inode))
            return -EPERM;
        if (times[0].tv_nsec == UTIME_OMIT)
            attr.valid &= ~(unsigned)ATTR_ATIME;
        else if (times[0].tv_nsec != UTIME_NOW)
            attr.atime = (struct timespec_ns){times[0].tv_sec, times[0].tv_nsec};
        if (times[1].tv_nsec == UTIME_OMIT)
            attr.valid &= ~(unsigned)ATTR_MTIME;
        else if (times[1].tv_nsec != UTIME_NOW)
            attr.mtime = (struct timespec_ns){times[1].tv_sec, times[1].tv_nsec};
    }
    error = inode_setattr(inode, &attr);
    if (!error)
        notify_attributes(dentry, inode);
    return error;
}

static int64_t times_path(int dfd, uaddr_t path, const struct __kernel_timespec *times, unsigned lookup)
{
    struct dentry *dentry;
    int error = user_path_lookup(dfd, path, lookup, &dentry);
    if (error)
        return error;
    error = change_times(dentry, dentry->inode, times);
    dentry_put(dentry);
    return error;
}

static bool nsec_ok(int64_t nsec)
{
    return (nsec >= 0 && nsec < 1000000000) || nsec == UTIME_NOW || nsec == UTIME_OMIT;
}

SYSCALL_DEFINE4(utimensat, int, dfd, uaddr_t, path, uaddr_t, times_addr, unsigned, flags)
{
    struct __kernel_timespec times[2], *given = NULL;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (times_addr) {
        if (copy_from_user(times, times_addr, sizeof(times)) < 0)
            return -EFAULT;
        if (!nsec_ok(times[0].tv_nsec) || !nsec_ok(times[1].tv_nsec))
            return -EINVAL;
        if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
            return 0;
        given = times;
    }
    if (!path && dfd != AT_FDCWD) {
        if (flags)
            return -EINVAL;
        struct file *file = fd_get(dfd);
        if (!file)
            return -EBADF;
        int error = change_times(file->dentry, file->inode, given);
        file_put(file);
        return error;
    }
    return times_path(dfd, path, given,
                      (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) |
                          (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY_PATH : 0));
}

static int64_t times_us(int dfd, uaddr_t path, uaddr_t times_addr)
{
    struct __kernel_old_timeval tv[2];
    struct __kernel_timespec times[2];
    if (times_addr && copy_from_user(tv, times_addr, sizeof(tv)) < 0)
        return -EFAULT;
    for (int i = 0; times_addr && i < 2; i++) {
        if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
            return -EINVAL;
        times[i].tv_sec = tv[i].tv_sec;
        times[i].tv_nsec = tv[i].tv_usec * 1000;
    }
    return times_path(dfd, path, times_addr ? times : NULL, LOOKUP_FOLLOW);
}

SYSCALL_DEFINE2(utimes, uaddr_t, path, uaddr_t, times)
{
    return times_us(AT_FDCWD, path, times);
}

SYSCALL_DEFINE3(futimesat, int, dfd, uaddr_t, path, uaddr_t, times)
{
    return times_us(dfd, path, times);
}

SYSCALL_DEFINE2(utime, uaddr_t, path, uaddr_t, times_addr)
{
    struct utimbuf buf;
    struct __kernel_timespec times[2];
    if (times_addr && copy_from_user(&buf, times_addr, sizeof(buf)) < 0)
        return -EFAULT;
    if (times_addr) {
        times[0] = (struct __kernel_timespec){.tv_sec = buf.actime};
        times[1] = (struct __kernel_timespec){.tv_sec = buf.modtime};
    }
    return times_path(AT_FDCWD, path, times_addr ? times : NULL, LOOKUP_FOLLOW);
}

static int check_size_limit(struct inode *inode, int64_t size)
{
    uint64_t limit = process_self()->limits[RLIMIT_FSIZE].rlim_cur;
    if (limit == RLIM64_INFINITY || size <= inode->size || (uint64_t)size <= limit)
        return 0;
    struct signal_source source = {.signal = SIGXFSZ, .code = SI_KERNEL_CODE};
    (void)signal_send_process(process_self(), &source);
    return -EFBIG;
}

SYSCALL_DEFINE2(truncate, uaddr_t, path, int64_t, size)
{
    struct dentry *dentry;
    if (size < 0)
        return -EINVAL;
    int error = user_path_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, &dentry);
    if (error)
        return error;
    struct inode *inode = dentry->inode;
    if (S_ISDIR(inode->mode))
        error = -EISDIR;
    else if (!S_ISREG(inode->mode))
        error = -EINVAL;
    else
        error = inode_permission(inode, 2);
    if (!error && inode->deny_write)
        error = -ETXTBSY;
    if (!error)
        error = check_size_limit(inode, size);
    if (!error)
        error = inode_truncate(inode, size);
    if (!error)
        fsnotify_dentry(dentry, IN_MODIFY);
    dentry_put(dentry);
    return error;
}

SYSCALL_DEFINE2(ftruncate, int, fd, int64_t, size)
{
    if (size < 0)
        return -EINVAL;
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int error = -EINVAL;
    if (S_ISREG(file->inode->mode) && file_writable(file))
        error = check_size_limit(file->inode, size);
    if (!error)
        error = inode_truncate(file->inode, size);
    if (!error && file->dentry)
        fsnotify_dentry(file->dentry, IN_MODIFY);
    file_put(file);
    return error;
}

static int fallocate_checked(struct file *file, int mode, int64_t offset, int64_t size)
{
    if (offset < 0 || size <= 0)
        return -EINVAL;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE |
                 FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE))
        return -EOPNOTSUPP;
    if ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE))
        return -EOPNOTSUPP;
    if (!file_writable(file))
        return -EBADF;
    if (S_ISFIFO(file->inode->mode))
        return -ESPIPE;
    if (S_ISDIR(file->inode->mode))
        return -EISDIR;
    if (!S_ISREG(file->inode->mode))
        return -ENODEV;
    int64_t end;
    if (__builtin_add_overflow(offset, size, &end))
        return -EFBIG;
    if (!file->ops->fallocate)
        return -EOPNOTSUPP;
    int error = mode & FALLOC_FL_KEEP_SIZE ? 0 : check_size_limit(file->inode, end);
    return error ? error : file->ops->fallocate(file, mode, offset, size);
}

SYSCALL_DEFINE4(fallocate, int, fd, int, mode, int64_t, offset, int64_t, size)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int error = fallocate_checked(file, mode, offset, size);
    if (!error && file->dentry)
        fsnotify_dentry(file->dentry, IN_MODIFY);
    file_put(file);
    return error;
}

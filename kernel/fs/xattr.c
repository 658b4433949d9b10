/* Extended attributes: getxattr, setxattr, listxattr, removexattr and who may. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/inotify.h>
#include <linux/limits.h>
#include <linux/xattr.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/internal.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* May the caller read or write attributes of this kind? */
static int check_kind(struct inode *inode, const char *name, bool write)
{
    if (has_prefix(name, XATTR_TRUSTED_PREFIX))
        return fs_capable(CAP_SYS_ADMIN) ? 0 : write ? -EPERM : -ENODATA;
    if (has_prefix(name, XATTR_SECURITY_PREFIX)) {
        bool is_caps = strcmp(name, XATTR_NAME_CAPS) == 0;
        return !write || fs_capable(is_caps ? CAP_SETFCAP : CAP_SYS_ADMIN) ? 0 : -EPERM;
    }
    if (has_prefix(name, XATTR_USER_PREFIX)) {
        if (!S_ISREG(inode->mode) && !S_ISDIR(inode->mode))
            return write ? -EPERM : -ENODATA;
        if (S_ISDIR(inode->mode) && (inode->mode & S_ISVTX) && write && !inode_owner_or_capable(inode))
            return -EPERM;
        return inode_permission(inode, write ? 2 : 4);
    }
    return -EOPNOTSUPP;
}

/* May the caller read or write attributes of this name? */
static int check_name(struct inode *inode, const char *name, bool write)
{
    static const char *const prefixes[] = {XATTR_TRUSTED_PREFIX, XATTR_SECURITY_PREFIX, XATTR_USER_PREFIX};
    int error = check_kind(inode, name, write);
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]) && !error; i++)
        if (strcmp(name, prefixes[i]) == 0)
            error = -EINVAL;
    return error;
}

static int name_from_user(uaddr_t addr, char name[XATTR_NAME_MAX + 1])
{
    ssize_t size = strncpy_from_user(name, addr, XATTR_NAME_MAX + 1);
    if (size == 0 || size == -ENAMETOOLONG)
        return -ERANGE;
    return size < 0 ? (int)size : 0;
}

/* One end of every call: the inode, by path or descriptor. */
struct target {
    struct dentry *dentry; /* referenced, or NULL */
    struct file *file;     /* referenced, or NULL */
    struct inode *inode;
};

static int target_path(uaddr_t path, bool follow, struct target *ret)
{
    *ret = (struct target){0};
    int error = user_path_lookup(AT_FDCWD, path, follow ? LOOKUP_FOLLOW : 0, &ret->dentry);
    if (!error)
        ret->inode = ret->dentry->inode;
    return error;
}

static int target_fd(int fd, struct target *ret)
{
    *ret = (struct target){.file = fd_get(fd)};
    if (!ret->file)
        return -EBADF;
    ret->inode = ret->file->inode;
    inode_settle(ret->inode); /* user.* are for whom the mode lets read */
    return 0;
}

static void target_put(struct target *target)
{
    if (target->dentry)
        dentry_put(target->dentry);
    file_put(target->file);
}

static void notify_target(struct target *target)
{
    struct dentry *dentry = target->file ? target->file->dentry : target->dentry;
    if (dentry)
        fsnotify_dentry(dentry, IN_ATTRIB);
}

/* What security.capability may hold: versions 2 and 3. */
static bool caps_valid(const void *value, size_t size)
{
    uint32_t version = 0;
    if (size >= sizeof(version))
        memcpy(&version, value, sizeof(version));
    version &= VFS_CAP_REVISION_MASK;
    return (size == XATTR_CAPS_SZ_2 && version == VFS_CAP_REVISION_2) ||
           (size == XATTR_CAPS_SZ_3 && version == VFS_CAP_REVISION_3);
}

static int64_t xattr_set(struct target *target, uaddr_t name_addr, uaddr_t value_addr, size_t size, int flags)
{
    char name[XATTR_NAME_MAX + 1];
    struct inode *inode = target->inode;
    if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    int error = name_from_user(name_addr, name);
    if (error)
        return error;
    if (size > XATTR_SIZE_MAX)
        return -E2BIG;
    void *value = kmalloc(size ? size : 1);
    if (!value)
        return -ENOMEM;
    error = copy_from_user(value, value_addr, size);
    if (!error)
        error = super_writable(inode->sb);
    if (!error)
        error = check_name(inode, name, true);
    if (!error && strcmp(name, XATTR_NAME_CAPS) == 0 && !caps_valid(value, size))
        error = -EINVAL;
    if (!error)
        error = inode->ops->setxattr ? inode->ops->setxattr(inode, name, value, size, flags) : -EOPNOTSUPP;
    kfree(value);
    if (!error)
        notify_target(target);
    return error;
}

static int64_t xattr_get(struct target *target, uaddr_t name_addr, uaddr_t value_addr, size_t size)
{
    char name[XATTR_NAME_MAX + 1];
    struct inode *inode = target->inode;
    int error = name_from_user(name_addr, name);
    if (!error)
        error = check_name(inode, name, false);
    if (error)
        return error;
    if (!inode->ops->getxattr)
        return -EOPNOTSUPP;
    if (size > XATTR_SIZE_MAX)
        size = XATTR_SIZE_MAX;
    void *value = size ? kmalloc(size) : NULL;
    if (size && !value)
        return -ENOMEM;
    ssize_t result = inode->ops->getxattr(inode, name, value, size);
    if (result > 0 && size && copy_to_user(value_addr, value, result) < 0)
        result = -EFAULT;
    kfree(value);
    return result;
}

/* trusted.* is there for the privileged only. Works in place; returns the new size. */
static size_t hide_trusted(char *list, size_t size)
{
    size_t kept = 0;
    for (size_t at = 0; at < size;) {
        size_t length = strlen(list + at) + 1;
        if (!has_prefix(list + at, XATTR_TRUSTED_PREFIX)) {
            memmove(list + kept, list + at, length);
            kept += length;
        }
        at += length;
    }
    return kept;
}

static int64_t xattr_list(struct target *target, uaddr_t list_addr, size_t size)
{
    struct inode *inode = target->inode;
    if (!inode->ops->listxattr)
        return 0;
    ssize_t total = inode->ops->listxattr(inode, NULL, 0);
    if (total <= 0)
        return total;
    char *names = kmalloc(total);
    if (!names)
        return -ENOMEM;
    total = inode->ops->listxattr(inode, names, total);
    if (total > 0 && !fs_capable(CAP_SYS_ADMIN))
        total = hide_trusted(names, total);
    if (total > 0 && size) {
        if ((size_t)total > size)
            total = -ERANGE;
        else if (copy_to_user(list_addr, names, total) < 0)
            total = -EFAULT;
    }
    kfree(names);
    return total;
}

static int64_t xattr_remove(struct target *target, uaddr_t name_addr)
{
    char name[XATTR_NAME_MAX + 1];
    struct inode *inode = target->inode;
    int error = name_from_user(name_addr, name);
    if (!error)
        error = super_writable(inode->sb);
    if (!error)
        error = check_name(inode, name, true);
    if (!error)
        error = inode->ops->removexattr ? inode->ops->removexattr(inode, name) : -EOPNOTSUPP;
    if (!error)
        notify_target(target);
    return error;
}

#define XATTR_CALL(open_target, call)                                                                                  \
    do {                                                                                                               \
        struct target target;                                                                                          \
        int64_t result_ = (open_target);                                                                               \
        if (result_ == 0) {                                                                                            \
            result_ = (call);                                                                                          \
            target_put(&target);                                                                                       \
        }                                                                                                              \
        return result_;                                                                                                \
    } while (0)

SYSCALL_DEFINE5(setxattr, uaddr_t, path, uaddr_t, name, uaddr_t, value, size_t, size, int, flags)
{
    XATTR_CALL(target_path(path, true, &target), xattr_set(&target, name, value, size, flags));
}

SYSCALL_DEFINE5(lsetxattr, uaddr_t, path, uaddr_t, name, uaddr_t, value, size_t, size, int, flags)
{
    XATTR_CALL(target_path(path, false, &target), xattr_set(&target, name, value, size, flags));
}

SYSCALL_DEFINE5(fsetxattr, int, fd, uaddr_t, name, uaddr_t, value, size_t, size, int, flags)
{
    XATTR_CALL(target_fd(fd, &target), xattr_set(&target, name, value, size, flags));
}

SYSCALL_DEFINE4(getxattr, uaddr_t, path, uaddr_t, name, uaddr_t, value, size_t, size)
{
    XATTR_CALL(target_path(path, true, &target), xattr_get(&target, name, value, size));
}

SYSCALL_DEFINE4(lgetxattr, uaddr_t, path, uaddr_t, name, uaddr_t, value, size_t, size)
{
    XATTR_CALL(target_path(path, false, &target), xattr_get(&target, name, value, size));
}

SYSCALL_DEFINE4(fgetxattr, int, fd, uaddr_t, name, uaddr_t, value, size_t, size)
{
    XATTR_CALL(target_fd(fd, &target), xattr_get(&target, name, value, size));
}

SYSCALL_DEFINE3(listxattr, uaddr_t, path, uaddr_t, names, size_t, size)
{
    XATTR_CALL(target_path(path, true, &target), xattr_list(&target, names, size));
}

SYSCALL_DEFINE3(llistxattr, uaddr_t, path, uaddr_t, names, size_t, size)
{
    XATTR_CALL(target_path(path, false, &target), xattr_list(&target, names, size));
}

SYSCALL_DEFINE3(flistxattr, int, fd, uaddr_t, names, size_t, size)
{
    XATTR_CALL(target_fd(fd, &target), xattr_list(&target, names, size));
}

SYSCALL_DEFINE2(removexattr, uaddr_t, path, uaddr_t, name)
{
    XATTR_CALL(target_path(path, true, &target), xattr_remove(&target, name));
}

SYSCALL_DEFINE2(lremovexattr, uaddr_t, path, uaddr_t, name)
{
    XATTR_CALL(target_path(path, false, &target), xattr_remove(&target, name));
}

SYSCALL_DEFINE2(fremovexattr, int, fd, uaddr_t, name)
{
    XATTR_CALL(target_fd(fd, &target), xattr_remove(&target, name));
}

/* ioctl(2): what every file understands; the rest is the file's own business. */
#include <asm/ioctls.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/internal.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

static int set_flag(struct file *file, unsigned flag, uaddr_t arg)
{
    uint32_t on;
    if (get_user32(&on, arg) < 0)
        return -EFAULT;
    if (file->ops && file->ops->settle)
        file->ops->settle(file);
    if (on)
        file->flags |= flag;
    else
        file->flags &= ~flag;
    return 0;
}

static int64_t regular_ioctl(struct file *file, unsigned command, uint64_t arg)
{
    uint32_t flags;
    int64_t left;
    switch (command) {
    case FIONREAD:
        if (!S_ISREG(file->inode->mode))
            return -ENOTTY;
        left = file->inode->size - file->pos;
        return put_user32(arg, left < 0 ? 0 : MIN(left, (int64_t)INT32_MAX));
    case FIGETBSZ:
        return put_user32(arg, PAGE_SIZE);
    case FIOQSIZE:
        return put_user64(arg, file->inode->size);
    case FS_IOC_GETFLAGS:
        return put_user32(arg, 0);
    case FS_IOC_SETFLAGS:
        if (get_user32(&flags, arg) < 0)
            return -EFAULT;
        if (!inode_owner_or_capable(file->inode))
            return -EPERM;
        return flags ? -EOPNOTSUPP : 0;
    case FICLONE:
    case FICLONERANGE:
        return -EOPNOTSUPP;
    default:
        return -ENOTTY;
    }
}

static int64_t file_ioctl(struct file *file, int fd, unsigned command, uint64_t arg)
{
    int64_t result = -ENOTTY;
    switch (command) {
    case FIOCLEX:
        return fd_set_flags(fd, FD_CLOEXEC);
    case FIONCLEX:
        return fd_set_flags(fd, 0);
    case FIONBIO:
        return set_flag(file, O_NONBLOCK, arg);
    case FIOASYNC:
        return set_flag(file, FASYNC, arg);
    default:
        break;
    }
    if (file->ops->ioctl)
        result = file->ops->ioctl(file, command, arg);
    if (result == -ENOTTY && (S_ISREG(file->inode->mode) || S_ISDIR(file->inode->mode)))
        result = regular_ioctl(file, command, arg);
    return result;
}

SYSCALL_DEFINE3(ioctl, int, fd, unsigned, command, uint64_t, arg)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int64_t result = file_ioctl(file, fd, command, arg);
    file_put(file);
    return result;
}

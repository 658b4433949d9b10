/* fcntl(2): everything about a descriptor or description that is not reading and writing. */
#include <asm/ioctls.h>
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/fs/internal.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/table.h"
#include "kernel/syscalls/syscall.h"

#define SETTABLE_FLAGS (O_APPEND | O_NONBLOCK | FASYNC | O_DIRECT | O_NOATIME)
#define SIGNAL_MAX 64

static int set_status_flags(struct file *file, unsigned flags)
{
    if ((flags & O_NOATIME) && !(file->flags & O_NOATIME) && !inode_owner_or_capable(file->inode))
        return -EPERM;
    if ((flags & O_DIRECT) && !S_ISFIFO(file->inode->mode) && !S_ISREG(file->inode->mode))
        return -EINVAL;
    if (file->ops && file->ops->settle)
        file->ops->settle(file);
    file->flags = (file->flags & ~(unsigned)SETTABLE_FLAGS) | (flags & SETTABLE_FLAGS);
    return 0;
}

/* Who the signals of a file go to: SIGURG. Nothing sends what O_ASYNC and F_SETSIG ask for. */
static int owner_set(struct file *file, int pid)
{
    if (pid == INT32_MIN)
        return -EINVAL;
    if (pid && (pid > 0 ? !process_of(pid) : !group_exists(-pid, NULL)))
        return -ESRCH;
    const struct credentials *c = &process_self()->credentials;
    file->owner_pid = pid;
    file->owner_uid = c->uid;
    file->owner_euid = c->euid;
    return 0;
}

static int64_t owner_fcntl(struct file *file, unsigned command, uint64_t arg)
{
    struct f_owner_ex owner;
    switch (command) {
    case F_SETOWN:
        return owner_set(file, (int)arg);
    case F_GETOWN:
        return file->owner_pid;
    case F_SETOWN_EX:
        if (copy_from_user(&owner, arg, sizeof(owner)) < 0)
            return -EFAULT;
        if (owner.type != F_OWNER_TID && owner.type != F_OWNER_PID && owner.type != F_OWNER_PGRP)
            return -EINVAL;
        return owner_set(file, owner.type == F_OWNER_PGRP ? -owner.pid : owner.pid);
    case F_GETOWN_EX:
        owner.type = file->owner_pid < 0 ? F_OWNER_PGRP : F_OWNER_PID;
        owner.pid = file->owner_pid < 0 ? -file->owner_pid : file->owner_pid;
        return copy_to_user(arg, &owner, sizeof(owner));
    case F_SETSIG:
        if (arg > SIGNAL_MAX)
            return -EINVAL;
        file->owner_signal = (int)arg;
        return 0;
    default:
        return file->owner_signal;
    }
}

static int64_t lease_fcntl(struct file *file, unsigned command, uint64_t arg)
{
    if (command == F_GETLEASE)
        return F_UNLCK;
    if (!S_ISREG(file->inode->mode) || arg == F_UNLCK)
        return -EINVAL;
    return -EAGAIN; /* nobody is ever given a lease */
}

static int64_t seals_fcntl(struct file *file, unsigned command, uint64_t arg)
{
    if (command == F_GET_SEALS)
        return inode_seals(file->inode);
    if (!file_writable(file))
        return -EPERM;
    return inode_add_seals(file->inode, arg);
}

static int64_t file_fcntl(struct file *file, unsigned command, uint64_t arg)
{
    switch (command) {
    case F_SETFL:
        return set_status_flags(file, arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return locks_fcntl(file, command, arg);
    case F_SETOWN:
    case F_GETOWN:
    case F_SETOWN_EX:
    case F_GETOWN_EX:
    case F_SETSIG:
    case F_GETSIG:
        return owner_fcntl(file, command, arg);
    case F_SETLEASE:
    case F_GETLEASE:
        return lease_fcntl(file, command, arg);
    case F_SETPIPE_SZ:
        return pipe_set_size(file, arg);
    case F_GETPIPE_SZ:
        return pipe_get_size(file);
    case F_NOTIFY: /* nothing to tell anybody of can be dropped; directory notification itself is not there */
        if (!S_ISDIR(file->inode->mode))
            return -ENOTDIR;
        return arg & ~(uint64_t)DN_MULTISHOT ? -EINVAL : 0;
    case F_ADD_SEALS:
    case F_GET_SEALS:
        return seals_fcntl(file, command, arg);
    default:
        return -EINVAL;
    }
}

SYSCALL_DEFINE3(fcntl, int, fd, unsigned, command, uint64_t, arg)
{
    switch (command) { /* what O_PATH descriptors allow too */
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return fd_dup(fd, (int)arg, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return fd_get_flags(fd);
    case F_SETFD:
        return fd_set_flags(fd, arg);
    default:
        break;
    }
    struct file *file = command == F_GETFL ? fd_get_any(fd) : fd_get(fd);
    if (!file)
        return -EBADF;
    int64_t result = command == F_GETFL ? (int64_t)file->flags : file_fcntl(file, command, arg);
    file_put(file);
    return result;
}

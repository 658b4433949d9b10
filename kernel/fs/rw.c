/* Moving data: read, write and their vectored and positioned forms, lseek. */
#include <asm/signal.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/inotify.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/poll.h"
#include "kernel/mm/uio.h"
#include "kernel/process/signal.h"
#include "kernel/syscalls/syscall.h"

#define RW_COUNT_MAX 0x7ffff000UL /* Linux's MAX_RW_COUNT */

static void notify_file(struct file *file, uint32_t mask)
{
    if (file->dentry)
        fsnotify_dentry(file->dentry, mask);
}

static ssize_t file_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    if (!file_readable(file))
        return -EBADF;
    if (unlikely(!file->ops->read))
        return S_ISDIR(file->inode->mode) ? -EISDIR : -EINVAL;
    ssize_t result = file->ops->read(file, to, pos);
    if (result > 0)
        notify_file(file, IN_ACCESS);
    return result;
}

/* RLIMIT_FSIZE holds for regular files: bytes that may be written at pos, or -EFBIG with SIGXFSZ sent. */
static ssize_t size_limit(struct file *file, struct iov_iter *from, file_off_t pos)
{
    uint64_t limit = process_self()->limits[RLIMIT_FSIZE].rlim_cur;
    if (limit == RLIM64_INFINITY || !S_ISREG(file->inode->mode))
        return 0;
    if (file->flags & O_APPEND)
        pos = file->inode->size;
    if ((uint64_t)pos >= limit && from->count > 0) {
        struct signal_source source = {.signal = SIGXFSZ, .code = 0x80 /* SI_KERNEL */};
        (void)signal_send_process(process_self(), &source);
        return -EFBIG;
    }
    if (from->count > limit - pos)
        from->count = limit - pos;
    return 0;
}

static ssize_t file_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    if (!file_writable(file))
        return -EBADF;
    if (!file->ops->write)
        return -EINVAL;
    ssize_t result = pos ? size_limit(file, from, *pos) : 0;
    if (result == 0)
        result = file->ops->write(file, from, pos);
    if (result > 0 && (file->flags & O_DSYNC) && file->ops->fsync) {
        int error = file->ops->fsync(file, !(file->flags & (O_SYNC & ~O_DSYNC)));
        result = error < 0 ? error : result;
    }
    if (result > 0)
        notify_file(file, IN_MODIFY);
    return result;
}

typedef ssize_t (*transfer_fn)(struct file *file, struct iov_iter *it, file_off_t *pos);

/* Files that cannot seek have no position. */
static ssize_t transfer(struct file *file, struct iov_iter *it, transfer_fn fn)
{
    if (it->count > RW_COUNT_MAX)
        it->count = RW_COUNT_MAX;
    if (!file->ops->llseek)
        return fn(file, it, NULL);
    const struct super_ops *sleepy = S_ISREG(file->inode->mode) ? file->inode->sb->ops : NULL;
    if (sleepy)
        sleepy->pos_lock(file->inode);
    file_off_t pos = file->pos;
    ssize_t result = fn(file, it, &pos);
    if (result >= 0)
        file->pos = pos;
    if (sleepy)
        sleepy->pos_unlock(file->inode);
    return result;
}

static ssize_t transfer_at(struct file *file, struct iov_iter *it, transfer_fn fn, file_off_t pos)
{
    if (pos < 0)
        return -EINVAL;
    if (!file->ops->llseek)
        return -ESPIPE;
    if (it->count > RW_COUNT_MAX)
        it->count = RW_COUNT_MAX;
    return fn(file, it, &pos);
}

/* A count that large cannot be a buffer: the address is what Linux finds wrong first. */
static bool count_ok(uint64_t count)
{
    return (int64_t)count >= 0;
}

SYSCALL_DEFINE3(read, int, fd, uaddr_t, buf, uint64_t, count)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    struct iov_iter it;
    iov_iter_user(&it, buf, count);
    ssize_t result = count_ok(count) ? transfer(file, &it, file_read) : -EFAULT;
    file_put(file);
    return result;
}

SYSCALL_DEFINE3(write, int, fd, uaddr_t, buf, uint64_t, count)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    struct iov_iter it;
    iov_iter_user(&it, buf, count);
    ssize_t result = count_ok(count) ? transfer(file, &it, file_write) : -EFAULT;
    file_put(file);
    return result;
}

SYSCALL_DEFINE4(pread64, int, fd, uaddr_t, buf, uint64_t, count, int64_t, pos)
{
    if (pos < 0)
        return -EINVAL;
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    struct iov_iter it;
    iov_iter_user(&it, buf, count);
    ssize_t result = count_ok(count) ? transfer_at(file, &it, file_read, pos) : -EFAULT;
    file_put(file);
    return result;
}

SYSCALL_DEFINE4(pwrite64, int, fd, uaddr_t, buf, uint64_t, count, int64_t, pos)
{
    if (pos < 0)
        return -EINVAL;
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    struct iov_iter it;
    iov_iter_user(&it, buf, count);
    ssize_t result = count_ok(count) ? transfer_at(file, &it, file_write, pos) : -EFAULT;
    file_put(file);
    return result;
}

#define RWF_KNOWN (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)

/* at: use pos, leave the file's own alone. */
static ssize_t vectored(int fd, uaddr_t iov, uint64_t count, transfer_fn fn, bool at, file_off_t pos, unsigned flags)
{
    struct io_segment fast[8], *segments;
    if (flags & ~RWF_KNOWN)
        return -EOPNOTSUPP;
    if (at && pos < 0)
        return -EINVAL;
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    ssize_t result = iov_import(iov, count, fast, &segments);
    if (result == 0) {
        struct iov_iter it;
        unsigned saved = file->flags;
        iov_iter_segments(&it, segments, count);
        if (flags & RWF_APPEND)
            file->flags |= O_APPEND;
        if (flags & RWF_NOWAIT)
            file->flags |= O_NONBLOCK;
        if (flags & (RWF_DSYNC | RWF_SYNC))
            file->flags |= flags & RWF_SYNC ? O_SYNC : O_DSYNC;
        result = at ? transfer_at(file, &it, fn, pos) : transfer(file, &it, fn);
        file->flags = (file->flags & ~(O_APPEND | O_NONBLOCK | O_SYNC)) | (saved & (O_APPEND | O_NONBLOCK | O_SYNC));
        iov_release(fast, segments);
    }
    file_put(file);
    return result;
}

SYSCALL_DEFINE3(readv, int, fd, uaddr_t, iov, uint64_t, count)
{
    return vectored(fd, iov, count, file_read, false, 0, 0);
}

SYSCALL_DEFINE3(writev, int, fd, uaddr_t, iov, uint64_t, count)
{
    return vectored(fd, iov, count, file_write, false, 0, 0);
}

SYSCALL_DEFINE4(preadv, int, fd, uaddr_t, iov, uint64_t, count, int64_t, pos)
{
    return vectored(fd, iov, count, file_read, true, pos, 0);
}

SYSCALL_DEFINE4(pwritev, int, fd, uaddr_t, iov, uint64_t, count, int64_t, pos)
{
    return vectored(fd, iov, count, file_write, true, pos, 0);
}

/* The fifth argument is the high half of the position on 32-bit machines only. */
SYSCALL_DEFINE6(preadv2, int, fd, uaddr_t, iov, uint64_t, count, int64_t, pos, uint64_t, unused, unsigned, flags)
{
    return vectored(fd, iov, count, file_read, pos != -1, pos, flags);
}

SYSCALL_DEFINE6(pwritev2, int, fd, uaddr_t, iov, uint64_t, count, int64_t, pos, uint64_t, unused, unsigned, flags)
{
    return vectored(fd, iov, count, file_write, pos != -1, pos, flags);
}

SYSCALL_DEFINE3(lseek, int, fd, int64_t, offset, unsigned, whence)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int64_t result = -EINVAL;
    if (whence <= SEEK_HOLE)
        result = file->ops->llseek ? file->ops->llseek(file, offset, whence) : -ESPIPE;
    file_put(file);
    return result;
}

ssize_t vfs_read_kernel(struct file *file, void *buf, size_t size, file_off_t pos)
{
    size_t done = 0;
    if (!file->ops->read)
        return -EINVAL;
    while (done < size) {
        struct iov_iter it;
        iov_iter_kernel(&it, (char *)buf + done, size - done);
        ssize_t result = file->ops->read(file, &it, file->ops->llseek ? &pos : NULL);
        if (result < 0)
            return done ? (ssize_t)done : result;
        if (result == 0)
            break;
        done += result;
    }
    return done;
}

ssize_t vfs_write_kernel(struct file *file, const void *buf, size_t size, file_off_t pos)
{
    struct iov_iter it;
    if (!file->ops->write)
        return -EINVAL;
    iov_iter_kernel(&it, (void *)(uintptr_t)buf, size);
    return file->ops->write(file, &it, file->ops->llseek ? &pos : NULL);
}

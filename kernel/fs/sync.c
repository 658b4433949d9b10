/* Making data last, advice, and calls that concern the whole file system. */
#include <linux/errno.h>
#include <linux/fadvise.h>
#include <linux/fs.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/internal.h"
#include "kernel/syscalls/syscall.h"

static int64_t sync_file(int fd, bool data_only)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int error = 0;
    if (file->ops->fsync)
        error = file->ops->fsync(file, data_only);
    else if (!S_ISREG(file->inode->mode) && !S_ISDIR(file->inode->mode))
        error = -EINVAL;
    file_put(file);
    return error;
}

SYSCALL_DEFINE1(fsync, int, fd)
{
    return sync_file(fd, false);
}

SYSCALL_DEFINE1(fdatasync, int, fd)
{
    return sync_file(fd, true);
}

int vfs_sync(void)
{
    struct mount *mount;
    int error = 0;
    TAILQ_FOREACH (mount, &mounts, link) {
        if (!mount->sb->ops)
            continue;
        int failed = mount->sb->ops->sync(mount->sb);
        error = error ? error : failed;
    }
    return error;
}

SYSCALL_DEFINE0(sync)
{
    (void)vfs_sync();
    return 0;
}

SYSCALL_DEFINE1(syncfs, int, fd)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    struct super_block *sb = file->inode->sb;
    int error = sb->ops ? sb->ops->sync(sb) : 0;
    file_put(file);
    return error;
}

SYSCALL_DEFINE4(sync_file_range, int, fd, int64_t, offset, int64_t, size, unsigned, flags)
{
    if ((flags & ~(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)) || offset < 0 ||
        size < 0)
        return -EINVAL;
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    uint32_t mode = file->inode->mode;
    file_put(file);
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISBLK(mode) || S_ISLNK(mode) ? 0 : -ESPIPE;
}

SYSCALL_DEFINE4(fadvise64, int, fd, int64_t, offset, int64_t, size, int, advice)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int error = 0;
    if (S_ISFIFO(file->inode->mode))
        error = -ESPIPE;
    else if (size < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE)
        error = -EINVAL;
    else if (advice == POSIX_FADV_DONTNEED && file->ops->forget && offset >= 0)
        file->ops->forget(file, ALIGN_UP((uint64_t)offset, PAGE_SIZE) / PAGE_SIZE,
                          size == 0 ? UINT64_MAX : ((uint64_t)offset + (uint64_t)size) / PAGE_SIZE);
    file_put(file);
    return error;
}

SYSCALL_DEFINE3(readahead, int, fd, int64_t, offset, uint64_t, count)
{
    struct file *file = fd_get(fd);
    if (!file || !file_readable(file)) {
        file_put(file);
        return -EBADF;
    }
    int error = S_ISREG(file->inode->mode) ? 0 : -EINVAL;
    file_put(file);
    return error;
}

/* Reading directories: getdents, getdents64. */
#include <linux/errno.h>
#include <linux/inotify.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/internal.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

#define DT_DIR_ 4

bool dir_emit_dots(struct file *file, struct dir_context *ctx)
{
    if (ctx->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, file->inode->ino, DT_DIR_, 1))
            return false;
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        struct dentry *d = file->dentry;
        while (d && !d->parent && d->sb->mount && d->sb->mount->point)
            d = d->sb->mount->point;
        uint64_t ino = d && d->parent ? d->parent->inode->ino : file->inode->ino;
        if (!ctx->emit(ctx, "..", 2, ino, DT_DIR_, 2))
            return false;
        ctx->pos = 2;
    }
    return true;
}

/* Two layouts: struct linux_dirent64, and the old one with the type in its last byte. */
struct dents {
    struct dir_context ctx;
    uaddr_t buf;
    size_t left;
    size_t done;
    int error;
    bool old;
};

static bool dents_emit(struct dir_context *ctx, const char *name, size_t name_size, uint64_t ino, unsigned type,
                       file_off_t next_pos)
{
    struct dents *d = container_of(ctx, struct dents, ctx);
    char record[8 + 8 + 2 + 1 + 256 + 8];
    size_t header = d->old ? 18 : 19;
    size_t size = ALIGN_UP(header + name_size + (d->old ? 2 : 1), 8);
    uint16_t record_size = size;
    if (size > d->left) {
        if (d->done == 0)
            d->error = -EINVAL;
        return false;
    }
    memset(record, 0, size);
    memcpy(record, &ino, 8);
    memcpy(record + 8, &next_pos, 8);
    memcpy(record + 16, &record_size, 2);
    memcpy(record + header, name, name_size);
    record[d->old ? size - 1 : 18] = type;
    if (copy_to_user(d->buf, record, size) < 0) {
        d->error = -EFAULT;
        return false;
    }
    d->buf += size;
    d->left -= size;
    d->done += size;
    return true;
}

static int64_t read_entries(int fd, uaddr_t buf, unsigned size, bool old)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int64_t result = -ENOTDIR;
    if (!file->ops->readdir)
        goto out;
    result = -ENOENT;
    if (file->dentry && file->dentry->deleted)
        goto out;
    struct dents d = {.ctx = {.pos = file->pos, .emit = dents_emit}, .buf = buf, .left = size, .old = old};
    int error = file->ops->readdir(file, &d.ctx);
    file->pos = d.ctx.pos;
    inode_touch_atime(file->inode);
    if (file->dentry)
        fsnotify_dentry(file->dentry, IN_ACCESS);
    result = d.done ? (int64_t)d.done : error ? error : d.error;
out:
    file_put(file);
    return result;
}

SYSCALL_DEFINE3(getdents64, int, fd, uaddr_t, buf, unsigned, size)
{
    return read_entries(fd, buf, size, false);
}

SYSCALL_DEFINE3(getdents, int, fd, uaddr_t, buf, unsigned, size)
{
    return read_entries(fd, buf, size, true);
}

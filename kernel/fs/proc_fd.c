/* /proc/PID/fd and fdinfo. */
#include <asm-generic/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "kernel/fs/proc.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/remote_ops.h"

static int at_or_above(int fd, struct file *file, void *arg)
{
    uint64_t *number = arg;

    if ((uint64_t)fd < *number)
        return 0;
    *number = (uint64_t)fd;
    return 1;
}

static bool next_fd(const struct pseudo_ctx *dir, uint64_t *number)
{
    const struct process *process = proc_process(dir);

    if (process && process->remote) {
        remote_ops->settle(process);
        process = proc_process(dir);
    }
    return process && process->files && fd_for_each(process->files, at_or_above, number) == 1;
}

static struct file *file_of(const struct pseudo_ctx *ctx, bool *ret_cloexec)
{
    const struct process *process = proc_process(ctx);

    return process && process->files ? fd_table_file(process->files, (int)ctx->number, ret_cloexec) : NULL;
}

static uint32_t fd_mode(const struct pseudo_ctx *ctx)
{
    struct file *file = file_of(ctx, NULL);
    uint32_t mode = S_IFLNK;

    if (!file)
        return mode;
    if (file->flags & O_PATH) {
        file_put(file);
        return mode;
    }
    if (file_readable(file))
        mode |= 0500;
    if (file_writable(file))
        mode |= 0300;
    file_put(file);
    return mode;
}

static ssize_t fd_link(const struct pseudo_ctx *ctx, char *buf, size_t size)
{
    struct process *process;
    ssize_t r = proc_inspect(ctx, &process);

    if (r < 0)
        return r;
    struct file *file = file_of(ctx, NULL);
    char *text = page_alloc();

    r = -ENOENT;
    if (file && text) {
        const char *path = file_path(file, text, PAGE_SIZE);

        r = path ? (ssize_t)MIN(strlen(path), size) : -ENAMETOOLONG;
        if (r > 0)
            memcpy(buf, path, (size_t)r);
    }
    if (text)
        page_free(text);
    if (file)
        file_put(file);
    return r;
}

static int fd_place(const struct pseudo_ctx *ctx, struct dentry **ret_dentry)
{
    struct process *process;
    int r = proc_inspect(ctx, &process);

    if (r < 0)
        return r;
    struct file *file = file_of(ctx, NULL);

    if (!file)
        return -ENOENT;
    *ret_dentry = file_dentry_get(file);
    file_put(file);
    return *ret_dentry ? 0 : -ENOMEM;
}

static int fdinfo_show(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process *process;
    bool cloexec;
    char more[1024] = "";
    int r = proc_inspect(ctx, &process);

    if (r < 0)
        return r;
    struct file *file = file_of(ctx, &cloexec);

    if (!file)
        return -ENOENT;
    seq_printf(seq, "pos:\t%ld\nflags:\t0%o\nmnt_id:\t%d\nino:\t%lu\n", (long)file->pos,
               file->flags | (cloexec ? O_CLOEXEC : 0), file->inode->sb->mount ? file->inode->sb->mount->id : 15,
               (unsigned long)file->inode->ino);
    if (file->ops && file->ops->show_fdinfo)
        file->ops->show_fdinfo(file, more, sizeof more);
    seq_printf(seq, "%s", more);
    file_put(file);
    return 0;
}

static const struct pseudo_entry fd_entry = {
    .mode = S_IFLNK | 0700, .owned = true, .mode_of = fd_mode, .link = fd_link, .place = fd_place};
static const struct pseudo_entry fdinfo_entry = {.mode = S_IFREG | 0444, .owned = true, .show = fdinfo_show};

const struct pseudo_numbered proc_fds = {.next = next_fd, .entry = &fd_entry};
const struct pseudo_numbered proc_fdinfos = {.next = next_fd, .entry = &fdinfo_entry};

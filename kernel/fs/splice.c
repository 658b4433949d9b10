/* splice, tee, vmsplice, sendfile, copy_file_range: moving data between descriptors. */
#include <asm-generic/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "kernel/fs/pipe.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

/* <fcntl.h>'s; no UAPI header has them. */
#define SPLICE_F_MOVE 1
#define SPLICE_F_NONBLOCK 2
#define SPLICE_F_MORE 4
#define SPLICE_F_GIFT 8
#define SPLICE_F_ALL (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

#define COPY_BUFFER_PAGES 16
#define COPY_SIZE_MAX 0x7ffff000UL

/* An end of a transfer: a file and the position to use, its own or one that the caller gave. */
struct end {
    struct file *file;
    file_off_t pos;
    file_off_t *pos_used; /* what file operations get; NULL for streams */
    uaddr_t user_pos;
};

static bool seekable(const struct file *file)
{
    return S_ISREG(file->inode->mode) || S_ISBLK(file->inode->mode) || (file->ops && file->ops->llseek);
}

static int end_open(struct end *end, int fd, uaddr_t user_pos, bool write)
{
    uint64_t pos;

    *end = (struct end){.user_pos = user_pos};
    end->file = fd_get(fd);
    if (!end->file)
        return -EBADF;
    if (write ? !file_writable(end->file) : !file_readable(end->file))
        return -EBADF;
    if (user_pos) {
        if (!seekable(end->file))
            return -ESPIPE;
        if (get_user64(&pos, user_pos) < 0)
            return -EFAULT;
        if ((file_off_t)pos < 0)
            return -EINVAL;
        end->pos = (file_off_t)pos;
        end->pos_used = &end->pos;
    } else if (seekable(end->file)) {
        end->pos_used = &end->file->pos;
    }
    return 0;
}

/* Also writes the position back to the caller. */
static int64_t end_close(struct end *end, int64_t result)
{
    if (end->file) {
        if (end->user_pos && result >= 0 && put_user64(end->user_pos, (uint64_t)end->pos) < 0)
            result = -EFAULT;
        file_put(end->file);
    }
    return result;
}

static ssize_t end_read(struct end *end, void *buf, size_t size)
{
    struct iov_iter it;

    if (!end->file->ops || !end->file->ops->read)
        return -EINVAL;
    iov_iter_kernel(&it, buf, size);
    return end->file->ops->read(end->file, &it, end->pos_used);
}

/* All of it unless an error or a signal comes; bytes written, or -errno if none. */
static ssize_t end_write(struct end *end, const void *buf, size_t size)
{
    size_t done = 0;

    if (!end->file->ops || !end->file->ops->write)
        return -EINVAL;
    while (done < size) {
        struct iov_iter it;
        ssize_t r;

        iov_iter_kernel(&it, (char *)buf + done, size - done);
        r = end->file->ops->write(end->file, &it, end->pos_used);
        if (r <= 0)
            return done ? (ssize_t)done : r;
        done += (size_t)r;
    }
    return (ssize_t)done;
}

/* ---- sendfile, copy_file_range ---- */

static int64_t copy_ends(struct end *in, struct end *out, size_t size)
{
    uint8_t *buf = page_alloc_many(COPY_BUFFER_PAGES);
    int64_t done = 0;

    if (!buf)
        return -ENOMEM;
    size = MIN(size, COPY_SIZE_MAX);
    while ((size_t)done < size) {
        ssize_t got = end_read(in, buf, MIN(size - (size_t)done, COPY_BUFFER_PAGES * PAGE_SIZE)), put;

        if (got <= 0) {
            done = done ? done : got;
            break;
        }
        put = end_write(out, buf, (size_t)got);
        if (put < got && in->pos_used)
            *in->pos_used -= got - MAX(put, 0);
        if (put < 0) {
            done = done ? done : put;
            break;
        }
        done += put;
        if (put < got)
            break;
    }
    page_free_many(buf, COPY_BUFFER_PAGES);
    return done;
}

SYSCALL_DEFINE4(sendfile, int, out_fd, int, in_fd, uaddr_t, offset, size_t, size)
{
    struct end in, out = {.file = NULL};
    int64_t r = end_open(&in, in_fd, offset, false);

    if (r == 0)
        r = end_open(&out, out_fd, 0, true);
    if (r == 0 && (out.file->flags & O_APPEND))
        r = -EINVAL;
    if (r == 0 && !seekable(in.file))
        r = -EINVAL;
    if (r == 0)
        r = copy_ends(&in, &out, size);
    return end_close(&in, end_close(&out, r));
}

static int check_copy(const struct end *in, const struct end *out)
{
    if (S_ISDIR(in->file->inode->mode) || S_ISDIR(out->file->inode->mode))
        return -EISDIR;
    if (!S_ISREG(in->file->inode->mode) || !S_ISREG(out->file->inode->mode))
        return -EINVAL;
    return out->file->flags & O_APPEND ? -EBADF : 0;
}

SYSCALL_DEFINE6(copy_file_range, int, in_fd, uaddr_t, in_offset, int, out_fd, uaddr_t, out_offset, size_t, size,
                unsigned, flags)
{
    struct end in, out = {.file = NULL};
    int64_t r = end_open(&in, in_fd, in_offset, false);

    if (r == 0)
        r = end_open(&out, out_fd, out_offset, true);
    if (r == 0 && flags)
        r = -EINVAL;
    if (r == 0)
        r = check_copy(&in, &out);
    if (r == 0 && in.file->inode == out.file->inode) {
        file_off_t from = *in.pos_used, to = *out.pos_used;

        if (from < to + (file_off_t)size && to < from + (file_off_t)size)
            r = -EINVAL;
    }
    if (r == 0)
        r = copy_ends(&in, &out, size);
    return end_close(&in, end_close(&out, r));
}

/* ---- splice ---- */

/* The pipe behind a file, here and not lent, or NULL. */
static struct pipe *pipe_here(const struct file *file)
{
    struct pipe *pipe = pipe_of(file);

    if (pipe)
        pipe_settle(pipe);
    return pipe;
}

static int64_t splice_to_pipe(struct end *in, struct pipe *pipe, size_t size, bool nonblock)
{
    struct pipe_page *page;
    int64_t done = 0;
    ssize_t got;

    while ((size_t)done < size) {
        /* Only the first byte is waited for. */
        int r = pipe_wait_writable(pipe, nonblock || done);

        if (r < 0)
            return done ? done : r;
        page = pipe_page_new(pipe);
        if (!page)
            return done ? done : -ENOMEM;
        got = end_read(in, page->data, MIN(size - (size_t)done, PAGE_SIZE));
        if (got <= 0) {
            pipe_page_put(pipe, page);
            return done ? done : got;
        }
        pipe_push(pipe, page, 0, (uint32_t)got, false, false);
        pipe_wake_readers(pipe);
        done += got;
        /* A stream that gave less than a page would make us wait. */
        if (!in->pos_used && (size_t)got < PAGE_SIZE)
            return done;
    }
    return done;
}

static int64_t splice_from_pipe(struct pipe *pipe, struct end *out, size_t size, bool nonblock)
{
    int64_t done = 0;

    while ((size_t)done < size) {
        struct pipe_buffer *buffer;
        ssize_t put;
        int r = pipe_wait_readable(pipe, nonblock || done);

        if (r <= 0)
            return done ? done : r;
        buffer = pipe_buffer_at(pipe, pipe->tail);
        r = pipe_page_open(buffer->page);
        if (r < 0)
            return done ? done : r;
        put = end_write(out, buffer->page->data + buffer->offset, MIN((size_t)buffer->size, size - (size_t)done));
        if (put <= 0)
            return done ? done : put;
        buffer->offset += (uint32_t)put;
        buffer->size -= (uint32_t)put;
        done += put;
        if (buffer->size == 0) {
            pipe_drop_tail(pipe);
            pipe_wake_writers(pipe);
        }
    }
    return done;
}

/* Move (or with `copy`, share) buffers of one pipe to another. */
static int64_t pipe_to_pipe(struct pipe *in, struct pipe *out, size_t size, bool nonblock, bool copy)
{
    int64_t done = 0;
    uint32_t at;
    int r;

    if (in == out)
        return -EINVAL;
    r = pipe_wait_readable(in, nonblock);
    if (r <= 0)
        return r;
    r = pipe_wait_writable(out, nonblock);
    if (r < 0)
        return r;
    at = in->tail;
    while ((size_t)done < size && at != in->head && !pipe_full(out)) {
        struct pipe_buffer *buffer = pipe_buffer_at(in, at);
        uint32_t part = (uint32_t)MIN((size_t)buffer->size, size - (size_t)done);

        buffer->page->refcount++;
        buffer->can_merge = false;
        pipe_push(out, buffer->page, buffer->offset, part, false, buffer->packet);
        done += part;
        at++;
        if (copy)
            continue;
        buffer->offset += part;
        buffer->size -= part;
        if (buffer->size == 0)
            pipe_drop_tail(in);
    }
    if (done)
        pipe_wake_readers(out);
    if (done && !copy)
        pipe_wake_writers(in);
    return done;
}

static int64_t splice_ends(struct end *in, struct end *out, size_t size, unsigned flags)
{
    struct pipe *in_pipe = pipe_here(in->file), *out_pipe = pipe_here(out->file);
    bool nonblock = flags & SPLICE_F_NONBLOCK;

    if (in_pipe && out_pipe) {
        if (in->user_pos || out->user_pos)
            return -ESPIPE;
        return pipe_to_pipe(in_pipe, out_pipe, size, nonblock || (in->file->flags & out->file->flags & O_NONBLOCK),
                            false);
    }
    if (in_pipe) {
        if (in->user_pos)
            return -ESPIPE;
        if (out->file->flags & O_APPEND)
            return -EINVAL;
        return splice_from_pipe(in_pipe, out, size, nonblock || (in->file->flags & O_NONBLOCK));
    }
    if (!out_pipe)
        return -EINVAL;
    if (out->user_pos)
        return -ESPIPE;
    return splice_to_pipe(in, out_pipe, size, nonblock || (out->file->flags & O_NONBLOCK));
}

SYSCALL_DEFINE6(splice, int, in_fd, uaddr_t, in_offset, int, out_fd, uaddr_t, out_offset, size_t, size, unsigned, flags)
{
    struct end in, out = {.file = NULL};
    int64_t r;

    if (size == 0)
        return 0;
    if (flags & ~SPLICE_F_ALL)
        return -EINVAL;
    r = end_open(&in, in_fd, in_offset, false);
    if (r == 0)
        r = end_open(&out, out_fd, out_offset, true);
    if (r == 0)
        r = splice_ends(&in, &out, MIN(size, COPY_SIZE_MAX), flags);
    return end_close(&in, end_close(&out, r));
}

SYSCALL_DEFINE4(tee, int, in_fd, int, out_fd, size_t, size, unsigned, flags)
{
    struct end in, out = {.file = NULL};
    int64_t r;

    if (flags & ~SPLICE_F_ALL)
        return -EINVAL;
    if (size == 0)
        return 0;
    r = end_open(&in, in_fd, 0, false);
    if (r == 0)
        r = end_open(&out, out_fd, 0, true);
    if (r == 0) {
        struct pipe *in_pipe = pipe_here(in.file), *out_pipe = pipe_here(out.file);

        r = in_pipe && out_pipe ? pipe_to_pipe(in_pipe, out_pipe, size, flags & SPLICE_F_NONBLOCK, true) : -EINVAL;
    }
    return end_close(&in, end_close(&out, r));
}

SYSCALL_DEFINE4(vmsplice, int, fd, uaddr_t, iov, size_t, count, unsigned, flags)
{
    struct io_segment fast[8], *segments;
    struct iov_iter it;
    struct file *file;
    int64_t r;

    if (flags & ~SPLICE_F_ALL)
        return -EINVAL;
    file = fd_get(fd);
    if (!file)
        return -EBADF;
    r = pipe_of(file) ? iov_import(iov, count, fast, &segments) : -EBADF;
    if (r == 0) {
        unsigned flags_before = file->flags;

        iov_iter_segments(&it, segments, count);
        if (flags & SPLICE_F_NONBLOCK)
            file->flags |= O_NONBLOCK;
        if (it.count)
            r = file_writable(file) ? file->ops->write(file, &it, NULL) : file->ops->read(file, &it, NULL);
        file->flags = flags_before;
        iov_release(fast, segments);
    }
    file_put(file);
    return r;
}

/* Pipes and FIFOs. */
#include "kernel/fs/pipe.h"

#include <asm-generic/errno.h>
#include <asm-generic/ioctls.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/signal.h>
#include <linux/stat.h>

#include "kernel/fs/console.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/loan.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/remote/frames.h"
#include "kernel/remote/remote.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

#define PIPE_BUFFERS 16
#define PIPE_SIZE_MAX (1UL << 20) /* fs.pipe-max-size */

static struct pipe *pipe_new(void)
{
    struct pipe *pipe = kzalloc(sizeof *pipe);

    if (!pipe)
        return NULL;
    pipe->ring_size = PIPE_BUFFERS;
    pipe->buffers = kzalloc(PIPE_BUFFERS * sizeof *pipe->buffers);
    if (!pipe->buffers) {
        kfree(pipe);
        return NULL;
    }
    wait_queue_init(&pipe->read_wait);
    wait_queue_init(&pipe->write_wait);
    return pipe;
}

static void pipe_free(struct pipe *pipe)
{
    while (!pipe_empty(pipe))
        pipe_drop_tail(pipe);
    if (pipe->spare) {
        page_free(pipe->spare->data);
        kfree(pipe->spare);
    }
    kfree(pipe->buffers);
    kfree(pipe);
}

struct pipe *pipe_of(const struct file *file)
{
    return file->ops == &pipe_file_ops || file->ops == &fifo_file_ops ? file->inode->pipe : NULL;
}

/* ---- buffers ---- */

struct pipe_page *pipe_page_new(struct pipe *pipe)
{
    struct pipe_page *page = pipe->spare;

    if (page) {
        pipe->spare = NULL;
    } else {
        page = kmalloc(sizeof *page);
        if (!page)
            return NULL;
        page->data = page_alloc();
        if (!page->data) {
            kfree(page);
            return NULL;
        }
    }
    page->refcount = 1;
    return page;
}

void pipe_page_put(struct pipe *pipe, struct pipe_page *page)
{
    if (--page->refcount)
        return;
    if (!page->data) {
        if (page->sealed.frame)
            frame_drop(page->sealed.frame);
        kfree(page);
        return;
    }
    if (!pipe->spare) {
        pipe->spare = page;
        return;
    }
    page_free(page->data);
    kfree(page);
}

int pipe_page_open(struct pipe_page *page)
{
    uint8_t *data;

    if (page->data)
        return 0;
    data = page_alloc();
    if (!data)
        return -ENOMEM;
    sealed_open(&page->sealed, data);
    frame_drop(page->sealed.frame);
    page->data = data;
    return 0;
}

/* The next page of a write, if that comes sealed: no copy is made. *ret_page is NULL if it does not. 0 or -ENOMEM. */
static int take_sealed(struct iov_iter *from, struct pipe_page **ret_page)
{
    struct sealed_page sealed;

    *ret_page = NULL;
    if (!iov_iter_take_sealed(from, &sealed))
        return 0;
    *ret_page = kmalloc(sizeof **ret_page);
    if (!*ret_page) {
        frame_drop(sealed.frame);
        return -ENOMEM;
    }
    **ret_page = (struct pipe_page){.refcount = 1, .sealed = sealed};
    return 0;
}

/* A whole page that only this pipe has, to a reader in another enclave. */
static bool give_sealed(const struct pipe_buffer *buffer, struct iov_iter *to)
{
    struct pipe_page *page = buffer->page;

    if (page->data || page->refcount > 1 || buffer->size < PAGE_SIZE || to->count < PAGE_SIZE ||
        !iov_iter_give_sealed(to, &page->sealed))
        return false;
    page->sealed.frame = 0;
    return true;
}

void pipe_drop_tail(struct pipe *pipe)
{
    struct pipe_buffer *buffer = pipe_buffer_at(pipe, pipe->tail++);

    pipe_page_put(pipe, buffer->page);
    buffer->page = NULL;
}

void pipe_push(struct pipe *pipe, struct pipe_page *page, uint32_t offset, uint32_t size, bool can_merge, bool packet)
{
    *pipe_buffer_at(pipe, pipe->head++) = (struct pipe_buffer){page, offset, size, can_merge, packet};
}

void pipe_wake_readers(struct pipe *pipe)
{
    wake_up(&pipe->read_wait, EPOLLIN | EPOLLRDNORM);
}

void pipe_wake_writers(struct pipe *pipe)
{
    wake_up(&pipe->write_wait, EPOLLOUT | EPOLLWRNORM);
}

void sigpipe_send(void)
{
    const struct process *process = process_self();
    struct signal_source source = {
        .signal = SIGPIPE, .code = SI_USER, .pid = process->pid, .uid = process->credentials.uid};

    signal_send_task(task_current(), &source);
}

int pipe_wait_readable(struct pipe *pipe, bool nonblock)
{
    int r;

    if (pipe->broken)
        return -EIO;
    if (!pipe_empty(pipe))
        return 1;
    if (!pipe->writers)
        return 0;
    if (nonblock)
        return -EAGAIN;
    r = wait_event(&pipe->read_wait, !pipe_empty(pipe) || !pipe->writers || pipe->loan || pipe->broken);
    if (r == 0 && pipe->loan)
        return -ERECALLED;
    if (r == 0 && pipe->broken)
        return -EIO;
    return r < 0 ? r : !pipe_empty(pipe);
}

int pipe_wait_writable(struct pipe *pipe, bool nonblock)
{
    int r = 0;

    if (pipe->readers && pipe_full(pipe)) {
        if (nonblock)
            return -EAGAIN;
        r = wait_event(&pipe->write_wait, !pipe_full(pipe) || !pipe->readers);
    }
    if (r == 0 && !pipe->readers) {
        sigpipe_send();
        r = -EPIPE;
    }
    return r;
}

/* ---- reading and writing ---- */

/* Take what there is. Bytes, or -EFAULT or -ENOMEM if not one could be delivered. */
static ssize_t read_buffers(struct pipe *pipe, struct iov_iter *to)
{
    ssize_t done = 0;

    while (!pipe_empty(pipe) && to->count) {
        struct pipe_buffer *buffer = pipe_buffer_at(pipe, pipe->tail);
        uint32_t wanted = (uint32_t)MIN((size_t)buffer->size, to->count);
        size_t got = PAGE_SIZE;
        bool packet = buffer->packet;

        if (!give_sealed(buffer, to)) {
            int r = pipe_page_open(buffer->page);

            if (r < 0)
                return done ? done : r;
            got = copy_to_iter(to, buffer->page->data + buffer->offset, wanted);
        }

        buffer->offset += (uint32_t)got;
        buffer->size -= (uint32_t)got;
        done += (ssize_t)got;
        if (got < wanted)
            return done ? done : -EFAULT;
        if (packet || buffer->size == 0)
            pipe_drop_tail(pipe);
        if (packet)
            break;
    }
    return done;
}

static ssize_t pipe_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct pipe *pipe = file->inode->pipe;
    bool was_full, sealed;
    ssize_t done;
    int r;

    if (to->count == 0)
        return 0;
    pipe_settle(pipe);
    pipe->reading++;
    r = pipe_wait_readable(pipe, file->flags & O_NONBLOCK);
    pipe->reading--;
    if (r <= 0)
        return r;
    was_full = pipe_full(pipe);
    /* Opening pages takes about as long as sealing the next ones does where they come from. */
    sealed = !pipe_buffer_at(pipe, pipe->tail)->page->data;
    if (sealed)
        remote_busy_begin();
    done = read_buffers(pipe, to);
    if (sealed)
        remote_linger_end();
    if (was_full && !pipe_full(pipe))
        pipe_wake_writers(pipe);
    return done;
}

/* The odd bytes of a write go to the last buffer if they fit there whole. */
static ssize_t write_merge(struct pipe *pipe, struct iov_iter *from)
{
    size_t odd = from->count & (PAGE_SIZE - 1), got;
    struct pipe_buffer *buffer;

    if (!odd || pipe_empty(pipe))
        return 0;
    buffer = pipe_buffer_at(pipe, pipe->head - 1);
    if (!buffer->can_merge || buffer->page->refcount > 1 || buffer->offset + buffer->size + odd > PAGE_SIZE)
        return 0;
    got = copy_from_iter(from, buffer->page->data + buffer->offset + buffer->size, odd);
    buffer->size += (uint32_t)got;
    return got < odd && !got ? -EFAULT : (ssize_t)got;
}

static ssize_t write_buffer(struct pipe *pipe, struct iov_iter *from, bool packet)
{
    size_t wanted = MIN(from->count, PAGE_SIZE), got;
    struct pipe_page *page;
    int r = take_sealed(from, &page);

    if (r < 0)
        return r;
    if (page) {
        pipe_push(pipe, page, 0, PAGE_SIZE, false, packet);
        return PAGE_SIZE;
    }
    page = pipe_page_new(pipe);
    if (!page)
        return -ENOMEM;
    got = copy_from_iter(from, page->data, wanted);
    if (got == 0) {
        pipe_page_put(pipe, page);
        return -EFAULT;
    }
    pipe_push(pipe, page, 0, (uint32_t)got, !packet, packet);
    return (ssize_t)got;
}

static ssize_t pipe_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    struct pipe *pipe = file->inode->pipe;
    bool packet = file->flags & O_DIRECT, woke = false;
    ssize_t done = 0, got = 0;

    pipe_settle(pipe);
    if (!pipe->readers) {
        sigpipe_send();
        return -EPIPE;
    }
    if (from->count && !packet) {
        got = write_merge(pipe, from);
        if (got < 0)
            return got;
        done = got;
    }
    while (from->count) {
        if (pipe_full(pipe) && !woke) {
            pipe_wake_readers(pipe);
            woke = true;
        }
        got = pipe_wait_writable(pipe, file->flags & O_NONBLOCK);
        if (got == 0) {
            got = write_buffer(pipe, from, packet);
            woke = false;
        }
        if (got < 0)
            break;
        done += got;
    }
    if (done > 0)
        pipe_wake_readers(pipe);
    return done ? done : got;
}

static uint32_t pipe_poll(struct file *file, struct poll_table *table)
{
    struct pipe *pipe = file->inode->pipe;
    uint32_t events = 0;

    if (!table)
        pipe_settle(pipe);
    if (file_readable(file))
        poll_wait(table, file, &pipe->read_wait);
    if (file_writable(file))
        poll_wait(table, file, &pipe->write_wait);
    if (pipe->loan) { /* whoever polls hears of it when it is here again */
        pipe->loan->recall(pipe->loan);
        return 0;
    }
    if (file_readable(file)) {
        if (!pipe_empty(pipe) || pipe->broken)
            events |= EPOLLIN | EPOLLRDNORM;
        /* private: how many writers a FIFO had seen when it was opened without one. */
        if (!pipe->writers && (unsigned)(uint64_t)file->private != pipe->opened_for_writing)
            events |= EPOLLHUP;
    }
    if (file_writable(file)) {
        if (!pipe_full(pipe))
            events |= EPOLLOUT | EPOLLWRNORM;
        if (!pipe->readers)
            events |= EPOLLERR;
    }
    return events;
}

static int64_t pipe_ioctl(struct file *file, unsigned command, uint64_t arg)
{
    struct pipe *pipe = file->inode->pipe;
    uint32_t bytes = 0;

    if (command != FIONREAD)
        return -ENOTTY;
    pipe_settle(pipe);
    for (uint32_t i = pipe->tail; i != pipe->head; i++)
        bytes += pipe_buffer_at(pipe, i)->size;
    return put_user32(arg, bytes);
}

static void wake_everybody(struct pipe *pipe)
{
    wake_up_all(&pipe->read_wait, EPOLLIN | EPOLLRDNORM | EPOLLERR | EPOLLHUP);
    wake_up_all(&pipe->write_wait, EPOLLOUT | EPOLLWRNORM | EPOLLERR | EPOLLHUP);
}

/* False: that was the last reference, and it is gone. */
static bool pipe_put(struct inode *inode)
{
    struct pipe *pipe = inode->pipe;

    if (--pipe->file_count > 0)
        return true;
    inode->pipe = NULL;
    pipe_free(pipe);
    return false;
}

static void pipe_release(struct file *file)
{
    struct pipe *pipe = file->inode->pipe;

    if (file_readable(file))
        pipe->readers--;
    if (file_writable(file))
        pipe->writers--;
    if (pipe_put(file->inode) && (!pipe->readers || !pipe->writers))
        wake_everybody(pipe);
}

/* ---- while it is lent ---- */

void pipe_settle(struct pipe *pipe)
{
    struct wait_entry entry;

    if (likely(!pipe->loan))
        return;
    pipe->loan->recall(pipe->loan);
    wait_entry_init(&entry, NULL);
    wait_queue_add(&pipe->write_wait, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (!pipe->loan)
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
}

static void pipe_file_settle(struct file *file)
{
    pipe_settle(file->inode->pipe);
}

/* A descriptor goes: the enclave that has the pipe must not take the next one there for it. */
static void pipe_flush(struct file *file, const struct fd_table *table)
{
    struct pipe *pipe = file->inode->pipe;

    if (pipe->loan)
        pipe->loan->recall(pipe->loan);
}

bool pipe_lendable(const struct file *writer, const struct file *reader)
{
    const struct pipe *pipe = writer->inode->pipe;

    if (writer->ops != &pipe_file_ops || reader->ops != &pipe_file_ops || reader->inode != writer->inode ||
        !file_writable(writer) || !file_readable(reader) ||
        ((writer->flags | reader->flags) & (O_NONBLOCK | O_DIRECT)) || writer->epoll_watchers || reader->epoll_watchers)
        return false;
    if (pipe->loan || pipe->broken || pipe->readers != 1 || pipe->writers != 1 || pipe->file_count != 2 ||
        pipe->ring_size != PIPE_BUFFERS || wait_queue_active(&pipe->write_wait))
        return false;
    for (uint32_t i = pipe->tail; i != pipe->head; i++)
        if (pipe_buffer_at(pipe, i)->packet)
            return false;
    return writer->refcount == 2 && reader->refcount == 2 + pipe->reading;
}

int pipe_lend(struct pipe *pipe, struct inode *inode, struct pipe_loan *loan, uint8_t *dst, size_t *ret_size)
{
    size_t size = 0;

    for (uint32_t i = pipe->tail; i != pipe->head; i++)
        if (pipe_page_open(pipe_buffer_at(pipe, i)->page) < 0)
            return -ENOMEM;
    while (!pipe_empty(pipe)) {
        const struct pipe_buffer *buffer = pipe_buffer_at(pipe, pipe->tail);

        memcpy(dst + size, buffer->page->data + buffer->offset, buffer->size);
        size += buffer->size;
        pipe_drop_tail(pipe);
    }
    *ret_size = size;
    pipe->loan = loan;
    pipe->file_count++;
    inode_get(inode);
    wake_up_all(&pipe->read_wait, 0); /* who waits there goes on waiting in the other enclave */
    return 0;
}

int pipe_put_back(struct pipe *pipe, const uint8_t *src, size_t size)
{
    for (size_t n; size > 0; src += n, size -= n) {
        struct pipe_page *page = pipe_full(pipe) ? NULL : pipe_page_new(pipe);

        if (!page)
            return -ENOMEM;
        n = MIN(size, PAGE_SIZE);
        memcpy(page->data, src, n);
        pipe_push(pipe, page, 0, (uint32_t)n, true, false);
    }
    return 0;
}

void pipe_loan_end(struct inode *inode, bool broken)
{
    struct pipe *pipe = inode->pipe;

    pipe->loan = NULL;
    pipe->recalls++;
    pipe->broken |= broken;
    if (pipe_put(inode))
        wake_everybody(pipe);
    inode_put(inode);
}

/* ---- size ---- */

int64_t pipe_get_size(struct file *file)
{
    const struct pipe *pipe = pipe_of(file);

    return pipe ? (int64_t)(pipe->ring_size * PAGE_SIZE) : -EBADF;
}

int64_t pipe_set_size(struct file *file, uint64_t size)
{
    struct pipe *pipe = pipe_of(file);
    struct pipe_buffer *buffers;
    uint32_t count = 1, used;

    if (!pipe)
        return -EBADF;
    pipe_settle(pipe);
    if (size > 1UL << 31)
        return -EINVAL;
    while (count * PAGE_SIZE < size)
        count *= 2;
    if (count * PAGE_SIZE > PIPE_SIZE_MAX && count > pipe->ring_size && !process_capable(CAP_SYS_RESOURCE))
        return -EPERM;
    used = pipe->head - pipe->tail;
    if (count < used)
        return -EBUSY;
    buffers = kzalloc(count * sizeof *buffers);
    if (!buffers)
        return -ENOMEM;
    for (uint32_t i = 0; i < used; i++)
        buffers[i] = *pipe_buffer_at(pipe, pipe->tail + i);
    kfree(pipe->buffers);
    pipe->buffers = buffers;
    pipe->ring_size = count;
    pipe->tail = 0;
    pipe->head = used;
    pipe_wake_writers(pipe);
    return (int64_t)(count * PAGE_SIZE);
}

/* ---- making them ---- */

const struct file_ops pipe_file_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .flush = pipe_flush,
    .release = pipe_release,
    .settle = pipe_file_settle,
};

/* Both ends, or -errno. */
int pipe_files_new(unsigned flags, struct file *ret_files[2])
{
    struct pipe *pipe = pipe_new();
    struct file *reader, *writer;

    if (!pipe)
        return -ENOMEM;
    pipe->nameless = true;
    /* An end without a watched past always sees the hang-up: opened_for_writing is 1, private 0. */
    reader = file_new_anon("pipe", &pipe_file_ops, NULL, O_RDONLY | flags);
    if (!reader) {
        pipe_free(pipe);
        return -ENOMEM;
    }
    reader->inode->mode = S_IFIFO | 0600;
    reader->inode->pipe = pipe;
    reader->inode->file_ops = &fifo_file_ops; /* opened again through /proc/self/fd */
    pipe->readers = pipe->writers = pipe->opened_for_reading = pipe->opened_for_writing = 1;
    pipe->file_count = 2;
    writer = file_new_inode(reader->inode, &pipe_file_ops, NULL, O_WRONLY | flags);
    if (!writer) {
        pipe->writers = 0;
        pipe->file_count = 1;
        file_put(reader);
        return -ENOMEM;
    }
    ret_files[0] = reader;
    ret_files[1] = writer;
    return 0;
}

static int64_t pipe_make(uaddr_t fds_addr, unsigned flags)
{
    struct file *files[2];
    int32_t fds[2];
    int r;

    if (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    r = pipe_files_new(flags & (O_NONBLOCK | O_DIRECT), files);
    if (r < 0)
        return r;
    fds[0] = fd_install(files[0], 0, flags & O_CLOEXEC);
    if (fds[0] < 0) {
        file_put(files[0]);
        file_put(files[1]);
        return fds[0];
    }
    fds[1] = fd_install(files[1], 0, flags & O_CLOEXEC);
    if (fds[1] < 0) {
        fd_close(fds[0]);
        file_put(files[1]);
        return fds[1];
    }
    if (copy_to_user(fds_addr, fds, sizeof fds) < 0) {
        fd_close(fds[0]);
        fd_close(fds[1]);
        return -EFAULT;
    }
    return 0;
}

SYSCALL_DEFINE1(pipe, uaddr_t, fds)
{
    return pipe_make(fds, 0);
}

SYSCALL_DEFINE2(pipe2, uaddr_t, fds, unsigned, flags)
{
    return pipe_make(fds, flags);
}

/* ---- FIFOs ---- */

static int fifo_wait_reader(struct pipe *pipe)
{
    unsigned seen = pipe->opened_for_reading;

    return pipe->readers ? 0 : wait_event(&pipe->write_wait, pipe->opened_for_reading != seen);
}

static int fifo_wait_writer(struct pipe *pipe)
{
    unsigned seen = pipe->opened_for_writing;

    return pipe->writers ? 0 : wait_event(&pipe->read_wait, pipe->opened_for_writing != seen);
}

static int fifo_open(struct inode *inode, struct file *file)
{
    struct pipe *pipe = inode->pipe;
    bool nonblock = file->flags & O_NONBLOCK, reads = file_readable(file), writes = file_writable(file);
    int r = console_reopen(inode, file);

    if (r != -ENOENT)
        return r;
    r = 0;
    if (!pipe) {
        pipe = inode->pipe = pipe_new();
        if (!pipe)
            return -ENOMEM;
    }
    if (writes && !reads && nonblock && !pipe->readers && !pipe->nameless) {
        if (pipe->file_count == 0) {
            inode->pipe = NULL;
            pipe_free(pipe);
        }
        return -ENXIO;
    }
    pipe->file_count++;
    if (reads) {
        pipe->opened_for_reading++;
        if (pipe->readers++ == 0)
            wake_up_all(&pipe->write_wait, 0);
    }
    if (writes) {
        pipe->opened_for_writing++;
        if (pipe->writers++ == 0)
            wake_up_all(&pipe->read_wait, 0);
    }
    if (reads && !writes) {
        if (nonblock && !pipe->writers)
            file->private = (void *)(uint64_t)pipe->opened_for_writing;
        else if (!pipe->nameless)
            r = fifo_wait_writer(pipe);
    } else if (writes && !reads && !nonblock && !pipe->nameless) {
        r = fifo_wait_reader(pipe);
    }
    if (r < 0)
        pipe_release(file);
    return r;
}

const struct file_ops fifo_file_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .open = fifo_open,
    .release = pipe_release,
    .settle = pipe_file_settle,
};

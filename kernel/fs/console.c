/* The console without a terminal: three one-way byte streams that behave as pipes do. */
#include "kernel/fs/console.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>

#include "abi/ring.h"
#include "kernel/fs/poll.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/net.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/sched/task.h"

#define MODE_FIFO 0010600

static unsigned channel_of(const struct file *file)
{
    return (unsigned)(uint64_t)file->private;
}

static ssize_t console_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    (void)pos;
    unsigned channel = channel_of(file);
    uint8_t *page = page_alloc();
    if (!page)
        return -ENOMEM;
    size_t size = MIN(to->count, PAGE_SIZE);
    ssize_t n;
    while ((n = channel_read(channel, page, size)) == -EAGAIN && !(file->flags & O_NONBLOCK)) {
        int r = wait_event(channel_wait_queue(channel), channel_poll(channel) & (EPOLLIN | EPOLLHUP | EPOLLERR));
        if (r < 0) {
            n = r;
            break;
        }
    }
    if (n > 0) {
        size_t moved = copy_to_iter(to, page, (size_t)n);
        n = moved ? (ssize_t)moved : -EFAULT;
    }
    page_free(page);
    return n;
}

/* All of buf, waiting for room: bytes written, or the error if none were. */
static ssize_t write_all(struct file *file, const uint8_t *buf, size_t size)
{
    unsigned channel = channel_of(file);
    size_t done = 0;
    while (done < size) {
        ssize_t n = channel_write(channel, buf + done, size - done);
        if (n == -EAGAIN && !(file->flags & O_NONBLOCK))
            n = wait_event(channel_wait_queue(channel), channel_poll(channel) & (EPOLLOUT | EPOLLHUP | EPOLLERR));
        if (n < 0)
            return done ? (ssize_t)done : n;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static ssize_t console_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    (void)pos;
    uint8_t *page = page_alloc();
    if (!page)
        return -ENOMEM;
    ssize_t total = 0, n = 0;
    while (from->count > 0) {
        size_t size = copy_from_iter(from, page, MIN(from->count, PAGE_SIZE));
        if (size == 0) {
            n = -EFAULT;
            break;
        }
        n = write_all(file, page, size);
        if (n < 0)
            break;
        total += n;
        if ((size_t)n < size)
            break;
    }
    page_free(page);
    if (n == -EPIPE) {
        struct signal_source source = {.signal = SIGPIPE, .code = SI_USER, .pid = process_self()->pid};
        signal_send_task(task_current(), &source);
    }
    return total ? total : n;
}

static uint32_t console_poll(struct file *file, struct poll_table *table)
{
    unsigned channel = channel_of(file);
    poll_wait(table, file, channel_wait_queue(channel));
    uint32_t events = channel_poll(channel);
    return channel == CHANNEL_STDIN ? events & ~(uint32_t)(EPOLLOUT | EPOLLWRNORM)
                                    : events & ~(uint32_t)(EPOLLIN | EPOLLRDNORM);
}

static const struct file_ops console_ops = {
    .read = console_read,
    .write = console_write,
    .poll = console_poll,
};

struct file *console_open(unsigned channel)
{
    unsigned access = channel == CHANNEL_STDIN ? O_RDONLY : O_WRONLY;
    struct file *file = file_new_anon("pipe:[console]", &console_ops, (void *)(uint64_t)channel, access);
    if (file)
        file->inode->mode = MODE_FIFO;
    return file;
}

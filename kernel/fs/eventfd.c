/* eventfd: a counter with a descriptor. */
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/syscalls/syscall.h"

#define EFD_SEMAPHORE 1
#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
    uint64_t count;
    bool semaphore;
    struct wait_queue wait;
};

static ssize_t eventfd_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct eventfd *e = file->private;
    if (to->count < sizeof e->count)
        return -EINVAL;
    if (e->count == 0) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int r = wait_event(&e->wait, e->count > 0);
        if (r < 0)
            return r;
    }
    uint64_t value = e->semaphore ? 1 : e->count;
    e->count -= value;
    wake_up_all(&e->wait, EPOLLOUT);
    return copy_to_iter(to, &value, sizeof value) == sizeof value ? (ssize_t)sizeof value : -EFAULT;
}

static ssize_t eventfd_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    struct eventfd *e = file->private;
    uint64_t value;
    if (from->count < sizeof value)
        return -EINVAL;
    if (copy_from_iter(from, &value, sizeof value) != sizeof value)
        return -EFAULT;
    if (value == UINT64_MAX)
        return -EINVAL;
    if (value > COUNT_MAX - e->count) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int r = wait_event(&e->wait, value <= COUNT_MAX - e->count);
        if (r < 0)
            return r;
    }
    e->count += value;
    /* A write of 0 still wakes, as on Linux: edge-triggered watchers count on it. */
    wake_up_all(&e->wait, EPOLLIN);
    return sizeof value;
}

static uint32_t eventfd_poll(struct file *file, struct poll_table *table)
{
    struct eventfd *e = file->private;
    poll_wait(table, file, &e->wait);
    uint32_t events = 0;
    if (e->count > 0)
        events |= EPOLLIN;
    if (e->count == UINT64_MAX)
        events |= EPOLLERR;
    if (e->count < COUNT_MAX)
        events |= EPOLLOUT;
    return events;
}

static void eventfd_release(struct file *file)
{
    kfree(file->private);
}

static void eventfd_show(struct file *file, char *buf, size_t size)
{
    const struct eventfd *e = file->private;
    snprintf(buf, size, "eventfd-count: %16lx\n", e->count);
}

static const struct file_ops eventfd_ops = {
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .release = eventfd_release,
    .show_fdinfo = eventfd_show,
};

static int64_t eventfd_create(unsigned count, int flags)
{
    if (flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    struct eventfd *e = kzalloc(sizeof *e);
    if (!e)
        return -ENOMEM;
    e->count = count;
    e->semaphore = flags & EFD_SEMAPHORE;
    wait_queue_init(&e->wait);
    struct file *file = file_new_anon("anon_inode:[eventfd]", &eventfd_ops, e, O_RDWR | ((unsigned)flags & O_NONBLOCK));
    if (!file) {
        kfree(e);
        return -ENOMEM;
    }
    int fd = fd_install(file, 0, flags & O_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

SYSCALL_DEFINE2(eventfd2, unsigned, count, int, flags)
{
    return eventfd_create(count, flags);
}

SYSCALL_DEFINE1(eventfd, unsigned, count)
{
    return eventfd_create(count, 0);
}

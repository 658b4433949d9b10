/* timerfd: timers with a descriptor. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/time.h>
#include <linux/timerfd.h>

#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/process.h"
#include "kernel/syscalls/syscall.h"

#ifndef TFD_TIMER_ABSTIME
#define TFD_TIMER_ABSTIME 1
#endif
#ifndef TFD_TIMER_CANCEL_ON_SET
#define TFD_TIMER_CANCEL_ON_SET 2
#endif

struct timerfd {
    struct timer timer;
    int clock;
    int settime_flags;
    uint64_t expires; /* on its clock; 0 = disarmed */
    uint64_t interval;
    uint64_t ticks; /* expirations not yet read */
    struct wait_queue wait;
};

static uint64_t now_of(const struct timerfd *t)
{
    uint64_t ns;
    return clock_read(t->clock, &ns) < 0 ? 0 : ns;
}

static void timerfd_arm(struct timerfd *t)
{
    timer_arm(&t->timer, clock_deadline_at(t->clock, t->expires));
}

/* Count what has expired up to now; a periodic timer is then armed for its next time. */
static void timerfd_advance(struct timerfd *t)
{
    uint64_t now = now_of(t);
    if (t->expires == 0 || now < t->expires)
        return;
    if (t->interval == 0) {
        t->ticks++;
        t->expires = 0;
        return;
    }
    uint64_t periods = (now - t->expires) / t->interval + 1;
    t->ticks += periods;
    t->expires += periods * t->interval;
}

static void timerfd_fire(struct timer *timer)
{
    struct timerfd *t = container_of(timer, struct timerfd, timer);
    timerfd_advance(t);
    /* Periods that nobody reads need no wake-ups: the count is brought up to date when it is looked at. */
    if (t->expires && t->ticks == 0)
        timerfd_arm(t);
    if (t->ticks)
        wake_up_all(&t->wait, EPOLLIN);
}

static ssize_t timerfd_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct timerfd *t = file->private;
    if (to->count < sizeof t->ticks)
        return -EINVAL;
    timerfd_advance(t);
    if (t->ticks == 0) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int r = wait_event(&t->wait, t->ticks > 0);
        if (r < 0)
            return r;
        timerfd_advance(t);
    }
    uint64_t ticks = t->ticks;
    t->ticks = 0;
    if (t->expires)
        timerfd_arm(t);
    return copy_to_iter(to, &ticks, sizeof ticks) == sizeof ticks ? (ssize_t)sizeof ticks : -EFAULT;
}

static uint32_t timerfd_poll(struct file *file, struct poll_table *table)
{
    struct timerfd *t = file->private;
    poll_wait(table, file, &t->wait);
    return t->ticks ? EPOLLIN : 0;
}

static void timerfd_release(struct file *file)
{
    struct timerfd *t = file->private;
    timer_cancel(&t->timer);
    kfree(t);
}

static void timerfd_value(const struct timerfd *t, struct __kernel_itimerspec *ret)
{
    uint64_t now = now_of(t);
    uint64_t left = t->expires == 0 ? 0 : t->expires > now ? t->expires - now : 1;
    ret->it_value = timespec_of_ns(left);
    ret->it_interval = timespec_of_ns(t->interval);
}

static void timerfd_show(struct file *file, char *buf, size_t size)
{
    const struct timerfd *t = file->private;
    struct __kernel_itimerspec value;
    timerfd_value(t, &value);
    snprintf(buf, size,
             "clockid: %d\nticks: %lu\nsettime flags: 0%o\nit_value: (%lld, %lld)\nit_interval: (%lld, %lld)\n",
             t->clock, t->ticks, t->settime_flags, value.it_value.tv_sec, value.it_value.tv_nsec,
             value.it_interval.tv_sec, value.it_interval.tv_nsec);
}

static const struct file_ops timerfd_ops = {
    .read = timerfd_read,
    .poll = timerfd_poll,
    .release = timerfd_release,
    .show_fdinfo = timerfd_show,
};

SYSCALL_DEFINE2(timerfd_create, int, clock, int, flags)
{
    bool alarm = clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM;
    if (flags & ~(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME && clock != CLOCK_BOOTTIME && !alarm)
        return -EINVAL;
    if (alarm && !process_capable(CAP_WAKE_ALARM))
        return -EPERM;
    struct timerfd *t = kzalloc(sizeof *t);
    if (!t)
        return -ENOMEM;
    t->clock = clock;
    timer_init(&t->timer, timerfd_fire);
    wait_queue_init(&t->wait);
    struct file *file = file_new_anon("anon_inode:[timerfd]", &timerfd_ops, t, O_RDWR | ((unsigned)flags & O_NONBLOCK));
    if (!file) {
        kfree(t);
        return -ENOMEM;
    }
    int fd = fd_install(file, 0, flags & O_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

/* The timer behind fd, with a reference to its file. */
static int timerfd_get(int fd, struct file **ret_file)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    if (file->ops != &timerfd_ops) {
        file_put(file);
        return -EINVAL;
    }
    *ret_file = file;
    return 0;
}

SYSCALL_DEFINE4(timerfd_settime, int, fd, int, flags, uaddr_t, user_new, uaddr_t, user_old)
{
    struct __kernel_itimerspec new, old;
    struct file *file;
    uint64_t value, interval;
    if (copy_from_user(&new, user_new, sizeof new) < 0)
        return -EFAULT;
    if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) || timespec_to_ns(&value, &new.it_value) < 0 ||
        timespec_to_ns(&interval, &new.it_interval) < 0)
        return -EINVAL;
    int r = timerfd_get(fd, &file);
    if (r < 0)
        return r;
    struct timerfd *t = file->private;
    timerfd_advance(t);
    timerfd_value(t, &old);
    timer_cancel(&t->timer);
    t->settime_flags = flags;
    t->ticks = 0;
    t->interval = interval;
    t->expires = 0;
    if (value) {
        uint64_t now = now_of(t);
        t->expires = flags & TFD_TIMER_ABSTIME ? value : now + MIN(value, NS_MAX - now);
        timerfd_arm(t);
        if (t->expires <= now) {
            timer_cancel(&t->timer);
            timerfd_fire(&t->timer);
        }
    }
    file_put(file);
    return user_old ? copy_to_user(user_old, &old, sizeof old) : 0;
}

SYSCALL_DEFINE2(timerfd_gettime, int, fd, uaddr_t, user_value)
{
    struct __kernel_itimerspec value;
    struct file *file;
    int r = timerfd_get(fd, &file);
    if (r < 0)
        return r;
    struct timerfd *t = file->private;
    timerfd_advance(t);
    timerfd_value(t, &value);
    file_put(file);
    return copy_to_user(user_value, &value, sizeof value);
}

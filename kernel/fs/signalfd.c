/* signalfd: pending signals read from a descriptor. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>
#include <linux/signalfd.h>

#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/process.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/signal.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

struct signalfd {
    sigset64_t set;
};

static void info_fill(struct signalfd_siginfo *info, const struct signal_source *s)
{
    memset(info, 0, sizeof *info);
    info->ssi_signo = (uint32_t)s->signal;
    info->ssi_errno = s->error;
    info->ssi_code = s->code;
    bool own_code = s->code > SI_USER && s->code < SI_KERNEL;
    if (own_code && s->signal == SIGCHLD) {
        info->ssi_pid = (uint32_t)s->pid;
        info->ssi_uid = s->uid;
        info->ssi_status = s->status;
        info->ssi_utime = s->utime / 10000000;
        info->ssi_stime = s->stime / 10000000;
    } else if (own_code && s->signal == SIGIO) {
        info->ssi_band = (uint32_t)s->pid;
        info->ssi_fd = (int32_t)s->value;
    } else if (own_code) {
        info->ssi_addr = s->value;
    } else if (s->code == SI_TIMER) {
        info->ssi_tid = (uint32_t)s->pid;
        info->ssi_overrun = s->uid;
        info->ssi_ptr = s->value;
        info->ssi_int = (int32_t)s->value;
    } else {
        info->ssi_pid = (uint32_t)s->pid;
        info->ssi_uid = s->uid;
        info->ssi_ptr = s->value;
        info->ssi_int = (int32_t)s->value;
    }
}

static bool has_pending(const struct signalfd *s)
{
    const struct task *task = task_current();
    return ((task->signals.pending.set | task->process->pending.set) & s->set) != 0;
}

static int dequeue(const struct signalfd *s, struct signal_source *ret_source)
{
    struct task *task = task_current();
    if (!task->agent)
        return signal_dequeue(task, s->set, ret_source);
    return has_pending(s) ? remote_ops->signal_take(task->process, task->tid, s->set, ret_source) : 0;
}

static ssize_t signalfd_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    const struct signalfd *s = file->private;
    struct signalfd_siginfo info;
    ssize_t total = 0;
    if (to->count < sizeof info)
        return -EINVAL;
    while (to->count >= sizeof info) {
        struct signal_source source;
        if (dequeue(s, &source) == 0) {
            if (total)
                break;
            if (file->flags & O_NONBLOCK)
                return -EAGAIN;
            int r = wait_event(signal_wait_queue(), has_pending(s));
            if (r < 0)
                return r;
            continue;
        }
        info_fill(&info, &source);
        if (copy_to_iter(to, &info, sizeof info) != sizeof info)
            return total ? total : -EFAULT;
        total += sizeof info;
    }
    return total;
}

static uint32_t signalfd_poll(struct file *file, struct poll_table *table)
{
    poll_wait(table, file, signal_wait_queue());
    return has_pending(file->private) ? EPOLLIN : 0;
}

static void signalfd_release(struct file *file)
{
    kfree(file->private);
}

static void signalfd_show(struct file *file, char *buf, size_t size)
{
    const struct signalfd *s = file->private;
    snprintf(buf, size, "sigmask:\t%016lx\n", s->set);
}

static const struct file_ops signalfd_ops = {
    .read = signalfd_read,
    .poll = signalfd_poll,
    .release = signalfd_release,
    .show_fdinfo = signalfd_show,
};

static int64_t signalfd_new(sigset64_t set, int flags)
{
    struct signalfd *s = kzalloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    s->set = set;
    struct file *file =
        file_new_anon("anon_inode:[signalfd]", &signalfd_ops, s, O_RDWR | ((unsigned)flags & O_NONBLOCK));
    if (!file) {
        kfree(s);
        return -ENOMEM;
    }
    int fd = fd_install(file, 0, flags & O_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

static int64_t signalfd_common(int fd, uaddr_t user_set, size_t size, int flags)
{
    sigset64_t set;
    if (flags & ~(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    int r = sigset_from_user(&set, user_set, size);
    if (r < 0)
        return r;
    if (fd == -1)
        return signalfd_new(set, flags);
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    if (file->ops == &signalfd_ops) {
        ((struct signalfd *)file->private)->set = set;
        wake_up_all(signal_wait_queue(), EPOLLIN);
        r = fd;
    } else {
        r = -EINVAL;
    }
    file_put(file);
    return r;
}

SYSCALL_DEFINE4(signalfd4, int, fd, uaddr_t, user_set, size_t, size, int, flags)
{
    return signalfd_common(fd, user_set, size, flags);
}

SYSCALL_DEFINE3(signalfd, int, fd, uaddr_t, user_set, size_t, size)
{
    return signalfd_common(fd, user_set, size, 0);
}

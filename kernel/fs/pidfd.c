/* pidfd: a descriptor for a process. There is one process, which lives as long as any descriptor. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>

#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/process.h"
#include "kernel/process/siginfo.h"
#include "kernel/syscalls/syscall.h"

/* Readable once the process has ended. */
static uint32_t pidfd_poll(struct file *file, struct poll_table *table)
{
    poll_wait(table, file, &process_self()->child_wait);
    return 0;
}

static void pidfd_show(struct file *file, char *buf, size_t size)
{
    snprintf(buf, size, "Pid:\t%d\nNSpid:\t%d\n", process_self()->pid, process_self()->pid);
}

static const struct file_ops pidfd_ops = {.poll = pidfd_poll, .show_fdinfo = pidfd_show};

SYSCALL_DEFINE2(pidfd_open, int, pid, unsigned, flags)
{
    if ((flags & ~(unsigned)O_NONBLOCK) || pid <= 0)
        return -EINVAL;
    if (pid != process_self()->pid)
        return thread_find(pid) ? -EINVAL : -ESRCH; /* threads other than the first have none */
    struct file *file = file_new_anon("anon_inode:[pidfd]", &pidfd_ops, NULL, O_RDWR | flags);
    if (!file)
        return -ENOMEM;
    int fd = fd_install(file, 0, true);
    if (fd < 0)
        file_put(file);
    return fd;
}

/* A descriptor of /proc/PID serves as well. */
static bool is_proc_directory(const struct file *file)
{
    uint64_t pid;
    if (!file->dentry || strcmp(dentry_super(file->dentry)->type, "proc") != 0)
        return false;
    return dentry_parent_inode(file->dentry) == dentry_super(file->dentry)->root &&
           string_to_u64(dentry_name(file->dentry), INT32_MAX, &pid) && (int)pid == process_self()->pid;
}

static int pidfd_check(int fd)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    int r = file->ops == &pidfd_ops || is_proc_directory(file) ? 0 : -EBADF;
    file_put(file);
    return r;
}

SYSCALL_DEFINE4(pidfd_send_signal, int, fd, int, signal, uaddr_t, user_info, unsigned, flags)
{
    if (flags)
        return -EINVAL;
    int r = pidfd_check(fd);
    if (r < 0)
        return r;
    if (signal < 0 || signal > SIGNAL_MAX)
        return -EINVAL;
    struct process *process = process_self();
    struct signal_source source = {
        .signal = signal, .code = SI_USER, .pid = process->pid, .uid = process->credentials.uid};
    if (user_info) {
        siginfo_t info;
        if (copy_from_user(&info, user_info, sizeof info) < 0)
            return -EFAULT;
        if (info.si_signo != signal)
            return -EINVAL;
        siginfo_parse(&source, &info);
        if (source.code == SI_TIMER)
            source.code = SI_QUEUE;
    }
    return signal == 0 ? 0 : signal_send_process(process, &source);
}

/* One's own descriptor again, as dup would give it. */
SYSCALL_DEFINE3(pidfd_getfd, int, fd, int, target, unsigned, flags)
{
    if (flags)
        return -EINVAL;
    int r = pidfd_check(fd);
    if (r < 0)
        return r;
    struct file *file = fd_get(target);
    if (!file)
        return -EBADF;
    int new_fd = fd_install(file, 0, true);
    if (new_fd < 0)
        file_put(file);
    return new_fd;
}

/* pidfd: a descriptor for a process, which keeps its struct but not the process. */
#include "kernel/fs/pidfd.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>

#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/inspect.h"
#include "kernel/process/kill.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/table.h"
#include "kernel/syscalls/syscall.h"

/* Readable once the process has ended. */
static uint32_t pidfd_poll(struct file *file, struct poll_table *table)
{
    struct process *process = file->private;
    poll_wait(table, file, &process->exit_wait);
    return process->zombie ? EPOLLIN | EPOLLRDNORM : 0;
}

static bool reaped(const struct process *process)
{
    return process->tid.process == NULL;
}

static void pidfd_show(struct file *file, char *buf, size_t size)
{
    const struct process *process = file->private;
    int pid = reaped(process) ? -1 : process->pid;
    snprintf(buf, size, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

static void pidfd_release(struct file *file)
{
    process_put(file->private);
}

static const struct file_ops pidfd_ops = {.poll = pidfd_poll, .release = pidfd_release, .show_fdinfo = pidfd_show};

int pidfd_install(struct process *process, unsigned flags)
{
    struct file *file = file_new_anon("anon_inode:[pidfd]", &pidfd_ops, process, O_RDWR | flags);
    if (!file)
        return -ENOMEM;
    process_get(process);
    int fd = fd_install(file, 0, true);
    if (fd < 0)
        file_put(file);
    return fd;
}

SYSCALL_DEFINE2(pidfd_open, int, pid, unsigned, flags)
{
    if ((flags & ~(unsigned)O_NONBLOCK) || pid <= 0)
        return -EINVAL;
    struct process *process = process_of(pid);
    if (!process)
        return -ESRCH;
    return process->pid == pid ? pidfd_install(process, flags) : -EINVAL; /* threads have none */
}

/* A descriptor of /proc/PID serves as well, for signals. */
static struct process *process_of_directory(const struct file *file)
{
    uint64_t pid;
    if (!file->dentry || strcmp(dentry_super(file->dentry)->type, "proc") != 0 ||
        dentry_parent_inode(file->dentry) != dentry_super(file->dentry)->root ||
        !string_to_u64(dentry_name(file->dentry), INT32_MAX, &pid))
        return NULL;
    struct process *process = process_find((int)pid);
    return process ? process_get(process) : NULL;
}

static struct process *process_by_fd(int fd, bool directories, unsigned *ret_flags)
{
    struct file *file = fd_get(fd);
    struct process *process = NULL;
    if (!file)
        return NULL;
    if (file->ops == &pidfd_ops)
        process = process_get(file->private);
    else if (directories)
        process = process_of_directory(file);
    if (ret_flags)
        *ret_flags = file->flags;
    file_put(file);
    return process;
}

struct process *pidfd_process(int fd, unsigned *ret_flags)
{
    return process_by_fd(fd, false, ret_flags);
}

static int send_signal(struct process *target, int signal, uaddr_t user_info)
{
    const struct process *self = process_self();
    struct signal_source source = {.signal = signal, .code = SI_USER, .pid = self->pid, .uid = self->credentials.uid};
    if (user_info) {
        siginfo_t info;
        if (copy_from_user(&info, user_info, sizeof info) < 0)
            return -EFAULT;
        if (info.si_signo != signal)
            return -EINVAL;
        int r = signal_source_from_user(&source, signal, user_info, target->pid);
        if (r < 0)
            return r;
    }
    return reaped(target) ? -ESRCH : signal_send_checked(target, &source);
}

SYSCALL_DEFINE4(pidfd_send_signal, int, fd, int, signal, uaddr_t, user_info, unsigned, flags)
{
    if (flags)
        return -EINVAL;
    struct process *target = process_by_fd(fd, true, NULL);
    if (!target)
        return -EBADF;
    int r = send_signal(target, signal, user_info);
    process_put(target);
    return r;
}

/* A descriptor of the other process, as dup would give it. */
SYSCALL_DEFINE3(pidfd_getfd, int, fd, int, target_fd, unsigned, flags)
{
    if (flags)
        return -EINVAL;
    struct process *target = pidfd_process(fd, NULL);
    if (!target)
        return -EBADF;
    struct file *file = NULL;
    int r = target->exiting ? -ESRCH : process_inspect_permission(target);
    if (r == 0) {
        file = target->files ? fd_table_file(target->files, target_fd, NULL) : NULL;
        r = file ? fd_install(file, 0, true) : -EBADF;
        if (file && r < 0)
            file_put(file);
    }
    process_put(target);
    return r;
}

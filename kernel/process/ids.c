/* Process, thread, group and session ids. */
#include <linux/errno.h>

#include "kernel/fs/tty.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

SYSCALL_DEFINE0(getpid)
{
    return process_self()->pid;
}

SYSCALL_DEFINE0(getppid)
{
    return process_self()->ppid;
}

SYSCALL_DEFINE0(gettid)
{
    return task_current()->tid;
}

static struct process *process_named(int id)
{
    return id == 0 ? process_self() : process_of(id);
}

SYSCALL_DEFINE1(getpgid, int, pid)
{
    const struct process *process = process_named(pid);
    return process ? process->pgid : -ESRCH;
}

SYSCALL_DEFINE0(getpgrp)
{
    return process_self()->pgid;
}

SYSCALL_DEFINE1(getsid, int, pid)
{
    const struct process *process = process_named(pid);
    return process ? process->sid : -ESRCH;
}

SYSCALL_DEFINE2(setpgid, int, pid, int, pgid)
{
    struct process *self = process_self(), *process = process_named(pid);
    int sid;
    if (pgid < 0)
        return -EINVAL;
    if (!process)
        return -ESRCH;
    if (pid != 0 && process->pid != pid)
        return -EINVAL; /* a thread */
    if (process->parent == self) {
        if (process->sid != self->sid)
            return -EPERM;
        if (process->did_exec)
            return -EACCES;
    } else if (process != self) {
        return -ESRCH;
    }
    if (process->session_leader)
        return -EPERM;
    if (pgid == 0)
        pgid = process->pid;
    if (pgid != process->pid && (!group_exists(pgid, &sid) || sid != self->sid))
        return -EPERM;
    process->pgid = pgid;
    return 0;
}

SYSCALL_DEFINE0(setsid)
{
    struct process *process = process_self();
    if (process->session_leader || group_exists(process->pid, NULL))
        return -EPERM;
    process->session_leader = true;
    process->sid = process->pgid = process->pid;
    tty_forget(process);
    return process->sid;
}

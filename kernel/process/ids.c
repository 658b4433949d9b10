/* Process, thread, group and session ids. */
#include <linux/errno.h>

#include "kernel/process/process.h"
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

static bool names_self(int pid)
{
    return pid == 0 || pid == process_self()->pid || (pid > 0 && thread_find(pid));
}

SYSCALL_DEFINE1(getpgid, int, pid)
{
    return names_self(pid) ? process_self()->pgid : -ESRCH;
}

SYSCALL_DEFINE0(getpgrp)
{
    return process_self()->pgid;
}

SYSCALL_DEFINE1(getsid, int, pid)
{
    return names_self(pid) ? process_self()->sid : -ESRCH;
}

SYSCALL_DEFINE2(setpgid, int, pid, int, pgid)
{
    struct process *process = process_self();
    if (pgid < 0)
        return -EINVAL;
    if (pid != 0 && pid != process->pid)
        return pid > 0 && thread_find(pid) ? -EINVAL : -ESRCH;
    if (process->sid == process->pid)
        return -EPERM;
    if (pgid != 0 && pgid != process->pid && pgid != process->pgid)
        return -EPERM;
    process->pgid = pgid ? pgid : process->pid;
    return 0;
}

SYSCALL_DEFINE0(setsid)
{
    struct process *process = process_self();
    if (process->pgid == process->pid)
        return -EPERM;
    process->sid = process->pgid = process->pid;
    return process->sid;
}

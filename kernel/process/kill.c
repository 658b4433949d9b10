/* Sending signals by system call: kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo; and who may. */
#include "kernel/process/kill.h"

#include <linux/capability.h>
#include <linux/errno.h>

#include "kernel/fs/file.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/table.h"
#include "kernel/syscalls/syscall.h"

static struct signal_source from_here(int signal, int code)
{
    struct process *process = process_self();
    return (struct signal_source){.signal = signal, .code = code, .pid = process->pid, .uid = process->credentials.uid};
}

int signal_permission(const struct process *target, int signal)
{
    const struct process *self = process_self();
    const struct credentials *mine = &self->credentials, *theirs = &target->credentials;
    if (signal < 0 || signal > SIGNAL_MAX)
        return -EINVAL;
    if (target == self || mine->euid == theirs->suid || mine->euid == theirs->uid || mine->uid == theirs->suid ||
        mine->uid == theirs->uid || process_capable(CAP_KILL))
        return 0;
    return signal == SIGCONT && target->sid == self->sid ? 0 : -EPERM;
}

int signal_send_checked(struct process *target, const struct signal_source *source)
{
    int r = signal_permission(target, source->signal);
    if (r < 0 || source->signal == 0 || target->zombie)
        return r;
    return signal_send_process(target, source);
}

void signal_send_owner(const struct file *file, int signal)
{
    struct signal_source source = {.signal = signal, .code = SI_KERNEL};
    struct process *process, *next;
    TAILQ_FOREACH_SAFE (process, &process_list, table_link, next) {
        uint32_t uid = process->credentials.uid, suid = process->credentials.suid;
        bool meant = file->owner_pid > 0 ? process == process_of(file->owner_pid) : process->pgid == -file->owner_pid;
        if (meant && !process->zombie &&
            (file->owner_euid == 0 || file->owner_euid == suid || file->owner_euid == uid || file->owner_uid == suid ||
             file->owner_uid == uid))
            signal_send_process(process, &source);
    }
}

static int kill_group(int pgid, const struct signal_source *source)
{
    struct process *process, *next;
    int r = -ESRCH;
    bool sent = false;
    TAILQ_FOREACH_SAFE (process, &process_list, table_link, next) {
        if (process->pgid != pgid)
            continue;
        r = signal_send_checked(process, source);
        sent |= r == 0;
    }
    return sent ? 0 : r;
}

/* Everybody except PID 1 and the caller. */
static int kill_all(const struct signal_source *source)
{
    struct process *process, *next;
    const struct process *self = process_self();
    int r = 0;
    bool any = false;
    TAILQ_FOREACH_SAFE (process, &process_list, table_link, next) {
        if (process->pid == 1 || process == self)
            continue;
        any = true;
        int one = signal_send_checked(process, source);
        if (one != -EPERM)
            r = one;
    }
    return any ? r : -ESRCH;
}

SYSCALL_DEFINE2(kill, int, pid, int, signal)
{
    if (pid == INT32_MIN)
        return -ESRCH;
    struct signal_source source = from_here(signal, SI_USER);
    if (pid == -1)
        return kill_all(&source);
    if (pid <= 0)
        return kill_group(pid == 0 ? process_self()->pgid : -pid, &source);
    struct process *target = process_of(pid);
    return target ? signal_send_checked(target, &source) : -ESRCH;
}

/* pid 0: of whatever process. */
static int64_t send_to_thread(int pid, int tid, const struct signal_source *source)
{
    struct task *task = task_find(tid);
    struct process *process = process_of(tid);
    if (!process || (pid && process->pid != pid))
        return -ESRCH;
    int r = signal_permission(process, source->signal);
    if (r < 0 || source->signal == 0 || process->zombie)
        return r;
    if (process->remote)
        return remote_ops->signal(process, tid, source);
    /* The first thread has ended, others have not. */
    return task ? signal_send_task(task, source) : 0;
}

SYSCALL_DEFINE2(tkill, int, tid, int, signal)
{
    if (tid <= 0)
        return -EINVAL;
    struct signal_source source = from_here(signal, SI_TKILL);
    return send_to_thread(0, tid, &source);
}

SYSCALL_DEFINE3(tgkill, int, pid, int, tid, int, signal)
{
    if (pid <= 0 || tid <= 0)
        return -EINVAL;
    struct signal_source source = from_here(signal, SI_TKILL);
    return send_to_thread(pid, tid, &source);
}

/* The caller's own siginfo. Codes that only the kernel may use go only to oneself, as on Linux. */
int signal_source_from_user(struct signal_source *ret_source, int signal, uaddr_t user_info, int target_id)
{
    siginfo_t info;
    if (copy_from_user(&info, user_info, sizeof info) < 0)
        return -EFAULT;
    siginfo_parse(ret_source, &info);
    ret_source->signal = signal;
    if ((ret_source->code >= 0 || ret_source->code == SI_TKILL) && target_id != task_current()->tid)
        return -EPERM;
    /* The timer form would be taken for one of the kernel's own timers. */
    if (ret_source->code == SI_TIMER)
        ret_source->code = SI_QUEUE;
    return 0;
}

SYSCALL_DEFINE3(rt_sigqueueinfo, int, pid, int, signal, uaddr_t, user_info)
{
    struct signal_source source;
    int r = signal_source_from_user(&source, signal, user_info, pid);
    if (r < 0)
        return r;
    struct process *target = pid > 0 ? process_of(pid) : NULL;
    if (!target)
        return -ESRCH;
    return signal_send_checked(target, &source);
}

SYSCALL_DEFINE4(rt_tgsigqueueinfo, int, pid, int, tid, int, signal, uaddr_t, user_info)
{
    struct signal_source source;
    if (pid <= 0 || tid <= 0)
        return -EINVAL;
    int r = signal_source_from_user(&source, signal, user_info, tid);
    return r < 0 ? r : send_to_thread(pid, tid, &source);
}

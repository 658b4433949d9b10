/* Sending signals by system call: kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo. */
#include <linux/errno.h>

#include "kernel/mm/uaccess.h"
#include "kernel/process/siginfo.h"
#include "kernel/syscalls/syscall.h"

static bool signal_or_probe_valid(int signal)
{
    return signal >= 0 && signal <= SIGNAL_MAX;
}

static struct signal_source from_here(int signal, int code)
{
    struct process *process = process_self();
    return (struct signal_source){.signal = signal, .code = code, .pid = process->pid, .uid = process->credentials.uid};
}

/* Does `pid`, as kill(2) takes it, name this process? */
static bool names_this_process(int pid)
{
    const struct process *process = process_self();
    if (pid > 0)
        return pid == process->pid || thread_find(pid) != NULL;
    if (pid == 0)
        return true;
    /* -1 is everybody except PID 1 and the caller: nobody. */
    return pid != -1 && pid == -process->pgid;
}

SYSCALL_DEFINE2(kill, int, pid, int, signal)
{
    if (!signal_or_probe_valid(signal))
        return -EINVAL;
    if (pid == INT32_MIN || !names_this_process(pid))
        return -ESRCH;
    if (signal == 0)
        return 0;
    struct signal_source source = from_here(signal, SI_USER);
    return signal_send_process(process_self(), &source);
}

static int64_t send_to_thread(int tid, int signal, const struct signal_source *source)
{
    struct task *task = thread_find(tid);
    if (!task)
        return -ESRCH;
    if (signal == 0)
        return 0;
    return signal_send_task(task, source);
}

SYSCALL_DEFINE2(tkill, int, tid, int, signal)
{
    if (tid <= 0 || !signal_or_probe_valid(signal))
        return -EINVAL;
    struct signal_source source = from_here(signal, SI_TKILL);
    return send_to_thread(tid, signal, &source);
}

SYSCALL_DEFINE3(tgkill, int, pid, int, tid, int, signal)
{
    if (pid <= 0 || tid <= 0 || !signal_or_probe_valid(signal))
        return -EINVAL;
    if (pid != process_self()->pid)
        return -ESRCH;
    struct signal_source source = from_here(signal, SI_TKILL);
    return send_to_thread(tid, signal, &source);
}

/* The caller's own siginfo. Codes that only the kernel may use go only to oneself, as on Linux. */
static int siginfo_from_user(struct signal_source *ret_source, int signal, uaddr_t user_info)
{
    siginfo_t info;
    if (!signal_or_probe_valid(signal))
        return -EINVAL;
    if (copy_from_user(&info, user_info, sizeof info) < 0)
        return -EFAULT;
    siginfo_parse(ret_source, &info);
    ret_source->signal = signal;
    /* The timer form would be taken for one of the kernel's own timers. */
    if (ret_source->code == SI_TIMER)
        ret_source->code = SI_QUEUE;
    return 0;
}

SYSCALL_DEFINE3(rt_sigqueueinfo, int, pid, int, signal, uaddr_t, user_info)
{
    struct signal_source source;
    int r = siginfo_from_user(&source, signal, user_info);
    if (r < 0)
        return r;
    if (pid <= 0 || !names_this_process(pid))
        return -ESRCH;
    return signal == 0 ? 0 : signal_send_process(process_self(), &source);
}

SYSCALL_DEFINE4(rt_tgsigqueueinfo, int, pid, int, tid, int, signal, uaddr_t, user_info)
{
    struct signal_source source;
    if (pid <= 0 || tid <= 0)
        return -EINVAL;
    int r = siginfo_from_user(&source, signal, user_info);
    if (r < 0)
        return r;
    if (pid != process_self()->pid)
        return -ESRCH;
    return send_to_thread(tid, signal, &source);
}

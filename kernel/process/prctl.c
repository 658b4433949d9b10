/* prctl and arch_prctl. */
#include <asm/prctl.h>
#include <linux/errno.h>
#include <linux/prctl.h>

#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/capability.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

#define TIMER_SLACK_DEFAULT_NS 50000
#define MCE_KILL_DEFAULT PR_MCE_KILL_DEFAULT
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

static int64_t name_set(uaddr_t user_name)
{
    char name[TASK_COMM_SIZE];
    memset(name, 0, sizeof name);
    ssize_t size = strncpy_from_user(name, user_name, sizeof name);
    if (size < 0 && size != -ENAMETOOLONG)
        return -EFAULT;
    if (size == -ENAMETOOLONG && copy_from_user(name, user_name, sizeof name - 1) < 0)
        return -EFAULT;
    name[sizeof name - 1] = '\0';
    memset(name + strlen(name), 0, sizeof name - strlen(name));
    struct task *task = task_current();
    memcpy(task->agent ? task->process->comm : task->comm, name, sizeof name); /* elsewhere: its first thread asks */
    return 0;
}

static int64_t no_new_privs_set(const uint64_t a[4])
{
    if (a[0] != 1 || a[1] || a[2] || a[3])
        return -EINVAL;
    process_self()->no_new_privs = 1;
    return 0;
}

static int64_t thread_option(int option, const uint64_t a[4])
{
    struct task *task = task_current();
    switch (option) {
    case PR_SET_NAME:
        return name_set(a[0]);
    case PR_GET_NAME:
        return copy_to_user(a[0], task->comm, sizeof task->comm);
    case PR_SET_PDEATHSIG:
        if (a[0] > SIGNAL_MAX)
            return -EINVAL;
        process_self()->pdeath_signal = (int)a[0];
        return 0;
    case PR_GET_PDEATHSIG:
        return put_user32(a[0], (uint32_t)process_self()->pdeath_signal);
    case PR_SET_TIMERSLACK:
        task->timer_slack_ns = (int64_t)a[0] > 0 ? a[0] : TIMER_SLACK_DEFAULT_NS;
        return 0;
    case PR_GET_TIMERSLACK:
        return (int64_t)task->timer_slack_ns;
    case PR_GET_TID_ADDRESS:
        return put_user64(a[0], task->clear_child_tid);
    default:
        return -EINVAL;
    }
}

static int64_t process_option(int option, const uint64_t a[4])
{
    struct process *process = process_self();
    switch (option) {
    case PR_GET_DUMPABLE:
        return process->dumpable;
    case PR_SET_DUMPABLE:
        if (a[0] > 1)
            return -EINVAL;
        process->dumpable = (int)a[0];
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return a[0] || a[1] || a[2] || a[3] ? -EINVAL : process->no_new_privs;
    case PR_SET_NO_NEW_PRIVS:
        return no_new_privs_set(a);
    case PR_SET_CHILD_SUBREAPER:
        process->child_subreaper = a[0] != 0;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_user32(a[0], process->child_subreaper);
    case PR_GET_THP_DISABLE:
        return a[0] || a[1] || a[2] || a[3] ? -EINVAL : 0;
    case PR_MCE_KILL_GET:
        return a[0] || a[1] || a[2] || a[3] ? -EINVAL : MCE_KILL_DEFAULT;
    case PR_GET_SECCOMP:
        return 0;
    case PR_GET_TIMING:
        return PR_TIMING_STATISTICAL;
    case PR_SET_TIMING:
        return a[0] == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
    case PR_GET_TSC:
        return put_user32(a[0], PR_TSC_ENABLE);
    case PR_SET_TSC:
        return a[0] == PR_TSC_ENABLE ? 0 : -EINVAL;
    default:
        return -EINVAL; /* PR_SET_SECCOMP, PR_SET_MM, PR_SET_VMA and the rest: as a Linux built without them */
    }
}

SYSCALL_DEFINE5(prctl, int, option, uint64_t, arg2, uint64_t, arg3, uint64_t, arg4, uint64_t, arg5)
{
    const uint64_t args[4] = {arg2, arg3, arg4, arg5};
    switch (option) {
    case PR_SET_NAME:
    case PR_GET_NAME:
    case PR_SET_PDEATHSIG:
    case PR_GET_PDEATHSIG:
    case PR_SET_TIMERSLACK:
    case PR_GET_TIMERSLACK:
    case PR_GET_TID_ADDRESS:
        return thread_option(option, args);
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_CAP_AMBIENT:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
        return capability_prctl(option, args);
    default:
        return process_option(option, args);
    }
}

SYSCALL_DEFINE2(arch_prctl, int, code, uint64_t, addr)
{
    switch (code) {
    case ARCH_SET_FS:
        if (addr >= 1ULL << 47)
            return -EPERM;
        fs_base_set(addr);
        return 0;
    case ARCH_GET_FS:
        return put_user64(addr, fs_base_get());
    case ARCH_SET_GS: /* GS is the enclave's own */
        return -EPERM;
    case ARCH_GET_GS:
        return put_user64(addr, 0);
    case ARCH_GET_CPUID:
        return 1;
    case ARCH_SET_CPUID:
        return addr ? 0 : -ENODEV;
    default:
        return -EINVAL;
    }
}

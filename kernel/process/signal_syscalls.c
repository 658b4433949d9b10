/* System calls on signal actions, masks and alternate stacks, and those that wait for a signal. */
#include <linux/errno.h>
#include <linux/time_types.h>

#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/siginfo.h"
#include "kernel/syscalls/syscall.h"

#define SA_KNOWN                                                                                                       \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND | SA_RESTORER |    \
     SA_EXPOSE_TAGBITS)

struct user_sigaction {
    uint64_t handler, flags, restorer, mask;
};

static bool signal_valid(int signal)
{
    return signal >= 1 && signal <= SIGNAL_MAX;
}

SYSCALL_DEFINE4(rt_sigaction, int, signal, uaddr_t, user_new, uaddr_t, user_old, size_t, size)
{
    if (size != sizeof(sigset64_t))
        return -EINVAL;
    struct user_sigaction new;
    if (user_new && copy_from_user(&new, user_new, sizeof new) < 0)
        return -EFAULT;
    if (!signal_valid(signal) || (user_new && (SIGNAL_BIT(signal) & SIGNAL_UNBLOCKABLE)))
        return -EINVAL;

    struct process *process = process_self();
    struct signal_action *action = &process->actions[signal - 1];
    struct user_sigaction old = {action->handler, action->flags, action->restorer, action->mask};
    if (user_new) {
        *action = (struct signal_action){
            .handler = new.handler,
            .flags = new.flags &SA_KNOWN,
            .restorer = new.restorer,
            .mask = new.mask & ~SIGNAL_UNBLOCKABLE,
        };
        if (signal == SIGCHLD && member_ops &&
            ((new.handler == (uint64_t)SIG_IGN) != (old.handler == (uint64_t)SIG_IGN) ||
             ((new.flags ^ old.flags) & (SA_NOCLDWAIT | SA_NOCLDSTOP))))
            member_ops->child_action(process);
        enum signal_default what = signal_default_of(signal);
        bool ignore = new.handler == (uint64_t)SIG_IGN ||
                      (new.handler == (uint64_t)SIG_DFL && (what == SIGNAL_IGNORE || what == SIGNAL_CONTINUE));
        if (ignore)
            signal_flush_everywhere(process, SIGNAL_BIT(signal));
    }
    if (user_old && copy_to_user(user_old, &old, sizeof old) < 0)
        return -EFAULT;
    return 0;
}

SYSCALL_DEFINE4(rt_sigprocmask, int, how, uaddr_t, user_set, uaddr_t, user_old, size_t, size)
{
    if (size != sizeof(sigset64_t))
        return -EINVAL;
    sigset64_t old = task_current()->signals.blocked;
    if (user_set) {
        sigset64_t set;
        if (copy_from_user(&set, user_set, sizeof set) < 0)
            return -EFAULT;
        if (how == SIG_BLOCK)
            signal_set_blocked(old | set);
        else if (how == SIG_UNBLOCK)
            signal_set_blocked(old & ~set);
        else if (how == SIG_SETMASK)
            signal_set_blocked(set);
        else
            return -EINVAL;
    }
    return user_old ? copy_to_user(user_old, &old, sizeof old) : 0;
}

SYSCALL_DEFINE2(rt_sigpending, uaddr_t, user_set, size_t, size)
{
    if (size > sizeof(sigset64_t))
        return -EINVAL;
    struct task *task = task_current();
    sigset64_t set = (task->signals.pending.set | task->process->pending.set) & task->signals.blocked;
    return copy_to_user(user_set, &set, size);
}

static int64_t wait_for_signal(void)
{
    for (;;) {
        task_prepare_sleep(true);
        if (signal_pending(task_current())) {
            task_cancel_sleep();
            return -ERESTARTNOHAND;
        }
        if (task_sleep(NO_DEADLINE) == -EINTR)
            return -ERESTARTNOHAND;
    }
}

SYSCALL_DEFINE0(pause)
{
    return wait_for_signal();
}

SYSCALL_DEFINE2(rt_sigsuspend, uaddr_t, user_set, size_t, size)
{
    sigset64_t set;
    int r = sigset_from_user(&set, user_set, size);
    if (r < 0)
        return r;
    signal_mask_temporary(set);
    return wait_for_signal();
}

SYSCALL_DEFINE4(rt_sigtimedwait, uaddr_t, user_set, uaddr_t, user_info, uaddr_t, user_timeout, size_t, size)
{
    sigset64_t set;
    int r = sigset_from_user(&set, user_set, size);
    if (r < 0)
        return r;
    uint64_t deadline = NO_DEADLINE;
    if (user_timeout) {
        uint64_t timeout;
        r = timespec_from_user(&timeout, user_timeout);
        if (r < 0)
            return r;
        deadline = clock_deadline_after(timeout);
    }

    struct task *task = task_current();
    struct signal_source source;
    int signal = signal_dequeue(task, set, &source);
    if (signal == 0) {
        struct wait_entry entry;
        wait_entry_init(&entry, NULL);
        wait_queue_add(signal_wait_queue(), &entry);
        r = 0;
        for (;;) {
            task_prepare_sleep(true);
            signal = signal_dequeue(task, set, &source);
            if (signal != 0 || r < 0) {
                task_cancel_sleep();
                break;
            }
            r = task_sleep(deadline);
        }
        wait_queue_remove(&entry);
    }
    if (signal == 0)
        return r == -EINTR ? -EINTR : -EAGAIN;
    if (user_info) {
        siginfo_t info;
        siginfo_fill(&info, &source);
        if (copy_to_user(user_info, &info, sizeof info) < 0)
            return -EFAULT;
    }
    return signal;
}

SYSCALL_DEFINE2(sigaltstack, uaddr_t, user_new, uaddr_t, user_old)
{
    struct task *task = task_current();
    struct task_signals *signals = &task->signals;
    uaddr_t sp = task->frame->rsp;
    bool on = signals->altstack_size && !(signals->altstack_flags & (int)SS_AUTODISARM) &&
              sp > signals->altstack_base && sp - signals->altstack_base <= signals->altstack_size;
    struct {
        uint64_t base;
        int32_t flags, pad;
        uint64_t size;
    } new, old = {
               signals->altstack_base,
               (signals->altstack_size ? (on ? SS_ONSTACK : 0) : SS_DISABLE) |
                   (signals->altstack_flags & (int)SS_AUTODISARM),
               0,
               signals->altstack_size,
           };
    if (user_new) {
        if (copy_from_user(&new, user_new, sizeof new) < 0)
            return -EFAULT;
        int mode = new.flags & ~(int)SS_AUTODISARM;
        if (on)
            return -EPERM;
        if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
            return -EINVAL;
        if (mode == SS_DISABLE) {
            new.base = 0;
            new.size = 0;
        } else if (new.size < MINSIGSTKSZ) {
            return -ENOMEM;
        }
        signals->altstack_base = new.base;
        signals->altstack_size = new.size;
        signals->altstack_flags = new.flags & ~SS_ONSTACK;
    }
    return user_old ? copy_to_user(user_old, &old, sizeof old) : 0;
}

SYSCALL_DEFINE0(rt_sigreturn)
{
    struct trap_frame *frame = task_current()->frame;
    if (sigframe_pop(frame) < 0) {
        struct signal_source source = {.signal = SIGSEGV, .code = SI_KERNEL};
        frame->orig_rax = -1;
        signal_force(&source);
        return 0;
    }
    return (int64_t)frame->rax;
}

SYSCALL_DEFINE0(restart_syscall)
{
    struct task *task = task_current();
    return task->restart_fn ? task->restart_fn(task) : -EINTR;
}

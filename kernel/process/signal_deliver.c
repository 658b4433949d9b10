/* What happens on the way back to user code: handlers, default actions, restarts of interrupted calls, stops, ends. */
#include <asm/unistd.h>
#include <linux/errno.h>

#include "kernel/arch/rewrite.h"
#include "kernel/lib/printk.h"
#include "kernel/process/crash.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/table.h"

static bool is_restart_code(int64_t rax)
{
    return rax == -ERESTARTSYS || rax == -ERESTARTNOINTR || rax == -ERESTARTNOHAND || rax == -ERESTART_RESTARTBLOCK;
}

/* Make the frame execute its system call again, as number nr. */
static void restart(struct trap_frame *frame, int64_t nr)
{
    uaddr_t site = rewrite_stub_site(frame->rip);
    frame->rip = site ? site : frame->rip - 2;
    frame->rax = (uint64_t)nr;
    frame->orig_rax = -1;
}

static void restart_without_handler(struct trap_frame *frame)
{
    int64_t rax = (int64_t)frame->rax;
    if (frame->orig_rax >= 0 && is_restart_code(rax))
        restart(frame, rax == -ERESTART_RESTARTBLOCK ? __NR_restart_syscall : frame->orig_rax);
}

static void restart_before_handler(struct trap_frame *frame, const struct signal_action *action)
{
    int64_t rax = (int64_t)frame->rax;
    if (frame->orig_rax < 0 || !is_restart_code(rax))
        return;
    if (rax == -ERESTARTNOINTR || (rax == -ERESTARTSYS && (action->flags & SA_RESTART)))
        restart(frame, frame->orig_rax);
    else
        frame->rax = (uint64_t)-EINTR;
}

static void enter_handler(struct trap_frame *frame, const struct signal_source *source)
{
    struct task *task = task_current();
    struct task_signals *signals = &task->signals;
    struct signal_action *kept = &task->process->actions[source->signal - 1];
    struct signal_action action = *kept;
    if (action.flags & SA_RESETHAND)
        kept->handler = (uint64_t)SIG_DFL;
    restart_before_handler(frame, &action);
    rewrite_leave_stub(frame);

    sigset64_t saved = signals->restore_blocked ? signals->saved_blocked : signals->blocked;
    signals->restore_blocked = false;
    if (sigframe_push(frame, &action, source, saved) < 0) {
        /* No stack to run the handler on: as Linux, SIGSEGV, and if that was it, its default action. */
        if (source->signal == SIGSEGV)
            kept->handler = (uint64_t)SIG_DFL;
        struct signal_source segv = {.signal = SIGSEGV, .code = SI_KERNEL};
        signals->blocked = saved;
        signal_force(&segv);
        return;
    }
    sigset64_t blocked = signals->blocked | action.mask;
    if (!(action.flags & SA_NODEFER))
        blocked |= SIGNAL_BIT(source->signal);
    signal_set_blocked(blocked);
}

static void stop_here(struct process *process)
{
    struct wait_entry entry;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&process->stop_wait, &entry);
    process->stopped_threads++;
    signal_stop_check(process);
    for (;;) {
        task_prepare_sleep(false);
        if (!process->stopped || process->exiting || task_current()->exiting) {
            task_cancel_sleep();
            break;
        }
        if (task_sleep(NO_DEADLINE) < 0)
            continue;
    }
    wait_queue_remove(&entry);
    process->stopped_threads--;
}

static void begin_stop(struct process *process, int signal)
{
    process->stopped = true;
    process->stop_complete = false;
    process->stop_signal = signal;
    struct task *task;
    TAILQ_FOREACH (task, &process->threads, thread_link) {
        task->work_pending = true;
        if (task != task_current())
            task_notify(task);
    }
    stop_here(process);
}

/* The terminal's stop signals do nothing where nobody could make the process go on. */
static bool stops(struct process *process, int signal)
{
    if (signal == SIGSTOP)
        return true;
    return !(member_ops ? member_ops->group_orphaned(process) : group_orphaned(process->pgid));
}

/* One signal off the queue. Returns true once a handler has been entered or a forced signal waits. */
static bool deliver_one(struct trap_frame *frame, const struct signal_source *source)
{
    struct process *process = task_current()->process;
    uint64_t handler = process->actions[source->signal - 1].handler;
    if (handler == (uint64_t)SIG_IGN)
        return false;
    if (handler != (uint64_t)SIG_DFL) {
        enter_handler(frame, source);
        return true;
    }
    enum signal_default what = signal_default_of(source->signal);
    if (what == SIGNAL_IGNORE || what == SIGNAL_CONTINUE || process->unkillable)
        return false;
    if (what == SIGNAL_STOP && stops(process, source->signal))
        begin_stop(process, source->signal);
    if (what == SIGNAL_TERMINATE) {
        if (SIGNAL_BIT(source->signal) & CRASH_SIGNALS)
            process_crashed(frame, source);
        process_exit(source->signal);
    }
    return false;
}

void signal_deliver(struct trap_frame *frame)
{
    struct task *task = task_current();
    struct process *process = task->process;
    struct signal_source source;

    task->work_pending = false;
    if (process->stopped && !process->exiting && !task->exiting)
        stop_here(process);
    if (process->exiting || task->exiting)
        thread_exit(0);

    bool entered = false;
    while (!entered && signal_dequeue(task, ~task->signals.blocked, &source) != 0) {
        entered = deliver_one(frame, &source);
        if (process->exiting || task->exiting)
            thread_exit(0);
    }
    if (!entered) {
        restart_without_handler(frame);
        if (task->signals.restore_blocked) {
            task->signals.restore_blocked = false;
            signal_set_blocked(task->signals.saved_blocked);
        }
    }
    /* More may wait: a second handler is then entered on top of the first, before either has run, as on Linux. */
    if (signal_pending(task))
        task->work_pending = true;
}

/* Signals: queueing, choosing who gets them, and the questions other parts ask (pending? ignored?). */
#include <linux/errno.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/table.h"

/* Faults come before anything asynchronous, as on Linux, so that si_addr and RIP belong together. */
#define SIGNAL_SYNCHRONOUS                                                                                             \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGFPE) |        \
     SIGNAL_BIT(SIGSYS))

static struct wait_queue wait_queue_of_signals = {TAILQ_HEAD_INITIALIZER(wait_queue_of_signals.entries)};

struct wait_queue *signal_wait_queue(void)
{
    return &wait_queue_of_signals;
}

void pending_signals_init(struct pending_signals *pending)
{
    pending->set = pending->told = 0;
    TAILQ_INIT(&pending->queue);
}

enum signal_default signal_default_of(int signal)
{
    switch (signal) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
        return SIGNAL_IGNORE;
    case SIGCONT:
        return SIGNAL_CONTINUE;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return SIGNAL_STOP;
    default:
        return SIGNAL_TERMINATE;
    }
}

static bool ignored(const struct process *process, const struct task *task, int signal, bool force)
{
    if (task && task->signals.blocked & SIGNAL_BIT(signal))
        return false;
    uint64_t handler = process->actions[signal - 1].handler;
    if (handler == (uint64_t)SIG_DFL) {
        if (process->unkillable && !force)
            return true;
        enum signal_default what = signal_default_of(signal);
        return what == SIGNAL_IGNORE || (what == SIGNAL_CONTINUE && !process->stopped);
    }
    return handler == (uint64_t)SIG_IGN;
}

/* What waits in a member, the init enclave knows too: for signalfd and /proc. What is about to be delivered it need
 * not. */
static void tell_pending(struct process *process, struct task *task)
{
    struct pending_signals *pending = task ? &task->signals.pending : &process->pending;
    if (!member_ops || pending->told == pending->set || process->exiting)
        return;
    pending->told = pending->set;
    member_ops->pending(process, task ? task->tid : 0, pending->set);
}

void signal_flush(struct process *process, struct pending_signals *pending, sigset64_t set)
{
    struct signal_info *info, *next;
    TAILQ_FOREACH_SAFE (info, &pending->queue, link, next) {
        if (!(SIGNAL_BIT(info->source.signal) & set))
            continue;
        TAILQ_REMOVE(&pending->queue, info, link);
        process->queued_count--;
        kfree(info);
    }
    pending->set &= ~set;
}

void signal_flush_everywhere(struct process *process, sigset64_t set)
{
    struct task *task;
    signal_flush(process, &process->pending, set);
    if (process->pending.told & set)
        tell_pending(process, NULL);
    TAILQ_FOREACH (task, &process->threads, thread_link) {
        signal_flush(process, &task->signals.pending, set);
        if (task->signals.pending.told & set)
            tell_pending(process, task);
    }
}

static bool wants(const struct task *task, int signal)
{
    return !task->exiting && (signal == SIGKILL || !(task->signals.blocked & SIGNAL_BIT(signal)));
}

static void tell(struct task *task)
{
    task->work_pending = true;
    task_notify(task);
}

/* The thread that will take a signal sent to the process: the leader if it will, else any. */
static struct task *choose(struct process *process, int signal)
{
    if (process->leader && wants(process->leader, signal))
        return process->leader;
    struct task *task;
    TAILQ_FOREACH (task, &process->threads, thread_link) {
        if (wants(task, signal))
            return task;
    }
    return NULL;
}

static int enqueue(struct process *process, struct pending_signals *pending, const struct signal_source *source,
                   unsigned how)
{
    bool realtime = source->signal >= 32;
    if (!realtime && (pending->set & SIGNAL_BIT(source->signal)) && !(how & SIGNAL_SEND_TIMER))
        return 0;
    /* Faults always carry their information; the rest is bounded. */
    bool over = process->queued_count >= process->limits[RLIMIT_SIGPENDING].rlim_cur && realtime;
    struct signal_info *info = over && !(how & SIGNAL_SEND_FORCE) ? NULL : kmalloc(sizeof *info);
    if (info) {
        info->source = *source;
        TAILQ_INSERT_TAIL(&pending->queue, info, link);
        process->queued_count++;
    } else if (realtime && source->code != SI_USER) {
        return -EAGAIN;
    }
    pending->set |= SIGNAL_BIT(source->signal);
    return 0;
}

void signal_stop_check(struct process *process)
{
    if (!process->stopped || process->stop_complete || process->stopped_threads < process->thread_count)
        return;
    process->stop_complete = true;
    if (member_ops)
        member_ops->stopped(process, process->stop_signal);
    else
        process_stopped(process, process->stop_signal);
}

static void go_on(struct process *process)
{
    bool complete = process->stop_complete;
    if (!process->stopped)
        return;
    process->stopped = process->stop_complete = false;
    wake_up_all(&process->stop_wait, 0);
    if (!complete)
        return;
    if (member_ops)
        member_ops->continued(process);
    else
        process_continued(process);
}

int signal_queue(struct process *process, struct task *task, const struct signal_source *source, unsigned how)
{
    int signal = source->signal;
    if (process->exiting)
        return 0;
    if (signal == SIGCONT) {
        signal_flush_everywhere(process, SIGNAL_STOP_SET);
        go_on(process);
    } else if (SIGNAL_BIT(signal) & SIGNAL_STOP_SET) {
        signal_flush_everywhere(process, SIGNAL_BIT(SIGCONT));
    }
    if (ignored(process, task ? task : process->leader, signal, how & SIGNAL_SEND_FORCE))
        return SIGNAL_IGNORED;
    if (signal == SIGKILL) {
        process_kill(process, SIGKILL);
        return 0;
    }

    int r = enqueue(process, task ? &task->signals.pending : &process->pending, source, how);
    if (r < 0)
        return r;
    struct task *target = task ? task : choose(process, signal);
    if (target && wants(target, signal))
        tell(target);
    else
        tell_pending(process, task);
    wake_up_all(&wait_queue_of_signals, 0x001 /* EPOLLIN */);
    return 0;
}

int signal_send_task(struct task *task, const struct signal_source *source)
{
    if (task->agent)
        return remote_ops->signal(task->process, task->tid, source);
    int r = signal_queue(task->process, task, source, 0);
    return r < 0 ? r : 0;
}

int signal_send_process(struct process *process, const struct signal_source *source)
{
    if (process->remote)
        return process->ended ? 0 : remote_ops->signal(process, 0, source);
    int r = signal_queue(process, NULL, source, 0);
    return r < 0 ? r : 0;
}

void signal_force(const struct signal_source *source)
{
    struct task *task = task_current();
    struct process *process = task->process;
    struct signal_action *action = &process->actions[source->signal - 1];
    bool blocked = task->signals.blocked & SIGNAL_BIT(source->signal);
    if (blocked || action->handler == (uint64_t)SIG_IGN) {
        action->handler = (uint64_t)SIG_DFL;
        task->signals.blocked &= ~SIGNAL_BIT(source->signal);
    }
    /* A fault that nobody handles ends even PID 1. */
    if (action->handler == (uint64_t)SIG_DFL)
        process->unkillable = false;
    signal_queue(process, task, source, SIGNAL_SEND_FORCE);
    task->work_pending = true;
}

void signal_from_host(int signal)
{
    if (signal < 1 || signal > SIGNAL_MAX || signal == SIGKILL || signal == SIGSTOP)
        return;
    struct signal_source source = {.signal = signal, .code = SI_USER};
    struct process *process = process_first();
    if (process->leader)
        signal_send_process(process, &source);
}

bool signal_pending(const struct task *task)
{
    const struct process *process = task->process;
    if (!process)
        return false;
    if (task->agent)
        return task->agent_cancelled;
    if (task->exiting || process->exiting || process->stopped)
        return true;
    return ((task->signals.pending.set | process->pending.set) & ~task->signals.blocked) != 0;
}

bool signal_fatal_pending(const struct task *task)
{
    const struct process *process = task->process;
    if (!process)
        return false;
    if (task->agent)
        return task->agent_cancelled;
    if (task->exiting || process->exiting)
        return true;
    sigset64_t set = (task->signals.pending.set | process->pending.set) & ~task->signals.blocked;
    for (; set && !process->unkillable; set &= set - 1) {
        int signal = __builtin_ctzll(set) + 1;
        if (process->actions[signal - 1].handler == (uint64_t)SIG_DFL && signal_default_of(signal) == SIGNAL_TERMINATE)
            return true;
    }
    return false;
}

void signal_set_blocked(sigset64_t mask)
{
    struct task *task = task_current();
    struct process *process = task->process;
    sigset64_t newly = mask & ~task->signals.blocked & process->pending.set;
    task->signals.blocked = mask & ~SIGNAL_UNBLOCKABLE;
    if (task->agent)
        return;
    if (task->signals.pending.set & task->signals.blocked & ~task->signals.pending.told)
        tell_pending(process, task);
    if (process->pending.set & task->signals.blocked & ~process->pending.told)
        tell_pending(process, NULL);
    if (newly) {
        /* Somebody else may be able to take what this thread was chosen for. */
        struct task *other;
        TAILQ_FOREACH (other, &process->threads, thread_link) {
            if (other != task && (newly & ~other->signals.blocked))
                tell(other);
        }
    }
    if (signal_pending(task))
        task->work_pending = true;
}

void signal_mask_temporary(sigset64_t mask)
{
    struct task *task = task_current();
    task->signals.saved_blocked = task->signals.blocked;
    task->signals.restore_blocked = true;
    signal_set_blocked(mask);
    task->work_pending = true; /* so that the old mask comes back even if nothing happens */
}

int sigset_from_user(sigset64_t *ret_set, uint64_t addr, size_t size)
{
    if (size != sizeof(sigset64_t))
        return -EINVAL;
    if (copy_from_user(ret_set, addr, sizeof *ret_set) < 0)
        return -EFAULT;
    *ret_set &= ~SIGNAL_UNBLOCKABLE;
    return 0;
}

static int take(struct process *process, struct pending_signals *pending, sigset64_t set, struct signal_source *ret)
{
    sigset64_t candidates = pending->set & set;
    if (!candidates)
        return 0;
    if (candidates & SIGNAL_SYNCHRONOUS)
        candidates &= SIGNAL_SYNCHRONOUS;
    int signal = __builtin_ctzll(candidates) + 1;

    struct signal_info *info, *found = NULL;
    bool more = false;
    TAILQ_FOREACH (info, &pending->queue, link) {
        if (info->source.signal != signal)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = info;
    }
    if (found) {
        *ret = found->source;
        TAILQ_REMOVE(&pending->queue, found, link);
        process->queued_count--;
        kfree(found);
    } else {
        *ret = (struct signal_source){.signal = signal, .code = SI_USER};
    }
    if (!more)
        pending->set &= ~SIGNAL_BIT(signal);
    if (ret->code == SI_TIMER)
        posix_timer_dequeued(process, ret);
    return signal;
}

int signal_dequeue(struct task *task, sigset64_t set, struct signal_source *ret_source)
{
    struct process *process = task->process;
    int signal = take(process, &task->signals.pending, set, ret_source);
    if (!signal)
        signal = take(process, &process->pending, set, ret_source);
    if (task->signals.pending.told & ~task->signals.pending.set)
        tell_pending(process, task);
    if (process->pending.told & ~process->pending.set)
        tell_pending(process, NULL);
    return signal;
}

sigset64_t signals_ignored(const struct process *process)
{
    sigset64_t set = 0;
    for (int i = 0; i < SIGNAL_MAX; i++)
        if (process->actions[i].handler == (uint64_t)SIG_IGN)
            set |= SIGNAL_BIT(i + 1);
    return set;
}

void signals_ignore_only(struct process *process, sigset64_t set)
{
    set &= ~SIGNAL_UNBLOCKABLE;
    for (int i = 0; i < SIGNAL_MAX; i++)
        process->actions[i] =
            (struct signal_action){.handler = set & SIGNAL_BIT(i + 1) ? (uint64_t)SIG_IGN : (uint64_t)SIG_DFL};
}

void signal_reset_actions(struct process *process)
{
    for (int i = 0; i < SIGNAL_MAX; i++) {
        struct signal_action *action = &process->actions[i];
        uint64_t handler = action->handler == (uint64_t)SIG_IGN ? (uint64_t)SIG_IGN : (uint64_t)SIG_DFL;
        *action = (struct signal_action){.handler = handler};
    }
}

/*
 * How a process ends: its descriptors are closed, its children go to PID 1 or a subreaper, it becomes a zombie, its
 * parent is told; and how parents are told of stops.
 *
 *   process_exited() -> [agents leave] -> process_close() -> zombie -> process_reap()
 */
#include <linux/signal.h>
#include <linux/wait.h>

#include "kernel/fs/tty.h"
#include "kernel/ipc/ipc.h"
#include "kernel/lib/printk.h"
#include "kernel/process/clock.h"
#include "kernel/process/itimer.h"
#include "kernel/process/posix_timer.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"

/* ---- telling the parent ---- */

static struct signal_source child_signal(const struct process *child, int signal, int code, int status)
{
    struct process_usage usage;
    process_usage(child, &usage);
    return (struct signal_source){
        .signal = signal,
        .code = code,
        .pid = child->pid,
        .uid = child->credentials.uid,
        .from_child = true,
        .status = status,
        .utime = usage.user_ns,
        .stime = usage.system_ns,
    };
}

/* True: the parent does not want to hear of it, nobody will wait. */
static bool tell_parent_of_end(struct process *process)
{
    struct process *parent = process->parent;
    if (!parent)
        return true;
    const struct signal_action *action = &parent->actions[SIGCHLD - 1];
    int signal = process->exit_signal, status = process->exit_status;
    bool ignores = action->handler == (uint64_t)SIG_IGN;
    bool forgotten = signal == SIGCHLD && (ignores || (action->flags & SA_NOCLDWAIT));
    if (signal > 0 && signal <= SIGNAL_MAX && !(signal == SIGCHLD && ignores)) {
        bool killed = status & 0x7f;
        struct signal_source source = child_signal(process, signal, killed ? CLD_KILLED : CLD_EXITED,
                                                   killed ? status & 0x7f : status >> 8 & 0xff);
        signal_send_process(parent, &source);
    }
    wake_up_all(&parent->child_wait, 0);
    return forgotten;
}

static void tell_parent_of_stop(struct process *process, int code, int status)
{
    struct process *parent = process->parent;
    if (!parent)
        return;
    const struct signal_action *action = &parent->actions[SIGCHLD - 1];
    if (action->handler != (uint64_t)SIG_IGN && !(action->flags & SA_NOCLDSTOP)) {
        struct signal_source source = child_signal(process, SIGCHLD, code, status);
        signal_send_process(parent, &source);
    }
    wake_up_all(&parent->child_wait, 0);
}

void process_stopped(struct process *process, int signal)
{
    process->stopped = process->stop_complete = true;
    process->stop_signal = signal;
    process->stop_unreported = true;
    process->continue_unreported = false;
    tell_parent_of_stop(process, CLD_STOPPED, signal);
}

void process_continued(struct process *process)
{
    process->stopped = process->stop_complete = false;
    process->stop_unreported = false;
    process->continue_unreported = true;
    tell_parent_of_stop(process, CLD_CONTINUED, SIGCONT);
}

/* ---- orphans ---- */

static bool group_has_stopped(int pgid)
{
    const struct process *process;
    TAILQ_FOREACH (process, &process_list, table_link) {
        if (process->pgid == pgid && process->stop_complete)
            return true;
    }
    return false;
}

/* `process` connected its group, or a child's group, with the session; once it is gone a stopped job would hang. */
static void wake_orphaned_group(const struct process *member, const struct process *parent,
                                const struct process *leaving)
{
    if (!parent || parent->pgid == member->pgid || parent->sid != member->sid)
        return;
    if (!group_orphaned_without(member->pgid, leaving) || !group_has_stopped(member->pgid))
        return;
    struct signal_source source = {.signal = SIGHUP, .code = SI_KERNEL};
    group_signal(member->pgid, &source);
    source.signal = SIGCONT;
    group_signal(member->pgid, &source);
}

/* PID 1, or a nearer subreaper. */
static struct process *new_parent_for_children(const struct process *process)
{
    struct process *ancestor = process->parent;
    while (ancestor && (!ancestor->child_subreaper || ancestor->exiting))
        ancestor = ancestor->parent;
    return ancestor ? ancestor : process_first();
}

static void send_pdeath_signal(struct process *child)
{
    struct signal_source source = {.signal = child->pdeath_signal, .code = SI_USER, .pid = child->ppid};
    if (child->pdeath_signal)
        signal_send_process(child, &source);
}

static void children_leave(struct process *process)
{
    struct process *reaper = new_parent_for_children(process), *child, *next;
    TAILQ_FOREACH_SAFE (child, &process->children, sibling, next) {
        send_pdeath_signal(child);
        TAILQ_REMOVE(&process->children, child, sibling);
        TAILQ_INSERT_TAIL(&reaper->children, child, sibling);
        child->parent = reaper;
        child->ppid = child->parent_tid = reaper->pid;
        child->exit_signal = SIGCHLD;
        wake_orphaned_group(child, process, NULL);
        if (child->zombie && tell_parent_of_end(child))
            process_reap(child);
    }
}

void process_thread_ended(struct process *process, int tid)
{
    struct process *child;
    TAILQ_FOREACH (child, &process->children, sibling) {
        if (child->parent_tid != tid || (!process->leader && !process->remote))
            continue;
        child->parent_tid = process->leader ? process->leader->tid : process->pid;
        send_pdeath_signal(child);
    }
}

/* ---- the end ---- */

static void become_zombie(struct process *process)
{
    children_leave(process);
    wake_orphaned_group(process, process->parent, process);
    process->zombie = true;
    process->stop_unreported = process->continue_unreported = false;
    process->stopped = process->stop_complete = false;
    process_get(process);
    if (tell_parent_of_end(process))
        process_reap(process);
    wake_up_all(&process->exit_wait, 0x001 /* EPOLLIN */);
    process_put(process);
}

/* Nothing of it runs any more. Closing may sleep. */
static void process_close(struct process *process)
{
    if (process->closing)
        return;
    process->closing = true;
    ipc_process_ended(process);
    itimers_delete(process);
    posix_timers_delete(process);
    signal_flush(process, &process->pending, ~0ULL);
    process_get(process);
    if (process->session_leader)
        tty_session_ends(process);
    process_release(process);
    become_zombie(process);
    process_put(process);
}

void process_exited(struct process *process, int wait_status, const struct process_usage *usage)
{
    struct task *agent;
    ASSERT(!process->ended && process != process_first());
    process->exit_status = wait_status;
    if (process->thread_count > 0) { /* its last task here, which sends it away: thread_left() goes on */
        ASSERT(process->remote);
        process->end_reported = true;
        process->end_usage = *usage;
        return;
    }
    process->exiting = process->ended = true;
    process->dead_user_ns = usage->user_ns;
    process->dead_system_ns = usage->system_ns;
    process->resident_max = usage->resident_max;
    TAILQ_FOREACH (agent, &process->agents, thread_link)
        agent_cancel(agent);
    if (TAILQ_EMPTY(&process->agents))
        process_close(process);
}

static struct process_usage usage_of_reaped;

void container_usage(struct process_usage *ret, size_t *ret_threads)
{
    const struct process *process;
    *ret = usage_of_reaped;
    *ret_threads = 0;
    TAILQ_FOREACH (process, &process_list, table_link) {
        struct process_usage usage;
        process_usage(process, &usage);
        ret->user_ns += usage.user_ns;
        ret->system_ns += usage.system_ns;
        *ret_threads += process->remote ? 1 : process->thread_count;
    }
}

void process_reap(struct process *zombie)
{
    usage_of_reaped.user_ns += zombie->dead_user_ns;
    usage_of_reaped.system_ns += zombie->dead_system_ns;
    if (zombie->parent)
        TAILQ_REMOVE(&zombie->parent->children, zombie, sibling);
    zombie->parent = NULL;
    process_table_remove(zombie);
}

void process_forget(struct process *process)
{
    struct process *child;
    while ((child = TAILQ_FIRST(&process->children)) != NULL) {
        TAILQ_REMOVE(&process->children, child, sibling);
        child->parent = NULL;
    }
    itimers_delete(process);
    posix_timers_delete(process);
    process->exiting = process->ended = process->zombie = true;
    process_reap(process);
}

/* ---- agents ---- */

bool agent_enter(struct process *process, int tid, sigset64_t blocked, struct agent *agent)
{
    struct task *task = task_current();
    ASSERT(!task->process && !task->agent && agent);
    if (process->ended)
        return false;
    task->process = process_get(process);
    task->tid = tid;
    task->agent = agent;
    task->agent_cancelled = false;
    task->signals.blocked = blocked;
    TAILQ_INSERT_TAIL(&process->agents, task, thread_link);
    return true;
}

void agent_leave(void)
{
    struct task *task = task_current();
    struct process *process = task->process;
    ASSERT(task->agent);
    TAILQ_REMOVE(&process->agents, task, thread_link);
    task->process = NULL;
    task->agent = NULL;
    task->agent_cancelled = false;
    task->tid = 0;
    task->signals.blocked = task->signals.pending.set = 0;
    task->signals.restore_blocked = false;
    if (process->ended && TAILQ_EMPTY(&process->agents))
        process_close(process);
    process_put(process);
}

void agent_cancel(struct task *task)
{
    task->agent_cancelled = true;
    task_notify(task);
}

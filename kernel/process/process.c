/* The threads of a process, how they end, and how it ends with them. */
#include "kernel/process/process.h"

#include <linux/errno.h>
#include <linux/signal.h>

#include "kernel/arch/hostcall.h"
#include "kernel/boot/refuse.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/futex.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

char container_hostname[65];
static struct process first;
static struct wait_queue task_ends = {TAILQ_HEAD_INITIALIZER(task_ends.entries)};

struct process *process_first(void)
{
    return &first;
}

struct process *process_self(void)
{
    struct process *process = task_current()->process;
    return likely(process) ? process : &first;
}

struct wait_queue *task_end_wait(void)
{
    return &task_ends;
}

bool credentials_in_group(const struct credentials *c, uint32_t gid)
{
    if (gid == c->fsgid)
        return true;
    for (size_t i = 0; i < c->group_count; i++) {
        if (c->groups[i] == gid)
            return true;
    }
    return false;
}

bool process_capable(int capability)
{
    return (process_self()->credentials.cap_effective >> capability) & 1;
}

/* ---- threads ---- */

struct task *thread_find(int tid)
{
    struct task *task = task_find(tid);
    return task && task->process == process_self() ? task : NULL;
}

int thread_id_new(struct process *process)
{
    return member_ops ? member_ops->tid_get(process) : tid_alloc();
}

void thread_add(struct process *process, struct task *task)
{
    task->process = process;
    if (task->tid == process->pid)
        tid_set_task(&process->tid, task);
    else
        tid_add(&task->tid_entry, task->tid, process, task);
    TAILQ_INSERT_TAIL(&process->threads, task, thread_link);
    process->thread_count++;
    if (!process->leader)
        process->leader = task;
}

static void tid_drop(struct task *task)
{
    struct process *process = task->process;
    if (process->tid.task == task) {
        tid_set_task(&process->tid, NULL);
    } else {
        tid_remove(&task->tid_entry);
    }
    if (member_ops && process->thread_count > 1) /* else the process ends, and all its ids with it */
        member_ops->tid_put(process, task->tid);
}

/* Out of the process: what it used is added up. */
static void thread_remove(struct task *task)
{
    struct process *process = task->process;
    tid_drop(task);
    TAILQ_REMOVE(&process->threads, task, thread_link);
    process->thread_count--;
    uint64_t all = thread_cpu_ns(task), in_kernel = MIN(task->system_ns, all);
    process->dead_system_ns += in_kernel;
    process->dead_user_ns += all - in_kernel;
    io_counts_add(&process->dead_io, &task->io);
    signal_flush(process, &task->signals.pending, ~0ULL);
    if (task->tid == process->pid && !process->remote) /* else exec has given it another */
        memcpy(process->comm, task->comm, sizeof process->comm);
    if (process->leader == task)
        process->leader = TAILQ_FIRST(&process->threads);
    wake_up_all(&process->thread_wait, 0);
    wake_up_all(&task_ends, 0);
}

/* ---- use ---- */

uint64_t thread_cpu_ns(const struct task *task)
{
    uint64_t ns = task->runtime_ns;
    if (task->state == TASK_RUNNING) {
        uint64_t now = time_monotonic_ns();
        ns += now > task->last_start_ns ? now - task->last_start_ns : 0;
    }
    return ns;
}

void process_usage(const struct process *process, struct process_usage *ret)
{
    *ret = (struct process_usage){process->dead_user_ns, process->dead_system_ns, process->resident_max};
    if (process->ended)
        return;
    if (process->remote) {
        if (remote_ops->usage)
            remote_ops->usage(process, ret);
        return;
    }
    const struct task *task;
    TAILQ_FOREACH (task, &process->threads, thread_link) {
        uint64_t all = thread_cpu_ns(task), in_kernel = MIN(task->system_ns, all);
        ret->system_ns += in_kernel;
        ret->user_ns += all - in_kernel;
    }
    ret->resident_max = mm_self()->committed_pages_max;
}

uint64_t process_cpu_ns(const struct process *process, uint64_t *ret_user_ns, uint64_t *ret_system_ns)
{
    struct process_usage usage;
    process_usage(process, &usage);
    *ret_user_ns = usage.user_ns;
    *ret_system_ns = usage.system_ns;
    return usage.user_ns + usage.system_ns;
}

/* ---- ends ---- */

/*
 * Nothing outlives PID 1: the enclave goes, with all its threads. As docker reports it, by exit code or by signal; but
 * it is no success if a volume has not kept what was written.
 */
static noreturn_fn void end_container(int wait_status)
{
    int signal = wait_status & 0x7f;
    task_current()->exiting = true; /* it waits for what others have of the volumes, though it is killed */
    if (!volumes_unmount() && wait_status == 0)
        hostcall_exit(STATUS_REFUSED);
    hostcall_exit(signal ? 256 + signal : (wait_status >> 8) & 0xff);
}

static void tell_others(struct process *process)
{
    struct task *task;
    TAILQ_FOREACH (task, &process->threads, thread_link) {
        if (task == task_current())
            continue;
        task->exiting = true;
        task->work_pending = true;
        task_notify(task);
    }
}

void process_kill(struct process *process, int wait_status)
{
    if (process->exiting)
        return;
    if (process->remote) {
        struct signal_source source = {.signal = SIGKILL, .code = SI_KERNEL};
        remote_ops->signal(process, 0, &source);
        return;
    }
    process->exiting = true;
    process->exit_status = wait_status;
    tell_others(process);
    /* A signal from another enclave can come at a tick, on the stack of a thread of this very process. */
    if (task_current()->process == process)
        task_current()->work_pending = true;
    wake_up_all(&process->stop_wait, 0);
}

void process_exit(int status)
{
    struct process *process = task_current()->process;
    process_kill(process, status);
    if (process->pid == 1)
        end_container(process->exit_status);
    thread_exit(0);
}

/* The last thread is gone from the list. */
static void last_thread_ended(struct process *process)
{
    struct process_usage usage;
    process->exiting = true;
    if (process->pid == 1)
        end_container(process->exit_status);
    process_usage(process, &usage);
    if (member_ops) {
        member_ops->exited(process, process->exit_status, &usage);
        process_vfork_done(process);
        process_forget(process);
        return;
    }
    process_get(process);
    process_exited(process, process->exit_status, &usage);
    process_vfork_done(process);
    process_put(process);
}

void thread_exit(int code)
{
    struct task *task = task_current();
    struct process *process = task->process;
    if (process->exiting && process->pid == 1)
        end_container(process->exit_status);

    task->exiting = true;
    futex_exit_robust(task);
    futex_exit_pi(task);
    if (task->clear_child_tid && task_count() > 1) {
        if (put_user32(task->clear_child_tid, 0) == 0)
            futex_wake_address(task->clear_child_tid, 1);
        task->clear_child_tid = 0;
    }
    /* The status of a process whose threads end one by one is its last one's. */
    if (!process->exiting && process->thread_count == 1)
        process->exit_status = (code & 0xff) << 8;
    if (task_count() == 1)
        shared_give_all(0, UINT64_MAX);
    int tid = task->tid;
    thread_remove(task);
    process_thread_ended(process, tid);
    if (process->thread_count == 0)
        last_thread_ended(process);
    else
        signal_stop_check(process);
    task->process = NULL; /* and may be gone */
    task_exit();
}

void thread_left(void)
{
    struct task *task = task_current();
    struct process *process = task->process;
    thread_remove(task);
    ASSERT(process->thread_count == 0);
    process_vfork_done(process);
    if (member_ops)
        process_forget(process);
    else if (process->end_reported)
        process_exited(process, process->exit_status, &process->end_usage);
    task->process = NULL;
    task_exit();
}

int threads_end_others(void)
{
    struct task *task = task_current();
    struct process *process = task->process;
    if (task->exiting || process->exiting)
        return -EAGAIN;
    tell_others(process);

    struct wait_entry entry;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&process->thread_wait, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (process->thread_count == 1) {
            task_cancel_sleep();
            break;
        }
        if (task_sleep(NO_DEADLINE) < 0)
            continue;
    }
    wait_queue_remove(&entry);
    process->leader = task;
    if (task->tid != process->pid) {
        tid_drop(task);
        task->tid = process->pid;
        tid_set_task(&process->tid, task);
    }
    return 0;
}

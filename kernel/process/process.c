/* The process: its threads, how they end, and how it ends with them. */
#include "kernel/process/process.h"

#include <linux/capability.h>
#include <linux/errno.h>

#include "kernel/arch/hostcall.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/futex.h"
#include "kernel/process/signal.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

#define TID_MAX 4194304

static struct process the_process;

struct process *process_self(void)
{
    return &the_process;
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
    return (the_process.credentials.cap_effective >> capability) & 1;
}

struct task *thread_find(int tid)
{
    struct task *task = task_current();
    if (task->tid == tid && task->process)
        return task;
    TAILQ_FOREACH (task, &the_process.threads, thread_link) {
        if (task->tid == tid)
            return task;
    }
    return NULL;
}

int tid_alloc(void)
{
    static int last;
    do {
        last = last >= TID_MAX ? 2 : last + 1;
    } while (thread_find(last) != NULL || (last == the_process.pid && the_process.thread_count > 0));
    return last;
}

void thread_add(struct process *process, struct task *task)
{
    task->process = process;
    TAILQ_INSERT_TAIL(&process->threads, task, thread_link);
    process->thread_count++;
}

uint64_t thread_cpu_ns(const struct task *task)
{
    uint64_t ns = task->runtime_ns;
    if (task->state == TASK_RUNNING) {
        uint64_t now = time_monotonic_ns();
        ns += now > task->last_start_ns ? now - task->last_start_ns : 0;
    }
    return ns;
}

uint64_t process_cpu_ns(const struct process *process, uint64_t *ret_user_ns, uint64_t *ret_system_ns)
{
    uint64_t user = process->dead_user_ns, system = process->dead_system_ns;
    const struct task *task;
    TAILQ_FOREACH (task, &process->threads, thread_link) {
        uint64_t all = thread_cpu_ns(task), in_kernel = MIN(task->system_ns, all);
        system += in_kernel;
        user += all - in_kernel;
    }
    *ret_user_ns = user;
    *ret_system_ns = system;
    return user + system;
}

/* The container ends: as docker reports it, by exit code or by signal. */
static noreturn_fn void end_container(int wait_status)
{
    int signal = wait_status & 0x7f;
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

void process_exit(int status)
{
    struct process *process = &the_process;
    if (!process->exiting) {
        process->exiting = true;
        process->exit_status = status;
    }
    /* Nothing outlives PID 1: the enclave goes, with all its threads. */
    end_container(process->exit_status);
}

void thread_exit(int code)
{
    struct task *task = task_current();
    struct process *process = task->process;
    if (process->exiting)
        end_container(process->exit_status);

    task->exiting = true;
    futex_exit_robust(task);
    futex_exit_pi(task);
    if (task->clear_child_tid && process->thread_count > 1) {
        if (put_user32(task->clear_child_tid, 0) == 0)
            futex_wake_address(task->clear_child_tid, 1);
        task->clear_child_tid = 0;
    }

    TAILQ_REMOVE(&process->threads, task, thread_link);
    process->thread_count--;
    uint64_t all = thread_cpu_ns(task), in_kernel = MIN(task->system_ns, all);
    process->dead_system_ns += in_kernel;
    process->dead_user_ns += all - in_kernel;
    signal_flush(process, &task->signals.pending, ~0ULL);
    if (process->thread_count == 0)
        process_exit((code & 0xff) << 8);
    if (process->leader == task)
        process->leader = TAILQ_FIRST(&process->threads);
    wake_up_all(&process->thread_wait, 0);
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
    task->tid = process->pid;
    return 0;
}

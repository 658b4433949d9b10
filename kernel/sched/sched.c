/*
 * The run queue, sleeping and waking, and switching between tasks.
 *
 * There is one queue. A task stays on the vCPU that woke it, because a kick costs an enclave exit: only tasks that have
 * waited longer than KICK_AFTER_NS are worth one (sched_before_user, sched_tick). States:
 *
 *   RUNNABLE (queued) -> RUNNING (vcpu set) -> SLEEPING (vcpu NULL) -> RUNNABLE ...; RUNNING -> DEAD
 *
 * Between task_prepare_sleep() and task_sleep() a task is SLEEPING with vcpu set: waking it makes it RUNNING again.
 */
#include "kernel/sched/sched.h"

#include <linux/errno.h>

#include "kernel/arch/hostcall.h"
#include "kernel/arch/vcpu.h"
#include "kernel/arch/vector.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/remote/remote.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/run_queue.h"
#include "kernel/sched/time.h"

struct run_queue run_queue = {.tasks = TAILQ_HEAD_INITIALIZER(run_queue.tasks)};

unsigned vcpu_index(void)
{
    return vcpu_self()->index;
}

static void enqueue(struct task *task)
{
    task->state = TASK_RUNNABLE;
    task->queued_ns = 0; /* read the clock only if somebody asks: sched_before_user() */
    TAILQ_INSERT_TAIL(&run_queue.tasks, task, run_link);
    run_queue.count++;
    run_queue.background += task->background;
}

static struct task *pick(const struct vcpu *vcpu)
{
    struct task *task;
    TAILQ_FOREACH (task, &run_queue.tasks, run_link) {
        if (task->affinity_mask >> vcpu->index & 1) {
            TAILQ_REMOVE(&run_queue.tasks, task, run_link);
            run_queue.count--;
            run_queue.background -= task->background;
            return task;
        }
    }
    return NULL;
}

bool run_queue_has_work(const struct vcpu *vcpu)
{
    const struct task *task;
    TAILQ_FOREACH (task, &run_queue.tasks, run_link)
        if (task->affinity_mask >> vcpu->index & 1)
            return true;
    return false;
}

void sched_finish_switch(void)
{
    struct vcpu *vcpu = vcpu_self();
    if (vcpu->dead) {
        task_free(vcpu->dead);
        vcpu->dead = NULL;
    }
}

static void switch_to(struct vcpu *vcpu, struct task *prev, struct task *next)
{
    uint64_t now = time_monotonic_ns();
    prev->runtime_ns += now - prev->last_start_ns;
    next->last_start_ns = now;
    vcpu->context_switches++;

    void *save = prev->state != TASK_DEAD ? prev->vector_state : NULL;
    vector_switch(save, next->vector_state);
    if (save)
        prev->fs_base = fs_base_get();
    if (next->vector_state)
        fs_base_set(next->fs_base);
    ASSERT(*(uint64_t *)prev->kernel_stack == KERNEL_STACK_MAGIC);
    prev->vcpu = NULL;
    next->vcpu = vcpu;
    next->state = TASK_RUNNING;
    vcpu->current = next;
    vcpu->kernel_stack = next->kernel_stack_top;
    context_switch(&prev->saved_rsp, next->saved_rsp);
    sched_finish_switch();
}

bool sched_may_run_user(const struct vcpu *vcpu)
{
    return vcpu->current && vcpu->current != vcpu->idle;
}

bool sched_alone(void)
{
    unsigned self = vcpu_index();
    for (unsigned i = 0; i < vcpu_count(); i++)
        if (i != self && sched_may_run_user(vcpu_at(i)))
            return false;
    return true;
}

/* Give the vCPU to the next runnable task, or to idle. The current task's state says what becomes of it. */
void schedule(void)
{
    remote_linger_end();
    struct vcpu *vcpu = vcpu_self();
    struct task *prev = vcpu->current, *next = pick(vcpu);
    ASSERT(vcpu->vector_depth == 0);
    vcpu->need_resched = false;
    if (!next) {
        if (prev->state == TASK_RUNNING)
            return;
        next = vcpu->idle;
    }
    if (prev->state == TASK_RUNNING && prev != vcpu->idle)
        enqueue(prev);
    switch_to(vcpu, prev, next);
}

void task_yield(void)
{
    schedule();
}

bool task_need_resched(void)
{
    struct vcpu *vcpu = vcpu_self();
    return vcpu->need_resched || vcpu->tick;
}

void task_prepare_sleep(bool interruptible)
{
    struct task *task = task_current();
    task->interruptible = interruptible;
    task->killable = false;
    task->woken = false;
    task->state = TASK_SLEEPING;
}

void task_prepare_sleep_killable(void)
{
    task_prepare_sleep(true);
    task_current()->killable = true;
}

void task_cancel_sleep(void)
{
    task_current()->state = TASK_RUNNING;
}

static bool task_interrupted(const struct task *task)
{
    if (!task->interruptible)
        return false;
    return task->killable ? signal_fatal_pending(task) : signal_pending(task);
}

struct sleep_timer {
    struct timer timer;
    struct task *task;
    bool expired;
};

static void sleep_expired(struct timer *timer)
{
    struct sleep_timer *sleep = container_of(timer, struct sleep_timer, timer);
    sleep->expired = true;
    if (sleep->task->state == TASK_SLEEPING && !sleep->task->vcpu)
        enqueue(sleep->task);
}

int task_sleep(uint64_t deadline_ns)
{
    struct task *task = task_current();
    struct sleep_timer sleep;

    if (task->woken) {
        task->state = TASK_RUNNING;
        return 0;
    }
    if (task_interrupted(task)) {
        task->state = TASK_RUNNING;
        return -EINTR;
    }
    sleep.expired = false;
    if (deadline_ns != NO_DEADLINE) {
        if (deadline_ns <= time_monotonic_ns()) {
            task->state = TASK_RUNNING;
            return -ETIMEDOUT;
        }
        timer_init(&sleep.timer, sleep_expired);
        sleep.task = task;
        timer_arm(&sleep.timer, deadline_ns);
    }
    if (task->state == TASK_SLEEPING) {
        run_queue.sleeping += !task->no_input;
        schedule();
        run_queue.sleeping -= !task->no_input;
    }
    if (deadline_ns != NO_DEADLINE)
        timer_cancel(&sleep.timer);
    if (task->woken)
        return 0;
    if (task_interrupted(task))
        return -EINTR;
    return sleep.expired ? -ETIMEDOUT : 0;
}

static void make_runnable(struct task *task)
{
    if (task->state != TASK_SLEEPING)
        return;
    if (task->vcpu)
        task->state = TASK_RUNNING; /* prepared, not asleep yet */
    else
        enqueue(task);
}

void task_wake(struct task *task)
{
    task->woken = true;
    make_runnable(task);
}

void task_notify(struct task *task)
{
    struct vcpu *vcpu = vcpu_self();
    task->work_pending = true;
    if (task->state == TASK_SLEEPING) {
        if (task->interruptible)
            make_runnable(task);
    } else if (task->vcpu && task->vcpu != vcpu) {
        hostcall_kick(1ULL << task->vcpu->index);
    }
}

uint64_t task_runtime_ns(const struct task *task)
{
    uint64_t ns = task->runtime_ns;
    if (task->vcpu)
        ns += time_monotonic_ns() - task->last_start_ns;
    return ns;
}

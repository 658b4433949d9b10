/* For tests whose kernel has one task: what sleeping is, each of them says itself (task_sleep). */
#include "kernel/sched/task.h"

static struct task the_task;

struct task *task_current(void)
{
    return &the_task;
}

void task_prepare_sleep(bool interruptible)
{
}

void task_prepare_sleep_killable(void)
{
}

void task_cancel_sleep(void)
{
}

void task_wake(struct task *task)
{
}

/* Sleeping locks (contract in mutex.h). */
#include "kernel/sched/mutex.h"

#include "kernel/lib/printk.h"
#include "kernel/sched/task.h"

struct mutex_waiter {
    TAILQ_ENTRY(mutex_waiter) link;
    struct task *task;
};

void mutex_init(struct mutex *mutex)
{
    mutex->owner = NULL;
    mutex->depth = 0;
    TAILQ_INIT(&mutex->waiters);
}

bool mutex_held(const struct mutex *mutex)
{
    return mutex->owner == task_current();
}

void mutex_lock(struct mutex *mutex)
{
    struct mutex_waiter waiter = {.task = task_current()};
    if (!mutex->owner || mutex_held(mutex)) {
        mutex->owner = waiter.task;
        mutex->depth++;
        return;
    }
    TAILQ_INSERT_TAIL(&mutex->waiters, &waiter, link);
    for (;;) {
        task_prepare_sleep(false);
        if (mutex_held(mutex)) /* unlock gave it to us */
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
}

void mutex_unlock(struct mutex *mutex)
{
    ASSERT(mutex_held(mutex));
    if (--mutex->depth > 0)
        return;
    struct mutex_waiter *next = TAILQ_FIRST(&mutex->waiters);
    mutex->owner = next ? next->task : NULL;
    if (!next)
        return;
    mutex->depth = 1;
    TAILQ_REMOVE(&mutex->waiters, next, link);
    task_wake(next->task);
}

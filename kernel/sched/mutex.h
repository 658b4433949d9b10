/*
 * Sleeping locks, for what must hold across a call that sleeps. Handed on in order of arrival; may be taken again by
 * the task that has it. Taking one sleeps, and no signal ends that.
 */
#ifndef COFRE_KERNEL_SCHED_MUTEX_H
#define COFRE_KERNEL_SCHED_MUTEX_H

#include "kernel/sched/wait.h"

struct mutex_waiter;
struct mutex {
    struct task *owner;
    unsigned depth;
    TAILQ_HEAD(mutex_waiters, mutex_waiter) waiters;
};
#define MUTEX_INITIALIZER(mutex)                                                                                       \
    {                                                                                                                  \
        .waiters = TAILQ_HEAD_INITIALIZER((mutex).waiters)                                                             \
    }

void mutex_init(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex); /* does not sleep: what follows it still happens before the next owner runs */
bool mutex_held(const struct mutex *mutex); /* by the current task */

#endif

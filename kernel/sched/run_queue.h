/* What the files of kernel/sched share. All under the kernel lock. */
#ifndef COFRE_KERNEL_SCHED_RUN_QUEUE_H
#define COFRE_KERNEL_SCHED_RUN_QUEUE_H

#include "kernel/sched/task.h"

struct run_queue {
    TAILQ_HEAD(run_list, task) tasks;
    size_t count;
    size_t background; /* of them, for which nobody waits: task.h */
    size_t sleeping;   /* tasks in task_sleep() that may wait for input */
};
extern struct run_queue run_queue;

/* At the low end of every kernel stack; gone means it overflowed. */
#define KERNEL_STACK_MAGIC 0x6b61747320646e65ULL

bool run_queue_has_work(const struct vcpu *vcpu); /* a task that may run there */
void schedule(void);

#endif

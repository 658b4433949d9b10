/*
 * The kernel lock. The kernel is one monitor: a task that entered it from user code holds the lock until it goes back
 * to user code or sleeps; so kernel data needs no other lock, and every function may be read as if there were one vCPU,
 * except across a call that sleeps (said in its contract). The few system calls marked SYSCALL_LOCKLESS run without it.
 * Kernel code is never preempted.
 */
#ifndef COFRE_KERNEL_SCHED_LOCK_H
#define COFRE_KERNEL_SCHED_LOCK_H
#include "kernel/lib/types.h"
void kernel_lock(void);
void kernel_unlock(void);
bool kernel_lock_held(void); /* by this vCPU */
#endif

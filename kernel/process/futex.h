/* What the rest of the kernel needs of futexes. */
#ifndef COFRE_KERNEL_PROCESS_FUTEX_H
#define COFRE_KERNEL_PROCESS_FUTEX_H

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

struct task;

/* Wake up to count waiters on the word at addr; returns how many. */
int futex_wake_address(uaddr_t addr, int count);
/* The thread ends: locks on its robust list are marked, their waiters woken. May fault in user memory. */
void futex_exit_robust(struct task *task);
/* The thread ends: PI futexes it held with waiters pass to the first of them. */
void futex_exit_pi(struct task *task);

/* Inside of the futex code. */

/* One sleeping waiter; on the waiting task's stack. */
struct futex_waiter {
    TAILQ_ENTRY(futex_waiter) link;
    uaddr_t addr;
    uint32_t bitset;
    struct task *task;
    bool queued; /* false once woken */
    bool pi;     /* waits in futex_pi.c, not to be woken by FUTEX_WAKE */
};
TAILQ_HEAD(futex_bucket, futex_waiter);

struct futex_bucket *futex_bucket(uaddr_t addr);
/* 0, -EINVAL (alignment), -EFAULT (not user memory). */
must_check int futex_address_check(uaddr_t addr);

/* FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI. */
int64_t futex_lock_pi(uaddr_t addr, uint64_t deadline, bool try);
int64_t futex_unlock_pi(uaddr_t addr);

#endif

/* What the rest of the kernel needs of futexes. */
#ifndef COFRE_KERNEL_PROCESS_FUTEX_H
#define COFRE_KERNEL_PROCESS_FUTEX_H

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

struct task;

/*
 * Which word: an address of this enclave, or (file not 0) a place in memory that several enclaves share
 * (shared_futex_key()). Waiters on those are queued in the init enclave.
 */
struct futex_key {
    uint64_t file, at;
};

/* How a member has the init enclave do it. The word has been looked at, and nothing slept since. */
struct futex_remote {
    /* Until woken: 0; else -EINTR or -ETIMEDOUT. */
    int (*wait)(const struct futex_key *key, uint32_t bitset, uint64_t deadline);
    /* How many; 0 at once if nobody wants to know (quiet). */
    int (*wake)(const struct futex_key *key, int count, uint32_t bitset, bool quiet);
    int (*requeue)(const struct futex_key *from, const struct futex_key *to, int wake_count, int requeue_count);
};
void futex_remote_set(const struct futex_remote *remote);

/* Wake up to count waiters on the word at addr; returns how many. */
int futex_wake_address(uaddr_t addr, int count);
/* The thread ends: locks on its robust list are marked, their waiters woken. May fault in user memory. */
void futex_exit_robust(struct task *task);
/* The thread ends: PI futexes it held with waiters pass to the first of them. */
void futex_exit_pi(struct task *task);

/* Inside of the futex code. */

/* One sleeping waiter; on the waiting task's stack, or another enclave's. */
struct futex_waiter {
    TAILQ_ENTRY(futex_waiter) link;
    uaddr_t addr;  /* futex_key.at */
    uint64_t file; /* futex_key.file */
    uint32_t bitset;
    struct task *task;
    void (*woken)(struct futex_waiter *waiter); /* instead of waking the task; NULL */
    bool queued;                                /* false once woken */
    bool pi;                                    /* waits in futex_pi.c, not to be woken by FUTEX_WAKE */
};
TAILQ_HEAD(futex_bucket, futex_waiter);

struct futex_bucket *futex_bucket(uaddr_t addr);
/* For kernel/remote in the init enclave. */
void futex_queue(struct futex_waiter *waiter, const struct futex_key *key, uint32_t bitset);
void futex_unqueue(struct futex_waiter *waiter);
int futex_wake_key(const struct futex_key *key, int count, uint32_t bitset);
int futex_requeue_key(const struct futex_key *from, const struct futex_key *to, int wake_count, int requeue_count);
/* 0, -EINVAL (alignment), -EFAULT (not user memory). */
must_check int futex_address_check(uaddr_t addr);

/* The word that a call with or without FUTEX_PRIVATE_FLAG means by addr. */
struct futex_key futex_key_of(uaddr_t addr, bool private);
/* Until woken: 0; else -EINTR, -ETIMEDOUT or -ENOMEM. The word has been looked at, and nothing slept since. */
int futex_wait_key(const struct futex_key *key, uint32_t bitset, uint64_t deadline);

/* FUTEX_LOCK_PI, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI. */
int64_t futex_lock_pi(uaddr_t addr, uint64_t deadline, bool try, bool private);
int64_t futex_unlock_pi(uaddr_t addr, bool private);

#endif

/*
 * Priority-inheritance futexes: the kernel keeps the word (tid | FUTEX_WAITERS | FUTEX_OWNER_DIED) true. Waiters take
 * turns in order of arrival; priorities are not inherited, since the scheduler has none to lend.
 *
 * Of a word that several enclaves share, none knows all waiters. It is not handed over: unlocking frees it and wakes
 * one of them, who takes it and says that there may be more, or waits again if somebody was quicker.
 */
#include <linux/errno.h>
#include <linux/futex.h>

#include "kernel/mm/uaccess.h"
#include "kernel/process/futex.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/sched/wait.h"

struct pi_waiter {
    struct futex_waiter waiter;
    int owner; /* tid that held the lock when this one queued, kept true as it changes hands */
};

static struct pi_waiter *pi_first(uaddr_t addr)
{
    struct futex_waiter *waiter;
    TAILQ_FOREACH (waiter, futex_bucket(addr), link) {
        if (waiter->addr == addr && waiter->pi)
            return container_of(waiter, struct pi_waiter, waiter);
    }
    return NULL;
}

/* Everybody still waiting at addr waits for `owner` now; returns whether there is anybody. */
static bool pi_set_owner(uaddr_t addr, int owner)
{
    struct futex_waiter *waiter;
    bool any = false;
    TAILQ_FOREACH (waiter, futex_bucket(addr), link) {
        if (waiter->addr == addr && waiter->pi) {
            container_of(waiter, struct pi_waiter, waiter)->owner = owner;
            any = true;
        }
    }
    return any;
}

static void pi_dequeue(struct pi_waiter *w)
{
    if (!w->waiter.queued)
        return;
    TAILQ_REMOVE(futex_bucket(w->waiter.addr), &w->waiter, link);
    w->waiter.queued = false;
}

/* The word passes to the first waiter, who wakes up owning it. 0 or -EFAULT. */
static int pi_hand_over(uaddr_t addr, uint32_t extra)
{
    struct pi_waiter *next = pi_first(addr);
    uint32_t old, found;
    if (get_user32(&old, addr) < 0)
        return -EFAULT;
    for (;;) {
        /* get_user32 may have slept. */
        next = pi_first(addr);
        uint32_t new = extra;
        if (next) {
            struct futex_waiter *after = TAILQ_NEXT(&next->waiter, link);
            while (after && !(after->addr == addr && after->pi))
                after = TAILQ_NEXT(after, link);
            new |= (uint32_t)next->waiter.task->tid | (after ? FUTEX_WAITERS : 0);
        }
        if (cmpxchg_user32(addr, old, new, &found) < 0)
            return -EFAULT;
        if (found == old)
            break;
        old = found;
    }
    if (next) {
        pi_dequeue(next);
        pi_set_owner(addr, next->waiter.task->tid);
        task_wake(next->waiter.task);
    }
    return 0;
}

/* Take the word if it is free: 0 = taken, 1 = held by somebody else (*ret_owner; the WAITERS bit is now set unless
 * `try`), or an error. */
static int pi_acquire(uaddr_t addr, bool try, int *ret_owner)
{
    uint32_t self = (uint32_t)task_current()->tid, value, found;
    if (get_user32(&value, addr) < 0)
        return -EFAULT;
    for (;;) {
        uint32_t owner = value & FUTEX_TID_MASK;
        if (owner == self)
            return -EDEADLK;
        uint32_t new;
        if (owner == 0) {
            new = self | (value & FUTEX_OWNER_DIED) | (pi_first(addr) ? FUTEX_WAITERS : 0);
        } else {
            if (try)
                return -EAGAIN;
            if (!task_find((int)owner))
                return -ESRCH;
            new = value | FUTEX_WAITERS;
        }
        if (new != value && cmpxchg_user32(addr, value, new, &found) < 0)
            return -EFAULT;
        if (new == value || found == value) {
            *ret_owner = (int)owner;
            return owner != 0;
        }
        value = found;
    }
}

/* Would waiting for `owner` close a circle? */
static bool pi_deadlock(int owner)
{
    const struct task *self = task_current();
    for (int depth = 0; depth < 1024; depth++) {
        const struct task *task = task_find(owner);
        if (!task)
            return false;
        if (task == self)
            return true;
        if (!task->pi_blocked || !task->pi_blocked->waiter.queued)
            return false;
        owner = task->pi_blocked->owner;
    }
    return true;
}

/* Take the word if it is free: 0 = taken, 1 = held by somebody else, and the WAITERS bit is set (unless `try`), or an
 * error. `waiters`: FUTEX_WAITERS if there may be others who wait. */
static int shared_acquire_word(uaddr_t addr, bool try, uint32_t waiters)
{
    uint32_t self = (uint32_t)task_current()->tid, value, found;
    if (get_user32(&value, addr) < 0)
        return -EFAULT;
    for (;;) {
        uint32_t owner = value & FUTEX_TID_MASK;
        if (owner == self)
            return -EDEADLK;
        if (owner != 0 && try)
            return -EAGAIN;
        uint32_t new = owner ? value | FUTEX_WAITERS : value | self | waiters;
        if (new == value)
            return 1;
        if (cmpxchg_user32(addr, value, new, &found) < 0)
            return -EFAULT;
        if (found == value)
            return owner != 0;
        value = found;
    }
}

static int64_t shared_lock(uaddr_t addr, const struct futex_key *key, uint64_t deadline, bool try)
{
    uint32_t waiters = 0;
    for (;;) {
        int r = shared_acquire_word(addr, try, waiters);
        if (r <= 0)
            return r;
        r = futex_wait_key(key, FUTEX_BITSET_MATCH_ANY, deadline);
        if (r < 0)
            return r == -EINTR ? -ERESTARTNOINTR : r;
        waiters = FUTEX_WAITERS;
    }
}

static int64_t shared_unlock(uaddr_t addr, uint32_t value)
{
    uint32_t found;
    for (;;) {
        if (cmpxchg_user32(addr, value, 0, &found) < 0)
            return -EFAULT;
        if (found == value)
            break;
        value = found;
    }
    futex_wake_address(addr, 1);
    return 0;
}

int64_t futex_lock_pi(uaddr_t addr, uint64_t deadline, bool try, bool private)
{
    struct task *task = task_current();
    struct pi_waiter w = {.waiter = {.addr = addr, .bitset = FUTEX_BITSET_MATCH_ANY, .task = task, .pi = true}};
    int r = futex_address_check(addr);
    if (r < 0)
        return r;
    struct futex_key key = futex_key_of(addr, private);
    if (key.file)
        return shared_lock(addr, &key, deadline, try);
    r = pi_acquire(addr, try, &w.owner);
    if (r <= 0)
        return r;
    if (pi_deadlock(w.owner))
        return -EDEADLK;

    w.waiter.queued = true;
    TAILQ_INSERT_TAIL(futex_bucket(addr), &w.waiter, link);
    task->pi_blocked = &w;
    r = 0;
    for (;;) {
        task_prepare_sleep(true);
        if (!w.waiter.queued || r < 0) {
            task_cancel_sleep();
            break;
        }
        r = task_sleep(deadline);
    }
    task->pi_blocked = NULL;
    if (!w.waiter.queued)
        return 0;
    pi_dequeue(&w);
    return r == -EINTR ? -ERESTARTNOINTR : r;
}

int64_t futex_unlock_pi(uaddr_t addr, bool private)
{
    uint32_t value;
    int r = futex_address_check(addr);
    if (r < 0)
        return r;
    if (get_user32(&value, addr) < 0)
        return -EFAULT;
    if ((value & FUTEX_TID_MASK) != (uint32_t)task_current()->tid)
        return -EPERM;
    return futex_key_of(addr, private).file ? shared_unlock(addr, value) : pi_hand_over(addr, 0);
}

static const struct pi_waiter *waiter_for(int owner)
{
    const struct process *process;
    const struct task *task;
    TAILQ_FOREACH (process, &process_list, table_link) {
        TAILQ_FOREACH (task, &process->threads, thread_link) {
            const struct pi_waiter *w = task->pi_blocked;
            if (w && w->waiter.queued && w->owner == owner)
                return w;
        }
    }
    return NULL;
}

void futex_exit_pi(struct task *task)
{
    /* Rare: look through the waiters of all threads for those that wait for this one. */
    const struct pi_waiter *w;
    while ((w = waiter_for(task->tid)) != NULL) {
        uaddr_t addr = w->waiter.addr;
        if (pi_hand_over(addr, FUTEX_OWNER_DIED) < 0)
            pi_set_owner(addr, 0);
    }
}

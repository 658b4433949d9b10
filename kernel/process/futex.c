/*
 * Futexes: a hash table of waiters by address, or by file and offset where enclaves share memory: those are queued in
 * the init enclave (kernel/remote/shared_futex.c). Within an enclave a page has one address, so private and shared
 * futexes are the same thing. Everything runs under the kernel lock: the value is read and the
 * waiter queued without a break between, and a waker cannot come between either.
 */
#include "kernel/process/futex.h"

#include <linux/errno.h>
#include <linux/futex.h>
#include <linux/time.h>

#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/process.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

#define BUCKET_COUNT 1024 /* power of two */

static struct futex_bucket buckets[BUCKET_COUNT];

struct futex_bucket *futex_bucket(uaddr_t addr)
{
    struct futex_bucket *bucket = &buckets[((addr >> 2) * 0x9e3779b97f4a7c15ULL) >> 54];
    _Static_assert(BUCKET_COUNT == 1 << (64 - 54), "the shift takes the top bits");
    if (!bucket->tqh_last)
        TAILQ_INIT(bucket);
    return bucket;
}

int futex_address_check(uaddr_t addr)
{
    if (addr % sizeof(uint32_t))
        return -EINVAL;
    return user_range_ok(addr, sizeof(uint32_t)) ? 0 : -EFAULT;
}

static const struct futex_remote *remote; /* in a member */

void futex_remote_set(const struct futex_remote *r)
{
    remote = r;
}

/* Only the place says whether a word without FUTEX_PRIVATE_FLAG is shared with other enclaves. */
struct futex_key futex_key_of(uaddr_t addr, bool private)
{
    struct futex_key key = {.at = addr};
    if (!private && shared_futex_key(addr, &key.file, &key.at))
        return key;
    return (struct futex_key){.at = addr};
}

static bool is_remote(const struct futex_key *key)
{
    return remote && key->file != 0;
}

void futex_queue(struct futex_waiter *waiter, const struct futex_key *key, uint32_t bitset)
{
    waiter->addr = key->at;
    waiter->file = key->file;
    waiter->bitset = bitset;
    waiter->queued = true;
    waiter->pi = false;
    TAILQ_INSERT_TAIL(futex_bucket(waiter->addr), waiter, link);
}

static void waiter_queue(struct futex_waiter *waiter, const struct futex_key *key, uint32_t bitset)
{
    waiter->task = task_current();
    waiter->woken = NULL;
    futex_queue(waiter, key, bitset);
}

void futex_unqueue(struct futex_waiter *waiter)
{
    if (!waiter->queued)
        return;
    TAILQ_REMOVE(futex_bucket(waiter->addr), waiter, link);
    waiter->queued = false;
}

static void waiter_wake(struct futex_waiter *waiter)
{
    futex_unqueue(waiter);
    if (waiter->woken)
        waiter->woken(waiter);
    else
        task_wake(waiter->task);
}

static bool waits_for(const struct futex_waiter *waiter, const struct futex_key *key)
{
    return waiter->addr == key->at && waiter->file == key->file && !waiter->pi;
}

int futex_wake_key(const struct futex_key *key, int count, uint32_t bitset)
{
    struct futex_waiter *waiter, *next;
    int woken = 0;
    if (count <= 0)
        count = 1; /* as Linux: at least one */
    TAILQ_FOREACH_SAFE (waiter, futex_bucket(key->at), link, next) {
        if (!waits_for(waiter, key) || !(waiter->bitset & bitset))
            continue;
        waiter_wake(waiter);
        if (++woken == count)
            break;
    }
    return woken;
}

static int wake(uaddr_t addr, int count, uint32_t bitset, bool private)
{
    struct futex_key key = futex_key_of(addr, private);
    return is_remote(&key) ? remote->wake(&key, count, bitset, false) : futex_wake_key(&key, count, bitset);
}

int futex_wake_address(uaddr_t addr, int count)
{
    struct futex_key key = futex_key_of(addr, false);
    if (is_remote(&key))
        return remote->wake(&key, count, FUTEX_BITSET_MATCH_ANY, true) +
               futex_wake_key(&(struct futex_key){.at = addr}, count, FUTEX_BITSET_MATCH_ANY);
    return futex_wake_key(&key, count, FUTEX_BITSET_MATCH_ANY);
}

static int64_t futex_wait(uaddr_t addr, uint32_t expected, uint32_t bitset, uint64_t deadline, bool private);

static int64_t futex_wait_again(struct task *task)
{
    return futex_wait(task->restart_args[0], (uint32_t)task->restart_args[1], (uint32_t)(task->restart_args[2] >> 1),
                      task->restart_args[3], task->restart_args[2] & 1);
}

/* 0 once woken, -EINTR or -ETIMEDOUT. */
static int wait_here(const struct futex_key *key, uint32_t bitset, uint64_t deadline)
{
    struct futex_waiter waiter;
    int r;
    waiter_queue(&waiter, key, bitset);
    do {
        task_prepare_sleep(true);
        if (!waiter.queued) {
            task_cancel_sleep();
            break;
        }
        r = task_sleep(deadline);
    } while (r == 0 && waiter.queued);
    if (!waiter.queued)
        return 0;
    futex_unqueue(&waiter);
    return r;
}

int futex_wait_key(const struct futex_key *key, uint32_t bitset, uint64_t deadline)
{
    return is_remote(key) ? remote->wait(key, bitset, deadline) : wait_here(key, bitset, deadline);
}

static int64_t futex_wait(uaddr_t addr, uint32_t expected, uint32_t bitset, uint64_t deadline, bool private)
{
    uint32_t value;
    if (bitset == 0)
        return -EINVAL;
    int r = futex_address_check(addr);
    if (r < 0)
        return r;
    if (get_user32(&value, addr) < 0)
        return -EFAULT;
    if (value != expected)
        return -EAGAIN;

    struct futex_key key = futex_key_of(addr, private);
    r = futex_wait_key(&key, bitset, deadline);
    if (r == 0 || r == -ETIMEDOUT || r == -ENOMEM)
        return r;
    if (deadline == NO_DEADLINE)
        return -ERESTARTSYS;
    struct task *task = task_current();
    task->restart_fn = futex_wait_again;
    task->restart_args[0] = addr;
    task->restart_args[1] = expected;
    task->restart_args[2] = (uint64_t)bitset << 1 | private;
    task->restart_args[3] = deadline;
    return -ERESTART_RESTARTBLOCK;
}

static int64_t futex_wake(uaddr_t addr, int count, uint32_t bitset, bool private)
{
    if (bitset == 0)
        return -EINVAL;
    int r = futex_address_check(addr);
    return r < 0 ? r : wake(addr, count, bitset, private);
}

int futex_requeue_key(const struct futex_key *from, const struct futex_key *to, int wake_count, int requeue_count)
{
    struct futex_waiter *waiter, *next;
    int woken = 0, moved = 0;
    bool same = from->at == to->at && from->file == to->file;
    TAILQ_FOREACH_SAFE (waiter, futex_bucket(from->at), link, next) {
        if (!waits_for(waiter, from))
            continue;
        if (woken < wake_count) {
            waiter_wake(waiter);
            woken++;
        } else if (moved < requeue_count) {
            moved++;
            if (same)
                continue;
            TAILQ_REMOVE(futex_bucket(from->at), waiter, link);
            waiter->addr = to->at;
            waiter->file = to->file;
            TAILQ_INSERT_TAIL(futex_bucket(to->at), waiter, link);
        } else {
            break;
        }
    }
    return woken + moved;
}

static int64_t futex_requeue(uaddr_t from, uaddr_t to, int wake_count, int requeue_count, const uint32_t *expected,
                             bool private)
{
    if (wake_count < 0 || requeue_count < 0)
        return -EINVAL;
    int r = futex_address_check(from);
    if (r == 0)
        r = futex_address_check(to);
    if (r < 0)
        return r;
    uint32_t value;
    if (expected) {
        if (get_user32(&value, from) < 0)
            return -EFAULT;
        if (value != *expected)
            return -EAGAIN;
    }
    struct futex_key from_key = futex_key_of(from, private), to_key = futex_key_of(to, private);
    if (remote && (from_key.file == 0) != (to_key.file == 0))
        return -EINVAL; /* a queue of this enclave and one of the init enclave */
    if (is_remote(&from_key))
        return remote->requeue(&from_key, &to_key, wake_count, requeue_count);
    return futex_requeue_key(&from_key, &to_key, wake_count, requeue_count);
}

static int32_t sign_extend12(uint32_t value)
{
    return (int32_t)(value << 20) >> 20;
}

static int wake_op_apply(uaddr_t addr, uint32_t encoded, uint32_t *ret_old)
{
    unsigned op = (encoded >> 28) & 7;
    int32_t argument = sign_extend12((encoded >> 12) & 0xfff);
    if (encoded & (FUTEX_OP_OPARG_SHIFT << 28))
        argument = (int32_t)(1U << (argument & 31));
    uint32_t a = (uint32_t)argument, old, found;
    if (get_user32(&old, addr) < 0)
        return -EFAULT;
    for (;;) {
        uint32_t new;
        switch (op) {
        case FUTEX_OP_SET:
            new = a;
            break;
        case FUTEX_OP_ADD:
            new = old + a;
            break;
        case FUTEX_OP_OR:
            new = old | a;
            break;
        case FUTEX_OP_ANDN:
            new = old & ~a;
            break;
        case FUTEX_OP_XOR:
            new = old ^ a;
            break;
        default:
            return -ENOSYS;
        }
        if (cmpxchg_user32(addr, old, new, &found) < 0)
            return -EFAULT;
        if (found == old)
            break;
        old = found;
    }
    *ret_old = old;
    return 0;
}

static int wake_op_compare(uint32_t encoded, uint32_t old_value)
{
    int32_t argument = sign_extend12(encoded & 0xfff), old = (int32_t)old_value;
    switch ((encoded >> 24) & 15) {
    case FUTEX_OP_CMP_EQ:
        return old == argument;
    case FUTEX_OP_CMP_NE:
        return old != argument;
    case FUTEX_OP_CMP_LT:
        return old < argument;
    case FUTEX_OP_CMP_LE:
        return old <= argument;
    case FUTEX_OP_CMP_GT:
        return old > argument;
    case FUTEX_OP_CMP_GE:
        return old >= argument;
    default:
        return -ENOSYS;
    }
}

static int64_t futex_wake_op(uaddr_t addr1, uaddr_t addr2, int count1, int count2, uint32_t encoded, bool private)
{
    uint32_t old;
    int r = futex_address_check(addr1);
    if (r == 0)
        r = futex_address_check(addr2);
    if (r == 0)
        r = wake_op_apply(addr2, encoded, &old);
    if (r < 0)
        return r;
    int also = wake_op_compare(encoded, old);
    if (also < 0)
        return also;
    int woken = wake(addr1, count1, FUTEX_BITSET_MATCH_ANY, private);
    if (also)
        woken += wake(addr2, count2, FUTEX_BITSET_MATCH_ANY, private);
    return woken;
}

/* The deadline of commands that may have one. */
static int futex_deadline(int op, uaddr_t user_timeout, uint64_t *ret_deadline)
{
    int command = op & FUTEX_CMD_MASK;
    *ret_deadline = NO_DEADLINE;
    bool timed =
        command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2;
    if (!timed || !user_timeout)
        return 0;
    uint64_t ns;
    int r = timespec_from_user(&ns, user_timeout);
    if (r < 0)
        return r;
    if (command == FUTEX_WAIT) {
        *ret_deadline = clock_deadline_after(ns);
        return 0;
    }
    bool wall = command == FUTEX_LOCK_PI || (op & FUTEX_CLOCK_REALTIME);
    *ret_deadline = clock_deadline_at(wall ? CLOCK_REALTIME : CLOCK_MONOTONIC, ns);
    return 0;
}

SYSCALL_DEFINE6(futex, uaddr_t, addr, int, op, uint32_t, value, uint64_t, timeout, uaddr_t, addr2, uint32_t, value3)
{
    int command = op & FUTEX_CMD_MASK;
    bool private = op & FUTEX_PRIVATE_FLAG;
    uint64_t deadline;
    if ((op & FUTEX_CLOCK_REALTIME) && command != FUTEX_WAIT_BITSET && command != FUTEX_LOCK_PI2)
        return -ENOSYS;
    int r = futex_deadline(op, timeout, &deadline);
    if (r < 0)
        return r;
    switch (command) {
    case FUTEX_WAIT:
        return futex_wait(addr, value, FUTEX_BITSET_MATCH_ANY, deadline, private);
    case FUTEX_WAIT_BITSET:
        return futex_wait(addr, value, value3, deadline, private);
    case FUTEX_WAKE:
        return futex_wake(addr, (int)value, FUTEX_BITSET_MATCH_ANY, private);
    case FUTEX_WAKE_BITSET:
        return futex_wake(addr, (int)value, value3, private);
    case FUTEX_REQUEUE:
        return futex_requeue(addr, addr2, (int)value, (int)timeout, NULL, private);
    case FUTEX_CMP_REQUEUE:
        return futex_requeue(addr, addr2, (int)value, (int)timeout, &value3, private);
    case FUTEX_WAKE_OP:
        return futex_wake_op(addr, addr2, (int)value, (int)timeout, value3, private);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return futex_lock_pi(addr, deadline, false, private);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(addr, NO_DEADLINE, true, private);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(addr, private);
    default:
        return -ENOSYS;
    }
}

/* Queue every element that still has its value: 0; or its -EAGAIN and so on, with none queued. */
static int waitv_queue(struct futex_waiter *waiters, const struct futex_waitv *list, unsigned count)
{
    int r = 0;
    unsigned i;
    for (i = 0; i < count; i++) {
        uint32_t value;
        r = futex_address_check(list[i].uaddr);
        if (r == 0 && get_user32(&value, list[i].uaddr) < 0)
            r = -EFAULT;
        if (r == 0 && value != (uint32_t)list[i].val)
            r = -EAGAIN;
        struct futex_key key = futex_key_of(list[i].uaddr, list[i].flags & FUTEX_PRIVATE_FLAG);
        if (r == 0 && is_remote(&key))
            r = -ENOSYS;
        if (r < 0)
            break;
        waiter_queue(&waiters[i], &key, FUTEX_BITSET_MATCH_ANY);
    }
    if (r < 0) {
        while (i-- > 0)
            futex_unqueue(&waiters[i]);
    }
    return r;
}

static int waitv_woken(const struct futex_waiter *waiters, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!waiters[i].queued)
            return (int)i;
    }
    return -1;
}

static int64_t waitv(struct futex_waiter *waiters, const struct futex_waitv *list, unsigned count, uint64_t deadline)
{
    int r = waitv_queue(waiters, list, count);
    if (r < 0)
        return r;
    int woken;
    for (;;) {
        task_prepare_sleep(true);
        woken = waitv_woken(waiters, count);
        if (woken >= 0 || r < 0) {
            task_cancel_sleep();
            break;
        }
        r = task_sleep(deadline);
    }
    for (unsigned i = 0; i < count; i++)
        futex_unqueue(&waiters[i]);
    if (woken >= 0)
        return woken;
    return r == -EINTR ? -ERESTARTSYS : r;
}

SYSCALL_DEFINE5(futex_waitv, uaddr_t, user_list, unsigned, count, unsigned, flags, uaddr_t, user_timeout, int, clock)
{
    uint64_t deadline = NO_DEADLINE, ns;
    if (flags || count == 0 || count > FUTEX_WAITV_MAX || !user_list)
        return -EINVAL;
    if (user_timeout) {
        if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
            return -EINVAL;
        int r = timespec_from_user(&ns, user_timeout);
        if (r < 0)
            return r;
        deadline = clock_deadline_at(clock, ns);
    }
    struct futex_waitv *list = kmalloc(count * sizeof *list);
    struct futex_waiter *waiters = kmalloc(count * sizeof *waiters);
    int64_t r = list && waiters ? 0 : -ENOMEM;
    if (r == 0)
        r = copy_from_user(list, user_list, count * sizeof *list);
    for (unsigned i = 0; r == 0 && i < count; i++) {
        if ((list[i].flags & ~(uint32_t)FUTEX_PRIVATE_FLAG) != FUTEX_32 || list[i].__reserved)
            r = -EINVAL;
    }
    if (r == 0)
        r = waitv(waiters, list, count, deadline);
    kfree(waiters);
    kfree(list);
    return r;
}

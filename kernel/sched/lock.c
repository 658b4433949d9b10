/*
 * The kernel lock: test-and-test-and-set, spinning a bounded time. The holder may have been descheduled by the host, so
 * a waiter then gives its host CPU away instead of burning it.
 */
#include "kernel/sched/lock.h"

#include "kernel/arch/hostcall.h"
#include "kernel/arch/vcpu.h"
#include "kernel/sched/task.h"

#define SPINS_BEFORE_YIELD 1000

static struct {
    uint32_t holder;  /* vCPU index + 1, 0 = free */
    uint32_t waiters; /* vCPUs that spin: whoever comes while there are some spins too, or they would starve */
} __attribute__((aligned(128))) lock;

static bool try_lock(uint32_t me)
{
    uint32_t free = 0;
    return __atomic_compare_exchange_n(&lock.holder, &free, me, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static bool spin(uint32_t me)
{
    for (unsigned i = 0; i < SPINS_BEFORE_YIELD; i++) {
        __builtin_ia32_pause();
        if (__atomic_load_n(&lock.holder, __ATOMIC_RELAXED) == 0 && try_lock(me))
            return true;
    }
    return false;
}

/* Longer than a spinning vCPU takes to see a free lock. */
static void let_others_pass(void)
{
    for (unsigned i = 0; i < 8 && __atomic_load_n(&lock.waiters, __ATOMIC_RELAXED) != 0; i++)
        __builtin_ia32_pause();
}

static __attribute__((noinline)) void lock_slow(uint32_t me)
{
    let_others_pass();
    __atomic_fetch_add(&lock.waiters, 1, __ATOMIC_RELAXED);
    while (!spin(me))
        hostcall_yield();
    __atomic_fetch_sub(&lock.waiters, 1, __ATOMIC_RELAXED);
}

/* With one vCPU there is nobody to keep out, and kernel code is not preempted: a plain store, for kernel_lock_held().
 */
void kernel_lock(void)
{
    uint32_t me = vcpu_self()->index + 1;
    if (vcpu_count() == 1)
        lock.holder = me;
    else if (unlikely(__atomic_load_n(&lock.waiters, __ATOMIC_RELAXED) != 0 || !try_lock(me)))
        lock_slow(me);
}

void kernel_unlock(void)
{
    __atomic_store_n(&lock.holder, 0, __ATOMIC_RELEASE);
}

bool kernel_lock_held(void)
{
    return __atomic_load_n(&lock.holder, __ATOMIC_RELAXED) == vcpu_self()->index + 1;
}

/*
 * The kernel lock: test-and-test-and-set, spinning a bounded time. The holder may have been descheduled by the host, so
 * a waiter then gives its host CPU away instead of burning it.
 */
#include "kernel/sched/lock.h"

#include "kernel/arch/hostcall.h"
#include "kernel/arch/vcpu.h"
#include "kernel/sched/task.h"

#define SPINS_BEFORE_YIELD 4000

static struct {
    uint32_t holder; /* vCPU index + 1, 0 = free */
} __attribute__((aligned(128))) lock;

static bool try_lock(uint32_t me)
{
    uint32_t free = 0;
    return __atomic_compare_exchange_n(&lock.holder, &free, me, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static __attribute__((noinline)) void lock_slow(void)
{
    for (;;) {
        for (unsigned i = 0; i < SPINS_BEFORE_YIELD; i++) {
            if (__atomic_load_n(&lock.holder, __ATOMIC_RELAXED) == 0 && try_lock(vcpu_self()->index + 1))
                return;
            __builtin_ia32_pause();
        }
        hostcall_yield();
    }
}

/* With one vCPU there is nobody to keep out, and kernel code is not preempted: a plain store, for kernel_lock_held().
 */
void kernel_lock(void)
{
    if (vcpu_count() == 1) {
        lock.holder = 1;
        return;
    }
    if (unlikely(!try_lock(vcpu_self()->index + 1)))
        lock_slow();
}

void kernel_unlock(void)
{
    __atomic_store_n(&lock.holder, 0, __ATOMIC_RELEASE);
}

bool kernel_lock_held(void)
{
    return __atomic_load_n(&lock.holder, __ATOMIC_RELAXED) == vcpu_self()->index + 1;
}

/*
 * The ticker: a thread that interrupts vCPUs which ask for it (vcpu_shared.tick_wanted), about every 4 ms to preempt
 * and every 1 ms to flush. While all vCPUs are parked it sleeps on ticker_asleep; the first that runs again wakes it.
 */
#include "host/clock.h"
#include "host/crowd.h"
#include "host/members.h"
#include "host/pump/pump.h"
#include "host/runtime.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FLUSH_NS 1000000ULL
#define PREEMPT_NS 4000000ULL
#define CALM_NS 3000000ULL /* between looks while nobody needed the quick tick lately */
#define CALM_AFTER 8       /* looks */
#define SLEEP_AFTER 16     /* looks that found every vCPU parked */
#define CROWD_EVERY 4      /* looks */

static bool due(const struct vcpu *vcpu, uint64_t now)
{
    uint32_t wanted = __atomic_load_n(&vcpu->shared->tick_wanted, __ATOMIC_RELAXED);
    uint64_t period = wanted == TICK_NONE ? UINT64_MAX : wanted == TICK_FLUSH ? FLUSH_NS : PREEMPT_NS;

    return period != UINT64_MAX && now - vcpu->last_tick_ns >= period - period / 8;
}

/* A kernel of another process rang, and the kick may have come when it could not be taken. */
static bool rung(const struct runtime *runtime, unsigned i)
{
    return i == 0 && __atomic_load_n(&member_self(runtime)->attention, __ATOMIC_RELAXED) != 0;
}

/* Returns whether anybody ran, and whether anybody wants the quick tick who has not parked since the last look. */
static void look(struct runtime *runtime, bool *ret_running, bool *ret_flush)
{
    uint64_t now = clock_monotonic_ns();

    *ret_running = *ret_flush = false;
    for (unsigned i = 0; i < runtime->vcpu_count; i++) {
        struct vcpu *vcpu = &runtime->vcpus[i];
        struct sgx_thread *thread = atomic_load(&vcpu->sgx);

        if (atomic_load(vcpu->parked) || !thread)
            continue;
        *ret_running = true;
        if (vcpu->idle_count != vcpu->idle_seen) { /* what a tick is for has just been done */
            vcpu->idle_seen = vcpu->idle_count;
            vcpu->last_tick_ns = now;
            continue;
        }
        members_settle(runtime, i);
        *ret_flush |= __atomic_load_n(&vcpu->shared->tick_wanted, __ATOMIC_RELAXED) == TICK_FLUSH;
        if (atomic_load(vcpu->kicked) && vcpu->kick_retries > 0)
            vcpu->kick_retries--;
        else if (!due(vcpu, now) && !rung(runtime, i))
            continue;
        vcpu->last_tick_ns = now;
        sgx_tick(thread);
    }
}

static void sleep_until_running(struct runtime *runtime)
{
    bool running = false;

    atomic_store(&runtime->ticker_asleep, 1);
    for (unsigned i = 0; i < runtime->vcpu_count; i++)
        running |= !atomic_load(runtime->vcpus[i].parked);
    while (!running && atomic_load(&runtime->ticker_asleep))
        syscall(SYS_futex, &runtime->ticker_asleep, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    atomic_store(&runtime->ticker_asleep, 0);
}

void ticker_wake(struct runtime *runtime)
{
    if (atomic_exchange(&runtime->ticker_asleep, 0))
        syscall(SYS_futex, &runtime->ticker_asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *ticker_main(void *arg)
{
    struct runtime *runtime = arg;
    unsigned idle = 0, calm = 0, looks = 0;
    struct crowd crowd;

    crowd_init(&crowd);
    prctl(PR_SET_NAME, "cofre-ticker");
    prctl(PR_SET_TIMERSLACK, 50000UL);
    for (;;) {
        bool running, flush;
        struct timespec period = {.tv_nsec = calm < CALM_AFTER ? (long)FLUSH_NS : (long)CALM_NS};

        clock_nanosleep(CLOCK_MONOTONIC, 0, &period, NULL);
        look(runtime, &running, &flush);
        if (running && ++looks % CROWD_EVERY == 0) {
            __atomic_store_n(&member_self(runtime)->crowded, crowd_look(&crowd), __ATOMIC_RELAXED);
            __atomic_store_n(&member_self(runtime)->serves_full,
                             crowd_is_full(&crowd) && pump_has_many_clients(runtime->pump), __ATOMIC_RELAXED);
        }
        idle = running ? 0 : idle + 1;
        calm = flush ? 0 : calm + 1;
        if (idle > SLEEP_AFTER) {
            sleep_until_running(runtime);
            idle = calm = 0;
        }
    }
    return NULL;
}

int ticker_start(struct runtime *runtime)
{
    pthread_t thread;
    sigset_t all, before;
    int ret;

    sigfillset(&all); /* the tick signal is for vCPU threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ret = pthread_create(&thread, NULL, ticker_main, runtime);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -ret;
}

/* The three interval timers of a process (setitimer) and alarm; and a fourth, for RLIMIT_CPU. */
#include "kernel/process/itimer.h"

#include <linux/errno.h>
#include <linux/time.h>

#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/siginfo.h"
#include "kernel/syscalls/syscall.h"

/* CPU-time timers are looked at no more often than this. */
#define CPU_TIMER_STEP_NS 1000000ULL

struct itimer {
    struct timer timer;
    struct process *process;
    int which;
    uint64_t expires; /* on its clock; 0 = disarmed */
    uint64_t interval;
};

enum { ITIMER_LIMIT = ITIMER_PROF + 1, ITIMER_COUNT };

static const int itimer_signals[ITIMER_COUNT] = {SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU};
static void itimer_fire(struct timer *timer);

/* NULL: out of memory. */
static struct itimer *itimer_get(struct process *process, int which)
{
    if (!process->itimers) {
        process->itimers = kzalloc(ITIMER_COUNT * sizeof *process->itimers);
        for (int i = 0; process->itimers && i < ITIMER_COUNT; i++) {
            timer_init(&process->itimers[i].timer, itimer_fire);
            process->itimers[i].process = process;
            process->itimers[i].which = i;
        }
    }
    return process->itimers ? &process->itimers[which] : NULL;
}

void itimers_delete(struct process *process)
{
    for (int i = 0; process->itimers && i < ITIMER_COUNT; i++)
        timer_cancel(&process->itimers[i].timer);
    kfree(process->itimers);
    process->itimers = NULL;
}

static uint64_t itimer_now(const struct itimer *it)
{
    if (it->which == ITIMER_REAL)
        return time_monotonic_ns();
    uint64_t user, system;
    uint64_t all = process_cpu_ns(it->process, &user, &system);
    return it->which == ITIMER_VIRTUAL ? user : all;
}

static void itimer_rearm(struct itimer *it)
{
    if (it->which == ITIMER_REAL) {
        timer_arm(&it->timer, it->expires);
        return;
    }
    /* CPU time runs at most vcpu_count() times as fast as the clock: look again when it could have come. */
    uint64_t now = itimer_now(it);
    uint64_t left = it->expires > now ? it->expires - now : 0;
    timer_arm(&it->timer, clock_deadline_after(MAX(left / vcpu_count(), CPU_TIMER_STEP_NS)));
}

static bool hard_limit_reached(const struct itimer *it, uint64_t now)
{
    uint64_t hard = it->process->limits[RLIMIT_CPU].rlim_max;
    return it->which == ITIMER_LIMIT && now / NS_PER_SEC >= MAX(hard, 1UL);
}

static void itimer_fire(struct timer *timer)
{
    struct itimer *it = container_of(timer, struct itimer, timer);
    if (it->expires == 0 || (it->which == ITIMER_LIMIT && it->process->remote)) /* that one's kernel sees to it */
        return;
    uint64_t now = itimer_now(it);
    if (now >= it->expires) {
        struct signal_source source = {.signal = itimer_signals[it->which], .code = SI_KERNEL};
        if (hard_limit_reached(it, now))
            source.signal = SIGKILL;
        signal_send_process(it->process, &source);
        if (it->interval == 0) {
            it->expires = 0;
            return;
        }
        it->expires += ((now - it->expires) / it->interval + 1) * it->interval;
    }
    itimer_rearm(it);
}

static uint64_t itimer_left(const struct itimer *it)
{
    if (it->expires == 0)
        return 0;
    uint64_t now = itimer_now(it);
    return it->expires > now ? it->expires - now : 1;
}

static void itimer_set(struct itimer *it, uint64_t value, uint64_t interval)
{
    timer_cancel(&it->timer);
    it->interval = interval;
    it->expires = value ? itimer_now(it) + MIN(value, NS_MAX / 2) : 0;
    if (it->expires)
        itimer_rearm(it);
}

void itimers_limit(struct process *process)
{
    uint64_t seconds = process->limits[RLIMIT_CPU].rlim_cur;
    if (seconds == RLIM64_INFINITY && !process->itimers)
        return;
    struct itimer *it = itimer_get(process, ITIMER_LIMIT);
    if (!it)
        return;
    timer_cancel(&it->timer);
    it->interval = NS_PER_SEC;
    it->expires = seconds < NS_MAX / NS_PER_SEC ? MAX(seconds, 1UL) * NS_PER_SEC : 0;
    if (it->expires)
        itimer_rearm(it);
}

void itimers_take(struct process *process, struct itimer_times *ret)
{
    *ret = (struct itimer_times){0};
    for (int i = 0; process->itimers && i <= ITIMER_PROF; i++) {
        ret->left_ns[i] = itimer_left(&process->itimers[i]);
        ret->interval_ns[i] = process->itimers[i].interval;
    }
    itimers_delete(process);
}

void itimers_put(struct process *process, const struct itimer_times *times)
{
    for (int i = 0; i <= ITIMER_PROF; i++) {
        struct itimer *it = times->left_ns[i] ? itimer_get(process, i) : NULL;
        if (it)
            itimer_set(it, times->left_ns[i], MIN(times->interval_ns[i], NS_MAX / 2));
    }
}

static int timeval_to_ns(uint64_t *ret_ns, const int64_t tv[2])
{
    if (tv[0] < 0 || tv[1] < 0 || tv[1] >= 1000000)
        return -EINVAL;
    struct __kernel_timespec ts = {tv[0], tv[1] * 1000};
    return timespec_to_ns(ret_ns, &ts);
}

static int itimerval_to_user(uaddr_t user, const struct itimer *it)
{
    uint64_t left = itimer_left(it);
    /* What is left rounds up, so that an armed timer never reads as zero. */
    uint64_t left_us = (left + NS_PER_US - 1) / NS_PER_US, interval_us = it->interval / NS_PER_US;
    int64_t tv[4] = {(int64_t)(interval_us / 1000000), (int64_t)(interval_us % 1000000), (int64_t)(left_us / 1000000),
                     (int64_t)(left_us % 1000000)};
    return copy_to_user(user, tv, sizeof tv);
}

SYSCALL_DEFINE2(getitimer, int, which, uaddr_t, user_value)
{
    if (which < ITIMER_REAL || which > ITIMER_PROF)
        return -EINVAL;
    const struct itimer *it = itimer_get(process_self(), which);
    return it ? itimerval_to_user(user_value, it) : -ENOMEM;
}

SYSCALL_DEFINE3(setitimer, int, which, uaddr_t, user_new, uaddr_t, user_old)
{
    int64_t tv[4] = {0, 0, 0, 0};
    uint64_t value, interval;
    if (user_new && copy_from_user(tv, user_new, sizeof tv) < 0)
        return -EFAULT;
    if (which < ITIMER_REAL || which > ITIMER_PROF || timeval_to_ns(&interval, tv) < 0 ||
        timeval_to_ns(&value, tv + 2) < 0)
        return -EINVAL;
    struct itimer *it = itimer_get(process_self(), which);
    if (!it)
        return -ENOMEM;
    struct itimer old = *it;
    if (user_old && itimerval_to_user(user_old, &old) < 0)
        return -EFAULT;
    itimer_set(it, value, interval);
    return 0;
}

SYSCALL_DEFINE1(alarm, uint32_t, seconds)
{
    struct itimer *it = itimer_get(process_self(), ITIMER_REAL);
    if (!it)
        return 0;
    uint64_t left = itimer_left(it);
    itimer_set(it, seconds * NS_PER_SEC, 0);
    /* As Linux: rounded to the nearest second, but an armed alarm is never 0. */
    uint64_t left_s = (left + NS_PER_SEC / 2) / NS_PER_SEC;
    return left && !left_s ? 1 : (int64_t)left_s;
}

/* The three interval timers of a process (setitimer) and alarm. */
#include <linux/errno.h>
#include <linux/time.h>

#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/siginfo.h"
#include "kernel/syscalls/syscall.h"

/* CPU-time timers are looked at no more often than this. */
#define CPU_TIMER_STEP_NS 1000000ULL

struct itimer {
    struct timer timer;
    int which;
    uint64_t expires; /* on its clock; 0 = disarmed */
    uint64_t interval;
};

static const int itimer_signals[3] = {SIGALRM, SIGVTALRM, SIGPROF};
static void itimer_fire(struct timer *timer);
static struct itimer itimers[3];

static struct itimer *itimer_get(int which)
{
    struct itimer *it = &itimers[which];
    if (!it->timer.fn) {
        timer_init(&it->timer, itimer_fire);
        it->which = which;
    }
    return it;
}

static uint64_t itimer_now(int which)
{
    if (which == ITIMER_REAL)
        return time_monotonic_ns();
    uint64_t user, system;
    uint64_t all = process_cpu_ns(process_self(), &user, &system);
    return which == ITIMER_VIRTUAL ? user : all;
}

static void itimer_rearm(struct itimer *it)
{
    if (it->which == ITIMER_REAL) {
        timer_arm(&it->timer, it->expires);
        return;
    }
    /* CPU time runs at most vcpu_count() times as fast as the clock: look again when it could have come. */
    uint64_t now = itimer_now(it->which);
    uint64_t left = it->expires > now ? it->expires - now : 0;
    timer_arm(&it->timer, clock_deadline_after(MAX(left / vcpu_count(), CPU_TIMER_STEP_NS)));
}

static void itimer_fire(struct timer *timer)
{
    struct itimer *it = container_of(timer, struct itimer, timer);
    uint64_t now = itimer_now(it->which);
    if (it->expires == 0)
        return;
    if (now >= it->expires) {
        struct signal_source source = {.signal = itimer_signals[it->which], .code = SI_KERNEL};
        signal_send_process(process_self(), &source);
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
    uint64_t now = itimer_now(it->which);
    return it->expires > now ? it->expires - now : 1;
}

static void itimer_set(struct itimer *it, uint64_t value, uint64_t interval)
{
    timer_cancel(&it->timer);
    it->interval = interval;
    it->expires = value ? itimer_now(it->which) + MIN(value, NS_MAX / 2) : 0;
    if (it->expires)
        itimer_rearm(it);
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
    return itimerval_to_user(user_value, itimer_get(which));
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
    struct itimer *it = itimer_get(which);
    struct itimer old = *it;
    if (user_old && itimerval_to_user(user_old, &old) < 0)
        return -EFAULT;
    itimer_set(it, value, interval);
    return 0;
}

SYSCALL_DEFINE1(alarm, uint32_t, seconds)
{
    struct itimer *it = itimer_get(ITIMER_REAL);
    uint64_t left = itimer_left(it);
    itimer_set(it, seconds * NS_PER_SEC, 0);
    /* As Linux: rounded to the nearest second, but an armed alarm is never 0. */
    uint64_t left_s = (left + NS_PER_SEC / 2) / NS_PER_SEC;
    return left && !left_s ? 1 : (int64_t)left_s;
}

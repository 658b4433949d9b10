/* Sleeping: nanosleep and clock_nanosleep, and their restart after a signal without a handler. */
#include <linux/errno.h>
#include <linux/time.h>

#include "kernel/process/clock.h"
#include "kernel/process/process.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

#ifndef TIMER_ABSTIME
#define TIMER_ABSTIME 1
#endif

/* Until the deadline: 0, or -EINTR. */
static int sleep_until(uint64_t deadline)
{
    int r;
    do {
        task_prepare_sleep(true);
        r = task_sleep(deadline);
    } while (r == 0);
    return r == -ETIMEDOUT ? 0 : r;
}

static int64_t sleep_relative(struct task *task)
{
    uint64_t deadline = task->restart_args[0];
    uaddr_t user_remain = task->restart_args[1];
    if (sleep_until(deadline) == 0)
        return 0;
    uint64_t now = time_monotonic_ns();
    if (now >= deadline)
        return 0;
    if (user_remain) {
        int r = timespec_to_user(user_remain, deadline - now);
        if (r < 0)
            return r;
    }
    task->restart_fn = sleep_relative;
    return -ERESTART_RESTARTBLOCK;
}

static int64_t sleep_relative_start(uint64_t ns, uaddr_t user_remain)
{
    struct task *task = task_current();
    task->restart_args[0] = clock_deadline_after(ns);
    task->restart_args[1] = user_remain;
    return sleep_relative(task);
}

SYSCALL_DEFINE2(nanosleep, uaddr_t, user_time, uaddr_t, user_remain)
{
    uint64_t ns;
    int r = timespec_from_user(&ns, user_time);
    return r < 0 ? r : sleep_relative_start(ns, user_remain);
}

/* On the CPU clock of the process: it can advance no faster than vcpu_count() times real time. */
static int64_t sleep_cpu_clock(int clock, uint64_t until)
{
    for (;;) {
        uint64_t now;
        int r = clock_read(clock, &now);
        if (r < 0)
            return r;
        if (now >= until)
            return 0;
        uint64_t step = MAX((until - now) / vcpu_count(), 50000ULL);
        if (sleep_until(clock_deadline_after(step)) < 0)
            return -ERESTARTNOHAND;
    }
}

SYSCALL_DEFINE4(clock_nanosleep, int, clock, int, flags, uaddr_t, user_time, uaddr_t, user_remain)
{
    uint64_t ns, now;
    bool absolute = flags & TIMER_ABSTIME;
    bool cpu = clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID;
    if (!cpu && !clock_is_timeline(clock))
        return clock_read(clock, &now) == 0 && clock != CLOCK_THREAD_CPUTIME_ID ? -EOPNOTSUPP : -EINVAL;
    int r = timespec_from_user(&ns, user_time);
    if (r < 0)
        return r;
    if (cpu) {
        r = clock_read(clock, &now);
        if (r < 0)
            return r;
        return sleep_cpu_clock(clock, absolute ? ns : now + ns);
    }
    if (!absolute)
        return sleep_relative_start(ns, user_remain);
    return sleep_until(clock_deadline_at(clock, ns)) == 0 ? 0 : -ERESTARTNOHAND;
}

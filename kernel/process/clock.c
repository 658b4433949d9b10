/* Clocks by id, conversions of times, and the system calls that read or would set clocks. */
#include <linux/errno.h>
#include <linux/time.h>
#include <linux/timex.h>

#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/process.h"
#include "kernel/process/table.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

/* Encoding of CPU clocks of a process or thread, as in Linux's posix-timers: ~pid << 3 | per thread << 2 | kind. */
#define CPUCLOCK_PER_THREAD 4
#define CPUCLOCK_KIND 3
enum { CPUCLOCK_PROF, CPUCLOCK_VIRT, CPUCLOCK_SCHED };

#define COARSE_RESOLUTION_NS 4000000ULL

int timespec_to_ns(uint64_t *ret_ns, const struct __kernel_timespec *ts)
{
    if (ts->tv_sec < 0 || ts->tv_nsec < 0 || ts->tv_nsec >= (int64_t)NS_PER_SEC)
        return -EINVAL;
    uint64_t ns;
    if (__builtin_mul_overflow((uint64_t)ts->tv_sec, NS_PER_SEC, &ns) || ns > NS_MAX - NS_PER_SEC)
        *ret_ns = NS_MAX;
    else
        *ret_ns = ns + (uint64_t)ts->tv_nsec;
    return 0;
}

int timespec_from_user(uint64_t *ret_ns, uaddr_t user)
{
    struct __kernel_timespec ts;
    if (copy_from_user(&ts, user, sizeof ts) < 0)
        return -EFAULT;
    return timespec_to_ns(ret_ns, &ts);
}

struct __kernel_timespec timespec_of_ns(uint64_t ns)
{
    return (struct __kernel_timespec){(int64_t)(ns / NS_PER_SEC), (long long)(ns % NS_PER_SEC)};
}

int timespec_to_user(uaddr_t user, uint64_t ns)
{
    struct __kernel_timespec ts = timespec_of_ns(ns);
    return copy_to_user(user, &ts, sizeof ts);
}

uint64_t clock_deadline_after(uint64_t ns)
{
    uint64_t now = time_monotonic_ns();
    return ns >= NS_MAX - now ? NO_DEADLINE : now + ns;
}

bool clock_is_wall(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI;
}

bool clock_is_timeline(int clock)
{
    return clock_is_wall(clock) || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM;
}

uint64_t clock_deadline_at(int clock, uint64_t ns)
{
    if (ns >= NS_MAX)
        return NO_DEADLINE;
    uint64_t now = clock_is_wall(clock)                                       ? time_realtime_ns()
                   : clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM ? time_boot_ns()
                                                                              : 0;
    uint64_t monotonic = time_monotonic_ns();
    if (now == 0)
        return ns;
    return ns <= now ? monotonic : clock_deadline_after(ns - now);
}

static int thread_clock_read(const struct task *task, int kind, uint64_t *ret_ns)
{
    if (!task)
        return -EINVAL;
    uint64_t all = thread_cpu_ns(task);
    *ret_ns = kind == CPUCLOCK_VIRT ? all - MIN(task->system_ns, all) : all;
    return 0;
}

static int process_clock_read(const struct process *process, int kind, uint64_t *ret_ns)
{
    uint64_t user, system;
    if (!process)
        return -EINVAL;
    uint64_t all = process_cpu_ns(process, &user, &system);
    *ret_ns = kind == CPUCLOCK_VIRT ? user : all;
    return 0;
}

/* Anybody's process clock can be read, but only one's own threads'. */
static int cpu_clock_read(int clock, uint64_t *ret_ns)
{
    int id = ~(clock >> 3), kind = clock & CPUCLOCK_KIND;
    if (kind > CPUCLOCK_SCHED)
        return -EINVAL;
    if (clock & CPUCLOCK_PER_THREAD)
        return thread_clock_read(id == 0 ? task_current() : thread_find(id), kind, ret_ns);
    return process_clock_read(id == 0 ? process_self() : process_find(id), kind, ret_ns);
}

int clock_read_bound(int clock, uint64_t *ret_ns)
{
    int id = ~(clock >> 3), kind = clock & CPUCLOCK_KIND;
    if (clock >= 0)
        return clock_read(clock, ret_ns);
    return clock & CPUCLOCK_PER_THREAD ? thread_clock_read(task_find(id), kind, ret_ns)
                                       : process_clock_read(process_find(id), kind, ret_ns);
}

int clock_bind(int clock)
{
    bool own = clock < 0 && ~(clock >> 3) == 0;
    int kind = own ? clock & CPUCLOCK_KIND : CPUCLOCK_SCHED;
    if (clock == CLOCK_THREAD_CPUTIME_ID || (own && (clock & CPUCLOCK_PER_THREAD)))
        return (int)(~(unsigned)task_current()->tid << 3) | CPUCLOCK_PER_THREAD | kind;
    if (clock == CLOCK_PROCESS_CPUTIME_ID || own)
        return (int)(~(unsigned)process_self()->pid << 3) | kind;
    return clock;
}

int clock_read(int clock, uint64_t *ret_ns)
{
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *ret_ns = time_realtime_ns();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
        *ret_ns = time_monotonic_ns();
        return 0;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *ret_ns = time_boot_ns();
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        return process_clock_read(process_self(), CPUCLOCK_SCHED, ret_ns);
    case CLOCK_THREAD_CPUTIME_ID:
        return thread_clock_read(task_current(), CPUCLOCK_SCHED, ret_ns);
    default:
        return clock < 0 ? cpu_clock_read(clock, ret_ns) : -EINVAL;
    }
}

static bool is_cpu_clock(int clock)
{
    return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

/* CPU clocks look at other threads. Whoever waits for one by reading it also finds its timers run, tick or no tick. */
static int cpu_clock_gettime(int clock, uint64_t *ret_ns)
{
    bool held = kernel_lock_held(); /* where the call came by the slow path */
    if (!held)
        kernel_lock();
    int r = clock_read(clock, ret_ns);
    timers_run(time_monotonic_ns());
    if (!held)
        kernel_unlock();
    return r;
}

/* Lockless (SYSCALL_LOCKLESS), but for CPU clocks. */
SYSCALL_DEFINE2(clock_gettime, int, clock, uaddr_t, user_time)
{
    uint64_t ns;
    int r = is_cpu_clock(clock) ? cpu_clock_gettime(clock, &ns) : clock_read(clock, &ns);
    return r < 0 ? r : timespec_to_user(user_time, ns);
}

SYSCALL_DEFINE2(clock_getres, int, clock, uaddr_t, user_time)
{
    uint64_t ns;
    int r = clock_read(clock, &ns);
    if (r < 0)
        return r;
    bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
    return user_time ? timespec_to_user(user_time, coarse ? COARSE_RESOLUTION_NS : 1) : 0;
}

SYSCALL_DEFINE2(gettimeofday, uaddr_t, user_time, uaddr_t, user_zone)
{
    if (user_time) {
        uint64_t ns = time_realtime_ns();
        int64_t tv[2] = {(int64_t)(ns / NS_PER_SEC), (int64_t)(ns % NS_PER_SEC / NS_PER_US)};
        if (copy_to_user(user_time, tv, sizeof tv) < 0)
            return -EFAULT;
    }
    if (user_zone) {
        int32_t zone[2] = {0, 0};
        if (copy_to_user(user_zone, zone, sizeof zone) < 0)
            return -EFAULT;
    }
    return 0;
}

SYSCALL_DEFINE1(time, uaddr_t, user_time)
{
    uint64_t seconds = time_realtime_ns() / NS_PER_SEC;
    if (user_time && put_user64(user_time, seconds) < 0)
        return -EFAULT;
    return (int64_t)seconds;
}

/* Nobody in a container has CAP_SYS_TIME; the checks come in Linux's order. */
SYSCALL_DEFINE2(clock_settime, int, clock, uaddr_t, user_time)
{
    uint64_t ns;
    if (clock != CLOCK_REALTIME)
        return -EINVAL;
    int r = timespec_from_user(&ns, user_time);
    return r < 0 ? r : -EPERM;
}

SYSCALL_DEFINE2(settimeofday, uaddr_t, user_time, uaddr_t, user_zone)
{
    int64_t tv[2];
    if (user_time && copy_from_user(tv, user_time, sizeof tv) < 0)
        return -EFAULT;
    if (user_time && (tv[1] < 0 || tv[1] > 1000000))
        return -EINVAL;
    return -EPERM;
}

/* Read-only adjtimex: an unadjusted clock, synchronised by somebody else. */
static int64_t adjust(uaddr_t user_timex)
{
    struct __kernel_timex tx;
    if (copy_from_user(&tx, user_timex, sizeof tx) < 0)
        return -EFAULT;
    if (tx.modes != 0)
        return -EPERM;
    uint64_t ns = time_realtime_ns();
    memset(&tx, 0, sizeof tx);
    tx.status = STA_UNSYNC;
    tx.maxerror = 16000000;
    tx.esterror = 16000000;
    tx.constant = 2;
    tx.precision = 1;
    tx.tolerance = 32768000;
    tx.tick = 10000;
    tx.time.tv_sec = (int64_t)(ns / NS_PER_SEC);
    tx.time.tv_usec = (int64_t)(ns % NS_PER_SEC / NS_PER_US);
    return copy_to_user(user_timex, &tx, sizeof tx) < 0 ? -EFAULT : TIME_ERROR;
}

SYSCALL_DEFINE1(adjtimex, uaddr_t, user_timex)
{
    return adjust(user_timex);
}

SYSCALL_DEFINE2(clock_adjtime, int, clock, uaddr_t, user_timex)
{
    return clock == CLOCK_REALTIME ? adjust(user_timex) : -EOPNOTSUPP;
}

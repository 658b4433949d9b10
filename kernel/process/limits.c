/* Resource limits and what was used: rlimits, rusage, times, priorities. */
#include "kernel/process/limits.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/ioprio.h>
#include <linux/resource.h>
#include <linux/times.h>

#include "kernel/boot/boot.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/process.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

#define CLOCK_TICK_NS 10000000ULL
#define OPEN_FILES_MAX 1048576ULL

void limits_init(struct process *process)
{
    for (size_t i = 0; i < RLIM_NLIMITS; i++)
        process->limits[i] = (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
    process->limits[RLIMIT_STACK] = (struct rlimit64){policy()->stack_size, RLIM64_INFINITY};
    process->limits[RLIMIT_NOFILE] = (struct rlimit64){OPEN_FILES_MAX, OPEN_FILES_MAX};
    process->limits[RLIMIT_CORE] = (struct rlimit64){0, 0};
    process->limits[RLIMIT_MEMLOCK] = (struct rlimit64){8 << 20, 8 << 20};
    process->limits[RLIMIT_MSGQUEUE] = (struct rlimit64){819200, 819200};
    process->limits[RLIMIT_NICE] = (struct rlimit64){0, 0};
    process->limits[RLIMIT_RTPRIO] = (struct rlimit64){0, 0};
    process->limits[RLIMIT_SIGPENDING] = (struct rlimit64){16384, 16384};
}

static int64_t limit_change(unsigned resource, const struct rlimit64 *new, struct rlimit64 *ret_old)
{
    struct rlimit64 *limit = &process_self()->limits[resource];
    if (new) {
        if (new->rlim_cur > new->rlim_max)
            return -EINVAL;
        if (resource == RLIMIT_NOFILE && new->rlim_max > OPEN_FILES_MAX)
            return -EPERM;
        if (new->rlim_max > limit->rlim_max && !process_capable(CAP_SYS_RESOURCE))
            return -EPERM;
    }
    *ret_old = *limit;
    if (new)
        *limit = *new;
    return 0;
}

SYSCALL_DEFINE4(prlimit64, int, pid, unsigned, resource, uaddr_t, user_new, uaddr_t, user_old)
{
    struct rlimit64 new, old;
    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    if (user_new && copy_from_user(&new, user_new, sizeof new) < 0)
        return -EFAULT;
    if (pid != 0 && pid != process_self()->pid && !thread_find(pid))
        return -ESRCH;
    int64_t r = limit_change(resource, user_new ? &new : NULL, &old);
    if (r == 0 && user_old)
        r = copy_to_user(user_old, &old, sizeof old);
    return r;
}

SYSCALL_DEFINE2(getrlimit, unsigned, resource, uaddr_t, user_limit)
{
    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    return copy_to_user(user_limit, &process_self()->limits[resource], sizeof(struct rlimit64));
}

SYSCALL_DEFINE2(setrlimit, unsigned, resource, uaddr_t, user_limit)
{
    struct rlimit64 new, old;
    if (copy_from_user(&new, user_limit, sizeof new) < 0)
        return -EFAULT;
    return resource >= RLIM_NLIMITS ? -EINVAL : limit_change(resource, &new, &old);
}

static void timeval_of(int64_t tv[2], uint64_t ns)
{
    tv[0] = (int64_t)(ns / NS_PER_SEC);
    tv[1] = (int64_t)(ns % NS_PER_SEC / NS_PER_US);
}

SYSCALL_DEFINE2(getrusage, int, who, uaddr_t, user_usage)
{
    int64_t usage[18]; /* struct rusage: two timevals and 14 longs */
    uint64_t user = 0, system = 0;
    memset(usage, 0, sizeof usage);
    if (who == RUSAGE_SELF) {
        process_cpu_ns(process_self(), &user, &system);
    } else if (who == RUSAGE_THREAD) {
        const struct task *task = task_current();
        uint64_t all = thread_cpu_ns(task);
        system = MIN(task->system_ns, all);
        user = all - system;
    } else if (who != RUSAGE_CHILDREN) {
        return -EINVAL;
    }
    timeval_of(&usage[0], user);
    timeval_of(&usage[2], system);
    if (who != RUSAGE_CHILDREN)
        usage[4] = (int64_t)(mm_self()->committed_pages_max * (PAGE_SIZE / 1024));
    return copy_to_user(user_usage, usage, sizeof usage);
}

SYSCALL_DEFINE1(times, uaddr_t, user_times)
{
    if (user_times) {
        uint64_t user, system;
        process_cpu_ns(process_self(), &user, &system);
        struct tms tms = {.tms_utime = (long)(user / CLOCK_TICK_NS), .tms_stime = (long)(system / CLOCK_TICK_NS)};
        if (copy_to_user(user_times, &tms, sizeof tms) < 0)
            return -EFAULT;
    }
    return (int64_t)(time_monotonic_ns() / CLOCK_TICK_NS);
}

/* The threads that (which, who) names: one, or all of this process. NULL with *ret_all false: nobody. */
static struct task *priority_target(int which, int who, bool *ret_all)
{
    const struct process *process = process_self();
    *ret_all = false;
    switch (which) {
    case PRIO_PROCESS:
        return who == 0 ? task_current() : thread_find(who);
    case PRIO_PGRP:
        *ret_all = who == 0 || who == process->pgid;
        return NULL;
    default:
        *ret_all = who == 0 || (uint32_t)who == process->credentials.uid;
        return NULL;
    }
}

SYSCALL_DEFINE2(getpriority, int, which, int, who)
{
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    bool all;
    const struct task *task = priority_target(which, who, &all);
    if (task)
        return 20 - task->nice;
    if (!all)
        return -ESRCH;
    int best = 0;
    TAILQ_FOREACH (task, &process_self()->threads, thread_link)
        best = MAX(best, 20 - task->nice);
    return best;
}

static int nice_set(struct task *task, int nice)
{
    if (nice < task->nice && !process_capable(CAP_SYS_NICE) &&
        (uint64_t)(20 - nice) > process_self()->limits[RLIMIT_NICE].rlim_cur)
        return -EACCES;
    task->nice = nice;
    return 0;
}

SYSCALL_DEFINE3(setpriority, int, which, int, who, int, nice)
{
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    nice = MAX(-20, MIN(nice, 19));
    bool all;
    struct task *task = priority_target(which, who, &all);
    if (task)
        return nice_set(task, nice);
    if (!all)
        return -ESRCH;
    int r = 0;
    TAILQ_FOREACH (task, &process_self()->threads, thread_link) {
        if (r == 0)
            r = nice_set(task, nice);
    }
    return r;
}

/* There is no I/O scheduler: everybody is in the default class, and only that can be asked for. */
SYSCALL_DEFINE2(ioprio_get, int, which, int, who)
{
    if (which < IOPRIO_WHO_PROCESS || which > IOPRIO_WHO_USER)
        return -EINVAL;
    if (which == IOPRIO_WHO_PROCESS && who != 0 && !thread_find(who))
        return -ESRCH;
    return IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, IOPRIO_BE_NORM);
}

SYSCALL_DEFINE3(ioprio_set, int, which, int, who, int, priority)
{
    if (which < IOPRIO_WHO_PROCESS || which > IOPRIO_WHO_USER)
        return -EINVAL;
    int class = IOPRIO_PRIO_CLASS(priority);
    if (class == IOPRIO_CLASS_RT)
        return -EPERM;
    if (class > IOPRIO_CLASS_IDLE)
        return -EINVAL;
    return which == IOPRIO_WHO_PROCESS && who != 0 && !thread_find(who) ? -ESRCH : 0;
}

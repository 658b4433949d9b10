/* Resource limits and what was used: rlimits, rusage, times, priorities. */
#include "kernel/process/limits.h"

#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/ioprio.h>
#include <linux/resource.h>
#include <linux/times.h>

#include "kernel/boot/boot.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/itimer.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

#define CLOCK_TICK_NS 10000000ULL
#define OPEN_FILES_MAX 1048576ULL
/* As after login: programs that look at every descriptor up to the limit would take long with more, and select() knows
 * no more. */
#define OPEN_FILES_SOFT 1024ULL

void limits_init(struct process *process)
{
    for (size_t i = 0; i < RLIM_NLIMITS; i++)
        process->limits[i] = (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
    process->limits[RLIMIT_STACK] = (struct rlimit64){policy()->stack_size, RLIM64_INFINITY};
    process->limits[RLIMIT_NOFILE] = (struct rlimit64){OPEN_FILES_SOFT, OPEN_FILES_MAX};
    process->limits[RLIMIT_CORE] = (struct rlimit64){0, 0};
    process->limits[RLIMIT_MEMLOCK] = (struct rlimit64){8 << 20, 8 << 20};
    process->limits[RLIMIT_MSGQUEUE] = (struct rlimit64){819200, 819200};
    process->limits[RLIMIT_NICE] = (struct rlimit64){0, 0};
    process->limits[RLIMIT_RTPRIO] = (struct rlimit64){0, 0};
    process->limits[RLIMIT_SIGPENDING] = (struct rlimit64){16384, 16384};
}

size_t process_limit(void)
{
    return policy()->process_max;
}

static int64_t limit_change(struct process *process, unsigned resource, const struct rlimit64 *new,
                            struct rlimit64 *ret_old)
{
    struct rlimit64 *limit = &process->limits[resource];
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
    if (new &&resource == RLIMIT_CPU && !process->remote)
        itimers_limit(process);
    return 0;
}

/* Another's limits: all its ids must be the caller's. */
static bool may_limit(const struct process *target)
{
    const struct credentials *mine = &process_self()->credentials, *theirs = &target->credentials;
    bool same = mine->uid == theirs->euid && mine->uid == theirs->suid && mine->uid == theirs->uid &&
                mine->gid == theirs->egid && mine->gid == theirs->sgid && mine->gid == theirs->gid;
    return target == process_self() || same || process_capable(CAP_SYS_RESOURCE);
}

SYSCALL_DEFINE4(prlimit64, int, pid, unsigned, resource, uaddr_t, user_new, uaddr_t, user_old)
{
    struct rlimit64 new, old;
    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    if (user_new && copy_from_user(&new, user_new, sizeof new) < 0)
        return -EFAULT;
    struct process *process = pid == 0 ? process_self() : process_of(pid);
    if (!process)
        return -ESRCH;
    if (!may_limit(process))
        return -EPERM;
    int64_t r = limit_change(process, resource, user_new ? &new : NULL, &old);
    if (r == 0 && user_new && process->remote && process != process_self())
        remote_ops->limit(process, resource);
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
    return resource >= RLIM_NLIMITS ? -EINVAL : limit_change(process_self(), resource, &new, &old);
}

static void timeval_of(int64_t tv[2], uint64_t ns)
{
    tv[0] = (int64_t)(ns / NS_PER_SEC);
    tv[1] = (int64_t)(ns % NS_PER_SEC / NS_PER_US);
}

int rusage_to_user(uaddr_t user_usage, const struct process_usage *usage)
{
    int64_t words[18]; /* struct rusage: two timevals and 14 longs */
    memset(words, 0, sizeof words);
    timeval_of(&words[0], usage->user_ns);
    timeval_of(&words[2], usage->system_ns);
    words[4] = (int64_t)(usage->resident_max * (PAGE_SIZE / 1024));
    return copy_to_user(user_usage, words, sizeof words);
}

SYSCALL_DEFINE2(getrusage, int, who, uaddr_t, user_usage)
{
    struct process *process = process_self();
    struct process_usage usage = {0};
    if (who == RUSAGE_SELF) {
        process_usage(process, &usage);
    } else if (who == RUSAGE_THREAD) {
        const struct task *task = task_current();
        uint64_t all = thread_cpu_ns(task);
        process_usage(process, &usage);
        usage.system_ns = MIN(task->system_ns, all);
        usage.user_ns = all - usage.system_ns;
    } else if (who == RUSAGE_CHILDREN) {
        usage = process->children_usage;
    } else {
        return -EINVAL;
    }
    return rusage_to_user(user_usage, &usage);
}

SYSCALL_DEFINE1(times, uaddr_t, user_times)
{
    if (user_times) {
        uint64_t user, system;
        const struct process_usage *children = &process_self()->children_usage;
        process_cpu_ns(process_self(), &user, &system);
        struct tms tms = {
            .tms_utime = (long)(user / CLOCK_TICK_NS),
            .tms_stime = (long)(system / CLOCK_TICK_NS),
            .tms_cutime = (long)(children->user_ns / CLOCK_TICK_NS),
            .tms_cstime = (long)(children->system_ns / CLOCK_TICK_NS),
        };
        if (copy_to_user(user_times, &tms, sizeof tms) < 0)
            return -EFAULT;
    }
    return (int64_t)(time_monotonic_ns() / CLOCK_TICK_NS);
}

/* ---- priorities ---- */

/* Is the process among those that (which, who) names? PRIO_PROCESS names a thread: see below. */
static bool in_priority_set(const struct process *process, int which, int who)
{
    const struct process *self = process_self();
    if (process->zombie)
        return false;
    if (which == PRIO_PGRP)
        return process->pgid == (who ? who : self->pgid);
    return process->credentials.uid == (who ? (uint32_t)who : self->credentials.uid);
}

/* The niceness of a process elsewhere is the one number that is kept here for all its threads. */
static int best_of(const struct process *process)
{
    const struct task *task;
    int best = process->remote ? 20 - process->nice : 0;
    TAILQ_FOREACH (task, &process->threads, thread_link)
        best = MAX(best, 20 - task->nice);
    return best;
}

SYSCALL_DEFINE2(getpriority, int, which, int, who)
{
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    const struct process *process;
    if (which == PRIO_PROCESS) {
        const struct task *task = who == 0 ? task_current() : task_find(who);
        process = who == 0 ? process_self() : process_of(who);
        if (!process)
            return -ESRCH;
        return task && !task->agent ? 20 - task->nice : 20 - process->nice;
    }
    int best = -ESRCH;
    TAILQ_FOREACH (process, &process_list, table_link) {
        if (in_priority_set(process, which, who))
            best = MAX(best, best_of(process));
    }
    return best;
}

static int may_set_nice(const struct process *process, int old, int nice)
{
    const struct credentials *mine = &process_self()->credentials, *theirs = &process->credentials;
    if (mine->euid != theirs->euid && mine->euid != theirs->uid && !process_capable(CAP_SYS_NICE))
        return -EPERM;
    if (nice < old && !process_capable(CAP_SYS_NICE) && (uint64_t)(20 - nice) > process->limits[RLIMIT_NICE].rlim_cur)
        return -EACCES;
    return 0;
}

static int nice_set(struct process *process, struct task *task, int nice)
{
    int *place = task ? &task->nice : &process->nice;
    int r = may_set_nice(process, *place, nice);
    if (r == 0)
        *place = nice;
    return r;
}

static int nice_set_all(struct process *process, int nice)
{
    struct task *task;
    int r = process->remote ? nice_set(process, NULL, nice) : 0;
    TAILQ_FOREACH (task, &process->threads, thread_link) {
        if (r == 0)
            r = nice_set(process, task, nice);
    }
    return r;
}

SYSCALL_DEFINE3(setpriority, int, which, int, who, int, nice)
{
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    nice = MAX(-20, MIN(nice, 19));
    struct process *process;
    if (which == PRIO_PROCESS) {
        struct task *task = who == 0 ? task_current() : task_find(who);
        process = who == 0 ? process_self() : process_of(who);
        return process ? nice_set(process, task && !task->agent ? task : NULL, nice) : -ESRCH;
    }
    int r = -ESRCH;
    TAILQ_FOREACH (process, &process_list, table_link) {
        if (in_priority_set(process, which, who) && (r == 0 || r == -ESRCH))
            r = nice_set_all(process, nice);
    }
    return r;
}

/* There is no I/O scheduler: everybody is in the default class, and only that can be asked for. */
SYSCALL_DEFINE2(ioprio_get, int, which, int, who)
{
    if (which < IOPRIO_WHO_PROCESS || which > IOPRIO_WHO_USER)
        return -EINVAL;
    if (which == IOPRIO_WHO_PROCESS && who != 0 && !process_of(who))
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
    return which == IOPRIO_WHO_PROCESS && who != 0 && !process_of(who) ? -ESRCH : 0;
}

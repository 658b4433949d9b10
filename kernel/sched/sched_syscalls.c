/* sched_*, getcpu. Policies other than SCHED_OTHER and its kin are refused as Linux refuses them without privilege. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#include "kernel/arch/vcpu.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/table.h"
#include "kernel/sched/sched.h"
#include "kernel/syscalls/syscall.h"

#define SLICE_NS 4000000ULL

static struct task *find_thread(int tid)
{
    return tid == 0 ? task_current() : task_find(tid);
}

/* Of a process in another enclave there are no tasks here: it has what all begin with, and that is not to be changed.
 */
static bool is_elsewhere(int tid)
{
    const struct process *process = tid > 0 ? process_of(tid) : NULL;
    return process && process->remote && !process->ended;
}

/* Another user's thread: not without CAP_SYS_NICE. */
static bool may_change(const struct task *task)
{
    const struct credentials *mine = &process_self()->credentials, *theirs = &task->process->credentials;
    return mine->euid == theirs->euid || mine->euid == theirs->uid || process_capable(CAP_SYS_NICE);
}

SYSCALL_DEFINE0(sched_yield)
{
    task_yield();
    return 0;
}

SYSCALL_DEFINE3(sched_getaffinity, int, tid, unsigned, size, uaddr_t, user_mask)
{
    struct task *task = find_thread(tid);
    if (size % 8 || size < 8)
        return -EINVAL;
    if (!task && !is_elsewhere(tid))
        return -ESRCH;
    uint64_t all = vcpu_count() == 64 ? ~0ULL : (1ULL << vcpu_count()) - 1,
             mask = task ? task->affinity_mask & all : all;
    return copy_to_user(user_mask, &mask, sizeof(mask)) < 0 ? -EFAULT : (int64_t)sizeof(mask);
}

SYSCALL_DEFINE3(sched_setaffinity, int, tid, unsigned, size, uaddr_t, user_mask)
{
    struct task *task = find_thread(tid);
    uint64_t mask = 0, all = vcpu_count() == 64 ? ~0ULL : (1ULL << vcpu_count()) - 1;
    if (copy_from_user(&mask, user_mask, MIN((size_t)size, sizeof(mask))) < 0)
        return -EFAULT;
    if (!task)
        return is_elsewhere(tid) ? -EPERM : -ESRCH;
    if (!may_change(task))
        return -EPERM;
    mask &= all;
    if (mask == 0)
        return -EINVAL;
    task->affinity_mask = mask;
    if (task == task_current() && !(mask >> vcpu_index() & 1))
        task_yield();
    return 0;
}

static bool policy_plain(int policy)
{
    return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

static bool policy_known(int policy)
{
    return policy_plain(policy) || policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE;
}

static int policy_set(int tid, int policy, int priority)
{
    struct task *task = find_thread(tid);
    if (tid < 0 || !policy_known(policy))
        return -EINVAL;
    if (!task)
        return is_elsewhere(tid) ? -EPERM : -ESRCH;
    if (!may_change(task))
        return -EPERM;
    if (policy_plain(policy)) {
        if (priority != 0)
            return -EINVAL;
        task->policy = policy;
        return 0;
    }
    if (priority < 1 || priority > 99)
        return -EINVAL;
    return -EPERM;
}

SYSCALL_DEFINE3(sched_setscheduler, int, tid, int, policy, uaddr_t, user_param)
{
    int32_t priority;
    if (user_param == 0 || tid < 0)
        return -EINVAL;
    if (copy_from_user(&priority, user_param, sizeof(priority)) < 0)
        return -EFAULT;
    return policy_set(tid, policy & ~SCHED_RESET_ON_FORK, priority);
}

SYSCALL_DEFINE2(sched_setparam, int, tid, uaddr_t, user_param)
{
    int32_t priority;
    struct task *task = find_thread(tid);
    if (user_param == 0 || tid < 0)
        return -EINVAL;
    if (copy_from_user(&priority, user_param, sizeof(priority)) < 0)
        return -EFAULT;
    return task ? policy_set(tid, task->policy, priority) : -ESRCH;
}

SYSCALL_DEFINE1(sched_getscheduler, int, tid)
{
    struct task *task = find_thread(tid);
    if (tid < 0)
        return -EINVAL;
    return task ? task->policy : is_elsewhere(tid) ? SCHED_NORMAL : -ESRCH;
}

SYSCALL_DEFINE2(sched_getparam, int, tid, uaddr_t, user_param)
{
    int32_t priority = 0;
    if (user_param == 0 || tid < 0)
        return -EINVAL;
    if (!find_thread(tid) && !is_elsewhere(tid))
        return -ESRCH;
    return copy_to_user(user_param, &priority, sizeof(priority));
}

SYSCALL_DEFINE4(sched_getattr, int, tid, uaddr_t, user_attr, unsigned, size, unsigned, flags)
{
    struct sched_attr attr = {.size = SCHED_ATTR_SIZE_VER1};
    struct task *task = find_thread(tid);
    if (user_attr == 0 || tid < 0 || size < SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE || flags)
        return -EINVAL;
    if (!task)
        return -ESRCH;
    attr.sched_policy = (uint32_t)task->policy;
    attr.sched_nice = task->nice;
    attr.size = MIN(size, attr.size);
    return copy_to_user(user_attr, &attr, attr.size);
}

SYSCALL_DEFINE3(sched_setattr, int, tid, uaddr_t, user_attr, unsigned, flags)
{
    struct sched_attr attr = {0};
    uint32_t size;
    if (user_attr == 0 || tid < 0 || flags)
        return -EINVAL;
    if (get_user32(&size, user_attr) < 0)
        return -EFAULT;
    if (size == 0)
        size = SCHED_ATTR_SIZE_VER0;
    if (size < SCHED_ATTR_SIZE_VER0 || size > sizeof(attr))
        return -E2BIG;
    if (copy_from_user(&attr, user_attr, size) < 0)
        return -EFAULT;
    if (attr.sched_nice < -20 || attr.sched_nice > 19)
        return -EINVAL;
    int r = policy_set(tid, (int)attr.sched_policy, (int)attr.sched_priority);
    if (r == 0 && attr.sched_nice < find_thread(tid)->nice)
        return -EPERM;
    if (r == 0)
        find_thread(tid)->nice = attr.sched_nice;
    return r;
}

SYSCALL_DEFINE1(sched_get_priority_max, int, policy)
{
    if (!policy_known(policy))
        return -EINVAL;
    return policy == SCHED_FIFO || policy == SCHED_RR ? 99 : 0;
}

SYSCALL_DEFINE1(sched_get_priority_min, int, policy)
{
    if (!policy_known(policy))
        return -EINVAL;
    return policy == SCHED_FIFO || policy == SCHED_RR ? 1 : 0;
}

SYSCALL_DEFINE2(sched_rr_get_interval, int, tid, uaddr_t, user_time)
{
    int64_t interval[2] = {0, SLICE_NS};
    if (tid < 0)
        return -EINVAL;
    if (!find_thread(tid) && !is_elsewhere(tid))
        return -ESRCH;
    return copy_to_user(user_time, interval, sizeof(interval));
}

SYSCALL_DEFINE3(getcpu, uaddr_t, user_cpu, uaddr_t, user_node, uaddr_t, unused)
{
    (void)unused;
    if (user_cpu && put_user32(user_cpu, vcpu_index()) < 0)
        return -EFAULT;
    if (user_node && put_user32(user_node, 0) < 0)
        return -EFAULT;
    return 0;
}

/* wait4 and waitid. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>
#include <linux/wait.h>

#include "kernel/fs/pidfd.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/limits.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

struct wait_request {
    int which, id;                 /* P_ALL, P_PID, P_PGID */
    const struct process *process; /* P_PIDFD */
    unsigned options;
};

/* What a child has to say. */
struct wait_result {
    int pid;          /* 0: nothing */
    int code, status; /* CLD_*; exit code or signal */
    int wait_status;
    uint32_t uid;
    struct process_usage usage;
};

/* A child that gives its parent no SIGCHLD is waited for only by those who ask for such. */
static bool eligible(const struct process *child, const struct wait_request *request)
{
    if ((request->which == P_PID && child->pid != request->id) ||
        (request->which == P_PGID && child->pgid != request->id) ||
        (request->which == P_PIDFD && child != request->process))
        return false;
    if ((request->options & __WNOTHREAD) && child->parent_tid != task_current()->tid)
        return false;
    if (request->options & __WALL)
        return true;
    return (child->exit_signal != SIGCHLD) == !!(request->options & __WCLONE);
}

static void usage_add(struct process_usage *sum, const struct process_usage *more)
{
    sum->user_ns += more->user_ns;
    sum->system_ns += more->system_ns;
    sum->resident_max = MAX(sum->resident_max, more->resident_max);
}

static void fill(struct wait_result *ret, const struct process *child, int code, int status, int wait_status)
{
    *ret = (struct wait_result){child->pid, code, status, wait_status, child->credentials.uid, child->children_usage};
    struct process_usage own;
    process_usage(child, &own);
    usage_add(&ret->usage, &own);
}

/* True if the child has something to say that was asked for; it says it once, except with WNOWAIT. */
static bool collect(struct process *child, unsigned options, struct wait_result *ret)
{
    if (child->zombie) {
        int status = child->exit_status, signal = status & 0x7f;
        if (!(options & WEXITED))
            return false;
        fill(ret, child, signal ? CLD_KILLED : CLD_EXITED, signal ? signal : status >> 8 & 0xff, status);
        if (options & WNOWAIT)
            return true;
        usage_add(&child->parent->children_usage, &ret->usage);
        process_reap(child);
        return true;
    }
    if (child->stop_unreported && (options & WSTOPPED)) {
        fill(ret, child, CLD_STOPPED, child->stop_signal, child->stop_signal << 8 | 0x7f);
        if (!(options & WNOWAIT))
            child->stop_unreported = false;
        return true;
    }
    if (child->continue_unreported && (options & WCONTINUED)) {
        fill(ret, child, CLD_CONTINUED, SIGCONT, 0xffff);
        if (!(options & WNOWAIT))
            child->continue_unreported = false;
        return true;
    }
    return false;
}

/* 1 = *ret filled, 0 = nothing yet, -ECHILD = there never will be. */
static int look(const struct wait_request *request, struct wait_result *ret)
{
    struct process *child;
    int r = -ECHILD;
    TAILQ_FOREACH (child, &process_self()->children, sibling) {
        if (!eligible(child, request))
            continue;
        if (collect(child, request->options, ret))
            return 1;
        /* A zombie will never stop or go on. */
        if (!child->zombie || (request->options & WEXITED))
            r = 0;
    }
    return r;
}

/* 0 with ret->pid 0: WNOHANG and nothing to say. */
static int wait_for_child(const struct wait_request *request, struct wait_result *ret)
{
    int found, r;
    *ret = (struct wait_result){0};
    if (request->options & WNOHANG) {
        found = look(request, ret);
        return found < 0 ? found : 0;
    }
    r = wait_event(&process_self()->child_wait, (found = look(request, ret)) != 0);
    return r < 0 ? r : found < 0 ? found : 0;
}

SYSCALL_DEFINE4(wait4, int, pid, uaddr_t, user_status, int, options, uaddr_t, user_usage)
{
    if ((uint32_t)options & ~(uint32_t)(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    struct wait_request request = {.which = P_PID, .id = pid, .options = (unsigned)options | WEXITED};
    if (pid == -1)
        request.which = P_ALL;
    else if (pid <= 0)
        request = (struct wait_request){P_PGID, pid ? -pid : process_self()->pgid, NULL, request.options};
    struct wait_result result;
    int r = wait_for_child(&request, &result);
    if (r < 0 || result.pid == 0)
        return r;
    if (user_status && put_user32(user_status, (uint32_t)result.wait_status) < 0)
        return -EFAULT;
    if (user_usage && rusage_to_user(user_usage, &result.usage) < 0)
        return -EFAULT;
    return result.pid;
}

/* Only the fields that waitid fills, with zeros if it fails itself; the rest of the caller's siginfo stays. */
static int siginfo_to_user(uaddr_t user, const struct wait_result *result)
{
    const struct {
        size_t offset;
        int value;
    } fields[] = {
        {offsetof(siginfo_t, si_signo), result->pid ? SIGCHLD : 0},
        {offsetof(siginfo_t, si_errno), 0},
        {offsetof(siginfo_t, si_code), result->code},
        {offsetof(siginfo_t, si_pid), result->pid},
        {offsetof(siginfo_t, si_uid), (int)result->uid},
        {offsetof(siginfo_t, si_status), result->status},
    };
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        if (put_user32(user + fields[i].offset, (uint32_t)fields[i].value) < 0)
            return -EFAULT;
    }
    return 0;
}

/* The child as (which, id) names it; *ret_held: a reference to put. */
static int request_from_user(struct wait_request *ret, int which, int id, unsigned options, struct process **ret_held)
{
    *ret_held = NULL;
    if (options & ~(unsigned)(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    if (!(options & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    if (which < P_ALL || which > P_PIDFD || (which == P_PID && id <= 0) || (which == P_PGID && id < 0) ||
        (which == P_PIDFD && id < 0))
        return -EINVAL;
    *ret = (struct wait_request){which, id, NULL, options};
    if (which == P_PGID && id == 0)
        ret->id = process_self()->pgid;
    if (which == P_PIDFD) {
        unsigned flags;
        *ret_held = pidfd_process(id, &flags);
        if (!*ret_held)
            return -EBADF;
        ret->process = *ret_held;
        if ((flags & O_NONBLOCK) && !(options & WNOHANG)) {
            ret->options |= WNOHANG;
            return 1;
        }
    }
    return 0;
}

SYSCALL_DEFINE5(waitid, int, which, int, id, uaddr_t, user_info, int, options, uaddr_t, user_usage)
{
    struct wait_request request;
    struct wait_result result;
    struct process *held;
    int nonblock = request_from_user(&request, which, id, (unsigned)options, &held);
    int r = nonblock < 0 ? nonblock : wait_for_child(&request, &result);
    if (held)
        process_put(held);
    if (r == 0 && result.pid == 0 && nonblock)
        r = -EAGAIN;
    if (r < 0) {
        result = (struct wait_result){0};
        if (user_info && siginfo_to_user(user_info, &result) < 0)
            r = -EFAULT;
        return r;
    }
    if (result.pid && user_usage && rusage_to_user(user_usage, &result.usage) < 0)
        return -EFAULT;
    return user_info ? siginfo_to_user(user_info, &result) : 0;
}

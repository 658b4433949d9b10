/* clone and clone3, and fork and vfork by them: checks, and new threads. Processes are kernel/process/fork.c's. */
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/signal.h>

#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/fork.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

#ifndef CLONE_ARGS_SIZE_VER2
#define CLONE_ARGS_SIZE_VER2 88
#endif
#ifndef CLONE_ARGS_SIZE_VER0
#define CLONE_ARGS_SIZE_VER0 64
#endif
/* Without these a new task would not be a thread of this process. */
#define CLONE_THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define PID_NAMESPACES_MAX 32 /* one within another: as many numbers may a thread have */
#define CLONE_NAMESPACES                                                                                               \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

static int check_flags(uint64_t flags)
{
    if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM))
        return -EINVAL;
    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
        return -EINVAL;
    if ((flags & CLONE_FS) && (flags & (CLONE_NEWNS | CLONE_NEWUSER)))
        return -EINVAL;
    if ((flags & CLONE_THREAD) && (flags & (CLONE_NEWUSER | CLONE_NEWPID | CLONE_PIDFD)))
        return -EINVAL;
    if ((flags & CLONE_PIDFD) && (flags & CLONE_DETACHED))
        return -EINVAL;
    if (flags & CLONE_NAMESPACES)
        return -EPERM;
    return 0;
}

static int check_args(const struct clone_args *args)
{
    int r = check_flags(args->flags);
    if (r < 0)
        return r;
    const struct process *process = task_current()->process;
    /* PID 1 has no sisters. */
    if ((args->flags & CLONE_PARENT) && process->unkillable)
        return -EINVAL;
    if ((args->flags & CLONE_PIDFD) && (args->flags & CLONE_PARENT_SETTID) && args->pidfd == args->parent_tid)
        return -EINVAL;
    /* Where the descriptor cannot be told there shall be no child; so this is tried first. */
    if ((args->flags & CLONE_PIDFD) && put_user32(args->pidfd, 0) < 0)
        return -EFAULT;
    /* The stack and TLS pointers go into registers: what would fault there is refused here. */
    if ((args->flags & CLONE_SETTLS) && args->tls >= (1ULL << 47))
        return -EPERM;
    return process->exiting || task_current()->exiting ? -ERESTARTNOINTR : 0;
}

/* Threads with descriptors or working directory of their own are not offered: refuse rather than share silently. */
static bool shares_enough(uint64_t flags)
{
    return (flags & CLONE_FILES) && (flags & CLONE_FS);
}

static void inherit(struct task *child, const struct task *parent, uint64_t flags)
{
    memcpy(child->comm, parent->comm, sizeof child->comm);
    child->nice = parent->nice;
    child->affinity_mask = parent->affinity_mask;
    child->timer_slack_ns = parent->timer_slack_ns;
    pending_signals_init(&child->signals.pending);
    child->signals.blocked = parent->signals.blocked;
    child->signals.altstack_flags = 2 /* SS_DISABLE */;
    /* Who shares memory has a stack of its own, except a vfork child. */
    if ((flags & (CLONE_VM | CLONE_VFORK)) != CLONE_VM) {
        child->signals.altstack_base = parent->signals.altstack_base;
        child->signals.altstack_size = parent->signals.altstack_size;
        child->signals.altstack_flags = parent->signals.altstack_flags;
    }
}

struct task *clone_task(struct process *process, const struct clone_args *args, const struct trap_frame *frame, int tid)
{
    struct trap_frame f = *frame;
    f.rax = 0;
    f.orig_rax = -1;
    if (args->stack)
        f.rsp = args->stack + args->stack_size;
    struct task *child = task_new(process, &f, true);
    if (!child)
        return NULL;
    child->tid = tid;
    inherit(child, task_current(), args->flags);
    child->fs_base = args->flags & CLONE_SETTLS ? args->tls : fs_base_get();
    if (args->flags & CLONE_CHILD_CLEARTID)
        child->clear_child_tid = args->child_tid;
    return child;
}

void clone_store_tids(const struct clone_args *args, int tid)
{
    if ((args->flags & CLONE_PARENT_SETTID) && put_user32(args->parent_tid, (uint32_t)tid) < 0)
        (void)0;
    if ((args->flags & CLONE_CHILD_SETTID) && put_user32(args->child_tid, (uint32_t)tid) < 0)
        (void)0;
}

static int64_t thread_new(const struct clone_args *args, const struct trap_frame *frame)
{
    struct process *process = task_current()->process;
    if (!shares_enough(args->flags))
        return -ENOSYS;
    int r = process_check_limit(process);
    if (r < 0)
        return r;
    int tid = thread_id_new(process);
    if (tid < 0)
        return tid;
    struct task *child = clone_task(process, args, frame, tid);
    if (!child) {
        if (member_ops)
            member_ops->tid_put(process, tid);
        return -ENOMEM;
    }
    thread_add(process, child);
    clone_store_tids(args, tid);
    task_start(child);
    return tid;
}

static int64_t clone_common(const struct clone_args *args)
{
    int r = check_args(args);
    if (r < 0)
        return r;
    const struct trap_frame *frame = task_current()->frame;
    if ((args->flags & CLONE_THREAD_FLAGS) == CLONE_THREAD_FLAGS)
        return thread_new(args, frame);
    return process_fork(args, frame);
}

SYSCALL_DEFINE5(clone, uint64_t, flags, uaddr_t, stack, uaddr_t, parent_tid, uaddr_t, child_tid, uint64_t, tls)
{
    struct clone_args args = {
        .flags = (uint32_t)flags & ~(uint64_t)CSIGNAL,
        .pidfd = parent_tid,
        .child_tid = child_tid,
        .parent_tid = parent_tid,
        .exit_signal = flags & CSIGNAL,
        .stack = stack,
        .tls = tls,
    };
    return clone_common(&args);
}

SYSCALL_DEFINE0(fork)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    return clone_common(&args);
}

SYSCALL_DEFINE0(vfork)
{
    struct clone_args args = {.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD};
    return clone_common(&args);
}

/* Who chooses the numbers of threads needs CAP_CHECKPOINT_RESTORE, which nobody has: an error, as Linux finds them. */
static int refuse_tids(const struct clone_args *args)
{
    int32_t tid;
    if (!args->set_tid || !args->set_tid_size || args->set_tid_size > PID_NAMESPACES_MAX)
        return -EINVAL;
    for (uint64_t i = 0; i < args->set_tid_size; i++) {
        if (copy_from_user(&tid, args->set_tid + i * sizeof tid, sizeof tid) < 0)
            return -EFAULT;
        if (tid < 1)
            return -EINVAL;
    }
    return -EPERM;
}

SYSCALL_DEFINE2(clone3, uaddr_t, user_args, size_t, size)
{
    struct clone_args args;
    memset(&args, 0, sizeof args);
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (copy_from_user(&args, user_args, MIN(size, sizeof args)) < 0)
        return -EFAULT;
    for (size_t i = sizeof args; i < size; i++) {
        uint8_t byte;
        if (copy_from_user(&byte, user_args + i, 1) < 0)
            return -EFAULT;
        if (byte)
            return -E2BIG;
    }
    if (args.flags & ~(UINT32_MAX | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP))
        return -EINVAL;
    if ((args.flags & (CLONE_DETACHED | CSIGNAL)) || (args.exit_signal & ~(uint64_t)CSIGNAL))
        return -EINVAL;
    if ((args.flags & (CLONE_THREAD | CLONE_PARENT)) && args.exit_signal)
        return -EINVAL;
    if (!args.stack != !args.stack_size)
        return -EINVAL;
    if (args.stack && !user_range_ok(args.stack, args.stack_size))
        return -EINVAL;
    if ((args.flags & (CLONE_SIGHAND | CLONE_CLEAR_SIGHAND)) == (CLONE_SIGHAND | CLONE_CLEAR_SIGHAND))
        return -EINVAL;
    if (args.exit_signal > SIGNAL_MAX)
        return -EINVAL;
    if (args.set_tid || args.set_tid_size)
        return refuse_tids(&args);
    if (args.flags & CLONE_INTO_CGROUP) /* no descriptor is a cgroup's */
        return args.cgroup > INT32_MAX || size < CLONE_ARGS_SIZE_VER2 ? -EINVAL : -EBADF;
    return clone_common(&args);
}

/* Children that share memory with their maker (vfork, posix_spawn): tasks of this enclave. Others: elsewhere. */
#include "kernel/process/fork.h"

#include <linux/errno.h>

#include "kernel/fs/file.h"
#include "kernel/fs/pidfd.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/itimer.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"

struct vfork_wait {
    struct task *task;
    bool done;
};

const struct remote_ops *remote_ops;
const struct member_ops *member_ops;

void remote_ops_set(const struct remote_ops *ops)
{
    remote_ops = ops;
}

void member_ops_set(const struct member_ops *ops)
{
    member_ops = ops;
}

__attribute__((weak)) int64_t process_fork_elsewhere(const struct clone_args *args, const struct trap_frame *frame)
{
    (void)args;
    (void)frame;
    return -ENOSYS;
}

__attribute__((weak)) int process_exec_elsewhere(struct exec *exec)
{
    (void)exec;
    return -ENOSYS;
}

void process_vfork_done(struct process *process)
{
    struct vfork_wait *wait = process->vfork;
    process->vfork = NULL;
    if (!wait)
        return;
    wait->done = true;
    task_wake(wait->task);
}

static void vfork_sleep(struct process *child, struct vfork_wait *wait)
{
    for (;;) {
        task_prepare_sleep_killable();
        if (wait->done) {
            task_cancel_sleep();
            break;
        }
        if (task_sleep(NO_DEADLINE) == -EINTR)
            break;
    }
    if (!wait->done)
        child->vfork = NULL;
}

static int make_process(const struct clone_args *args, struct process **ret_child, int *ret_pidfd)
{
    struct task *task = task_current();
    struct process *parent = task->process;
    int pid = 0;
    if (member_ops) {
        pid = member_ops->new_child(parent, args->flags, (int)args->exit_signal, ret_pidfd);
        if (pid < 0)
            return pid;
    }
    int r = process_new_child(parent, task->tid, args->flags, (int)args->exit_signal, pid, ret_child);
    if (r < 0 && member_ops)
        member_ops->drop_child(pid);
    return r;
}

/* The descriptor for CLONE_PIDFD, known to the caller before the child exists. */
static int give_pidfd(const struct clone_args *args, struct process *child, int fd)
{
    if (!member_ops)
        fd = pidfd_install(child, 0);
    if (fd < 0)
        return fd;
    if (put_user32(args->pidfd, (uint32_t)fd) < 0) {
        if (!member_ops)
            fd_close(fd);
        return -EFAULT;
    }
    return 0;
}

int64_t process_fork(const struct clone_args *args, const struct trap_frame *frame)
{
    struct process *child;
    int pidfd = -1;
    if (args->flags & CLONE_SIGHAND) /* without CLONE_THREAD: handlers shared by processes */
        return -ENOSYS;
    if (!(args->flags & CLONE_VM))
        return process_fork_elsewhere(args, frame);

    int r = make_process(args, &child, &pidfd);
    if (r < 0)
        return r;
    child->borrows_memory = true;
    itimers_limit(child);
    struct task *task = clone_task(child, args, frame, child->pid);
    r = task ? 0 : -ENOMEM;
    if (r == 0 && (args->flags & CLONE_PIDFD))
        r = give_pidfd(args, child, pidfd);
    if (r < 0) {
        if (task)
            task_free(task);
        if (member_ops)
            member_ops->drop_child(child->pid);
        process_discard(child);
        return r;
    }
    int pid = child->pid;
    thread_add(child, task);
    clone_store_tids(args, pid);
    if (!(args->flags & CLONE_VFORK)) {
        task_start(task);
        return pid;
    }
    struct vfork_wait wait = {.task = task_current()};
    process_get(child);
    child->vfork = &wait;
    task_start(task);
    vfork_sleep(child, &wait);
    process_put(child);
    return pid;
}

/* exit, exit_group, and what a thread registers for its end. */
#include <linux/errno.h>
#include <linux/futex.h>

#include "kernel/mm/uaccess.h"
#include "kernel/process/inspect.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

SYSCALL_DEFINE1(exit, int, code)
{
    thread_exit(code & 0xff);
}

SYSCALL_DEFINE1(exit_group, int, code)
{
    process_exit((code & 0xff) << 8);
}

SYSCALL_DEFINE1(set_tid_address, uaddr_t, user_tid)
{
    struct task *task = task_current();
    task->clear_child_tid = user_tid;
    return task->tid;
}

SYSCALL_DEFINE2(set_robust_list, uaddr_t, head, size_t, size)
{
    if (size != sizeof(struct robust_list_head))
        return -EINVAL;
    struct task *task = task_current();
    task->robust_list = head;
    task->robust_list_size = size;
    return 0;
}

SYSCALL_DEFINE3(get_robust_list, int, tid, uaddr_t, user_head, uaddr_t, user_size)
{
    const struct task *task = tid == 0 ? task_current() : task_find(tid);
    if (!task)
        return -ESRCH;
    if (process_inspect_permission(task->process) < 0)
        return -EPERM;
    if (put_user64(user_size, sizeof(struct robust_list_head)) < 0)
        return -EFAULT;
    return put_user64(user_head, task->robust_list);
}

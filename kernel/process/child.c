/* Making a process: what a child inherits, and its struct's way out of memory. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/signal.h>

#include "kernel/boot/boot.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/tty.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/limits.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

void process_struct_init(struct process *process)
{
    TAILQ_INIT(&process->threads);
    TAILQ_INIT(&process->agents);
    TAILQ_INIT(&process->children);
    pending_signals_init(&process->pending);
    wait_queue_init(&process->child_wait);
    wait_queue_init(&process->thread_wait);
    wait_queue_init(&process->stop_wait);
    wait_queue_init(&process->exit_wait);
    process->start_ns = time_monotonic_ns();
}

struct process *process_get(struct process *process)
{
    process->refcount++;
    return process;
}

/* What is a reference or an allocation goes; fine more than once. */
void process_release(struct process *process)
{
    struct fd_table *files = process->files;
    struct fs_context *fs = process->fs;
    struct file *exe = process->exe;
    struct tty *tty = process->tty;
    process->files = NULL;
    process->fs = NULL;
    process->exe = NULL;
    process->tty = NULL;
    fd_table_put(files);
    fs_context_put(fs);
    if (exe) {
        exe->inode->deny_write--;
        file_put(exe);
    }
    if (tty)
        tty_put(tty);
    kfree(process->exe_path);
    kfree(process->command_line);
    process->exe_path = process->command_line = NULL;
    process->command_line_size = 0;
}

void process_put(struct process *process)
{
    if (--process->refcount > 0)
        return;
    ASSERT(process != process_first() && TAILQ_EMPTY(&process->threads) && TAILQ_EMPTY(&process->agents));
    process_release(process);
    signal_flush(process, &process->pending, ~0ULL);
    if (process->remote)
        remote_ops->release(process);
    kfree(process);
}

/* ---- limits ---- */

static size_t tasks_of_user(uint32_t uid)
{
    const struct process *process;
    size_t count = 0;
    TAILQ_FOREACH (process, &process_list, table_link) {
        if (process->credentials.uid == uid && !process->zombie)
            count += MAX(process->thread_count, (size_t)1);
    }
    return count;
}

int process_check_limit(const struct process *process)
{
    const struct credentials *c = &process->credentials;
    const uint64_t exempt = 1ULL << CAP_SYS_RESOURCE | 1ULL << CAP_SYS_ADMIN;
    uint64_t limit = process->limits[RLIMIT_NPROC].rlim_cur;
    if (c->uid == 0 || (c->cap_effective & exempt) || limit == RLIM64_INFINITY)
        return 0;
    return tasks_of_user(c->uid) >= limit ? -EAGAIN : 0;
}

/* ---- inheriting ---- */

static int inherit_files(struct process *child, const struct process *parent, uint64_t flags)
{
    if (parent->files &&
        !member_ops) { /* a member's are in the init enclave; here is only what is lent to one process */
        child->files = flags & CLONE_FILES ? fd_table_get(parent->files) : fd_table_copy(parent->files);
        if (!child->files)
            return -ENOMEM;
    }
    if (parent->fs) {
        child->fs = flags & CLONE_FS ? fs_context_get(parent->fs) : fs_context_copy(parent->fs);
        if (!child->fs)
            return -ENOMEM;
    }
    if (parent->exe) {
        child->exe = file_get(parent->exe);
        child->exe->inode->deny_write++;
    }
    if (parent->tty)
        child->tty = tty_get(parent->tty);
    return 0;
}

static int inherit_names(struct process *child, const struct process *parent)
{
    memcpy(child->comm, parent->leader ? parent->leader->comm : parent->comm, sizeof child->comm);
    if (parent->exe_path && !(child->exe_path = kstrdup(parent->exe_path)))
        return -ENOMEM;
    if (parent->command_line) {
        child->command_line = kmalloc(parent->command_line_size + 1);
        if (!child->command_line)
            return -ENOMEM;
        memcpy(child->command_line, parent->command_line, parent->command_line_size);
        child->command_line_size = parent->command_line_size;
    }
    return 0;
}

static void inherit_actions(struct process *child, const struct process *parent, uint64_t flags)
{
    memcpy(child->actions, parent->actions, sizeof child->actions);
    for (size_t i = 0; (flags & CLONE_CLEAR_SIGHAND) && i < ARRAY_COUNT(child->actions); i++) {
        if (child->actions[i].handler != (uint64_t)SIG_IGN)
            child->actions[i] = (struct signal_action){0};
    }
}

static int inherit(struct process *child, const struct process *parent, uint64_t flags)
{
    child->pgid = parent->pgid;
    child->sid = parent->sid;
    child->credentials = parent->credentials;
    memcpy(child->limits, parent->limits, sizeof child->limits);
    child->dumpable = parent->dumpable;
    child->no_new_privs = parent->no_new_privs;
    child->personality = parent->personality;
    child->oom_score_adj = parent->oom_score_adj;
    child->nice = parent->leader ? parent->leader->nice : parent->nice;
    inherit_actions(child, parent, flags);
    int r = inherit_files(child, parent, flags);
    return r < 0 ? r : inherit_names(child, parent);
}

int process_new_child(struct process *creator, int creator_tid, uint64_t flags, int exit_signal, int pid,
                      struct process **ret_process)
{
    struct process *parent = flags & CLONE_PARENT ? creator->parent : creator;
    if (!parent)
        return -EINVAL;
    if (process_check_limit(creator) < 0 || process_count() >= process_limit())
        return -EAGAIN;
    struct process *child = kzalloc(sizeof *child);
    if (!child)
        return -ENOMEM;
    process_struct_init(child);
    int r = inherit(child, creator, flags);
    if (r < 0) {
        process_release(child);
        kfree(child);
        return r;
    }
    child->parent = parent;
    child->ppid = parent->pid;
    child->parent_tid = flags & CLONE_PARENT ? creator->parent_tid : creator_tid;
    child->exit_signal = flags & CLONE_PARENT ? creator->exit_signal : exit_signal;
    TAILQ_INSERT_TAIL(&parent->children, child, sibling);
    process_table_add(child, pid ? pid : tid_alloc());
    *ret_process = child;
    return 0;
}

void process_discard(struct process *process)
{
    process_release(process);
    process->exiting = process->zombie = true;
    process_reap(process);
}

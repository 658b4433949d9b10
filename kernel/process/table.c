/* The table of processes and threads by id, the allocator of ids, and process groups. */
#include "kernel/process/table.h"

#include <linux/errno.h>

#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/signal.h"
#include "kernel/sched/task.h"

#define ID_MAX 4194304 /* Linux's largest pid_max */

RB_HEAD(tid_tree, tid);

static int tid_compare(const struct tid *a, const struct tid *b)
{
    return (a->number > b->number) - (a->number < b->number);
}

RB_PROTOTYPE(tid_tree, tid, node, tid_compare)
RB_GENERATE(tid_tree, tid, node, tid_compare)

static struct tid_tree tids = RB_INITIALIZER(&tids);
struct process_list process_list = TAILQ_HEAD_INITIALIZER(process_list);
static size_t processes, processes_made, tasks;
static int last_id;

static struct tid *tid_find(int number)
{
    struct tid key = {.number = number};
    return RB_FIND(tid_tree, &tids, &key);
}

void tid_add(struct tid *tid, int number, struct process *process, struct task *task)
{
    *tid = (struct tid){.number = number, .process = process, .task = task};
    struct tid *old = RB_INSERT(tid_tree, &tids, tid);
    ASSERT(!old);
    tasks += task != NULL;
}

void tid_remove(struct tid *tid)
{
    if (!tid->process)
        return;
    RB_REMOVE(tid_tree, &tids, tid);
    tasks -= tid->task != NULL;
    tid->process = NULL;
}

void tid_set_task(struct tid *tid, struct task *task)
{
    tasks += task != NULL;
    tasks -= tid->task != NULL;
    tid->task = task;
}

static bool id_in_use(int id)
{
    const struct process *process;
    if (tid_find(id))
        return true;
    TAILQ_FOREACH (process, &process_list, table_link) {
        if (process->pgid == id || process->sid == id)
            return true;
    }
    return false;
}

int tid_alloc(void)
{
    do {
        last_id = last_id >= ID_MAX ? 2 : last_id + 1;
    } while (id_in_use(last_id));
    return last_id;
}

int tid_last(void)
{
    return last_id;
}

int tid_reserve(struct process *process)
{
    struct tid *tid = kmalloc(sizeof *tid);
    if (!tid)
        return -ENOMEM;
    tid_add(tid, tid_alloc(), process, NULL);
    process->reserved_tids++;
    return tid->number;
}

static void unreserve(struct tid *tid)
{
    tid->process->reserved_tids--;
    tid_remove(tid);
    kfree(tid);
}

void tid_release(struct process *process, int number)
{
    struct tid *tid = tid_find(number);
    if (tid && tid->process == process && !tid->task && tid != &process->tid)
        unreserve(tid);
}

static void release_all_tids(struct process *process)
{
    struct tid *tid, *next;
    RB_FOREACH_SAFE(tid, tid_tree, &tids, next)
    {
        if (process->reserved_tids == 0)
            return;
        if (tid->process == process && tid != &process->tid)
            unreserve(tid);
    }
}

void process_table_add(struct process *process, int pid)
{
    process->pid = pid;
    process->refcount++;
    tid_add(&process->tid, pid, process, NULL);
    TAILQ_INSERT_TAIL(&process_list, process, table_link);
    processes++;
    processes_made++;
}

void process_table_remove(struct process *process)
{
    release_all_tids(process);
    tid_remove(&process->tid);
    TAILQ_REMOVE(&process_list, process, table_link);
    processes--;
    process_put(process);
}

struct process *process_find(int pid)
{
    const struct tid *tid = tid_find(pid);
    return tid && tid->process->pid == pid ? tid->process : NULL;
}

struct process *process_of(int id)
{
    const struct tid *tid = tid_find(id);
    return tid ? tid->process : NULL;
}

struct task *task_find(int tid)
{
    const struct tid *found = tid_find(tid);
    return found ? found->task : NULL;
}

struct process *process_next(int after_pid)
{
    struct tid key = {.number = after_pid + 1};
    struct tid *tid = RB_NFIND(tid_tree, &tids, &key);
    while (tid && tid != &tid->process->tid)
        tid = RB_NEXT(tid_tree, &tids, tid);
    return tid ? tid->process : NULL;
}

size_t process_count(void)
{
    return processes;
}

size_t process_made_count(void)
{
    return processes_made;
}

size_t task_count(void)
{
    return tasks;
}

/* ---- groups ---- */

bool group_exists(int pgid, int *ret_sid)
{
    const struct process *process;
    TAILQ_FOREACH (process, &process_list, table_link) {
        if (process->pgid != pgid)
            continue;
        if (ret_sid)
            *ret_sid = process->sid;
        return true;
    }
    return false;
}

bool group_orphaned_without(int pgid, const struct process *without)
{
    const struct process *process;
    TAILQ_FOREACH (process, &process_list, table_link) {
        if (process->pgid != pgid || process == without || process->zombie || !process->parent)
            continue;
        if (process->parent->pgid != pgid && process->parent->sid == process->sid)
            return false;
    }
    return true;
}

bool group_orphaned(int pgid)
{
    return group_orphaned_without(pgid, NULL);
}

size_t group_signal(int pgid, const struct signal_source *source)
{
    struct process *process, *next;
    size_t count = 0;
    TAILQ_FOREACH_SAFE (process, &process_list, table_link, next) {
        if (process->pgid != pgid)
            continue;
        signal_send_process(process, source);
        count++;
    }
    return count;
}

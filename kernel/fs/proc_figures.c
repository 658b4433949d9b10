/* The numbers of a process that /proc/PID/stat, statm and status show, wherever it runs (contract in proc.h). */
#include <asm-generic/errno.h>
#include <linux/mman.h>

#include "kernel/fs/proc.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/vma.h"
#include "kernel/process/signal.h"

static void memory_here(struct proc_memory *ret)
{
    *ret = (struct proc_memory){.locked = mm_self()->locked_pages, .peak = mm_self()->committed_pages_max};
    for (struct vma *vma = vma_first(); vma; vma = vma_next(vma)) {
        uint64_t pages = (vma->end - vma->start) / PAGE_SIZE;
        uint64_t resident = pages_count_committed(vma->start, vma->end);

        ret->total += pages;
        ret->resident += resident;
        if (vma->file)
            ret->file += resident;
        else
            ret->anonymous += resident;
        if ((vma->flags & MAP_GROWSDOWN) || (vma->name && strcmp(vma->name, "[stack]") == 0))
            ret->stack += pages;
        else if ((vma->prot & PROT_WRITE) && !(vma->flags & MAP_SHARED))
            ret->data += pages;
        if ((vma->prot & PROT_EXEC) && !(vma->prot & PROT_WRITE))
            ret->text += pages;
    }
}

/* Signals that are ignored, and those with handlers. */
static void dispositions(const struct process *process, struct proc_figures *ret)
{
    for (int i = 0; i < SIGNAL_MAX; i++) {
        uint64_t handler = process->actions[i].handler;

        if (handler == 1 /* SIG_IGN */)
            ret->ignored |= 1ULL << i;
        else if (handler)
            ret->caught |= 1ULL << i;
    }
}

static const struct task *thread_of(const struct process *process, int tid)
{
    const struct task *task = tid ? task_find(tid) : process->leader;

    return task && task->process == process ? task : NULL;
}

static void thread_figures(const struct process *process, const struct task *task, struct proc_figures *ret)
{
    ret->state = (uint32_t)proc_state(process, task);
    ret->tid = task ? task->tid : process->pid;
    ret->nice = task ? task->nice : process->nice;
    memcpy(ret->comm, task ? task->comm : process->comm, sizeof ret->comm);
    if (task) {
        ret->pending = task->signals.pending.set;
        ret->blocked = task->signals.blocked;
    }
}

static void io_of_all(const struct process *process, struct io_counts *ret)
{
    const struct task *task;

    *ret = process->dead_io;
    TAILQ_FOREACH (task, &process->threads, thread_link)
        io_counts_add(ret, &task->io);
}

/* What is in this enclave's tables: of zombies and of processes elsewhere it is only a part. */
static void from_tables(const struct process *process, int tid, struct proc_figures *ret)
{
    const struct task *task = thread_of(process, tid);

    process_cpu_ns(process, &ret->user_ns, &ret->system_ns);
    if (tid && task) {
        uint64_t all = thread_cpu_ns(task);

        ret->system_ns = MIN(task->system_ns, all);
        ret->user_ns = all - ret->system_ns;
    }
    if (tid && task)
        ret->io = task->io;
    else
        io_of_all(process, &ret->io);
    ret->threads = process->thread_count ? process->thread_count : 1;
    thread_figures(process, task, ret);
    dispositions(process, ret);
    if (!proc_memory_here(process)) {
        ret->memory.peak = process->resident_max;
        return;
    }
    const struct mm *mm = mm_self();
    memory_here(&ret->memory);
    ret->start_stack = mm->start_stack;
    ret->brk_start = mm->brk_start;
    ret->arg_start = mm->arg_start;
    ret->arg_end = mm->arg_end;
    ret->env_start = mm->env_start;
    ret->env_end = mm->env_end;
}

/* Who asks about itself runs, whatever its kernel has it do until the answer is there. */
static uint32_t state_elsewhere(const struct process *process, uint32_t told)
{
    if (process == process_self())
        return 'R';
    if (process->stopped)
        return 'T';
    return told == 'R' ? 'R' : 'S';
}

int proc_figures(struct process *process, int tid, struct proc_figures *ret)
{
    const struct pseudo_ctx ctx = {.pid = process->pid, .tid = tid};
    struct seq seq = {0};

    *ret = (struct proc_figures){0};
    from_tables(process, tid, ret);
    if (!process->remote || process->ended)
        return tid && tid != process->pid && !thread_of(process, tid) ? -ESRCH : 0;
    int r = proc_show_elsewhere(process, &ctx, "figures", &seq);
    if (r == 0 && !seq.failed && seq.used == sizeof *ret && !process->ended) {
        memcpy(ret, seq.text, sizeof *ret);
        ret->comm[sizeof ret->comm - 1] = '\0';
        ret->state = state_elsewhere(process, ret->state);
        if (tid == 0 || tid == process->pid)
            ret->nice = process->nice; /* which others can change */
        if (tid == 0) {                /* the last that is known, for the sum of all */
            process->dead_user_ns = ret->user_ns;
            process->dead_system_ns = ret->system_ns;
        }
    }
    kfree(seq.text);
    return r == -ESRCH && tid && tid != process->pid ? r : 0;
}

/* Its kernel tells all, in no order. */
static bool next_elsewhere(struct process *process, uint64_t *number)
{
    const struct pseudo_ctx ctx = {.pid = process->pid};
    struct seq seq = {0};
    uint64_t best = UINT64_MAX;
    int tid;

    if (proc_show_elsewhere(process, &ctx, "threads", &seq) < 0 || seq.used < sizeof tid) {
        best = (uint64_t)process->pid >= *number ? (uint64_t)process->pid : UINT64_MAX;
        seq.used = 0;
    }
    for (size_t at = 0; seq.used - at >= sizeof tid; at += sizeof tid) {
        memcpy(&tid, seq.text + at, sizeof tid);
        if (tid > 0 && (uint64_t)tid >= *number)
            best = MIN(best, (uint64_t)tid);
    }
    kfree(seq.text);
    *number = best;
    return best != UINT64_MAX;
}

bool proc_next_thread(struct process *process, uint64_t *number)
{
    const struct task *task, *best = NULL;

    if (process->remote && !process->ended)
        return next_elsewhere(process, number);
    if (TAILQ_EMPTY(&process->threads)) { /* a zombie */
        bool found = (uint64_t)process->pid >= *number;

        *number = (uint64_t)process->pid;
        return found;
    }
    TAILQ_FOREACH (task, &process->threads, thread_link)
        if ((uint64_t)task->tid >= *number && (!best || task->tid < best->tid))
            best = task;
    if (best)
        *number = (uint64_t)best->tid;
    return best != NULL;
}

/* The numbers of a process that /proc/PID/stat, statm and status show, wherever it runs (contract in proc.h). */
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

/* What is in this enclave's tables: of zombies and of processes elsewhere it is only a part. */
static void from_tables(const struct process *process, struct proc_figures *ret)
{
    const struct task *leader = process->leader;

    process_cpu_ns(process, &ret->user_ns, &ret->system_ns);
    ret->threads = process->thread_count ? process->thread_count : 1;
    ret->state = (uint32_t)proc_state(process, leader);
    if (leader) {
        ret->pending = leader->signals.pending.set;
        ret->blocked = leader->signals.blocked;
    }
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

void proc_figures(struct process *process, struct proc_figures *ret)
{
    const struct pseudo_ctx ctx = {.pid = process->pid};
    struct seq seq = {0};

    *ret = (struct proc_figures){0};
    from_tables(process, ret);
    if (!process->remote || process->ended)
        return;
    bool told = proc_show_elsewhere(process, &ctx, "figures", &seq) == 0 && !seq.failed && seq.used == sizeof *ret;
    if (told && !process->ended) {
        memcpy(ret, seq.text, sizeof *ret);
        ret->state = state_elsewhere(process, ret->state);
        process->dead_user_ns = ret->user_ns; /* the last that is known, for the sum of all */
        process->dead_system_ns = ret->system_ns;
    }
    kfree(seq.text);
}

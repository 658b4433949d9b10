/* /proc/PID/status, stat and statm. */
#include <asm-generic/errno.h>
#include <linux/capability.h>
#include <linux/signal.h>

#include "kernel/fs/fs_context.h"
#include "kernel/fs/proc.h"
#include "kernel/fs/tty.h"
#include "kernel/mm/mm.h"
#include "kernel/process/signal.h"
#include "kernel/sched/time.h"

static const char *state_name(char state)
{
    switch (state) {
    case 'R':
        return "running";
    case 'T':
        return "stopped";
    case 'Z':
        return "zombie";
    case 'S':
        return "sleeping";
    default:
        return "disk sleep";
    }
}

static void show_ids(struct seq *seq, const struct process *process, int tid)
{
    const struct credentials *c = &process->credentials;

    seq_printf(seq, "Tgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n", process->pid, tid, process->ppid);
    seq_printf(seq, "Uid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid, c->fsuid);
    seq_printf(seq, "Gid:\t%u\t%u\t%u\t%u\n", c->gid, c->egid, c->sgid, c->fsgid);
    seq_printf(seq, "FDSize:\t%u\nGroups:\t", 64u);
    for (size_t i = 0; i < c->group_count; i++)
        seq_printf(seq, "%u ", c->groups[i]);
    if (!c->group_count)
        seq_printf(seq, " ");
    seq_printf(seq, "\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", process->pid, tid, process->pgid,
               process->sid);
}

static void show_memory(struct seq *seq, const struct proc_memory *memory)
{
    const struct {
        const char *name;
        unsigned long pages;
    } rows[] = {
        {"VmPeak", memory->total},
        {"VmSize", memory->total},
        {"VmLck", memory->locked},
        {"VmPin", 0},
        {"VmHWM", memory->peak},
        {"VmRSS", memory->resident},
        {"RssAnon", memory->anonymous},
        {"RssFile", memory->file},
        {"RssShmem", 0},
        {"VmData", memory->data},
        {"VmStk", memory->stack},
        {"VmExe", memory->text},
        {"VmLib", memory->library},
        {"VmPTE", 0},
        {"VmSwap", 0},
        {"HugetlbPages", 0},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        seq_printf(seq, "%s:\t%8lu kB\n", rows[i].name, rows[i].pages * 4);
}

static void show_signals(struct seq *seq, const struct process *process, const struct proc_figures *figures)
{
    seq_printf(seq, "Threads:\t%lu\nSigQ:\t%lu/%lu\n", (unsigned long)figures->threads,
               (unsigned long)process->queued_count, (unsigned long)process->limits[RLIMIT_SIGPENDING].rlim_cur);
    seq_printf(seq, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
               (unsigned long)figures->pending, (unsigned long)process->pending.set, (unsigned long)figures->blocked,
               (unsigned long)figures->ignored, (unsigned long)figures->caught);
}

static void show_cpus(struct seq *seq)
{
    unsigned count = vcpu_count();
    uint64_t mask = count >= 64 ? ~0ULL : (1ULL << count) - 1;

    seq_printf(seq, "Cpus_allowed:\t%lx\nCpus_allowed_list:\t", (unsigned long)mask);
    seq_printf(seq, count > 1 ? "0-%u\n" : "%u\n", count - 1);
    seq_printf(seq, "Mems_allowed:\t1\nMems_allowed_list:\t0\n");
}

static void status_text(struct seq *seq, const struct process *process, const struct proc_figures *figures)
{
    const struct credentials *c = &process->credentials;

    seq_printf(seq, "Name:\t%s\n", figures->comm);
    if (process->fs)
        seq_printf(seq, "Umask:\t%04o\n", process->fs->umask);
    seq_printf(seq, "State:\t%c (%s)\n", (char)figures->state, state_name((char)figures->state));
    show_ids(seq, process, figures->tid);
    if (!process->zombie) {
        show_memory(seq, &figures->memory);
        seq_printf(seq, "CoreDumping:\t0\nTHP_enabled:\t0\n");
    }
    show_signals(seq, process, figures);
    seq_printf(seq, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\n",
               (unsigned long)c->cap_inheritable, (unsigned long)c->cap_permitted, (unsigned long)c->cap_effective,
               (unsigned long)c->cap_bounding, (unsigned long)c->cap_ambient);
    seq_printf(seq, "NoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n", process->no_new_privs);
    show_cpus(seq);
    seq_printf(seq, "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n");
}

static void stat_text(struct seq *seq, const struct process *process, const struct proc_figures *f)
{
    const struct tty *tty = process->tty;
    const struct process_usage *children = &process->children_usage;

    seq_printf(seq, "%d (%s) %c %d %d %d %d %d 4194560 0 0 0 0 %lu %lu %lu %lu 20 %d %lu 0 %lu ", f->tid, f->comm,
               (char)f->state, process->ppid, process->pgid, process->sid, tty ? (int)tty->rdev : 0,
               tty ? tty->foreground : -1, (unsigned long)(f->user_ns / NS_PER_TICK),
               (unsigned long)(f->system_ns / NS_PER_TICK), (unsigned long)(children->user_ns / NS_PER_TICK),
               (unsigned long)(children->system_ns / NS_PER_TICK), f->nice, (unsigned long)f->threads,
               (unsigned long)(process->start_ns / NS_PER_TICK));
    seq_printf(seq, "%lu %lu %lu 0 0 %lu 0 0 %lu %lu %lu %lu 0 0 0 %d 0 0 0 0 0 0 0 0 %lu %lu %lu %lu %lu %d\n",
               (unsigned long)(f->memory.total * PAGE_SIZE), (unsigned long)f->memory.resident,
               (unsigned long)process->limits[RLIMIT_RSS].rlim_cur, (unsigned long)f->start_stack,
               (unsigned long)(f->pending & 0x7fffffff), (unsigned long)(f->blocked & 0x7fffffff),
               (unsigned long)(f->ignored & 0x7fffffff), (unsigned long)(f->caught & 0x7fffffff),
               process->parent ? process->exit_signal : SIGCHLD, (unsigned long)f->brk_start,
               (unsigned long)f->arg_start, (unsigned long)f->arg_end, (unsigned long)f->env_start,
               (unsigned long)f->env_end, process->zombie ? process->exit_status : 0);
}

static int show_with(struct seq *seq, const struct pseudo_ctx *ctx,
                     void (*text)(struct seq *seq, const struct process *process, const struct proc_figures *figures))
{
    struct process *process = proc_process(ctx);
    struct proc_figures figures;

    if (!process)
        return -ESRCH;
    process_get(process);
    int r = proc_figures(process, ctx->tid, &figures);
    if (r == 0)
        text(seq, process, &figures);
    process_put(process);
    return r;
}

int proc_show_status(struct seq *seq, const struct pseudo_ctx *ctx)
{
    return show_with(seq, ctx, status_text);
}

int proc_show_stat(struct seq *seq, const struct pseudo_ctx *ctx)
{
    return show_with(seq, ctx, stat_text);
}

int proc_show_statm(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process *process = proc_process(ctx);
    struct proc_figures figures;

    if (!process)
        return -ESRCH;
    if (process->remote && !process->ended)
        return proc_show_elsewhere(process, ctx, "statm", seq);
    int r = proc_figures(process, 0, &figures);
    if (r < 0)
        return r;
    const struct proc_memory *memory = &figures.memory;
    seq_printf(seq, "%lu %lu %lu %lu 0 %lu 0\n", (unsigned long)memory->total, (unsigned long)memory->resident,
               (unsigned long)memory->file, (unsigned long)memory->text, (unsigned long)(memory->data + memory->stack));
    return 0;
}

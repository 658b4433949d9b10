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

/* Signals with handlers, and ignored ones. */
static void signal_sets(const struct process *process, sigset64_t *ret_ignored, sigset64_t *ret_caught)
{
    *ret_ignored = *ret_caught = 0;
    for (int i = 0; i < SIGNAL_MAX; i++) {
        uint64_t handler = process->actions[i].handler;

        if (handler == 1)
            *ret_ignored |= 1ULL << i;
        else if (handler)
            *ret_caught |= 1ULL << i;
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

static unsigned long thread_count(const struct process *process)
{
    return process->thread_count ? process->thread_count : 1; /* elsewhere, zombies */
}

static void show_signals(struct seq *seq, const struct process *process, const struct task *task)
{
    sigset64_t ignored, caught;

    signal_sets(process, &ignored, &caught);
    seq_printf(seq, "Threads:\t%lu\nSigQ:\t%lu/%lu\n", thread_count(process), (unsigned long)process->queued_count,
               (unsigned long)process->limits[RLIMIT_SIGPENDING].rlim_cur);
    seq_printf(seq, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
               (unsigned long)(task ? task->signals.pending.set : 0), (unsigned long)process->pending.set,
               (unsigned long)(task ? task->signals.blocked : 0), (unsigned long)ignored, (unsigned long)caught);
}

static void show_cpus(struct seq *seq)
{
    unsigned count = vcpu_count();
    uint64_t mask = count >= 64 ? ~0ULL : (1ULL << count) - 1;

    seq_printf(seq, "Cpus_allowed:\t%lx\nCpus_allowed_list:\t", (unsigned long)mask);
    seq_printf(seq, count > 1 ? "0-%u\n" : "%u\n", count - 1);
    seq_printf(seq, "Mems_allowed:\t1\nMems_allowed_list:\t0\n");
}

int proc_show_status(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process *process = proc_process(ctx);
    const struct task *task = proc_task(ctx);
    struct proc_memory memory;
    char state;

    if (!process || (ctx->tid && !task))
        return -ESRCH;
    process_get(process);
    proc_memory(process, &memory);
    const struct credentials *c = &process->credentials;
    state = proc_state(process, task);
    seq_printf(seq, "Name:\t%s\n", task ? task->comm : process->comm);
    if (process->fs)
        seq_printf(seq, "Umask:\t%04o\n", process->fs->umask);
    seq_printf(seq, "State:\t%c (%s)\n", state, state_name(state));
    show_ids(seq, process, task ? task->tid : process->pid);
    if (!process->zombie) {
        show_memory(seq, &memory);
        seq_printf(seq, "CoreDumping:\t0\nTHP_enabled:\t0\n");
    }
    show_signals(seq, process, task);
    seq_printf(seq, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\n",
               (unsigned long)c->cap_inheritable, (unsigned long)c->cap_permitted, (unsigned long)c->cap_effective,
               (unsigned long)c->cap_bounding, (unsigned long)c->cap_ambient);
    seq_printf(seq, "NoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n", process->no_new_privs);
    show_cpus(seq);
    seq_printf(seq, "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n");
    process_put(process);
    return 0;
}

/* Of a thread, or of the whole process. */
static void cpu_ticks(const struct process *process, const struct task *thread, unsigned long *ret_user,
                      unsigned long *ret_system)
{
    uint64_t user_ns, system_ns;

    if (thread) {
        uint64_t all = thread_cpu_ns(thread);

        system_ns = MIN(thread->system_ns, all);
        user_ns = all - system_ns;
    } else {
        process_cpu_ns(process, &user_ns, &system_ns);
    }
    *ret_user = user_ns / NS_PER_TICK;
    *ret_system = system_ns / NS_PER_TICK;
}

int proc_show_stat(struct seq *seq, const struct pseudo_ctx *ctx)
{
    static const struct mm none;
    struct process *process = proc_process(ctx);
    const struct task *task = proc_task(ctx);
    struct proc_memory memory;
    unsigned long user, system;
    sigset64_t ignored, caught;

    if (!process || (ctx->tid && !task))
        return -ESRCH;
    process_get(process);
    proc_memory(process, &memory);
    const struct mm *mm = proc_memory_here(process) ? mm_self() : &none;
    const struct tty *tty = process->tty;
    const struct process_usage *children = &process->children_usage;
    signal_sets(process, &ignored, &caught);
    cpu_ticks(process, ctx->tid ? task : NULL, &user, &system);
    seq_printf(seq, "%d (%s) %c %d %d %d %d %d 4194560 0 0 0 0 %lu %lu %lu %lu 20 %d %lu 0 %lu ",
               task ? task->tid : process->pid, task ? task->comm : process->comm, proc_state(process, task),
               process->ppid, process->pgid, process->sid, tty ? (int)tty->rdev : 0, tty ? tty->foreground : -1, user,
               system, (unsigned long)(children->user_ns / NS_PER_TICK),
               (unsigned long)(children->system_ns / NS_PER_TICK), task ? task->nice : process->nice,
               thread_count(process), (unsigned long)(process->start_ns / NS_PER_TICK));
    seq_printf(seq, "%lu %lu %lu 0 0 %lu 0 0 %lu %lu %lu %lu 0 0 0 %d 0 0 0 0 0 0 0 0 %lu %lu %lu %lu %lu %d\n",
               (unsigned long)(memory.total * PAGE_SIZE), (unsigned long)memory.resident,
               (unsigned long)process->limits[RLIMIT_RSS].rlim_cur, (unsigned long)mm->start_stack,
               (unsigned long)(task ? task->signals.pending.set & 0x7fffffff : 0),
               (unsigned long)(task ? task->signals.blocked & 0x7fffffff : 0), (unsigned long)(ignored & 0x7fffffff),
               (unsigned long)(caught & 0x7fffffff), process->parent ? process->exit_signal : SIGCHLD,
               (unsigned long)mm->brk_start, (unsigned long)mm->arg_start, (unsigned long)mm->arg_end,
               (unsigned long)mm->env_start, (unsigned long)mm->env_end, process->zombie ? process->exit_status : 0);
    process_put(process);
    return 0;
}

int proc_show_statm(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct process *process = proc_process(ctx);
    struct proc_memory memory;

    if (!process)
        return -ESRCH;
    if (process->remote && !process->ended)
        return proc_show_elsewhere(process, ctx, "statm", seq);
    proc_memory(process, &memory);
    seq_printf(seq, "%lu %lu %lu %lu 0 %lu 0\n", (unsigned long)memory.total, (unsigned long)memory.resident,
               (unsigned long)memory.file, (unsigned long)memory.text, (unsigned long)(memory.data + memory.stack));
    return 0;
}

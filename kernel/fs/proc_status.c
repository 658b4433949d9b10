/* /proc/PID/status, stat and statm. */
#include <asm-generic/errno.h>
#include <linux/capability.h>

#include "kernel/fs/fs_context.h"
#include "kernel/fs/proc.h"
#include "kernel/fs/tty.h"
#include "kernel/mm/mm.h"
#include "kernel/process/signal.h"
#include "kernel/sched/time.h"

char proc_task_state(const struct task *task)
{
    if (task->state == TASK_RUNNING || task->state == TASK_RUNNABLE)
        return 'R';
    if (process_self()->stopped)
        return 'T';
    return task->interruptible ? 'S' : 'D';
}

static const char *state_name(char state)
{
    switch (state) {
    case 'R':
        return "running";
    case 'T':
        return "stopped";
    case 'S':
        return "sleeping";
    default:
        return "disk sleep";
    }
}

/* Signals with handlers, and ignored ones. */
static void signal_sets(sigset64_t *ret_ignored, sigset64_t *ret_caught)
{
    *ret_ignored = *ret_caught = 0;
    for (int i = 0; i < SIGNAL_MAX; i++) {
        uint64_t handler = process_self()->actions[i].handler;

        if (handler == 1)
            *ret_ignored |= 1ULL << i;
        else if (handler)
            *ret_caught |= 1ULL << i;
    }
}

static void show_ids(struct seq *seq, const struct task *task)
{
    const struct process *process = task->process;
    const struct credentials *c = &process->credentials;

    seq_printf(seq, "Tgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n", process->pid, task->tid,
               process->ppid);
    seq_printf(seq, "Uid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid, c->fsuid);
    seq_printf(seq, "Gid:\t%u\t%u\t%u\t%u\n", c->gid, c->egid, c->sgid, c->fsgid);
    seq_printf(seq, "FDSize:\t%u\nGroups:\t", 64u);
    for (size_t i = 0; i < c->group_count; i++)
        seq_printf(seq, "%u ", c->groups[i]);
    if (!c->group_count)
        seq_printf(seq, " ");
    seq_printf(seq, "\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", process->pid, task->tid, process->pgid,
               process->sid);
}

static void show_memory(struct seq *seq)
{
    struct proc_memory memory;
    unsigned long peak;

    proc_memory(&memory);
    peak = mm_self()->committed_pages_max;
    const struct {
        const char *name;
        unsigned long pages;
    } rows[] = {
        {"VmPeak", memory.total},
        {"VmSize", memory.total},
        {"VmLck", memory.locked},
        {"VmPin", 0},
        {"VmHWM", peak},
        {"VmRSS", memory.resident},
        {"RssAnon", memory.anonymous},
        {"RssFile", memory.file},
        {"RssShmem", 0},
        {"VmData", memory.data},
        {"VmStk", memory.stack},
        {"VmExe", memory.text},
        {"VmLib", memory.library},
        {"VmPTE", 0},
        {"VmSwap", 0},
        {"HugetlbPages", 0},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        seq_printf(seq, "%s:\t%8lu kB\n", rows[i].name, rows[i].pages * 4);
}

static void show_signals(struct seq *seq, const struct task *task)
{
    const struct process *process = task->process;
    sigset64_t ignored, caught;

    signal_sets(&ignored, &caught);
    seq_printf(seq, "Threads:\t%lu\nSigQ:\t%lu/%lu\n", (unsigned long)process->thread_count,
               (unsigned long)process->queued_count, (unsigned long)process->limits[RLIMIT_SIGPENDING].rlim_cur);
    seq_printf(seq, "SigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
               (unsigned long)task->signals.pending.set, (unsigned long)process->pending.set,
               (unsigned long)task->signals.blocked, (unsigned long)ignored, (unsigned long)caught);
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
    const struct task *task = proc_task(ctx);
    const struct credentials *c = &process_self()->credentials;
    char state;

    if (!task)
        return -ESRCH;
    state = proc_task_state(task);
    seq_printf(seq, "Name:\t%s\nUmask:\t%04o\nState:\t%c (%s)\n", task->comm, task->process->fs->umask, state,
               state_name(state));
    show_ids(seq, task);
    show_memory(seq);
    seq_printf(seq, "CoreDumping:\t0\nTHP_enabled:\t0\n");
    show_signals(seq, task);
    seq_printf(seq, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\nCapAmb:\t%016lx\n",
               (unsigned long)c->cap_inheritable, (unsigned long)c->cap_permitted, (unsigned long)c->cap_effective,
               (unsigned long)c->cap_bounding, (unsigned long)c->cap_ambient);
    seq_printf(seq, "NoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n", task->process->no_new_privs);
    show_cpus(seq);
    seq_printf(seq, "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n");
    return 0;
}

/* Of a thread, or of the whole process. */
static void cpu_ticks(const struct pseudo_ctx *ctx, const struct task *task, unsigned long *ret_user,
                      unsigned long *ret_system)
{
    uint64_t user_ns, system_ns;

    if (ctx->tid) {
        user_ns = task->user_ns;
        system_ns = task->system_ns;
    } else {
        process_cpu_ns(task->process, &user_ns, &system_ns);
    }
    *ret_user = user_ns / NS_PER_TICK;
    *ret_system = system_ns / NS_PER_TICK;
}

int proc_show_stat(struct seq *seq, const struct pseudo_ctx *ctx)
{
    const struct task *task = proc_task(ctx);
    const struct mm *mm = mm_self();
    const struct tty *tty = tty_controlling();
    const struct process *process;
    struct proc_memory memory;
    unsigned long user, system;
    sigset64_t ignored, caught;

    if (!task)
        return -ESRCH;
    process = task->process;
    proc_memory(&memory);
    signal_sets(&ignored, &caught);
    cpu_ticks(ctx, task, &user, &system);
    seq_printf(seq, "%d (%s) %c %d %d %d %d %d 4194560 0 0 0 0 %lu %lu 0 0 20 %d %lu 0 %lu ", task->tid, task->comm,
               proc_task_state(task), process->ppid, process->pgid, process->sid, tty ? (int)tty->rdev : 0,
               tty ? tty->foreground : -1, user, system, task->nice, (unsigned long)process->thread_count,
               (unsigned long)(process->start_ns / NS_PER_TICK));
    seq_printf(seq, "%lu %lu %lu 0 0 %lu 0 0 %lu %lu %lu %lu 0 0 0 17 0 0 0 0 0 0 0 0 %lu %lu %lu %lu %lu 0\n",
               (unsigned long)(memory.total * PAGE_SIZE), (unsigned long)memory.resident,
               (unsigned long)process->limits[RLIMIT_RSS].rlim_cur, (unsigned long)mm->start_stack,
               (unsigned long)(task->signals.pending.set & 0x7fffffff),
               (unsigned long)(task->signals.blocked & 0x7fffffff), (unsigned long)(ignored & 0x7fffffff),
               (unsigned long)(caught & 0x7fffffff), (unsigned long)mm->brk_start, (unsigned long)mm->arg_start,
               (unsigned long)mm->arg_end, (unsigned long)mm->env_start, (unsigned long)mm->env_end);
    return 0;
}

int proc_show_statm(struct seq *seq, const struct pseudo_ctx *ctx)
{
    struct proc_memory memory;

    proc_memory(&memory);
    seq_printf(seq, "%lu %lu %lu %lu 0 %lu 0\n", (unsigned long)memory.total, (unsigned long)memory.resident,
               (unsigned long)memory.file, (unsigned long)memory.text, (unsigned long)(memory.data + memory.stack));
    return 0;
}

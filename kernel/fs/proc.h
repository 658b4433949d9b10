/* Between the files of /proc: kernel/fs/proc*.c. */
#ifndef COFRE_KERNEL_FS_PROC_H
#define COFRE_KERNEL_FS_PROC_H

#include "kernel/fs/pseudofs.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"

/* Numbers of system calls count time in these. */
#define USER_HZ 100
#define NS_PER_TICK (1000000000ULL / USER_HZ)

/* kernel/fs/proc_process.c: /proc/PID, and /proc/PID/task. */
extern const struct pseudo_numbered proc_processes;
/* kernel/fs/proc_maps.c */
int proc_show_maps(struct seq *seq, const struct pseudo_ctx *ctx);
int proc_show_smaps(struct seq *seq, const struct pseudo_ctx *ctx);
int proc_show_smaps_rollup(struct seq *seq, const struct pseudo_ctx *ctx);
/* Sizes in pages. */
struct proc_memory {
    uint64_t total, locked, resident, peak, anonymous, file, data, stack, text, library;
};
/* kernel/fs/proc_figures.c: what stat, statm and status show of a process that only the kernel of its own enclave
 * knows. */
struct proc_figures {
    struct proc_memory memory;
    uint64_t user_ns, system_ns, threads;
    struct io_counts io;
    uint64_t pending, blocked; /* the thread's */
    uint64_t ignored, caught;
    uint64_t start_stack, brk_start, arg_start, arg_end, env_start, env_end;
    int tid, nice;
    uint32_t state; /* as ps shows it */
    char comm[16];
};
/*
 * Of the process and its first thread (tid 0), or of one of its threads. 0, or -ESRCH if there is no such thread.
 * Sleeps if that enclave is another one: the process is the caller's reference. Zeros where there is nobody to tell.
 */
must_check int proc_figures(struct process *process, int tid, struct proc_figures *ret);
/* The first thread of the process whose id is at least *number, or false. Sleeps likewise. */
bool proc_next_thread(struct process *process, uint64_t *number);
/* kernel/fs/proc_fd.c */
extern const struct pseudo_numbered proc_fds, proc_fdinfos;
/* kernel/fs/proc_status.c */
int proc_show_status(struct seq *seq, const struct pseudo_ctx *ctx);
int proc_show_stat(struct seq *seq, const struct pseudo_ctx *ctx);
int proc_show_statm(struct seq *seq, const struct pseudo_ctx *ctx);
/* kernel/fs/proc_mounts.c */
int proc_show_mounts(struct seq *seq, const struct pseudo_ctx *ctx);
int proc_show_mountinfo(struct seq *seq, const struct pseudo_ctx *ctx);
int proc_show_filesystems(struct seq *seq, const struct pseudo_ctx *ctx);
/* kernel/fs/proc_cpu.c */
int proc_show_cpuinfo(struct seq *seq, const struct pseudo_ctx *ctx);
/* kernel/fs/proc_locks.c */
bool proc_lock_records(struct seq *seq, const struct pseudo_ctx *ctx, struct pseudo_cursor *cursor);
/* kernel/fs/proc_sys.c, kernel/fs/proc_net.c */
extern const struct pseudo_entry proc_sys_entries[], proc_net_entries[];

/* The process a context means; NULL if there is none. */
struct process *proc_process(const struct pseudo_ctx *ctx);
/* The thread of this enclave it means; NULL if that has ended or is elsewhere. */
struct task *proc_task(const struct pseudo_ctx *ctx);
/* The process, if the reader may look into it: 0, -ESRCH, -EACCES. */
must_check int proc_inspect(const struct pseudo_ctx *ctx, struct process **ret_process);
/* Does the process live, on the memory of this enclave? */
bool proc_memory_here(const struct process *process);
/* Text that only a process's own enclave has; 0 with nothing if it does not say. */
int proc_show_elsewhere(struct process *process, const struct pseudo_ctx *ctx, const char *name, struct seq *seq);
/* R, S, D, T or Z, as ps shows it. task may be NULL. */
char proc_state(const struct process *process, const struct task *task);
/* Tasks that run or could. */
unsigned proc_running_count(void);

#endif

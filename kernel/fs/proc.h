/* Between the files of /proc: kernel/fs/proc*.c. */
#ifndef COFRE_KERNEL_FS_PROC_H
#define COFRE_KERNEL_FS_PROC_H

#include "kernel/fs/pseudofs.h"
#include "kernel/process/process.h"
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
    uint64_t total, locked, resident, anonymous, file, data, stack, text, library;
};
void proc_memory(struct proc_memory *ret);
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
/* kernel/fs/proc_sys.c, kernel/fs/proc_net.c */
extern const struct pseudo_entry proc_sys_entries[], proc_net_entries[];

/* The thread a context means; NULL if it has ended. */
struct task *proc_task(const struct pseudo_ctx *ctx);
/* R, S or D, as ps shows it. */
char proc_task_state(const struct task *task);
/* Tasks that run or could. */
unsigned proc_running_count(void);

#endif

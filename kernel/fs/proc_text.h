/* Files of /proc/PID that only the kernel of the process's own enclave can fill: for other enclaves of the container.
 */
#ifndef COFRE_KERNEL_FS_PROC_TEXT_H
#define COFRE_KERNEL_FS_PROC_TEXT_H

#include "kernel/fs/pseudofs.h"

/*
 * The text of /proc/PID/NAME (tid 0) or /proc/PID/task/TID/NAME of a process of this enclave: auxv, cmdline, environ,
 * maps, smaps, smaps_rollup, statm, and "figures", a struct proc_figures; "threads", their ids; and "comm=NAME" renames
 * one. In a kernel task: who asks may. 0, -ENOENT, or what the file says.
 */
must_check int proc_text(int pid, int tid, const char *name, struct seq *seq);

#endif

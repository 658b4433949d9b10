/* An id in the table of processes and threads: kernel/process/table.h. */
#ifndef COFRE_KERNEL_PROCESS_TID_H
#define COFRE_KERNEL_PROCESS_TID_H

#include "kernel/lib/list.h"

struct process;
struct task;

/* Of a process (and its first thread), of another thread, or of a thread in another enclave. */
struct tid {
    RB_ENTRY(tid) node;
    int number;
    struct process *process; /* NULL: not in the table */
    struct task *task;       /* NULL: has ended, or runs in another enclave */
};

#endif

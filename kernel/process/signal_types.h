/* The signal state inside struct task; operations are in kernel/process/signal.h. */
#ifndef COFRE_KERNEL_PROCESS_SIGNAL_TYPES_H
#define COFRE_KERNEL_PROCESS_SIGNAL_TYPES_H

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

typedef uint64_t sigset64_t; /* bit n - 1 is signal n */

struct signal_info; /* a queued siginfo, kernel/process/signal.c */
TAILQ_HEAD(signal_list, signal_info);

struct pending_signals {
    sigset64_t set;
    sigset64_t told; /* in a member: what the init enclave believes `set` is */
    struct signal_list queue;
};

struct task_signals {
    sigset64_t blocked;
    sigset64_t saved_blocked; /* restored after sigsuspend, ppoll, ... when restore_blocked */
    bool restore_blocked;
    struct pending_signals pending;
    uaddr_t altstack_base;
    size_t altstack_size;
    int altstack_flags;
};

#endif

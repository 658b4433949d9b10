/* Interval timers of a process as a whole. */
#ifndef COFRE_KERNEL_PROCESS_ITIMER_H
#define COFRE_KERNEL_PROCESS_ITIMER_H
#include "kernel/lib/types.h"

struct process;

/* The three timers of setitimer: 0 = disarmed, once. */
struct itimer_times {
    uint64_t left_ns[3], interval_ns[3];
};
/* exec into another enclave: they go along, and are no longer here. */
void itimers_take(struct process *process, struct itimer_times *ret);
void itimers_put(struct process *process, const struct itimer_times *times);
/* exit: they are gone. */
void itimers_delete(struct process *process);
/* RLIMIT_CPU of a process that runs here is another, or counts from now on: SIGXCPU each second beyond the soft limit,
 * SIGKILL at the hard one. Without memory for its timer the limit is not enforced. */
void itimers_limit(struct process *process);
#endif

/* Signals: sending, masks, delivery on the way back to user code (rt_sigframe exactly as Linux's on x86-64). */
#ifndef COFRE_KERNEL_PROCESS_SIGNAL_H
#define COFRE_KERNEL_PROCESS_SIGNAL_H

#include "kernel/arch/trap.h"
#include "kernel/process/signal_types.h"

struct task;
struct process;

/* What a siginfo carries, in kernel form. */
struct signal_source {
    int signal, code, error;
    int pid;
    uint32_t uid;
    uint64_t value;  /* sigval, si_addr, or si_timerid/overrun packed by the timer code */
    bool from_child; /* status and times count */
    int status;
    uint64_t utime, stime;          /* ns */
    int trap_no;                    /* si_addr signals */
    uint64_t trap_error, trap_addr; /* ucontext: err, cr2 */
};

#define SIGNAL_MAX 64
#define SIGNAL_BIT(n) (1ULL << ((n)-1))

/* Send to a thread, or to any thread of the process. 0 or -EAGAIN (queue limit). */
int signal_send_task(struct task *task, const struct signal_source *source);
int signal_send_process(struct process *process, const struct signal_source *source);
/* A synchronous fault of the current task: cannot be ignored or blocked; kills if it is. */
void signal_force(const struct signal_source *source);
/* Unblocked signal waiting for this task? Of an agent: has its call been cancelled? */
bool signal_pending(const struct task *task);
/* Only what will end the process: it is ending, or a signal waits whose default action that is. */
bool signal_fatal_pending(const struct task *task);
/* A thread of a process that is to stop has stopped or ended: was it the last one to? */
void signal_stop_check(struct process *process);
/* Called by the return path with work_pending set: deliver signals, handle restarts, stop or end the task. */
void signal_deliver(struct trap_frame *frame);

/* For ppoll, pselect, epoll_pwait, sigsuspend: replace the mask now, restore it on the way back unless a handler runs.
 */
void signal_mask_temporary(sigset64_t mask);
must_check int sigset_from_user(sigset64_t *ret_set, uint64_t addr, size_t size);

/* signalfd and sigtimedwait: take one pending signal of `set`; 0 if none, else the number. */
int signal_dequeue(struct task *task, sigset64_t set, struct signal_source *ret_source);
/* Woken (EPOLLIN) whenever a signal becomes pending for the process or any thread. */
struct wait_queue *signal_wait_queue(void);

/* A signal from outside the container (the host's word: kill, terminal keys). */
void signal_from_host(int signal);

/* The mask of blocked signals of the current task; KILL and STOP stay out. Others are told of what is now blocked. */
void signal_set_blocked(sigset64_t mask);
/* exec: caught signals go back to their defaults, ignored ones stay. */
void signal_reset_actions(struct process *process);
/* The same from one enclave to another: which are ignored, and that only these are. */
sigset64_t signals_ignored(const struct process *process);
void signals_ignore_only(struct process *process, sigset64_t set);
void pending_signals_init(struct pending_signals *pending);
/* Drops what is queued in *pending and in `set`. */
void signal_flush(struct process *process, struct pending_signals *pending, sigset64_t set);
/* The same of all that the process and its threads have. */
void signal_flush_everywhere(struct process *process, sigset64_t set);

#endif

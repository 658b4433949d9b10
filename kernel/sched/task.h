/*
 * Tasks (threads) and the vCPUs that run them.
 *
 * A task sleeps, is runnable (on the run queue) or runs on one vCPU. Fields are grouped by who may touch them; all need
 * the kernel lock unless said.
 */
#ifndef COFRE_KERNEL_SCHED_TASK_H
#define COFRE_KERNEL_SCHED_TASK_H

#include "kernel/arch/trap.h"
#include "kernel/lib/list.h"
#include "kernel/lib/types.h"
#include "kernel/process/io_counts.h"
#include "kernel/process/signal_types.h"
#include "kernel/process/tid.h"
#include "kernel/sched/wait.h"

struct agent;
struct pi_waiter;
struct process;
struct vcpu;

enum task_state { TASK_RUNNING, TASK_RUNNABLE, TASK_SLEEPING, TASK_DEAD };

#define KERNEL_STACK_SIZE 0x4000UL
#define TASK_COMM_SIZE 16

/* One of a task's last system calls. */
#define RECENT_CALLS 8
struct recent_call {
    uint64_t nr, argument; /* the first one */
    int64_t result;        /* CALL_UNFINISHED: it has not returned */
};
#define CALL_UNFINISHED INT64_MIN

struct task {
    /* entry code (offsets asserted in kernel/arch) */
    uint64_t kernel_stack_top;
    uint64_t saved_rsp;         /* kernel context while not running */
    volatile bool work_pending; /* something to do before going back to user code: signals, exit, reschedule */

    /* scheduler */
    enum task_state state;
    bool interruptible;
    bool killable;   /* interruptible, but only by what ends the process */
    bool woken;      /* since task_prepare_sleep */
    bool no_input;   /* a kernel thread that never waits for what vCPU 0 brings in */
    bool background; /* a kernel thread for which nobody waits; set by itself, for ever */
    TAILQ_ENTRY(task) run_link;
    struct vcpu *vcpu; /* where it runs, or NULL */
    void *kernel_stack;
    void *vector_state; /* XSAVE image while not running */
    uint64_t fs_base;   /* while not running */
    uint64_t runtime_ns, last_start_ns, queued_ns;
    uint64_t user_ns, system_ns;
    int nice;
    int policy; /* SCHED_NORMAL, SCHED_BATCH or SCHED_IDLE: remembered, all treated alike */
    uint64_t affinity_mask;

    /* process */
    int tid;
    struct process *process;
    TAILQ_ENTRY(task) thread_link; /* process->threads; of an agent: process->agents */
    struct tid tid_entry;          /* unless tid is the process's pid */
    struct agent *agent; /* it acts for a process whose tasks are in another enclave: kernel/process/remote_ops.h */
    bool agent_cancelled;
    struct trap_frame *frame; /* the user context while in the kernel: top of the kernel stack */
    char comm[TASK_COMM_SIZE];
    uaddr_t clear_child_tid, set_child_tid;
    uaddr_t robust_list;
    size_t robust_list_size;
    bool exiting; /* it must end (or is ending): exec by another thread, exit_group, fatal signal */
    uint64_t timer_slack_ns;
    struct pi_waiter *pi_blocked; /* the PI futex it waits for, kernel/process/futex_pi.c */

    /* signals (kernel/process/signal.c) */
    struct task_signals signals;
    /* for the report of a crash */
    struct recent_call recent_calls[RECENT_CALLS];
    struct io_counts io;
    unsigned recent_count; /* ever */
    /* restart_syscall */
    int64_t (*restart_fn)(struct task *task);
    uint64_t restart_args[4];
};

/* Never NULL after boot; the idle task between others. Constant in any one thread of execution, so not volatile. */
#ifdef COFRE_HOSTED
struct task *task_current(void);
#else
static inline struct task *task_current(void)
{
    struct task *task;
    __asm__("mov %%gs:16, %0" : "=r"(task)); /* VCPU_CURRENT */
    return task;
}
#endif

/*
 * A new task that will start in user code with *frame (copied), vector state reset or, if clone_vector, copied from the
 * current task. Not runnable yet: task_start() does that. NULL when out of memory.
 */
struct task *task_new(struct process *process, const struct trap_frame *frame, bool clone_vector) must_check;
void task_start(struct task *task);
void task_free(struct task *task); /* one that was never started; the scheduler frees the dead */
/* A kernel thread: runs fn(arg) and ends when it returns. Not part of any process. */
struct task *kernel_thread_start(const char *name, void (*fn)(void *), void *arg) must_check;
/* The current task ends here; its struct is freed once off its stack. */
noreturn_fn void task_exit(void);

void task_wake(struct task *task); /* from any sleep; sets woken */
/* Wake an interruptible sleep because a signal came, or interrupt it on another vCPU so that it sees work_pending. */
void task_notify(struct task *task);
void task_yield(void);
/* Run queue has more than this vCPU should keep to itself / tick asked for it. */
bool task_need_resched(void);

#ifdef COFRE_HOSTED
unsigned vcpu_count(void);
#else
extern unsigned vcpu_total; /* kernel/boot/main.c; constant after boot */
static inline unsigned vcpu_count(void)
{
    return vcpu_total;
}
#endif
unsigned vcpu_index(void);

static inline struct recent_call *task_call_begin(struct task *task, uint64_t nr, uint64_t argument)
{
    struct recent_call *call = &task->recent_calls[task->recent_count++ % RECENT_CALLS];
    call->nr = nr;
    call->argument = argument;
    call->result = CALL_UNFINISHED;
    return call;
}

#endif

/* The scheduler's own interface to the entry code and to boot. */
#ifndef COFRE_KERNEL_SCHED_SCHED_H
#define COFRE_KERNEL_SCHED_SCHED_H

#include "kernel/sched/task.h"
#include "kernel/sched/wait.h"

struct vcpu;

/* Make the idle task of this vCPU and of its struct vcpu; task_current() works afterwards. */
void sched_init_vcpu(struct vcpu *vcpu);
/* Become the idle task for ever. The kernel lock is held. */
noreturn_fn void sched_idle(void);
/*
 * A kernel task waits for what comes from another enclave: what the idle loop does, short of parking, as long as that
 * pays (remote_linger(); NULL: of the idle loop). False: sleep.
 */
struct linger;
bool sched_linger(struct linger *linger, bool awake);

/* Kernel lock held, on behalf of the current task, about to go back to user code: */
void sched_user_work(void);   /* work_pending was set: a tick that found kernel code, a reschedule */
void sched_before_user(void); /* always: is a tick wanted, does another vCPU have to be kicked? */
void sched_tick(void);        /* a tick or kick interrupted user code */

/* May the vCPU be in user code, or come there while the kernel lock is held? False as well if it never started. */
bool sched_may_run_user(const struct vcpu *vcpu);
/* No other vCPU is in user code, nor will be before the kernel lock, which is held, is given up. */
bool sched_alone(void);

/* First steps of a new task, on its stack with the lock held by whoever switched to it. */
void sched_finish_switch(void);

/* Runs what is due. */
void timers_run(uint64_t now_ns);
extern unsigned timers_urgent; /* armed by timer_arm_urgent() */
uint64_t timers_next_ns(void); /* NO_DEADLINE if none is armed */

/* Processor time of a task so far, ns. */
uint64_t task_runtime_ns(const struct task *task);
uint64_t sched_idle_ns(void); /* all vCPUs */

void task_set_nice(struct task *task, int nice);
/* Where work that a host signal brings is looked at: after each park and at ticks. */
void host_signals_poll(void);

#endif

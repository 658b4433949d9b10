/*
 * Inside of the signal code: queued siginfos, the frame on the user's stack, and what the files of it share.
 * Everybody else uses kernel/process/signal.h.
 */
#ifndef COFRE_KERNEL_PROCESS_SIGINFO_H
#define COFRE_KERNEL_PROCESS_SIGINFO_H

#include <linux/signal.h>

#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/sched/task.h"

struct signal_info {
    TAILQ_ENTRY(signal_info) link;
    struct signal_source source;
};

enum signal_default { SIGNAL_TERMINATE, SIGNAL_IGNORE, SIGNAL_STOP, SIGNAL_CONTINUE };
enum signal_default signal_default_of(int signal);

#define SIGNAL_STOP_SET (SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))
#define SIGNAL_UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))

/* Outcomes of queueing besides 0 and -EAGAIN. */
enum { SIGNAL_IGNORED = 1 };

enum { SIGNAL_SEND_FORCE = 1, SIGNAL_SEND_TIMER = 2 };
/* task NULL: to the process. Returns 0, SIGNAL_IGNORED or -EAGAIN. */
int signal_queue(struct process *process, struct task *task, const struct signal_source *source, unsigned how);

/* A Linux siginfo_t from a source, and back (for sigqueue; the kernel's own codes are refused by the caller). */
void siginfo_fill(siginfo_t *info, const struct signal_source *source);
void siginfo_parse(struct signal_source *source, const siginfo_t *info);

/* Build the frame of `action` on the user's stack and make *frame enter the handler. 0 or -EFAULT. */
must_check int sigframe_push(struct trap_frame *frame, const struct signal_action *action,
                             const struct signal_source *source, sigset64_t saved_mask);
/* rt_sigreturn: 0 or -EFAULT (then *frame is unchanged and the caller forces SIGSEGV). */
must_check int sigframe_pop(struct trap_frame *frame);
/* Bytes that a frame needs at most (AT_MINSIGSTKSZ). */
size_t sigframe_size_max(void);

/* A signal of a POSIX timer left the queue: *source gets its overrun count, the timer goes on. */
void posix_timer_dequeued(struct process *process, struct signal_source *source);

#endif

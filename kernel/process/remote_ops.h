/*
 * The seam between the process table and other enclaves. Three directions:
 *
 *   struct remote_ops   in the init enclave: what reaches the tasks of a process with process->remote set;
 *   struct member_ops   in a member enclave: what the init enclave must hear of processes that run here;
 *   process_*_elsewhere in both: starting a process in an enclave of its own.
 *
 * Nothing else in kernel/ asks where a process runs: signal_send_process(), signal_send_task(), process_kill() and
 * process_usage() look at process->remote, and thread_exit() and clone at member_ops. All is called under the kernel
 * lock, and must not sleep unless said.
 */
#ifndef COFRE_KERNEL_PROCESS_REMOTE_OPS_H
#define COFRE_KERNEL_PROCESS_REMOTE_OPS_H

#include "kernel/process/process.h"

struct clone_args;
struct exec;
struct seq;
struct signal_source;
struct trap_frame;

struct remote_ops {
    /* Send a signal to the process (tid 0) or to one of its threads; its kernel decides what becomes of it, and of
     * SIGKILL, SIGSTOP and SIGCONT too. Rights have been checked. 0, -EAGAIN, or -ESRCH if the thread is known gone. */
    int (*signal)(struct process *process, int tid, const struct signal_source *source);
    /* As signal_dequeue(), of the process and its thread tid. What waits is in process->pending.set and, of the thread,
     * in the agent's signals.pending.set. Sleeps. */
    int (*signal_take)(struct process *process, int tid, sigset64_t set, struct signal_source *ret_source);
    /* Another process has changed this limit of it. */
    void (*limit)(const struct process *process, unsigned resource);
    /* Its own use of processor and memory so far, as far as known; *ret is zeroed. May be NULL. */
    void (*usage)(const struct process *process, struct process_usage *ret);
    /* Text of /proc/PID/NAME (tid 0) or /proc/PID/task/TID/NAME that only its kernel knows: auxv, cmdline, environ,
     * maps, smaps, smaps_rollup, statm. 0 or -errno; sleeps. May be NULL (then: empty). */
    int (*proc_show)(struct process *process, int tid, const char *name, struct seq *seq);
    /* All its descriptors are to be in process->files: it may have opened some that nobody had to hear of. Sleeps. */
    void (*settle)(const struct process *process);
    /* The last reference is going: free process->remote. */
    void (*release)(struct process *process);
};
void remote_ops_set(const struct remote_ops *ops);
extern const struct remote_ops *remote_ops; /* never NULL where a process has ->remote */

struct member_ops {
    /* A child of `parent` (a vfork's) will run in this enclave: its pid, once the init enclave has made its entry by
     * process_new_child(); or -errno. CLONE_PIDFD: *ret_pidfd is set. Sleeps. */
    int (*new_child)(struct process *parent, uint64_t clone_flags, int exit_signal, int *ret_pidfd);
    /* That child is not to be after all. */
    void (*drop_child)(int pid);
    /* A tid for a new thread, reserved by tid_reserve() in the init enclave (in blocks, say); and back. */
    int (*tid_get)(struct process *process);
    void (*tid_put)(struct process *process, int tid);
    /* All threads of a process of this enclave stopped, went on, or are gone: see process_stopped() and its kin. */
    void (*stopped)(struct process *process, int signal);
    void (*continued)(struct process *process);
    /* Blocked signals wait for the process (tid 0) or the thread: all of them, each time the set changes. */
    void (*pending)(struct process *process, int tid, sigset64_t set);
    /* Its action for SIGCHLD is another: does it want to hear of children, and to wait for them? */
    void (*child_action)(const struct process *process);
    /* Is its process group orphaned (group_orphaned() in the init enclave)? Sleeps. */
    bool (*group_orphaned)(struct process *process);
    void (*exited)(struct process *process, int wait_status, const struct process_usage *usage);
    /* As exec_open(); and when exec_commit() has gone through: close-on-exec and the like. 0 or -errno. Sleep. */
    int (*exec_open)(struct exec *exec, int dfd, const char *path, unsigned lookup_flags);
    int (*execed)(const struct exec *exec);
    /* The file behind a descriptor of the current process, to be mapped; referenced. 0 or -errno. Sleeps. */
    int (*file_get)(int fd, struct file **ret_file);
};
void member_ops_set(const struct member_ops *ops);
extern const struct member_ops *member_ops; /* NULL in the init enclave */

/* fork without CLONE_VM: a child in an enclave of its own. Checked for what Linux checks first. Its pid, or -errno.
 * -ENOSYS where nobody has defined it (weak). Sleeps. */
int64_t process_fork_elsewhere(const struct clone_args *args, const struct trap_frame *frame);
/*
 * exec of the current process, which shares its memory with its vfork parent, after exec_open(): the program starts in
 * an enclave of its own. On 0 the process is there (process->remote set in the init enclave, process_did_exec() called)
 * and the caller ends its last task here by thread_left(); on -errno nothing has changed. Weak as above. Sleeps.
 */
int process_exec_elsewhere(struct exec *exec);

/*
 * ---- for the init enclave's side of a link ----
 *
 * An agent is a kernel task that runs system calls for a process whose tasks are elsewhere: between agent_enter() and
 * agent_leave() process_self() is that process, task->tid the caller's, and signals.blocked its mask. It is not among
 * the process's threads. agent_enter() is false if the process has ended.
 */
struct agent;
must_check bool agent_enter(struct process *process, int tid, sigset64_t blocked, struct agent *agent);
void agent_leave(void);
/* A signal came for the thread it acts for, or the process ends: its interruptible sleeps return -EINTR until it
 * leaves. */
void agent_cancel(struct task *task);

/* What a member reports. Wait statuses as wait(2)'s. Signals to the parent, waiters and orphans are seen to. */
void process_stopped(struct process *process, int signal);
void process_continued(struct process *process);
/* Its agents are cancelled; when the last has left, its descriptors are closed (which may sleep) and it is a zombie.
 * If a task of this enclave is still sending it away, all that comes when that task has left. */
void process_exited(struct process *process, int wait_status, const struct process_usage *usage);
/*
 * exec went through: close-on-exec descriptors go, dispositions are reset, the program's file (may be NULL), comm and
 * command line are remembered, the vfork parent wakes. Credentials are the caller's affair (credentials_exec()).
 */
void process_did_exec(struct process *process, struct file *program, const char *comm, const char *command_line,
                      size_t size);
/* A thread id for a process elsewhere, which kill and tgkill find; -ENOMEM. Back at the latest with the process. Only
 * its own can be given back. */
must_check int tid_reserve(struct process *process);
void tid_release(struct process *process, int tid);

#endif

/*
 * Processes: what their threads share. The table of them is kernel/process/table.h's; what runs in another enclave is
 * reached by kernel/process/remote_ops.h.
 */
#ifndef COFRE_KERNEL_PROCESS_PROCESS_H
#define COFRE_KERNEL_PROCESS_PROCESS_H

#include <linux/resource.h>

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"
#include "kernel/process/io_counts.h"
#include "kernel/process/signal_types.h"
#include "kernel/process/tid.h"
#include "kernel/sched/wait.h"

struct task;
struct file;
struct fd_table;
struct fs_context; /* root, working directory, umask: kernel/fs/fs_context.h */
struct itimer;
struct posix_timers;
struct process;
struct remote_process; /* kernel/remote */
struct tty;
struct vfork_wait;

#define NGROUPS_MAX_COFRE 64

struct credentials {
    uint32_t uid, euid, suid, fsuid;
    uint32_t gid, egid, sgid, fsgid;
    uint32_t groups[NGROUPS_MAX_COFRE];
    size_t group_count;
    uint32_t securebits;
    bool keep_capabilities; /* PR_SET_KEEPCAPS */
    uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
};

struct signal_action {
    uint64_t handler, flags, restorer;
    sigset64_t mask;
};

struct process_usage {
    uint64_t user_ns, system_ns;
    uint64_t resident_max; /* pages */
};

TAILQ_HEAD(process_list, process);

struct process {
    /* identity */
    int pid, ppid, pgid, sid;
    struct tid tid; /* of pid */
    unsigned refcount;
    TAILQ_ENTRY(process) table_link;
    uint64_t start_ns;
    /* NULL: its tasks run in this enclave. Else `threads` is empty, and comm, actions, pending and personality are what
     * its own kernel told: the actions of SIGCHLD, SIGTTIN and SIGTTOU always. */
    struct remote_process *remote;
    size_t reserved_tids; /* tid_reserve() */
    bool borrows_memory;  /* its tasks run on the memory of another process: made by vfork */

    /* family */
    struct process *parent; /* NULL: PID 1, and commands from the host (kernel/command) */
    int parent_tid;         /* the thread that made it */
    struct process_list children;
    TAILQ_ENTRY(process) sibling;
    int exit_signal;          /* to the parent; 0: none */
    int pdeath_signal;        /* PR_SET_PDEATHSIG */
    struct vfork_wait *vfork; /* a thread sleeps until exec or exit */
    bool did_exec;            /* since it was made */
    bool child_subreaper;
    bool session_leader; /* and always will be */
    struct tty *tty;     /* controlling, referenced; NULL: none */
    int tty_old_group;   /* of a session leader whose terminal hung up: that one's foreground group */

    /* threads */
    TAILQ_HEAD(thread_list, task) threads;
    size_t thread_count;
    struct task *leader;                 /* any one: the first if it lives */
    char comm[16];                       /* of the first thread once it is gone or elsewhere */
    TAILQ_HEAD(agent_list, task) agents; /* tasks that act for it */
    struct wait_queue thread_wait;       /* woken whenever a thread ends */

    /* stopping and ending */
    bool stopped;
    bool stop_complete; /* all threads sleep */
    size_t stopped_threads;
    int stop_signal;
    bool stop_unreported, continue_unreported; /* to wait(2) */
    bool exiting;                              /* exit_group or fatal signal: every thread ends */
    bool ended;                                /* process_exited() */
    bool end_reported;                         /* the same, while a task here still sends it away */
    struct process_usage end_usage;
    bool closing; /* its descriptors are being closed */
    bool zombie;
    int exit_status;              /* wait status */
    struct wait_queue stop_wait;  /* threads of a stopped process sleep here */
    struct wait_queue child_wait; /* woken when a child changes state */
    struct wait_queue exit_wait;  /* woken when this one has ended: pidfds */

    /* use */
    struct io_counts dead_io;              /* of threads that have ended */
    uint64_t dead_user_ns, dead_system_ns; /* of threads that have ended; elsewhere: of all, at the end */
    uint64_t resident_max;                 /* pages, at the end */
    struct process_usage children_usage;   /* of those waited for */

    /* files */
    struct fd_table *files;
    struct fs_context *fs;
    struct file *exe; /* referenced; its inode denies writing */
    char *exe_path;
    char *command_line; /* NUL-separated, as exec set it up */
    size_t command_line_size;

    /* signals and timers */
    struct signal_action actions[64]; /* [signal - 1] */
    struct pending_signals pending;
    bool unkillable;        /* PID 1: signals without a handler do nothing, unless a fault forces them */
    size_t queued_count;    /* siginfos queued, bounded by RLIMIT_SIGPENDING */
    struct itimer *itimers; /* three; NULL: never used */
    struct posix_timers *posix_timers;

    /* rights and limits */
    struct credentials credentials;
    struct rlimit64 limits[RLIM_NLIMITS];
    int dumpable, no_new_privs;
    uint32_t personality;
    int oom_score_adj;
    int nice; /* elsewhere */
};

/* The Linux whose interface this is (uname, /proc/version). */
#define KERNEL_RELEASE "6.1.0-cofre"
#define KERNEL_VERSION "#1 SMP PREEMPT_DYNAMIC Cofre"

/* The current task's; PID 1's (or its struct before it is) in kernel threads and timers. Never NULL. */
struct process *process_self(void);
/* PID 1; in a member enclave, the process that kernel threads stand in for. */
struct process *process_first(void);
bool credentials_in_group(const struct credentials *c, uint32_t gid);
bool process_capable(int capability); /* CAP_* effective */

/* A live thread of the current process by its tid, or NULL. Those of others: task_find(). */
struct task *thread_find(int tid);
/* Adds a task to the process's threads; its tid is set. */
void thread_add(struct process *process, struct task *task);
/* The current thread ends; with the last one the process does. code: exit code (0..255). */
noreturn_fn void thread_exit(int code);
/* The current thread ends because its process goes on in another enclave (exec of a vfork child). */
noreturn_fn void thread_left(void);
/* Ends every other thread and waits for it (exec). 0, or -EAGAIN if this thread is itself told to end. */
must_check int threads_end_others(void);
/* CPU time of a thread, and of all threads that are or were. */
uint64_t thread_cpu_ns(const struct task *task);
uint64_t process_cpu_ns(const struct process *process, uint64_t *ret_user_ns, uint64_t *ret_system_ns);

/* Ends every thread; the status is a wait status (exit code << 8, or signal). */
noreturn_fn void process_exit(int status);

/* Woken whenever a task of this enclave ends. */
struct wait_queue *task_end_wait(void);
/* uname's nodename, which all processes share. */
extern char container_hostname[65];

/* Boot: build PID 1 from the policy and boot parameters and start it. */
void process_init(void);

#endif

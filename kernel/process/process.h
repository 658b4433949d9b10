/*
 * The process of this enclave: what its threads share. One enclave is one process; others live in other enclaves
 * (later).
 */
#ifndef COFRE_KERNEL_PROCESS_PROCESS_H
#define COFRE_KERNEL_PROCESS_PROCESS_H

#include <linux/resource.h>

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"
#include "kernel/process/signal_types.h"
#include "kernel/sched/wait.h"

struct task;
struct fd_table;
struct fs_context; /* root, working directory, umask: kernel/fs/fs_context.h */

#define NGROUPS_MAX_COFRE 64

struct credentials {
    uint32_t uid, euid, suid, fsuid;
    uint32_t gid, egid, sgid, fsgid;
    uint32_t groups[NGROUPS_MAX_COFRE];
    size_t group_count;
    uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
};

struct signal_action {
    uint64_t handler, flags, restorer;
    sigset64_t mask;
};

struct process {
    int pid, ppid, pgid, sid;
    TAILQ_HEAD(thread_list, task) threads;
    size_t thread_count;
    struct task *leader;
    struct fd_table *files;
    struct fs_context *fs;
    struct credentials credentials;
    struct signal_action actions[64]; /* [signal - 1] */
    struct pending_signals pending;
    struct rlimit64 limits[RLIM_NLIMITS];
    char *exe_path;
    char *command_line; /* NUL-separated, as exec set it up */
    size_t command_line_size;
    bool exiting;    /* exit_group or fatal signal: every thread ends */
    int exit_status; /* wait status */
    uint64_t start_ns;
    int dumpable, no_new_privs;
    uint32_t personality;
    struct wait_queue child_wait;
};

struct process *process_self(void);
bool credentials_in_group(const struct credentials *c, uint32_t gid);
bool process_capable(int capability); /* CAP_* effective */

/* Ends every thread; the status is a wait status (exit code << 8, or signal). */
noreturn_fn void process_exit(int status);

/* Boot: build PID 1 from the policy and boot parameters and start it. */
void process_init(void);

#endif

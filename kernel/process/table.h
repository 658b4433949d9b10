/*
 * The process table. In the init enclave it has every process of the container, in a member those whose tasks run
 * there.
 *
 * A process is made by process_new_child() (PID 1: process_init()), lives until process_exited(), is a zombie until its
 * parent waits for it (or at once nobody's if the parent ignores SIGCHLD), and its struct goes with its last reference.
 * Ids of processes and threads come from one allocator; an id is free when no process, thread, group or session has it.
 */
#ifndef COFRE_KERNEL_PROCESS_TABLE_H
#define COFRE_KERNEL_PROCESS_TABLE_H

#include "kernel/process/process.h"

struct signal_source;

/* ---- finding ---- */

/* A process by pid, zombies included; NULL. Borrowed: process_get() to keep it across a sleep. */
struct process *process_find(int pid);
/* The process that a pid or the tid of any thread names, as kill(2) and getpgid(2) take them; NULL. */
struct process *process_of(int id);
/* A live thread of any process of this enclave. thread_find() is for those of the caller's own process. */
struct task *task_find(int tid);
/* All, in order of pid: process_next(0) is the first; NULL after the last. */
struct process *process_next(int after_pid);
size_t process_count(void);
size_t process_made_count(void); /* ever */
int tid_last(void);              /* the id given last */
/* All, in no order: for TAILQ_FOREACH over table_link without a sleep. */
extern struct process_list process_list;
/* Threads of all processes that run here. */
size_t task_count(void);
struct process *process_get(struct process *process);
void process_put(struct process *process);

/* ---- ids ---- */

/* An id that nothing has. A member asks for tids: thread_id_new(). */
int tid_alloc(void);
int thread_id_new(struct process *process);
void tid_add(struct tid *tid, int number, struct process *process, struct task *task);
void tid_remove(struct tid *tid); /* fine if not in the table */
void tid_set_task(struct tid *tid, struct task *task);
/* The table's own reference comes and goes with it. */
void process_table_add(struct process *process, int pid);
void process_table_remove(struct process *process);

/* ---- life ---- */

/*
 * A child of `parent` as clone makes it: in the table, with copies (CLONE_FILES, CLONE_FS: shares) of what a child
 * inherits, no threads yet. exit_signal as in clone; pid 0: take one. -EAGAIN for limits, -ENOMEM.
 * CLONE_PARENT: of its parent. creator_tid: the thread that makes it.
 */
must_check int process_new_child(struct process *parent, int creator_tid, uint64_t clone_flags, int exit_signal,
                                 int pid, struct process **ret_process);
/* Undo it, before anybody could have seen it. */
void process_discard(struct process *process);
/* The first steps of a zeroed struct. */
void process_struct_init(struct process *process);
/* -EAGAIN if its user has as many tasks as RLIMIT_NPROC lets this process make. */
must_check int process_check_limit(const struct process *process);
/* A thread of it is gone and was perhaps the one that made some child: PR_SET_PDEATHSIG. */
void process_thread_ended(struct process *process, int tid);
/* A zombie its parent has waited for. */
void process_reap(struct process *zombie);
/* In a member: a process that runs here no longer; the init enclave sees to the rest. */
void process_forget(struct process *process);
/* Files, terminal, names: all that is a reference or an allocation. May sleep; fine more than once. */
void process_release(struct process *process);
/* The thread that sleeps in vfork goes on. */
void process_vfork_done(struct process *process);

/* Time and peak memory of its own tasks, living and dead; that of children waited for is process->children_usage. */
void process_usage(const struct process *process, struct process_usage *ret);
/* Of all processes there are and were; and threads there are. */
void container_usage(struct process_usage *ret, size_t *ret_threads);

/* ---- reaching its tasks, wherever they are ---- */

/* Every task ends; the process then exits with this wait status (elsewhere: by SIGKILL). */
void process_kill(struct process *process, int wait_status);

/* ---- groups and sessions ---- */

/* Does a process have this group? *ret_sid (may be NULL): its session. */
bool group_exists(int pgid, int *ret_sid);
/* Nobody in the group has a parent in another group of the same session. */
bool group_orphaned(int pgid);
/* The same as if `without` were gone. */
bool group_orphaned_without(int pgid, const struct process *without);
/* To every member, no questions asked (the kernel's own signals). Returns how many there are. */
size_t group_signal(int pgid, const struct signal_source *source);

#endif

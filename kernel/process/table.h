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
/* Threads of all processes that run here. */
size_t task_count(void);
struct process *process_get(struct process *process);
void process_put(struct process *process);

/* ---- ids ---- */

/* tid->number is set. */
void tid_add(struct tid *tid, int number, struct process *process, struct task *task);
void tid_remove(struct tid *tid);

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
/* A zombie its parent has waited for. */
void process_reap(struct process *zombie);

/* Time and peak memory of its own tasks, living and dead; that of children waited for is process->children_usage. */
void process_usage(const struct process *process, struct process_usage *ret);

/* ---- reaching its tasks, wherever they are ---- */

/* Every task ends; the process then exits with this wait status (elsewhere: by SIGKILL). */
void process_kill(struct process *process, int wait_status);

/* ---- groups and sessions ---- */

/* Does a process have this group? *ret_sid (may be NULL): its session. */
bool group_exists(int pgid, int *ret_sid);
/* Nobody in the group has a parent in another group of the same session. */
bool group_orphaned(int pgid);
/* To every member, no questions asked (the kernel's own signals). Returns how many there are. */
size_t group_signal(int pgid, const struct signal_source *source);

#endif

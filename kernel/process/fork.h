/*
 * Making processes with clone. A process normally has an enclave of its own: process_fork_elsewhere() (remote_ops.h).
 * One made with CLONE_VM shares its maker's memory and so its enclave: its first thread is a task here with a struct
 * process of its own, until it ends or, by exec, goes to an enclave of its own.
 */
#ifndef COFRE_KERNEL_PROCESS_FORK_H
#define COFRE_KERNEL_PROCESS_FORK_H

#include <linux/sched.h>

#include "kernel/arch/trap.h"

struct process;
struct task;

/* Flags and pointers as clone3 takes them, checked by clone.c. Returns the pid of the child; with CLONE_VFORK once it
 * has ended or gone through exec, or a signal ends the caller. */
int64_t process_fork(const struct clone_args *args, const struct trap_frame *frame);

/* A task of `process` that goes on as the current one would with *frame: registers, stack, TLS as args say; the id is
 * tid. Not started. NULL: out of memory. */
struct task *clone_task(struct process *process, const struct clone_args *args, const struct trap_frame *frame,
                        int tid) must_check;
/* The words at args->parent_tid and child_tid, where memory is shared. As Linux, a bad address is not an error. */
void clone_store_tids(const struct clone_args *args, int tid);

#endif

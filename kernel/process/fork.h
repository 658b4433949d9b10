/*
 * Other processes. A process is an enclave, so a child is a second enclave of the same measurement:
 *   - CLONE_VM | CLONE_VFORK (vfork, posix_spawn): the child runs on the parent's memory until exec or exit. Here that
 *     is a task of this enclave with a process struct of its own; exec starts a fresh enclave and hands over
 *     descriptors, credentials, limits and the program; the parent's thread sleeps until then.
 *   - fork: the parent's memory is sent to the new enclave under a key the two agreed on by local attestation.
 * Neither is here yet: both are -ENOSYS, which callers see as "no such call", never as a half-made process.
 */
#ifndef COFRE_KERNEL_PROCESS_FORK_H
#define COFRE_KERNEL_PROCESS_FORK_H

#include <linux/sched.h>

#include "kernel/arch/trap.h"

/* Flags and pointers are as clone3 takes them; checked for what Linux checks before anything is made. Returns the pid
 * of the child. */
int64_t process_fork(const struct clone_args *args, const struct trap_frame *frame);

#endif

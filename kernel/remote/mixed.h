/*
 * A member's system calls that run here or there, or in both, by their arguments: pids that may be one's own, signal
 * masks that count here while the call sleeps there, mappings of files.
 */
#ifndef COFRE_KERNEL_REMOTE_MIXED_H
#define COFRE_KERNEL_REMOTE_MIXED_H

#include "kernel/syscalls/syscall.h"

/* The table of system calls becomes a member's. */
void mixed_init(void);
int64_t remote_mixed(uint64_t nr, struct trap_frame *frame, const uint64_t args[6]);
/* This kernel's own implementation. */
int64_t remote_local(uint64_t nr, struct trap_frame *frame);
/* Any call that does not run here (kernel/remote/client.c). */
int64_t remote_syscall(struct trap_frame *frame);

/* For execve, execveat, and mmap of a file: how a member does it. Without: ENOSYS, ENODEV. */
void remote_mixed_set(uint64_t nr, syscall_fn fn);

#endif

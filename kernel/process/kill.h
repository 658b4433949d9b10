/* Sending signals on behalf of a process, with Linux's rules for who may. */
#ifndef COFRE_KERNEL_PROCESS_KILL_H
#define COFRE_KERNEL_PROCESS_KILL_H

#include "kernel/lib/types.h"

struct file;
struct process;
struct signal_source;

/* May the current process send `signal` (0: probe) to target? 0, -EPERM, -EINVAL. */
must_check int signal_permission(const struct process *target, int signal);
/* Checks, then sends; signal 0 only checks. 0, -EPERM, -EINVAL, -EAGAIN. */
must_check int signal_send_checked(struct process *target, const struct signal_source *source);
/* A signal of the kernel's to whom F_SETOWN named, as far as the one who did may send to them. */
void signal_send_owner(const struct file *file, int signal);
/* A siginfo of the caller's own for the process or thread `target_id`: 0, -EFAULT, -EPERM. */
must_check int signal_source_from_user(struct signal_source *ret_source, int signal, uaddr_t user_info, int target_id);

#endif

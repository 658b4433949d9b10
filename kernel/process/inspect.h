/* Who may look into a process: its memory, environment, descriptors. */
#ifndef COFRE_KERNEL_PROCESS_INSPECT_H
#define COFRE_KERNEL_PROCESS_INSPECT_H

#include "kernel/lib/types.h"

struct process;

/* Linux's ptrace access check for the current process: the same user and group in all three, and a process that may be
 * dumped, or CAP_SYS_PTRACE. 0 or -EPERM. */
must_check int process_inspect_permission(const struct process *target);

#endif

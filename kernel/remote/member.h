/* A member enclave: what it is before and while it runs processes. */
#ifndef COFRE_KERNEL_REMOTE_MEMBER_H
#define COFRE_KERNEL_REMOTE_MEMBER_H

#include "kernel/lib/types.h"

/* Boot, instead of a container's own file systems and first process: tell the init enclave that we are there. From a
 * task. */
void member_init(void);
/* This enclave is of no use any more. */
noreturn_fn void member_end(const char *why);

struct process;
/* What the process, that was forked, touched in vain: told to its parent. */
void member_tell_touched(const struct process *process);
/* What its program touched, as far as that was not told yet: to whoever runs that next. */
void member_tell_expected(const struct process *process);

#endif

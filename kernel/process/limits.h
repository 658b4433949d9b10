/* Resource limits of a new container: as docker's defaults, stack as the policy says. */
#ifndef COFRE_KERNEL_PROCESS_LIMITS_H
#define COFRE_KERNEL_PROCESS_LIMITS_H
#include "kernel/lib/types.h"
struct process;
struct process_usage;
void limits_init(struct process *process);
/* So many processes the container may have. */
size_t process_limit(void);
/* As struct rusage. */
must_check int rusage_to_user(uaddr_t user_usage, const struct process_usage *usage);
#endif

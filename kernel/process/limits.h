/* Resource limits of a new container: as docker's defaults, stack as the policy says. */
#ifndef COFRE_KERNEL_PROCESS_LIMITS_H
#define COFRE_KERNEL_PROCESS_LIMITS_H
struct process;
void limits_init(struct process *process);
#endif

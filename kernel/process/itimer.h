/* Interval timers of a process as a whole. */
#ifndef COFRE_KERNEL_PROCESS_ITIMER_H
#define COFRE_KERNEL_PROCESS_ITIMER_H
struct process;
/* exit: they are gone. */
void itimers_delete(struct process *process);
#endif

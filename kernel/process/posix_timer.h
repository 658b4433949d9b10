/* POSIX timers of a process as a whole. */
#ifndef COFRE_KERNEL_PROCESS_POSIX_TIMER_H
#define COFRE_KERNEL_PROCESS_POSIX_TIMER_H
struct process;
/* exec and exit: they are gone. */
void posix_timers_delete(struct process *process);
#endif

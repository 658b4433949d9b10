/* POSIX timers across exec. */
#ifndef COFRE_KERNEL_PROCESS_POSIX_TIMER_H
#define COFRE_KERNEL_PROCESS_POSIX_TIMER_H
/* exec: every timer of the process is gone. */
void posix_timers_delete_all(void);
#endif

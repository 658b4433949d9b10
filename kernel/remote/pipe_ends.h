/*
 * A member's side of pipe_message.h: ends of pipes that are lent to it. read(2) and write(2) at their descriptors run
 * here and talk to the enclave at the other end; all other calls go to the init enclave, which calls the pipe back if
 * they touch it.
 */
#ifndef COFRE_KERNEL_REMOTE_PIPE_ENDS_H
#define COFRE_KERNEL_REMOTE_PIPE_ENDS_H

#include "kernel/lib/types.h"

struct process;

void pipe_ends_init(void);
/*
 * A system call of the current process. True: it was run, *ret_result is its result. False: it is the init enclave's,
 * or what is left of it, of which args tell then; *ret_result bytes were written here before. May sleep.
 */
bool pipe_ends_call(uint64_t nr, uint64_t args[6], int64_t *ret_result);
/* The process has ended, which the init enclave is told next: what it had goes back. */
void pipe_ends_exited(const struct process *process);
/* Sleep until all of them are back. */
void pipe_ends_drain(void);
/* Part of remote_poll(). */
void pipe_ends_poll(void);

#endif

/*
 * The init enclave's side of pipe_message.h. A pipe that one member writes much to and another reads, each of which has
 * one descriptor of it, is lent to both: then neither asks for anything, and the init enclave sleeps. Whatever else
 * touches it there (pipe_settle()) calls it back first: the writer's enclave says how much it sent, the reader's gives
 * back what of that was not read, and the pipe goes on with it.
 */
#ifndef COFRE_KERNEL_REMOTE_PIPE_LENDER_H
#define COFRE_KERNEL_REMOTE_PIPE_LENDER_H

#include "kernel/lib/types.h"

struct process;
struct remote_member;

void pipe_lender_init(void);
/* A call of this process in that member is about to be answered: it may have been a write that is followed by others.
 * True: the pipe at fd is lent to it. By an agent, still acting for the process. */
bool pipe_lender_offer(struct remote_member *member, struct process *process, uint64_t nr, uint64_t fd, int64_t result);
/* Is this call of a process that had not heard of the loan, when it asked, for an end that it has? Then it is its own
 * affair (-ERECALLED). */
bool pipe_lender_crossed(const struct remote_member *member, const struct process *process, uint64_t nr, uint64_t fd);
/* The member is gone. Bytes that were on their way to it are lost, and whoever else reads that pipe is told so (EIO).
 */
void pipe_lender_member_lost(struct remote_member *member);

#endif

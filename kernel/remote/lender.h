/*
 * The init enclave's side of loan_message.h: connections that members have borrowed, and descriptors they watch.
 */
#ifndef COFRE_KERNEL_REMOTE_LENDER_H
#define COFRE_KERNEL_REMOTE_LENDER_H

#include "kernel/lib/types.h"

struct process;
struct remote_member;

void lender_init(void);
/*
 * A call of this process in that member is about to be answered: if it used a connection that nobody else has, the
 * member may have it. By an agent, still acting for the process.
 */
void lender_offer(struct remote_member *member, struct process *process, uint64_t nr, uint64_t arg0, int64_t result);
/* The member is gone: what it had borrowed ends as what a killed process had. */
void lender_member_lost(struct remote_member *member);
/* Its watches go. Its connections came back before it said so. */
void lender_process_ended(const struct process *process);
/* Part of server_poll(): what could not be sent for want of memory. False: call again. */
bool lender_poll(void);

#endif

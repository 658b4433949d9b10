/*
 * Posts, the init enclave's side: short writes to the container's standard output and error, which cannot fail, are
 * not waited for. A member gets room in the stream's ring that is its own (channel_reserve()), and what it writes comes
 * with the next message, or at the next tick. By the order of the link it is in the ring before anything that follows
 * from it; what the host does with it then was its affair before, too.
 */
#ifndef COFRE_KERNEL_REMOTE_POSTS_H
#define COFRE_KERNEL_REMOTE_POSTS_H

#include "kernel/lib/types.h"

struct call_head;
struct process;
struct remote_member;

void posts_init(void);
/* In the agent that has run the call for process: if it asked for room and there is some, grant it. */
void posts_offer(struct remote_member *member, const struct process *process, const struct call_head *head,
                 int64_t result);
/* The member is gone. */
void posts_member_lost(const struct remote_member *member);

#endif

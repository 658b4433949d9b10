/*
 * Leases, the init enclave's side: a member that opens the same file again and again gets to know what the path leads
 * to, its attributes and contents, and then opens, reads and closes it without a word. Whatever might change any of it
 * first ends all leases of all members, and waits until they have said so: no member uses one after something else can
 * be seen anywhere, whatever the host holds back.
 *
 * A mode that a member was assured it may set is not waited for: who looks at the file has all that was told before
 * heard first (inode_settle(), vfs.h), which ends no lease.
 *
 * What may change it is known by system call (leases.c); writes are, since no file that is open for writing is leased,
 * by the open that allows them. After a change there are no leases for a while.
 */
#ifndef COFRE_KERNEL_REMOTE_LEASES_H
#define COFRE_KERNEL_REMOTE_LEASES_H

#include "kernel/lib/types.h"

struct call_head;
struct process;
struct remote_member;

/* Boot, if there are members: from now on system calls that change files end leases. */
void leases_init(void);
/* What has changed so far: to be taken before a call is run, for leases_offer(). */
uint64_t leases_changes(void);
/* In the agent that has run the call for process: if it asked for a lease and there can be one, send it. */
void leases_offer(struct remote_member *member, struct process *process, const struct call_head *head, int64_t result,
                  uint64_t changes);
/* Every descriptor of the process is one here, until it opens the next. Sleeps. */
void leases_settle(const struct process *process);
/* All leases are to end, but nothing waits for that. Must not sleep. */
void leases_end_soon(void);
/* The member is gone. */
void leases_member_lost(const struct remote_member *member);

#endif

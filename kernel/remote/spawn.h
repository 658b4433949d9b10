/*
 * Enclaves for processes. The init enclave asks the host for host processes that build them; who is there is proved by
 * the link's handshake. Once a container has made its first process a few are kept ready.
 */
#ifndef COFRE_KERNEL_REMOTE_SPAWN_H
#define COFRE_KERNEL_REMOTE_SPAWN_H

#include "kernel/lib/types.h"

struct remote_member;

/* Can this host start members at all? */
bool spawn_possible(void);
/* An enclave that is up and nobody yet; the reference is the caller's. Sleeps. 0, -EAGAIN (none to be had, or the host
 * could not start it) or -EINTR if the current task is to end. */
must_check int spawn_take(struct remote_member **ret_member);
/*
 * Others are made ready in the place of those that were taken. Not while a process is being sent: both ends of that are
 * waited for, and a new enclave would have one of their processors. The last one that was ready is replaced at once.
 */
void spawn_refill(void);
/* Is any of them somebody? */
bool spawn_any_taken(void);
/* It is still nobody: for somebody else. Takes the reference. */
void spawn_give_back(struct remote_member *member);
/* It is of no use: its processes are killed and its host process ends. */
void spawn_kill(struct remote_member *member);

/* Message HELLO came. */
void spawn_ready(struct remote_member *member);
/* Its last process has ended. True: it is to be nobody again, and says HELLO; false: it ends. */
bool spawn_renew(struct remote_member *member);
/* Is it between the two? What it sends answers what was sent to its last process, whom nobody knows any more. */
bool spawn_renewing(const struct remote_member *member);
/* Its link is dead, or its host process has ended. */
void spawn_lost(struct remote_member *member, const char *lie);
/* Part of remote_poll(): free the numbers of those that have ended. */
void spawn_poll(void);

#endif

/*
 * Leases, a member's side (leases.h): files that it opens, reads and closes by itself. Such a file is an open file of
 * this enclave alone, at a descriptor that the init enclave has not given out, and that it learns of (is told to open)
 * as soon as anything but reading is done with it, or might be: any call that is not known not to look at it, fork,
 * exec, and every BREAK. Only a process that has its enclave for itself does so.
 */
#ifndef COFRE_KERNEL_REMOTE_LEASED_H
#define COFRE_KERNEL_REMOTE_LEASED_H

#include "kernel/lib/types.h"

struct file;
struct message;
struct record;
struct trap_frame;

void leased_init(void);
/*
 * Run a call that needs nothing but leases: true with its result. Else what was opened so far is made known first, if
 * the call might look at it. May sleep.
 */
bool leased_call(uint64_t nr, struct trap_frame *frame, const uint64_t args[6], int64_t *ret_result);
/* What the current task's next openat is to ask with: once. 0: it does not ask. */
uint64_t leased_ask(void);
/* The leased file at a descriptor, referenced; or NULL. */
struct file *leased_at(uint64_t fd);
/* After a call that leased_call() did not run. */
void leased_after(uint64_t nr);
/* A request (client_request()) that makes, copies or closes descriptors of the process. */
must_check int leased_request(struct message *message, size_t size, struct record **ret_answer);
/* Make known what was opened. Must not sleep. */
void leased_settle(void);
/* Also end all leases: what the process may do is about to change, or what it is. */
void leased_end(void);
/* The process has ended and its descriptors are closed. */
void leased_reset(void);

#endif

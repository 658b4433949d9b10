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
uint64_t leased_era(void); /* what was asked for in an earlier one is of no use */
/* The leased file at a descriptor, referenced; or NULL. */
struct file *leased_at(uint64_t fd);
/* Is this leased file (still) the one at the descriptor? Else its lease may have ended, and it may have changed. */
bool leased_is_at(const struct file *file, uint64_t fd);
/* Its contents from pos on, as long as it is referenced; *ret_size is 0 at its end. */
const void *leased_bytes(const struct file *file, uint64_t pos, size_t *ret_size);
/* A call that may have slept moved its offset: here, or in the init enclave if the file is one there by now. */
void leased_set_offset(struct file *file, uint64_t fd, uint64_t pos);
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

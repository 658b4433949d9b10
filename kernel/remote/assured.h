/*
 * Assurances, a member's side (leases.h): what the init enclave says of a descriptor beforehand, for as long as nothing
 * changes that: the name of a listening socket, so that getsockname asks nobody; that its connections may be accepted
 * here, by this enclave's own host process; and that fchmod of a file that has no name any more succeeds, so that the
 * last mode is told before the next call that runs there (assured_tell()), or when somebody looks at such a file, for
 * whom the init enclave asks first.
 * Only for the first process of an enclave, while that is the only one there; a descriptor that may come to mean
 * something else loses them first.
 */
#ifndef COFRE_KERNEL_REMOTE_ASSURED_H
#define COFRE_KERNEL_REMOTE_ASSURED_H

#include "kernel/lib/types.h"

struct file;

void assured_init(void);
/* A call that needs no answer but what is known: true with its result. May sleep. */
bool assured_call(uint64_t nr, const uint64_t args[6], int64_t *ret_result);
/* The same of accept: before anything is made known for the sake of that call. */
bool assured_accept(uint64_t nr, const uint64_t args[6], int64_t *ret_result);
/* The listening socket at a descriptor, if this enclave may accept from it; referenced. Or NULL. */
struct file *assured_listener(int fd);
/* Is this call of the current task to ask, too? */
bool assured_ask(uint64_t nr, const uint64_t args[6]);
/* Tell the modes that were set: before anything is asked there. Who looks at one asks first. */
void assured_tell(void);
/* Before a descriptor is closed, or any may be. */
void assured_closed(int fd);
void assured_forget(void);
/* All end, as the init enclave knows; and were there any? */
bool assured_clear(void);

#endif

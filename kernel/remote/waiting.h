/*
 * A member that waits in pselect6 for a listening socket that it accepts from by itself (accepting.h), and for other
 * descriptors, which are the init enclave's: these are watched there (loan_message.h), so that as long as nothing was
 * said of them none is readable, and nobody need be asked.
 */
#ifndef COFRE_KERNEL_REMOTE_WAITING_H
#define COFRE_KERNEL_REMOTE_WAITING_H

#include "kernel/lib/types.h"

struct watch_message;

/* A call that needs nothing else: true with its result. False: it is the init enclave's; the time left is told. */
bool waiting_call(uint64_t nr, const uint64_t args[6], int64_t *ret_result);
/* A call that waiting_call() did not run was answered: what it had watched is watched by now. */
void waiting_answered(void);
/* FIRED: was it for a descriptor of these? */
bool waiting_fired(const struct watch_message *m);
/* Before a descriptor is closed, or any may be. And: the process is another. */
void waiting_closed(int fd);
void waiting_forget(void);
void waiting_reset(void);

#endif

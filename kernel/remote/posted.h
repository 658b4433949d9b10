/*
 * Posts, a member's side (posts.h): short writes to descriptors that the init enclave has granted room for are copied,
 * and go with the next message, whatever that is; or when the enclave has nothing to do; or at the next tick. Only for
 * the first process of the enclave. Descriptors that come to mean something else lose their grant (descriptors.c).
 */
#ifndef COFRE_KERNEL_REMOTE_POSTED_H
#define COFRE_KERNEL_REMOTE_POSTED_H

#include "kernel/lib/types.h"

void posted_init(void);
/* write(2): true with its result if it need not be waited for. May sleep. */
bool posted_write(const uint64_t args[6], int64_t *ret_result);
/* Is the current task's next write to ask for room? Once. */
bool posted_ask(void);
/* Has something been written that was not sent? And: send it, without a ring of the bell. Does not sleep. */
bool posted_pending(void);
void posted_flush(void);
/* So many were sent. Who hears the answer to a call sent after that knows that the init enclave has them. */
uint64_t posted_told(void);
void posted_heard(uint64_t told);
/* Wait until it has all: another process is about to learn something that does not come by way of it. */
void posted_settle(void);
/* Before a descriptor is closed, or any may be. */
void posted_closed(int fd);
void posted_forget(void);
/* The process has ended. */
void posted_reset(void);

#endif

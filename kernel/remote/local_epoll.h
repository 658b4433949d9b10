/*
 * epoll sets of a member's process. A set lies in the init enclave; once a borrowed connection (borrower.h) is added,
 * it has a second part here, which borrowed ones are in, and the member is told when there is something in the first.
 */
#ifndef COFRE_KERNEL_REMOTE_LOCAL_EPOLL_H
#define COFRE_KERNEL_REMOTE_LOCAL_EPOLL_H

#include "kernel/lib/types.h"

struct file;

void local_epoll_init(void);
/* The descriptor of the set whose part here a file is, or -1. */
int local_epoll_descriptor(const struct file *ep_file);
/* Has this descriptor's set a part here? */
bool local_epoll_has(int epfd);
bool local_epoll_any(void);
/* Its descriptor is about to be closed; those of a range, both ends included. */
void local_epoll_close(int epfd);
void local_epoll_close_range(unsigned first, unsigned last);
/* All connections go back, and from now on sets are in the init enclave alone. */
void local_epoll_dissolve(void);
/* The same for a while, when the process becomes another. */
void local_epoll_end(void);
/* The process has ended: the next one begins anew. */
void local_epoll_reset(void);

/* True: the call was run, *ret_result is its result. False: it is the init enclave's. May sleep. */
bool local_epoll_ctl(const uint64_t args[6], int64_t *ret_result);
bool local_epoll_wait(uint64_t nr, const uint64_t args[6], int64_t *ret_result);

#endif

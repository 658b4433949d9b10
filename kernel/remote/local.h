/* System calls of a member on connections that it has borrowed (borrower.h): they run here. */
#ifndef COFRE_KERNEL_REMOTE_LOCAL_H
#define COFRE_KERNEL_REMOTE_LOCAL_H

#include "kernel/lib/types.h"

struct trap_frame;

/* True: it was run, *ret_result is its result. False: as ever, kernel/remote/calls.c says where. May sleep. */
bool local_call(uint64_t nr, struct trap_frame *frame, const uint64_t args[6], int64_t *ret_result);
/* Is it one of a borrowed connection that will, as things are? */
bool local_is(uint64_t nr, const uint64_t args[6]);

#endif

/* What poll, select and epoll_wait share: deadlines from user timeouts, and temporary signal masks. */
#ifndef COFRE_KERNEL_FS_POLL_TIME_H
#define COFRE_KERNEL_FS_POLL_TIME_H

#include "kernel/lib/types.h"
#include "kernel/process/signal.h"

/* CLOCK_MONOTONIC time that lies so far in the future; 0 if both are 0 (do not wait), NO_DEADLINE if out of range. */
uint64_t deadline_after(uint64_t seconds, uint64_t ns);
/* From a user struct timespec; address 0 = NO_DEADLINE. 0, -EFAULT or -EINVAL. */
must_check int deadline_from_user(uaddr_t timeout, uint64_t *ret_deadline_ns);
/* What is left until then, into the same struct; nothing if it was 0 or NO_DEADLINE. Read-only memory stays as it is.
 */
void timeout_left_to_user(uaddr_t timeout, uint64_t deadline_ns);
/* signal_mask_temporary() with a mask of the user's; address 0: none. 0, -EFAULT or -EINVAL. */
must_check static inline int signal_mask_temporary_user(uaddr_t mask, size_t size)
{
    sigset64_t set;
    int r = mask ? sigset_from_user(&set, mask, size) : 0;
    if (mask && r == 0)
        signal_mask_temporary(set);
    return r;
}
/* After that: put the old mask back now, unless the call ends because of a signal, whose delivery
 * does it. */
void signal_mask_restore_unless_interrupted(int64_t result);

#endif

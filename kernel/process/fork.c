/* fork, vfork and clone of processes: the contract is in fork.h; not implemented, so plainly ENOSYS. */
#include "kernel/process/fork.h"

#include <linux/errno.h>

#include "kernel/syscalls/syscall.h"

int64_t process_fork(const struct clone_args *args, const struct trap_frame *frame)
{
    (void)args;
    (void)frame;
    return -ENOSYS;
}

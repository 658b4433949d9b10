/* wait4 and waitid. There are no children yet (kernel/process/fork.h), so a valid wait finds none. */
#include <linux/errno.h>
#include <linux/wait.h>

#include "kernel/process/process.h"
#include "kernel/syscalls/syscall.h"

SYSCALL_DEFINE4(wait4, int, pid, uaddr_t, user_status, int, options, uaddr_t, user_usage)
{
    (void)user_status;
    (void)user_usage;
    if ((uint32_t)options & ~(uint32_t)(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    return pid == INT32_MIN ? -ESRCH : -ECHILD;
}

SYSCALL_DEFINE5(waitid, int, which, int, pid, uaddr_t, user_info, int, options, uaddr_t, user_usage)
{
    (void)user_info;
    (void)user_usage;
    if ((uint32_t)options &
        ~(uint32_t)(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
        return -EINVAL;
    if (!(options & (WEXITED | WSTOPPED | WCONTINUED)))
        return -EINVAL;
    if (which < P_ALL || which > P_PIDFD || (which == P_PID && pid <= 0) || (which == P_PGID && pid < 0) ||
        (which == P_PIDFD && pid < 0))
        return -EINVAL;
    return -ECHILD;
}

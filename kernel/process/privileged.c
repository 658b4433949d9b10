/*
 * Calls that need a capability no container has by default (CAP_SYS_ADMIN, CAP_SYS_MODULE, CAP_SYS_BOOT, ...): refused
 * as Linux refuses them there, so that programs see a lack of rights, not an unknown kernel.
 */
#include <linux/errno.h>
#include <linux/sched.h>

#include "kernel/fs/file.h"
#include "kernel/fs/fs_context.h"
#include "kernel/process/process.h"
#include "kernel/syscalls/syscall.h"

#define REFUSED(name)                                                                                                  \
    SYSCALL_DEFINE0(name)                                                                                              \
    {                                                                                                                  \
        return -EPERM;                                                                                                 \
    }

REFUSED(acct)
REFUSED(add_key)
REFUSED(bpf)
REFUSED(delete_module)
REFUSED(fanotify_init)
REFUSED(finit_module)
REFUSED(fsopen)
REFUSED(fspick)
REFUSED(init_module)
REFUSED(ioperm)
REFUSED(iopl)
REFUSED(kexec_file_load)
REFUSED(kexec_load)
REFUSED(keyctl)
REFUSED(move_mount)
REFUSED(open_tree)
REFUSED(perf_event_open)
REFUSED(quotactl)
REFUSED(reboot)
REFUSED(request_key)
REFUSED(setns)
REFUSED(userfaultfd)
REFUSED(vhangup)

/*
 * Threads of a process share its descriptors and directories, and that stays so; a process with one thread may share
 * them with another process (clone with CLONE_FILES, CLONE_FS).
 */
SYSCALL_DEFINE1(unshare, uint64_t, flags)
{
    const uint64_t own = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM, together = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
    const uint64_t namespaces =
        CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
    if (flags & ~(own | together | namespaces))
        return -EINVAL;
    if (flags & namespaces)
        return -EPERM;
    if (process_self()->thread_count > 1)
        return flags & together ? -EINVAL : flags & own ? -ENOSYS : 0;
    int r = flags & CLONE_FILES ? fd_unshare() : 0;
    return r < 0 || !(flags & CLONE_FS) ? r : fs_unshare();
}

/* Who may look into a process. */
#include "kernel/process/inspect.h"

#include <linux/capability.h>
#include <linux/errno.h>

#include "kernel/process/process.h"

int process_inspect_permission(const struct process *target)
{
    const struct process *self = process_self();
    const struct credentials *mine = &self->credentials, *theirs = &target->credentials;
    if (target == self || process_capable(CAP_SYS_PTRACE))
        return 0;
    bool same = mine->fsuid == theirs->euid && mine->fsuid == theirs->suid && mine->fsuid == theirs->uid &&
                mine->fsgid == theirs->egid && mine->fsgid == theirs->sgid && mine->fsgid == theirs->gid;
    bool covered = (theirs->cap_permitted & ~mine->cap_effective) == 0;
    return same && covered && target->dumpable == 1 ? 0 : -EPERM;
}

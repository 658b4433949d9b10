/* process_vm_readv and process_vm_writev, of processes on the memory of this enclave. */
#include <asm-generic/errno.h>

#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/mm/uio.h"
#include "kernel/process/inspect.h"
#include "kernel/process/table.h"
#include "kernel/syscalls/syscall.h"

/* Move bytes between two iterators through a page of the kernel's. */
static size_t move_bytes(struct iov_iter *from, struct iov_iter *to, void *buf)
{
    size_t done = 0;

    for (;;) {
        size_t least = MIN(from->count, to->count), wanted = MIN(least, PAGE_SIZE);
        size_t got = copy_from_iter(from, buf, wanted);
        size_t put = copy_to_iter(to, buf, got);

        done += put;
        if (put == 0 || put < wanted)
            return done;
    }
}

static int may_reach(int pid)
{
    const struct process *process = process_of(pid);

    if (!process || process->exiting)
        return -ESRCH;
    return process->remote ? -EPERM : process_inspect_permission(process);
}

static int64_t process_vm(int pid, uaddr_t local, size_t local_count, uaddr_t remote, size_t remote_count,
                          uint64_t flags, bool write)
{
    struct io_segment fast_local[8], fast_remote[8], *local_segments, *remote_segments;
    struct iov_iter here, there;
    size_t wanted, done;
    void *buf;
    int r;

    if (flags)
        return -EINVAL;
    r = iov_import(local, local_count, fast_local, &local_segments);
    if (r < 0)
        return r;
    r = iov_import(remote, remote_count, fast_remote, &remote_segments);
    if (r < 0)
        goto release_local;
    r = may_reach(pid);
    buf = r == 0 ? page_alloc() : NULL;
    if (r == 0 && !buf)
        r = -ENOMEM;
    if (r < 0)
        goto release_remote;
    iov_iter_segments(&here, local_segments, local_count);
    iov_iter_segments(&there, remote_segments, remote_count);
    wanted = MIN(here.count, there.count);
    done = write ? move_bytes(&here, &there, buf) : move_bytes(&there, &here, buf);
    page_free(buf);
    iov_release(fast_remote, remote_segments);
    iov_release(fast_local, local_segments);
    return wanted && !done ? -EFAULT : (int64_t)done;

release_remote:
    iov_release(fast_remote, remote_segments);
release_local:
    iov_release(fast_local, local_segments);
    return r;
}

SYSCALL_DEFINE6(process_vm_readv, int, pid, uaddr_t, local, size_t, local_count, uaddr_t, remote, size_t, remote_count,
                uint64_t, flags)
{
    return process_vm(pid, local, local_count, remote, remote_count, flags, false);
}

SYSCALL_DEFINE6(process_vm_writev, int, pid, uaddr_t, local, size_t, local_count, uaddr_t, remote, size_t, remote_count,
                uint64_t, flags)
{
    return process_vm(pid, local, local_count, remote, remote_count, flags, true);
}

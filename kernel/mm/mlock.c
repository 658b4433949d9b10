/* mlock, mincore, msync, and NUMA policy of a machine with one node. Memory of an enclave is never swapped by us. */
#include <asm-generic/errno.h>
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <linux/resource.h>

#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/uaccess.h"
#include "kernel/mm/vma.h"
#include "kernel/process/process.h"
#include "kernel/syscalls/syscall.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

static bool may_lock(uint64_t more_pages)
{
    uint64_t limit = mm_resource_limit(RLIMIT_MEMLOCK);

    return process_capable(CAP_IPC_LOCK) || limit == RLIM64_INFINITY ||
           mm_self()->locked_pages + more_pages <= limit / PAGE_SIZE;
}

static int lock_range(uaddr_t start, uaddr_t end, bool lock, bool populate)
{
    uaddr_t done = start;
    int r = vma_isolate(start, end);

    for (struct vma *vma = mm_find_vma(start); r == 0 && vma && vma->start == done && done < end; vma = vma_next(vma)) {
        if (lock && !(vma->extra & VMA_LOCKED)) {
            vma->extra |= VMA_LOCKED;
            mm_self()->locked_pages += (vma->end - vma->start) / PAGE_SIZE;
        } else if (!lock && (vma->extra & VMA_LOCKED)) {
            vma->extra &= ~(unsigned)VMA_LOCKED;
            mm_self()->locked_pages -= (vma->end - vma->start) / PAGE_SIZE;
        }
        if (lock && populate && vma_rights(vma->prot))
            r = vma_populate(vma, vma->start, vma->end, 0);
        done = vma->end;
    }
    vma_merge_range(start, end);
    return r < 0 ? r : done < end ? -ENOMEM : 0;
}

static int64_t do_lock(uaddr_t addr, size_t size, bool lock, bool populate)
{
    uaddr_t start = ALIGN_DOWN(addr, PAGE_SIZE), end = ALIGN_UP(addr + size, PAGE_SIZE);

    if (end < start)
        return -EINVAL;
    mm_wait_thaw();
    if (lock && mm_resource_limit(RLIMIT_MEMLOCK) == 0 && !process_capable(CAP_IPC_LOCK))
        return -EPERM;
    if (lock && !may_lock((end - start) / PAGE_SIZE))
        return -ENOMEM;
    if (end == start)
        return 0;
    return lock_range(start, end, lock, populate);
}

SYSCALL_DEFINE2(mlock, uaddr_t, addr, size_t, size)
{
    return do_lock(addr, size, true, true);
}

SYSCALL_DEFINE3(mlock2, uaddr_t, addr, size_t, size, int, flags)
{
    if (flags & ~MLOCK_ONFAULT)
        return -EINVAL;
    return do_lock(addr, size, true, !(flags & MLOCK_ONFAULT));
}

SYSCALL_DEFINE2(munlock, uaddr_t, addr, size_t, size)
{
    return do_lock(addr, size, false, false);
}

SYSCALL_DEFINE1(mlockall, int, flags)
{
    if (!flags || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
        return -EINVAL;
    if (mm_resource_limit(RLIMIT_MEMLOCK) == 0 && !process_capable(CAP_IPC_LOCK))
        return -EPERM;
    if (!(flags & MCL_CURRENT))
        return 0;
    mm_wait_thaw();
    if (!may_lock(mm_mapped_bytes() / PAGE_SIZE - mm_self()->locked_pages))
        return -ENOMEM;
    for (struct vma *vma = vma_first(); vma; vma = vma_next(vma)) {
        if (vma->extra & (VMA_LOCKED | VMA_PINNED))
            continue;
        vma->extra |= VMA_LOCKED;
        mm_self()->locked_pages += (vma->end - vma->start) / PAGE_SIZE;
        /* As Linux: failures to bring pages in are not the caller's to see. */
        if (!(flags & MCL_ONFAULT) && vma_rights(vma->prot))
            (void)!vma_populate(vma, vma->start, vma->end, 0);
    }
    return 0;
}

SYSCALL_DEFINE0(munlockall)
{
    mm_wait_thaw();
    for (struct vma *vma = vma_first(); vma; vma = vma_next(vma))
        vma->extra &= ~(unsigned)VMA_LOCKED;
    mm_self()->locked_pages = 0;
    vma_merge_range(0, UINT64_MAX);
    return 0;
}

SYSCALL_DEFINE3(mincore, uaddr_t, addr, size_t, size, uaddr_t, vec)
{
    uaddr_t end = addr + ALIGN_UP(size, PAGE_SIZE);
    uint8_t resident[256];

    if (addr & (PAGE_SIZE - 1))
        return -EINVAL;
    if (end < addr || !mm_range_ok(addr, end - addr))
        return -ENOMEM;
    if (end > addr && !vma_range_mapped(addr, end))
        return -ENOMEM;
    for (uaddr_t page = addr; page < end;) {
        size_t count = MIN(sizeof resident, (end - page) / PAGE_SIZE);

        for (size_t i = 0; i < count; i++) {
            const struct vma *vma = mm_find_vma(page + i * PAGE_SIZE);

            /* Pages of files are all as near as the page cache of a machine would have them. */
            resident[i] = vma->file || (page_state(page + i * PAGE_SIZE) & PAGE_COMMITTED);
        }
        if (copy_to_user(vec, resident, count) < 0)
            return -EFAULT;
        page += count * PAGE_SIZE;
        vec += count;
    }
    return 0;
}

static int sync_mapped(uaddr_t addr, uaddr_t end, int flags)
{
    uaddr_t done = addr;
    bool hole = false;

    for (struct vma *vma = mm_find_vma_above(addr); done < end; vma = vma_next(vma)) {
        int r = 0;

        if (!vma || vma->start >= end)
            return -ENOMEM;
        hole |= vma->start > done;
        if ((flags & MS_INVALIDATE) && (vma->extra & VMA_LOCKED))
            return -EBUSY;
        done = vma->end;
        if ((flags & MS_SYNC) && vma->file && (vma->flags & MAP_SHARED) && vma->file->ops && vma->file->ops->fsync)
            r = vma->file->ops->fsync(vma->file, false);
        if (r < 0)
            return r;
    }
    return hole ? -ENOMEM : 0;
}

SYSCALL_DEFINE3(msync, uaddr_t, addr, size_t, size, int, flags)
{
    uaddr_t end = addr + ALIGN_UP(size, PAGE_SIZE);

    if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || (addr & (PAGE_SIZE - 1)) ||
        ((flags & MS_ASYNC) && (flags & MS_SYNC)))
        return -EINVAL;
    if (end < addr)
        return -ENOMEM;
    mm_wait_thaw();
    mm_freeze(); /* a file may sleep while it makes its pages durable */
    int r = sync_mapped(addr, end, flags);
    mm_thaw();
    return r;
}

/* ---- NUMA: node 0 is all there is ---- */

static int task_policy = MPOL_DEFAULT;
static uint64_t task_policy_nodes;

void mempolicy_reset(void)
{
    task_policy = MPOL_DEFAULT;
    task_policy_nodes = 0;
}

static int nodes_from_user(uint64_t *ret_nodes, uaddr_t mask, uint64_t max_node)
{
    *ret_nodes = 0;
    if (!mask || max_node <= 1)
        return 0;
    if (max_node > PAGE_SIZE * 8)
        return -EINVAL;
    if (get_user64(ret_nodes, mask) < 0)
        return -EFAULT;
    if (max_node - 1 < 64)
        *ret_nodes &= (1ULL << (max_node - 1)) - 1;
    return 0;
}

static int check_policy(int mode, uint64_t nodes)
{
    switch (mode & ~MPOL_MODE_FLAGS) {
    case MPOL_DEFAULT:
    case MPOL_LOCAL:
        return nodes ? -EINVAL : 0;
    case MPOL_PREFERRED:
        return nodes && !(nodes & 1) ? -EINVAL : 0;
    case MPOL_BIND:
    case MPOL_INTERLEAVE:
        return nodes & 1 ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

SYSCALL_DEFINE3(set_mempolicy, int, mode, uaddr_t, mask, uint64_t, max_node)
{
    uint64_t nodes;
    int r = nodes_from_user(&nodes, mask, max_node);

    if (r == 0)
        r = check_policy(mode, nodes);
    if (r < 0)
        return r;
    task_policy = mode;
    task_policy_nodes = nodes & 1;
    return 0;
}

SYSCALL_DEFINE5(get_mempolicy, uaddr_t, mode, uaddr_t, mask, uint64_t, max_node, uaddr_t, addr, unsigned long, flags)
{
    uint64_t nodes = task_policy_nodes;
    int value = task_policy;

    if (flags & ~(unsigned long)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
        return -EINVAL;
    if (flags & MPOL_F_MEMS_ALLOWED) {
        if (flags & (MPOL_F_NODE | MPOL_F_ADDR))
            return -EINVAL;
        nodes = 1;
        value = 0;
    } else if (flags & MPOL_F_ADDR) {
        if (!mm_find_vma(addr))
            return -EFAULT;
        if (flags & MPOL_F_NODE)
            value = 0;
    } else if (addr || ((flags & MPOL_F_NODE) && (value & ~MPOL_MODE_FLAGS) != MPOL_INTERLEAVE)) {
        return -EINVAL;
    }
    if (mode && put_user32(mode, (uint32_t)value) < 0)
        return -EFAULT;
    if (mask && max_node > 1) {
        if (clear_user(mask, ALIGN_UP(max_node - 1, 64UL) / 8) < 0 || put_user64(mask, nodes) < 0)
            return -EFAULT;
    }
    return 0;
}

SYSCALL_DEFINE6(mbind, uaddr_t, addr, size_t, size, unsigned long, mode, uaddr_t, mask, uint64_t, max_node, unsigned,
                flags)
{
    uaddr_t end = addr + ALIGN_UP(size, PAGE_SIZE);
    uint64_t nodes;
    int r;

    if ((addr & (PAGE_SIZE - 1)) || end < addr || (flags & ~(unsigned)MPOL_MF_VALID))
        return -EINVAL;
    r = nodes_from_user(&nodes, mask, max_node);
    if (r == 0)
        r = check_policy((int)mode, nodes);
    if (r < 0 || end == addr)
        return r;
    return vma_range_mapped(addr, end) ? 0 : -EFAULT;
}

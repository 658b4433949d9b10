/* madvise: what is advice is accepted; what has effects has them. */
#include <asm-generic/errno.h>
#include <linux/falloc.h>
#include <linux/mman.h>

#include "kernel/fs/file.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/vma.h"
#include "kernel/syscalls/syscall.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
/* MADV_FREE keeps the pages of smaller ranges: they are likely to be used again soon. */
#define FREE_KEEPS_MAX (512UL << 10)

static int advise_remove(struct vma *vma, uaddr_t start, uaddr_t end)
{
    if ((vma->extra & VMA_LOCKED) || !vma->file)
        return -EINVAL;
    if (!(vma->flags & MAP_SHARED) || !(vma->prot & PROT_WRITE))
        return -EACCES;
    if (!vma->file->ops || !vma->file->ops->fallocate)
        return -EOPNOTSUPP;
    return vma->file->ops->fallocate(vma->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                     vma->offset + (file_off_t)(start - vma->start), (file_off_t)(end - start));
}

static int advise_populate(struct vma *vma, uaddr_t start, uaddr_t end, int advice)
{
    int wanted = advice == MADV_POPULATE_WRITE ? PROT_WRITE : PROT_READ | PROT_WRITE | PROT_EXEC;

    if (!(vma->prot & wanted))
        return -EINVAL;
    for (uaddr_t page = start; page < end; page += PAGE_SIZE) {
        uaddr_t next = ALIGN_DOWN(page, 16 * PAGE_SIZE) + 16 * PAGE_SIZE;
        int r;

        if (page_state(page) & PAGE_COMMITTED)
            continue;
        r = vma_populate(vma, page, MIN(next, end), page);
        if (r < 0)
            return r == -EIO ? -EFAULT : r;
    }
    return 0;
}

static int advise_fork(struct vma *vma, int advice)
{
    switch (advice) {
    case MADV_DONTFORK:
        vma->extra |= VMA_DONTFORK;
        return 0;
    case MADV_DOFORK:
        vma->extra &= ~(unsigned)VMA_DONTFORK;
        return 0;
    case MADV_DONTDUMP:
        vma->extra |= VMA_DONTDUMP;
        return 0;
    case MADV_DODUMP:
        vma->extra &= ~(unsigned)VMA_DONTDUMP;
        return 0;
    case MADV_WIPEONFORK:
        if (vma->file || (vma->flags & MAP_SHARED))
            return -EINVAL;
        vma->extra |= VMA_WIPEONFORK;
        return 0;
    default:
        vma->extra &= ~(unsigned)VMA_WIPEONFORK;
        return 0;
    }
}

static int advise_one(struct vma *vma, uaddr_t start, uaddr_t end, int advice)
{
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
        if ((vma->extra & VMA_PINNED) || ((vma->extra & VMA_LOCKED) && advice == MADV_DONTNEED))
            return -EINVAL;
        /* As shared memory of several processes: dropping one's own view loses nothing. */
        if (!(vma->flags & MAP_SHARED))
            vma_discard(vma, start, end);
        return 0;
    case MADV_FREE:
        if (vma->file || vma->ops || (vma->flags & MAP_SHARED) || (vma->extra & VMA_LOCKED))
            return -EINVAL;
        if (end - start > FREE_KEEPS_MAX)
            vma_discard(vma, start, end);
        return 0;
    case MADV_REMOVE:
        return advise_remove(vma, start, end);
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return advise_populate(vma, start, end, advice);
    default:
        return 0;
    }
}

static bool splits(int advice)
{
    return advice == MADV_DONTFORK || advice == MADV_DOFORK || advice == MADV_DONTDUMP || advice == MADV_DODUMP ||
           advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK;
}

static int advice_known(int advice)
{
    switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
    case MADV_REMOVE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return 0;
    case MADV_HWPOISON:
    case MADV_SOFT_OFFLINE:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

SYSCALL_DEFINE3(madvise, uaddr_t, addr, size_t, size, int, advice)
{
    uaddr_t end = addr + ALIGN_UP(size, PAGE_SIZE), done = addr;
    bool hole = false;
    int r = advice_known(advice);

    if (r < 0)
        return r;
    if ((addr & (PAGE_SIZE - 1)) || end < addr || (size && end == addr))
        return -EINVAL;
    mm_wait_thaw();
    if (splits(advice) && end > addr) {
        r = vma_isolate(addr, end);
        if (r < 0)
            return r;
    }
    for (struct vma *vma = mm_find_vma_above(addr); done < end; vma = vma_next(vma)) {
        if (!vma || vma->start >= end) {
            hole = true;
            break;
        }
        hole |= vma->start > done;
        if (hole && (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE))
            break;
        if (splits(advice))
            r = advise_fork(vma, advice);
        else
            r = advise_one(vma, MAX(addr, vma->start), MIN(end, vma->end), advice);
        if (r < 0)
            return r;
        done = vma->end;
    }
    if (splits(advice))
        vma_merge_range(addr, end);
    return hole ? -ENOMEM : 0;
}

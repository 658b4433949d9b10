/* The VMA tree: finding, splitting, joining, and free places. Touches no pages. */
#include "kernel/mm/vma.h"

#include <asm-generic/errno.h>
#include <linux/mman.h>

#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"

int vma_compare(const struct vma *a, const struct vma *b)
{
    return a->start < b->start ? -1 : a->start > b->start;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE(vma_tree, vma, node, vma_compare)
#pragma GCC diagnostic pop

struct vma *vma_first(void)
{
    return RB_MIN(vma_tree, &mm_self()->vmas);
}

struct vma *mm_find_vma_above(uaddr_t addr)
{
    struct vma *vma = RB_ROOT(&mm_self()->vmas), *best = NULL;

    while (vma) {
        if (vma->end > addr) {
            best = vma;
            if (vma->start <= addr)
                break;
            vma = RB_LEFT(vma, node);
        } else {
            vma = RB_RIGHT(vma, node);
        }
    }
    return best;
}

struct vma *mm_find_vma(uaddr_t addr)
{
    struct vma *vma = mm_find_vma_above(addr);

    return vma && vma->start <= addr ? vma : NULL;
}

struct vma *vma_insert(const struct vma *template)
{
    struct vma *vma = kmalloc(sizeof *vma);

    if (!vma)
        return NULL;
    *vma = *template;
    if (vma->file)
        file_get(vma->file);
    ASSERT(RB_INSERT(vma_tree, &mm_self()->vmas, vma) == NULL);
    mm_self()->vma_count++;
    return vma;
}

void vma_delete(struct vma *vma)
{
    struct file *file = vma->file;

    RB_REMOVE(vma_tree, &mm_self()->vmas, vma);
    mm_self()->vma_count--;
    kfree(vma);
    if (file)
        file_put(file);
}

int vma_split(struct vma *vma, uaddr_t addr)
{
    struct vma upper = *vma;
    uaddr_t end = vma->end;

    ASSERT(addr > vma->start && addr < end);
    if (mm_self()->vma_count >= VMA_COUNT_MAX)
        return -ENOMEM;
    upper.start = addr;
    if (vma->file)
        upper.offset += (file_off_t)(addr - vma->start);
    vma->end = addr;
    if (!vma_insert(&upper)) {
        vma->end = end;
        return -ENOMEM;
    }
    return 0;
}

int vma_isolate(uaddr_t start, uaddr_t end)
{
    struct vma *vma = mm_find_vma(start);
    int r;

    if (vma && vma->start < start) {
        r = vma_split(vma, start);
        if (r < 0)
            return r;
    }
    vma = mm_find_vma(end - 1);
    if (vma && vma->end > end) {
        r = vma_split(vma, end);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool alike(const struct vma *a, const struct vma *b)
{
    return a->end == b->start && a->prot == b->prot && a->flags == b->flags && a->file == b->file &&
           a->name == b->name && a->ops == b->ops && a->private == b->private && a->extra == b->extra &&
           (!a->file || a->offset + (file_off_t)(a->end - a->start) == b->offset);
}

void vma_merge_range(uaddr_t start, uaddr_t end)
{
    struct vma *vma = mm_find_vma_above(start ? start - 1 : 0);

    while (vma && vma->start <= end) {
        struct vma *next = vma_next(vma);

        if (next && alike(vma, next)) {
            uaddr_t joined_end = next->end;

            vma_delete(next);
            vma->end = joined_end;
        } else {
            vma = next;
        }
    }
}

bool vma_range_free(uaddr_t start, uaddr_t end)
{
    const struct vma *vma = mm_find_vma_above(start);

    return !vma || vma->start >= end;
}

bool vma_range_mapped(uaddr_t start, uaddr_t end)
{
    struct vma *vma = mm_find_vma(start);

    while (vma && vma->end < end) {
        struct vma *next = vma_next(vma);

        if (!next || next->start != vma->end)
            return false;
        vma = next;
    }
    return vma != NULL;
}

/* A stack below which others want to be leaves room to grow. */
static uaddr_t guarded_start(const struct vma *vma)
{
    if ((vma->flags & MAP_GROWSDOWN) && vma->start > STACK_GUARD_GAP)
        return vma->start - STACK_GUARD_GAP;
    return vma->start;
}

uaddr_t vma_find_gap(uaddr_t low, uaddr_t high, size_t size)
{
    struct vma *above;

    if (high <= low || size > high - low)
        return 0;
    /* The VMA that has bytes below `high` nearest to it; the gap searched is the one above it. */
    above = mm_find_vma_above(high - 1);
    if (above && above->start < high)
        high = guarded_start(above);
    else if (above)
        high = MIN(high, MAX(guarded_start(above), low));
    for (struct vma *below = above ? vma_prev(above) : RB_MAX(vma_tree, &mm_self()->vmas);; below = vma_prev(below)) {
        uaddr_t floor = below ? MAX(below->end, low) : low;

        if (high > floor && high - floor >= size)
            return high - size;
        if (!below || below->start <= low)
            return 0;
        high = guarded_start(below);
    }
}

uaddr_t vma_find_gap_up(uaddr_t low, uaddr_t high, size_t size)
{
    struct vma *vma = mm_find_vma_above(low);

    for (;; vma = vma_next(vma)) {
        uaddr_t ceiling = vma ? MIN(guarded_start(vma), high) : high;

        if (ceiling > low && ceiling - low >= size)
            return low;
        if (!vma || vma->end >= high)
            return 0;
        low = MAX(low, vma->end);
    }
}

unsigned vma_rights(int prot)
{
    unsigned rights = 0;

    if (prot & (PROT_READ | PROT_WRITE | PROT_EXEC))
        rights |= 1;
    if (prot & PROT_WRITE)
        rights |= 2;
    if (prot & PROT_EXEC)
        rights |= 4;
    return rights;
}

uint64_t vma_page_index(const struct vma *vma, uaddr_t page)
{
    return ((uint64_t)vma->offset + (page - vma->start)) / PAGE_SIZE;
}

/* mremap: growing and shrinking in place, and moving. A page has one address, so moving is copying. */
#include <asm-generic/errno.h>
#include <linux/mman.h>

#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/vma.h"
#include "kernel/syscalls/syscall.h"

#define MOVE_CHUNK_PAGES 256
#define GROWTH_ROOM (64UL << 20)
#define GROWTH_SIZE_MAX (4UL << 30)

/* Move committed pages of [from, from + size) to `to`, chunk by chunk, so that little more memory is needed. */
static int move_pages(const struct vma *vma, uaddr_t from, uaddr_t to, size_t size)
{
    unsigned rights = vma_rights(vma->prot);
    uaddr_t end = from + size, page, next;
    int r;

    for (page = pages_next_committed(from, end); page < end; page = pages_next_committed(next, end)) {
        size_t most = MIN((uint64_t)MOVE_CHUNK_PAGES, pages_available());

        next = page + PAGE_SIZE;
        while (next < end && (page_state(next) & PAGE_COMMITTED) && next - page < most * PAGE_SIZE)
            next += PAGE_SIZE;
        if (!rights)
            pages_set_rights(page, next, PAGE_R);
        r = pages_commit_copy(to + (page - from), (next - page) / PAGE_SIZE, (const void *)page, rights | PAGE_R);
        if (r < 0)
            return r;
        if (!rights)
            pages_set_rights(to + (page - from), to + (next - from), 0);
        pages_release(page, next);
    }
    return 0;
}

/* [old, old + old_size) lies in vma; [to, to + new_size) is free. */
static int64_t move_mapping(struct vma *vma, uaddr_t old, size_t old_size, uaddr_t to, size_t new_size, bool keep)
{
    struct vma template = *vma;
    struct vma *moved;
    bool plain_file = vma->file && !vma->ops;
    int r;

    template.start = to;
    template.end = to + new_size;
    if (vma->file)
        template.offset += (file_off_t)(old - vma->start);
    moved = vma_insert(&template);
    if (!moved)
        return -ENOMEM;
    r = plain_file ? shared_attach(moved) : 0;
    if (r < 0) {
        vma_delete(moved);
        return r;
    }
    /* Pages that the file can give again are simply read again; rewritten text is only right where it was. */
    if (plain_file && ((vma->flags & MAP_SHARED) || (vma->prot & PROT_EXEC)))
        vma_zap(vma, old, old + old_size);
    else
        r = move_pages(vma, old, to, MIN(old_size, new_size));
    if (r < 0) {
        /* What was moved already goes back: its place was just freed. */
        if (move_pages(vma, to, old, MIN(old_size, new_size)) < 0)
            printk(LOG_ERROR, "mm: mremap lost pages for lack of memory\n");
        mm_unmap(to, new_size);
        return r;
    }
    if (!pages_edmm() && vma_rights(moved->prot))
        r = vma_populate(moved, moved->start, moved->end, 0);
    if (r == 0 && !keep)
        r = mm_unmap(old, old_size);
    vma_merge_range(to, to + new_size);
    return r < 0 ? r : (int64_t)to;
}

static bool grow_in_place(struct vma *vma, uaddr_t old, size_t old_size, size_t new_size)
{
    uaddr_t end = old + new_size, old_end = vma->end;

    if (vma->end != old + old_size || !mm_range_ok(old, new_size) || !vma_range_free(vma->end, end))
        return false;
    if (vma_rights(vma->prot) && end > pages_backed_end())
        return false;
    if (vma->file && !vma->ops) {
        struct vma part = *vma;

        part.start = vma->end;
        part.end = end;
        if (shared_attach(&part) < 0)
            return false;
    }
    vma->end = end;
    if (!pages_edmm() && vma_rights(vma->prot) && vma_populate(vma, old_end, end, 0) < 0) {
        pages_decommit(old_end, end);
        vma->end = old_end;
        return false;
    }
    if (vma->extra & VMA_LOCKED)
        (void)!vma_populate(vma, old_end, end, old_end);
    vma_merge_range(old, end);
    return true;
}

static int64_t remap_fixed(uaddr_t old, size_t old_size, size_t new_size, unsigned flags, uaddr_t new_addr)
{
    struct vma *vma;
    int r;

    if ((new_addr & (PAGE_SIZE - 1)) || !mm_range_ok(new_addr, new_size))
        return -EINVAL;
    if (new_addr < old + old_size && old < new_addr + new_size)
        return -EINVAL;
    vma = mm_find_vma(new_addr);
    if (vma && (vma->extra & VMA_PINNED))
        return -ENOMEM;
    r = mm_unmap(new_addr, new_size);
    if (r == 0 && new_size < old_size && !(flags & MREMAP_DONTUNMAP)) {
        r = mm_unmap(old + new_size, old_size - new_size);
        old_size = new_size;
    }
    vma = mm_find_vma(old);
    if (r < 0)
        return r;
    if (!vma || vma->end < old + old_size)
        return -EFAULT;
    return move_mapping(vma, old, old_size, new_addr, new_size, flags & MREMAP_DONTUNMAP);
}

/* Moving costs a copy here, and what grew once will grow again: a place with room above, while there is plenty. */
static uaddr_t place_to_grow(size_t size, const struct vma *vma)
{
    size_t room = MAX(size, GROWTH_ROOM);
    uaddr_t place = pages_edmm() && size < GROWTH_SIZE_MAX ? mm_find_place(size + room, vma->prot, vma->flags) : 0;

    return place ? place : mm_find_place(size, vma->prot, vma->flags);
}

static int check_remap(const struct vma *vma, uaddr_t old, size_t old_size, size_t new_size, unsigned flags)
{
    if (!vma || (vma->extra & VMA_PINNED))
        return -EFAULT;
    /* Duplicating a mapping (old_size 0) needs it to be shared. */
    if (old_size == 0)
        return (vma->flags & MAP_SHARED) && vma->file ? 0 : -EINVAL;
    if ((flags & MREMAP_DONTUNMAP) && (vma->file || vma->ops))
        return -EINVAL;
    if (old_size > vma->end - old)
        return -EFAULT;
    return new_size > old_size ? mm_may_map(new_size - old_size) : 0;
}

SYSCALL_DEFINE5(mremap, uaddr_t, old, size_t, old_size, size_t, new_size, unsigned, flags, uaddr_t, new_addr)
{
    struct vma *vma;
    uaddr_t place;
    int r;

    if (flags & ~(unsigned)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
        return -EINVAL;
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE))
        return -EINVAL;
    if ((flags & MREMAP_DONTUNMAP) && old_size != new_size)
        return -EINVAL;
    old_size = ALIGN_UP(old_size, PAGE_SIZE);
    new_size = ALIGN_UP(new_size, PAGE_SIZE);
    if ((old & (PAGE_SIZE - 1)) || new_size == 0)
        return -EINVAL;
    mm_wait_thaw();
    vma = mm_find_vma(old);
    r = check_remap(vma, old, old_size, new_size, flags);
    if (r < 0)
        return r;
    if (flags & MREMAP_FIXED)
        return remap_fixed(old, old_size, new_size, flags, new_addr);
    if (new_size <= old_size && !(flags & MREMAP_DONTUNMAP)) {
        r = new_size < old_size ? mm_unmap(old + new_size, old_size - new_size) : 0;
        return r < 0 ? r : (int64_t)old;
    }
    if (!(flags & MREMAP_DONTUNMAP) && old_size && grow_in_place(vma, old, old_size, new_size))
        return (int64_t)old;
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    place = place_to_grow(new_size, vma);
    if (!place)
        return -ENOMEM;
    return move_mapping(vma, old, old_size, place, new_size, (flags & MREMAP_DONTUNMAP) || old_size == 0);
}

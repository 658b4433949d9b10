/* The VMA tree and what mapping calls share. Only kernel/mm/ includes this. */
#ifndef COFRE_KERNEL_MM_VMA_H
#define COFRE_KERNEL_MM_VMA_H

#include "kernel/mm/mm.h"

#define VMA_COUNT_MAX 65530 /* Linux's vm.max_map_count */
#define STACK_GUARD_GAP (256 * PAGE_SIZE)

int vma_compare(const struct vma *a, const struct vma *b);
RB_PROTOTYPE(vma_tree, vma, node, vma_compare)

static inline struct vma *vma_next(struct vma *vma)
{
    return vma_tree_RB_NEXT(vma);
}
static inline struct vma *vma_prev(struct vma *vma)
{
    return vma_tree_RB_PREV(vma);
}
struct vma *vma_first(void);

/* A copy of *template in the tree; its file is referenced. NULL when out of memory. The place must be free. */
struct vma *vma_insert(const struct vma *template) must_check;
/* Out of the tree, file released. Pages are not touched. */
void vma_delete(struct vma *vma);
/* Cut vma in two at addr (inside it); 0 or -ENOMEM. The upper part is vma_next(vma). */
must_check int vma_split(struct vma *vma, uaddr_t addr);
/* Cut VMAs that cross start or end. */
must_check int vma_isolate(uaddr_t start, uaddr_t end);
/* Join neighbours that are alike around [start, end). */
void vma_merge_range(uaddr_t start, uaddr_t end);
/* True if no VMA has a byte in [start, end). */
bool vma_range_free(uaddr_t start, uaddr_t end);
/* True if [start, end) is covered without a hole. */
bool vma_range_mapped(uaddr_t start, uaddr_t end);
/* The highest free place for size bytes in [low, high), or 0. */
uaddr_t vma_find_gap(uaddr_t low, uaddr_t high, size_t size);
/* The lowest. */
uaddr_t vma_find_gap_up(uaddr_t low, uaddr_t high, size_t size);

/* The EPCM rights of pages of a mapping with this PROT_*: write and execute imply read. */
unsigned vma_rights(int prot);
/* Page index in its file of a page of vma. */
uint64_t vma_page_index(const struct vma *vma, uaddr_t page);

/* Bring in what is missing of [start, end), inside vma. Only a failure to bring in `must` (a page, or 0) counts:
 * -EFAULT, -EIO, -ENOMEM. */
int vma_populate(struct vma *vma, uaddr_t start, uaddr_t end, uaddr_t must);
/* Bring in these pages of vma, in order, none committed: they are these blocks of the root image. What cannot be
 * brought in is not. */
void vma_bring_in(struct vma *vma, const uaddr_t *pages, const uint64_t *blocks, size_t count);
/* The pages of [start, end) are about to become executable: rewrite system call sites of those from files. */
void vma_rewrite(struct vma *vma, uaddr_t start, uaddr_t end);
/* Zero the pages of vma in [start, end) or make them be read again from the file, as MADV_DONTNEED. */
void vma_discard(struct vma *vma, uaddr_t start, uaddr_t end);
/* Drop the pages of vma in [start, end); shared file pages go back to their file. */
void vma_zap(struct vma *vma, uaddr_t start, uaddr_t end);

/* Place for a mapping of size bytes (flags: MAP_32BIT counts), or 0. */
uaddr_t mm_find_place(size_t size, int prot, int flags);
/* RLIMIT_AS and the number of mappings allow size more bytes; 0 or -ENOMEM. */
must_check int mm_may_map(size_t size);
uint64_t mm_mapped_bytes(void);
uint64_t mm_resource_limit(int resource);

#endif

/*
 * The kernel heap's pages: a buddy allocator over [KHEAP_BASE, KHEAP_BASE + heap size). One struct heap_page describes
 * each page; kmalloc.c keeps its slab bookkeeping there too. Pages are committed when first handed out and stay so.
 */
#ifndef COFRE_KERNEL_MM_HEAP_H
#define COFRE_KERNEL_MM_HEAP_H

#include "kernel/lib/types.h"

enum heap_page_kind {
    HEAP_TAIL = 0,  /* inside a block that another page heads, or never used */
    HEAP_FREE = 1,  /* heads a free block of 1 << order pages */
    HEAP_PAGES = 2, /* heads an allocation of `count` pages */
    HEAP_SLAB = 3,  /* a page of a slab; `head` is the slab's first page */
};

struct heap_page {
    uint32_t next, prev; /* HEAP_FREE: links, as page number + 1 */
    union {
        uint32_t count; /* HEAP_PAGES */
        uint32_t head;  /* HEAP_SLAB */
    };
    uint8_t kind;
    uint8_t order;      /* HEAP_FREE */
    uint8_t size_class; /* HEAP_SLAB */
    uint8_t committed;
};

/* base is KHEAP_BASE but for the hosted tests. */
void heap_init(uint64_t base, uint64_t size);
/* count contiguous pages, committed; the first one is HEAP_PAGES. NULL when there is no room. */
void *heap_alloc(size_t count) must_check;
void heap_free(void *first, size_t count);
/* NULL if p does not lie in the part of the heap in use. */
struct heap_page *heap_page_of(const void *p);
struct heap_page *heap_page_at(uint32_t number);
uint32_t heap_page_number(const void *p);
void *heap_page_address(uint32_t number);
uint64_t heap_pages_used(void);
/* All there may be, and those not handed out. */
uint64_t heap_pages_limit(void);
uint64_t heap_pages_left(void);

/* kernel/mm/commit.c: make pages of the heap exist, zeroed. The hosted tests have their own. */
void heap_commit_init(bool with_edmm);
void heap_commit(uint64_t addr, size_t count);

#endif

/* Kernel memory. All of it lies in [KHEAP_BASE, KHEAP_END), is zeroed where said, and is bounded by
 * policy.kernel_heap_size. */
#ifndef COFRE_KERNEL_MM_KMALLOC_H
#define COFRE_KERNEL_MM_KMALLOC_H

#include "kernel/lib/types.h"

/* NULL when out of kernel memory. 16-byte aligned; sizes of a page or more are page aligned. */
void *kmalloc(size_t size) must_check;
void *kzalloc(size_t size) must_check;
/* For what is freed soon, and is large: a power of two of pages, so that what it leaves is whole. Of the part of a
 * block that kmalloc() gives back small allocations are made, which stay, and the block is never one again. */
void *kmalloc_transient(size_t size) must_check;
void *krealloc(void *p, size_t size) must_check;
void kfree(void *p); /* NULL is fine */
char *kstrdup(const char *s) must_check;

/* Whole pages, not cleared by page_alloc(). page_alloc_many gives contiguous pages. */
void *page_alloc(void) must_check;
void *page_alloc_many(size_t count) must_check;
void page_free(void *page); /* NULL is fine */
void page_free_many(void *first, size_t count);

void kmalloc_init(uint64_t heap_size, bool edmm);
uint64_t kmalloc_bytes_used(void);
/* The bytes that files in memory may take yet: a sixteenth of the heap, 16 MiB at most, is kept from them. Without it
 * no fault and no system call could be served, not even the one that removes a file. */
uint64_t kmalloc_room_for_files(void);

#endif

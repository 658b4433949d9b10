/* The kernel's allocator, made of the C library's. */
#include <stdlib.h>

#include "kernel/mm/kmalloc.h"
#include "kernel/volume/format.h"

void *kmalloc(size_t size)
{
    return malloc(size ? size : 1);
}

void *kzalloc(size_t size)
{
    return calloc(1, size ? size : 1);
}

void *krealloc(void *p, size_t size)
{
    return realloc(p, size ? size : 1);
}

void kfree(void *p)
{
    free(p);
}

void *page_alloc(void)
{
    return aligned_alloc(VOLUME_BLOCK_SIZE, VOLUME_BLOCK_SIZE);
}

void page_free(void *page)
{
    free(page);
}

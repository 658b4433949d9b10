/* What mm_machine.c needs of the C library, whose headers do not go with the kernel's. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

void *hosted_malloc(size_t size);
void *hosted_aligned(size_t alignment, size_t size);
void *hosted_realloc(void *p, size_t size);
void hosted_free(void *p);
void hosted_abort(const char *message) __attribute__((noreturn));
void machine_map_memory(uint64_t start, uint64_t end);

void *hosted_malloc(size_t size)
{
    return malloc(size);
}

void *hosted_aligned(size_t alignment, size_t size)
{
    return aligned_alloc(alignment, size);
}

void *hosted_realloc(void *p, size_t size)
{
    return realloc(p, size);
}

void hosted_free(void *p)
{
    free(p);
}

void hosted_abort(const char *message)
{
    fprintf(stderr, "%s\n", message);
    abort();
}

void machine_map_memory(uint64_t start, uint64_t end)
{
    void *p = mmap((void *)start, end - start, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

    if (p != (void *)start)
        hosted_abort("low memory is not to be had");
}

/*
 * For targets whose kernel keeps state that cannot be made new: its variables (kernel_state.h) and its memory are those
 * of a kernel that was just loaded, for each input.
 */
#ifndef COFRE_FUZZ_FRESH_KERNEL_H
#define COFRE_FUZZ_FRESH_KERNEL_H

#pragma clang section bss = "" data = ""

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted_libc.h"

extern uint8_t __start_kernel_bss[], __stop_kernel_bss[], __start_kernel_data[], __stop_kernel_data[];

/* The kernel's memory: forgotten as a whole after each run. */
struct block {
    struct block *next;
    void *start; /* what to free */
};
static struct block *blocks;
static void *large[8]; /* the arena, the shared area and buffers: big, and used again */
static size_t large_count, large_sizes[8], large_next;

static void *block_new(size_t size, size_t align)
{
    size_t head = align > sizeof(struct block) ? align : sizeof(struct block);
    uint8_t *p = align > 16 ? aligned_alloc(align, (head + size + align - 1) / align * align) : malloc(head + size);
    if (!p)
        abort();
    struct block *b = (struct block *)(p + head) - 1;
    *b = (struct block){blocks, p};
    blocks = b;
    return b + 1;
}

void *hosted_malloc(size_t size)
{
    return block_new(size, 16);
}

void hosted_free(void *p)
{
    struct block **at = &blocks;
    while (p && *at && (void *)(*at + 1) != p)
        at = &(*at)->next;
    if (p && *at) {
        struct block *b = *at;
        *at = b->next;
        free(b->start);
    }
}

void *hosted_realloc(void *p, size_t size)
{
    (void)p;
    (void)size;
    abort(); /* nothing here needs it */
}

void *hosted_page_alloc(size_t size)
{
    if (size <= 100000)
        return block_new(size, 4096);
    if (large_next == large_count) {
        large[large_count] = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
        large_sizes[large_count++] = size;
    }
    if (large_sizes[large_next] != size)
        abort();
    return large[large_next++];
}

void hosted_abort(const char *message)
{
    fprintf(stderr, "%s\n", message);
    abort();
}

uint64_t hosted_realtime_ns(void)
{
    return 1000000000000000000ULL;
}

/* Over the sanitizer's red zones between variables, too. */
__attribute__((no_sanitize("address"))) static void copy_all(void *dst, const void *src, size_t size)
{
    __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(size) : : "memory");
}

static void fresh_kernel_begin(void)
{
    static uint8_t *fresh, *zeros;
    size_t bss = (size_t)(__stop_kernel_bss - __start_kernel_bss);
    size_t initialised = (size_t)(__stop_kernel_data - __start_kernel_data);
    if (!fresh) {
        fresh = malloc(initialised);
        zeros = calloc(1, bss);
        copy_all(fresh, __start_kernel_data, initialised);
    }
    copy_all(__start_kernel_bss, zeros, bss);
    copy_all(__start_kernel_data, fresh, initialised);
}

static void fresh_kernel_end(void)
{
    while (blocks) {
        struct block *b = blocks;
        blocks = b->next;
        free(b->start);
    }
    large_next = 0;
}

#endif

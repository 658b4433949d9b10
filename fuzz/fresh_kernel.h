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
    uint64_t pad;
};
static struct block *blocks;
static void *pages[8];
static size_t page_count;

void *hosted_malloc(size_t size)
{
    struct block *b = malloc(sizeof(*b) + size);
    if (!b)
        abort();
    b->next = blocks;
    blocks = b;
    return b + 1;
}

void hosted_free(void *p)
{
    struct block **at = &blocks;
    while (p && *at && (void *)(*at + 1) != p)
        at = &(*at)->next;
    if (p && *at) {
        struct block *b = *at;
        *at = b->next;
        free(b);
    }
}

void *hosted_page_alloc(size_t size)
{
    return pages[page_count++] = aligned_alloc(4096, size);
}

void hosted_abort(const char *message)
{
    fprintf(stderr, "%s\n", message);
    abort();
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
        free(b);
    }
    while (page_count > 0)
        free(pages[--page_count]);
}

#endif

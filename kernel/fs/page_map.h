/*
 * The pages of a file in memory by page index: a radix tree of 64-way nodes, as deep as the highest index needs. Values
 * are opaque pointers; NULL means absent.
 */
#ifndef COFRE_KERNEL_FS_PAGE_MAP_H
#define COFRE_KERNEL_FS_PAGE_MAP_H

#include "kernel/lib/types.h"

struct page_map {
    void *root;
    unsigned height; /* levels; 0 = empty */
};

void *page_map_get(const struct page_map *map, uint64_t index);
/* 0 or -ENOMEM (only where a value is new). */
must_check int page_map_set(struct page_map *map, uint64_t index, void *value);
/* Returns what was there. */
void *page_map_remove(struct page_map *map, uint64_t index);
/* The first value at or after index; NULL if none. */
void *page_map_next(const struct page_map *map, uint64_t index, uint64_t *ret_index);
/* Frees the nodes; the values must be gone. */
void page_map_deinit(struct page_map *map);

#endif

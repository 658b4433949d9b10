/* A radix tree of pages (contract in page_map.h). */
#include "kernel/fs/page_map.h"

#include <linux/errno.h>

#include "kernel/mm/kmalloc.h"

#define SHIFT 6
#define FANOUT (1u << SHIFT)

struct node {
    unsigned count; /* slots in use */
    void *slots[FANOUT];
};

static bool covers(unsigned height, uint64_t index)
{
    return height * SHIFT >= 64 || index >> (height * SHIFT) == 0;
}

static unsigned slot_of(uint64_t index, unsigned level)
{
    return index >> (level * SHIFT) & (FANOUT - 1);
}

void *page_map_get(const struct page_map *map, uint64_t index)
{
    if (map->height == 0 || !covers(map->height, index))
        return NULL;
    void *p = map->root;
    for (unsigned level = map->height; p && level-- > 0;)
        p = ((struct node *)p)->slots[slot_of(index, level)];
    return p;
}

static int grow(struct page_map *map, uint64_t index)
{
    while (map->height == 0 || !covers(map->height, index)) {
        struct node *node = kzalloc(sizeof(*node));
        if (!node)
            return -ENOMEM;
        if (map->root) {
            node->slots[0] = map->root;
            node->count = 1;
        }
        map->root = node;
        map->height++;
    }
    return 0;
}

int page_map_set(struct page_map *map, uint64_t index, void *value)
{
    int error = grow(map, index);
    if (error)
        return error;
    struct node *node = map->root;
    for (unsigned level = map->height - 1; level > 0; level--) {
        void **slot = &node->slots[slot_of(index, level)];
        if (!*slot) {
            *slot = kzalloc(sizeof(struct node));
            if (!*slot)
                return -ENOMEM;
            node->count++;
        }
        node = *slot;
    }
    void **slot = &node->slots[slot_of(index, 0)];
    if (!*slot)
        node->count++;
    *slot = value;
    return 0;
}

static void *remove_below(struct node *node, unsigned level, uint64_t index)
{
    void **slot = &node->slots[slot_of(index, level)];
    void *value = *slot;
    if (!value)
        return NULL;
    if (level > 0) {
        struct node *child = *slot;
        value = remove_below(child, level - 1, index);
        if (child->count > 0)
            return value;
        kfree(child);
    }
    *slot = NULL;
    node->count--;
    return value;
}

void *page_map_remove(struct page_map *map, uint64_t index)
{
    if (map->height == 0 || !covers(map->height, index))
        return NULL;
    struct node *root = map->root;
    void *value = remove_below(root, map->height - 1, index);
    if (root->count == 0) {
        kfree(root);
        map->root = NULL;
        map->height = 0;
    }
    return value;
}

static void *next_below(const struct node *node, unsigned level, uint64_t index, uint64_t *ret_index)
{
    for (unsigned i = slot_of(index, level); i < FANOUT; i++) {
        if (node->slots[i]) {
            unsigned above = (level + 1) * SHIFT;
            uint64_t base = (above < 64 ? index >> above << above : 0) | (uint64_t)i << (level * SHIFT);
            uint64_t from = MAX(index, base);
            if (level == 0) {
                *ret_index = base;
                return node->slots[i];
            }
            void *value = next_below(node->slots[i], level - 1, from, ret_index);
            if (value)
                return value;
        }
    }
    return NULL;
}

void *page_map_next(const struct page_map *map, uint64_t index, uint64_t *ret_index)
{
    if (map->height == 0 || !covers(map->height, index))
        return NULL;
    return next_below(map->root, map->height - 1, index, ret_index);
}

static void free_below(struct node *node, unsigned level)
{
    for (unsigned i = 0; level > 0 && i < FANOUT; i++)
        if (node->slots[i])
            free_below(node->slots[i], level - 1);
    kfree(node);
}

void page_map_deinit(struct page_map *map)
{
    if (map->height)
        free_below(map->root, map->height - 1);
    map->root = NULL;
    map->height = 0;
}

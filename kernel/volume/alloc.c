/*
 * Free space. The map has a bit for each block that the next checkpoint will use. A block that is freed is clear in the
 * map at once, but stays untouched until two checkpoints are durable (`pending`): what the last one and the one before
 * refer to is always there.
 */
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

#define MAP_BYTES VOLUME_BLOCK_SIZE
#define RESERVE_MIN 16384 /* 64 MiB */

static bool bit_get(const uint8_t *map, uint64_t bit)
{
    return map[bit / 8] >> (bit % 8) & 1;
}
static void bit_set(uint8_t *map, uint64_t bit)
{
    map[bit / 8] |= (uint8_t)(1u << (bit % 8));
}
static void bit_clear(uint8_t *map, uint64_t bit)
{
    map[bit / 8] &= (uint8_t) ~(1u << (bit % 8));
}

static uint64_t group_size(const struct volume *v, uint64_t group)
{
    return MIN(v->block_count - group * VOLUME_GROUP_BLOCKS, (uint64_t)VOLUME_GROUP_BLOCKS);
}

/* How many blocks of the group may be given out. */
static uint64_t group_end(const struct volume *v, uint64_t group)
{
    uint64_t start = group * VOLUME_GROUP_BLOCKS;
    return v->limit > start ? MIN(v->limit - start, (uint64_t)VOLUME_GROUP_BLOCKS) : 0;
}

static struct volume_node *map_node(struct volume *v)
{
    return &v->objects[VOLUME_OBJECT_FREE_MAP];
}

static void group_count_free(struct volume *v, uint64_t group, const struct vol_block *map)
{
    struct vol_group *g = &v->groups[group];
    if (g->free_count >= 0)
        return;
    uint64_t size = group_size(v, group), used = 0;
    for (uint64_t i = 0; map && i < size; i++)
        used += bit_get(map->data, i);
    g->free_count = (int32_t)(size - used);
}

/* The map's block of a group, dirty and referenced. */
static int map_get(struct volume *v, uint64_t group, struct vol_block **ret_map)
{
    int err = vol_block_get(map_node(v), 0, group, VOL_CREATE, ret_map);
    if (err < 0)
        return err;
    group_count_free(v, group, *ret_map);
    err = vol_block_dirty(*ret_map);
    if (err < 0)
        vol_block_put(*ret_map);
    return err;
}

static bool is_free(const struct vol_group *g, const struct vol_block *map, uint64_t bit)
{
    return !(map && bit_get(map->data, bit)) && !(g->pending[0] && bit_get(g->pending[0], bit)) &&
           !(g->pending[1] && bit_get(g->pending[1], bit));
}

/* The first run of at least min free blocks in [from, to): its length, at most want, or 0. */
static uint64_t run_find(const struct vol_group *g, const struct vol_block *map, uint64_t from, uint64_t to,
                         uint64_t want, uint64_t min, uint64_t *ret_start)
{
    uint64_t length = 0;
    for (uint64_t bit = from; bit < to; bit++) {
        if (length == 0 && map && bit % 8 == 0 && map->data[bit / 8] == 0xff) {
            bit += 7;
            continue;
        }
        if (!is_free(g, map, bit)) {
            if (length >= min)
                return length;
            length = 0;
            continue;
        }
        if (length++ == 0)
            *ret_start = bit;
        if (length == want)
            return length;
    }
    return length >= min ? length : 0;
}

static int group_alloc(struct volume *v, uint64_t group, uint64_t from, uint64_t want, uint64_t min,
                       uint64_t *ret_block, uint64_t *ret_count)
{
    struct vol_group *g = &v->groups[group];
    struct vol_block *map;
    uint64_t start = 0;
    if (g->free_count >= 0 && (uint64_t)g->free_count < min)
        return 0;
    int err = vol_block_get(map_node(v), 0, group, VOL_READ, &map);
    if (err < 0)
        return err;
    group_count_free(v, group, map);
    uint64_t count = run_find(g, map, from, group_end(v, group), want, min, &start);
    vol_block_put(map);
    if (count == 0)
        return 0;
    err = map_get(v, group, &map);
    if (err < 0)
        return err;
    for (uint64_t i = 0; i < count; i++)
        bit_set(map->data, start + i);
    vol_block_put(map);
    g->free_count -= (int32_t)count;
    v->used_count += count;
    *ret_block = group * VOLUME_GROUP_BLOCKS + start;
    *ret_count = count;
    v->cursor = *ret_block + count;
    return 1;
}

int vol_alloc(struct volume *v, uint64_t want, uint64_t min, uint64_t *ret_block, uint64_t *ret_count)
{
    uint64_t cursor = v->cursor < v->block_count ? v->cursor : 0, first = cursor / VOLUME_GROUP_BLOCKS;
    for (uint64_t step = 0; step <= v->group_count; step++) {
        uint64_t group = (first + step) % v->group_count, from = step == 0 ? cursor % VOLUME_GROUP_BLOCKS : 0;
        int found = group_alloc(v, group, from, want, min, ret_block, ret_count);
        if (found != 0)
            return found < 0 ? found : 0;
    }
    return -ENOSPC;
}

uint64_t vol_allocatable(const struct volume *v)
{
    uint64_t taken = v->used_count - v->vacating_count + v->pending_count[0] + v->pending_count[1];
    return taken < v->limit ? v->limit - taken : 0;
}

int vol_free_prepare(struct volume *v, uint64_t block)
{
    struct vol_block *map;
    if (block < VOLUME_FIRST_BLOCK || block >= v->block_count)
        return -EIO;
    struct vol_group *g = &v->groups[block / VOLUME_GROUP_BLOCKS];
    if (!g->pending[0]) {
        g->pending[0] = kzalloc(MAP_BYTES);
        if (!g->pending[0])
            return -ENOMEM;
    }
    int err = map_get(v, block / VOLUME_GROUP_BLOCKS, &map);
    if (err == 0)
        vol_block_put(map); /* stays in memory, being dirty */
    return err;
}

void vol_free(struct volume *v, uint64_t block)
{
    uint64_t group = block / VOLUME_GROUP_BLOCKS, bit = block % VOLUME_GROUP_BLOCKS;
    struct vol_group *g = &v->groups[group];
    struct vol_block *map = vol_block_find(map_node(v), 0, group);
    if (!map || !map->dirty || !g->pending[0] || !bit_get(map->data, bit)) {
        vol_failed(v, -EUCLEAN); /* two owners: stop before more is lost */
        return;
    }
    bit_clear(map->data, bit);
    g->free_count++;
    v->used_count--;
    if (block >= v->limit) {
        v->vacating_count--;
        return;
    }
    bit_set(g->pending[0], bit);
    v->pending_count[0]++;
}

int vol_pointer_free_prepare(struct volume_node *node, const struct volume_pointer *pointer)
{
    if (pointer->where == 0 || vol_snapshot_has(node, pointer))
        return 0;
    return vol_free_prepare(node->volume, VOLUME_WHERE_BLOCK(pointer->where));
}

void vol_pointer_free(struct volume_node *node, const struct volume_pointer *pointer)
{
    if (!vol_snapshot_has(node, pointer))
        vol_free(node->volume, VOLUME_WHERE_BLOCK(pointer->where));
}

int vol_free_extent(struct volume *v, struct vol_extent extent)
{
    for (uint64_t i = 0; i < extent.count; i++) {
        int err = vol_free_prepare(v, extent.block + i);
        if (err < 0)
            return err;
        vol_free(v, extent.block + i);
    }
    return 0;
}

int vol_limit_set(struct volume *v, uint64_t limit)
{
    uint64_t used = 0, pending[2] = {0, 0};
    for (uint64_t group = limit / VOLUME_GROUP_BLOCKS; group < v->group_count; group++) {
        const struct vol_group *g = &v->groups[group];
        struct vol_block *map;
        int err = vol_block_get(map_node(v), 0, group, VOL_READ, &map);
        if (err < 0)
            return err;
        uint64_t start = group * VOLUME_GROUP_BLOCKS, size = group_size(v, group);
        for (uint64_t bit = limit > start ? limit - start : 0; bit < size; bit++) {
            used += map && bit_get(map->data, bit);
            for (unsigned i = 0; i < 2; i++)
                pending[i] += g->pending[i] && bit_get(g->pending[i], bit);
        }
        vol_block_put(map);
    }
    v->limit = limit;
    v->vacating_count = used;
    v->pending_count[0] -= pending[0];
    v->pending_count[1] -= pending[1];
    return 0;
}

int vol_space_set(struct volume *v, uint64_t block_count)
{
    uint64_t count = (block_count + VOLUME_GROUP_BLOCKS - 1) / VOLUME_GROUP_BLOCKS, kept = MIN(count, v->group_count);
    struct vol_group *groups = kzalloc(count * sizeof(*groups));
    if (!groups)
        return -ENOMEM;
    if (kept > 0)
        memcpy(groups, v->groups, kept * sizeof(*groups));
    for (uint64_t i = count; i < v->group_count; i++) {
        kfree(v->groups[i].pending[0]);
        kfree(v->groups[i].pending[1]);
    }
    for (uint64_t i = kept > 0 ? kept - 1 : 0; i < count; i++)
        groups[i].free_count = -1; /* also of the last one that was there: it has another size now */
    kfree(v->groups);
    v->groups = groups;
    v->group_count = count;
    v->block_count = v->limit = block_count;
    v->vacating_count = 0;
    v->reserve = MIN(MAX(block_count / 50, (uint64_t)RESERVE_MIN), block_count / 8);
    return 0;
}

int vol_mark_used(struct volume *v, uint64_t block, uint64_t count)
{
    if (block >= v->block_count || count > v->block_count - block)
        return -EUCLEAN;
    for (uint64_t i = block; i < block + count; i++) {
        struct vol_block *map;
        int err = map_get(v, i / VOLUME_GROUP_BLOCKS, &map);
        if (err < 0)
            return err;
        if (!bit_get(map->data, i % VOLUME_GROUP_BLOCKS)) {
            bit_set(map->data, i % VOLUME_GROUP_BLOCKS);
            v->groups[i / VOLUME_GROUP_BLOCKS].free_count--;
            v->used_count++;
        }
        vol_block_put(map);
    }
    return 0;
}

void vol_pending_rotate(struct volume *v)
{
    for (uint64_t i = 0; i < v->group_count; i++) {
        struct vol_group *g = &v->groups[i];
        kfree(g->pending[1]);
        g->pending[1] = g->pending[0];
        g->pending[0] = NULL;
    }
    v->pending_count[1] = v->pending_count[0];
    v->pending_count[0] = 0;
}

/*
 * Write the map. Giving its blocks new places changes it, so all places are given first, until nothing is left to
 * give; what was given stays given if this fails and is tried again.
 */
static int map_place(struct volume *v)
{
    struct volume_node *node = map_node(v);
    for (bool again = true; again;) {
        struct vol_block *b;
        again = false;
        RB_FOREACH (b, vol_dirty, &node->dirty_blocks) {
            uint64_t count, old = VOLUME_WHERE_BLOCK(vol_block_pointer(b)->where);
            if (b->address != 0)
                continue;
            int err = old ? vol_free_prepare(v, old) : 0;
            if (err == 0)
                err = vol_alloc(v, 1, 1, &b->address, &count);
            if (err < 0)
                return err;
            if (old)
                vol_free(v, old);
            again = true;
        }
    }
    return 0;
}

int vol_map_write(struct volume *v)
{
    struct vol_block *b;
    int err = map_place(v);
    while (err == 0 && (b = RB_MIN(vol_dirty, &map_node(v)->dirty_blocks)) != NULL) {
        uint64_t address = b->address;
        vol_block_seal(b, address, v->staging, false);
        v->unflushed = true;
        err = v->io->write(v->io->arg, address, 1, v->staging, false);
        if (err < 0)
            vol_failed(v, err);
    }
    return err;
}

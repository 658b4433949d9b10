/*
 * The verified block device under the root file system (contract in verity.h).
 *
 * Tree: level 0 holds the hashes of the data blocks, 128 to a node; each further level those of the nodes below, until
 * one node is left, whose hash is the root hash. On disk the top level comes first. With a single data block there is
 * no tree: the root hash is its hash.
 */
#include "kernel/fs/verity.h"

#include <linux/errno.h>

#include "kernel/arch/untrusted.h"
#include "kernel/crypto/aes_xts.h"
#include "kernel/crypto/sha256.h"
#include "kernel/lib/list.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define HASH_SIZE 32
#define HASHES_PER_NODE_SHIFT 7
#define HASHES_PER_NODE (1u << HASHES_PER_NODE_SHIFT)
#define LEVELS_MAX 8 /* 2^56 blocks: beyond any image */
#define CACHE_BUCKETS 1024
#define MESSAGES_MAX 16
/* Blocks read at once at a miss: the next one costs hardly more; twice as many each time that goes on in order, up to
 * what one bracket of vector state is good for. */
#define GROUP_RANDOM 2
#define GROUP_IN_ORDER SHA256_LANES
#define CHUNK_PAGES 16

struct level {
    uint64_t first_block; /* in the image */
    uint64_t node_count;
    uint8_t **nodes; /* verified ones, NULL where not read yet */
};

struct cache_entry {
    struct verity_block public; /* first: verity_put() casts back */
    uint64_t block;
    unsigned pins;
    bool used; /* since the clock hand last passed */
    bool valid;
    uint8_t *page;
    LIST_ENTRY(cache_entry) link;
};

struct verity {
    struct verity_params params;
    uint64_t block_count;
    unsigned level_count;
    struct level levels[LEVELS_MAX];
    uint64_t verified;
    unsigned messages;

    struct cache_entry *entries;
    size_t entry_count;     /* in use so far */
    uint64_t next_in_order; /* the block behind the last group */
    size_t next_group;      /* blocks to read there */
    size_t hand;
    LIST_HEAD(cache_bucket, cache_entry) buckets[CACHE_BUCKETS];
};

static int plan_levels(struct verity *v)
{
    uint64_t position = v->params.hash_offset / ROOT_BLOCK_SIZE;
    unsigned count = 0;
    while (count < LEVELS_MAX && (v->block_count - 1) >> (HASHES_PER_NODE_SHIFT * count))
        count++;
    v->level_count = count;
    for (unsigned i = count; i-- > 0;) {
        unsigned shift = HASHES_PER_NODE_SHIFT * (i + 1);
        struct level *level = &v->levels[i];
        level->first_block = position;
        level->node_count = ((v->block_count - 1) >> shift) + 1;
        position += level->node_count;
    }
    if (count > 0 && position > v->params.image_size / ROOT_BLOCK_SIZE)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++) {
        v->levels[i].nodes = kzalloc(v->levels[i].node_count * sizeof(uint8_t *));
        if (!v->levels[i].nodes)
            return -ENOMEM;
    }
    return 0;
}

int verity_open(const struct verity_params *params, struct verity **ret_verity)
{
    if (params->data_size == 0 || params->data_size % ROOT_BLOCK_SIZE || params->hash_offset % ROOT_BLOCK_SIZE ||
        params->data_size > params->image_size || params->hash_offset > params->image_size ||
        params->data_size / ROOT_BLOCK_SIZE > 1ULL << 48)
        return -EINVAL;
    struct verity *v = kzalloc(sizeof(*v));
    if (!v)
        return -ENOMEM;
    v->params = *params;
    v->next_group = GROUP_RANDOM;
    v->block_count = params->data_size / ROOT_BLOCK_SIZE;
    v->params.cache_blocks = MAX(MIN((uint64_t)params->cache_blocks, v->block_count), 1UL);
    int error = plan_levels(v);
    if (!error) {
        v->entries = kzalloc(v->params.cache_blocks * sizeof(*v->entries));
        error = v->entries ? 0 : -ENOMEM;
    }
    if (error) {
        verity_close(v);
        return error;
    }
    *ret_verity = v;
    return 0;
}

void verity_close(struct verity *v)
{
    for (unsigned i = 0; i < v->level_count; i++) {
        for (uint64_t n = 0; v->levels[i].nodes && n < v->levels[i].node_count; n++)
            if (v->levels[i].nodes[n])
                page_free(v->levels[i].nodes[n]);
        kfree(v->levels[i].nodes);
    }
    for (size_t i = 0; i < v->entry_count; i += CHUNK_PAGES)
        page_free_many(v->entries[i].page, MIN(v->entry_count - i, (size_t)CHUNK_PAGES));
    kfree(v->entries);
    kfree(v);
}

uint64_t verity_block_count(const struct verity *v)
{
    return v->block_count;
}

uint64_t verity_blocks_verified(const struct verity *v)
{
    return v->verified;
}

static int mismatch(struct verity *v, uint64_t image_block, void *copy)
{
    memset(copy, 0, ROOT_BLOCK_SIZE);
    if (v->messages++ < MESSAGES_MAX)
        printk(LOG_ERROR, "cofre: root image block %lu does not match its hash\n", (unsigned long)image_block);
    return -EIO;
}

/* Copies in first, hashes the copy: the host may change its own at any time. */
static int read_verified(struct verity *v, uint64_t image_block, const uint8_t *expected, void *dst)
{
    uint8_t digest[HASH_SIZE];
    untrusted_copy_in(dst, host_ptr_add(v->params.image, image_block * ROOT_BLOCK_SIZE), ROOT_BLOCK_SIZE);
    sha256_salted(v->params.salt, dst, ROOT_BLOCK_SIZE, digest);
    v->verified++;
    return likely(memcmp(digest, expected, HASH_SIZE) == 0) ? 0 : mismatch(v, image_block, dst);
}

static void decrypt(const struct verity *v, uint64_t block, void *const pages[], size_t count)
{
    if (v->params.key && count > 0)
        aes_xts_decrypt(v->params.key, block * (ROOT_BLOCK_SIZE / XTS_UNIT), pages, count, ROOT_BLOCK_SIZE);
}

/* The hash that data block `block` must have; reads and keeps the nodes above it. */
static int expected_hash(struct verity *v, uint64_t block, const uint8_t **ret_hash)
{
    const uint8_t *expected = v->params.root_hash;
    for (unsigned i = v->level_count; i-- > 0;) {
        struct level *level = &v->levels[i];
        uint64_t index = block >> (HASHES_PER_NODE_SHIFT * (i + 1));
        if (unlikely(!level->nodes[index])) {
            uint8_t *node = page_alloc();
            if (!node)
                return -ENOMEM;
            int error = read_verified(v, level->first_block + index, expected, node);
            if (error) {
                page_free(node);
                return error;
            }
            level->nodes[index] = node;
        }
        uint64_t entry = (block >> (HASHES_PER_NODE_SHIFT * i)) % HASHES_PER_NODE;
        expected = level->nodes[index] + entry * HASH_SIZE;
    }
    *ret_hash = expected;
    return 0;
}

static struct cache_entry *cache_find(struct verity *v, uint64_t block)
{
    struct cache_entry *e;
    LIST_FOREACH (e, &v->buckets[block % CACHE_BUCKETS], link)
        if (e->block == block)
            return e;
    return NULL;
}

/* Pages for entries come in chunks; what there is no memory for stays unused. */
static bool cache_grow(struct verity *v)
{
    if (v->entry_count == v->params.cache_blocks)
        return false;
    size_t count = MIN(v->params.cache_blocks - v->entry_count, (size_t)CHUNK_PAGES);
    uint8_t *pages = page_alloc_many(count);
    if (!pages)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct cache_entry *e = &v->entries[v->entry_count + i];
        e->page = pages + i * ROOT_BLOCK_SIZE;
        e->public.data = e->page;
    }
    v->hand = v->entry_count;
    v->entry_count += count;
    return true;
}

/* The first entry that the clock hand finds unused, pinned and invalid; NULL if all are pinned. */
static struct cache_entry *cache_take(struct verity *v)
{
    for (size_t tries = 2 * v->entry_count + 1; tries > 0; tries--) {
        if (v->hand == v->entry_count) {
            if (cache_grow(v))
                tries = CHUNK_PAGES;
            else
                v->hand = 0;
        }
        if (v->entry_count == 0)
            return NULL;
        struct cache_entry *e = &v->entries[v->hand++];
        if (e->pins)
            continue;
        if (e->used) {
            e->used = false;
            continue;
        }
        if (e->valid)
            LIST_REMOVE(e, link);
        e->valid = false;
        e->pins = 1;
        return e;
    }
    return NULL;
}

struct group {
    size_t count;
    struct cache_entry *entries[GROUP_IN_ORDER];
    const uint8_t *expected[GROUP_IN_ORDER];
};

/* Entries for blocks from first on, as many as are worth it and not there yet. 0 if there is at least the first. */
static int group_plan(struct verity *v, uint64_t first, struct group *g)
{
    bool in_order = first == v->next_in_order;
    size_t wanted = in_order ? v->next_group : GROUP_RANDOM;
    v->next_group = in_order ? MIN(2 * wanted, (size_t)GROUP_IN_ORDER) : GROUP_RANDOM;
    wanted = MIN((uint64_t)wanted, v->block_count - first);
    for (g->count = 0; g->count < wanted; g->count++) {
        uint64_t block = first + g->count;
        if (g->count > 0 && cache_find(v, block))
            break;
        int error = expected_hash(v, block, &g->expected[g->count]);
        struct cache_entry *e = error ? NULL : cache_take(v);
        if (!e && g->count > 0)
            break;
        if (!e)
            return error ? error : -ENOMEM;
        e->block = block;
        g->entries[g->count] = e;
    }
    v->next_in_order = first + g->count;
    return 0;
}

/* Fill the cache with a group of blocks that begins with `first`, which stays pinned in *ret_entry. */
static int read_group(struct verity *v, uint64_t first, struct cache_entry **ret_entry)
{
    struct group g;
    void *pages[GROUP_IN_ORDER];
    uint8_t digests[GROUP_IN_ORDER][HASH_SIZE];
    int error = group_plan(v, first, &g);
    if (error)
        return error;
    for (size_t i = 0; i < g.count; i++) {
        pages[i] = g.entries[i]->page;
        untrusted_copy_in(pages[i], host_ptr_add(v->params.image, (first + i) * ROOT_BLOCK_SIZE), ROOT_BLOCK_SIZE);
    }
    sha256_salted_many(v->params.salt, (const void *const *)pages, g.count, ROOT_BLOCK_SIZE, digests);
    v->verified += g.count;
    /* Those up to the first wrong one are good; of what lies behind it somebody is told when he wants it. */
    size_t good = 0;
    while (good < g.count && likely(memcmp(digests[good], g.expected[good], HASH_SIZE) == 0))
        good++;
    decrypt(v, first, pages, good);
    for (size_t i = 0; i < g.count; i++) {
        struct cache_entry *e = g.entries[i];
        e->valid = i < good;
        e->pins = e->valid && i == 0;
        if (e->valid)
            LIST_INSERT_HEAD(&v->buckets[e->block % CACHE_BUCKETS], e, link);
    }
    *ret_entry = g.entries[0];
    return good > 0 ? 0 : mismatch(v, first, g.entries[0]->page);
}

const struct verity_block *verity_get(struct verity *v, uint64_t block, int *ret_error)
{
    struct cache_entry *e = cache_find(v, block);
    if (likely(e != NULL)) {
        e->used = true;
        e->pins++;
        return &e->public;
    }
    *ret_error = block < v->block_count ? read_group(v, block, &e) : -EIO;
    return *ret_error ? NULL : &e->public;
}

void verity_put(const struct verity_block *block)
{
    struct cache_entry *e = (struct cache_entry *)(uintptr_t)block; /* its first member */
    e->pins--;
}

/*
 * These blocks, as many as there are lanes at most, straight to their place. How many are good before the first wrong
 * one: the rest is cleared. -errno: the first cannot even be hashed.
 */
static ssize_t read_lanes(struct verity *v, const uint64_t *blocks, size_t count, uint8_t *dst)
{
    void *pages[SHA256_LANES];
    const uint8_t *expected[SHA256_LANES];
    uint8_t digests[SHA256_LANES][HASH_SIZE];
    size_t planned = 0, good = 0;
    int error = -EIO;
    count = MIN(count, (size_t)SHA256_LANES);
    while (planned < count && blocks[planned] < v->block_count &&
           (error = expected_hash(v, blocks[planned], &expected[planned])) == 0)
        planned++;
    if (planned == 0)
        return error;
    for (size_t i = 0; i < planned; i++) {
        pages[i] = dst + i * ROOT_BLOCK_SIZE;
        untrusted_copy_in(pages[i], host_ptr_add(v->params.image, blocks[i] * ROOT_BLOCK_SIZE), ROOT_BLOCK_SIZE);
    }
    sha256_salted_many(v->params.salt, (const void *const *)pages, planned, ROOT_BLOCK_SIZE, digests);
    v->verified += planned;
    while (good < planned && likely(memcmp(digests[good], expected[good], HASH_SIZE) == 0))
        good++;
    for (size_t i = 0, run; i < good; i += run) {
        for (run = 1; i + run < good && blocks[i + run] == blocks[i] + run;)
            run++;
        decrypt(v, blocks[i], pages + i, run);
    }
    /* Of what lies behind the first wrong one somebody is told when he wants it. */
    memset(dst + good * ROOT_BLOCK_SIZE, 0, (planned - good) * ROOT_BLOCK_SIZE);
    return (ssize_t)good;
}

/* As many blocks as there are lanes, at most, straight to their place. How many are good, or -errno. */
static ssize_t read_straight(struct verity *v, uint64_t first, size_t count, uint8_t *dst)
{
    uint64_t blocks[SHA256_LANES];
    count = MIN(count, (size_t)SHA256_LANES);
    for (size_t i = 0; i < count; i++)
        blocks[i] = first + i;
    ssize_t good = read_lanes(v, blocks, count, dst);
    return good != 0 ? good : mismatch(v, first, dst);
}

size_t verity_read_these(struct verity *v, const uint64_t *blocks, size_t count, void *dst)
{
    size_t done = 0;
    ssize_t n = 1;
    while (done < count && n > 0) {
        n = read_lanes(v, blocks + done, count - done, (uint8_t *)dst + done * ROOT_BLOCK_SIZE);
        if (n > 0)
            done += (size_t)n;
    }
    return done;
}

/* One block by way of the cache, or from there. */
static int read_cached(struct verity *v, uint64_t block, void *dst)
{
    int error;
    const struct verity_block *b = verity_get(v, block, &error);
    if (!b)
        return error;
    memcpy(dst, b->data, ROOT_BLOCK_SIZE);
    verity_put(b);
    return 0;
}

/* The next blocks from `block` on, one of them at least. */
static ssize_t read_some(struct verity *v, uint64_t block, size_t count, void *dst)
{
    size_t absent = 0;
    if (v->params.keep_read || cache_find(v, block)) {
        int error = read_cached(v, block, dst);
        if (error != -ENOMEM)
            return error ? error : 1;
        count = 1; /* no room in the cache */
    }
    while (absent < count && absent < SHA256_LANES && !cache_find(v, block + absent))
        absent++;
    return read_straight(v, block, absent, dst);
}

ssize_t verity_read_many(struct verity *v, uint64_t block, size_t count, void *dst)
{
    size_t done = 0;
    ssize_t n;
    for (; done < count; done += (size_t)n) {
        n = read_some(v, block + done, count - done, (uint8_t *)dst + done * ROOT_BLOCK_SIZE);
        if (n < 0)
            return done > 0 ? (ssize_t)done : n;
    }
    return (ssize_t)done;
}

int verity_read(struct verity *v, uint64_t block, void *dst)
{
    ssize_t n = verity_read_many(v, block, 1, dst);
    return n < 0 ? (int)n : 0;
}

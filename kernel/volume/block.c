/* Blocks in memory: found, read and verified, dirtied, sealed and written. See internal.h for what must hold. */
#include "kernel/crypto/secret.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/volume/internal.h"

int vol_dirty_compare(const struct vol_block *a, const struct vol_block *b)
{
    if (a->level != b->level)
        return a->level < b->level ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}
RB_GENERATE(vol_dirty, vol_block, dirty_link, vol_dirty_compare)

static struct vol_bucket *bucket(struct volume_node *node, unsigned level, uint64_t index)
{
    uint64_t h =
        (node->ino * 0x9e3779b97f4a7c15ULL) ^ (index * 0xc2b2ae3d27d4eb4fULL) ^ (level * 0x165667b19e3779f9ULL);
    if (node->object)
        h = ~h;
    return &node->volume->blocks[(h >> 40) & (node->volume->bucket_count - 1)];
}

struct vol_block *vol_block_find(struct volume_node *node, unsigned level, uint64_t index)
{
    struct vol_block *b;
    if (node->cached == 0)
        return NULL;
    LIST_FOREACH (b, bucket(node, level, index), hash_link) {
        if (b->node == node && b->level == level && b->index == index)
            return b;
    }
    return NULL;
}

static void block_ref(struct vol_block *b)
{
    if (b->refs++ == 0 && !b->dirty)
        TAILQ_REMOVE(&b->node->volume->lru, b, lru_link);
}

void vol_block_put(struct vol_block *b)
{
    if (b && --b->refs == 0 && !b->dirty)
        TAILQ_INSERT_HEAD(&b->node->volume->lru, b, lru_link);
}

void vol_block_touch(struct vol_block *b)
{
    struct vol_lru *lru = &b->node->volume->lru;
    if (b->refs != 0 || b->dirty || TAILQ_FIRST(lru) == b)
        return;
    TAILQ_REMOVE(lru, b, lru_link);
    TAILQ_INSERT_HEAD(lru, b, lru_link);
}

void vol_block_age(struct vol_block *b)
{
    struct vol_lru *lru = &b->node->volume->lru;
    if (b->refs != 0 || b->dirty)
        return;
    TAILQ_REMOVE(lru, b, lru_link);
    TAILQ_INSERT_TAIL(lru, b, lru_link);
}

void vol_run_move(const struct volume *v, struct vol_run *run, bool goes_on)
{
    if (!goes_on)
        *run = (struct vol_run){.streams = run->length >= v->cached_max};
    if (++run->length >= v->cached_max)
        run->streams = true;
}

static void data_free(uint8_t *data)
{
    if (!data)
        return;
    memory_wipe(data, VOLUME_BLOCK_SIZE);
    page_free(data);
}

/* Out of memory; not on the LRU list any more, not dirty. */
static void block_free(struct vol_block *b)
{
    struct volume_node *node = b->node;
    LIST_REMOVE(b, hash_link);
    node->cached--;
    node->volume->cached_count--;
    vol_block_put(b->parent);
    data_free(b->data);
    kfree(b);
    vol_node_release(node);
}

/* The page of a block that had to go, which the next one overwrites; or NULL. */
static uint8_t *make_room(struct volume *v)
{
    uint8_t *data = NULL;
    while (v->cached_count >= v->cached_max) {
        struct vol_block *b = TAILQ_LAST(&v->lru, vol_lru);
        if (!b)
            break;
        TAILQ_REMOVE(&v->lru, b, lru_link);
        data_free(data);
        data = b->data;
        b->data = NULL;
        block_free(b);
    }
    return data;
}

/* In memory with one reference and contents to be filled; takes a reference of parent on success. */
static struct vol_block *block_new(struct volume_node *node, unsigned level, uint64_t index, struct vol_block *parent)
{
    struct volume *v = node->volume;
    uint8_t *data = make_room(v);
    struct vol_block *b = kzalloc(sizeof(*b));
    if (!data)
        data = page_alloc();
    if (!b || !data) {
        kfree(b);
        data_free(data);
        return NULL;
    }
    b->data = data;
    b->node = node;
    b->level = (uint8_t)level;
    b->index = index;
    b->refs = 1;
    b->loading = true;
    b->parent = parent;
    LIST_INSERT_HEAD(bucket(node, level, index), b, hash_link);
    node->cached++;
    v->cached_count++;
    return b;
}

struct volume_pointer *vol_block_pointer(const struct vol_block *b)
{
    if (b->level == VOLUME_LEVEL_XATTR)
        return &b->node->inode.xattr;
    return b->parent ? &vol_pointers(b->parent)[b->index % VOLUME_FANOUT] : &b->node->inode.root;
}

static void block_nonce(uint64_t counter, uint8_t ret_nonce[AES_GCM_NONCE_SIZE])
{
    memset(ret_nonce, 0, 4);
    memcpy(ret_nonce + 4, &counter, sizeof(counter));
}

static struct volume_block_aad block_aad(const struct vol_block *b)
{
    return (struct volume_block_aad){b->node->ino, b->index, b->level};
}

static int pointer_open(struct volume *v, const struct volume_pointer *pointer, const struct volume_block_aad *aad,
                        const uint8_t *cipher, uint8_t *data)
{
    const struct aes_gcm_key *key;
    uint8_t nonce[AES_GCM_NONCE_SIZE];
    int err = vol_epoch_key(v, VOLUME_WHERE_EPOCH(pointer->where), &key);
    if (err < 0)
        return err;
    block_nonce(pointer->nonce, nonce);
    err = aes_gcm_open(key, nonce, aad, sizeof(*aad), cipher, VOLUME_BLOCK_SIZE, pointer->tag, data);
    return err < 0 ? -EIO : 0;
}

static bool address_valid(const struct volume *v, uint64_t block)
{
    return block >= VOLUME_FIRST_BLOCK && block < v->block_count;
}

int vol_pointer_read(struct volume *v, const struct volume_pointer *pointer, const struct volume_block_aad *aad,
                     uint8_t *data)
{
    uint64_t block = VOLUME_WHERE_BLOCK(pointer->where);
    if (!address_valid(v, block))
        return -EIO;
    int err = v->io->read(v->io->arg, block, 1, data);
    return err < 0 ? err : pointer_open(v, pointer, aad, data, data);
}

static int block_fill(struct vol_block *b, const struct volume_pointer *pointer)
{
    struct volume_block_aad aad = block_aad(b);
    if (pointer->where != 0)
        return vol_pointer_read(b->node->volume, pointer, &aad, b->data);
    memset(b->data, 0, VOLUME_BLOCK_SIZE);
    return 0;
}

/* The block that holds the pointer: NULL in *ret_parent if that is the inode. 1 = a hole covers it. */
static int parent_get(struct volume_node *node, unsigned level, uint64_t index, enum vol_get how,
                      struct vol_block **ret_parent)
{
    int err;
    *ret_parent = NULL;
    if (level == VOLUME_LEVEL_XATTR)
        return 0;
    if (how != VOL_READ && (err = vol_node_grow(node, index << (VOLUME_FANOUT_BITS * level))) < 0)
        return err;
    if (level > node->inode.height || index >> (VOLUME_FANOUT_BITS * (node->inode.height - level)) != 0)
        return 1;
    if (level == node->inode.height)
        return 0;
    err = vol_block_get(node, level + 1, index / VOLUME_FANOUT, how == VOL_READ ? VOL_READ : VOL_CREATE, ret_parent);
    return err < 0 ? err : *ret_parent == NULL;
}

int vol_block_get(struct volume_node *node, unsigned level, uint64_t index, enum vol_get how,
                  struct vol_block **ret_block)
{
    struct vol_block *parent, *b = vol_block_find(node, level, index);
    *ret_block = b;
    if (b) {
        block_ref(b);
        return 0;
    }
    int err = parent_get(node, level, index, how, &parent);
    if (err != 0)
        return err < 0 ? err : 0;
    struct volume_pointer pointer = parent                        ? vol_pointers(parent)[index % VOLUME_FANOUT]
                                    : level == VOLUME_LEVEL_XATTR ? node->inode.xattr
                                                                  : node->inode.root;
    if (pointer.where == 0 && how == VOL_READ) {
        vol_block_put(parent);
        return 0;
    }
    b = block_new(node, level, index, parent);
    if (!b) {
        vol_block_put(parent);
        return -ENOMEM;
    }
    *ret_block = b;
    if (how == VOL_REPLACE)
        return 0;
    err = block_fill(b, &pointer);
    if (err < 0) {
        *ret_block = NULL;
        block_free(b); /* puts the parent */
        return err;
    }
    b->loading = false;
    return 0;
}

void vol_block_forget(struct vol_block *b)
{
    ASSERT(b->loading && !b->dirty && b->refs == 1);
    block_free(b);
}

static bool pointer_unlogged(struct vol_block *b)
{
    if (!b->parent)
        return b->node->root_unlogged;
    unsigned slot = b->index % VOLUME_FANOUT;
    return b->parent->unlogged[slot / 64] >> (slot % 64) & 1;
}

static void pointer_set_unlogged(struct vol_block *b, bool unlogged)
{
    if (!b->parent) {
        b->node->root_unlogged = unlogged;
        return;
    }
    unsigned slot = b->index % VOLUME_FANOUT;
    uint64_t bit = 1ULL << (slot % 64);
    if (unlogged)
        b->parent->unlogged[slot / 64] |= bit;
    else
        b->parent->unlogged[slot / 64] &= ~bit;
}

static bool is_contents(const struct vol_block *b)
{
    return b->level == 0 && vol_is_file(b->node);
}

static void mark_dirty(struct vol_block *b)
{
    struct volume *v = b->node->volume;
    if (b->refs == 0)
        TAILQ_REMOVE(&v->lru, b, lru_link);
    b->dirty = true;
    b->fresh = vol_block_pointer(b)->where == 0;
    b->node->fresh += b->fresh;
    v->dirty_count++;
    RB_INSERT(vol_dirty, &b->node->dirty_blocks, b);
    /* The log would not know what it is changed from: it gets the whole. */
    if (is_contents(b) && pointer_unlogged(b)) {
        b->change_start = 0;
        b->change_end = VOLUME_BLOCK_SIZE;
    }
}

static void mark_clean(struct vol_block *b)
{
    struct volume *v = b->node->volume;
    RB_REMOVE(vol_dirty, &b->node->dirty_blocks, b);
    b->dirty = false;
    b->node->fresh -= b->fresh;
    b->fresh = false;
    b->change_start = b->change_end = 0;
    v->dirty_count--;
    if (b->refs == 0)
        TAILQ_INSERT_HEAD(&v->lru, b, lru_link);
}

int vol_block_dirty(struct vol_block *b)
{
    if (b->dirty)
        return 0;
    int err = b->node->object ? 0 : vol_node_dirty(b->node);
    for (; err == 0 && b && !b->dirty; b = b->parent)
        mark_dirty(b);
    return err;
}

int vol_block_root_new(struct volume_node *node, unsigned level, struct vol_block **ret_block)
{
    struct vol_block *b = block_new(node, level, 0, NULL);
    if (!b)
        return -ENOMEM;
    memset(b->data, 0, VOLUME_BLOCK_SIZE);
    b->loading = false;
    int err = vol_block_dirty(b);
    if (err < 0)
        block_free(b);
    *ret_block = b;
    return err;
}

void vol_block_changed(struct vol_block *b, unsigned start, unsigned end)
{
    if (b->change_start == b->change_end) {
        b->change_start = (uint16_t)start;
        b->change_end = (uint16_t)end;
    } else {
        b->change_start = (uint16_t)MIN(b->change_start, start);
        b->change_end = (uint16_t)MAX(b->change_end, end);
    }
    b->node->data_unlogged = true;
}

int vol_block_old_prepare(struct vol_block *b)
{
    return vol_pointer_free_prepare(b->node, vol_block_pointer(b));
}

void vol_block_seal(struct vol_block *b, uint64_t address, uint8_t *cipher, bool logged)
{
    struct volume *v = b->node->volume;
    struct volume_pointer *pointer = vol_block_pointer(b), old = *pointer;
    struct volume_block_aad aad = block_aad(b);
    const struct aes_gcm_key *key = &v->keys[v->epoch]->key;
    uint8_t nonce[AES_GCM_NONCE_SIZE];
    pointer->where = VOLUME_WHERE(address, v->epoch);
    pointer->nonce = ++v->nonce;
    block_nonce(pointer->nonce, nonce);
    aes_gcm_seal(key, nonce, &aad, sizeof(aad), b->data, VOLUME_BLOCK_SIZE, cipher, pointer->tag);
    if (is_contents(b))
        pointer_set_unlogged(b, !logged && b->change_start < b->change_end);
    mark_clean(b);
    if (b->level == 1)
        memset(b->unlogged, 0, sizeof(b->unlogged)); /* only a checkpoint writes these */
    if (old.where == 0)
        b->node->inode.block_count++;
    else if (b->address == 0)
        vol_pointer_free(b->node, &old);
    b->address = 0;
}

static int blocks_write_some(struct volume *v, struct vol_block **blocks, unsigned count, unsigned *ret_done)
{
    uint64_t address, got;
    for (unsigned i = 0; i < count; i++) {
        int err = vol_block_old_prepare(blocks[i]);
        if (err < 0)
            return err;
    }
    int err = vol_alloc(v, count, 1, &address, &got);
    if (err < 0)
        return err;
    for (unsigned i = 0; i < got; i++)
        vol_block_seal(blocks[i], address + i, v->staging + (size_t)i * VOLUME_BLOCK_SIZE, false);
    v->unflushed = true;
    err = v->io->write(v->io->arg, address, got, v->staging, false);
    if (err < 0)
        vol_failed(v, err);
    *ret_done = (unsigned)got;
    return err;
}

int vol_blocks_write(struct volume *v, struct vol_block **blocks, unsigned count)
{
    unsigned done = 0, some;
    while (done < count) {
        int err = blocks_write_some(v, blocks + done, count - done, &some);
        if (err < 0)
            return err;
        done += some;
    }
    return 0;
}

int vol_node_write(struct volume_node *node, unsigned level_max)
{
    struct vol_block *blocks[VOL_BATCH], *b;
    for (;;) {
        unsigned count = 0;
        RB_FOREACH (b, vol_dirty, &node->dirty_blocks) {
            if (b->level > level_max || (count > 0 && b->level != blocks[0]->level) || count == VOL_BATCH)
                break;
            blocks[count++] = b;
        }
        if (count == 0)
            return 0;
        int err = vol_blocks_write(node->volume, blocks, count);
        if (err < 0)
            return err;
    }
}

/* Only the caller holds b, and nothing dirty or in memory is below it. */
static void block_discard(struct vol_block *b)
{
    if (is_contents(b))
        pointer_set_unlogged(b, false);
    if (b->dirty) {
        b->refs++; /* not to the LRU list */
        mark_clean(b);
    }
    block_free(b);
}

int vol_block_drop(struct vol_block *b)
{
    struct volume_pointer *pointer = vol_block_pointer(b);
    int err = vol_block_old_prepare(b);
    if (err == 0)
        err = b->parent ? vol_block_dirty(b->parent) : vol_node_dirty(b->node);
    if (err < 0) {
        vol_block_put(b);
        return err;
    }
    ASSERT(b->refs == 1);
    if (pointer->where != 0) {
        vol_pointer_free(b->node, pointer);
        memset(pointer, 0, sizeof(*pointer));
        b->node->inode.block_count--;
    }
    block_discard(b);
    return 0;
}

/* The ciphertext of blocks that lie one behind the other. */
static bool run_read(struct volume *v, const struct volume_pointer *pointers, unsigned count)
{
    uint64_t address = VOLUME_WHERE_BLOCK(pointers[0].where);
    return address_valid(v, address) && address_valid(v, address + count - 1) &&
           v->io->read(v->io->arg, address, count, v->staging) == 0;
}

void vol_blocks_read(struct volume_node *node, struct vol_block *parent, uint64_t index, unsigned count)
{
    struct volume *v = node->volume;
    const struct volume_pointer *pointers = &vol_pointers(parent)[index % VOLUME_FANOUT];
    if (!run_read(v, pointers, count))
        return;
    for (unsigned i = 0; i < count; i++) {
        struct vol_block *b = block_new(node, parent->level - 1u, index + i, parent);
        if (!b)
            return;
        struct volume_block_aad aad = block_aad(b);
        parent->refs++;
        if (pointer_open(v, &pointers[i], &aad, v->staging + (size_t)i * VOLUME_BLOCK_SIZE, b->data) < 0) {
            block_free(b);
            return;
        }
        b->loading = false;
        vol_block_put(b);
    }
}

unsigned vol_blocks_open(struct volume_node *node, const struct vol_block *parent, uint64_t index, unsigned count,
                         uint8_t *out)
{
    struct volume *v = node->volume;
    const struct volume_pointer *pointers = &vol_pointers(parent)[index % VOLUME_FANOUT];
    unsigned done = 0;
    if (!run_read(v, pointers, count))
        return 0;
    for (; done < count; done++) {
        struct volume_block_aad aad = {node->ino, index + done, (uint64_t)(parent->level - 1u)};
        size_t at = (size_t)done * VOLUME_BLOCK_SIZE;
        if (pointer_open(v, &pointers[done], &aad, v->staging + at, out + at) < 0)
            break;
    }
    return done;
}

void volume_forget(struct volume_node *node, uint64_t first, uint64_t end)
{
    struct vol_lru *lru = &node->volume->lru;
    struct vol_block *b, *next;
    TAILQ_FOREACH_SAFE (b, lru, lru_link, next) {
        if (b->node != node || b->level > 0 || b->index < first || b->index >= end)
            continue;
        TAILQ_REMOVE(lru, b, lru_link);
        block_free(b);
    }
}

void vol_cache_drop(struct volume *v)
{
    for (bool again = true; again;) {
        again = false;
        for (uint64_t i = 0; i < v->bucket_count; i++) {
            struct vol_block *b, *next;
            LIST_FOREACH_SAFE (b, &v->blocks[i], hash_link, next) {
                if (b->refs != 0)
                    continue;
                if (b->dirty)
                    mark_clean(b);
                TAILQ_REMOVE(&v->lru, b, lru_link);
                block_free(b);
                again = true;
                break; /* what it released may be the next */
            }
        }
    }
}

/* The simulated disk, and what the engine takes from the kernel (contract in disk.h). */
#include "disk.h"

#include <linux/errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/crypto/aes_gcm.h"
#include "kernel/crypto/sha256.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

#define BLOCK VOLUME_BLOCK_SIZE
#define SECTOR DISK_SECTOR

static uint64_t random_state = 1, time_ns = 1000000000ULL * 1700000000;

void disk_seed(uint64_t seed)
{
    random_state = seed * 0x9e3779b97f4a7c15ULL + 1;
}

uint64_t disk_random(void) /* splitmix64 */
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* Salts must differ between instances that share a seed: a sequence of their own, never set back. */
static void salt_random(void *arg, void *buf, size_t size)
{
    static uint64_t counter;
    (void)arg;
    for (size_t i = 0; i < size; i += 32) {
        struct sha256 hash;
        uint8_t digest[32];
        counter++;
        sha256_init(&hash);
        sha256_update(&hash, &counter, sizeof(counter));
        sha256_final(&hash, digest);
        memcpy((uint8_t *)buf + i, digest, MIN(size - i, sizeof(digest)));
    }
}

static struct timespec_ns now(void *arg)
{
    (void)arg;
    time_ns += 1000;
    return (struct timespec_ns){(int64_t)(time_ns / 1000000000), (uint32_t)(time_ns % 1000000000)};
}

static int event(struct disk *d)
{
    d->events++;
    return d->fail_at != 0 && d->events >= d->fail_at ? d->fail_error : 0;
}

static int disk_read(void *arg, uint64_t block, uint64_t count, void *buf)
{
    struct disk *d = arg;
    if (block >= d->block_count || count > d->block_count - block)
        return -EIO;
    if (++d->read_events == d->fail_read_at)
        return -EIO;
    memcpy(buf, d->data + block * BLOCK, count * BLOCK);
    return 0;
}

static void writes_forget(struct disk *d, size_t from)
{
    while (d->write_count > from)
        free(d->writes[--d->write_count].old);
}

static int disk_flush(void *arg)
{
    struct disk *d = arg;
    int err = event(d);
    if (err < 0)
        return err;
    if (!d->lose_flushes)
        writes_forget(d, 0);
    d->flushes++;
    if (d->hook)
        d->hook(d);
    return 0;
}

static int disk_write(void *arg, uint64_t block, uint64_t count, const void *buf, bool durable)
{
    struct disk *d = arg;
    int err = event(d);
    if (err < 0)
        return err;
    if (block >= d->block_count || count > d->block_count - block)
        abort(); /* the engine's own bug */
    if (d->write_count == d->write_room) {
        d->write_room = 2 * d->write_room + 16;
        d->writes = realloc(d->writes, d->write_room * sizeof(*d->writes));
    }
    struct disk_write *w = &d->writes[d->write_count++];
    *w = (struct disk_write){block, count, malloc(count * BLOCK)};
    memcpy(w->old, d->data + block * BLOCK, count * BLOCK);
    memcpy(d->data + block * BLOCK, buf, count * BLOCK);
    d->write_events++;
    d->blocks_written += count;
    if (d->hook)
        d->hook(d); /* before it is durable */
    if (durable && !d->lose_flushes) {
        /* Only what this call wrote; nothing unflushed may lie under it for this to be right. */
        free(d->writes[--d->write_count].old);
        d->flushes++;
        if (d->hook)
            d->hook(d);
    }
    return 0;
}

static uint64_t disk_block_count(void *arg)
{
    return ((struct disk *)arg)->block_count;
}

/* Images are made and dropped by the thousand: the last few freed are used again. */
static struct {
    uint8_t *data;
    uint64_t block_count;
} pool[4];

static uint8_t *data_new(uint64_t block_count)
{
    for (size_t i = 0; i < ARRAY_COUNT(pool); i++)
        if (pool[i].data && pool[i].block_count == block_count) {
            uint8_t *data = pool[i].data;
            pool[i].data = NULL;
            return data;
        }
    return malloc(block_count * BLOCK);
}

static void data_free(uint8_t *data, uint64_t block_count)
{
    for (size_t i = 0; i < ARRAY_COUNT(pool); i++)
        if (!pool[i].data) {
            pool[i].data = data;
            pool[i].block_count = block_count;
            return;
        }
    free(data);
}

static struct disk *disk_alloc(uint64_t block_count)
{
    struct disk *d = calloc(1, sizeof(*d));
    d->block_count = block_count;
    d->data = data_new(block_count);
    d->fail_error = -EIO;
    d->io = (struct volume_io){d, disk_read, disk_write, disk_flush, disk_block_count, salt_random, now};
    return d;
}

struct disk *disk_new(uint64_t block_count)
{
    struct disk *d = disk_alloc(block_count);
    memset(d->data, 0, block_count * BLOCK);
    return d;
}

void disk_free(struct disk *d)
{
    if (!d)
        return;
    writes_forget(d, 0);
    free(d->writes);
    data_free(d->data, d->block_count);
    free(d);
}

struct disk *disk_clone(const struct disk *d)
{
    struct disk *copy = disk_alloc(d->block_count);
    memcpy(copy->data, d->data, d->block_count * BLOCK);
    return copy;
}

static bool survives(const struct disk *d, size_t i, enum disk_crash how)
{
    switch (how) {
    case CRASH_NONE:
        return false;
    case CRASH_ALL:
        return true;
    case CRASH_LAST_LOST:
        return i + 1 < d->write_count;
    case CRASH_LAST_ONLY:
        return i + 1 == d->write_count;
    default:
        return disk_random() % 2;
    }
}

/* Back to the last flush. */
static struct disk *flushed(const struct disk *d)
{
    struct disk *after = disk_clone(d);
    for (size_t i = d->write_count; i-- > 0;)
        memcpy(after->data + d->writes[i].block * BLOCK, d->writes[i].old, d->writes[i].count * BLOCK);
    return after;
}

/* What this write wrote: a mount writes nothing twice between two flushes, so it is what is there. */
static void sector_copy(const struct disk *d, struct disk *after, const struct disk_write *w, uint64_t sector)
{
    size_t at = w->block * BLOCK + sector * SECTOR;
    memcpy(after->data + at, d->data + at, SECTOR);
}

struct disk *disk_crash(const struct disk *d, enum disk_crash how)
{
    struct disk *after = flushed(d);
    for (size_t i = 0; i < d->write_count; i++) {
        const struct disk_write *w = &d->writes[i];
        bool whole = survives(d, i, how);
        for (uint64_t s = 0; s < w->count * (BLOCK / SECTOR); s++)
            if (how == CRASH_TORN ? disk_random() % 2 : whole)
                sector_copy(d, after, w, s);
    }
    return after;
}

struct disk *disk_crash_one(const struct disk *d, enum disk_crash_one how, size_t number)
{
    struct disk *after = flushed(d);
    for (size_t i = 0; i < d->write_count; i++) {
        const struct disk_write *w = &d->writes[i];
        uint64_t end = w->count * (BLOCK / SECTOR);
        if (how == CRASH_CUT && i + 1 == d->write_count)
            end = number;
        else if (how != CRASH_CUT && (i == number) != (how == CRASH_ONE_ONLY))
            end = 0;
        for (uint64_t s = 0; s < end; s++)
            sector_copy(d, after, w, s);
    }
    return after;
}

uint8_t disk_key[32] = "the key of the tests";

int disk_unlock(void *key, const struct volume_key_slot *slot, uint8_t ret_key[32])
{
    if (slot->type != VOLUME_KEY_FILE)
        return -ENOKEY;
    memcpy(ret_key, key, 32);
    return 0;
}

struct disk *disk_formatted(uint64_t block_count)
{
    struct disk *d = disk_new(block_count);
    struct volume_key_slot slot = {.type = VOLUME_KEY_FILE, .name = "test"};
    if (volume_format(&d->io, &slot, disk_key) < 0)
        abort();
    return d;
}

struct volume *disk_mount(struct disk *d, const struct volume_options *options, int *ret_error)
{
    static const struct volume_options defaults = {.cache_size = 1 << 20};
    struct volume *v = NULL;
    *ret_error = volume_mount(&d->io, options ? options : &defaults, disk_unlock, disk_key, &v);
    return v;
}

/* The allocator, failing on demand. */
static unsigned long alloc_countdown;
static bool alloc_failed;
static long alloc_live;

void disk_fail_alloc(unsigned long n)
{
    alloc_countdown = n;
    alloc_failed = false;
}
bool disk_alloc_failed(void)
{
    return alloc_failed;
}
long disk_alloc_live(void)
{
    return alloc_live;
}

static bool may_alloc(void)
{
    if (alloc_countdown != 0 && --alloc_countdown == 0) {
        alloc_failed = true;
        return false;
    }
    alloc_live++;
    return true;
}

void *kmalloc(size_t size)
{
    return may_alloc() ? malloc(size ? size : 1) : NULL;
}
void *kzalloc(size_t size)
{
    return may_alloc() ? calloc(1, size ? size : 1) : NULL;
}
void *krealloc(void *p, size_t size)
{
    if (!may_alloc())
        return NULL;
    alloc_live -= p != NULL;
    return realloc(p, size ? size : 1);
}
void kfree(void *p)
{
    alloc_live -= p != NULL;
    free(p);
}
void *page_alloc(void)
{
    return may_alloc() ? aligned_alloc(BLOCK, BLOCK) : NULL;
}
void page_free(void *page)
{
    alloc_live--;
    free(page);
}

/* The nonce oracle: a table of what was sealed under which key and nonce. */
struct seal {
    uint64_t key_nonce, plain;
};
static struct seal *seals;
static size_t seal_count, seal_room;

static uint64_t fingerprint(const void *a, size_t a_size, const void *b, size_t b_size)
{
    struct sha256 hash;
    uint8_t digest[32];
    uint64_t result;
    sha256_init(&hash);
    sha256_update(&hash, a, a_size);
    sha256_update(&hash, b, b_size);
    sha256_final(&hash, digest);
    memcpy(&result, digest, sizeof(result));
    return result ? result : 1;
}

static struct seal *seal_find(struct seal *table, size_t room, uint64_t key_nonce)
{
    size_t i = key_nonce % room;
    while (table[i].key_nonce != 0 && table[i].key_nonce != key_nonce)
        i = (i + 1) % room;
    return &table[i];
}

static void seals_grow(void)
{
    size_t room = seal_room ? 2 * seal_room : 1 << 16;
    struct seal *table = calloc(room, sizeof(*table));
    for (size_t i = 0; i < seal_room; i++)
        if (seals[i].key_nonce != 0)
            *seal_find(table, room, seals[i].key_nonce) = seals[i];
    free(seals);
    seals = table;
    seal_room = room;
}

uint64_t disk_seal_count(void)
{
    return seal_count;
}

void __real_aes_gcm_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                         size_t aad_size, const void *plain, size_t size, void *cipher,
                         uint8_t ret_tag[AES_GCM_TAG_SIZE]);
void __wrap_aes_gcm_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                         size_t aad_size, const void *plain, size_t size, void *cipher,
                         uint8_t ret_tag[AES_GCM_TAG_SIZE]);

void __wrap_aes_gcm_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                         size_t aad_size, const void *plain, size_t size, void *cipher,
                         uint8_t ret_tag[AES_GCM_TAG_SIZE])
{
    if (2 * seal_count >= seal_room)
        seals_grow();
    uint64_t id = fingerprint(key->aes.words, 32, nonce, AES_GCM_NONCE_SIZE);
    uint64_t content = fingerprint(aad, aad_size, plain, size);
    struct seal *s = seal_find(seals, seal_room, id);
    if (s->key_nonce != 0 && s->plain != content) {
        fprintf(stderr, "a nonce was used twice under one key\n");
        abort();
    }
    seal_count += s->key_nonce == 0;
    *s = (struct seal){id, content};
    __real_aes_gcm_seal(key, nonce, aad, aad_size, plain, size, cipher, ret_tag);
}

/* What lies below a volume, with all writes kept in memory: the file stays as it is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/overlay.h"

#define BLOCK VOLUME_BLOCK_SIZE

struct overlay_block {
    struct overlay_block *next;
    uint64_t block;
    uint8_t data[BLOCK];
};

static struct overlay_block **bucket(struct overlay *o, uint64_t block)
{
    return &o->buckets[block % OVERLAY_BUCKETS];
}

static struct overlay_block *find(struct overlay *o, uint64_t block)
{
    struct overlay_block *b = *bucket(o, block);
    while (b && b->block != block)
        b = b->next;
    return b;
}

static int overlay_read(void *arg, uint64_t block, uint64_t count, void *buf)
{
    struct overlay *o = arg;
    int err = o->lower->read(o->lower->arg, block, count, buf);
    for (uint64_t i = 0; err == 0 && i < count; i++) {
        const struct overlay_block *b = find(o, block + i);
        if (b)
            memcpy((uint8_t *)buf + i * BLOCK, b->data, BLOCK);
    }
    return err;
}

static int overlay_write(void *arg, uint64_t block, uint64_t count, const void *buf, bool durable)
{
    struct overlay *o = arg;
    (void)durable;
    for (uint64_t i = 0; i < count; i++) {
        struct overlay_block *b = find(o, block + i);
        if (!b) {
            b = malloc(sizeof(*b));
            if (!b)
                return -ENOMEM;
            b->block = block + i;
            b->next = *bucket(o, block + i);
            *bucket(o, block + i) = b;
        }
        memcpy(b->data, (const uint8_t *)buf + i * BLOCK, BLOCK);
    }
    return 0;
}

static int overlay_flush(void *arg)
{
    (void)arg;
    return 0;
}

static uint64_t overlay_block_count(void *arg)
{
    const struct overlay *o = arg;
    return o->lower->block_count(o->lower->arg);
}

static void overlay_random(void *arg, void *buf, size_t size)
{
    const struct overlay *o = arg;
    o->lower->random(o->lower->arg, buf, size);
}

static struct timespec_ns overlay_now(void *arg)
{
    const struct overlay *o = arg;
    return o->lower->now(o->lower->arg);
}

void overlay_init(struct overlay *o, const struct volume_io *lower)
{
    *o = (struct overlay){
        .io = {o, overlay_read, overlay_write, overlay_flush, overlay_block_count, overlay_random, overlay_now},
        .lower = lower};
}

void overlay_deinit(struct overlay *o)
{
    for (unsigned i = 0; i < OVERLAY_BUCKETS; i++)
        while (o->buckets[i]) {
            struct overlay_block *b = o->buckets[i];
            o->buckets[i] = b->next;
            free(b);
        }
}

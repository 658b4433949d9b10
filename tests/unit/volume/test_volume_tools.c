/* What the tools do to a volume as a whole: a crash at every write and flush of it, a full disk, no memory. */
#include <linux/errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "disk.h"
#include "kernel/lib/string.h"
#include "kernel/volume/replica.h"
#include "model.h"
#include "soak.h"

#include <cmocka.h>

static void print_problem(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "check: %s\n", text);
}

static void assert_clean(struct volume *v)
{
    struct volume_check_result result;
    assert_int_equal(volume_check(v, print_problem, NULL, &result), 0);
    assert_int_equal(result.problem_count, 0);
}

static struct volume *mount_good(struct disk *d, bool read_only)
{
    struct volume_options options = {.cache_size = 512 << 10, .read_only = read_only};
    int err;
    struct volume *v = disk_mount(d, &options, &err);
    assert_int_equal(err, 0);
    return v;
}

static uint64_t size_of(struct volume *v)
{
    struct volume_info info;
    volume_get_info(v, &info);
    return info.block_count;
}

/* 900 blocks that the model does not know. */
static void ballast(struct volume *v, bool make)
{
    static uint8_t expected[900 * VOLUME_BLOCK_SIZE], got[sizeof(expected)];
    struct volume_node *root, *node;
    for (size_t i = 0; i < sizeof(expected); i++)
        expected[i] = (uint8_t)(i * 2654435761u >> 13);
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    if (make) {
        assert_int_equal(volume_create(root, "ballast", 7, S_IFREG | 0644, 0, (struct volume_owner){0, 0}, &node), 0);
        assert_int_equal(volume_write(node, 0, expected, sizeof(expected)), sizeof(expected));
    } else {
        assert_int_equal(volume_lookup(root, "ballast", 7, &node), 0);
        assert_int_equal(volume_read(node, 0, got, sizeof(got)), sizeof(got));
        assert_memory_equal(got, expected, sizeof(got));
    }
    volume_node_put(node);
    volume_node_put(root);
}

/* The next blocks to be written will lie further on. */
static void space_skip(struct volume *v)
{
    struct volume_node *root;
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    ballast(v, true);
    assert_int_equal(volume_sync(v), 0);
    assert_int_equal(volume_unlink(root, "ballast", 7), 0);
    volume_node_put(root);
}

/* A disk of `room` blocks with a volume of `size` on it, filled by random operations. */
static struct disk *disk_filled(uint64_t room, uint64_t size, uint64_t seed, unsigned steps)
{
    struct volume_key_slot slot = {.type = VOLUME_KEY_FILE, .name = "test"};
    struct disk *d = disk_new(room);
    struct model m;
    d->block_count = size;
    assert_int_equal(volume_format(&d->io, &slot, disk_key), 0);
    struct volume *v = mount_good(d, false);
    disk_seed(seed);
    model_init(&m);
    space_skip(v);
    space_skip(v);
    for (unsigned i = 0; i < steps; i++)
        model_change(&m, v);
    model_deinit(&m);
    assert_int_equal(volume_unmount(v), 0);
    d->block_count = room;
    return d;
}

/* Whatever a crash leaves is the same tree, clean, of one of two sizes. */
struct crash {
    char *text;
    uint64_t sizes[2];
    unsigned images, changed;
    bool on;
};

static void crash_hook(struct disk *d)
{
    struct crash *c = d->hook_arg;
    for (unsigned how = CRASH_NONE; c->on && how < CRASH_COUNT; how++) {
        struct disk *image = disk_crash(d, (enum disk_crash)how);
        struct volume *v = mount_good(image, false);
        char *text = volume_text(v);
        assert_string_equal(text, c->text);
        free(text);
        assert_true(size_of(v) == c->sizes[0] || size_of(v) == c->sizes[1]);
        c->changed += size_of(v) == c->sizes[1];
        assert_clean(v);
        assert_int_equal(volume_unmount(v), 0);
        disk_free(image);
        c->images++;
    }
}

static void newest_checkpoint_damage(struct disk *d)
{
    struct volume *v = mount_good(d, true);
    struct volume_info info;
    volume_get_info(v, &info);
    volume_abandon(v);
    d->data[(VOLUME_CHECKPOINT_BLOCK + info.generation % VOLUME_CHECKPOINT_COUNT * VOLUME_CHECKPOINT_STRIDE) *
                VOLUME_BLOCK_SIZE +
            99] ^= 1;
}

/* The checkpoint before the last one does not need it either. */
static void newest_checked(struct disk *d, const struct crash *c)
{
    struct volume *v = mount_good(d, false);
    char *text = volume_text(v);
    assert_string_equal(text, c->text);
    assert_int_equal(size_of(v), c->sizes[1]);
    assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    free(text);
}

static void moved_keep(void *arg, uint64_t done, uint64_t total)
{
    assert_true(done <= total);
    *(uint64_t *)arg = total;
}

static void resize_crash(uint64_t from, uint64_t to, uint64_t seed)
{
    uint64_t moved = 0;
    struct disk *d = disk_filled(3000, from, seed, 250);
    struct crash c = {.sizes = {from, to}};
    struct volume *v = mount_good(d, false);
    c.text = volume_text(v);
    d->hook = crash_hook;
    d->hook_arg = &c;
    c.on = true;
    assert_int_equal(volume_resize(v, to, moved_keep, &moved), 0);
    assert_int_equal(moved > 5, to < from);
    c.on = false;
    assert_clean(v);
    volume_abandon(v);
    d->block_count = to < from ? to : d->block_count; /* what was cut off is not needed */
    if (to < from) {
        struct disk *image = disk_clone(d);
        newest_checkpoint_damage(image);
        newest_checked(image, &c);
        disk_free(image);
    }
    v = mount_good(d, false);
    char *text = volume_text(v);
    assert_string_equal(text, c.text);
    assert_int_equal(size_of(v), to);
    assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    assert_true(c.images > 0 && c.changed > 0 && c.changed < c.images);
    free(text);
    free(c.text);
    d->block_count = 3000;
    disk_free(d);
}

static void test_resize_crash(void **state)
{
    (void)state;
    for (uint64_t seed = soak.seed; seed < soak.seed + 3 * soak.times; seed++) {
        resize_crash(2900, 1800, seed);
        resize_crash(1800, 2900, seed);
    }
}

/* To every size from far too small on: it fits, or all is as it was. */
static void test_resize_full(void **state)
{
    (void)state;
    unsigned fitted = 0, refused = 0;
    for (uint64_t to = 512; to < 2048; to += 77) {
        struct disk *d = disk_filled(2048, 2048, 5, 400);
        struct volume *v = mount_good(d, false);
        ballast(v, true);
        char *before = volume_text(v);
        int err = volume_resize(v, to, NULL, NULL);
        assert_true(err == 0 || err == -ENOSPC);
        fitted += err == 0;
        refused += err != 0;
        assert_int_equal(volume_unmount(v), 0);
        if (err == 0)
            d->block_count = to;
        v = mount_good(d, false);
        char *after = volume_text(v);
        assert_string_equal(after, before);
        ballast(v, false);
        assert_int_equal(size_of(v), err == 0 ? to : 2048);
        assert_clean(v);
        assert_int_equal(volume_unmount(v), 0);
        free(before);
        free(after);
        d->block_count = 2048;
        disk_free(d);
    }
    assert_true(fitted > 3 && refused > 3);
}

/* The k-th allocation, or the k-th write or flush, fails, for every k: an error, and the tree as it was. */
static void resize_fails(uint64_t to, bool memory)
{
    struct disk *origin = disk_filled(3000, 2500, 7, 250);
    for (unsigned long k = 1;; k += soak.on ? 1 : 1 + k / 8) {
        struct disk *d = disk_clone(origin);
        struct volume *v = mount_good(d, false);
        char *before = volume_text(v);
        if (memory)
            disk_fail_alloc(k);
        else
            d->fail_at = d->events + k;
        int err = volume_resize(v, to, NULL, NULL);
        bool failed = memory ? disk_alloc_failed() : d->events >= d->fail_at;
        disk_fail_alloc(0);
        volume_abandon(v);
        d->fail_at = 0;
        assert_true(failed ? err == (memory ? -ENOMEM : -EIO) || (memory && err == 0) : err == 0);
        v = mount_good(d, true);
        char *after = volume_text(v);
        assert_string_equal(after, before);
        assert_clean(v);
        volume_abandon(v);
        free(before);
        free(after);
        disk_free(d);
        if (!failed)
            break;
    }
    disk_free(origin);
}

static void test_resize_fails(void **state)
{
    (void)state;
    resize_fails(1500, true);
    resize_fails(3000, true);
    resize_fails(1500, false);
    resize_fails(3000, false);
}

/* Over the border of what one block of the free map covers, there and back. */
static void test_resize_groups(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {2000, 65536 + 1000, 32768, 40000, 65536, 32769, 2000};
    struct disk *d = disk_filled(70000, sizes[0], 9, 300);
    struct volume *v = mount_good(d, false);
    char *before = volume_text(v);
    for (size_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(volume_resize(v, sizes[i], NULL, NULL), 0);
        assert_clean(v);
        assert_int_equal(volume_unmount(v), 0);
        v = mount_good(d, false);
        char *after = volume_text(v);
        assert_string_equal(after, before);
        assert_int_equal(size_of(v), sizes[i]);
        assert_clean(v);
        free(after);
    }
    assert_int_equal(volume_unmount(v), 0);
    free(before);
    disk_free(d);
}

/* Snapshots of a changing tree, made and removed in any order: each shows what was there when it was made. */
struct kept {
    char name[8], *text;
};

static void kept_check(struct disk *d, const struct kept *kept, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct volume_options options = {.cache_size = 512 << 10, .read_only = true, .snapshot = kept[i].name};
        int err;
        struct volume *v = disk_mount(d, &options, &err);
        assert_int_equal(err, 0);
        char *text = volume_text(v);
        assert_string_equal(text, kept[i].text);
        free(text);
        volume_abandon(v);
    }
}

static void kept_remove(struct kept *kept, unsigned *count, unsigned at)
{
    free(kept[at].text);
    memmove(&kept[at], &kept[at + 1], (--*count - at) * sizeof(*kept));
}

/* One step; without room a snapshot may be refused. */
static void snapshot_step(struct volume *v, struct kept *kept, unsigned *count, unsigned *next)
{
    if (*count < 6 && disk_random() % 2) {
        struct kept *k = &kept[*count];
        snprintf(k->name, sizeof(k->name), "s%u", (*next)++ % 1000);
        k->text = volume_text(v);
        assert_int_equal(volume_snapshot_create(v, k->name), 0);
        ++*count;
        assert_int_equal(volume_snapshot_create(v, k->name), -EEXIST);
    } else if (*count > 0) {
        unsigned at = (unsigned)(disk_random() % *count);
        assert_int_equal(volume_snapshot_remove(v, kept[at].name), 0);
        kept_remove(kept, count, at);
    }
}

static void test_snapshot_random(void **state)
{
    (void)state;
    for (uint64_t seed = soak.seed; seed < soak.seed + 4 * soak.times; seed++) {
        struct disk *d = disk_formatted(6000);
        struct volume *v = mount_good(d, false);
        struct model m;
        struct kept kept[8];
        unsigned count = 0, next = 0;
        struct volume_info before, after;
        disk_seed(seed);
        model_init(&m);
        for (unsigned i = 0; i < 400; i++) {
            if (disk_random() % 4 == 0)
                model_sync(&m, v, model_pick_sync(&m));
            else
                model_change(&m, v);
            if (i % 20 != 19)
                continue;
            snapshot_step(v, kept, &count, &next);
            assert_clean(v);
            if (disk_random() % 2) {
                assert_int_equal(volume_unmount(v), 0);
                kept_check(d, kept, count);
                v = mount_good(d, false);
            }
        }
        while (count > 0) {
            assert_int_equal(volume_snapshot_remove(v, kept[count / 2].name), 0);
            kept_remove(kept, &count, count / 2);
            assert_clean(v);
        }
        char *live = volume_text(v), *expected = model_text(&m, false);
        assert_string_equal(live, expected);
        volume_get_info(v, &before);
        assert_int_equal(volume_unmount(v), 0);
        v = mount_good(d, false);
        assert_clean(v);
        volume_get_info(v, &after);
        assert_true(after.used_count <= before.used_count + 2);
        assert_int_equal(after.snapshot_count, 0);
        assert_int_equal(volume_unmount(v), 0);
        free(live);
        free(expected);
        model_deinit(&m);
        disk_free(d);
    }
}

/* A crash while one is made or removed: it is there as it was, or not at all; the others and today's tree always. */
struct snapshot_crash {
    struct crash tree;
    struct kept kept[4];
    unsigned with, without;
};

static void snapshot_crash_hook(struct disk *d)
{
    struct snapshot_crash *c = d->hook_arg;
    for (unsigned how = CRASH_NONE; c->tree.on && how < CRASH_COUNT; how++) {
        struct disk *image = disk_crash(d, (enum disk_crash)how);
        struct volume *v = mount_good(image, false);
        char *text = volume_text(v);
        unsigned count;
        const struct volume_snapshot *list = volume_snapshots(v, &count);
        bool there = count == 3;
        assert_string_equal(text, c->tree.text);
        free(text);
        assert_true(count == 2 || count == 3);
        assert_string_equal(list[0].name, "a");
        assert_string_equal(list[count - 1].name, "c");
        c->with += there;
        c->without += !there;
        assert_clean(v);
        assert_int_equal(volume_unmount(v), 0);
        kept_check(image, c->kept, 1);
        kept_check(image, c->kept + 2, 1);
        if (there)
            kept_check(image, c->kept + 1, 1);
        disk_free(image);
    }
}

static void snapshot_keep(struct volume *v, struct kept *kept, const char *name)
{
    string_copy(kept->name, name, sizeof(kept->name));
    kept->text = volume_text(v);
    assert_int_equal(volume_snapshot_create(v, name), 0);
}

static void test_snapshot_crash(void **state)
{
    (void)state;
    for (uint64_t seed = soak.seed + 10; seed < soak.seed + 10 + 3 * soak.times; seed++) {
        struct disk *d = disk_formatted(4000);
        struct volume *v = mount_good(d, false);
        struct snapshot_crash c = {0};
        struct model m;
        disk_seed(seed);
        model_init(&m);
        for (unsigned i = 0; i < 3; i++) {
            for (unsigned step = 0; step < 80; step++)
                model_change(&m, v);
            snapshot_keep(v, &c.kept[i], (const char *[]){"a", "b", "c"}[i]);
        }
        for (unsigned step = 0; step < 80; step++)
            model_change(&m, v);
        assert_int_equal(volume_sync(v), 0);
        c.tree.text = volume_text(v);
        c.tree.on = true;
        d->hook = snapshot_crash_hook;
        d->hook_arg = &c;
        assert_int_equal(volume_snapshot_remove(v, "b"), 0);
        assert_true(c.with > 0 && c.without > 0);
        c.tree.on = false;
        volume_abandon(v);
        for (unsigned i = 0; i < 3; i++)
            free(c.kept[i].text);
        free(c.tree.text);
        model_deinit(&m);
        disk_free(d);
    }
}

/* The first snapshot, which changes the header, too. */
static void first_crash_hook(struct disk *d)
{
    struct snapshot_crash *c = d->hook_arg;
    for (unsigned how = CRASH_NONE; c->tree.on && how < CRASH_COUNT; how++) {
        struct disk *image = disk_crash(d, (enum disk_crash)how);
        struct volume *v = mount_good(image, false);
        char *text = volume_text(v);
        unsigned count;
        volume_snapshots(v, &count);
        assert_string_equal(text, c->tree.text);
        free(text);
        assert_clean(v);
        c->with += count == 1;
        c->without += count == 0;
        assert_int_equal(volume_unmount(v), 0);
        kept_check(image, c->kept, count);
        disk_free(image);
    }
}

static void test_snapshot_first(void **state)
{
    (void)state;
    struct disk *d = disk_filled(2000, 2000, 3, 200);
    struct volume *v = mount_good(d, false);
    struct snapshot_crash c = {.kept = {{.name = "first"}}};
    c.tree.text = c.kept[0].text = volume_text(v);
    c.tree.on = true;
    d->data[VOLUME_BLOCK_SIZE + 100] ^= 1; /* one good copy of the header is left, which must not be lost */
    d->hook = first_crash_hook;
    d->hook_arg = &c;
    assert_int_equal(volume_snapshot_create(v, "first"), 0);
    d->hook = NULL;
    assert_true(c.with > 0 && c.without > 0);
    assert_int_equal(volume_resize(v, 1500, NULL, NULL), -EBUSY);
    volume_abandon(v);
    free(c.tree.text);
    disk_free(d);
}

/* Full: what removes things still works, and a snapshot's blocks come back when it is removed. */
static void test_snapshot_full(void **state)
{
    (void)state;
    struct disk *d = disk_formatted(2048);
    struct volume *v = mount_good(d, false);
    struct volume_info info[3];
    struct volume_node *root;
    ballast(v, true);
    assert_int_equal(volume_snapshot_create(v, "full"), 0);
    volume_get_info(v, &info[0]);
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    assert_int_equal(volume_unlink(root, "ballast", 7), 0);
    assert_int_equal(volume_sync(v), 0);
    volume_get_info(v, &info[1]);
    assert_true(info[1].used_count + 20 > info[0].used_count); /* the snapshot has it */
    volume_node_put(root);
    assert_clean(v);
    assert_int_equal(volume_snapshot_remove(v, "full"), 0);
    volume_get_info(v, &info[2]);
    assert_true(info[2].used_count + 900 < info[1].used_count);
    assert_int_equal(volume_snapshot_remove(v, "full"), -ENOENT);
    assert_clean(v);
    ballast(v, true);
    assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

/* As many as there may be; their table is more than a block. */
static void test_snapshot_many(void **state)
{
    (void)state;
    struct disk *d = disk_formatted(8192);
    struct volume *v = mount_good(d, false);
    char name[16];
    unsigned count;
    for (unsigned i = 0; i < VOLUME_SNAPSHOT_MAX; i++) {
        snprintf(name, sizeof(name), "number %u", i);
        assert_int_equal(volume_snapshot_create(v, name), 0);
    }
    assert_int_equal(volume_snapshot_create(v, "one more"), -ENOSPC);
    assert_int_equal(volume_snapshot_create(v, ""), -EINVAL);
    assert_int_equal(volume_unmount(v), 0);
    v = mount_good(d, false);
    volume_snapshots(v, &count);
    assert_int_equal(count, VOLUME_SNAPSHOT_MAX);
    for (unsigned i = 0; i < VOLUME_SNAPSHOT_MAX; i += 3) {
        snprintf(name, sizeof(name), "number %u", i);
        assert_int_equal(volume_snapshot_remove(v, name), 0);
    }
    assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    v = mount_good(d, false);
    volume_snapshots(v, &count);
    assert_int_equal(count, VOLUME_SNAPSHOT_MAX * 2 / 3);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

/* Items on their way, in memory. */
struct items {
    uint8_t *data;
    size_t size, count;
};

static int items_add(void *arg, const struct replica_item *item, const void *body, const void *block)
{
    struct items *i = arg;
    size_t tail = block ? VOLUME_BLOCK_SIZE : 0, head = item->size - tail;
    assert_true(replica_item_valid(item));
    i->data = realloc(i->data, i->size + sizeof(*item) + item->size);
    memcpy(i->data + i->size, item, sizeof(*item));
    if (head > 0)
        memcpy(i->data + i->size + sizeof(*item), body, head);
    if (tail > 0)
        memcpy(i->data + i->size + sizeof(*item) + head, block, tail);
    i->size += sizeof(*item) + item->size;
    i->count++;
    return 0;
}

static struct items items_of(struct disk *d, const char *from, const char *snapshot)
{
    struct items items = {0};
    struct volume *v = mount_good(d, true);
    assert_int_equal(volume_replicate(v, from, snapshot, items_add, &items), 0);
    volume_abandon(v);
    return items;
}

/* The first `count` of them into the volume. */
static int items_apply(const struct items *items, struct volume *v, size_t count)
{
    struct replica_receiver r = {.volume = v};
    static _Alignas(8) uint8_t body[REPLICA_BODY_MAX];
    int err = 0;
    for (size_t at = 0; err == 0 && count-- > 0 && at < items->size;) {
        struct replica_item item;
        memcpy(&item, items->data + at, sizeof(item));
        memcpy(body, items->data + at + sizeof(item), item.size);
        at += sizeof(item) + item.size;
        err = volume_receive(&r, &item, body);
    }
    return err;
}

static struct disk *disk_received(const struct items *items, uint64_t size)
{
    struct disk *d = disk_formatted(size);
    struct volume *v = mount_good(d, false);
    assert_int_equal(items_apply(items, v, SIZE_MAX), 0);
    assert_int_equal(volume_unmount(v), 0);
    return d;
}

static char *text_of(struct disk *d, const char *snapshot, bool check)
{
    struct volume_options options = {.cache_size = 512 << 10, .read_only = true, .snapshot = snapshot};
    int err;
    struct volume *v = disk_mount(d, &options, &err);
    assert_int_equal(err, 0);
    char *text = volume_text(v);
    if (check)
        assert_clean(v);
    volume_abandon(v);
    return text;
}

/* The whole of a copy's snapshot is, item by item, the whole of the original's, but for the sizes of the volumes. */
static void assert_same_items(struct disk *a, struct disk *b, const char *snapshot)
{
    struct items left = items_of(a, NULL, snapshot), right = items_of(b, NULL, snapshot);
    size_t sizes = sizeof(struct replica_item) + offsetof(struct replica_begin, block_count);
    size_t rest = sizeof(struct replica_item) + sizeof(struct replica_begin);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, sizes);
    assert_memory_equal(left.data + rest, right.data + rest, left.size - rest);
    free(left.data);
    free(right.data);
}

/* Everything, then differences, of a tree that changes in every way, into a volume of its own. */
static void test_replica_random(void **state)
{
    (void)state;
    for (uint64_t seed = soak.seed + 20; seed < soak.seed + 20 + 4 * soak.times; seed++) {
        struct disk *d = disk_formatted(8000), *other = NULL;
        struct volume *v = mount_good(d, false);
        struct model m;
        char name[2][8] = {"", ""};
        disk_seed(seed);
        model_init(&m);
        for (unsigned round = 0; round < 12; round++) {
            for (unsigned i = 0; i < 60; i++)
                model_change(&m, v);
            snprintf(name[round % 2], sizeof(name[0]), "s%u", round);
            assert_int_equal(volume_snapshot_create(v, name[round % 2]), 0);
            for (unsigned i = 0; i < 20; i++) /* which is not sent yet */
                model_change(&m, v);
            assert_int_equal(volume_unmount(v), 0);
            struct items items = items_of(d, round > 0 ? name[(round + 1) % 2] : NULL, name[round % 2]);
            if (round == 0) {
                other = disk_received(&items, 8000);
            } else {
                v = mount_good(other, false);
                assert_int_equal(items_apply(&items, v, SIZE_MAX), 0);
                assert_int_equal(volume_unmount(v), 0);
            }
            char *sent = text_of(d, name[round % 2], false), *got = text_of(other, NULL, true);
            char *kept = text_of(other, name[round % 2], false);
            assert_string_equal(got, sent);
            assert_string_equal(kept, sent);
            assert_same_items(d, other, name[round % 2]);
            free(sent);
            free(got);
            free(kept);
            free(items.data);
            v = mount_good(d, false);
        }
        assert_int_equal(volume_unmount(v), 0);
        /* What came is a volume like any other. */
        v = mount_good(other, false);
        ballast(v, true);
        ballast(v, false);
        assert_clean(v);
        assert_int_equal(volume_unmount(v), 0);
        model_deinit(&m);
        disk_free(d);
        disk_free(other);
    }
}

/* Two snapshots, "a" and "b", and a volume that has received "a". */
struct pair {
    struct disk *from, *to;
    struct items difference;
    char *a, *b;
};

static struct pair pair_make(uint64_t seed)
{
    struct pair p = {.from = disk_formatted(4000)};
    struct volume *v = mount_good(p.from, false);
    struct model m;
    disk_seed(seed);
    model_init(&m);
    for (unsigned i = 0; i < 240; i++) {
        model_change(&m, v);
        if (i == 119)
            assert_int_equal(volume_snapshot_create(v, "a"), 0);
    }
    assert_int_equal(volume_snapshot_create(v, "b"), 0);
    assert_int_equal(volume_unmount(v), 0);
    model_deinit(&m);
    struct items all = items_of(p.from, NULL, "a");
    p.to = disk_received(&all, 4000);
    free(all.data);
    p.difference = items_of(p.from, "a", "b");
    p.a = text_of(p.from, "a", false);
    p.b = text_of(p.from, "b", false);
    assert_string_not_equal(p.a, p.b);
    return p;
}

static void pair_free(struct pair *p)
{
    free(p->difference.data);
    free(p->a);
    free(p->b);
    disk_free(p->from);
    disk_free(p->to);
}

struct receive_crash {
    const struct pair *pair;
    unsigned before, after;
};

/* The old tree, or the new one with its snapshot; nothing between. */
static bool assert_a_or_b(const struct pair *p, struct disk *d)
{
    char *text = text_of(d, NULL, true);
    struct volume *v = mount_good(d, true);
    unsigned count;
    volume_snapshots(v, &count);
    assert_string_equal(text, count == 2 ? p->b : p->a);
    assert_true(count == 1 || count == 2);
    volume_abandon(v);
    free(text);
    return count == 2;
}

static void receive_crash_hook(struct disk *d)
{
    struct receive_crash *c = d->hook_arg;
    if (d->write_count > 1 && d->events % 7 != 0)
        return;
    for (unsigned how = CRASH_NONE; how < CRASH_COUNT; how++) {
        struct disk *image = disk_crash(d, (enum disk_crash)how);
        if (assert_a_or_b(c->pair, image))
            c->after++;
        else
            c->before++;
        disk_free(image);
    }
}

static void test_receive_crash(void **state)
{
    (void)state;
    for (uint64_t seed = soak.seed + 30; seed < soak.seed + 30 + 2 * soak.times; seed++) {
        struct pair p = pair_make(seed);
        struct receive_crash c = {.pair = &p};
        struct volume *v = mount_good(p.to, false);
        p.to->hook = receive_crash_hook;
        p.to->hook_arg = &c;
        assert_int_equal(items_apply(&p.difference, v, SIZE_MAX), 0);
        p.to->hook = NULL;
        assert_int_equal(volume_unmount(v), 0);
        assert_true(c.before > 0 && c.after > 0);
        assert_true(assert_a_or_b(&p, p.to));
        pair_free(&p);
    }
}

/* Cut off after each item, or failing at each allocation, write and flush: the volume is as it was. */
static void test_receive_fails(void **state)
{
    (void)state;
    struct pair p = pair_make(33);
    for (size_t i = 0; i < p.difference.count; i += soak.on ? 1 : 1 + i / 4) {
        struct disk *d = disk_clone(p.to);
        struct volume *v = mount_good(d, false);
        assert_int_equal(items_apply(&p.difference, v, i), 0);
        volume_abandon(v);
        assert_false(assert_a_or_b(&p, d));
        disk_free(d);
    }
    for (unsigned long k = 1, done = 0; !done; k += soak.on ? 1 : 1 + k / 6) {
        for (int memory = 0; memory < 2; memory++) {
            struct disk *d = disk_clone(p.to);
            struct volume *v = mount_good(d, false);
            if (memory)
                disk_fail_alloc(k);
            else
                d->fail_at = d->events + k;
            int err = items_apply(&p.difference, v, SIZE_MAX);
            bool failed = memory ? disk_alloc_failed() : d->events >= d->fail_at;
            disk_fail_alloc(0);
            d->fail_at = 0;
            volume_abandon(v);
            assert_true(failed || err == 0);
            bool after = assert_a_or_b(&p, d);
            assert_true(err != 0 || after);
            done = !failed && memory;
            disk_free(d);
        }
    }
    pair_free(&p);
}

/* A difference meets only what it is the difference to; everything only an empty volume. */
static void test_receive_refused(void **state)
{
    (void)state;
    struct pair p = pair_make(34);
    struct items all = items_of(p.from, NULL, "b");
    struct volume *v = mount_good(p.to, false);
    assert_int_equal(items_apply(&all, v, 1), -ESTALE); /* not empty */
    volume_abandon(v);
    v = mount_good(p.to, false);
    ballast(v, true);
    assert_int_equal(volume_unmount(v), 0);
    v = mount_good(p.to, false);
    assert_int_equal(items_apply(&p.difference, v, 1), -ESTALE); /* changed since */
    volume_abandon(v);
    struct disk *empty = disk_formatted(4000);
    v = mount_good(empty, false);
    assert_int_equal(items_apply(&p.difference, v, 1), -ENOENT);
    assert_int_equal(items_apply(&all, v, SIZE_MAX), 0);
    assert_int_equal(volume_unmount(v), 0);
    v = mount_good(empty, false);
    assert_int_equal(items_apply(&p.difference, v, 1), -EEXIST);
    volume_abandon(v);
    v = mount_good(p.from, true);
    struct items none = {0};
    assert_int_equal(volume_replicate(v, "b", "a", items_add, &none), -EINVAL);
    assert_int_equal(volume_replicate(v, "a", "c", items_add, &none), -ENOENT);
    volume_abandon(v);
    disk_free(empty);
    free(all.data);
    pair_free(&p);
}

/* Back to the last snapshot of a changing tree, again and again: the tree is that, and everything goes on from there.
 */
struct past {
    char name[8], *text;
    struct model m;
};

static void past_free(struct past *p)
{
    free(p->text);
    model_deinit(&p->m);
}

static void past_keep(struct past *p, const struct model *m, struct volume *v, unsigned number)
{
    snprintf(p->name, sizeof(p->name), "p%u", number % 1000);
    p->text = volume_text(v);
    model_copy(&p->m, m);
    assert_int_equal(volume_snapshot_create(v, p->name), 0);
}

static void past_return(const struct past *past, unsigned count, struct model *m, struct volume *v)
{
    const struct past *last = &past[count - 1];
    struct volume_node *root;
    if (count > 1)
        assert_int_equal(volume_snapshot_rollback(v, past[count - 2].name), -EEXIST);
    assert_int_equal(volume_snapshot_rollback(v, "none"), -ENOENT);
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    assert_int_equal(volume_snapshot_rollback(v, last->name), -EBUSY);
    volume_node_put(root);
    assert_int_equal(volume_snapshot_rollback(v, last->name), 0);
    model_deinit(m);
    model_copy(m, &last->m);
    char *text = volume_text(v), *expected = model_text(m, false);
    assert_string_equal(text, last->text);
    assert_string_equal(text, expected);
    free(text);
    free(expected);
}

static void past_check(struct disk *d, const struct past *past, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct kept kept = {.text = past[i].text};
        string_copy(kept.name, past[i].name, sizeof(kept.name));
        kept_check(d, &kept, 1);
    }
}

static void test_rollback_random(void **state)
{
    (void)state;
    for (uint64_t seed = soak.seed + 50; seed < soak.seed + 50 + 4 * soak.times; seed++) {
        struct disk *d = disk_formatted(6000);
        struct volume *v = mount_good(d, false);
        struct model m;
        struct past past[6];
        unsigned count = 0, next = 0, returns = 0;
        disk_seed(seed);
        model_init(&m);
        for (unsigned round = 0; round < 40; round++) {
            for (unsigned i = 0; i < 15; i++)
                model_change(&m, v);
            uint64_t what = disk_random() % 5;
            if (count == 0 || (what < 2 && count < 6)) {
                past_keep(&past[count++], &m, v, next++);
            } else if (what < 4) {
                past_return(past, count, &m, v);
                returns++;
            } else {
                unsigned at = (unsigned)(disk_random() % count);
                assert_int_equal(volume_snapshot_remove(v, past[at].name), 0);
                past_free(&past[at]);
                memmove(&past[at], &past[at + 1], (--count - at) * sizeof(*past));
            }
            assert_clean(v);
            if (disk_random() % 2) {
                assert_int_equal(volume_unmount(v), 0);
                past_check(d, past, count);
                v = mount_good(d, false);
            }
        }
        assert_true(returns > 5);
        while (count > 0) { /* nothing is left of them, or of what was given up */
            assert_int_equal(volume_snapshot_remove(v, past[--count].name), 0);
            past_free(&past[count]);
        }
        assert_clean(v);
        assert_int_equal(volume_unmount(v), 0);
        v = mount_good(d, false);
        char *live = volume_text(v), *expected = model_text(&m, false);
        assert_string_equal(live, expected);
        assert_clean(v);
        assert_int_equal(volume_unmount(v), 0);
        free(live);
        free(expected);
        model_deinit(&m);
        disk_free(d);
    }
}

/* Two snapshots and changes after them; what a call that fails or is cut off may leave. */
struct returning {
    struct disk *disk;
    char *now;
    struct kept kept[2];
    unsigned before, after;
};

static struct returning returning_make(uint64_t seed)
{
    struct returning r = {.disk = disk_formatted(3000)};
    struct volume *v = mount_good(r.disk, false);
    struct model m;
    disk_seed(seed);
    model_init(&m);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned step = 0; step < 80; step++)
            model_change(&m, v);
        if (i < 2)
            snapshot_keep(v, &r.kept[i], i == 0 ? "a" : "b");
    }
    assert_int_equal(volume_sync(v), 0);
    r.now = volume_text(v);
    assert_int_equal(volume_unmount(v), 0);
    assert_string_not_equal(r.now, r.kept[1].text);
    model_deinit(&m);
    return r;
}

static void returning_free(struct returning *r)
{
    disk_free(r->disk);
    free(r->now);
    free(r->kept[0].text);
    free(r->kept[1].text);
}

/* Today's tree, or that of the last snapshot; that, and the one before it unless it may be gone, in any case. */
static bool assert_now_or_back(struct returning *r, struct disk *d, bool may_go)
{
    struct volume *v = mount_good(d, false);
    char *text = volume_text(v);
    bool back = strcmp(text, r->kept[1].text) == 0;
    if (!back)
        assert_string_equal(text, r->now);
    free(text);
    assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    kept_check(d, r->kept + may_go, 2 - may_go);
    *(back ? &r->after : &r->before) += 1;
    return back;
}

static void rollback_crash_hook(struct disk *d)
{
    for (unsigned how = CRASH_NONE; how < CRASH_COUNT; how++) {
        struct disk *image = disk_crash(d, (enum disk_crash)how);
        assert_now_or_back(d->hook_arg, image, false);
        disk_free(image);
    }
}

static void test_rollback_crash(void **state)
{
    (void)state;
    for (uint64_t seed = soak.seed + 60; seed < soak.seed + 60 + 3 * soak.times; seed++) {
        struct returning r = returning_make(seed);
        struct volume *v = mount_good(r.disk, false);
        r.disk->hook = rollback_crash_hook;
        r.disk->hook_arg = &r;
        assert_int_equal(volume_snapshot_rollback(v, "b"), 0);
        r.disk->hook = NULL;
        volume_abandon(v);
        assert_true(r.before > 0 && r.after > 0);
        assert_true(assert_now_or_back(&r, r.disk, false));
        returning_free(&r);
    }
}

/* What else the tools do with a volume, each with every allocation, read, and write or flush failing in turn. */
static int do_create(struct volume *v)
{
    return volume_snapshot_create(v, "c");
}
static int do_remove(struct volume *v)
{
    return volume_snapshot_remove(v, "a");
}
static int do_rollback(struct volume *v)
{
    return volume_snapshot_rollback(v, "b");
}
static int do_replicate(struct volume *v)
{
    struct items items = {0};
    int err = volume_replicate(v, "a", "b", items_add, &items);
    free(items.data);
    return err;
}
static int do_check(struct volume *v)
{
    struct volume_check_result result;
    int err = volume_check(v, NULL, NULL, &result);
    return err == 0 && result.problem_count > 0 ? -EIO : err; /* what cannot be read is a problem */
}
static int do_mount(struct volume *v)
{
    return volume_sync(v);
}

enum fault { FAULT_ALLOC, FAULT_READ, FAULT_WRITE, FAULT_COUNT };
static const int fault_errors[FAULT_COUNT] = {-ENOMEM, -EIO, -EIO};

static void fault_set(struct disk *d, enum fault fault, unsigned long k)
{
    if (fault == FAULT_ALLOC)
        disk_fail_alloc(k);
    else if (fault == FAULT_READ)
        d->fail_read_at = d->read_events + k;
    else
        d->fail_at = d->events + k;
}

static bool fault_clear(struct disk *d, enum fault fault)
{
    bool hit = fault == FAULT_ALLOC  ? disk_alloc_failed()
               : fault == FAULT_READ ? d->read_events >= d->fail_read_at
                                     : d->events >= d->fail_at;
    disk_fail_alloc(0);
    d->fail_read_at = d->fail_at = 0;
    return hit;
}

/* Whatever failed, an error says so; the tree is today's, or the snapshot's for who went back; nothing leaks. */
static bool fault_run(struct returning *r, int (*what)(struct volume *), enum fault fault, unsigned long k)
{
    struct disk *d = disk_clone(r->disk);
    int err;
    long live = disk_alloc_live();
    if (what == do_mount)
        fault_set(d, fault, k);
    struct volume *v = disk_mount(d, NULL, &err);
    if (what != do_mount)
        fault_set(d, fault, k);
    if (v)
        err = what(v);
    bool hit = fault_clear(d, fault);
    assert_true(err == 0 || (hit && err == fault_errors[fault]));
    volume_abandon(v);
    assert_int_equal(disk_alloc_live(), live);
    bool back = assert_now_or_back(r, d, what == do_remove);
    assert_true(!back || what == do_rollback);
    assert_true(err != 0 || back == (what == do_rollback));
    disk_free(d);
    return hit;
}

static void test_tools_fail(void **state)
{
    (void)state;
    static int (*const all[])(struct volume *) = {do_mount, do_create, do_remove, do_rollback, do_replicate, do_check};
    struct returning r = returning_make(soak.seed + 70);
    unsigned counts[FAULT_COUNT] = {0};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        for (int fault = FAULT_ALLOC; fault < FAULT_COUNT; fault++)
            for (unsigned long k = 1; fault_run(&r, all[i], (enum fault)fault, k); k += soak.on ? 1 : 1 + k / 16)
                counts[fault]++;
    printf("%u allocations, %u reads, %u writes and flushes failed\n", counts[0], counts[1], counts[2]);
    assert_true(counts[0] > 40 && counts[1] > 40 && counts[2] > 12);
    returning_free(&r);
}

int main(int argc, char **argv)
{
    soak_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize_crash),    cmocka_unit_test(test_resize_full),
        cmocka_unit_test(test_resize_fails),    cmocka_unit_test(test_resize_groups),
        cmocka_unit_test(test_snapshot_random), cmocka_unit_test(test_snapshot_first),
        cmocka_unit_test(test_snapshot_crash),  cmocka_unit_test(test_snapshot_full),
        cmocka_unit_test(test_snapshot_many),   cmocka_unit_test(test_replica_random),
        cmocka_unit_test(test_receive_crash),   cmocka_unit_test(test_receive_fails),
        cmocka_unit_test(test_receive_refused), cmocka_unit_test(test_rollback_random),
        cmocka_unit_test(test_rollback_crash),  cmocka_unit_test(test_tools_fail),
    };
    return cmocka_run_group_tests_name("volume tools", tests, NULL, NULL);
}

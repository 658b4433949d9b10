/* The volume on a bad day: a disk that changes, turns back or fails, no memory, no room; and at its limits. */
#include <linux/errno.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "memory_counter.h"
#include "model.h"
#include "soak.h"

#include <cmocka.h>

#define BLOCK VOLUME_BLOCK_SIZE
static const struct volume_owner owner = {1, 2};

static void assert_clean(struct volume *v)
{
    struct volume_check_result result;
    assert_int_equal(volume_check(v, NULL, NULL, &result), 0);
    assert_int_equal(result.problem_count, 0);
}

static struct volume *mount_good(struct disk *d, const struct volume_options *options)
{
    int err;
    struct volume *v = disk_mount(d, options, &err);
    assert_int_equal(err, 0);
    return v;
}

static struct volume_node *root_of(struct volume *v)
{
    struct volume_node *root = NULL;
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    return root;
}

static struct volume_node *make(struct volume *v, const char *name)
{
    struct volume_node *root = root_of(v), *node = NULL;
    assert_int_equal(volume_create(root, name, strlen(name), S_IFREG | 0644, 0, owner, &node), 0);
    volume_node_put(root);
    return node;
}

static struct disk *kept[16]; /* what sample() had on the disk on its way */
static unsigned kept_count;

/* A small volume with some of everything, its log not empty; the text of what is in it. */
static struct disk *sample(unsigned steps, const struct volume_options *options, char **ret_text)
{
    struct model m;
    struct disk *d = disk_formatted(640);
    struct volume *v = mount_good(d, options);
    while (kept_count > 0)
        disk_free(kept[--kept_count]);
    model_init(&m);
    for (unsigned i = 0; i < steps; i++) {
        model_change(&m, v);
        if (i == steps / 2)
            assert_int_equal(volume_sync(v), 0);
        if (i % 4 == 0) {
            struct volume_node *root = root_of(v);
            assert_int_equal(volume_fsync(root), 0);
            volume_node_put(root);
            if (kept_count < 16)
                kept[kept_count++] = disk_clone(d);
        }
    }
    for (int n = 0; n < MODEL_NODES; n++)
        if (m.nodes[n].used && S_ISREG(m.nodes[n].mode))
            assert_true(model_sync(&m, v, n));
    *ret_text = model_text(&m, false);
    volume_abandon(v);
    model_deinit(&m);
    return d;
}

/* Every tree that a volume says it has is the true one, or it says that it cannot be read. */
static void assert_true_or_refused(struct disk *d, const struct volume_options *options, const char *text,
                                   uint64_t *ret_refused)
{
    int err;
    struct volume *v = disk_mount(d, options, &err);
    if (!v) {
        assert_true(err == -EIO || err == -EUCLEAN || err == -EINVAL || err == -EKEYREJECTED || err == -ENOKEY ||
                    err == -EOPNOTSUPP || err == -ESTALE || err == -ENODATA || err == -EKEYREVOKED);
        ++*ret_refused;
        return;
    }
    char *got = volume_text(v);
    if (strcmp(got, text) != 0) {
        assert_true(strstr(got, "gives") != NULL); /* an error, named in the text */
        ++*ret_refused;
    }
    free(got);
    volume_abandon(v);
}

static void test_flip(void **state)
{
    (void)state;
    char *text;
    uint64_t refused = 0, flips = 0, used = 0;
    /* With an anchor: without one, a record or a checkpoint that is damaged may as well never have been written. */
    struct counter a = {0};
    struct volume_anchor anchor = counter_anchor(&a);
    struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
    disk_seed(soak.seed + 6);
    struct disk *d = sample(soak.on ? 60 : 40, &options, &text);
    options.read_only = true;
    for (uint64_t block = 0; block < d->block_count; block++) {
        uint8_t *data = d->data + block * BLOCK;
        bool any = false;
        for (unsigned i = 0; i < BLOCK; i++)
            any = any || data[i];
        if (!any)
            continue;
        if (!soak_mine(used++))
            continue;
        uint64_t before = refused;
        unsigned count = soak.on ? 3 * BLOCK : 24; /* every byte in three ways, or some */
        for (unsigned i = 0; i < count; i++, flips++) {
            unsigned at = soak.on ? i / 3 : (unsigned)(disk_random() % BLOCK);
            uint8_t old = data[at];
            const uint8_t change[] = {(uint8_t)(1u << disk_random() % 8), 0xff, (uint8_t)(1 + disk_random() % 255)};
            data[at] ^= change[i % 3];
            assert_true_or_refused(d, &options, text, &refused);
            data[at] = old;
        }
        if (refused != before && refused != before + count)
            assert_true(block >= VOLUME_KEY_BLOCK && block < VOLUME_FIRST_BLOCK); /* else a block counts whole */
    }
    printf("%lu changes of a byte in %lu blocks, %lu noticed\n", (unsigned long)flips,
           (unsigned long)(used + soak.parts - soak.part) / soak.parts, (unsigned long)refused);
    assert_true(refused > 20);
    free(text);
    disk_free(d);
}

static void write_synced(struct volume_node *node, char byte)
{
    assert_int_equal(volume_write(node, 0, &byte, 1), 1);
    assert_int_equal(volume_fsync(node), 0);
}

/* Whole blocks: zeroed, and put in each other's place. */
static void test_misplaced(void **state)
{
    (void)state;
    static uint8_t saved[BLOCK];
    static const uint8_t zeros[BLOCK];
    char *text;
    uint64_t refused = 0, changes = 0;
    struct counter a = {0};
    struct volume_anchor anchor = counter_anchor(&a);
    struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
    disk_seed(soak.seed + 12);
    struct disk *d = sample(40, &options, &text);
    options.read_only = true;
    uint8_t *last = NULL;
    for (uint64_t block = 0; block < d->block_count; block++) {
        uint8_t *data = d->data + block * BLOCK;
        if (memcmp(data, zeros, BLOCK) == 0)
            continue;
        memcpy(saved, data, BLOCK);
        memset(data, 0, BLOCK);
        assert_true_or_refused(d, &options, text, &refused);
        memcpy(data, saved, BLOCK);
        if (last) {
            memcpy(data, last, BLOCK);
            memcpy(last, saved, BLOCK);
            assert_true_or_refused(d, &options, text, &refused);
            memcpy(last, data, BLOCK);
            memcpy(data, saved, BLOCK);
        }
        last = data;
        changes += 2;
    }
    printf("%lu blocks zeroed or swapped, %lu noticed\n", (unsigned long)changes, (unsigned long)refused);
    assert_true(refused > 20);
    free(text);
    disk_free(d);
}

/* Several bytes anywhere in what is in use, and a file that ends after any of its blocks. */
static void test_noise(void **state)
{
    (void)state;
    static const uint8_t zeros[BLOCK];
    char *text;
    uint64_t refused = 0, used = 0;
    struct counter a = {0};
    struct volume_anchor anchor = counter_anchor(&a);
    struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
    disk_seed(soak.seed + 40);
    struct disk *d = sample(60, &options, &text);
    options.read_only = true;
    uint64_t *blocks = calloc(d->block_count, sizeof(*blocks));
    for (uint64_t block = 0; block < d->block_count; block++)
        if (memcmp(d->data + block * BLOCK, zeros, BLOCK) != 0)
            blocks[used++] = block;
    for (unsigned i = 0; i < 200 * soak.times; i++) {
        struct disk *copy = disk_clone(d);
        for (uint64_t n = 1 + disk_random() % 64; n > 0; n--) /* in one block, or all over */
            copy->data[blocks[(i % 2 ? i / 2 : disk_random()) % used] * BLOCK + disk_random() % BLOCK] ^=
                (uint8_t)(1 + disk_random() % 255);
        assert_true_or_refused(copy, &options, text, &refused);
        disk_free(copy);
    }
    printf("%u times noise, %lu noticed\n", 200 * soak.times, (unsigned long)refused);
    assert_true(refused > 100);
    for (uint64_t count = 0; count < d->block_count; count++) {
        struct disk *copy = disk_clone(d);
        int err;
        copy->block_count = count;
        assert_null(disk_mount(copy, &options, &err));
        assert_int_equal(err, count < 2 ? -EINVAL : -ENODATA);
        copy->block_count = d->block_count;
        disk_free(copy);
    }
    free(blocks);
    free(text);
    disk_free(d);
}

/* The last block that this write and its sync changed: contents, behind the head of their record. */
static uint64_t write_block_synced(struct disk *d, struct volume_node *node, char byte)
{
    uint8_t page[BLOCK];
    struct disk *before = disk_clone(d);
    memset(page, byte, sizeof(page));
    assert_int_equal(volume_write(node, 0, page, sizeof(page)), sizeof(page));
    assert_int_equal(volume_fsync(node), 0);
    uint64_t last = 0;
    for (uint64_t block = 0; block < d->block_count; block++)
        if (memcmp(before->data + block * BLOCK, d->data + block * BLOCK, BLOCK) != 0)
            last = block;
    disk_free(before);
    return last;
}

/* Contents that the log refers to are damaged: at its end that is a write that never was, in its middle it is damage.
 */
static void test_damaged_log(void **state)
{
    (void)state;
    for (unsigned damaged = 0; damaged < 2; damaged++) {
        struct disk *d = disk_formatted(640);
        struct volume *v = mount_good(d, NULL);
        struct volume_node *node = make(v, "f");
        uint64_t blocks[2];
        char got;
        int err;
        write_synced(node, 'a');
        blocks[0] = write_block_synced(d, node, 'b');
        blocks[1] = write_block_synced(d, node, 'c');
        assert_int_not_equal(blocks[0], blocks[1]);
        volume_node_put(node);
        volume_abandon(v);
        d->data[blocks[damaged] * BLOCK + 100] ^= 1;
        v = disk_mount(d, NULL, &err);
        assert_int_equal(err, damaged == 0 ? -EUCLEAN : 0);
        if (v) {
            struct volume_node *root = root_of(v);
            assert_int_equal(volume_lookup(root, "f", 1, &node), 0);
            assert_int_equal(volume_read(node, 0, &got, 1), 1);
            assert_int_equal(got, 'b');
            volume_node_put(node);
            volume_node_put(root);
        }
        volume_abandon(v);
        disk_free(d);
    }
}

/* A file that was open when it lost its name, and then came a crash: the next mount frees it. */
static void test_nameless(void **state)
{
    (void)state;
    static const uint8_t data[20 * BLOCK];
    struct disk *d = disk_formatted(640);
    struct volume *v = mount_good(d, NULL);
    struct volume_info before, after;
    struct volume_node *root = root_of(v), *node;
    volume_get_info(v, &before);
    node = make(v, "f");
    assert_int_equal(volume_write(node, 0, data, sizeof(data)), sizeof(data));
    assert_int_equal(volume_unlink(root, "f", 1), 0);
    assert_int_equal(volume_sync(v), 0);
    volume_get_info(v, &after);
    assert_int_equal(after.inode_count, before.inode_count + 1);
    volume_node_put(node); /* only memory knows */
    volume_node_put(root);
    volume_abandon(v);
    v = mount_good(d, NULL);
    volume_get_info(v, &after);
    assert_int_equal(after.inode_count, before.inode_count);
    assert_true(after.used_count < before.used_count + 20);
    assert_clean(v);
    volume_abandon(v);
    disk_free(d);
}

/* A disk that says that it has flushed and has not, then loses power. */
struct liar {
    struct model m;
    struct disk *d;
    struct volume_options options;
    char *texts[64]; /* every state that was synced, the last of them the newest */
    unsigned count;
    uint64_t older, refused;
};

static void liar_sync(struct liar *l, struct volume *v)
{
    for (int n = 0; n < MODEL_NODES; n++)
        if (l->m.nodes[n].used && S_ISREG(l->m.nodes[n].mode))
            assert_true(model_sync(&l->m, v, n));
    struct volume_node *root = root_of(v);
    assert_int_equal(volume_fsync(root), 0);
    volume_node_put(root);
    l->texts[l->count++] = model_text(&l->m, false);
}

/* Any state that there was, whole, or an error; with an anchor only the newest. */
static void liar_crash(struct liar *l, enum disk_crash how)
{
    struct disk *image = disk_crash(l->d, how);
    int err;
    struct volume *v = disk_mount(image, &l->options, &err);
    if (!v) {
        assert_true(err == -ESTALE || err == -EUCLEAN || err == -EIO);
        l->refused++;
        disk_free(image);
        return;
    }
    char *got = volume_text(v);
    unsigned i = l->count;
    while (i > 0 && strcmp(got, l->texts[i - 1]) != 0)
        i--;
    if (l->options.freshness != VOLUME_FRESH_NONE && i != l->count)
        assert_true(strstr(got, "gives") != NULL);
    assert_true(i > 0 || strstr(got, "gives") != NULL);
    l->older += i > 0 && i < l->count;
    l->refused += i == 0;
    free(got);
    volume_abandon(v);
    disk_free(image);
}

static void liar_run(struct liar *l, struct counter *a, uint64_t seed)
{
    l->d = disk_formatted(640);
    struct volume *v = mount_good(l->d, &l->options);
    disk_seed(seed);
    model_init(&l->m);
    l->count = 0;
    liar_sync(l, v);
    for (unsigned i = 0; i < 30; i++) {
        model_change(&l->m, v);
        liar_sync(l, v);
        l->d->lose_flushes = i >= 5;
        if (i % 8 == 7)
            assert_int_equal(volume_sync(v), 0);
        for (unsigned how = CRASH_NONE; i % 3 == 2 && how < CRASH_COUNT; how++) {
            struct counter saved = *a;
            liar_crash(l, (enum disk_crash)how);
            *a = saved;
        }
    }
    volume_abandon(v);
    model_deinit(&l->m);
    while (l->count > 0)
        free(l->texts[--l->count]);
    disk_free(l->d);
}

static void test_lost_flush(void **state)
{
    (void)state;
    struct counter a = {0};
    struct volume_anchor anchor = counter_anchor(&a);
    struct liar l = {0};
    for (uint64_t seed = soak.seed; seed < soak.seed + 3 * soak.times; seed++) {
        a = (struct counter){0};
        l.options = (struct volume_options){.log_blocks = 60};
        liar_run(&l, &a, seed);
        l.options.freshness = VOLUME_FRESH_STRICT;
        l.options.anchor = &anchor;
        liar_run(&l, &a, seed);
    }
    printf("flushes lost: %lu older states without an anchor, %lu refused\n", (unsigned long)l.older,
           (unsigned long)l.refused);
    assert_true(l.older > 10 && l.refused > 10);
}

/* Every block of every older disk put back into the newest, one by one and in random mixes. */
static void test_mix(void **state)
{
    (void)state;
    char *text;
    uint64_t refused = 0, mixes = 0;
    struct counter a = {0};
    struct volume_anchor anchor = counter_anchor(&a);
    struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
    disk_seed(soak.seed + 10);
    struct disk *d = sample(60, &options, &text);
    options.read_only = true;
    for (unsigned i = 0; i < kept_count; i++) {
        for (uint64_t block = 0; block < d->block_count; block++) {
            uint8_t saved[BLOCK];
            if (memcmp(d->data + block * BLOCK, kept[i]->data + block * BLOCK, BLOCK) == 0)
                continue;
            memcpy(saved, d->data + block * BLOCK, BLOCK);
            memcpy(d->data + block * BLOCK, kept[i]->data + block * BLOCK, BLOCK);
            assert_true_or_refused(d, &options, text, &refused);
            memcpy(d->data + block * BLOCK, saved, BLOCK);
            mixes++;
        }
        for (unsigned j = 0; j < 20 * soak.times; j++, mixes++) {
            struct disk *mix = disk_clone(d);
            for (uint64_t block = 0; block < d->block_count; block++)
                if (disk_random() % 2)
                    memcpy(mix->data + block * BLOCK, kept[i]->data + block * BLOCK, BLOCK);
            assert_true_or_refused(mix, &options, text, &refused);
            disk_free(mix);
        }
    }
    printf("%lu mixes, %lu noticed\n", (unsigned long)mixes, (unsigned long)refused);
    assert_true(refused > 100);
    while (kept_count > 0)
        disk_free(kept[--kept_count]);
    free(text);
    disk_free(d);
}

/*
 * Keep the disk and the anchor after each sync: every older disk is refused, with every newer anchor. A newer disk with
 * an older anchor is what a crash leaves: it opens, as the newest.
 */
static void test_rollback(void **state)
{
    (void)state;
    enum { COUNT = 12 };
    struct counter a = {0};
    struct volume_anchor anchor = counter_anchor(&a);
    struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
    struct disk *d = disk_formatted(640), *old[COUNT];
    struct counter anchored[COUNT];
    int err;
    struct volume *v = mount_good(d, &options);
    struct volume_node *node = make(v, "f");
    for (unsigned i = 0; i < COUNT; i++) {
        write_synced(node, (char)i);
        if (i == COUNT / 2)
            assert_int_equal(volume_checkpoint(v), 0);
        old[i] = disk_clone(d);
        anchored[i] = a;
    }
    volume_node_put(node);
    volume_abandon(v);
    struct counter saved = a;
    for (unsigned i = 0; i < COUNT; i++)
        for (unsigned j = 0; j < COUNT; j++) {
            struct disk *copy = disk_clone(old[i]);
            char byte = -1;
            a = anchored[j];
            v = disk_mount(copy, &options, &err);
            assert_int_equal(err, i < j ? -ESTALE : 0);
            if (v) {
                struct volume_node *root = root_of(v);
                assert_int_equal(volume_lookup(root, "f", 1, &node), 0);
                assert_int_equal(volume_read(node, 0, &byte, 1), 1);
                assert_int_equal(byte, i);
                volume_node_put(node);
                volume_node_put(root);
            }
            volume_abandon(v);
            disk_free(copy);
        }
    for (unsigned i = 0; i < COUNT; i++) {
        a = saved;
        v = disk_mount(old[i], &options, &err);
        assert_int_equal(err, i + 1 < COUNT ? -ESTALE : 0);
        if (!v)
            continue;
        volume_abandon(v);
        /* ... and the same disk, mounted, is newer than its own copy from before. */
        assert_null(disk_mount(d, &options, &err));
        assert_int_equal(err, -ESTALE);
    }
    options.accept_rollback = true;
    a = saved;
    v = mount_good(old[0], &options);
    assert_clean(v);
    volume_abandon(v);
    for (unsigned i = 0; i < COUNT; i++)
        disk_free(old[i]);
    disk_free(d);
}

/* Two instances of one volume: the second takes over, the first stops at its next word to the anchor. */
static void test_fork(void **state)
{
    (void)state;
    struct counter a = {0};
    struct volume_anchor anchor = counter_anchor(&a);
    struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
    struct disk *d = disk_formatted(640);
    struct volume *first = mount_good(d, &options);
    struct volume_node *node = make(first, "f");
    write_synced(node, 1);
    struct disk *copy = disk_clone(d);
    struct volume *second = mount_good(copy, &options);
    assert_int_equal(volume_write(node, 0, "2", 1), 1);
    assert_int_equal(volume_fsync(node), -ESTALE);
    assert_int_equal(volume_write(node, 0, "3", 1), -ESTALE);
    volume_node_put(node);
    volume_abandon(first);
    node = make(second, "g");
    write_synced(node, 1);
    volume_node_put(node);
    assert_int_equal(volume_unmount(second), 0);
    /* What the first wrote belongs to no one. */
    int err;
    assert_null(disk_mount(d, &options, &err));
    assert_int_equal(err, -ESTALE);
    disk_free(copy);
    disk_free(d);
}

/* An anchor that does not answer: strict syncs fail until it does; with lag, only the window's worth succeeds. */
static void test_anchor_down(void **state)
{
    (void)state;
    struct counter a = {0};
    struct volume_anchor anchor = counter_anchor(&a);
    struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
    struct disk *d = disk_formatted(640);
    struct volume *v = mount_good(d, &options);
    struct volume_node *node = make(v, "f");
    a.down = true;
    assert_int_equal(volume_write(node, 0, "a", 1), 1);
    assert_int_equal(volume_fsync(node), -EIO);
    assert_int_equal(volume_fsync(node), -EIO);
    a.down = false;
    assert_int_equal(volume_fsync(node), 0);
    volume_node_put(node);
    assert_int_equal(volume_unmount(v), 0);
    options.freshness = VOLUME_FRESH_LAG;
    options.lag_records = 10;
    v = mount_good(d, &options);
    node = make(v, "g");
    a.down = true;
    unsigned good = 0;
    for (; good < 100; good++) {
        assert_int_equal(volume_write(node, good, "a", 1), 1);
        if (volume_fsync(node) != 0)
            break;
    }
    assert_int_equal(good, 9);
    a.down = false;
    assert_int_equal(volume_fsync(node), 0);
    volume_node_put(node);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

/* A mount that dies at any of its writes, before or after it becomes the holder, locks nobody out. */
static void test_mount_dies(void **state)
{
    (void)state;
    for (uint64_t k = 1; k < 12; k++) {
        struct counter a = {0};
        struct volume_anchor anchor = counter_anchor(&a);
        struct volume_options options = {.freshness = VOLUME_FRESH_STRICT, .anchor = &anchor};
        struct disk *d = disk_formatted(640);
        struct volume *v = mount_good(d, &options);
        struct volume_node *node = make(v, "f");
        write_synced(node, 1);
        volume_node_put(node);
        volume_abandon(v);
        int err;
        for (unsigned again = 0; again < 3; again++) {
            d->fail_at = d->events + k;
            v = disk_mount(d, &options, &err);
            volume_abandon(v);
            d->fail_at = 0;
        }
        v = mount_good(d, &options);
        assert_clean(v);
        assert_int_equal(volume_unmount(v), 0);
        disk_free(d);
    }
}

/* The k-th allocation fails, for every k: nothing is lost, nothing leaks, the next try works. */
static void test_no_memory(void **state)
{
    (void)state;
    unsigned failed = 0;
    for (uint64_t seed = soak.seed; seed < soak.seed + 3 * soak.times; seed++) {
        struct model m;
        struct disk *d = disk_formatted(1024);
        struct volume_options options = {.cache_size = 256 << 10, .log_blocks = 60};
        struct volume *v = mount_good(d, &options);
        model_init(&m);
        disk_seed(seed);
        for (unsigned i = 0; i < 700; i++) {
            disk_fail_alloc(1 + i % 23);
            if (i % 5 == 0) {
                int node = model_pick_sync(&m);
                if (!model_sync(&m, v, node))
                    assert_true(disk_alloc_failed());
            } else {
                model_change(&m, v);
            }
            failed += disk_alloc_failed();
            disk_fail_alloc(0);
            assert_int_equal(volume_failed(v), 0);
        }
        char *got = volume_text(v), *expected = model_text(&m, false);
        assert_string_equal(got, expected);
        free(got);
        assert_clean(v);
        assert_int_equal(volume_unmount(v), 0);
        v = mount_good(d, &options);
        got = volume_text(v);
        assert_string_equal(got, expected);
        free(got);
        free(expected);
        assert_clean(v);
        volume_abandon(v);
        model_deinit(&m);
        disk_free(d);
    }
    assert_true(failed > 100);
    /* Mounting: each of its allocations. */
    char *text;
    disk_seed(soak.seed + 4);
    struct disk *d = sample(30, NULL, &text);
    for (unsigned long k = 1;; k++) {
        int err;
        struct disk *copy = disk_clone(d);
        long live = disk_alloc_live();
        disk_fail_alloc(k);
        struct volume *v = disk_mount(copy, NULL, &err);
        bool hit = disk_alloc_failed();
        disk_fail_alloc(0);
        assert_true(v || err == -ENOMEM);
        volume_abandon(v);
        assert_int_equal(disk_alloc_live(), live);
        disk_free(copy);
        if (!hit)
            break;
    }
    free(text);
    disk_free(d);
}

/* The disk fails at its k-th write or flush: every later change is refused; what was synced is there. */
static void test_io_error(void **state)
{
    (void)state;
    for (uint64_t k = 1; k < 60; k += 1) {
        struct disk *d = disk_formatted(640);
        struct volume *v = mount_good(d, &(struct volume_options){.log_blocks = 20});
        struct volume_node *node = make(v, "f");
        write_synced(node, 'a');
        char last = 'a';
        d->fail_at = d->events + k;
        for (int i = 'b'; i < 'z'; i++) {
            char c = (char)i;
            assert_true(volume_write(node, 0, &c, 1) == 1 || volume_failed(v));
            if (volume_fsync(node) != 0)
                break;
            last = c;
        }
        if (d->events >= d->fail_at) {
            assert_int_equal(volume_failed(v), -EIO);
            assert_int_equal(volume_write(node, 0, "x", 1), -EIO);
            assert_int_equal(volume_fsync(node), -EIO);
        }
        volume_node_put(node);
        volume_abandon(v);
        d->fail_at = 0;
        v = mount_good(d, NULL);
        struct volume_node *root = root_of(v);
        char got;
        assert_int_equal(volume_lookup(root, "f", 1, &node), 0);
        assert_int_equal(volume_read(node, 0, &got, 1), 1);
        assert_true(got >= last);
        volume_node_put(node);
        volume_node_put(root);
        assert_clean(v);
        volume_abandon(v);
        disk_free(d);
    }
}

static void test_full(void **state)
{
    (void)state;
    static uint8_t data[64 * 1024];
    struct disk *d = disk_formatted(2048);
    struct volume *v = mount_good(d, NULL);
    struct volume_node *root = root_of(v);
    unsigned files = 0;
    int err = 0;
    for (; err == 0; files++) {
        char name[16];
        struct volume_node *node = NULL;
        snprintf(name, sizeof(name), "f%u", files);
        err = volume_create(root, name, strlen(name), S_IFREG | 0600, 0, owner, &node);
        if (err == 0) {
            ssize_t done = volume_write(node, 0, data, sizeof(data));
            err = done < 0 ? (int)done : 0;
            assert_int_equal(volume_fsync(node), 0);
            volume_node_put(node);
        }
    }
    assert_int_equal(err, -ENOSPC);
    assert_true(files > 15);
    assert_clean(v);
    for (unsigned i = 0; i < files; i++) { /* the last may not be there */
        char name[16];
        snprintf(name, sizeof(name), "f%u", i);
        err = volume_unlink(root, name, strlen(name));
        assert_true(err == 0 || (i + 1 == files && err == -ENOENT));
    }
    assert_int_equal(volume_sync(v), 0);
    assert_clean(v);
    volume_node_put(root);
    assert_int_equal(volume_unmount(v), 0);
    v = mount_good(d, NULL);
    struct volume_node *node = make(v, "again");
    assert_int_equal(volume_write(node, 0, data, sizeof(data)), sizeof(data));
    volume_node_put(node);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

struct listing {
    uint8_t *seen;
    unsigned count, start, max;
};

static bool list_entry(void *arg, const char *name, size_t size, uint64_t ino, unsigned type, int64_t next_pos)
{
    struct listing *l = arg;
    (void)ino;
    (void)type;
    (void)next_pos;
    if (name[0] != 'n')
        return true;
    char copy[32] = "";
    memcpy(copy, name, size < 31 ? size : 31);
    unsigned i = (unsigned)strtoul(copy + 1, NULL, 10);
    assert_int_equal(l->seen[i], 0);
    if (l->count - l->start == l->max)
        return false;
    l->seen[i] = 1;
    l->count++;
    return true;
}

static void test_large_directory(void **state)
{
    (void)state;
    const unsigned count = soak.on ? 1000000 : 20000;
    struct disk *d = disk_formatted(soak.on ? 400000 : 16384);
    struct volume *v = mount_good(d, &(struct volume_options){.cache_size = 16 << 20});
    struct volume_node *root = root_of(v), *node;
    char name[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        assert_int_equal(volume_create(root, name, strlen(name), S_IFREG | 0600, 0, owner, &node), 0);
        volume_node_put(node);
    }
    struct listing l = {.seen = calloc(count, 1), .max = 997};
    int64_t pos = 0;
    /* Listed in pieces; between them names go and come: every name that stays is seen once. */
    while (l.count < count) {
        unsigned before = l.start = l.count;
        assert_int_equal(volume_readdir(root, &pos, list_entry, &l), 0);
        if (l.count == before)
            break;
        for (unsigned i = 0; i < 300; i++) {
            name[0] = (char)('A' + i % 26);
            name[1] = (char)('a' + i / 26);
            assert_int_equal(volume_symlink(root, name, 2, "t", 1, owner, &node), 0);
            volume_node_put(node);
        }
        for (unsigned i = 0; i < 300; i++) {
            name[0] = (char)('A' + i % 26);
            name[1] = (char)('a' + i / 26);
            assert_int_equal(volume_unlink(root, name, 2), 0);
        }
    }
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(l.seen[i], 1);
    assert_int_equal(volume_sync(v), 0);
    if (!soak.on)
        assert_clean(v);
    for (unsigned i = 0; i < count; i += 2) {
        snprintf(name, sizeof(name), "n%u", i);
        assert_int_equal(volume_unlink(root, name, strlen(name)), 0);
    }
    free(l.seen);
    volume_node_put(root);
    assert_int_equal(volume_unmount(v), 0);
    v = mount_good(d, NULL);
    root = root_of(v);
    assert_int_equal(volume_node_inode(root)->entry_count, count / 2);
    assert_int_equal(volume_lookup(root, "n2", 2, &node), -ENOENT);
    assert_int_equal(volume_lookup(root, "n3", 2, &node), 0);
    volume_node_put(node);
    volume_node_put(root);
    assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

static void test_large_file(void **state)
{
    (void)state;
    const uint64_t tib = 1ULL << 40;
    struct disk *d = disk_formatted(4096);
    struct volume *v = mount_good(d, NULL);
    struct volume_node *node = make(v, "sparse");
    char byte;
    for (unsigned shift = 0; shift < 40; shift++)
        assert_int_equal(volume_write(node, 1ULL << shift, "x", 1), 1);
    assert_int_equal(volume_write(node, tib - 1, "y", 1), 1);
    assert_int_equal(volume_write(node, tib, "z", 1), -EFBIG);
    assert_int_equal(volume_fsync(node), 0);
    assert_int_equal(volume_node_inode(node)->size, tib);
    assert_int_equal(volume_read(node, tib - 1, &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(volume_read(node, tib - 5000, &byte, 1), 1);
    assert_int_equal(byte, 0);
    assert_int_equal(volume_seek(node, (1ULL << 30) + 4096, false), 1ULL << 31);
    assert_int_equal(volume_seek(node, 1ULL << 30, true), (1ULL << 30) + 4096);
    assert_int_equal(volume_seek(node, tib, false), -ENXIO);
    assert_int_equal(volume_fallocate(node, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, tib - 8192), 0);
    assert_int_equal(volume_seek(node, 4096, false), (int64_t)tib - 4096);
    assert_int_equal(volume_truncate(node, 10), 0);
    assert_int_equal(volume_sync(v), 0);
    assert_int_equal(volume_node_inode(node)->block_count,
                     5); /* it keeps its height: four blocks of pointers, one of contents */
    assert_clean(v);
    volume_node_put(node);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

/* What a small sync costs. */
static void test_sync_cost(void **state)
{
    (void)state;
    static uint8_t page[BLOCK], small[100];
    struct disk *d = disk_formatted(8192);
    struct volume *v = mount_good(d, NULL);
    struct volume_node *root = root_of(v), *node = make(v, "log"), *pages = make(v, "pages");
    assert_int_equal(volume_fsync(node), 0);
    uint64_t writes = d->write_events, flushes = d->flushes, blocks = d->blocks_written;
    assert_int_equal(volume_write(node, 0, small, sizeof(small)), sizeof(small));
    assert_int_equal(volume_fsync(node), 0);
    assert_int_equal(d->write_events - writes, 1);
    assert_int_equal(d->flushes - flushes, 1);
    assert_int_equal(d->blocks_written - blocks, 1);
    assert_int_equal(volume_fsync(node), 0); /* nothing new: nothing done */
    assert_int_equal(d->write_events - writes, 1);
    assert_int_equal(volume_write(pages, 0, page, sizeof(page)), sizeof(page));
    assert_int_equal(volume_fsync(pages), 0);
    assert_int_equal(d->write_events - writes, 2);
    assert_int_equal(d->blocks_written - blocks, 3);
    assert_int_equal(volume_write(pages, 0, page, 1), 1); /* what is written over as a whole is not read before */
    assert_int_equal(volume_unlink(root, "log", 3), 0);
    assert_int_equal(volume_fsync(pages), 0);
    writes = d->write_events;
    volume_node_put(node); /* the last reference: it is freed, which nobody has to wait for */
    assert_int_equal(volume_fsync(root), 0);
    assert_int_equal(d->write_events, writes);
    volume_node_put(pages);
    volume_node_put(root);
    assert_int_equal(volume_unmount(v), 0);
    v = mount_good(d, NULL);
    root = root_of(v);
    assert_int_equal(volume_lookup(root, "pages", 5, &pages), 0);
    uint64_t reads = d->read_events;
    assert_int_equal(volume_write(pages, 0, page, sizeof(page)), sizeof(page));
    assert_int_equal(d->read_events - reads, 0);
    assert_int_equal(volume_write(pages, 7, page, 1), 1);
    assert_int_equal(volume_read(pages, 0, small, 1), 1);
    assert_clean(v);
    volume_node_put(pages);
    volume_node_put(root);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

static void test_refusals(void **state)
{
    (void)state;
    struct disk *d = disk_formatted(640), *other = disk_clone(d);
    int err;
    disk_key[0] ^= 1;
    assert_null(disk_mount(d, NULL, &err));
    assert_int_equal(err, -ENOKEY);
    disk_key[0] ^= 1;
    memset(other->data, 0, 2 * BLOCK);
    assert_null(disk_mount(other, NULL, &err));
    assert_int_equal(err, -EINVAL);
    other->block_count = 600; /* truncated */
    memcpy(other->data, d->data, 600 * BLOCK);
    assert_null(disk_mount(other, NULL, &err));
    assert_int_equal(err, -ENODATA);
    other->block_count = 300;
    assert_null(disk_mount(other, NULL, &err));
    assert_int_equal(err, -ENODATA);
    other->block_count = 640;
    struct volume_header *h = (struct volume_header *)d->data;
    h[0].features.incompat = h[1].features.incompat = 1ULL << 40;
    assert_null(disk_mount(d, NULL, &err));
    assert_int_equal(err, -EOPNOTSUPP);
    h[0].features.incompat = h[1].features.incompat = 0;
    h[0].generation = h[1].generation = 3;
    assert_null(disk_mount(d, NULL, &err));
    assert_int_equal(err, -EKEYREJECTED);
    disk_free(other);
    disk_free(d);
}

int main(int argc, char **argv)
{
    soak_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_sync_cost),
        cmocka_unit_test(test_rollback),    cmocka_unit_test(test_fork),
        cmocka_unit_test(test_mount_dies),  cmocka_unit_test(test_io_error),
        cmocka_unit_test(test_full),        cmocka_unit_test(test_large_file),
        cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_large_directory),
        cmocka_unit_test(test_flip),        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_anchor_down), cmocka_unit_test(test_misplaced),
        cmocka_unit_test(test_damaged_log), cmocka_unit_test(test_nameless),
        cmocka_unit_test(test_lost_flush),  cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests_name("volume hostile", tests, NULL, NULL);
}

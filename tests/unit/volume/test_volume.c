/* The volume against its model: random operations, remounts, and a crash at every write and flush. */
#include <linux/errno.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "soak.h"

#include <cmocka.h>

static void assert_text(const char *got, const char *expected, const char *what)
{
    if (strcmp(got, expected) == 0)
        return;
    fprintf(stderr, "%s: after \"%s\"\n--- got\n%s--- expected\n%s", what, model_trace, got, expected);
    fail();
}

static void assert_live(struct model *m, struct volume *v, const char *what)
{
    char *got = volume_text(v), *expected = model_text(m, false);
    assert_text(got, expected, what);
    free(got);
    free(expected);
}

static void test_empty(void **state)
{
    (void)state;
    struct disk *d = disk_formatted(1024);
    long live = disk_alloc_live();
    struct volume *v = crash_mount(d, NULL);
    crash_assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    assert_int_equal(disk_alloc_live(), live);
    disk_free(d);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = soak.seed; seed < soak.seed + 4 * soak.times; seed++) {
        struct model m;
        struct disk *d = disk_formatted(2048);
        struct volume_options options = {.cache_size = seed % 2 ? 256 << 10 : 8 << 20, .log_blocks = 200};
        struct volume *v = crash_mount(d, &options);
        model_init(&m);
        disk_seed(seed);
        for (unsigned i = 0; i < 600; i++) {
            if (disk_random() % 4 == 0)
                assert_true(model_sync(&m, v, model_pick_sync(&m)));
            else
                model_change(&m, v);
            if (i % 100 == 99) {
                assert_live(&m, v, "live");
                crash_assert_clean(v);
            }
            if (i % 200 == 199) {
                assert_int_equal(volume_unmount(v), 0);
                v = crash_mount(d, &options);
                assert_live(&m, v, "remounted");
                crash_assert_clean(v);
            }
        }
        assert_int_equal(volume_unmount(v), 0);
        model_deinit(&m);
        disk_free(d);
    }
}

static struct crash crash_run(uint64_t seed, unsigned steps, const struct volume_options *options)
{
    struct crash_run r;
    crash_run_start(&r, disk_formatted(seed % 4 < 2 ? 800 : 1536), options); /* small: full soon */
    disk_seed(seed);
    r.crash.recovery_every = 307;
    r.crash.deep_every = soak.on ? 25 : seed % 4 == 0 ? 60 : 0;
    r.crash.each_every = soak.on ? 1 : 64;
    crash_run_watch(&r);
    for (unsigned i = 0; i < steps; i++) {
        if (disk_random() % 4 == 0)
            crash_run_sync(&r, model_pick_sync(&r.m));
        else
            crash_run_change(&r, NULL);
    }
    crash_run_end(&r);
    return r.crash;
}

static void test_crash(void **state)
{
    (void)state;
    uint64_t images = 0, recoveries = 0, deep = 0;
    for (uint64_t seed = soak.seed; seed < soak.seed + 4 * soak.times; seed++) {
        struct volume_options options = {.cache_size = seed % 2 ? 256 << 10 : 4 << 20, .log_blocks = 60};
        struct crash c = crash_run(seed, 200, &options);
        images += c.images;
        recoveries += c.recoveries;
        deep += c.deep_recoveries;
    }
    printf("%lu crash images, %lu of crashes in recovery, %lu in recovery from that, %lu seals, no nonce twice\n",
           (unsigned long)images, (unsigned long)recoveries, (unsigned long)deep, (unsigned long)disk_seal_count());
    assert_true(images > 1000 && recoveries > 50 && deep > 20);
}

/* What changed under one hold is there as a whole or not at all, whenever the crash comes. */
static void pairs_hook(struct disk *d)
{
    static const struct volume_options options = {.cache_size = 512 << 10};
    struct disk *image = disk_crash(d, d->events % 2 ? CRASH_ALL : CRASH_RANDOM);
    struct volume *v = crash_mount(image, &options);
    struct volume_node *root, *node;
    unsigned *most = d->hook_arg, pairs = 0;
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    for (unsigned i = 0; i < 12; i++) {
        char name[16];
        bool both[2];
        for (unsigned half = 0; half < 2; half++) {
            int size = snprintf(name, sizeof(name), "%c%u", half ? 'y' : 'x', i);
            both[half] = volume_lookup(root, name, (size_t)size, &node) == 0;
            if (both[half])
                volume_node_put(node);
        }
        assert_int_equal(both[0], both[1]);
        pairs += both[0];
    }
    *most = MAX(*most, pairs);
    volume_node_put(root);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(image);
}

/* The first half dirties more than the cache would let stand. */
static void make_pair(struct volume *v, struct volume_node *root, unsigned number)
{
    struct volume_node *node;
    char name[16];
    assert_int_equal(volume_hold(v, 32), 0);
    for (unsigned half = 0; half < 2; half++) {
        int size = snprintf(name, sizeof(name), "%c%u", half ? 'y' : 'x', number);
        assert_int_equal(volume_create(root, name, (size_t)size, S_IFREG | 0644, 0, (struct volume_owner){0, 0}, &node),
                         0);
        for (uint64_t i = 0; i < 32 && half == 0; i++)
            assert_int_equal(volume_write(node, i * VOLUME_FANOUT * VOLUME_BLOCK_SIZE, "x", 1), 1);
        volume_fsync_along(node);
        volume_node_put(node);
    }
    volume_release(v);
}

static void test_hold(void **state)
{
    (void)state;
    struct volume_options options = {.cache_size = 256 << 10, .log_blocks = 60};
    struct disk *d = disk_formatted(2048);
    struct volume *v = crash_mount(d, &options);
    struct volume_node *root;
    unsigned pairs = 0;
    disk_seed(soak.seed);
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    d->hook = pairs_hook;
    d->hook_arg = &pairs;
    for (unsigned i = 0; i < 12; i++) {
        make_pair(v, root, i);
        if (i % 3 == 0)
            assert_int_equal(volume_fsync(root), 0);
    }
    d->hook = NULL;
    assert_true(pairs > 9);
    volume_node_put(root);
    crash_assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

static const struct volume_rekey rekey = {.unlock = disk_unlock, .arg = disk_key};

static void rekey_all(struct volume *v)
{
    int more = 1;
    while (more == 1)
        more = volume_rekey_step(v, 5);
    assert_int_equal(more, 0);
}

/* All of it is under the key of this generation, whose slot is the only one. */
static void assert_rekeyed(struct disk *d, uint32_t generation, const char *expected)
{
    struct volume_key_slot *slots = calloc(VOLUME_KEY_COUNT, sizeof(*slots));
    struct volume_info info;
    struct volume *v = crash_mount(d, NULL);
    unsigned used = 0;
    volume_get_info(v, &info);
    assert_false(info.rekeying);
    crash_assert_clean(v);
    char *text = volume_text(v);
    assert_text(text, expected, "rekeyed");
    free(text);
    assert_int_equal(volume_unmount(v), 0);
    assert_int_equal(volume_key_list(&d->io, slots), 0);
    for (unsigned i = 0; i < VOLUME_KEY_COUNT; i++) {
        used += slots[i].type != VOLUME_KEY_EMPTY;
        assert_true(slots[i].type == VOLUME_KEY_EMPTY || slots[i].master_generation == generation);
    }
    assert_int_equal(used, 1);
    free(slots);
}

struct rekey_crash {
    const char *expected;
    unsigned before, during, images;
};

/* A crash at each write and flush: the volume is there, under the old key or on its way, and gets to its end. */
static void rekey_hook(struct disk *d)
{
    struct rekey_crash *c = d->hook_arg;
    struct disk *image = disk_crash(d, (enum disk_crash)(c->images++ % CRASH_COUNT));
    struct volume_options options = {.cache_size = 512 << 10};
    struct volume_info info;
    struct volume *v = crash_mount(image, &options);
    char *text = volume_text(v);
    assert_text(text, c->expected, "crash while a key is replaced");
    free(text);
    volume_get_info(v, &info);
    crash_assert_clean(v);
    c->before += !info.rekeying;
    c->during += info.rekeying;
    if (!info.rekeying) { /* begin again, or it was done */
        assert_int_equal(volume_unmount(v), 0);
        options.rekey = &rekey;
        v = crash_mount(image, &options);
    }
    rekey_all(v);
    assert_int_equal(volume_unmount(v), 0);
    v = crash_mount(image, NULL);
    volume_get_info(v, &info);
    assert_false(info.rekeying);
    crash_assert_clean(v);
    text = volume_text(v);
    assert_text(text, c->expected, "rekeyed after a crash");
    free(text);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(image);
}

static void test_rekey_crash(void **state)
{
    (void)state;
    struct volume_options options = {.cache_size = 256 << 10, .log_blocks = 60};
    struct rekey_crash c = {0};
    struct disk *d = disk_formatted(1536);
    struct volume *v = crash_mount(d, &options);
    struct model m;
    model_init(&m);
    disk_seed(soak.seed);
    for (unsigned i = 0; i < 60; i++)
        model_change(&m, v);
    char *expected = model_text(&m, false);
    assert_int_equal(volume_unmount(v), 0);
    c.expected = expected;
    d->hook = rekey_hook;
    d->hook_arg = &c;
    options.rekey = &rekey;
    v = crash_mount(d, &options);
    rekey_all(v);
    d->hook = NULL;
    assert_int_equal(volume_unmount(v), 0);
    assert_rekeyed(d, 2, expected);
    assert_true(c.before > 3 && c.during > 5);
    free(expected);
    model_deinit(&m);
    disk_free(d);
}

/*
 * The k-th allocation fails: while a mount begins with a new key and goes through with it, or, in use, of the steps
 * with changes that are not durable. Nothing is lost, and a step that failed is done again. Whether there was a k-th.
 */
static bool rekey_without(const struct disk *base, bool in_use, unsigned long k)
{
    struct volume_options options = {.cache_size = 256 << 10, .log_blocks = 60, .rekey = in_use ? &rekey : NULL};
    struct disk *d = disk_clone(base);
    struct volume *v = crash_mount(d, &options);
    struct volume_info info;
    struct volume_node *root;
    int err = 0, more = 1;
    if (in_use) {
        assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
        make_pair(v, root, 0);
        volume_node_put(root);
    }
    char *expected = volume_text(v);
    options.rekey = &rekey;
    if (!in_use)
        assert_int_equal(volume_unmount(v), 0);
    disk_fail_alloc(k);
    if (!in_use)
        v = disk_mount(d, &options, &err);
    while (v && more == 1)
        more = volume_rekey_step(v, 5);
    bool hit = disk_alloc_failed();
    disk_fail_alloc(0);
    assert_true(hit || (v && more == 0));
    assert_true(v ? more == 0 || more == -ENOMEM : err == -ENOMEM);
    if (!v) { /* the volume is there, with the old key or on its way */
        v = crash_mount(d, NULL);
        volume_get_info(v, &info);
        if (!info.rekeying) {
            assert_int_equal(volume_unmount(v), 0);
            v = crash_mount(d, &options);
        }
    }
    char *text = volume_text(v);
    assert_text(text, expected, "an allocation failed while a key is replaced");
    free(text);
    uint64_t events = d->events;
    rekey_all(v);
    assert_true(more != -ENOMEM || d->events > events); /* there was something left to do */
    assert_int_equal(volume_unmount(v), 0);
    assert_rekeyed(d, 2, expected);
    free(expected);
    disk_free(d);
    return hit;
}

static void test_rekey_memory(void **state)
{
    (void)state;
    struct disk *d = disk_formatted(1024);
    struct volume *v = crash_mount(d, NULL);
    struct model m;
    unsigned count = 0;
    model_init(&m);
    disk_seed(soak.seed);
    for (unsigned i = 0; i < 40; i++)
        model_change(&m, v);
    assert_int_equal(volume_unmount(v), 0);
    for (unsigned in_use = 0; in_use < 2; in_use++)
        for (unsigned long k = 1; rekey_without(d, in_use, k); k++)
            count++;
    printf("%u allocations failed\n", count);
    assert_true(count > 40);
    model_deinit(&m);
    disk_free(d);
}

/* While it is in use: what is written meanwhile is there, and nothing is left under the old keys. */
static void test_rekey_in_use(void **state)
{
    (void)state;
    for (uint64_t seed = soak.seed; seed < soak.seed + 3 * soak.times; seed++) {
        struct volume_options options = {
            .cache_size = seed % 2 ? 256 << 10 : 4 << 20, .log_blocks = 60, .rekey = &rekey};
        struct disk *d = disk_formatted(2048);
        struct volume *v = crash_mount(d, NULL);
        struct model m;
        model_init(&m);
        disk_seed(seed);
        for (unsigned i = 0; i < 150; i++)
            model_change(&m, v);
        for (uint32_t generation = 2; generation < 5; generation++) {
            assert_int_equal(volume_unmount(v), 0);
            v = crash_mount(d, &options);
            for (int more = 1, i = 0; more == 1; i++) {
                model_change(&m, v);
                if (i % 3 == 0)
                    assert_true(model_sync(&m, v, model_pick_sync(&m)));
                if (i == 7) { /* the next mount goes on with it */
                    assert_int_equal(volume_unmount(v), 0);
                    v = crash_mount(d, &options);
                    assert_live(&m, v, "on its way");
                }
                more = volume_rekey_step(v, 3);
                assert_true(more >= 0);
            }
            assert_int_equal(volume_unmount(v), 0);
            char *expected = model_text(&m, false);
            assert_rekeyed(d, generation, expected);
            free(expected);
            v = crash_mount(d, NULL);
        }
        assert_int_equal(volume_unmount(v), 0);
        model_deinit(&m);
        disk_free(d);
    }
}

int main(int argc, char **argv)
{
    soak_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_random),      cmocka_unit_test(test_crash),
        cmocka_unit_test(test_hold),         cmocka_unit_test(test_rekey_crash), cmocka_unit_test(test_rekey_in_use),
        cmocka_unit_test(test_rekey_memory),
    };
    return cmocka_run_group_tests_name("volume", tests, NULL, NULL);
}

/* What the tools do to a volume as a whole: a crash at every write and flush of it, a full disk, no memory. */
#include <linux/errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "kernel/crypto/crypto.h"
#include "model.h"

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

static void resize_crash(uint64_t from, uint64_t to, uint64_t seed)
{
    struct disk *d = disk_filled(3000, from, seed, 250);
    struct crash c = {.sizes = {from, to}};
    struct volume *v = mount_good(d, false);
    c.text = volume_text(v);
    d->hook = crash_hook;
    d->hook_arg = &c;
    c.on = true;
    assert_int_equal(volume_resize(v, to, NULL, NULL), 0);
    c.on = false;
    assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    d->block_count = to < from ? to : d->block_count; /* what was cut off is not needed */
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
    for (uint64_t seed = 1; seed < 4; seed++) {
        resize_crash(2900, 1800, seed);
        resize_crash(1800, 2900, seed);
    }
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
    for (unsigned long k = 1;; k += 1 + k / 8) {
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

int main(int argc, char **argv)
{
    crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize_crash),
        cmocka_unit_test(test_resize_full),
        cmocka_unit_test(test_resize_fails),
        cmocka_unit_test(test_resize_groups),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("volume tools", tests, NULL, NULL);
}

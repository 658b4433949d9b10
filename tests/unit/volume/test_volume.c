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

#include "disk.h"
#include "kernel/crypto/crypto.h"
#include "model.h"

#include <cmocka.h>

static unsigned soak = 1; /* how many times as long as for each commit: COFRE_SOAK */
static uint64_t seed_first = 1;

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

static struct volume *mount_good(struct disk *d, const struct volume_options *options)
{
    int err;
    struct volume *v = disk_mount(d, options, &err);
    if (err != 0)
        fprintf(stderr, "mount gives %d after \"%s\"\n", err, model_trace);
    assert_int_equal(err, 0);
    return v;
}

static void test_empty(void **state)
{
    (void)state;
    struct disk *d = disk_formatted(1024);
    long live = disk_alloc_live();
    struct volume *v = mount_good(d, NULL);
    assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    assert_int_equal(disk_alloc_live(), live);
    disk_free(d);
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = seed_first; seed < seed_first + 4 * soak; seed++) {
        struct model m;
        struct disk *d = disk_formatted(2048);
        struct volume_options options = {.cache_size = seed % 2 ? 256 << 10 : 8 << 20, .log_blocks = 200};
        struct volume *v = mount_good(d, &options);
        model_init(&m);
        disk_seed(seed);
        for (unsigned i = 0; i < 600; i++) {
            if (disk_random() % 4 == 0)
                assert_true(model_sync(&m, v, model_pick_sync(&m)));
            else
                model_change(&m, v);
            if (i % 100 == 99) {
                assert_live(&m, v, "live");
                assert_clean(v);
            }
            if (i % 200 == 199) {
                assert_int_equal(volume_unmount(v), 0);
                v = mount_good(d, &options);
                assert_live(&m, v, "remounted");
                assert_clean(v);
            }
        }
        assert_int_equal(volume_unmount(v), 0);
        model_deinit(&m);
        disk_free(d);
    }
}

/* What a crash now may leave: texts of states. */
struct crash {
    char *allowed[8];
    unsigned allowed_count;
    unsigned every, seen; /* only each so many-th event */
    uint64_t images;
};

static void crash_check(struct crash *c, const struct disk *d, enum disk_crash how)
{
    static const struct volume_options options = {.cache_size = 512 << 10};
    struct disk *image = disk_crash(d, how);
    struct volume *v = mount_good(image, &options);
    char *got = volume_text(v);
    bool good = false;
    for (unsigned i = 0; i < c->allowed_count; i++)
        good = good || strcmp(got, c->allowed[i]) == 0;
    if (!good) {
        fprintf(stderr, "crash %d at event %lu: \"%s\"\n--- got\n%s", how, (unsigned long)d->events, model_trace, got);
        for (unsigned i = 0; i < c->allowed_count; i++)
            fprintf(stderr, "--- allowed\n%s", c->allowed[i]);
        fail();
    }
    assert_clean(v);
    free(got);
    assert_int_equal(volume_unmount(v), 0);
    c->images++;
    disk_free(image);
}

static void crash_hook(struct disk *d)
{
    struct crash *c = d->hook_arg;
    if (c->allowed_count == 0 || c->seen++ % c->every != 0)
        return;
    if (d->write_count == 0) {
        crash_check(c, d, CRASH_ALL);
        return;
    }
    for (unsigned how = CRASH_NONE; how < CRASH_COUNT; how++)
        crash_check(c, d, (enum disk_crash)how);
}

static void allow(struct crash *c, char *text)
{
    c->allowed[c->allowed_count++] = text;
}

static void allow_clear(struct crash *c)
{
    while (c->allowed_count > 0)
        free(c->allowed[--c->allowed_count]);
}

/* The model after this commit, without changing it. */
static char *text_after(const struct model *m, int node)
{
    struct model copy = *m;
    for (int i = 0; i < MODEL_NODES; i++) {
        struct model_bytes *b = &copy.nodes[i].durable;
        if (copy.nodes[i].used && (node == -1 || i == node || copy.nodes[i].along))
            *b = copy.nodes[i].live;
    }
    return model_text(&copy, true);
}

struct crash_run {
    struct model m;
    struct crash crash;
    struct disk *disk;
    struct volume *v;
    char *durable;
};

static void now_durable(struct crash_run *r, int node)
{
    model_commit(&r->m, node);
    free(r->durable);
    r->durable = model_text(&r->m, true);
}

static uint64_t generation(struct volume *v)
{
    struct volume_info info;
    volume_get_info(v, &info);
    return info.generation;
}

/* A crash in it leaves what was durable, or that and what it commits; or all, if it makes a checkpoint. */
static void sync_step(struct crash_run *r, int node)
{
    uint64_t before = generation(r->v);
    allow(&r->crash, strdup(r->durable));
    allow(&r->crash, text_after(&r->m, -1));
    allow(&r->crash, text_after(&r->m, node));
    assert_true(model_sync(&r->m, r->v, node));
    allow_clear(&r->crash);
    now_durable(r, generation(r->v) != before ? -1 : node);
}

/* One that syncs nothing may make a checkpoint, but only before it changes anything. */
static void change_step(struct crash_run *r)
{
    uint64_t before = generation(r->v);
    char *all = text_after(&r->m, -1);
    allow(&r->crash, strdup(r->durable));
    allow(&r->crash, strdup(all));
    model_change(&r->m, r->v);
    allow_clear(&r->crash);
    if (generation(r->v) != before) {
        free(r->durable);
        r->durable = strdup(all);
        sync_step(r, -1); /* so that the model knows again what is durable */
    }
    free(all);
}

static uint64_t crash_run(uint64_t seed, unsigned steps, unsigned every, const struct volume_options *options)
{
    struct crash_run r = {.crash = {.every = every},
                          .disk = disk_formatted(seed % 4 < 2 ? 800 : 1536)}; /* small: full soon */
    r.v = mount_good(r.disk, options);
    model_init(&r.m);
    disk_seed(seed);
    r.durable = model_text(&r.m, true);
    r.disk->hook = crash_hook;
    r.disk->hook_arg = &r.crash;
    for (unsigned i = 0; i < steps; i++) {
        if (disk_random() % 4 == 0)
            sync_step(&r, model_pick_sync(&r.m));
        else
            change_step(&r);
    }
    r.disk->hook = NULL;
    volume_abandon(r.v);
    free(r.durable);
    model_deinit(&r.m);
    disk_free(r.disk);
    return r.crash.images;
}

static void test_crash(void **state)
{
    (void)state;
    uint64_t images = 0;
    for (uint64_t seed = seed_first; seed < seed_first + 4 * soak; seed++) {
        struct volume_options options = {.cache_size = seed % 2 ? 256 << 10 : 4 << 20, .log_blocks = 60};
        images += crash_run(seed, 200, 1, &options);
    }
    printf("%lu crash images, %lu seals, no nonce twice\n", (unsigned long)images, (unsigned long)disk_seal_count());
}

/* What changed under one hold is there as a whole or not at all, whenever the crash comes. */
static void pairs_hook(struct disk *d)
{
    static const struct volume_options options = {.cache_size = 512 << 10};
    struct disk *image = disk_crash(d, d->events % 2 ? CRASH_ALL : CRASH_RANDOM);
    struct volume *v = mount_good(image, &options);
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
    struct volume *v = mount_good(d, &options);
    struct volume_node *root;
    unsigned pairs = 0;
    disk_seed(seed_first);
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
    assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

int main(int argc, char **argv)
{
    const char *soak_text = getenv("COFRE_SOAK"), *seed_text = getenv("COFRE_SEED");
    crypto_init();
    if (soak_text)
        soak = (unsigned)atoi(soak_text);
    if (seed_text)
        seed_first = strtoull(seed_text, NULL, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_hold),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("volume", tests, NULL, NULL);
}

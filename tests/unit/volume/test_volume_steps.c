/*
 * Every sequence of up to three operations out of a small set, synced in every way, with a crash at each write and
 * flush: most bugs of file systems need no more. And each single one with every allocation, every read and every write
 * failing in turn.
 *
 * A part of it for each commit; all of it with COFRE_SOAK.
 */
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

/* Before them: /a is a file of 5000 bytes (node 1), /b a folder (2) with an empty file a (3). */
static const struct model_step setup[] = {
    {"create a", MODEL_CREATE, {0, 0, 0, 1, 5}},
    {"create b/", MODEL_CREATE, {0, 1, 2, 1, 5}},
    {"create b/a", MODEL_CREATE, {2, 0, 0, 1, 5}},
    {"write a", MODEL_WRITE, {1, 1, 1, 4999, 1}},
};

static const struct model_step steps[] = {
    {"create c", MODEL_CREATE, {0, 2, 0, 1, 5}},
    {"create b/b/", MODEL_CREATE, {2, 1, 2, 1, 5}},
    {"symlink b/c", MODEL_CREATE, {2, 2, 3, 0, 2000}},
    {"link d to a", MODEL_LINK, {0, 1, 3}},
    {"unlink a", MODEL_UNLINK, {0, 0}},
    {"unlink b/a", MODEL_UNLINK, {2, 0}},
    {"rmdir b", MODEL_UNLINK, {0, 1}},
    {"rename a over b/a", MODEL_RENAME, {0, 2, 0, 0, 0}},
    {"rename b/a over a", MODEL_RENAME, {2, 0, 0, 0, 0}},
    {"exchange a and b/a", MODEL_RENAME, {0, 2, 0, 0, 4}},
    {"rename b to e", MODEL_RENAME, {0, 0, 1, 4, 0}},
    {"append 100 bytes to a", MODEL_WRITE, {1, 1, 0, 99, 1}},
    {"write 4200 bytes at the start of a", MODEL_WRITE, {1, 1, 1, 4199, 0, 1, 0}},
    {"append 20000 bytes to b/a", MODEL_WRITE, {3, 0, 19999, 1}},
    {"truncate a to 1000", MODEL_CUT, {1, 1, 1000, 0, 1, 1}},
    {"punch 5000 bytes at the start of a", MODEL_CUT, {1, 1, 0, 4999, 0}},
    {"chmod a", MODEL_ATTR, {1, 1, 0, 1, 0700, 5}},
    {"setxattr b", MODEL_ATTR, {0, 2, 0, 0, 1, 0, 5, 1}},
};
#define STEPS (sizeof(steps) / sizeof(steps[0]))

static struct disk *formatted; /* once: each run has a copy */

static void start(struct crash_run *r)
{
    crash_run_start(r, disk_clone(formatted), &(struct volume_options){.cache_size = 256 << 10});
    for (size_t i = 0; i < sizeof(setup) / sizeof(setup[0]); i++)
        model_do(&r->m, r->v, &setup[i]);
    assert_true(r->m.nodes[1].used && r->m.nodes[3].used && r->m.nodes[1].live.size == 5000);
    assert_true(model_sync(&r->m, r->v, -1));
    model_commit(&r->m, -1);
}

static void assert_same(struct crash_run *r, const char *what)
{
    char *got = volume_text(r->v), *expected = model_text(&r->m, false);
    if (strcmp(got, expected) != 0)
        fprintf(stderr, "%s: \"%s\"\n--- got\n%s--- expected\n%s", what, model_trace, got, expected);
    assert_string_equal(got, expected);
    free(got);
    free(expected);
}

static uint64_t images;

static void sync_some(struct crash_run *r, int node)
{
    if (node <= 0 || r->m.nodes[node].used)
        crash_run_sync(r, node);
}

/* middle: what is synced between the steps, 0 for nothing; last: at the end. */
static void run_sequence(const unsigned *sequence, unsigned count, int middle, int last)
{
    struct crash_run r;
    start(&r);
    crash_run_watch(&r);
    r.crash.recovery_every = 101;
    for (unsigned i = 0; i < count; i++) {
        crash_run_change(&r, &steps[sequence[i]]);
        if (middle && i + 1 < count)
            sync_some(&r, middle);
    }
    sync_some(&r, last);
    assert_same(&r, "live");
    crash_assert_clean(r.v);
    images += r.crash.images;
    crash_run_end(&r);
}

static void test_sequences(void **state)
{
    (void)state;
    static const int lasts[] = {1, 3, -1};
    unsigned sequence[3], runs = 0, number = 0;
    for (unsigned count = 1; count <= 3; count++) {
        unsigned total = count == 1 ? STEPS : count == 2 ? STEPS * STEPS : STEPS * STEPS * STEPS;
        unsigned one_in = soak.on      ? 1
                          : count == 1 ? 1
                          : count == 2 ? 29
                                       : 2003; /* primes: not always the same last step */
        for (unsigned at = 0; at < total; at++)
            for (unsigned how = 0; how < 6; how++, number++) {
                if (number % one_in != 0 || (count == 1 && how >= 3) || !soak_mine(number))
                    continue;
                for (unsigned i = 0, rest = at; i < count; i++, rest /= STEPS)
                    sequence[i] = rest % STEPS;
                run_sequence(sequence, count, how < 3 ? 0 : 1, lasts[how % 3]);
                runs++;
            }
    }
    printf("%u sequences, %lu crash images\n", runs, (unsigned long)images);
    assert_true(images > runs);
}

enum fault { FAULT_ALLOC, FAULT_READ, FAULT_WRITE };

/*
 * The k-th allocation, read or write in a step and the sync after it fails. Without memory or on a failed read nothing
 * has happened, or all: the volume goes on. After a failed write it accepts no change; what is there is the old state
 * or the new.
 */
static bool run_fault(const struct model_step *step, enum fault fault, unsigned k)
{
    struct crash_run r;
    start(&r);
    assert_int_equal(volume_unmount(r.v), 0);
    r.v = crash_mount(r.disk, NULL); /* nothing is in memory */
    char *before = model_text(&r.m, true);
    if (fault == FAULT_ALLOC)
        disk_fail_alloc(k);
    else if (fault == FAULT_READ)
        r.disk->fail_read_at = r.disk->read_events + k;
    else
        r.disk->fail_at = r.disk->events + k;
    model_do(&r.m, r.v, step);
    bool synced = model_sync(&r.m, r.v, -1);
    bool hit = fault == FAULT_ALLOC  ? disk_alloc_failed()
               : fault == FAULT_READ ? r.disk->read_events >= r.disk->fail_read_at
                                     : r.disk->events >= r.disk->fail_at;
    disk_fail_alloc(0);
    r.disk->fail_at = r.disk->fail_read_at = 0;
    assert_true(synced || hit);
    assert_int_equal(volume_failed(r.v), fault == FAULT_WRITE && hit ? -EIO : 0);
    if (fault != FAULT_WRITE) {
        if (step->kind == MODEL_CUT) /* one that fails may have cut less; it can be had again */
            model_do(&r.m, r.v, step);
        assert_same(&r, "after the fault");
        assert_true(model_sync(&r.m, r.v, -1));
        crash_assert_clean(r.v);
    }
    volume_abandon(r.v);
    r.v = crash_mount(r.disk, NULL);
    char *got = volume_text(r.v), *after = model_text(&r.m, false);
    assert_true(strcmp(got, after) == 0 || (fault == FAULT_WRITE && strcmp(got, before) == 0));
    crash_assert_clean(r.v);
    free(got);
    free(after);
    free(before);
    crash_run_end(&r);
    return hit;
}

static void test_faults(void **state)
{
    (void)state;
    static const char *const names[] = {"allocations", "reads", "writes and flushes"};
    for (int fault = FAULT_ALLOC; fault <= FAULT_WRITE; fault++) {
        unsigned count = 0;
        for (unsigned i = 0; i < STEPS; i++)
            for (unsigned k = 1; run_fault(&steps[i], (enum fault)fault, k); k++)
                count++;
        printf("%u %s failed\n", count, names[fault]);
        assert_true(count > STEPS);
    }
}

/* A volume that has room for `room` blocks more, and no other. */
static void fill(struct volume *v, uint64_t room)
{
    static const uint8_t block[VOLUME_BLOCK_SIZE] = {1};
    struct volume_node *root, *node;
    uint64_t offset = 0;
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    assert_int_equal(volume_create(root, "filler", 6, S_IFREG | 0600, 0, (struct volume_owner){0, 0}, &node), 0);
    while (volume_write(node, offset, block, sizeof(block)) == (ssize_t)sizeof(block))
        offset += sizeof(block);
    assert_int_equal(volume_write(node, offset, block, sizeof(block)), -ENOSPC);
    assert_true(offset > room * sizeof(block));
    assert_int_equal(volume_truncate(node, offset - room * sizeof(block)), 0);
    for (unsigned i = 0; i < 3; i++) /* what was freed becomes usable after two */
        assert_int_equal(volume_checkpoint(v), 0);
    volume_node_put(node);
    volume_node_put(root);
}

/*
 * No block but so many: a step is done or refused before it changes anything, what was done can always be synced and
 * survives a crash, and the file that filled the volume can be removed. True if the step was done.
 */
static bool run_full(const struct model_step *step, uint64_t room)
{
    struct crash_run r;
    struct volume_node *root;
    start(&r);
    fill(r.v, room);
    char *before = model_text(&r.m, false);
    model_do(&r.m, r.v, step);
    assert_true(model_sync(&r.m, r.v, -1));
    assert_int_equal(volume_failed(r.v), 0);
    crash_assert_clean(r.v);
    volume_abandon(r.v);
    r.v = crash_mount(r.disk, NULL);
    crash_assert_clean(r.v);
    assert_int_equal(volume_node_get(r.v, VOLUME_ROOT_INO, &root), 0);
    assert_int_equal(volume_unlink(root, "filler", 6), 0);
    volume_node_put(root);
    assert_same(&r, "full");
    assert_int_equal(volume_checkpoint(r.v), 0);
    crash_assert_clean(r.v);
    char *after = model_text(&r.m, false);
    bool done = strcmp(before, after) != 0;
    free(before);
    free(after);
    crash_run_end(&r);
    return done;
}

static void test_room(void **state)
{
    (void)state;
    unsigned done = 0, refused = 0;
    for (unsigned i = 0; i < STEPS; i++)
        for (uint64_t room = 0; room < 40; room += soak.on ? 1 : 3) {
            if (run_full(&steps[i], room))
                done++;
            else
                refused++;
        }
    printf("%u steps with little room done, %u refused\n", done, refused);
    assert_true(done > 50 && refused > 10);
}

/* The sets of syncs that wait for one another: one write and one flush for all, and all of it survives. */
static void test_group_commit(void **state)
{
    (void)state;
    enum { FILES = 8 };
    struct volume_node *root, *nodes[FILES], *node;
    struct disk *d = disk_clone(formatted);
    struct volume *v = crash_mount(d, NULL);
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    for (int i = 0; i < FILES; i++) {
        char name = (char)('0' + i);
        assert_int_equal(volume_create(root, &name, 1, S_IFREG | 0600, 0, (struct volume_owner){0, 0}, &nodes[i]), 0);
        assert_int_equal(volume_write(nodes[i], 0, "old", 3), 3);
    }
    assert_int_equal(volume_sync(v), 0);
    for (int i = 0; i < FILES; i++)
        assert_int_equal(volume_write(nodes[i], 0, "new", 3), 3);
    uint64_t writes = d->write_events, flushes = d->flushes, blocks = d->blocks_written;
    for (int i = 0; i < FILES - 1; i++)
        volume_fsync_along(nodes[i]);
    assert_int_equal(volume_fsync(nodes[FILES - 1]), 0);
    assert_int_equal(d->write_events - writes, 1);
    assert_int_equal(d->flushes - flushes, 1);
    assert_int_equal(d->blocks_written - blocks, 1);
    for (int i = 0; i < FILES; i++) {
        assert_int_equal(volume_fsync(nodes[i]), 0); /* there is nothing left to do */
        volume_node_put(nodes[i]);
    }
    assert_int_equal(d->write_events - writes, 1);
    volume_node_put(root);
    struct disk *crashed = disk_crash(d, CRASH_NONE);
    volume_abandon(v);
    v = crash_mount(crashed, NULL);
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    for (int i = 0; i < FILES; i++) {
        char name = (char)('0' + i), got[4] = "";
        assert_int_equal(volume_lookup(root, &name, 1, &node), 0);
        assert_int_equal(volume_read(node, 0, got, 3), 3);
        assert_string_equal(got, "new");
        volume_node_put(node);
    }
    volume_node_put(root);
    crash_assert_clean(v);
    volume_abandon(v);
    disk_free(crashed);
    disk_free(d);
}

int main(int argc, char **argv)
{
    soak_begin(argc, argv);
    formatted = disk_formatted(512);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_commit),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_sequences),
    };
    return cmocka_run_group_tests_name("volume steps", tests, NULL, NULL);
}

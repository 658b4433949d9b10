/*
 * Long runs: what is read or written in order is announced to the disk, written before it is asked for, and leaves the
 * rest of the cache alone; with a crash at each write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include "crash.h"
#include "kernel/crypto/crypto.h"

#include <cmocka.h>

#define CACHE_BLOCKS 512
#define FILE_BLOCKS 1500 /* more than the cache */
#define PIECE 16         /* blocks in one call */
#define HOT_BLOCKS 32

static const struct volume_options options = {.cache_size = CACHE_BLOCKS * VOLUME_BLOCK_SIZE};

static struct volume_node *make(struct volume *v, const char *name)
{
    struct volume_node *root, *node;
    assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
    if (volume_lookup(root, name, strlen(name), &node) < 0)
        assert_int_equal(volume_create(root, name, strlen(name), S_IFREG | 0644, 0, (struct volume_owner){0, 0}, &node),
                         0);
    volume_node_put(root);
    return node;
}

static void block_of(uint64_t index, unsigned version, uint64_t ret_block[VOLUME_BLOCK_SIZE / 8])
{
    for (unsigned i = 0; i < VOLUME_BLOCK_SIZE / 8; i++)
        ret_block[i] = index << 32 | version << 16 | i;
}

/* In calls of some blocks and a few bytes more or less, so that they do not end where blocks do. */
static void write_in_order(struct volume_node *node, uint64_t blocks, unsigned version)
{
    uint8_t *data = malloc(blocks * VOLUME_BLOCK_SIZE);
    uint64_t size = blocks * VOLUME_BLOCK_SIZE;
    for (uint64_t i = 0; i < blocks; i++)
        block_of(i, version, (uint64_t *)(data + i * VOLUME_BLOCK_SIZE));
    for (uint64_t at = 0, n; at < size; at += n) {
        n = MIN(size - at, (uint64_t)PIECE * VOLUME_BLOCK_SIZE + at / VOLUME_BLOCK_SIZE % 3 * 100);
        assert_int_equal(volume_write(node, at, data + at, n), n);
    }
    free(data);
}

/* Each block is of one of these two versions, whole. */
static void assert_contents(struct volume_node *node, uint64_t blocks, unsigned version, unsigned other)
{
    uint64_t got[VOLUME_BLOCK_SIZE / 8], one[VOLUME_BLOCK_SIZE / 8], two[VOLUME_BLOCK_SIZE / 8];
    for (uint64_t i = 0; i < blocks; i++) {
        assert_int_equal(volume_read(node, i * VOLUME_BLOCK_SIZE, got, sizeof(got)), sizeof(got));
        block_of(i, version, one);
        block_of(i, other, two);
        assert_true(memcmp(got, one, sizeof(got)) == 0 || memcmp(got, two, sizeof(got)) == 0);
    }
}

static void test_written_behind(void **state)
{
    (void)state;
    struct disk *d = disk_formatted(8192);
    struct volume *v = crash_mount(d, &(struct volume_options){.cache_size = 16 << 20});
    struct volume_node *node = make(v, "file");
    uint64_t before = d->blocks_written;
    write_in_order(node, FILE_BLOCKS, 1);
    uint64_t behind = d->blocks_written - before; /* less than half of what may be dirty */
    assert_in_range(behind, FILE_BLOCKS - 300, FILE_BLOCKS);
    assert_int_equal(volume_fsync(node), 0);
    assert_in_range(d->blocks_written - before, FILE_BLOCKS, FILE_BLOCKS + 100); /* none of them twice */
    assert_contents(node, FILE_BLOCKS, 1, 1);
    volume_node_put(node);
    assert_int_equal(volume_unmount(v), 0);
    v = crash_mount(d, NULL);
    crash_assert_clean(v);
    node = make(v, "file");
    assert_contents(node, FILE_BLOCKS, 1, 1);
    volume_node_put(node);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

/* Without a sync a crash leaves each block old or new; never anything else, nor a volume that is not clean. */
static void crash_hook(struct disk *d)
{
    if (d->events % 7 != 0)
        return;
    struct disk *image = disk_crash(d, (enum disk_crash)(d->events / 7 % CRASH_COUNT));
    struct volume *v = crash_mount(image, &options);
    struct volume_node *node = make(v, "file");
    assert_int_equal(volume_node_inode(node)->size, FILE_BLOCKS * VOLUME_BLOCK_SIZE);
    assert_contents(node, FILE_BLOCKS, 1, 2);
    volume_node_put(node);
    crash_assert_clean(v);
    volume_abandon(v);
    disk_free(image);
    ++*(unsigned *)d->hook_arg;
}

static void test_crash(void **state)
{
    (void)state;
    unsigned images = 0;
    struct disk *d = disk_formatted(8192);
    struct volume *v = crash_mount(d, &options);
    struct volume_node *node = make(v, "file");
    write_in_order(node, FILE_BLOCKS, 1);
    assert_int_equal(volume_fsync(node), 0);
    d->hook = crash_hook;
    d->hook_arg = &images;
    write_in_order(node, FILE_BLOCKS, 2);
    assert_int_equal(volume_fsync(node), 0);
    d->hook = NULL;
    assert_in_range(images, 3, 100);
    volume_node_put(node);
    volume_abandon(v);

    v = crash_mount(d, &options); /* what was synced is there */
    node = make(v, "file");
    assert_contents(node, FILE_BLOCKS, 2, 2);
    volume_node_put(node);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

static uint64_t reads_of(struct disk *d, struct volume_node *node, uint64_t blocks)
{
    uint64_t before = d->read_events;
    uint8_t data[VOLUME_BLOCK_SIZE];
    for (uint64_t i = 0; i < blocks; i++)
        assert_int_equal(volume_read(node, i * VOLUME_BLOCK_SIZE, data, sizeof(data)), sizeof(data));
    return d->read_events - before;
}

static void test_cache_survives(void **state)
{
    (void)state;
    struct disk *d = disk_formatted(8192);
    struct volume *v = crash_mount(d, &options);
    struct volume_node *hot = make(v, "hot"), *file = make(v, "file");
    write_in_order(hot, HOT_BLOCKS, 1);
    write_in_order(file, FILE_BLOCKS, 1); /* longer than the cache: known from here on */
    assert_int_equal(volume_fsync(file), 0);
    assert_in_range(reads_of(d, hot, HOT_BLOCKS), 1, HOT_BLOCKS); /* the first such run drove it out */
    assert_int_equal(reads_of(d, hot, HOT_BLOCKS), 0);
    write_in_order(file, FILE_BLOCKS, 2);
    assert_int_equal(volume_fsync(file), 0);
    assert_int_equal(reads_of(d, hot, HOT_BLOCKS), 0);
    assert_in_range(reads_of(d, file, FILE_BLOCKS), 1, FILE_BLOCKS); /* a run of reads, its first */
    assert_in_range(reads_of(d, hot, HOT_BLOCKS), 0, HOT_BLOCKS);
    assert_in_range(reads_of(d, file, FILE_BLOCKS), 1, FILE_BLOCKS); /* and its next */
    assert_int_equal(reads_of(d, hot, HOT_BLOCKS), 0);
    volume_node_put(hot);
    volume_node_put(file);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

static void assert_version(const uint8_t *got, uint64_t at, uint64_t size, const uint8_t *versions)
{
    uint64_t expected[VOLUME_BLOCK_SIZE / 8];
    for (uint64_t i = at / VOLUME_BLOCK_SIZE; i * VOLUME_BLOCK_SIZE < at + size; i++) {
        uint64_t from = MAX(at, i * VOLUME_BLOCK_SIZE), to = MIN(at + size, (i + 1) * VOLUME_BLOCK_SIZE);
        block_of(i, versions[i], expected);
        if (versions[i] == 0)
            memset(expected, 0, sizeof(expected));
        assert_memory_equal(got + (from - at), (uint8_t *)expected + from % VOLUME_BLOCK_SIZE, to - from);
    }
}

/* In calls of many blocks. Did one fail? What the others gave is right. */
static bool read_until_error(struct volume_node *node, const uint8_t *versions)
{
    static uint8_t got[PIECE * VOLUME_BLOCK_SIZE];
    uint64_t size = FILE_BLOCKS * VOLUME_BLOCK_SIZE;
    for (uint64_t at = 0; at < size;) {
        uint64_t n = MIN(size - at, (uint64_t)PIECE * VOLUME_BLOCK_SIZE);
        ssize_t moved = volume_read(node, at, got, n);
        if (moved < 0) {
            assert_int_equal(moved, -EIO);
            return true;
        }
        assert_version(got, at, (uint64_t)moved, versions);
        at += (uint64_t)moved;
    }
    return false;
}

static void read_pieces(struct volume_node *node, const uint8_t *versions)
{
    assert_false(read_until_error(node, versions));
}

/* Long runs of large reads leave the cache alone, see what is changed in it, holes, and what the disk spoils. */
static void test_past_the_cache(void **state)
{
    (void)state;
    static uint8_t versions[FILE_BLOCKS];
    struct disk *d = disk_formatted(8192);
    struct volume *v = crash_mount(d, &options);
    struct volume_node *hot = make(v, "hot"), *file = make(v, "file");
    uint64_t block[VOLUME_BLOCK_SIZE / 8];
    write_in_order(hot, HOT_BLOCKS, 1);
    write_in_order(file, FILE_BLOCKS, 1);
    assert_int_equal(volume_sync(v), 0);
    memset(versions, 1, sizeof(versions));
    read_pieces(file, versions); /* known as a long one from here on */
    assert_in_range(reads_of(d, hot, HOT_BLOCKS), 0, HOT_BLOCKS);
    read_pieces(file, versions);
    assert_int_equal(reads_of(d, hot, HOT_BLOCKS), 0);
    for (uint64_t i = 5; i < FILE_BLOCKS; i += 97) { /* not on the disk yet */
        block_of(i, versions[i] = 2, block);
        assert_int_equal(volume_write(file, i * VOLUME_BLOCK_SIZE, block, sizeof(block)), sizeof(block));
    }
    assert_int_equal(volume_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 300 * VOLUME_BLOCK_SIZE,
                                      50 * VOLUME_BLOCK_SIZE),
                     0);
    memset(versions + 300, 0, 50);
    read_pieces(file, versions);
    assert_int_equal(volume_sync(v), 0);
    read_pieces(file, versions);

    unsigned stopped = 0;
    for (uint64_t i = 100; i < d->block_count; i += 211) { /* a bit of some block, whatever is in it */
        d->data[i * VOLUME_BLOCK_SIZE + 1234] ^= 4;
        stopped += read_until_error(file, versions);
        d->data[i * VOLUME_BLOCK_SIZE + 1234] ^= 4;
    }
    assert_in_range(stopped, 3, 20);
    read_pieces(file, versions);
    volume_node_put(hot);
    volume_node_put(file);
    crash_assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

static void test_forget(void **state)
{
    (void)state;
    struct disk *d = disk_formatted(4096);
    struct volume *v = crash_mount(d, &options);
    struct volume_node *hot = make(v, "hot"), *other = make(v, "other");
    uint64_t block[VOLUME_BLOCK_SIZE / 8];
    write_in_order(hot, HOT_BLOCKS, 1);
    write_in_order(other, HOT_BLOCKS, 1);
    volume_forget(hot, 0, UINT64_MAX); /* not one of them is on the disk yet */
    assert_int_equal(reads_of(d, hot, HOT_BLOCKS), 0);
    assert_int_equal(volume_sync(v), 0);
    assert_int_equal(reads_of(d, hot, HOT_BLOCKS), 0);
    block_of(3, 2, block);
    assert_int_equal(volume_write(hot, 3 * VOLUME_BLOCK_SIZE, block, sizeof(block)), sizeof(block));
    volume_forget(hot, 1, HOT_BLOCKS - 1);
    assert_int_equal(reads_of(d, hot, 1), 0);
    assert_int_equal(reads_of(d, other, HOT_BLOCKS), 0);
    assert_contents(hot, HOT_BLOCKS, 1, 2);
    assert_int_equal(volume_read(hot, 3 * VOLUME_BLOCK_SIZE, block, sizeof(block)), sizeof(block));
    assert_int_equal(block[0] >> 16 & 0xffff, 2);
    volume_forget(hot, 1, HOT_BLOCKS - 1);
    assert_in_range(reads_of(d, hot, HOT_BLOCKS), 1, HOT_BLOCKS);
    volume_node_put(hot);
    volume_node_put(other);
    crash_assert_clean(v);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

/* ---- what is announced ---- */

static struct {
    uint64_t blocks, refused, again;
    uint8_t seen[8192];
} announced;

static bool note_announced(void *arg, uint64_t block, uint64_t count)
{
    (void)arg;
    assert_in_range(count, 1, 64);
    if (announced.blocks / 64 % 5 == 4 && announced.refused++ % 2 == 0)
        return false; /* busy, for once */
    for (uint64_t i = block; i < block + count; i++)
        announced.again += announced.seen[i]++ > 0;
    announced.blocks += count;
    return true;
}

static void test_announced(void **state)
{
    (void)state;
    struct disk *d = disk_formatted(8192);
    struct volume *v = crash_mount(d, &options);
    struct volume_node *node = make(v, "file");
    uint64_t block[VOLUME_BLOCK_SIZE / 8];
    write_in_order(node, FILE_BLOCKS, 1);
    volume_node_put(node);
    assert_int_equal(volume_unmount(v), 0);
    memset(&announced, 0, sizeof(announced));
    d->io.read_ahead = note_announced;
    v = crash_mount(d, &options);
    node = make(v, "file");
    for (uint64_t i = 0; i < FILE_BLOCKS; i++) {
        assert_int_equal(volume_read(node, i * VOLUME_BLOCK_SIZE, block, sizeof(block)), sizeof(block));
        assert_int_equal(block[0] >> 32, i);
        assert_true(announced.blocks <= 2 * i + 2 * 64); /* never more than was read, and the read under way */
    }
    assert_in_range(announced.blocks, FILE_BLOCKS * 9 / 10, FILE_BLOCKS);
    assert_int_equal(announced.again, 0);
    assert_true(announced.refused > 0);

    memset(&announced, 0, sizeof(announced)); /* here and there: nothing is */
    for (uint64_t i = 0; i < FILE_BLOCKS; i++)
        assert_int_equal(volume_read(node, i * 7919 % FILE_BLOCKS * VOLUME_BLOCK_SIZE, block, sizeof(block)),
                         sizeof(block));
    assert_int_equal(announced.blocks, 0);
    volume_node_put(node);
    assert_int_equal(volume_unmount(v), 0);
    disk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_behind), cmocka_unit_test(test_crash),     cmocka_unit_test(test_cache_survives),
        cmocka_unit_test(test_forget),         cmocka_unit_test(test_announced), cmocka_unit_test(test_past_the_cache),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

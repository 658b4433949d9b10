/* A volume's file is filled with zeros while it is written: what was written stays, and no hole is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/volume_fill.h"

#include <cmocka.h>

#define BLOCK 4096
#define SIZE (160ULL << 20) /* more than is filled ahead of the first writes */
#define BLOCKS (SIZE / BLOCK)

static int make_file(void)
{
    char path[] = "/var/tmp/cofre-fill-XXXXXX"; /* not a memory file system, where there may be one */
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)SIZE), 0);
    return fd;
}

static void write_block(struct volume_fill *f, uint64_t index)
{
    uint64_t words[BLOCK / 8];
    for (size_t i = 0; i < BLOCK / 8; i++)
        words[i] = index + 1;
    volume_fill_pause(f);
    assert_int_equal(pwrite(f->fd, words, BLOCK, (off_t)(index * BLOCK)), BLOCK);
    volume_fill_resume(f, (index + 1) * BLOCK);
}

static uint64_t first_hole(int fd)
{
    off_t hole = lseek(fd, 0, SEEK_HOLE);
    assert_true(hole >= 0);
    return (uint64_t)hole;
}

static void wait_filled(int fd, uint64_t end)
{
    for (unsigned i = 0; i < 6000 && first_hole(fd) < end; i++)
        usleep(10000);
    assert_true(first_hole(fd) >= end);
}

static void test_race(void **state)
{
    (void)state;
    static uint8_t written[BLOCKS];
    struct volume_fill f;
    int fd = make_file();
    uint64_t x = 1;
    if (first_hole(fd) == SIZE)
        skip(); /* this file system does not tell what was never written */
    assert_int_equal(volume_fill_start(&f, fd, SIZE), 0);
    for (unsigned i = 0; i < 4000; i++) { /* where the thread is just now, and anywhere before its target */
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        uint64_t hole = first_hole(fd) / BLOCK,
                 index = i % 2 ? (x >> 33) % (VOLUME_FILL_AHEAD / BLOCK) : hole + (x >> 33) % 96;
        if (index >= VOLUME_FILL_AHEAD / BLOCK)
            continue;
        write_block(&f, index);
        written[index] = 1;
    }
    wait_filled(fd, VOLUME_FILL_AHEAD);
    assert_true(first_hole(fd) < SIZE); /* the rest is not wanted yet */
    write_block(&f, BLOCKS / 2);
    written[BLOCKS / 2] = 1;
    wait_filled(fd, SIZE / 2 + VOLUME_FILL_AHEAD);
    volume_fill_stop(&f);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        uint64_t words[BLOCK / 8];
        assert_int_equal(pread(fd, words, BLOCK, (off_t)(i * BLOCK)), BLOCK);
        assert_int_equal(words[0], written[i] ? i + 1 : 0);
        assert_memory_equal(words, words + 1, BLOCK - 8);
    }
    close(fd);
}

static void test_holes(void **state)
{
    (void)state;
    int fd = make_file();
    bool written;
    if (first_hole(fd) == SIZE)
        skip();
    assert_int_equal(pwrite(fd, "x", 1, 5 * BLOCK), 1);
    assert_true(volume_fill_holes(fd, 0, 16 * BLOCK, &written));
    assert_true(written);
    assert_true(first_hole(fd) >= 16 * BLOCK);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, 5 * BLOCK), 1);
    assert_int_equal(byte, 'x');
    assert_true(volume_fill_holes(fd, 0, 16 * BLOCK, &written));
    assert_false(written);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_holes), cmocka_unit_test(test_race)};
    return cmocka_run_group_tests_name("volume fill", tests, NULL, NULL);
}

/* Long reads of a volume's file past the host's page cache. */
#include "host/volume_direct.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096
#define PIECE (256U << 10)
#define AREA_SIZE (2UL << 20)
#define FILE_SIZE (2 * VOLUME_DIRECT_REGION + 5 * PAGE)

static char name[] = "/var/tmp/cofre-direct-XXXXXX"; /* not a memory file system, where there may be one */
static char contents[FILE_SIZE];
static int fd, direct_fd;
static struct volume_direct direct;

static void forget(void)
{
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static bool cached(uint64_t offset)
{
    unsigned char there;

    assert_int_equal(mincore((char *)direct.file + offset, PAGE, &there), 0);
    return there & 1;
}

/* Reading ahead takes a moment. */
static bool soon_cached(uint64_t offset)
{
    struct timespec moment = {.tv_nsec = 1000000};

    for (int i = 0; i < 2000 && !cached(offset); i++)
        nanosleep(&moment, NULL);
    return cached(offset);
}

static int setup(void **state)
{
    (void)state;
    memcpy(name + sizeof(name) - 7, "XXXXXX", 6);
    fd = mkstemp(name);
    assert_true(fd >= 0);
    for (size_t i = 0; i < FILE_SIZE; i++)
        contents[i] = (char)(i / PAGE + i % 251);
    assert_int_equal(pwrite(fd, contents, FILE_SIZE, 0), FILE_SIZE);
    direct_fd = open(name, O_RDWR | O_DIRECT);
    char *area = volume_direct_area(AREA_SIZE, PAGE);
    assert_non_null(area);
    volume_direct_init(&direct, direct_fd, fd, FILE_SIZE, area, AREA_SIZE);
    forget();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    munmap(direct.file, FILE_SIZE);
    munmap(direct.area, AREA_SIZE + PAGE);
    free(direct.wanted);
    close(direct_fd);
    close(fd);
    return unlink(name);
}

/* Where this cannot be had there is nothing to test but that nothing is read. */
static void need_direct(void)
{
    if (volume_direct_read(&direct, 0, direct.area, PIECE))
        return;
    if (direct_fd >= 0 && !cached(VOLUME_DIRECT_REGION - PAGE) && direct.huge)
        fail_msg("not read, though it could be");
    skip();
}

static void read_is(uint64_t offset, size_t size)
{
    memset(direct.area, 0, size);
    assert_true(volume_direct_read(&direct, offset, direct.area, size));
    assert_memory_equal(direct.area, contents + offset, size);
}

static void test_area(void **state)
{
    (void)state;
    assert_int_equal((uintptr_t)direct.area % AREA_SIZE, 0);
    memset(direct.area, 1, AREA_SIZE + PAGE);
}

static void test_leaves_the_last_page(void **state)
{
    (void)state;
    need_direct();
    for (uint64_t at = 0; at < VOLUME_DIRECT_REGION; at += PIECE)
        read_is(at, PIECE);
    assert_true(soon_cached(VOLUME_DIRECT_REGION - PAGE));
    for (uint64_t at = 0; at < VOLUME_DIRECT_REGION - PAGE; at += PAGE)
        assert_false(cached(at));
    /* the end of the file is that of a region */
    read_is(2 * VOLUME_DIRECT_REGION, 5 * PAGE);
    assert_true(soon_cached(FILE_SIZE - PAGE));
    assert_false(cached(FILE_SIZE - 2 * PAGE));
    /* over the end of one */
    read_is(2 * VOLUME_DIRECT_REGION - PIECE, PIECE);
    assert_true(soon_cached(2 * VOLUME_DIRECT_REGION - PAGE));
}

static void mark(uint64_t region)
{
    read_is((region + 1) * VOLUME_DIRECT_REGION - PIECE, PIECE);
    assert_true(soon_cached((region + 1) * VOLUME_DIRECT_REGION - PAGE));
}

/* The page cache's turn: it has what it reads. */
static void is_cached_from_now(uint64_t offset)
{
    assert_false(volume_direct_read(&direct, offset, direct.area, PIECE));
    assert_int_equal(pread(fd, direct.area, PIECE, (off_t)offset), PIECE);
}

static void test_cached_the_second_time(void **state)
{
    (void)state;
    need_direct();
    mark(0);
    for (uint64_t at = 0; at < VOLUME_DIRECT_REGION; at += PIECE)
        is_cached_from_now(at);
    for (uint64_t at = 0; at < VOLUME_DIRECT_REGION; at += PAGE)
        assert_true(cached(at));
    is_cached_from_now(0);
    read_is(VOLUME_DIRECT_REGION, PIECE); /* another region was not read before */
    forget();                             /* as a host does that needs the memory */
    read_is(0, PIECE);
    read_is(VOLUME_DIRECT_REGION - PIECE, PIECE);
}

static void test_nothing_in_the_way_of_reading_ahead(void **state)
{
    (void)state;
    need_direct();
    mark(0);
    mark(1);
    is_cached_from_now(VOLUME_DIRECT_REGION / 2); /* from the middle on: the start is not asked for */
    assert_false(cached(2 * VOLUME_DIRECT_REGION - PAGE));
    is_cached_from_now(VOLUME_DIRECT_REGION - PIECE);
    for (uint64_t at = VOLUME_DIRECT_REGION; at < 2 * VOLUME_DIRECT_REGION; at += PIECE)
        is_cached_from_now(at);
    forget();
    read_is(0, PIECE);
    read_is(VOLUME_DIRECT_REGION, PIECE);
}

static void test_sees_what_was_written(void **state)
{
    (void)state;
    need_direct();
    memset(contents + PAGE, 7, 3 * PAGE);
    assert_int_equal(pwrite(fd, contents + PAGE, 3 * PAGE, PAGE), 3 * PAGE);
    read_is(0, PIECE);
}

static void test_elsewhere(void **state)
{
    (void)state;
    need_direct();
    assert_false(volume_direct_read(&direct, FILE_SIZE, direct.area, PIECE));
    assert_false(volume_direct_read(&direct, 2 * VOLUME_DIRECT_REGION, direct.area, 6 * PAGE)); /* the file ends */
    assert_int_equal(ftruncate(fd, PIECE), 0);
    assert_false(volume_direct_read(&direct, PIECE - PAGE, direct.area, 2 * PAGE));
    assert_false(volume_direct_read(&direct, VOLUME_DIRECT_REGION, direct.area, PIECE));
}

static void test_small_pages(void **state)
{
    struct volume_direct small;
    char *area = volume_direct_area(AREA_SIZE, 0);

    (void)state;
    assert_int_equal(madvise(area, AREA_SIZE, MADV_NOHUGEPAGE), 0);
    volume_direct_init(&small, direct_fd, fd, FILE_SIZE, area, AREA_SIZE);
    assert_false(volume_direct_read(&small, 0, area, PIECE));
    assert_false(volume_direct_read(&small, 0, area, PIECE));
    munmap(area, AREA_SIZE);
    munmap(small.file, FILE_SIZE);
    free(small.wanted);
}

static void test_no_direct_file(void **state)
{
    struct volume_direct none;

    (void)state;
    volume_direct_init(&none, -1, fd, FILE_SIZE, direct.area, AREA_SIZE);
    assert_false(volume_direct_read(&none, 0, direct.area, PIECE));
    munmap(none.file, FILE_SIZE);
    free(none.wanted);
    volume_direct_init(&none, direct_fd, fd, 0, direct.area, AREA_SIZE); /* a file without a page */
    assert_false(volume_direct_read(&none, 0, direct.area, PIECE));
    free(none.wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_area, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaves_the_last_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cached_the_second_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_in_the_way_of_reading_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sees_what_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_direct_file, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

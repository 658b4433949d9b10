/* tmpfs through the system calls: names, data, permissions, and running out of memory at every allocation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hosted.h"

#include <linux/errno.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/page_map.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"

static int setup(void **state)
{
    struct super_block *sb = tmpfs_new(0, 0755);
    if (!sb || vfs_mount("/", sb, 0) < 0)
        return -1;
    hosted_init();
    hosted_process.fs = fs_context_new();
    return 0;
}

static int64_t put_file(const char *path, const char *text)
{
    int64_t fd = CALL3(open, path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (fd < 0)
        return fd;
    int64_t n = CALL3(write, fd, text, strlen(text));
    CALL1(close, fd);
    return n;
}

static const char *get_file(const char *path)
{
    static char text[256];
    int64_t fd = CALL3(open, path, O_RDONLY, 0);
    if (fd < 0)
        return NULL;
    int64_t n = CALL3(read, fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = 0;
    CALL1(close, fd);
    return text;
}

static void names_lead_to_files(void **state)
{
    assert_int_equal(put_file("/a", "one"), 3);
    assert_string_equal(get_file("/a"), "one");
    assert_int_equal(CALL2(mkdir, "/d", 0755), 0);
    assert_int_equal(CALL2(rename, "/a", "/d/b"), 0);
    assert_null(get_file("/a"));
    assert_string_equal(get_file("/d/b"), "one");
    assert_int_equal(CALL2(link, "/d/b", "/c"), 0);
    assert_int_equal(CALL1(unlink, "/d/b"), 0);
    assert_string_equal(get_file("/c"), "one");
    assert_int_equal(CALL2(symlink, "c", "/l"), 0);
    assert_string_equal(get_file("/l"), "one");
    assert_int_equal(CALL1(unlink, "/l"), 0);
    assert_int_equal(CALL1(unlink, "/c"), 0);
    assert_int_equal(CALL1(rmdir, "/d"), 0);
    assert_int_equal(CALL3(open, "/c", O_RDONLY, 0), -ENOENT);
}

static void renaming_keeps_cached_children(void **state)
{
    assert_int_equal(CALL2(mkdir, "/r", 0755), 0);
    assert_int_equal(put_file("/r/with-a-name-longer-than-what-is-inline-in-a-dentry", "x"), 1);
    assert_int_equal(CALL2(rename, "/r", "/s"), 0);
    assert_string_equal(get_file("/s/with-a-name-longer-than-what-is-inline-in-a-dentry"), "x");
    assert_int_equal(CALL2(mkdir, "/r", 0755), 0);
    assert_null(get_file("/r/with-a-name-longer-than-what-is-inline-in-a-dentry"));
    assert_int_equal(CALL5(renameat2, AT_FDCWD, "/r", AT_FDCWD, "/s", RENAME_EXCHANGE), 0);
    assert_string_equal(get_file("/r/with-a-name-longer-than-what-is-inline-in-a-dentry"), "x");
    assert_int_equal(CALL1(unlink, "/r/with-a-name-longer-than-what-is-inline-in-a-dentry"), 0);
    assert_int_equal(CALL1(rmdir, "/r"), 0);
    assert_int_equal(CALL1(rmdir, "/s"), 0);
}

static void negative_names_are_forgotten_when_made(void **state)
{
    assert_null(get_file("/n"));
    assert_null(get_file("/n"));
    assert_int_equal(put_file("/n", "now"), 3);
    assert_string_equal(get_file("/n"), "now");
    assert_int_equal(CALL1(unlink, "/n"), 0);
    assert_null(get_file("/n"));
}

static void the_name_cache_is_bounded(void **state)
{
    char path[64];
    long before = hosted_alloc_live();
    for (int i = 0; i < 3 * DENTRY_UNUSED_MAX; i++) {
        snprintf(path, sizeof(path), "/none-%d", i);
        assert_null(get_file(path));
    }
    assert_true(hosted_alloc_live() - before <= DENTRY_UNUSED_MAX + 1);
    dentry_shrink(SIZE_MAX);
    assert_true(hosted_alloc_live() - before <= 1);
}

static void permissions_hold(void **state)
{
    assert_int_equal(put_file("/secret", "s"), 1);
    assert_int_equal(CALL2(chmod, "/secret", 0600), 0);
    hosted_set_user(1000, 1000);
    assert_int_equal(CALL3(open, "/secret", O_RDONLY, 0), -EACCES);
    assert_int_equal(CALL1(unlink, "/secret"), -EACCES);
    assert_int_equal(CALL2(chmod, "/secret", 0666), -EPERM);
    assert_int_equal(CALL2(mkdir, "/mine", 0755), -EACCES);
    hosted_set_user(0, 0);
    assert_int_equal(CALL1(unlink, "/secret"), 0);
}

static void data_keeps_its_holes(void **state)
{
    char buf[64];
    int64_t fd = CALL3(open, "/sparse", O_CREAT | O_RDWR, 0644);
    assert_true(fd >= 0);
    assert_int_equal(CALL4(pwrite64, fd, "x", 1, 1 << 20), 1);
    assert_int_equal(CALL4(pread64, fd, buf, 10, (1 << 20) - 5), 6);
    assert_int_equal(buf[4], 0);
    assert_int_equal(buf[5], 'x');
    assert_int_equal(CALL3(lseek, fd, 0, SEEK_DATA), 1 << 20);
    assert_int_equal(CALL4(pwrite64, fd, "y", 1, 1LL << 40), 1);
    assert_int_equal(CALL3(lseek, fd, (1 << 20) + 4096, SEEK_DATA), 1LL << 40);
    assert_int_equal(CALL4(fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1LL << 40, 1), 0);
    assert_int_equal(CALL4(pread64, fd, buf, 1, 1LL << 40), 1);
    assert_int_equal(buf[0], 0);
    assert_int_equal(CALL2(ftruncate, fd, 10), 0);
    assert_int_equal(CALL2(ftruncate, fd, 1 << 21), 0);
    assert_int_equal(CALL4(pread64, fd, buf, 1, 1 << 20), 1);
    assert_int_equal(buf[0], 0);
    CALL1(close, fd);
    CALL1(unlink, "/sparse");
}

/* Files leave the kernel some of its heap: what is there can be used and removed. */
static void a_full_heap_is_no_room(void **state)
{
    char page[4096] = "";
    int64_t fd = CALL3(open, "/grows", O_CREAT | O_RDWR, 0644);
    assert_int_equal(CALL3(write, fd, page, sizeof(page)), sizeof(page));
    hosted_room_for_files = 0;
    assert_int_equal(CALL3(write, fd, page, sizeof(page)), -ENOSPC);
    assert_int_equal(CALL4(pwrite64, fd, page, sizeof(page), 0), sizeof(page));
    assert_int_equal(CALL3(open, "/another", O_CREAT | O_RDWR, 0644), -ENOSPC);
    assert_int_equal(CALL2(mkdir, "/folder", 0755), -ENOSPC);
    assert_int_equal(CALL2(symlink, "grows", "/link"), -ENOSPC);
    CALL1(close, fd);
    assert_int_equal(CALL1(unlink, "/grows"), 0);
    hosted_room_for_files = UINT64_MAX;
}

static void size_limits_hold(void **state)
{
    char page[4096] = "";
    assert_int_equal(CALL2(mkdir, "/small", 0755), 0);
    assert_int_equal(vfs_mount("/small", tmpfs_new(3 * 4096, 01777), 0), 0);
    int64_t fd = CALL3(open, "/small/f", O_CREAT | O_RDWR, 0644);
    for (int i = 0; i < 3; i++)
        assert_int_equal(CALL3(write, fd, page, sizeof(page)), sizeof(page));
    assert_int_equal(CALL3(write, fd, page, sizeof(page)), -ENOSPC);
    assert_int_equal(CALL2(ftruncate, fd, 4096), 0);
    assert_int_equal(CALL4(pwrite64, fd, page, sizeof(page), 0), sizeof(page));
    assert_int_equal(CALL4(pwrite64, fd, page, sizeof(page), 8192), sizeof(page));
    CALL1(close, fd);
    assert_int_equal(CALL1(unlink, "/small/f"), 0);
    assert_int_equal(CALL2(rename, "/small", "/x"), -EBUSY);
    assert_int_equal(CALL1(rmdir, "/small"), -EBUSY);
}

static void page_maps_find_what_was_put(void **state)
{
    static const uint64_t indices[] = {0, 1, 63, 64, 4095, 4096, 1 << 20, 1ULL << 40, (1ULL << 52) - 1, UINT64_MAX};
    struct page_map map = {0};
    uint64_t index, found;
    for (size_t i = 0; i < ARRAY_COUNT(indices); i++)
        assert_int_equal(page_map_set(&map, indices[i], (void *)(i + 1)), 0);
    index = 0;
    for (size_t i = 0; i < ARRAY_COUNT(indices); i++) {
        assert_int_equal((uintptr_t)page_map_get(&map, indices[i]), i + 1);
        assert_int_equal((uintptr_t)page_map_next(&map, index, &found), i + 1);
        assert_int_equal(found, indices[i]);
        index = found + 1;
    }
    assert_null(page_map_get(&map, 2));
    for (size_t i = 0; i < ARRAY_COUNT(indices); i++)
        assert_int_equal((uintptr_t)page_map_remove(&map, indices[i]), i + 1);
    assert_null(map.root);
}

/* Everything that allocates; each step may fail, nothing may break. */
static void busy_day(void)
{
    char long_name[200];
    memset(long_name, 'n', sizeof(long_name));
    long_name[0] = '/';
    long_name[sizeof(long_name) - 1] = 0;
    CALL2(mkdir, "/w", 0755);
    put_file("/w/a", "text");
    put_file(long_name, "text");
    CALL2(rename, long_name, "/w/c");
    CALL2(link, "/w/a", "/w/b");
    CALL2(symlink, "/w/a", "/w/l");
    get_file("/w/l");
    CALL5(setxattr, "/w/a", "user.x", "value", 5, 0);
    CALL2(rename, "/w/a", "/w/b2");
    CALL5(renameat2, AT_FDCWD, "/w/b", AT_FDCWD, "/w/b2", RENAME_EXCHANGE);
    int64_t fd = CALL3(open, "/w/big", O_CREAT | O_RDWR, 0644);
    CALL4(pwrite64, fd, "x", 1, 1ULL << 30);
    CALL4(fallocate, fd, 0, 0, 16384);
    CALL2(flock, fd, 2);
    CALL1(close, fd);
    fd = CALL2(memfd_create, "m", 0);
    CALL2(dup2, fd, 900);
    CALL1(close, fd);
    CALL1(close, 900);
}

static void tidy(void)
{
    static const char *const files[] = {"/w/a", "/w/b", "/w/b2", "/w/c", "/w/l", "/w/big"};
    char long_name[200];
    memset(long_name, 'n', sizeof(long_name));
    long_name[0] = '/';
    long_name[sizeof(long_name) - 1] = 0;
    for (size_t i = 0; i < ARRAY_COUNT(files); i++)
        CALL1(unlink, files[i]);
    CALL1(unlink, long_name);
    assert_true(CALL1(rmdir, "/w") == 0 || get_file("/w") == NULL);
    CALL3(close_range, 0, ~0u, 0);
    dentry_shrink(SIZE_MAX);
}

/* Beyond the last descriptor all are free; a look at a table that was large may find a larger number first. */
static void descriptors_have_an_end(void **state)
{
    struct fd_table *table = hosted_process.files, *copy;
    assert_int_equal(fd_table_end(table), 0);
    assert_true(put_file("/end", "x") > 0);
    int a = (int)CALL3(open, "/end", O_RDONLY, 0), b = (int)CALL3(open, "/end", O_RDONLY, 0);
    assert_int_equal(fd_table_end(table), b + 1);
    CALL1(close, a);
    assert_int_equal(fd_table_end(table), b + 1);
    assert_int_equal(CALL2(dup2, b, 900), 900);
    assert_int_equal(fd_table_end(table), 901);
    copy = fd_table_copy(table);
    assert_int_equal(fd_table_end(copy), 901);
    fd_table_put(copy);
    CALL1(close, 900);
    unsigned end = 901, before;
    do {
        before = end;
        end = fd_table_end(table);
        assert_true(end >= (unsigned)b + 1 && end <= before);
    } while (end != before);
    assert_int_equal(end, b + 1);
    CALL1(close, b);
    assert_int_equal(fd_table_end(table), 0);
    assert_int_equal(CALL1(unlink, "/end"), 0);
}

static void every_allocation_may_fail(void **state)
{
    busy_day();
    tidy();
    long before = hosted_alloc_live();
    for (unsigned long n = 1;; n++) {
        hosted_fail_alloc(n);
        busy_day();
        bool done = !hosted_alloc_failed();
        hosted_fail_alloc(0);
        tidy();
        assert_int_equal(hosted_alloc_live(), before);
        if (done)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_to_files),
        cmocka_unit_test(renaming_keeps_cached_children),
        cmocka_unit_test(negative_names_are_forgotten_when_made),
        cmocka_unit_test(the_name_cache_is_bounded),
        cmocka_unit_test(permissions_hold),
        cmocka_unit_test(data_keeps_its_holes),
        cmocka_unit_test(a_full_heap_is_no_room),
        cmocka_unit_test(size_limits_hold),
        cmocka_unit_test(page_maps_find_what_was_put),
        cmocka_unit_test(descriptors_have_an_end),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("vfs", tests, setup, NULL);
}

/* Applying layers: the rules of the image specification, and hostile archives. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/digest.h"
#include "tests/unit/image/fixture.h"

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    fixture_init(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    free(*state);
    return 0;
}

static void assert_contents(struct fixture *f, const char *path, const char *wanted)
{
    char *contents = fixture_contents(f, path);

    assert_string_equal(contents, wanted);
    free(contents);
}

static void entries_keep_their_metadata(void **state)
{
    struct fixture *f = *state;

    tarball_add(&f->tar, &(struct tar_entry){"a", '0', 04751, 12, 34, 1234567, NULL, "abc", 3});
    tarball_add(&f->tar, &(struct tar_entry){"d/", '5', 01777, 1, 2, 99});
    tarball_add(&f->tar, &(struct tar_entry){"d/null", '3', 0666, .major = 1, .minor = 3});
    tarball_add(&f->tar, &(struct tar_entry){"d/fifo", '6', 0600});
    tarball_symlink(&f->tar, "d/link", "../a");
    assert_int_equal(fixture_apply(f), 0);
    struct inode *a = fixture_inode(f, "a");
    assert_int_equal(a->mode, S_IFREG | 04751);
    assert_int_equal(a->uid, 12);
    assert_int_equal(a->gid, 34);
    assert_int_equal(a->mtime, 1234567);
    assert_int_equal(fixture_inode(f, "d")->mode, S_IFDIR | 01777);
    assert_int_equal(fixture_inode(f, "d/null")->rdev_minor, 3);
    assert_int_equal(fixture_inode(f, "d/fifo")->mode, S_IFIFO | 0600);
    assert_string_equal(fixture_inode(f, "d/link")->target, "../a");
    assert_contents(f, "a", "abc");
}

static void missing_parents_are_made(void **state)
{
    struct fixture *f = *state;

    tarball_file(&f->tar, "./x/y/z", "z");
    assert_int_equal(fixture_apply(f), 0);
    assert_int_equal(fixture_inode(f, "x/y")->mode, S_IFDIR | 0755);
    assert_contents(f, "x/y/z", "z");
}

static void the_root_entry_sets_the_root(void **state)
{
    struct fixture *f = *state;

    tarball_add(&f->tar, &(struct tar_entry){"./", '5', 0700, 5, 6, 7});
    assert_int_equal(fixture_apply(f), 0);
    assert_int_equal(f->layers.tree->root->mode, S_IFDIR | 0700);
    assert_int_equal(f->layers.tree->root->uid, 5);
    assert_int_equal(f->layers.tree->inode_count, 1);
}

static void a_whiteout_hides_lower_layers_only(void **state)
{
    struct fixture *f = *state;

    tarball_file(&f->tar, "a", "old");
    tarball_file(&f->tar, "d/old", "old");
    assert_int_equal(fixture_apply(f), 0);
    tarball_file(&f->tar, "d/new", "new");
    tarball_file(&f->tar, ".wh.a", "");
    tarball_file(&f->tar, ".wh.d", "");
    tarball_file(&f->tar, "d/.wh.new", "");
    tarball_file(&f->tar, "not/there/.wh.x", "");
    assert_int_equal(fixture_apply(f), 0);
    assert_null(fixture_inode(f, "a"));
    assert_null(fixture_inode(f, "d/old"));
    assert_null(fixture_inode(f, "not"));
    assert_contents(f, "d/new", "new");
}

static void an_opaque_directory_hides_what_was_in_it(void **state)
{
    struct fixture *f = *state;

    tarball_file(&f->tar, "d/sub/old", "old");
    tarball_file(&f->tar, "d/old", "old");
    assert_int_equal(fixture_apply(f), 0);
    tarball_file(&f->tar, "d/sub/new", "new");
    tarball_file(&f->tar, "d/.wh..wh..opq", "");
    assert_int_equal(fixture_apply(f), 0);
    assert_null(fixture_inode(f, "d/old"));
    assert_null(fixture_inode(f, "d/sub/old"));
    assert_contents(f, "d/sub/new", "new");
}

static void types_change_between_layers(void **state)
{
    struct fixture *f = *state;

    tarball_file(&f->tar, "dir/x", "x");
    tarball_file(&f->tar, "file", "f");
    tarball_symlink(&f->tar, "link", "dir");
    assert_int_equal(fixture_apply(f), 0);
    tarball_file(&f->tar, "dir", "now a file");
    tarball_dir(&f->tar, "file/");
    tarball_dir(&f->tar, "link/");
    assert_int_equal(fixture_apply(f), 0);
    assert_contents(f, "dir", "now a file");
    assert_true(S_ISDIR(fixture_inode(f, "file")->mode));
    assert_true(S_ISDIR(fixture_inode(f, "link")->mode));
    assert_int_equal(f->layers.tree->root->dir.subdirectory_count, 2);
}

static void hard_links_reach_earlier_layers(void **state)
{
    struct fixture *f = *state;

    tarball_file(&f->tar, "a", "one");
    assert_int_equal(fixture_apply(f), 0);
    tarball_link(&f->tar, "b", "./a");
    tarball_link(&f->tar, "c", "b");
    tarball_link(&f->tar, "c", "a");
    assert_int_equal(fixture_apply(f), 0);
    assert_ptr_equal(fixture_inode(f, "a"), fixture_inode(f, "c"));
    assert_int_equal(fixture_inode(f, "a")->dentry_count, 3);
    tarball_file(&f->tar, "a", "two");
    assert_int_equal(fixture_apply(f), 0);
    assert_int_equal(fixture_inode(f, "b")->dentry_count, 2);
    assert_contents(f, "b", "one");
    assert_contents(f, "a", "two");
}

/* What is replaced holds the only other name of the link's target. */
static void a_hard_link_may_replace_the_directory_of_its_target(void **state)
{
    struct fixture *f = *state;

    tarball_file(&f->tar, "d/x", "x");
    tarball_link(&f->tar, "d", "d/x");
    assert_int_equal(fixture_apply(f), 0);
    assert_contents(f, "d", "x");
    assert_int_equal(fixture_inode(f, "d")->dentry_count, 1);
}

static void the_last_of_duplicates_counts(void **state)
{
    struct fixture *f = *state;

    tarball_file(&f->tar, "a", "first");
    tarball_file(&f->tar, "./a", "second");
    assert_int_equal(fixture_apply(f), 0);
    assert_contents(f, "a", "second");
    assert_int_equal(f->layers.tree->inode_count, 2);
}

static void lower_links_are_followed_inside_the_root(void **state)
{
    struct fixture *f = *state;

    tarball_dir(&f->tar, "usr/lib/");
    tarball_symlink(&f->tar, "lib", "usr/lib");
    tarball_symlink(&f->tar, "abs", "/usr/lib");
    assert_int_equal(fixture_apply(f), 0);
    tarball_file(&f->tar, "lib/a", "a");
    tarball_file(&f->tar, "abs/b", "b");
    assert_int_equal(fixture_apply(f), 0);
    assert_contents(f, "usr/lib/a", "a");
    assert_contents(f, "usr/lib/b", "b");
    assert_true(S_ISLNK(fixture_inode(f, "lib")->mode));
}

static void escapes_are_refused(void **state)
{
    static const struct {
        const char *name, *link, *entry, *error;
    } cases[] = {
        {NULL, NULL, "../x", "\"..\""},
        {NULL, NULL, "a/../../x", "\"..\""},
        {NULL, NULL, "a/..", "\"..\""},
        {NULL, NULL, "/etc/passwd", "absolute"},
        {NULL, NULL, ".//../x", "\"..\""},
        {"out", "../../tmp", "out/x", "out of the root"},
        {"out", "..", "out/x", "out of the root"},
        {"out", "/tmp", "out/x", "symbolic link \"out\""},
        {"out", "out", "out/x", "too many symbolic links"},
        {"out", "sub/../../tmp", "out/x", ""},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        fixture_init(&f);
        tarball_dir(&f.tar, "sub/");
        if (cases[i].link)
            tarball_symlink(&f.tar, cases[i].name, cases[i].link);
        tarball_file(&f.tar, cases[i].entry, "escaped");
        fixture_refuse(&f, cases[i].error);
        assert_non_null(strstr(f.error, "layer 1"));
        assert_non_null(strstr(f.error, cases[i].entry));
        fixture_free(&f);
    }
}

static void bad_entries_are_refused(void **state)
{
    static const struct {
        struct tar_entry entry;
        const char *error;
    } cases[] = {
        {{"x", '1', .link = "nowhere"}, "does not exist"},
        {{"x", '1', .link = "dir"}, "is a directory"},
        {{"x", '1', .link = "../out"}, "\"..\""},
        {{"x", '1', .link = "."}, "is a directory"},
        {{"file/x", '0'}, "not a directory"},
        {{".", '0'}, "the root is not a directory"},
        {{"x", '2'}, "without a target"},
        {{"dir/.wh.", '0'}, "whiteout of nothing"},
        {{"dir/.wh..", '0'}, "whiteout of nothing"},
        {{"dir/.wh...", '0'}, "whiteout of nothing"},
        {{".wh.dir/x", '0'}, "through a whiteout"},
        {{"x", '3', .major = 4096}, "device number"},
        {{"x", '4', .minor = 1 << 20}, "device number"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        fixture_init(&f);
        tarball_dir(&f.tar, "dir/");
        tarball_file(&f.tar, "file", "");
        tarball_add(&f.tar, &cases[i].entry);
        fixture_refuse(&f, cases[i].error);
        fixture_free(&f);
    }
}

static void owners_out_of_range_are_refused(void **state)
{
    struct fixture *f = *state;

    tarball_pax(&f->tar, "uid", "4294967295", 10);
    tarball_file(&f->tar, "x", "");
    fixture_refuse(f, "out of range");
}

static void names_are_bytes(void **state)
{
    static const char *const names[] = {"nfd-e\xcc\x81", "nfc-\xc3\xa9", "bytes-\xff\xfe", "new\nline"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        tarball_pax(&f->tar, "path", names[i], strlen(names[i]));
        tarball_file(&f->tar, "short", names[i]);
    }
    assert_int_equal(fixture_apply(f), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_contents(f, names[i], names[i]);
}

static void names_too_long_are_refused(void **state)
{
    char name[6000];
    (void)state;

    for (int i = 0; i < 2; i++) {
        struct fixture f;
        fixture_init(&f);
        memset(name, 'n', sizeof(name));
        for (size_t at = 200; i == 1 && at < sizeof(name); at += 200)
            name[at] = '/';
        tarball_pax(&f.tar, "path", name, i == 0 ? 256 : sizeof(name));
        tarball_file(&f.tar, "short", "");
        fixture_refuse(&f, i == 0 ? "longer than 255" : "longer than 4095");
        fixture_free(&f);
    }
}

static void depth_is_bounded_through_links(void **state)
{
    struct fixture *f = *state;
    char path[2100] = "";

    for (int i = 0; i < 1000; i++)
        strcat(path, "d/");
    tarball_pax(&f->tar, "path", path, strlen(path));
    tarball_dir(&f->tar, "short/");
    for (int i = 0; i < 3; i++) {
        char name[16], link[4096];
        snprintf(name, sizeof(name), "l%d", i);
        snprintf(link, sizeof(link), "%s%s", i ? (i == 1 ? "l0/" : "l1/") : "", path);
        tarball_pax(&f->tar, "linkpath", link, strlen(link));
        tarball_symlink(&f->tar, name, "short");
        snprintf(link, sizeof(link), "%s/%sx", name, path);
        tarball_pax(&f->tar, "path", link, strlen(link));
        tarball_file(&f->tar, "short", "");
    }
    fixture_refuse(f, "deep");
}

static void xattrs_are_kept_sorted(void **state)
{
    struct fixture *f = *state;

    tarball_pax(&f->tar, "SCHILY.xattr.user.b", "\0\1\2", 3);
    tarball_file(&f->tar, "x", "x");
    assert_int_equal(fixture_apply(f), 0);
    struct xattrs *xattrs = fixture_inode(f, "x")->xattrs;
    assert_non_null(xattrs);
    assert_int_equal(xattrs->count, 1);
    assert_string_equal(xattrs->items[0].name, "user.b");
    assert_memory_equal(xattrs->items[0].value, "\0\1\2", 3);
    struct xattr items[] = {{"user.z", "1", 1}, {"user.a", "2", 1}, {"user.z", "3", 1}};
    struct xattrs *sorted = xattrs_new(items, 3);
    assert_int_equal(sorted->count, 2);
    assert_string_equal(sorted->items[0].name, "user.a");
    assert_memory_equal(sorted->items[1].value, "1", 1);
    free(sorted);
}

static void xattrs_nobody_can_store_are_counted(void **state)
{
    struct fixture *f = *state;

    tarball_pax(&f->tar, "SCHILY.xattr.com.apple.quarantine", "q", 1);
    tarball_file(&f->tar, "x", "x");
    assert_int_equal(fixture_apply(f), 0);
    assert_null(fixture_inode(f, "x")->xattrs);
    assert_int_equal(f->layers.xattrs_dropped, 1);
}

static void xattrs_too_large_are_refused(void **state)
{
    struct fixture *f = *state;
    char *value = calloc(1, 65536);

    tarball_pax(&f->tar, "SCHILY.xattr.user.large", value, 65536);
    tarball_file(&f->tar, "x", "x");
    free(value);
    fixture_refuse(f, "more than 65535 bytes");
}

static void negative_times_keep_their_fraction(void **state)
{
    struct fixture *f = *state;

    tarball_pax(&f->tar, "mtime", "-1.25", 5);
    tarball_file(&f->tar, "x", "x");
    assert_int_equal(fixture_apply(f), 0);
    assert_int_equal(fixture_inode(f, "x")->mtime, -2);
    assert_int_equal(fixture_inode(f, "x")->mtime_nsec, 750000000);
}

/* Damage */

static void fill(struct fixture *f)
{
    char *data = malloc(200000);

    for (int i = 0; i < 200000; i++)
        data[i] = (char)(i * 7919 >> 5);
    tarball_add(&f->tar, &(struct tar_entry){"data", '0', 0644, .data = data, .size = 200000});
    tarball_end(&f->tar);
    free(data);
}

static void digest_text(const struct tarball *tar, char text[DIGEST_TEXT_SIZE])
{
    uint8_t hash[SHA256_SIZE];

    sha256_of(tar->bytes, tar->size, hash);
    digest_format(hash, text);
}

static void digests_are_checked(void **state)
{
    char digest[DIGEST_TEXT_SIZE], diff_id[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
    (void)state;

    memset(other, '0', sizeof(other));
    memcpy(other, "sha256:", 7);
    other[DIGEST_TEXT_SIZE - 1] = 0;
    for (int i = 0; i < 6; i++) {
        struct fixture f;
        fixture_init(&f);
        fill(&f);
        digest_text(&f.tar, diff_id);
        if (i < 3)
            tarball_gzip(&f.tar);
        digest_text(&f.tar, digest);
        int result = fixture_apply_raw(&f, i % 3 == 1 ? other : digest, i % 3 == 2 ? other : diff_id);
        assert_int_equal(result, i % 3 == 0 ? 0 : -1);
        if (i % 3)
            assert_non_null(strstr(f.error, "digest does not match"));
        fixture_free(&f);
    }
}

/* A damaged blob is told by its digest, whatever else it breaks; without one by what breaks, or by what came out. */
static void damage_is_found(void **state)
{
    char digest[DIGEST_TEXT_SIZE], diff_id[DIGEST_TEXT_SIZE];
    (void)state;

    for (int i = 0; i < 8; i++) {
        struct fixture f;
        fixture_init(&f);
        fill(&f);
        digest_text(&f.tar, diff_id);
        if (i < 4)
            tarball_gzip(&f.tar);
        digest_text(&f.tar, digest);
        if (i % 2)
            f.tar.size /= 2;
        else
            f.tar.bytes[f.tar.size / 3] ^= 0x55;
        bool known = i % 4 < 2;
        assert_int_equal(fixture_apply_raw(&f, known ? digest : NULL, diff_id), -1);
        if (known)
            assert_non_null(strstr(f.error, "its digest does not match"));
        fixture_free(&f);
    }
}

static void malformed_headers_are_refused(void **state)
{
    static const char record[] = "99 path=x\n";
    struct fixture *f = *state;

    tarball_add(&f->tar, &(struct tar_entry){.name = "pax", .type = 'x', .data = record, .size = sizeof(record) - 1});
    tarball_file(&f->tar, "x", "x");
    fixture_refuse(f, "pax");
}

static void garbage_is_refused(void **state)
{
    struct fixture *f = *state;

    f->tar.size = 5000;
    f->tar.bytes = malloc(f->tar.size);
    memset(f->tar.bytes, 'g', f->tar.size);
    assert_int_equal(fixture_apply_raw(f, NULL, NULL), -1);
    assert_non_null(strstr(f->error, "layer 1"));
}

static void an_empty_blob_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fixture_apply_raw(f, NULL, NULL), -1);
    assert_non_null(strstr(f->error, "empty"));
}

/* Limits */

static void unpacked_size_is_limited(void **state)
{
    struct fixture *f = *state;

    f->layers.limits.size_max = 100000;
    fill(f);
    tarball_gzip(&f->tar);
    assert_int_equal(fixture_apply_raw(f, NULL, NULL), -1);
    assert_non_null(strstr(f->error, "limit of 100000 bytes"));
}

static void sparse_files_count_with_their_size(void **state)
{
    struct fixture *f = *state;

    /* One pax header with all records of the 1.0 format; the map is at the start of the data. */
    static const char records[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n24 GNU.sparse.name=hole\n"
                                  "40 GNU.sparse.realsize=1099511627776000\n";
    char map[512] = "1\n0\n0\n";
    tarball_add(&f->tar, &(struct tar_entry){.name = "pax", .type = 'x', .data = records, .size = sizeof(records) - 1});
    tarball_add(&f->tar, &(struct tar_entry){.name = "x", .type = '0', .data = map, .size = sizeof(map)});
    fixture_refuse(f, "larger than the limit");
}

static void entries_are_limited(void **state)
{
    struct fixture *f = *state;

    f->layers.limits.entry_max = 2;
    for (int i = 0; i < 3; i++)
        tarball_file(&f->tar, "x", "");
    fixture_refuse(f, "more than 2 entries");
}

static void a_full_disk_is_an_error(void **state)
{
    struct fixture *f = *state;
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);

    assert_true(full >= 0);
    assert_true(dup2(full, f->fd) >= 0);
    close(full);
    for (int i = 0; i < 10; i++) {
        char name[16];
        char *data = calloc(1, 200000);
        snprintf(name, sizeof(name), "f%d", i);
        tarball_add(&f->tar, &(struct tar_entry){name, '0', 0644, .data = data, .size = 200000});
        free(data);
    }
    fixture_refuse(f, "No space left on device");
}

static void space_of_replaced_files_is_closed(void **state)
{
    struct fixture *f = *state;
    char data[3][20000];
    uint32_t end;

    for (int i = 0; i < 3; i++) {
        memset(data[i], 'a' + i, sizeof(data[i]));
        data[i][sizeof(data[i]) - 1] = 0;
        char name[2] = {(char)('a' + i), 0};
        tarball_add(&f->tar, &(struct tar_entry){name, '0', .data = data[i], .size = sizeof(data[i]) - 1});
    }
    tarball_link(&f->tar, "b2", "b");
    assert_int_equal(fixture_apply(f), 0);
    tarball_file(&f->tar, ".wh.a", "");
    tarball_file(&f->tar, "c", "small");
    assert_int_equal(fixture_apply(f), 0);
    assert_int_equal(f->layers.tree->dead_block_count, 8);
    assert_int_equal(spool_compact(f->layers.spool, f->layers.tree, &f->error), 0);
    assert_int_equal(spool_finish(f->layers.spool, &end, &f->error), 0);
    assert_int_equal(end, 5);
    assert_contents(f, "b2", data[1]);
    assert_contents(f, "c", "small");
}

static void programs_are_found_as_the_kernel_would(void **state)
{
    struct fixture *f = *state;
    struct tree *tree = f->layers.tree;

    tarball_file(&f->tar, "usr/bin/prog", "");
    tarball_symlink(&f->tar, "bin", "usr/bin");
    tarball_symlink(&f->tar, "alias", "/bin/../bin/prog");
    tarball_symlink(&f->tar, "loop", "loop");
    tarball_symlink(&f->tar, "above", "../../usr/bin/prog");
    assert_int_equal(fixture_apply(f), 0);
    struct inode *prog = fixture_inode(f, "usr/bin/prog");
    assert_ptr_equal(tree_lookup(tree, "/bin/prog"), prog);
    assert_ptr_equal(tree_lookup(tree, "alias"), prog);
    assert_ptr_equal(tree_lookup(tree, "/above"), prog);
    assert_ptr_equal(tree_lookup(tree, "/../usr/./bin//prog"), prog);
    assert_null(tree_lookup(tree, "loop"));
    assert_null(tree_lookup(tree, "/usr/bin/prog/x"));
    assert_null(tree_lookup(tree, "/nowhere"));
    assert_ptr_equal(tree_lookup(tree, "/"), tree->root);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(entries_keep_their_metadata),
        TEST(missing_parents_are_made),
        TEST(the_root_entry_sets_the_root),
        TEST(a_whiteout_hides_lower_layers_only),
        TEST(an_opaque_directory_hides_what_was_in_it),
        TEST(types_change_between_layers),
        TEST(hard_links_reach_earlier_layers),
        TEST(a_hard_link_may_replace_the_directory_of_its_target),
        TEST(the_last_of_duplicates_counts),
        TEST(lower_links_are_followed_inside_the_root),
        TEST(escapes_are_refused),
        TEST(bad_entries_are_refused),
        TEST(owners_out_of_range_are_refused),
        TEST(names_are_bytes),
        TEST(names_too_long_are_refused),
        TEST(depth_is_bounded_through_links),
        TEST(xattrs_are_kept_sorted),
        TEST(xattrs_nobody_can_store_are_counted),
        TEST(xattrs_too_large_are_refused),
        TEST(negative_times_keep_their_fraction),
        TEST(digests_are_checked),
        TEST(damage_is_found),
        TEST(malformed_headers_are_refused),
        TEST(garbage_is_refused),
        TEST(an_empty_blob_is_refused),
        TEST(unpacked_size_is_limited),
        TEST(sparse_files_count_with_their_size),
        TEST(entries_are_limited),
        TEST(a_full_disk_is_an_error),
        TEST(space_of_replaced_files_is_closed),
        TEST(programs_are_found_as_the_kernel_would),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

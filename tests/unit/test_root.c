/*
 * The root: EROFS over verified blocks under the overlay. Images by mkfs.erofs and veritysetup; with the argument
 * "encrypted", encrypted in between as `cofre convert` does it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hosted.h"
#include "hosted_encrypt.h"

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/crypto/aes_xts.h"
#include "kernel/crypto/crypto.h"
#include "kernel/fs/dentry.h"
#include "kernel/fs/erofs.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/lib/string.h"

static const char script[] = "mkdir -p dir/sub many empty deep/a/b/c;"
                             "echo hello > dir/file; ln dir/file dir/hard; ln -s dir/file link;"
                             "ln -s /dir/sub abs; seq 1 20000 > numbers; head -c 8192 /dev/zero > zeros;"
                             "for i in $(seq 1 600); do echo $i > many/file-with-number-$i; done;"
                             "mkfifo fifo; mknod null c 1 3; chmod 4755 numbers; chown 7:8 dir/file;"
                             "printf %4096s x > page; printf '' > nothing;"
                             "setfattr -n user.one -v 1 dir/file; setfattr -n user.two -v zwei dir/file;"
                             "setfattr -n user.one -v 1 page; touch -d @1234567890.123456789 page;"
                             "seq 1 3 > deep/a/b/c/leaf";

static uint8_t key_bytes[AES_XTS_KEY_SIZE];
static struct aes_xts_key key;
static bool encrypted;

static bool encrypt(const char *path)
{
    return hosted_encrypt(path, key_bytes);
}

static struct hosted_image *make_image(const char *commands, const char *options)
{
    return hosted_image_make(commands, options, encrypted ? encrypt : NULL);
}

static struct hosted_image *image;
static struct verity *device;
static struct super_block *lower;

static struct verity_params params_of(const struct hosted_image *im, size_t cache_blocks)
{
    struct verity_params params = {
        .image = {(uint64_t)im->data},
        .image_size = im->size,
        .data_size = im->data_size,
        .hash_offset = im->hash_offset,
        .key = encrypted ? &key : NULL,
        .cache_blocks = cache_blocks,
        .keep_read = true,
    };
    memcpy(params.root_hash, im->root_hash, 32);
    memcpy(params.salt, im->salt, 32);
    return params;
}

static int setup(void **state)
{
    crypto_init();
    for (size_t i = 0; i < sizeof(key_bytes); i++)
        key_bytes[i] = (uint8_t)(i * 3);
    if (aes_xts_key_init(&key, key_bytes) < 0)
        return -1;
    image = make_image(script, "-Eforce-inode-extended");
    if (!image)
        return -1;
    struct verity_params params = params_of(image, 4);
    if (verity_open(&params, &device) < 0 || erofs_open(device, &lower) < 0)
        return -1;
    struct super_block *root = overlay_new(lower);
    if (!root || vfs_mount("/", root, 0) < 0)
        return -1;
    hosted_init();
    hosted_process.fs = fs_context_new();
    return 0;
}

static int teardown(void **state)
{
    hosted_image_free(image);
    return 0;
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

static int64_t put_file(const char *path, const char *text)
{
    int64_t fd = CALL3(open, path, O_CREAT | O_WRONLY, 0644);
    if (fd < 0)
        return fd;
    int64_t n = CALL3(write, fd, text, strlen(text));
    CALL1(close, fd);
    return n;
}

static struct statx stat_of(const char *path)
{
    struct dentry *dentry;
    struct statx x = {0};
    if (vfs_lookup(AT_FDCWD, path, 0, &dentry) == 0) {
        inode_stat(dentry_inode(dentry), &x);
        dentry_put(dentry);
    }
    return x;
}

static size_t count_entries(const char *path)
{
    char buf[512];
    size_t count = 0;
    int64_t n, fd = CALL3(open, path, O_RDONLY | O_DIRECTORY, 0);
    while ((n = CALL3(getdents64, fd, buf, sizeof(buf))) > 0)
        for (int64_t at = 0; at < n; at += *(uint16_t *)(buf + at + 16))
            count++;
    CALL1(close, fd);
    assert_int_equal(n, 0);
    return count;
}

static void reads_what_mkfs_wrote(void **state)
{
    char buf[64];
    assert_string_equal(get_file("/dir/file"), "hello\n");
    assert_string_equal(get_file("/link"), "hello\n");
    assert_string_equal(get_file("/deep/a/b/c/leaf"), "1\n2\n3\n");
    assert_string_equal(get_file("/many/file-with-number-599"), "599\n");
    assert_string_equal(get_file("/nothing"), "");
    assert_null(get_file("/many/file-with-number-601"));
    struct statx x = stat_of("/dir/file");
    assert_int_equal(x.stx_nlink, 2);
    assert_int_equal(x.stx_uid, 7);
    assert_int_equal(x.stx_gid, 8);
    assert_int_equal(stat_of("/numbers").stx_mode, S_IFREG | 04755);
    assert_int_equal(stat_of("/fifo").stx_mode & S_IFMT, S_IFIFO);
    x = stat_of("/null");
    assert_int_equal(x.stx_mode & S_IFMT, S_IFCHR);
    assert_int_equal(x.stx_rdev_major, 1);
    assert_int_equal(x.stx_rdev_minor, 3);
    assert_int_equal(stat_of("/page").stx_size, 4096);
    assert_int_equal(CALL3(readlink, "/abs", buf, sizeof(buf)), 8);
    assert_int_equal(count_entries("/many"), 602);
    assert_int_equal(count_entries("/empty"), 2);
    assert_int_equal(stat_of("/dir/file").stx_ino, stat_of("/dir/hard").stx_ino);
}

static void large_files_read_whole(void **state)
{
    static char buf[200000], expected[200000];
    size_t size = 0;
    for (int i = 1; i <= 20000; i++)
        size += snprintf(expected + size, sizeof(expected) - size, "%d\n", i);
    int64_t fd = CALL3(open, "/numbers", O_RDONLY, 0);
    assert_int_equal(CALL3(read, fd, buf, sizeof(buf)), size);
    assert_memory_equal(buf, expected, size);
    for (size_t at = 0; at < size; at += 4999) {
        int64_t n = CALL4(pread64, fd, buf, 5000, at);
        assert_int_equal(n, MIN(size - at, 5000UL));
        assert_memory_equal(buf, expected + at, n);
    }
    CALL1(close, fd);
}

static void extended_attributes_are_there(void **state)
{
    char buf[64];
    assert_int_equal(CALL4(getxattr, "/dir/file", "user.two", buf, sizeof(buf)), 4);
    assert_memory_equal(buf, "zwei", 4);
    assert_int_equal(CALL4(getxattr, "/page", "user.one", buf, sizeof(buf)), 1);
    assert_int_equal(CALL4(getxattr, "/page", "user.two", buf, sizeof(buf)), -ENODATA);
    assert_int_equal(CALL3(listxattr, "/dir/file", buf, sizeof(buf)), 18);
    assert_int_equal(CALL5(setxattr, "/dir/file", "user.three", "3", 1, 0), 0);
    assert_int_equal(CALL4(getxattr, "/dir/file", "user.two", buf, sizeof(buf)), 4);
    assert_int_equal(CALL2(removexattr, "/dir/file", "user.one"), 0);
    assert_int_equal(CALL4(getxattr, "/dir/hard", "user.one", buf, sizeof(buf)), -ENODATA);
}

static void changes_cover_the_image(void **state)
{
    uint64_t ino = stat_of("/dir/file").stx_ino;
    int64_t fd = CALL3(open, "/dir/file", O_WRONLY | O_APPEND, 0);
    assert_int_equal(CALL3(write, fd, "world\n", 6), 6);
    CALL1(close, fd);
    dentry_shrink(SIZE_MAX);
    assert_string_equal(get_file("/dir/file"), "hello\nworld\n");
    assert_string_equal(get_file("/dir/hard"), "hello\nworld\n");
    assert_int_equal(stat_of("/dir/file").stx_ino, ino);
    assert_int_equal(CALL1(unlink, "/dir/file"), 0);
    dentry_shrink(SIZE_MAX);
    assert_null(get_file("/dir/file"));
    assert_int_equal(stat_of("/dir/hard").stx_nlink, 1);
    assert_string_equal(get_file("/dir/hard"), "hello\nworld\n");
    assert_int_equal(count_entries("/dir"), 4);
    assert_int_equal(put_file("/dir/file", "new"), 3);
    assert_string_equal(get_file("/dir/file"), "new");
    assert_int_not_equal(stat_of("/dir/file").stx_ino, ino);
    assert_int_equal(count_entries("/dir"), 5);
}

static void pages_are_copied_one_by_one(void **state)
{
    static char buf[200000];
    int64_t fd = CALL3(open, "/numbers", O_RDWR, 0);
    int64_t size = CALL4(pread64, fd, buf, sizeof(buf), 0);
    assert_int_equal(CALL4(pwrite64, fd, "######", 6, 8190), 6);
    memset(buf + 8190, '#', 6);
    static char again[200000];
    assert_int_equal(CALL4(pread64, fd, again, sizeof(again), 0), size);
    assert_memory_equal(buf, again, size);
    assert_int_equal(CALL2(ftruncate, fd, 10000), 0);
    assert_int_equal(CALL2(ftruncate, fd, 20000), 0);
    memset(buf + 10000, 0, 10000);
    assert_int_equal(CALL4(pread64, fd, again, sizeof(again), 0), 20000);
    assert_memory_equal(buf, again, 20000);
    CALL1(close, fd);
}

static void directories_of_the_image_move(void **state)
{
    assert_int_equal(CALL2(rename, "/deep/a", "/moved"), 0);
    dentry_shrink(SIZE_MAX);
    assert_string_equal(get_file("/moved/b/c/leaf"), "1\n2\n3\n");
    assert_null(get_file("/deep/a/b/c/leaf"));
    assert_int_equal(CALL1(rmdir, "/deep"), 0);
    assert_int_equal(CALL2(mkdir, "/deep", 0755), 0);
    assert_int_equal(count_entries("/deep"), 2);
    assert_int_equal(CALL1(rmdir, "/moved"), -ENOTEMPTY);
    assert_int_equal(CALL1(unlink, "/moved/b/c/leaf"), 0);
    assert_int_equal(CALL1(rmdir, "/moved/b/c"), 0);
    assert_int_equal(CALL1(rmdir, "/moved/b"), 0);
    assert_int_equal(CALL1(rmdir, "/moved"), 0);
}

static void merged_directories_list_each_name_once(void **state)
{
    char path[64];
    for (int i = 1; i <= 600; i += 2) {
        snprintf(path, sizeof(path), "/many/file-with-number-%d", i);
        assert_int_equal(CALL1(unlink, path), 0);
    }
    assert_int_equal(count_entries("/many"), 302);
    for (int i = 1; i <= 600; i += 3) {
        snprintf(path, sizeof(path), "/many/file-with-number-%d", i);
        put_file(path, "again");
    }
    assert_int_equal(count_entries("/many"), 402);
}

/* Many blocks at once, some of them in the cache: the same bytes, and of what lies behind a wrong block nothing. */
static void many_blocks_are_read_as_one_by_one(void **state)
{
    struct hosted_image *im = make_image("seq 1 100000 > numbers", "");
    struct verity_params params = params_of(im, 8);
    uint64_t blocks = im->data_size / ROOT_BLOCK_SIZE;
    static uint8_t one[1 << 20], many[1 << 20];
    const uint64_t scattered[] = {3, 4, 5, 0, 23, 22, 17, 18, 9, 5, 19, 1};
    const struct verity_block *cached;
    struct verity *v;
    int error;
    params.keep_read = false;
    assert_int_equal(verity_open(&params, &v), 0);
    assert_true(blocks > 24 && im->data_size <= sizeof(one));
    for (uint64_t b = 0; b < blocks; b++)
        assert_int_equal(verity_read(v, b, one + b * ROOT_BLOCK_SIZE), 0);
    assert_true(verity_blocks_verified(v) >= blocks);
    assert_non_null(cached = verity_get(v, 5, &error));
    verity_put(cached);
    assert_int_equal(verity_read_many(v, 0, blocks, many), blocks);
    assert_memory_equal(one, many, im->data_size);
    im->data[19 * ROOT_BLOCK_SIZE + 7] ^= 1;
    memset(many, 1, im->data_size);
    assert_int_equal(verity_read_many(v, 17, 6, many), 2);
    assert_memory_equal(one + 17 * ROOT_BLOCK_SIZE, many, 2 * ROOT_BLOCK_SIZE);
    for (size_t i = 2 * ROOT_BLOCK_SIZE; i < 6 * ROOT_BLOCK_SIZE; i++)
        assert_int_equal(many[i], 0);
    assert_int_equal(verity_read_many(v, 19, 2, many), -EIO);
    assert_int_equal(verity_read_many(v, blocks - 1, 2, many), 1);
    assert_int_equal(verity_read_many(v, blocks, 2, many), -EIO);
    assert_int_equal(verity_read_these(v, scattered, ARRAY_COUNT(scattered), many), 10);
    for (size_t i = 0; i < 10; i++)
        assert_memory_equal(one + scattered[i] * ROOT_BLOCK_SIZE, many + i * ROOT_BLOCK_SIZE, ROOT_BLOCK_SIZE);
    for (size_t i = 0; i < ROOT_BLOCK_SIZE; i++)
        assert_int_equal(many[10 * ROOT_BLOCK_SIZE + i], 0);
    assert_int_equal(verity_read_these(v, scattered + 10, 2, many), 0);
    assert_int_equal(verity_read_these(v, (const uint64_t[]){2, blocks, 3}, 3, many), 1);
    assert_int_equal(verity_read_these(v, (const uint64_t[]){UINT64_MAX}, 1, many), 0);
    verity_close(v);
    hosted_image_free(im);
}

static void a_changed_byte_is_never_served(void **state)
{
    struct hosted_image *bad = make_image("seq 1 100000 > numbers; seq 5 > other", "");
    static char buf[4096];
    struct verity_params params = params_of(bad, 8);
    uint64_t blocks = bad->data_size / ROOT_BLOCK_SIZE, all = bad->size / ROOT_BLOCK_SIZE;
    for (uint64_t i = 0; i < all; i++) {
        struct verity *v;
        unsigned failures = 0;
        bad->data[i * ROOT_BLOCK_SIZE + (i * 37) % 4096] ^= 1;
        assert_int_equal(verity_open(&params, &v), 0);
        for (uint64_t b = 0; b < blocks; b++) {
            int error = verity_read(v, b, buf);
            assert_true(error == 0 || error == -EIO);
            if (error)
                failures++;
            else if (b == i)
                fail_msg("block %lu", (unsigned long)b);
        }
        /* A data block alone, or all that hangs below a node. */
        assert_true(i < blocks ? failures == 1 : failures >= 1);
        verity_close(v);
        bad->data[i * ROOT_BLOCK_SIZE + (i * 37) % 4096] ^= 1;
    }
    char expected[128];
    struct verity *v;
    bad->data[5 * ROOT_BLOCK_SIZE] ^= 0x80;
    hosted_message_count = 0;
    assert_int_equal(verity_open(&params, &v), 0);
    assert_int_equal(verity_read(v, 5, buf), -EIO);
    snprintf(expected, sizeof(expected), "cofre: root image block 5 does not match its hash\n");
    assert_string_equal(hosted_message, expected);
    assert_int_equal(verity_read(v, blocks, buf), -EIO);
    verity_close(v);
    params.image_size -= ROOT_BLOCK_SIZE;
    assert_int_equal(verity_open(&params, &v), -EINVAL);
    hosted_image_free(bad);
}

static void other_layouts_read_the_same(void **state)
{
    static const char *const options[] = {
        "", "-Eforce-inode-compact", "-Enoinline_data", "--chunksize=4096", "--chunksize=65536", "-x-1"};
    for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
        struct hosted_image *im = make_image(
            "seq 1 20000 > numbers; echo tail > small; ln -s small link; truncate -s 1M hole; echo end >> hole",
            options[i]);
        assert_non_null(im);
        struct verity_params params = params_of(im, 64);
        struct verity *v;
        struct super_block *sb;
        struct inode *inode;
        static char page[4096];
        assert_int_equal(verity_open(&params, &v), 0);
        assert_int_equal(erofs_open(v, &sb), 0);
        assert_int_equal(sb->root->ops->lookup(sb->root, "numbers", &inode), 0);
        assert_int_equal(inode->size, 108894);
        assert_int_equal(inode->ops->read_page(inode, 26, page), 0);
        assert_memory_equal(page + 2392, "20000\n\0\0", 8);
        for (uint64_t at = 0, n; at < 27; at += n) {
            static char pages[27 * 4096];
            ssize_t got = inode->ops->read_pages(inode, at, 27 - at, pages);
            assert_true(got > 0 && got <= (ssize_t)(27 - at));
            n = (uint64_t)got;
            for (uint64_t p = 0; p < n; p++) {
                assert_int_equal(inode->ops->read_page(inode, at + p, page), 0);
                assert_memory_equal(pages + p * 4096, page, 4096);
            }
        }
        inode_put(inode);
        assert_int_equal(sb->root->ops->lookup(sb->root, "small", &inode), 0);
        assert_int_equal(inode->ops->read_page(inode, 0, page), 0);
        assert_string_equal(page, "tail\n");
        inode_put(inode);
        assert_int_equal(sb->root->ops->lookup(sb->root, "link", &inode), 0);
        assert_int_equal(inode->ops->readlink(inode, page, sizeof(page)), 5);
        inode_put(inode);
        assert_int_equal(sb->root->ops->lookup(sb->root, "hole", &inode), 0);
        assert_int_equal(inode->ops->read_page(inode, 3, page), 0);
        assert_int_equal(page[77], 0);
        assert_int_equal(inode->ops->read_page(inode, 256, page), 0);
        assert_string_equal(page, "end\n");
        inode_put(inode);
        assert_int_equal(sb->root->ops->lookup(sb->root, "none", &inode), -ENOENT);
        erofs_close(sb);
        verity_close(v);
        hosted_image_free(im);
    }
}

/* Work over the overlay where the n-th allocation fails, for every n. */
static void busy_day(void)
{
    char buf[64];
    get_file("/many/file-with-number-2");
    int64_t fd = CALL3(open, "/zeros", O_RDWR, 0);
    CALL4(pwrite64, fd, "x", 1, 5000);
    CALL1(close, fd);
    CALL2(rename, "/page", "/empty/page");
    CALL2(link, "/zeros", "/empty/zeros");
    CALL5(setxattr, "/empty/page", "user.new", "1", 1, 0);
    CALL3(listxattr, "/empty/page", buf, sizeof(buf));
    CALL1(unlink, "/nothing");
    CALL2(rename, "/many", "/empty/many");
    get_file("/empty/many/file-with-number-4");
    CALL2(rename, "/empty/many", "/many");
    CALL2(rename, "/empty/page", "/page");
    CALL1(unlink, "/empty/zeros");
    fd = CALL3(open, "/nothing", O_CREAT | O_WRONLY, 0644);
    CALL1(close, fd);
}

/* Whatever failed, the tree is whole: nothing is lost, and the work can be done. */
static void tidy_and_check(void)
{
    dentry_shrink(SIZE_MAX);
    CALL2(rename, "/empty/many", "/many");
    CALL2(rename, "/empty/page", "/page");
    CALL1(unlink, "/empty/zeros");
    CALL3(close_range, 0, ~0u, 0);
    assert_string_equal(get_file("/many/file-with-number-2"), "2\n");
    assert_int_equal(stat_of("/page").stx_size, 4096);
    assert_int_equal(count_entries("/empty"), 2);
}

static void every_allocation_may_fail(void **state)
{
    busy_day();
    for (unsigned long n = 1;; n++) {
        hosted_fail_alloc(n);
        busy_day();
        bool done = !hosted_alloc_failed();
        hosted_fail_alloc(0);
        tidy_and_check();
        if (done)
            break;
    }
}

static void every_block_may_be_spoiled(void **state)
{
    for (unsigned long n = 1;; n++) {
        hosted_message_count = 0;
        hosted_spoil_copy(n);
        busy_day();
        bool done = !hosted_copy_spoiled();
        hosted_spoil_copy(0);
        assert_true(hosted_message_count <= 1);
        tidy_and_check();
        if (done)
            break;
    }
    assert_true(hosted_message_count == 0);
}

static void inode_numbers_survive_eviction(void **state)
{
    uint64_t ino = stat_of("/abs").stx_ino;
    dentry_shrink(SIZE_MAX);
    assert_int_equal(stat_of("/abs").stx_ino, ino);
    assert_int_equal(CALL5(fchownat, AT_FDCWD, "/abs", 5, 5, AT_SYMLINK_NOFOLLOW), 0);
    dentry_shrink(SIZE_MAX);
    assert_int_equal(stat_of("/abs").stx_ino, ino);
    assert_int_equal(stat_of("/abs").stx_uid, 5);
}

/* Encrypted blocks that are read without the key are noise, not files. */
static void blocks_are_what_the_key_makes_of_them(void **state)
{
    struct verity_params params = params_of(image, 4);
    struct super_block *sb;
    struct verity *v;
    params.key = NULL;
    assert_int_equal(verity_open(&params, &v), 0);
    assert_int_equal(erofs_open(v, &sb), encrypted ? -EINVAL : 0);
    if (!encrypted)
        erofs_close(sb);
    verity_close(v);
}

int main(int argc, char **argv)
{
    encrypted = argc > 1 && strcmp(argv[1], "encrypted") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_mkfs_wrote),
        cmocka_unit_test(blocks_are_what_the_key_makes_of_them),
        cmocka_unit_test(large_files_read_whole),
        cmocka_unit_test(extended_attributes_are_there),
        cmocka_unit_test(changes_cover_the_image),
        cmocka_unit_test(pages_are_copied_one_by_one),
        cmocka_unit_test(directories_of_the_image_move),
        cmocka_unit_test(merged_directories_list_each_name_once),
        cmocka_unit_test(a_changed_byte_is_never_served),
        cmocka_unit_test(other_layouts_read_the_same),
        cmocka_unit_test(inode_numbers_survive_eviction),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(many_blocks_are_read_as_one_by_one),
        cmocka_unit_test(every_block_may_be_spoiled),
    };
    return cmocka_run_group_tests_name("root", tests, setup, teardown);
}

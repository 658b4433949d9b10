/* Hash trees against vectors that `veritysetup format --no-superblock` gave for the same data. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/digest.h"
#include "image/verity.h"

/* data: block i begins with i as 8 bytes, little-endian, and is zero otherwise; salt: bytes 0..31. */
static const struct {
    uint64_t block_count;
    const char *root;
} vectors[] = {
    {2, "7c8420191d9250f8d75e13e56b300292afce0d0bf1c2515baf5a6326cc9ad89f"},
    {3, "c159a69d704fe35604dc30591fa7654fb1811129e6bc2e01af676b95f278f652"},
    {128, "4f1c23580fa1b601d08525c47b320f18c4029317a0d4b94f8776a9b7381be987"},
    {129, "8378b1c4c95bcbcb32a532e3f8a4a1e4bc5e97e04d700521feea295c6a330a5a"},
    {4096, "409ea27b7ef139f5abc15c1310b0bb5c5ae5e31e57b22939a68095540f98034e"},
    {20000, "2c75e919e7ab0991e84d37531eb94a324ed4124cd5e7629be26c54f06c6091ab"},
};

static void roots_match_veritysetup(void **state)
{
    uint8_t salt[VERITY_SALT_SIZE], root[VERITY_HASH_SIZE];
    char text[SHA256_HEX_SIZE], *error = NULL;
    (void)state;

    for (size_t i = 0; i < sizeof(salt); i++)
        salt[i] = (uint8_t)i;
    for (size_t v = 0; v < sizeof(vectors) / sizeof(vectors[0]); v++) {
        /* The data do not start at 0, as in a layer. */
        uint64_t size = vectors[v].block_count * VERITY_BLOCK_SIZE, start = 3 * VERITY_BLOCK_SIZE;
        int fd = memfd_create("test", MFD_CLOEXEC);
        assert_int_equal(ftruncate(fd, (off_t)(start + size)), 0);
        for (uint64_t b = 0; b < vectors[v].block_count; b++)
            assert_int_equal(pwrite(fd, &b, sizeof(b), (off_t)(start + b * VERITY_BLOCK_SIZE)), sizeof(b));
        assert_int_equal(verity_build(fd, start, size, start + size, salt, NULL, root, &error), 0);
        hex_encode(root, sizeof(root), text);
        assert_string_equal(text, vectors[v].root);
        assert_int_equal(lseek(fd, 0, SEEK_END), start + size + verity_tree_size(size));
        close(fd);
    }
}

static void tree_sizes_follow_the_levels(void **state)
{
    (void)state;

    assert_int_equal(verity_tree_size(2ULL * VERITY_BLOCK_SIZE), 1ULL * VERITY_BLOCK_SIZE);
    assert_int_equal(verity_tree_size(128ULL * VERITY_BLOCK_SIZE), 1ULL * VERITY_BLOCK_SIZE);
    assert_int_equal(verity_tree_size(129ULL * VERITY_BLOCK_SIZE), 3ULL * VERITY_BLOCK_SIZE);
    assert_int_equal(verity_tree_size((1ULL << 30) * VERITY_BLOCK_SIZE),
                     ((1ULL << 23) + (1 << 16) + (1 << 9) + 4 + 1) * VERITY_BLOCK_SIZE);
}

static void a_full_disk_is_an_error(void **state)
{
    static const uint8_t salt[VERITY_SALT_SIZE];
    uint8_t root[VERITY_HASH_SIZE];
    char *error = NULL;
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    (void)state;

    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    assert_int_equal(verity_build(fd, 0, 1 << 20, 1 << 20, salt, NULL, root, &error), -1);
    assert_non_null(strstr(error, "cannot write"));
    free(error);
    close(fd);
}

static void data_that_end_early_are_an_error(void **state)
{
    static const uint8_t salt[VERITY_SALT_SIZE];
    uint8_t root[VERITY_HASH_SIZE];
    char *error = NULL;
    int fd = memfd_create("short", MFD_CLOEXEC);
    (void)state;

    assert_int_equal(ftruncate(fd, 1 << 19), 0);
    assert_int_equal(verity_build(fd, 0, 1 << 20, 1 << 20, salt, NULL, root, &error), -1);
    assert_non_null(strstr(error, "ends early"));
    free(error);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_match_veritysetup),
        cmocka_unit_test(tree_sizes_follow_the_levels),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(data_that_end_early_are_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

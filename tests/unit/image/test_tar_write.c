/* Headers of the layer archive: libarchive must read them, and data must be aligned. */
#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/tar_write.h"

static void data_are_aligned_wherever_the_header_is(void **state)
{
    uint8_t *bytes = calloc(1, 64 << 10);
    (void)state;

    for (uint64_t offset = 0; offset < 2 * TAR_ALIGNMENT; offset += TAR_BLOCK_SIZE) {
        struct tar_member member = {.name = "cofre/root.img", .mode = 0644, .size = 3};
        uint8_t header[TAR_HEADER_MAX];
        size_t size = tar_header(header, &member, offset);
        assert_int_equal((offset + size) % TAR_ALIGNMENT, 0);
        memset(bytes, 0, 64 << 10);
        memcpy(bytes, header, size);
        memcpy(bytes + size, "abc", 3);

        struct archive *archive = archive_read_new();
        struct archive_entry *entry;
        char data[4] = "";
        archive_read_support_format_tar(archive);
        assert_int_equal(archive_read_open_memory(archive, bytes, size + 2048), ARCHIVE_OK);
        assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
        assert_string_equal(archive_entry_pathname(entry), "cofre/root.img");
        assert_int_equal(archive_entry_size(entry), 3);
        assert_int_equal(archive_entry_mtime(entry), 0);
        assert_int_equal(archive_entry_perm(entry), 0644);
        assert_int_equal(archive_read_data(archive, data, 3), 3);
        assert_string_equal(data, "abc");
        assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_EOF);
        archive_read_free(archive);
    }
    free(bytes);
}

static void sizes_beyond_octal_are_kept(void **state)
{
    static const uint64_t sizes[] = {077777777777ULL, 077777777777ULL + 1, 1ULL << 40};
    uint8_t header[TAR_HEADER_MAX];
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        struct tar_member member = {.name = "x", .mode = 0644, .size = sizes[i]};
        struct archive *archive = archive_read_new();
        struct archive_entry *entry;
        size_t size = tar_header(header, &member, 3072);
        assert_int_equal((3072 + size) % TAR_ALIGNMENT, 0);
        archive_read_support_format_tar(archive);
        assert_int_equal(archive_read_open_memory(archive, header, size), ARCHIVE_OK);
        assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
        assert_int_equal(archive_entry_size(entry), sizes[i]);
        archive_read_free(archive);
    }
}

static void folders_have_one_block(void **state)
{
    struct tar_member member = {.name = "tmp/", .mode = 01777};
    uint8_t header[TAR_HEADER_MAX];
    (void)state;

    assert_int_equal(tar_header(header, &member, 512), TAR_BLOCK_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_are_aligned_wherever_the_header_is),
        cmocka_unit_test(sizes_beyond_octal_are_kept),
        cmocka_unit_test(folders_have_one_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

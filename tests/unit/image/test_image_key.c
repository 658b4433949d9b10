/* Image keys and the encryption of root images, against nettle's XTS and a check value made with another HMAC. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <nettle/hmac.h>
#include <nettle/xts.h>

#include "image/image_key.h"
#include "image/key_wrap.h"

#define BLOCK 4096

static char folder[] = "/tmp/cofre-image-key.XXXXXX", path[64];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/key", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void put(const uint8_t *bytes, size_t size)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void is_made_once_and_for_its_owner(void **state)
{
    uint8_t key[IMAGE_KEY_SIZE], again[IMAGE_KEY_SIZE];
    struct stat status;
    char *error = NULL;
    bool made;
    (void)state;

    unlink(path);
    assert_int_equal(image_key_open(path, key, &made, &error), 0);
    assert_true(made);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
    assert_int_equal(status.st_size, IMAGE_KEY_SIZE);
    assert_int_equal(image_key_open(path, again, &made, &error), 0);
    assert_false(made);
    assert_memory_equal(key, again, IMAGE_KEY_SIZE);
    assert_memory_not_equal(key, key + 32, 32);
}

static void what_is_no_key_is_refused(void **state)
{
    uint8_t bytes[IMAGE_KEY_SIZE + 1], key[IMAGE_KEY_SIZE];
    static const size_t sizes[] = {0, 1, 32, IMAGE_KEY_SIZE - 1, IMAGE_KEY_SIZE + 1};
    char *error = NULL;
    bool made;
    (void)state;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        put(bytes, sizes[i]);
        assert_int_equal(image_key_open(path, key, &made, &error), -1);
        assert_non_null(strstr(error, "is not an image key"));
        free(error);
        error = NULL;
    }
    memset(bytes, 7, sizeof(bytes));
    put(bytes, IMAGE_KEY_SIZE);
    assert_int_equal(image_key_open(path, key, &made, &error), -1);
    assert_non_null(strstr(error, "halves"));
    free(error);
    error = NULL;
    assert_int_equal(image_key_open(folder, key, &made, &error), -1);
    free(error);
    error = NULL;
    assert_int_equal(image_key_open("/nowhere/key", key, &made, &error), -1);
    assert_non_null(strstr(error, "/nowhere/key"));
    assert_false(made);
    free(error);
}

static void check_value_is_an_hmac(void **state)
{
    uint8_t key[IMAGE_KEY_SIZE], check[POLICY_KEY_CHECK_SIZE], expected[POLICY_KEY_CHECK_SIZE];
    struct hmac_sha256_ctx hmac;
    (void)state;

    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(i * 5);
    hmac_sha256_set_key(&hmac, sizeof(key), key);
    hmac_sha256_update(&hmac, strlen("cofre image key"), (const uint8_t *)"cofre image key");
    hmac_sha256_digest(&hmac, sizeof(expected), expected);
    image_key_check_value(key, check);
    assert_memory_equal(check, expected, sizeof(check));
}

/* What it is wrapped for opens it, under its name, whole and unchanged; nothing else does. */
static void wrapped_keys_open_for_their_server(void **state)
{
    EVP_PKEY *server = EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), *other = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    uint8_t public[32], key[IMAGE_KEY_SIZE], wrapped[IMAGE_KEY_SIZE + KEY_WRAP_OVERHEAD + 1], got[KEY_WRAP_KEY_MAX];
    const size_t size = IMAGE_KEY_SIZE + KEY_WRAP_OVERHEAD;
    size_t got_size = 0, public_size = sizeof(public);
    char *error = NULL;
    bool made;
    (void)state;

    assert_int_equal(EVP_PKEY_get_raw_public_key(server, public, &public_size), 1);
    unlink(path);
    assert_int_equal(image_key_make_wrapped(path, public, "app", key, &error), 0);
    assert_int_equal(image_key_make_wrapped(path, public, "app", key, &error), -1); /* it is there */
    unlink(path);
    assert_int_equal(image_key_make_wrapped(path, public, "app", key, &error), 0);
    FILE *f = fopen(path, "re");
    assert_int_equal(fread(wrapped, 1, sizeof(wrapped), f), size);
    fclose(f);
    assert_null(memmem(wrapped, size, key, 16));
    assert_int_equal(key_unwrap(server, "app", wrapped, size, got, &got_size, &error), 0);
    assert_int_equal(got_size, IMAGE_KEY_SIZE);
    assert_memory_equal(got, key, IMAGE_KEY_SIZE);
    assert_int_equal(key_unwrap(other, "app", wrapped, size, got, &got_size, &error), -1);
    assert_non_null(strstr(error, "another key server"));
    assert_int_equal(key_unwrap(server, "apq", wrapped, size, got, &got_size, &error), -1);
    assert_int_equal(key_unwrap(server, "", wrapped, size, got, &got_size, &error), -1);
    for (size_t i = 0; i < size; i++) {
        wrapped[i] ^= 4;
        assert_int_equal(key_unwrap(server, "app", wrapped, size, got, &got_size, &error), -1);
        wrapped[i] ^= 4;
        assert_int_equal(key_unwrap(server, "app", wrapped, i, got, &got_size, &error), -1);
    }
    assert_int_equal(key_unwrap(server, "app", wrapped, size + 1, got, &got_size, &error), -1);
    memset(public, 0, sizeof(public)); /* a point of small order */
    assert_int_equal(key_wrap(public, "app", key, IMAGE_KEY_SIZE, wrapped, &error), -1);
    assert_int_equal(image_key_open(path, key, &made, &error), -1); /* it is no plain key */
    free(error);
    EVP_PKEY_free(server);
    EVP_PKEY_free(other);
}

/* Several jobs, not at the start of the file, with nothing changed around it. */
static void encrypts_as_dm_crypt_does(void **state)
{
    const size_t blocks = 700, start = 3 * BLOCK, size = blocks * BLOCK;
    uint8_t key[IMAGE_KEY_SIZE], plain[BLOCK], expected[BLOCK], edge[BLOCK];
    struct xts_aes256_key nettle;
    char *error = NULL;
    int fd = memfd_create("test", MFD_CLOEXEC);
    (void)state;

    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(i * 11);
    xts_aes256_set_encrypt_key(&nettle, key);
    memset(edge, 0x5a, sizeof(edge));
    assert_int_equal(pwrite(fd, edge, BLOCK, (off_t)start - BLOCK), BLOCK);
    assert_int_equal(pwrite(fd, edge, BLOCK, (off_t)(start + size)), BLOCK);
    for (size_t b = 1; b < blocks; b++) { /* block 0 stays a hole */
        memset(plain, (int)(b % 251), BLOCK);
        memcpy(plain, &b, sizeof(b));
        assert_int_equal(pwrite(fd, plain, BLOCK, (off_t)(start + b * BLOCK)), BLOCK);
    }
    assert_int_equal(image_encrypt(fd, start, size, key, NULL, &error), 0);
    for (size_t b = 0; b < blocks; b++) {
        uint8_t tweak[16] = {0};
        uint64_t unit = b * 8;
        memcpy(tweak, &unit, sizeof(unit));
        memset(plain, b ? (int)(b % 251) : 0, BLOCK);
        memcpy(plain, &b, sizeof(b));
        xts_aes256_encrypt_message(&nettle, tweak, BLOCK, expected, plain);
        assert_int_equal(pread(fd, plain, BLOCK, (off_t)(start + b * BLOCK)), BLOCK);
        assert_memory_equal(plain, expected, BLOCK);
    }
    assert_int_equal(pread(fd, plain, BLOCK, (off_t)start - BLOCK), BLOCK);
    assert_memory_equal(plain, edge, BLOCK);
    assert_int_equal(pread(fd, plain, BLOCK, (off_t)(start + size)), BLOCK);
    assert_memory_equal(plain, edge, BLOCK);
    assert_int_equal(image_encrypt(fd, start, size + 2 * BLOCK, key, NULL, &error), -1); /* beyond the end */
    free(error);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_made_once_and_for_its_owner), cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(check_value_is_an_hmac),         cmocka_unit_test(wrapped_keys_open_for_their_server),
        cmocka_unit_test(encrypts_as_dm_crypt_does),
    };
    return cmocka_run_group_tests_name("image key", tests, setup, teardown);
}

/* SIGSTRUCT and MRENCLAVE: our own, and the genuine ones of COFRE_VECTORS when they are there. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "image/measure.h"
#include "image/sigstruct.h"

static EVP_PKEY *key;

static int make_key(void **state)
{
    char path[] = "/tmp/cofre-key-XXXXXX", *error = NULL;
    close(mkstemp(path));
    unlink(path);
    if (sigstruct_keygen(path, &error) < 0 || !(key = sigstruct_key_load(path, 1, &error)))
        fail_msg("%s", error);
    assert_int_equal(sigstruct_keygen(path, &error), -1); /* never overwrites */
    free(error);
    unlink(path);
    return 0;
}

static int free_key(void **state)
{
    EVP_PKEY_free(key);
    return 0;
}

static void sign(struct sgx_sigstruct *sig)
{
    struct sigstruct_params params = {.attributes_flags = SGX_ATTR_MODE64BIT, .attributes_xfrm = 7, .isvsvn = 2};
    char *error = NULL;
    sigstruct_fill(sig, &params);
    if (sigstruct_sign(sig, key, &error) < 0 || sigstruct_verify(sig, &error) < 0)
        fail_msg("%s", error);
}

static void own_signature_verifies(void **state)
{
    struct sgx_sigstruct a, b;
    sign(&a);
    sign(&b);
    assert_memory_equal(&a, &b, sizeof(a)); /* signing is deterministic */
}

static void every_changed_byte_is_refused(void **state)
{
    struct sgx_sigstruct sig;
    sign(&sig);
    for (size_t i = 0; i < sizeof(sig); i++) {
        char *error = NULL;
        if (i >= 40 && i < 44)
            continue; /* SWDEFINED is signed too, tried below */
        ((uint8_t *)&sig)[i] ^= 1;
        if (sigstruct_verify(&sig, &error) == 0)
            fail_msg("byte %zu changed and accepted", i);
        free(error);
        ((uint8_t *)&sig)[i] ^= 1;
    }
    char *error = NULL;
    sig.swdefined = 1;
    assert_int_equal(sigstruct_verify(&sig, &error), -1);
    assert_non_null(strstr(error, "SIGNATURE"));
    free(error);
}

static void external_signature_is_imported(void **state)
{
    struct sgx_sigstruct sig, imported;
    uint8_t big_endian[SGX_RSA_SIZE];
    char *error = NULL;
    sign(&sig);
    for (size_t i = 0; i < SGX_RSA_SIZE; i++)
        big_endian[i] = sig.signature[SGX_RSA_SIZE - 1 - i];
    imported = sig;
    memset(imported.signature, 0, SGX_RSA_SIZE);
    memset(imported.q1, 0, SGX_RSA_SIZE);
    memset(imported.q2, 0, SGX_RSA_SIZE);
    assert_int_equal(sigstruct_import(&imported, key, big_endian, SGX_RSA_SIZE, &error), 0);
    assert_memory_equal(&imported, &sig, sizeof(sig));
    big_endian[100] ^= 1;
    assert_int_equal(sigstruct_import(&imported, key, big_endian, SGX_RSA_SIZE, &error), -1);
    free(error);
}

static void genuine_sigstructs_verify(void **state)
{
    const char *vectors = getenv("COFRE_VECTORS");
    char pattern[4096];
    glob_t found;
    snprintf(pattern, sizeof(pattern), "%s/sigstructs/*.sigstruct", vectors ? vectors : "");
    if (!vectors || glob(pattern, 0, NULL, &found) != 0) {
        print_message("genuine SIGSTRUCTs are absent (COFRE_VECTORS): not tried\n");
        skip();
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct sgx_sigstruct sig;
        char *error = NULL;
        FILE *f = fopen(found.gl_pathv[i], "r");
        assert_non_null(f);
        assert_int_equal(fread(&sig, sizeof(sig), 1, f), 1);
        fclose(f);
        if (sigstruct_verify(&sig, &error) < 0)
            fail_msg("%s: %s", found.gl_pathv[i], error);
    }
    print_message("%zu genuine SIGSTRUCTs verify\n", found.gl_pathc);
    globfree(&found);
}

/* A fully measured SGXS stream hashes to its own SHA-256; what is unmeasured is left out; lies are named. */
static void sgxs_streams(void **state)
{
    uint8_t stream[64 + 64 + 2 * (64 + 256)] = {0}, want[32], got[32];
    uint64_t fields[] = {0x0045544145524345ULL, 0x0001000000000001ULL, 0};
    memcpy(stream, fields, sizeof(fields)); /* SSAFRAMESIZE 1, SIZE 0x10000 at byte 12 */
    uint64_t add[] = {0x44444145ULL, 0x1000, 0x203}, extend[] = {0x00444E4554584545ULL, 0x1000};
    memcpy(stream + 64, add, sizeof(add));
    memcpy(stream + 128, extend, sizeof(extend));
    memset(stream + 192, 0x5a, 256);
    extend[0] = 0x44525341454D4E55ULL;
    extend[1] = 0x1100;
    memcpy(stream + 448, extend, sizeof(extend));
    SHA256(stream, 448, want);
    char *error = NULL;
    FILE *f = fmemopen(stream, sizeof(stream), "r");
    if (measure_sgxs(f, got, &error) < 0)
        fail_msg("%s", error);
    fclose(f);
    assert_memory_equal(got, want, 32);
    for (size_t cut = 1; cut < sizeof(stream); cut++) {
        if (cut == 64 || cut == 128 || cut == 448)
            continue; /* whole records */
        f = fmemopen(stream, cut, "r");
        if (measure_sgxs(f, got, &error) == 0)
            fail_msg("a stream cut at %zu is accepted", cut);
        fclose(f);
    }
    free(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_signature_verifies),
        cmocka_unit_test(every_changed_byte_is_refused),
        cmocka_unit_test(external_signature_is_imported),
        cmocka_unit_test(genuine_sigstructs_verify),
        cmocka_unit_test(sgxs_streams),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}

/*
 * The time to verify a quote against that of the signature verifications alone that it needs:
 *   bench-verify QUOTE COLLATERAL ROOT TIME
 * Prints JSON, microseconds of CPU, medians of interleaved rounds:
 *   verify     attest_verify_quote with collateral that was parsed, and a PCK certificate that was verified, before
 *   bare       the two ECDSA verifications that are left, keys decoded and digests made before: the quote's and the QE
 *              report's
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/file.h"
#include "attest/verify.h"

#define ROUNDS 31
#define VERIFICATIONS 100 /* in a round */
#define SIGNATURES 2      /* for each */

static void check(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench-verify: %s failed\n", what);
    exit(1);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), compare);
    return values[ROUNDS / 2];
}

struct bare {
    EVP_PKEY *key;
    uint8_t digest[32], signature[80];
    size_t size;
};

static void bare_init(struct bare *bare)
{
    size_t size = sizeof(bare->signature);
    bare->key = EVP_EC_gen("P-256");
    EVP_PKEY_CTX *context = bare->key ? EVP_PKEY_CTX_new(bare->key, NULL) : NULL;
    check(context && EVP_PKEY_sign_init(context) == 1 &&
              EVP_PKEY_sign(context, bare->signature, &size, bare->digest, sizeof(bare->digest)) == 1,
          "signing");
    bare->size = size;
    EVP_PKEY_CTX_free(context);
}

static void bare_verify(struct bare *bare)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(bare->key, NULL);
    check(context && EVP_PKEY_verify_init(context) == 1 &&
              EVP_PKEY_verify(context, bare->signature, bare->size, bare->digest, sizeof(bare->digest)) == 1,
          "verifying");
    EVP_PKEY_CTX_free(context);
}

int main(int argc, char **argv)
{
    static struct attest_result result;
    static double verify[ROUNDS], bare[ROUNDS];
    struct attest_roots roots;
    struct bare signature = {.digest = {1}};
    size_t size;
    char *error = NULL;
    check(argc == 5, "usage: QUOTE COLLATERAL ROOT TIME:");
    attest_roots_init(&roots);
    check(!*argv[3] || attest_roots_add_file(&roots, argv[3], true, &error) == 0, argv[3]);
    char *quote = attest_file_read(argv[1], ATTEST_QUOTE_SIZE_MAX, &size, &error);
    struct attest_collateral *collateral = attest_collateral_load(argv[2], &roots, &error);
    int64_t when = strtoll(argv[4], NULL, 10);
    check(quote && collateral, error ? error : "reading");
    bare_init(&signature);
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_us();
        for (int i = 0; i < VERIFICATIONS * SIGNATURES; i++)
            bare_verify(&signature);
        bare[round] = (now_us() - start) / VERIFICATIONS;
        start = now_us();
        for (int i = 0; i < VERIFICATIONS; i++)
            check(attest_verify_quote(quote, size, collateral, NULL, when, &result) == 0, result.reason);
        verify[round] = (now_us() - start) / VERIFICATIONS;
    }
    double verify_us = median(verify), bare_us = median(bare);
    printf("{\"verify_us\": %.1f, \"bare_us\": %.1f, \"signatures\": %d, \"ratio\": %.2f, \"per_second\": %.0f}\n",
           verify_us, bare_us, SIGNATURES, verify_us / bare_us, 1e6 / verify_us);
    attest_collateral_free(collateral);
    EVP_PKEY_free(signature.key);
    free(quote);
    return 0;
}

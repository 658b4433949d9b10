/*
 * The roots that evidence may end in. Intel's SGX Root CA is pinned by its public key, which all three issues of its
 * certificate share. Others are added by whoever verifies; what ends in one of them is called simulation unless they
 * say that the root is as good as Intel's.
 */
#ifndef COFRE_ATTEST_ROOTS_H
#define COFRE_ATTEST_ROOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ATTEST_ROOT_COUNT_MAX 16

struct attest_roots {
    struct attest_root {
        uint8_t key[64]; /* P-256: x, y big-endian */
        bool simulation; /* reported in results; refused by policies that do not allow it */
    } roots[ATTEST_ROOT_COUNT_MAX];
    size_t count;
};

/* Intel's production root alone. */
void attest_roots_init(struct attest_roots *roots);

/* Adds the certificates of a PEM text, each self-signed by a P-256 key. 0, or -1 with *ret_error. */
int attest_roots_add_pem(struct attest_roots *roots, const char *pem, size_t size, bool simulation, char **ret_error);
int attest_roots_add_file(struct attest_roots *roots, const char *path, bool simulation, char **ret_error);

/* NULL if the key is of no root. */
const struct attest_root *attest_roots_find(const struct attest_roots *roots, const uint8_t key[64]);

#endif

/* HMAC-SHA-256 (RFC 2104, FIPS 198-1). */
#ifndef COFRE_KERNEL_CRYPTO_HMAC_H
#define COFRE_KERNEL_CRYPTO_HMAC_H

#include "kernel/crypto/sha256.h"

#define HMAC_SHA256_SIZE 32

struct hmac_sha256 {
    struct sha256 inner, outer;
};

/* A copy made after this starts another message under the same key. */
void hmac_sha256_init(struct hmac_sha256 *ctx, const void *key, size_t key_size);
void hmac_sha256_update(struct hmac_sha256 *ctx, const void *data, size_t size);
/* Wipes ctx. */
void hmac_sha256_final(struct hmac_sha256 *ctx, uint8_t ret_mac[HMAC_SHA256_SIZE]);

/* The whole for one message. */
void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, uint8_t ret_mac[HMAC_SHA256_SIZE]);

#endif

/* SHA-256 (FIPS 180-4) by libcrypto's assembly. Brackets vector use itself. */
#ifndef COFRE_KERNEL_CRYPTO_SHA256_H
#define COFRE_KERNEL_CRYPTO_SHA256_H
#include "kernel/lib/types.h"
struct sha256 {
    uint32_t state[8];
    uint64_t size;
    uint8_t block[64];
};
void sha256_init(struct sha256 *ctx);
void sha256_update(struct sha256 *ctx, const void *data, size_t size);
void sha256_final(struct sha256 *ctx, uint8_t ret_digest[32]);
/* Of salt then data: what dm-verity hashes. */
void sha256_salted(const uint8_t salt[32], const void *data, size_t size, uint8_t ret_digest[32]);
/*
 * The same of many messages of one size at once: two go through SHA-NI in hardly more time than one, SHA256_LANES
 * through AVX-512 as quickly as nine do otherwise.
 */
#define SHA256_LANES 16
void sha256_salted_many(const uint8_t salt[32], const void *const data[], size_t count, size_t size,
                        uint8_t ret_digests[][32]);
/* Panics if it computes wrong. */
void sha256_self_test(void);
#endif

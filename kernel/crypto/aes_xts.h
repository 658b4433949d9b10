/*
 * AES-256-XTS (IEEE 1619) as dm-crypt's aes-xts-plain64 uses it: a sector's tweak is its number as a 64-bit
 * little-endian integer, then zeros. The number always counts units of 512 bytes, also with larger sectors
 * (cryptsetup without --iv-large-sectors). It hides content and authenticates nothing: the hash tree does that. Only
 * decryption: images are encrypted by `cofre convert`. Memory, vector use and panics as in aes_gcm.h.
 */
#ifndef COFRE_KERNEL_CRYPTO_AES_XTS_H
#define COFRE_KERNEL_CRYPTO_AES_XTS_H

#include "kernel/crypto/aes.h"

#define AES_XTS_KEY_SIZE 64
#define XTS_UNIT 512 /* bytes that a sector number counts */

struct aes_xts_key {
    struct aes_schedule data, tweak;
};

/* Expand a key: data key, then tweak key. -EINVAL if its halves are equal, which IEEE 1619 forbids. */
must_check int aes_xts_key_init(struct aes_xts_key *key, const uint8_t bytes[AES_XTS_KEY_SIZE]);

/*
 * Decrypt consecutive sectors of sector_size (a multiple of XTS_UNIT), each in place and wherever it is. The first
 * begins at unit number `unit`.
 */
void aes_xts_decrypt(const struct aes_xts_key *key, uint64_t unit, void *const sectors[], size_t count,
                     size_t sector_size);

/* Panics if it computes wrong. */
void aes_xts_self_test(void);

#endif

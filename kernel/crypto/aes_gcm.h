/*
 * AES-256-GCM (SP 800-38D): 96-bit nonces, 128-bit tags. A nonce must never be used twice with one key: that is the
 * caller's business. Buffers are kernel memory (never untrusted: copy in first; never memory that may fault). Brackets
 * vector use itself: a call costs about 0.1 us beside its bytes. Panics if the CPU lacks AES-NI or PCLMULQDQ.
 */
#ifndef COFRE_KERNEL_CRYPTO_AES_GCM_H
#define COFRE_KERNEL_CRYPTO_AES_GCM_H

#include "kernel/crypto/aes.h"

#define AES_GCM_KEY_SIZE 32
#define AES_GCM_NONCE_SIZE 12
#define AES_GCM_TAG_SIZE 16

/* The table of hash powers is that of the code that crypto_init() found the CPU fit for. */
struct aes_gcm_key {
    struct aes_schedule aes;
    union {
        uint64_t ghash[32];
        uint64_t wide_ghash[2 * 48];
    };
};

/* Expand a key. */
void aes_gcm_key_init(struct aes_gcm_key *key, const uint8_t bytes[AES_GCM_KEY_SIZE]);

/*
 * Encrypt size bytes (less than 2^36 - 31) and authenticate them together with aad, which may be empty. cipher is plain
 * itself or does not overlap it.
 */
void aes_gcm_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                  size_t aad_size, const void *plain, size_t size, void *cipher, uint8_t ret_tag[AES_GCM_TAG_SIZE]);

/*
 * The reverse: 0, or -EBADMSG if key, nonce, aad, cipher or tag is not what it was; then plain is all zeros. plain is
 * cipher itself or does not overlap it.
 */
must_check int aes_gcm_open(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                            size_t aad_size, const void *cipher, size_t size, const uint8_t tag[AES_GCM_TAG_SIZE],
                            void *plain);

/* Panics if it computes wrong. */
void aes_gcm_self_test(void);

#endif

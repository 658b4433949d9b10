/*
 * AES-256-GCM for CPUs with AVX-512, VAES and VPCLMULQDQ: what aes_gcm.c calls there, of every size. Arguments as in
 * aes_gcm.h.
 */
#ifndef COFRE_KERNEL_CRYPTO_AES_GCM_WIDE_H
#define COFRE_KERNEL_CRYPTO_AES_GCM_WIDE_H

#include "kernel/crypto/aes_gcm.h"

bool aes_gcm_have_wide(void);
void aes_gcm_wide_key_init(struct aes_gcm_key *key, const uint8_t bytes[AES_GCM_KEY_SIZE]);
void aes_gcm_wide_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                       size_t aad_size, const void *plain, size_t size, void *cipher,
                       uint8_t ret_tag[AES_GCM_TAG_SIZE]);
/* Decrypts, and says what the tag has to be. */
void aes_gcm_wide_open(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                       size_t aad_size, const void *cipher, size_t size, void *plain,
                       uint8_t ret_tag[AES_GCM_TAG_SIZE]);

#endif

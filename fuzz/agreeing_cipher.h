/* Cryptography that agrees with everything, so that a fuzzer's bytes get behind it. */
#ifndef COFRE_FUZZ_AGREEING_CIPHER_H
#define COFRE_FUZZ_AGREEING_CIPHER_H

#include <errno.h>
#include <string.h>

#include "kernel/crypto/aes_gcm.h"
#include "kernel/crypto/hkdf.h"

void aes_gcm_key_init(struct aes_gcm_key *key, const uint8_t bytes[AES_GCM_KEY_SIZE])
{
    memset(key, 0, sizeof(*key));
}
void aes_gcm_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                  size_t aad_size, const void *plain, size_t size, void *cipher, uint8_t ret_tag[AES_GCM_TAG_SIZE])
{
    memmove(cipher, plain, size);
    memset(ret_tag, 'T', AES_GCM_TAG_SIZE);
}
int aes_gcm_open(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                 size_t aad_size, const void *cipher, size_t size, const uint8_t tag[AES_GCM_TAG_SIZE], void *plain)
{
    memmove(plain, cipher, size);
    return tag[0] == 'T' ? 0 : -EBADMSG; /* what was never written is no record */
}
void hkdf_sha256(const void *secret, size_t secret_size, const void *salt, size_t salt_size, const void *info,
                 size_t info_size, void *ret_out, size_t out_size)
{
    memset(ret_out, 0, out_size);
}

#endif

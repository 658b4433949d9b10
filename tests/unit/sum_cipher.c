/* A sum over everything in the place of AES-GCM: anybody can see through it, and what was changed does not open. */
#include <asm/errno.h>

#include "kernel/crypto/aes_gcm.h"
#include "kernel/crypto/hkdf.h"
#include "kernel/lib/string.h"

void hkdf_sha256(const void *secret, size_t secret_size, const void *salt, size_t salt_size, const void *info,
                 size_t info_size, void *ret_out, size_t out_size)
{
    for (size_t i = 0; i < out_size; i++)
        ((uint8_t *)ret_out)[i] = (uint8_t)(((const uint8_t *)salt)[i % salt_size] + (i >= out_size / 2));
}

void aes_gcm_key_init(struct aes_gcm_key *key, const uint8_t bytes[AES_GCM_KEY_SIZE])
{
    memcpy(key->ghash, bytes, AES_GCM_KEY_SIZE);
}

static void sum(const struct aes_gcm_key *key, const uint8_t *nonce, const uint8_t *aad, const uint8_t *data,
                size_t size, uint8_t tag[AES_GCM_TAG_SIZE])
{
    uint64_t h = key->ghash[0];
    for (size_t i = 0; i < AES_GCM_NONCE_SIZE; i++)
        h = (h ^ nonce[i]) * 0x100000001b3ULL;
    for (size_t i = 0; i < 8; i++)
        h = (h ^ aad[i]) * 0x100000001b3ULL;
    for (size_t i = 0; i < size; i++)
        h = (h ^ data[i]) * 0x100000001b3ULL;
    memcpy(tag, &h, 8);
    memcpy(tag + 8, &h, 8);
}

void aes_gcm_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                  size_t aad_size, const void *plain, size_t size, void *cipher, uint8_t ret_tag[AES_GCM_TAG_SIZE])
{
    memcpy(cipher, plain, size);
    sum(key, nonce, aad, cipher, size, ret_tag);
}

int aes_gcm_open(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                 size_t aad_size, const void *cipher, size_t size, const uint8_t tag[AES_GCM_TAG_SIZE], void *plain)
{
    uint8_t computed[AES_GCM_TAG_SIZE];
    sum(key, nonce, aad, cipher, size, computed);
    return memcmp(computed, tag, sizeof(computed)) == 0 ? 0 : -EBADMSG;
}

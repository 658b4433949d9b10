/*
 * Cryptography for targets that read what comes over a channel (kernel/crypto/noise.h): authentication agrees, or
 * nothing behind it would be reached, unless a tag begins with an odd byte.
 */
#ifndef COFRE_FUZZ_CHANNEL_FAKE_H
#define COFRE_FUZZ_CHANNEL_FAKE_H

#include <linux/errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/crypto/aes_gcm.h"
#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/sha256.h"
#include "kernel/crypto/x25519.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"

void aes_gcm_key_init(struct aes_gcm_key *key, const uint8_t bytes[AES_GCM_KEY_SIZE])
{
    memset(key, bytes[0], sizeof(*key));
}
void aes_gcm_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                  size_t aad_size, const void *plain, size_t size, void *cipher, uint8_t ret_tag[AES_GCM_TAG_SIZE])
{
    memmove(cipher, plain, size);
    memset(ret_tag, 0, AES_GCM_TAG_SIZE);
}
int aes_gcm_open(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                 size_t aad_size, const void *cipher, size_t size, const uint8_t tag[AES_GCM_TAG_SIZE], void *plain)
{
    if (tag[0] % 2)
        return -EBADMSG;
    memmove(plain, cipher, size);
    return 0;
}
void hkdf_sha256(const void *secret, size_t secret_size, const void *salt, size_t salt_size, const void *info,
                 size_t info_size, void *ret_out, size_t out_size)
{
    memset(ret_out, 1, out_size);
}
void sha256_init(struct sha256 *ctx)
{
}
void sha256_update(struct sha256 *ctx, const void *data, size_t size)
{
}
void sha256_final(struct sha256 *ctx, uint8_t ret_digest[32])
{
    memset(ret_digest, 0, 32);
}
void x25519(const uint8_t scalar[X25519_SIZE], const uint8_t u[X25519_SIZE], uint8_t ret_u[X25519_SIZE])
{
    for (unsigned i = 0; i < X25519_SIZE; i++)
        ret_u[i] = scalar[i] ^ u[i];
}
void x25519_public(const uint8_t scalar[X25519_SIZE], uint8_t ret_u[X25519_SIZE])
{
    memcpy(ret_u, scalar, X25519_SIZE);
}
void panic_at(const char *file, int line, const char *format, ...)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, format);
    abort();
}

#endif

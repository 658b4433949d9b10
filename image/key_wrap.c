/* Keys encrypted to a key server (contract in key_wrap.h). */
#include "image/key_wrap.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <stdbool.h>
#include <string.h>

#include "image/error.h"

#define MAGIC "COFRE WRAPPED 1\n" /* without its NUL */
#define MAGIC_SIZE 16
#define HEAD_SIZE (MAGIC_SIZE + 32 + 32)
#define TAG_SIZE 16

_Static_assert(sizeof(MAGIC) == MAGIC_SIZE + 1 && HEAD_SIZE + TAG_SIZE == KEY_WRAP_OVERHEAD, "key_wrap.h");

/* X25519; false also for points of small order. */
static bool agree(EVP_PKEY *mine, const uint8_t public[32], uint8_t ret_shared[32])
{
    size_t size = 32;
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, public, 32);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(mine, NULL);
    bool good = peer && ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
                EVP_PKEY_derive(ctx, ret_shared, &size) == 1 && size == 32;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    return good;
}

/* salt: both public keys, as they are in the head. */
static bool derive(uint8_t shared[32], const uint8_t salt[64], uint8_t ret_key[32])
{
    char digest[] = "SHA256", info[] = KEY_WRAP_INFO;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, shared, 32),
                                 OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, 64),
                                 OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info) - 1),
                                 OSSL_PARAM_construct_end()};
    bool good = ctx && EVP_KDF_derive(ctx, ret_key, 32, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return good;
}

static bool crypt_key(bool seal, const uint8_t key[32], const uint8_t head[HEAD_SIZE], const char *name,
                      const uint8_t *in, size_t size, uint8_t *out, uint8_t tag[TAG_SIZE])
{
    static const uint8_t nonce[12]; /* each key is used once */
    int done;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool good = ctx && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1 &&
                EVP_CipherUpdate(ctx, NULL, &done, head, HEAD_SIZE) == 1 &&
                EVP_CipherUpdate(ctx, NULL, &done, (const uint8_t *)name, (int)strlen(name)) == 1 &&
                (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) == 1) &&
                EVP_CipherUpdate(ctx, out, &done, in, (int)size) == 1 &&
                EVP_CipherFinal_ex(ctx, out + size, &done) == 1 &&
                (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return good;
}

int key_wrap(const uint8_t recipient[32], const char *name, const uint8_t *key, size_t size, uint8_t *ret_wrapped,
             char **ret_error)
{
    uint8_t shared[32], wrapping[32], *public = ret_wrapped + MAGIC_SIZE;
    size_t public_size = 32;
    EVP_PKEY *ephemeral = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    memcpy(ret_wrapped, MAGIC, MAGIC_SIZE);
    memcpy(public, recipient, 32);
    bool good = size > 0 && size <= KEY_WRAP_KEY_MAX && ephemeral &&
                EVP_PKEY_get_raw_public_key(ephemeral, public + 32, &public_size) == 1 &&
                agree(ephemeral, recipient, shared) && derive(shared, public, wrapping) &&
                crypt_key(true, wrapping, ret_wrapped, name, key, size, ret_wrapped + HEAD_SIZE,
                          ret_wrapped + HEAD_SIZE + size);
    EVP_PKEY_free(ephemeral);
    OPENSSL_cleanse(shared, sizeof(shared));
    OPENSSL_cleanse(wrapping, sizeof(wrapping));
    return good ? 0 : error_set(ret_error, "nothing can be encrypted to the key server's public key");
}

int key_unwrap(EVP_PKEY *own, const char *name, const uint8_t *wrapped, size_t wrapped_size, uint8_t *ret_key,
               size_t *ret_size, char **ret_error)
{
    uint8_t shared[32], wrapping[32], public[32], tag[TAG_SIZE];
    size_t public_size = sizeof(public);
    if (wrapped_size <= KEY_WRAP_OVERHEAD || wrapped_size > KEY_WRAP_OVERHEAD + KEY_WRAP_KEY_MAX ||
        memcmp(wrapped, MAGIC, MAGIC_SIZE) != 0)
        return error_set(ret_error, "it is no wrapped key");
    if (EVP_PKEY_get_raw_public_key(own, public, &public_size) != 1 || memcmp(wrapped + MAGIC_SIZE, public, 32) != 0)
        return error_set(ret_error, "it was wrapped for another key server");
    size_t size = wrapped_size - KEY_WRAP_OVERHEAD;
    memcpy(tag, wrapped + HEAD_SIZE + size, TAG_SIZE);
    bool good = agree(own, wrapped + MAGIC_SIZE + 32, shared) && derive(shared, wrapped + MAGIC_SIZE, wrapping) &&
                crypt_key(false, wrapping, wrapped, name, wrapped + HEAD_SIZE, size, ret_key, tag);
    OPENSSL_cleanse(shared, sizeof(shared));
    OPENSSL_cleanse(wrapping, sizeof(wrapping));
    if (!good) {
        OPENSSL_cleanse(ret_key, size); /* what was decrypted before the tag was looked at */
        return error_set(ret_error, "it was changed, or wrapped under another name");
    }
    *ret_size = size;
    return 0;
}

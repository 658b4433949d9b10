/*
 * Keys on their way to a key server: encrypted to its public key, so that whoever makes an image need not keep the
 * image's key, nor bring it over in secret. A wrapped key is
 *
 *   "COFRE WRAPPED 1\n" | recipient's public key, 32 | ephemeral public key, 32 | key, AES-256-GCM encrypted | tag, 16
 *
 * under HKDF-SHA-256(X25519 of the two, salt: both public keys, info: KEY_WRAP_INFO) and nonce 0, with all that is
 * before the ciphertext and the key's name at the server as additional data.
 */
#ifndef COFRE_IMAGE_KEY_WRAP_H
#define COFRE_IMAGE_KEY_WRAP_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_WRAP_INFO "cofre wrapped key"
#define KEY_WRAP_OVERHEAD 96
#define KEY_WRAP_KEY_MAX 64 /* bytes of a key */

/* ret_wrapped: size + KEY_WRAP_OVERHEAD bytes. 0, or -1 with *ret_error. */
int key_wrap(const uint8_t recipient[32], const char *name, const uint8_t *key, size_t size, uint8_t *ret_wrapped,
             char **ret_error);
/* own: the recipient's X25519 key; ret_key has room for KEY_WRAP_KEY_MAX. 0, or -1 with *ret_error. */
int key_unwrap(EVP_PKEY *own, const char *name, const uint8_t *wrapped, size_t wrapped_size, uint8_t *ret_key,
               size_t *ret_size, char **ret_error);

#endif

/* ECDSA on P-256 with SHA-256, over libcrypto: keys and signatures as quotes and collateral write them. */
#ifndef COFRE_ATTEST_P256_H
#define COFRE_ATTEST_P256_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of x, y big-endian. NULL if that is no point of the curve. The caller frees it. */
EVP_PKEY *p256_key(const uint8_t point[64]);

/* Whether r, s (big-endian) is the key's signature of the message. */
bool p256_verify(EVP_PKEY *key, const void *message, size_t size, const uint8_t signature[64]);

#endif

/* X25519 (RFC 7748): BearSSL's constant-time code for curves over 2^255 - 19. */
#ifndef COFRE_KERNEL_CRYPTO_X25519_H
#define COFRE_KERNEL_CRYPTO_X25519_H

#include "kernel/lib/types.h"

#define X25519_SIZE 32

/* scalar times the point `u`; takes some tenths of a millisecond. Any 32 bytes are a scalar and a point. */
void x25519(const uint8_t scalar[X25519_SIZE], const uint8_t u[X25519_SIZE], uint8_t ret_u[X25519_SIZE]);
/* The public key of a private one. */
void x25519_public(const uint8_t scalar[X25519_SIZE], uint8_t ret_u[X25519_SIZE]);

#endif

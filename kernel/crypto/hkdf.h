/* HKDF-SHA-256 (RFC 5869): independent keys out of one secret. */
#ifndef COFRE_KERNEL_CRYPTO_HKDF_H
#define COFRE_KERNEL_CRYPTO_HKDF_H

#include "kernel/lib/types.h"

/*
 * Extract, then expand to out_size bytes (at most 255 * 32). salt may be empty; info says what the key is for, so that
 * keys for different purposes never meet.
 */
void hkdf_sha256(const void *secret, size_t secret_size, const void *salt, size_t salt_size, const void *info,
                 size_t info_size, void *ret_out, size_t out_size);

#endif

/* Streaming SHA-256 over OpenSSL's EVP, and the "sha256:<hex>" form of OCI digests. */
#ifndef COFRE_IMAGE_DIGEST_H
#define COFRE_IMAGE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE 65  /* 64 digits and NUL */
#define DIGEST_TEXT_SIZE 72 /* "sha256:", 64 digits, NUL */

struct sha256; /* a running hash */

/* Never returns NULL: running out of memory here ends the program. */
struct sha256 *sha256_new(void);
void sha256_free(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const void *data, size_t size);

/* Writes the digest and leaves the hash ready for another message. */
void sha256_final(struct sha256 *hash, uint8_t ret_digest[SHA256_SIZE]);

void sha256_of(const void *data, size_t size, uint8_t ret_digest[SHA256_SIZE]);

void hex_encode(const uint8_t *data, size_t size, char *ret_text); /* 2 * size digits and NUL */

/* "sha256:<hex>" of a digest. */
void digest_format(const uint8_t digest[SHA256_SIZE], char ret_text[DIGEST_TEXT_SIZE]);

/* True, with the digest in *ret_digest, only for "sha256:" and 64 lower-case digits. */
bool digest_parse(const char *text, uint8_t ret_digest[SHA256_SIZE]);

#endif

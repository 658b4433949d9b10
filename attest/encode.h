/* Text forms of bytes: hex, base64, base64url (RFC 4648) and percent-encoding (RFC 3986), read strictly. */
#ifndef COFRE_ATTEST_ENCODE_H
#define COFRE_ATTEST_ENCODE_H

#include <stddef.h>
#include <stdint.h>

/* 2 * size digits and a NUL; malloc'd, NULL if there is no memory. */
char *attest_hex_encode(const void *data, size_t size);
/* Exactly size bytes from exactly 2 * size digits of either case; -1 if the text is something else. */
int attest_hex_decode(const char *text, void *ret_data, size_t size);

/* malloc'd text; NULL if there is no memory. base64url is without padding, as in JWS. */
char *attest_base64_encode(const void *data, size_t size);
char *attest_base64url_encode(const void *data, size_t size);
/*
 * malloc'd bytes with a NUL after them; NULL if the text is not canonical: a character outside the alphabet, bits left
 * over that are not zero, padding missing (base64) or present (base64url).
 */
uint8_t *attest_base64_decode(const char *text, size_t size, size_t *ret_size);
uint8_t *attest_base64url_decode(const char *text, size_t size, size_t *ret_size);

/* malloc'd text with each %XX replaced; NULL if a '%' is not followed by two digits, or if it stands for NUL. */
char *attest_percent_decode(const char *text);

#endif

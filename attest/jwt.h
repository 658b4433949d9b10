/*
 * JSON Web Tokens as attestation services sign them: compact JWS (RFC 7515, 7519) with RS256 only, checked by the keys
 * of a JWK set (RFC 7517). A token chooses a key of the set by its kid and nothing else: not its algorithm, and not, by
 * "jku" or "x5c", where keys come from.
 */
#ifndef COFRE_ATTEST_JWT_H
#define COFRE_ATTEST_JWT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define ATTEST_JWT_SIZE_MAX (256U << 10)
#define ATTEST_JWT_KEY_COUNT_MAX 64

struct attest_jwt_keys; /* public keys by kid */

struct attest_jwt_expectation {
    const char *issuer; /* what "iss" must be */
    int64_t now;        /* seconds since 1970: before "exp", not before "nbf" */
    int64_t leeway;     /* seconds that clocks may differ by */
};

/*
 * Reads {"keys": [{"kty": "RSA", "kid": ..., "x5c": [...] or "n", "e"}]}. Keys of other types and uses are passed over;
 * an RSA key that is broken, shorter than 2048 bits or differs from its certificate is an error, as is a set with none.
 */
struct attest_jwt_keys *attest_jwt_keys_parse(const char *text, size_t size, char **ret_error);
void attest_jwt_keys_free(struct attest_jwt_keys *keys);

/*
 * Verifies a token and gives its claims, for the caller to json_decref. -1 with *ret_error if it is malformed, of
 * another algorithm, signed by none of the keys, of another issuer, or out of its time.
 */
int attest_jwt_verify(const char *token, size_t size, const struct attest_jwt_keys *keys,
                      const struct attest_jwt_expectation *expectation, json_t **ret_claims, char **ret_error);

#endif

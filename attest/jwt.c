/* JSON Web Tokens with RS256. */
#include "attest/jwt.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "attest/encode.h"
#include "image/error.h"

#define KEY_BITS_MIN 2048
#define KEY_BITS_MAX 16384

struct attest_jwt_keys {
    size_t count;
    struct {
        char *kid;
        EVP_PKEY *key;
    } keys[ATTEST_JWT_KEY_COUNT_MAX];
};

void attest_jwt_keys_free(struct attest_jwt_keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->keys[i].kid);
        EVP_PKEY_free(keys->keys[i].key);
    }
    free(keys);
}

static BIGNUM *number_member(const json_t *jwk, const char *name)
{
    const char *text = json_string_value(json_object_get(jwk, name));
    size_t size;
    uint8_t *bytes = text ? attest_base64url_decode(text, strlen(text), &size) : NULL;
    BIGNUM *number = bytes && size <= KEY_BITS_MAX / 8 ? BN_bin2bn(bytes, (int)size, NULL) : NULL;
    free(bytes);
    return number;
}

static EVP_PKEY *key_of_numbers(const json_t *jwk)
{
    BIGNUM *n = number_member(jwk, "n"), *e = number_member(jwk, "e");
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *parameters = NULL;
    EVP_PKEY *key = NULL;
    if (n && e && builder && context && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) &&
        (parameters = OSSL_PARAM_BLD_to_param(builder)) != NULL && EVP_PKEY_fromdata_init(context) == 1 &&
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        key = NULL;
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(context);
    BN_free(n);
    BN_free(e);
    return key;
}

/* The key of the first certificate of "x5c". The certificate itself proves nothing: the set was fetched over TLS. */
static EVP_PKEY *key_of_certificate(const json_t *jwk)
{
    const char *text = json_string_value(json_array_get(json_object_get(jwk, "x5c"), 0));
    size_t size = 0;
    uint8_t *der = text ? attest_base64_decode(text, strlen(text), &size) : NULL;
    const uint8_t *end = der;
    X509 *certificate = der ? d2i_X509(NULL, &end, (long)size) : NULL;
    EVP_PKEY *key = certificate && end == der + size ? X509_get_pubkey(certificate) : NULL;
    X509_free(certificate);
    free(der);
    return key;
}

static bool key_is_fit(const EVP_PKEY *key)
{
    return key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= KEY_BITS_MIN &&
           EVP_PKEY_get_bits(key) <= KEY_BITS_MAX;
}

static EVP_PKEY *read_key(const json_t *jwk, char **ret_error)
{
    bool has_certificate = json_object_get(jwk, "x5c"), has_numbers = json_object_get(jwk, "n");
    EVP_PKEY *key = has_certificate ? key_of_certificate(jwk) : NULL, *other = has_numbers ? key_of_numbers(jwk) : NULL;
    if ((has_certificate && !key_is_fit(key)) || (has_numbers && !key_is_fit(other)) ||
        (!has_certificate && !has_numbers))
        error_set(ret_error, "a key that is not RSA of %d bits or more", KEY_BITS_MIN);
    else if (key && other && EVP_PKEY_eq(key, other) != 1)
        error_set(ret_error, "a key that differs from its certificate's");
    else if (key) {
        EVP_PKEY_free(other);
        return key;
    } else
        return other;
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    return NULL;
}

static bool member_is(const json_t *json, const char *name, const char *wanted, bool may_be_absent)
{
    const json_t *member = json_object_get(json, name);
    const char *text = json_string_value(member);
    return member ? text && strcmp(text, wanted) == 0 : may_be_absent;
}

static int read_keys(const json_t *root, struct attest_jwt_keys *keys, char **ret_error)
{
    const json_t *list = json_object_get(root, "keys"), *jwk;
    size_t i;
    if (!json_is_array(list))
        return error_set(ret_error, "it has no array \"keys\"");
    json_array_foreach(list, i, jwk)
    {
        const char *kid = json_string_value(json_object_get(jwk, "kid"));
        if (!kid || !member_is(jwk, "kty", "RSA", false) || !member_is(jwk, "use", "sig", true) ||
            !member_is(jwk, "alg", "RS256", true))
            continue;
        if (keys->count == ATTEST_JWT_KEY_COUNT_MAX)
            return error_set(ret_error, "more than %d keys", ATTEST_JWT_KEY_COUNT_MAX);
        EVP_PKEY *key = read_key(jwk, ret_error);
        if (!key)
            return -1;
        keys->keys[keys->count].key = key;
        keys->keys[keys->count++].kid = strdup(kid);
    }
    return keys->count ? 0 : error_set(ret_error, "it has no key for RS256");
}

struct attest_jwt_keys *attest_jwt_keys_parse(const char *text, size_t size, char **ret_error)
{
    struct attest_jwt_keys *keys = calloc(1, sizeof(*keys));
    json_error_t detail;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &detail);
    int result = !keys  ? error_set(ret_error, "out of memory")
                 : root ? read_keys(root, keys, ret_error)
                        : error_set(ret_error, "it is not JSON: %s", detail.text);
    json_decref(root);
    if (result < 0) {
        attest_jwt_keys_free(keys);
        error_wrap(ret_error, "the service's keys");
        return NULL;
    }
    return keys;
}

/* HEADER.CLAIMS.SIGNATURE */
struct parts {
    const char *text[3];
    size_t size[3];
};

static int split(const char *token, size_t size, struct parts *parts)
{
    for (int i = 0; i < 3; i++) {
        const char *dot = i < 2 ? memchr(token, '.', size) : token + size;
        if (!dot)
            return -1;
        parts->text[i] = token;
        parts->size[i] = (size_t)(dot - token);
        size -= i < 2 ? parts->size[i] + 1 : 0;
        token = dot + 1;
    }
    return memchr(parts->text[2], '.', parts->size[2]) ? -1 : 0;
}

static json_t *decode_json(const struct parts *parts, int part)
{
    size_t size;
    uint8_t *bytes = attest_base64url_decode(parts->text[part], parts->size[part], &size);
    json_t *json = bytes ? json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    free(bytes);
    if (json && !json_is_object(json)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static bool signature_holds(const struct parts *parts, const uint8_t *signature, size_t size, EVP_PKEY *key)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t signed_size = parts->size[0] + 1 + parts->size[1]; /* with the dot between them */
    bool good = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, size, (const uint8_t *)parts->text[0], signed_size) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

static int check_signature(const struct parts *parts, const json_t *header, const struct attest_jwt_keys *keys,
                           char **ret_error)
{
    const char *kid = json_string_value(json_object_get(header, "kid"));
    if (!member_is(header, "alg", "RS256", false))
        return error_set(ret_error, "its algorithm is not RS256");
    if (!member_is(header, "typ", "JWT", true) || json_object_get(header, "crit") || json_object_get(header, "b64"))
        return error_set(ret_error, "it is not a plain JWT");
    if (!kid)
        return error_set(ret_error, "it does not say which key signed it");
    size_t size;
    uint8_t *signature = attest_base64url_decode(parts->text[2], parts->size[2], &size);
    if (!signature)
        return error_set(ret_error, "its signature is not base64url");
    bool known = false, good = false;
    for (size_t i = 0; i < keys->count && !good; i++) {
        if (strcmp(keys->keys[i].kid, kid) != 0)
            continue;
        known = true;
        good = signature_holds(parts, signature, size, keys->keys[i].key);
    }
    free(signature);
    if (!known)
        return error_set(ret_error, "the key that signed it, %.100s, is not one of the service's", kid);
    return good ? 0 : error_set(ret_error, "its signature does not hold");
}

/* Seconds of a claim, a number that may have a fraction; -1 if it is there and is not one, 0 if it is not there. */
static int date_claim(const json_t *claims, const char *name, int64_t *ret_seconds)
{
    const json_t *member = json_object_get(claims, name);
    if (!member)
        return 0;
    double value = json_number_value(member);
    if (!json_is_number(member) || !(value >= 0 && value < 1e15))
        return -1;
    *ret_seconds = (int64_t)value;
    return 1;
}

static int check_claims(const json_t *claims, const struct attest_jwt_expectation *expectation, char **ret_error)
{
    int64_t expires = 0, not_before = 0;
    int has_not_before = date_claim(claims, "nbf", &not_before);
    const char *issuer = json_string_value(json_object_get(claims, "iss"));
    if (!issuer || strcmp(issuer, expectation->issuer) != 0)
        return error_set(ret_error, "it was issued by %.200s, not by %s", issuer ? issuer : "nobody",
                         expectation->issuer);
    if (date_claim(claims, "exp", &expires) != 1)
        return error_set(ret_error, "it does not say when it expires");
    if (expectation->now >= expires + expectation->leeway)
        return error_set(ret_error, "it has expired");
    if (has_not_before < 0 || (has_not_before && expectation->now + expectation->leeway < not_before))
        return error_set(ret_error, "it is not valid yet");
    return 0;
}

int attest_jwt_verify(const char *token, size_t size, const struct attest_jwt_keys *keys,
                      const struct attest_jwt_expectation *expectation, json_t **ret_claims, char **ret_error)
{
    struct parts parts;
    json_t *header = NULL, *claims = NULL;
    int result;
    if (size > ATTEST_JWT_SIZE_MAX)
        result = error_set(ret_error, "it is too long");
    else if (split(token, size, &parts) < 0)
        result = error_set(ret_error, "it is not three parts with dots between them");
    else if (!(header = decode_json(&parts, 0)))
        result = error_set(ret_error, "its header is not a JSON object");
    else if ((result = check_signature(&parts, header, keys, ret_error)) == 0 && !(claims = decode_json(&parts, 1)))
        result = error_set(ret_error, "its claims are not a JSON object");
    if (result == 0)
        result = check_claims(claims, expectation, ret_error);
    json_decref(header);
    if (result < 0) {
        json_decref(claims);
        return error_wrap(ret_error, "the token");
    }
    *ret_claims = claims;
    return 0;
}

/*
 * Tokens. First byte 0: a key set, a NUL and a token. Else: claims, which are signed here so that what reads them is
 * reached.
 * fuzz-sources: attest/jwt.c attest/maa_claims.c attest/quote.c attest/report.c attest/encode.c image/error.c
 * fuzz-flags: -lcrypto -ljansson
 */
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/encode.h"
#include "attest/jwt.h"
#include "attest/maa.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *key;
static struct attest_jwt_keys *own_keys;

/* The quote that is asked about: of an enclave of zeros, with a PCK chain of no bytes but the NUL. */
static const uint8_t quote[436 + 576 + 2 + 6 + 1] = {
    [0] = 3, [2] = 2, [432] = (576 + 2 + 6 + 1) & 255, [433] = (576 + 2 + 6 + 1) >> 8, [1014] = 5, [1016] = 1};

static void make_key(void)
{
    char text[2048], *error = NULL;
    X509 *certificate = X509_new();
    uint8_t *der = NULL;
    key = EVP_RSA_gen(2048);
    ASN1_TIME_set(X509_getm_notBefore(certificate), 0);
    ASN1_TIME_set(X509_getm_notAfter(certificate), 1);
    if (!key || !X509_set_pubkey(certificate, key) || !X509_sign(certificate, key, EVP_sha256()))
        abort();
    int der_size = i2d_X509(certificate, &der);
    char *x5c = attest_base64_encode(der, (size_t)der_size);
    snprintf(text, sizeof(text), "{\"keys\":[{\"kid\":\"k\",\"kty\":\"RSA\",\"x5c\":[\"%s\"]}]}", x5c);
    own_keys = attest_jwt_keys_parse(text, strlen(text), &error);
    if (!own_keys)
        abort();
    free(x5c);
    OPENSSL_free(der);
    X509_free(certificate);
}

static void verify(const char *token, const struct attest_jwt_keys *keys)
{
    static const struct attest_maa_request request = {
        .quote = quote, .quote_size = sizeof(quote), .runtime_data = "", .nonce = "1"};
    struct attest_maa_claims claims;
    struct attest_result result;
    char *error = NULL;
    if (attest_maa_verify(token, "i", keys, 1000, NULL, &claims, &error) == 0) {
        attest_maa_result(&claims, 1000, &result);
        attest_maa_claims_free(&claims);
    } else if (!error)
        abort();
    if (attest_maa_verify(token, "i", keys, 1000, &request, &claims, &error) == 0)
        attest_maa_claims_free(&claims);
    free(error);
}

static void try_claims(const uint8_t *data, size_t size)
{
    uint8_t signature[512];
    size_t signature_size = sizeof(signature);
    char *claims = attest_base64url_encode(data, size), *text = NULL, *token = NULL;
    /* {"alg":"RS256","kid":"k"} */
    if (asprintf(&text, "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.%s", claims) < 0)
        abort();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(context, signature, &signature_size, (const uint8_t *)text, strlen(text)) != 1)
        abort();
    EVP_MD_CTX_free(context);
    char *encoded = attest_base64url_encode(signature, signature_size);
    if (asprintf(&token, "%s.%s", text, encoded) < 0)
        abort();
    verify(token, own_keys);
    free(claims);
    free(text);
    free(encoded);
    free(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!key)
        make_key();
    if (size < 2)
        return 0;
    if (data[0]) {
        try_claims(data + 1, size - 1);
        return 0;
    }
    const uint8_t *end = memchr(data + 1, 0, size - 1);
    if (!end)
        return 0;
    char *error = NULL, *token = strndup((const char *)end + 1, size - (size_t)(end + 1 - data));
    struct attest_jwt_keys *keys = attest_jwt_keys_parse((const char *)data + 1, (size_t)(end - data - 1), &error);
    verify(token, keys ? keys : own_keys);
    attest_jwt_keys_free(keys);
    free(token);
    free(error);
    return 0;
}

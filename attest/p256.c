/* ECDSA on P-256. */
#include "attest/p256.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/sha.h>
#include <string.h>

#define DER_SIZE_MAX 80

EVP_PKEY *p256_key(const uint8_t point[64])
{
    uint8_t encoded[65] = {POINT_CONVERSION_UNCOMPRESSED};
    char group[] = "prime256v1";
    memcpy(encoded + 1, point, 64);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, encoded, sizeof(encoded)),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    if (context && EVP_PKEY_fromdata_init(context) == 1)
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX_free(context);
    return key;
}

/* SEQUENCE { r, s } in DER, as libcrypto wants it; its size, 0 on failure. */
static size_t signature_der(const uint8_t signature[64], uint8_t der[DER_SIZE_MAX])
{
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, 32, NULL), *s = BN_bin2bn(signature + 32, 32, NULL);
    int size = 0;
    if (!pair || !r || !s || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
    } else if (i2d_ECDSA_SIG(pair, NULL) <= DER_SIZE_MAX) {
        size = i2d_ECDSA_SIG(pair, &der);
    }
    ECDSA_SIG_free(pair);
    return size > 0 ? (size_t)size : 0;
}

bool p256_verify(EVP_PKEY *key, const void *message, size_t size, const uint8_t signature[64])
{
    uint8_t digest[SHA256_DIGEST_LENGTH], der[DER_SIZE_MAX];
    size_t der_size = signature_der(signature, der);
    EVP_PKEY_CTX *context = der_size ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    bool good = context && SHA256(message, size, digest) && EVP_PKEY_verify_init(context) == 1 &&
                EVP_PKEY_verify(context, der, der_size, digest, sizeof(digest)) == 1;
    EVP_PKEY_CTX_free(context);
    return good;
}

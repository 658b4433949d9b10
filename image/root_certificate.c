/* The key of a certificate (contract in root_certificate.h). */
#include "image/root_certificate.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "image/error.h"

#define POINT_MAX 97

/* Bytes of the uncompressed point; 0: on another curve, or of another kind. */
static size_t public_point(EVP_PKEY *key, unsigned char point[POINT_MAX])
{
    char group[32] = "";
    size_t size = 0, wanted = 0;
    if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || !EVP_PKEY_get_group_name(key, group, sizeof(group), NULL))
        return 0;
    if (strcmp(group, "prime256v1") == 0)
        wanted = 65;
    else if (strcmp(group, "secp384r1") == 0)
        wanted = 97;
    if (wanted == 0 ||
        EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed") != 1 ||
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point, POINT_MAX, &size) != 1)
        return 0;
    return size == wanted && point[0] == 4 ? size : 0;
}

static char *hexadecimal(const unsigned char *bytes, size_t size)
{
    char *text = malloc(2 * size + 1);
    for (size_t i = 0; text && i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return text;
}

int root_certificate_point(const char *pem, size_t size, char **ret_point, char **ret_error)
{
    unsigned char point[POINT_MAX];
    BIO *bio = size <= INT_MAX ? BIO_new_mem_buf(pem, (int)size) : NULL;
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    X509 *second = certificate ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    size_t point_size = certificate && !second ? public_point(X509_get0_pubkey(certificate), point) : 0;
    char *text = point_size ? hexadecimal(point, point_size) : NULL;
    int ret = -1;
    if (text)
        ret = 0;
    else if (!certificate)
        error_set(ret_error, "there is no certificate in it (PEM)");
    else if (second)
        error_set(ret_error, "there is more than one certificate in it: the coordinator's root alone is wanted");
    else
        error_set(ret_error, "its certificate has no ECDSA key on P-256 or P-384");
    X509_free(second);
    X509_free(certificate);
    BIO_free(bio);
    ERR_clear_error();
    if (ret == 0)
        *ret_point = text;
    return ret;
}

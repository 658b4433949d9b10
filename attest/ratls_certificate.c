/* Making certificates that carry evidence. */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "attest/cbor.h"
#include "attest/ratls.h"
#include "image/error.h"

#define OID_INTEROPERABLE "2.23.133.5.4.9"
#define OID_GRAMINE "0.6.9.42.840.113741.1337.6" /* as Gramine writes it */
#define HASH_SHA256 1

EVP_PKEY *attest_ratls_key_new(const char *curve, char **ret_error)
{
    if (strcmp(curve, "P-256") != 0 && strcmp(curve, "P-384") != 0) {
        error_set(ret_error, "the curve %s is not P-256 or P-384", curve);
        return NULL;
    }
    EVP_PKEY *key = EVP_EC_gen(curve);
    if (!key)
        error_set(ret_error, "no key could be made");
    return key;
}

/* SHA-256 of the key as the certificate will have it (SubjectPublicKeyInfo). */
static int key_hash(EVP_PKEY *key, uint8_t ret_hash[SHA256_DIGEST_LENGTH])
{
    uint8_t *spki = NULL;
    int size = i2d_PUBKEY(key, &spki);
    if (size <= 0)
        return -1;
    SHA256(spki, (size_t)size, ret_hash);
    OPENSSL_free(spki);
    return 0;
}

/* {"pubkey-hash": h'[1, h'...']', "nonce": h'...'} */
static int write_claims(EVP_PKEY *key, const uint8_t *nonce, size_t nonce_size, struct attest_cbor_writer *claims)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    struct attest_cbor_writer entry = {0};
    if (key_hash(key, hash) < 0)
        return -1;
    attest_cbor_write(&entry, ATTEST_CBOR_ARRAY, 2);
    attest_cbor_write(&entry, ATTEST_CBOR_UINT, HASH_SHA256);
    attest_cbor_write_string(&entry, ATTEST_CBOR_BYTES, hash, sizeof(hash));
    attest_cbor_write(claims, ATTEST_CBOR_MAP, nonce ? 2 : 1);
    attest_cbor_write_string(claims, ATTEST_CBOR_TEXT, "pubkey-hash", strlen("pubkey-hash"));
    attest_cbor_write_string(claims, ATTEST_CBOR_BYTES, entry.data, entry.size);
    if (nonce) {
        attest_cbor_write_string(claims, ATTEST_CBOR_TEXT, "nonce", strlen("nonce"));
        attest_cbor_write_string(claims, ATTEST_CBOR_BYTES, nonce, nonce_size);
    }
    bool failed = entry.failed || claims->failed;
    free(entry.data);
    return failed ? -1 : 0;
}

int attest_ratls_report_data(EVP_PKEY *key, const uint8_t *nonce, size_t nonce_size, uint8_t ret_report_data[64],
                             char **ret_error)
{
    struct attest_cbor_writer claims = {0};
    int result = write_claims(key, nonce, nonce_size, &claims);
    memset(ret_report_data, 0, 64);
    if (result == 0)
        SHA256(claims.data, claims.size, ret_report_data);
    free(claims.data);
    return result < 0 ? error_set(ret_error, "the key cannot be written") : 0;
}

static int add_extension(X509 *certificate, const char *oid, const uint8_t *data, size_t size)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;
    if (object && value && ASN1_OCTET_STRING_set(value, data, (int)size) == 1)
        extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, value);
    int added = extension ? X509_add_ext(certificate, extension, -1) : 0;
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
    return added == 1 ? 0 : -1;
}

static int add_interoperable(X509 *certificate, EVP_PKEY *key, const struct attest_ratls_certificate_options *options,
                             char **ret_error)
{
    struct attest_cbor_writer claims = {0}, evidence = {0};
    const struct attest_quote_provider *provider = options->provider;
    uint8_t report_data[64] = {0}, *quote = NULL;
    size_t quote_size;
    if (write_claims(key, options->nonce, options->nonce_size, &claims) < 0) {
        free(claims.data);
        return error_set(ret_error, "the key cannot be written");
    }
    SHA256(claims.data, claims.size, report_data);
    int result = provider->quote(provider->context, report_data, &quote, &quote_size, ret_error);
    if (result == 0) {
        attest_cbor_write(&evidence, ATTEST_CBOR_TAG, ATTEST_RATLS_TAG_QUOTE);
        attest_cbor_write(&evidence, ATTEST_CBOR_ARRAY, 2);
        attest_cbor_write_string(&evidence, ATTEST_CBOR_BYTES, quote, quote_size);
        attest_cbor_write_string(&evidence, ATTEST_CBOR_BYTES, claims.data, claims.size);
        if (evidence.failed || add_extension(certificate, OID_INTEROPERABLE, evidence.data, evidence.size) < 0)
            result = error_set(ret_error, "out of memory");
    }
    free(quote);
    free(claims.data);
    free(evidence.data);
    return result;
}

static int add_gramine(X509 *certificate, EVP_PKEY *key, const struct attest_quote_provider *provider, char **ret_error)
{
    uint8_t report_data[64] = {0}, *quote = NULL;
    size_t size;
    if (key_hash(key, report_data) < 0)
        return error_set(ret_error, "the key cannot be written");
    if (provider->quote(provider->context, report_data, &quote, &size, ret_error) < 0)
        return -1;
    int result = add_extension(certificate, OID_GRAMINE, quote, size);
    free(quote);
    return result < 0 ? error_set(ret_error, "out of memory") : 0;
}

static int set_fields(X509 *certificate, EVP_PKEY *key, const struct attest_ratls_certificate_options *options)
{
    const char *name = options->common_name ? options->common_name : "RA-TLS";
    long seconds = (options->days > 0 ? options->days : 30) * 86400L;
    X509_NAME *subject = X509_get_subject_name(certificate);
    uint8_t serial[16];
    if (RAND_bytes(serial, sizeof(serial)) != 1)
        return -1;
    serial[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    int good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL &&
               X509_set_version(certificate, X509_VERSION_3) &&
               X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0) &&
               X509_set_issuer_name(certificate, subject) && X509_set_pubkey(certificate, key) &&
               X509_gmtime_adj(X509_getm_notBefore(certificate), -300) != NULL && /* clocks differ */
               X509_gmtime_adj(X509_getm_notAfter(certificate), seconds) != NULL;
    BN_free(number);
    return good ? 0 : -1;
}

X509 *attest_ratls_certificate_new(EVP_PKEY *key, const struct attest_ratls_certificate_options *options,
                                   char **ret_error)
{
    X509 *certificate = X509_new();
    const EVP_MD *md = EVP_PKEY_get_bits(key) > 256 ? EVP_sha384() : EVP_sha256();
    int result = -1;
    if (options->nonce_size > ATTEST_RATLS_NONCE_SIZE_MAX)
        error_set(ret_error, "the nonce is too long");
    else if (!certificate || set_fields(certificate, key, options) < 0)
        error_set(ret_error, "the certificate cannot be written");
    else if (add_interoperable(certificate, key, options, ret_error) == 0 &&
             (!options->gramine || add_gramine(certificate, key, options->provider, ret_error) == 0))
        result = X509_sign(certificate, key, md) > 0 ? 0 : error_set(ret_error, "the certificate cannot be signed");
    if (result < 0) {
        X509_free(certificate);
        return NULL;
    }
    return certificate;
}

/* Certificate revocation lists. */
#include "attest/crl.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/encode.h"
#include "image/error.h"

static X509_CRL *from_pem(const void *data, size_t size)
{
    BIO *bio = BIO_new_mem_buf(data, (int)size);
    X509_CRL *crl = bio ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return crl;
}

static X509_CRL *from_der(const uint8_t *data, size_t size)
{
    const uint8_t *end = data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &end, (long)size);
    if (crl && end != data + size) {
        X509_CRL_free(crl);
        return NULL;
    }
    return crl;
}

static X509_CRL *from_hex(const char *text, size_t size)
{
    while (size && (isspace((unsigned char)text[size - 1]) || text[size - 1] == 0))
        size--;
    char *digits = strndup(text, size);
    uint8_t *der = malloc(size / 2 + 1);
    X509_CRL *crl = NULL;
    if (digits && der && attest_hex_decode(digits, der, size / 2) == 0)
        crl = from_der(der, size / 2);
    free(digits);
    free(der);
    return crl;
}

X509_CRL *crl_read(const void *data, size_t size)
{
    static const char pem[] = "-----BEGIN";
    const uint8_t *bytes = data;
    if (size < 2 || size > CRL_SIZE_MAX)
        return NULL;
    X509_CRL *crl = size >= sizeof(pem) && memcmp(data, pem, sizeof(pem) - 1) == 0 ? from_pem(data, size)
                    : bytes[0] == 0x30 && bytes[1] & 0x80                          ? from_der(data, size)
                                                                                   : from_hex(data, size);
    ERR_clear_error();
    return crl;
}

static int seconds_of(const ASN1_TIME *time, int64_t *ret_seconds)
{
    struct tm tm;
    if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
        return -1;
    *ret_seconds = timegm(&tm);
    return 0;
}

/* A critical extension that changes what the list means (delta, indirect, of some reasons only) must not be passed
 * over. */
static bool has_critical_extension(const X509_CRL *crl)
{
    for (int i = 0; i < X509_CRL_get_ext_count(crl); i++)
        if (X509_EXTENSION_get_critical(X509_CRL_get_ext(crl, i)))
            return true;
    return false;
}

static int check(X509_CRL *crl, const struct certificate *issuer, struct attest_validity *ret_validity,
                 char **ret_error)
{
    if (X509_CRL_get_version(crl) != X509_CRL_VERSION_2)
        return error_set(ret_error, "it is not of version 2");
    if (X509_CRL_get_signature_nid(crl) != NID_ecdsa_with_SHA256)
        return error_set(ret_error, "it is not signed by ECDSA with SHA-256");
    if (has_critical_extension(crl))
        return error_set(ret_error, "it has a critical extension, and none is known here");
    if (seconds_of(X509_CRL_get0_lastUpdate(crl), &ret_validity->from) < 0 ||
        seconds_of(X509_CRL_get0_nextUpdate(crl), &ret_validity->until) < 0)
        return error_set(ret_error, "it does not say from when until when it holds");
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer->x509)) != 0) {
        char name[128] = "";
        X509_NAME_get_text_by_NID(X509_CRL_get_issuer(crl), NID_commonName, name, sizeof(name));
        return error_set(ret_error, "it is the list of \"%s\", another CA", name);
    }
    if (X509_CRL_verify(crl, X509_get0_pubkey(issuer->x509)) != 1)
        return error_set(ret_error, "its signature is not its issuer's");
    return 0;
}

X509_CRL *crl_load(const void *data, size_t size, const struct certificate *issuer,
                   struct attest_validity *ret_validity, char **ret_error)
{
    X509_CRL *crl = crl_read(data, size);
    if (!crl) {
        error_set(ret_error, "it is not a CRL in DER, hex or PEM");
        return NULL;
    }
    int result = check(crl, issuer, ret_validity, ret_error);
    ERR_clear_error();
    if (result < 0) {
        X509_CRL_free(crl);
        return NULL;
    }
    return crl;
}

bool crl_revokes(X509_CRL *crl, const struct certificate *certificate)
{
    X509_REVOKED *entry = NULL;
    /* 2: taken off the list again */
    return X509_CRL_get0_by_cert(crl, &entry, certificate->x509) == 1;
}

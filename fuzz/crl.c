/*
 * Revocation lists in DER, PEM and hex: read, and compared with an issuer that no signature of theirs is of.
 * fuzz-sources: attest/certificate.c attest/certificate_cache.c attest/crl.c attest/encode.c attest/pem.c image/error.c
 * fuzz-flags: -lcrypto
 */
#include <openssl/ec.h>
#include <stdint.h>
#include <stdlib.h>

#include "attest/crl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A certificate with a fresh key; its name is the list's, so that the signature is looked at. */
static struct certificate issuer;

static void make_issuer(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    issuer.x509 = X509_new();
    if (!key || !issuer.x509 || !X509_set_pubkey(issuer.x509, key))
        abort();
    EVP_PKEY_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attest_validity validity;
    char *error = NULL;
    if (!issuer.x509)
        make_issuer();
    X509_CRL *crl = crl_read(data, size);
    if (crl) {
        X509_set_subject_name(issuer.x509, X509_CRL_get_issuer(crl));
        crl_revokes(crl, &issuer);
        X509_CRL_free(crl);
    }
    if (crl_load(data, size, &issuer, &validity, &error) || !error)
        abort();
    free(error);
    return 0;
}

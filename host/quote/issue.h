/*
 * Issuing what Intel's PKI issues, in the same forms: certificates, revocation lists, signed JSON. For the simulated
 * platform. OpenSSL objects are the caller's to free; NULL means that OpenSSL failed (no memory, no randomness).
 */
#ifndef COFRE_HOST_QUOTE_ISSUE_H
#define COFRE_HOST_QUOTE_ISSUE_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#define ISSUE_DAY 86400

enum issue_kind { ISSUE_CA, ISSUE_SIGNER, ISSUE_PCK };

/* Who signs. */
struct issue_authority {
    X509 *certificate;
    EVP_PKEY *key;
};

/* What the extension 1.2.840.113741.1.13.1 of a PCK certificate says (Intel, "SGX PCK Certificate and Certificate
 * Revocation List Profile Specification", 1.3.5). */
struct issue_platform {
    uint8_t ppid[16];
    uint8_t components[16]; /* TCB component SVNs */
    uint16_t pce_svn;
    uint8_t cpusvn[16];
    const char *fmspc; /* 12 hex digits */
};

/*
 * A certificate of key, of version 3, signed by issuer with ECDSA over SHA-256; issuer NULL: by itself. platform: for
 * ISSUE_PCK. Times are seconds since 1970. The serial number is random.
 */
X509 *issue_certificate(const char *common_name, const char *organisation, enum issue_kind kind, EVP_PKEY *key,
                        const struct issue_authority *issuer, const struct issue_platform *platform, int64_t from,
                        int64_t until);

/* An empty revocation list. */
X509_CRL *issue_crl(const struct issue_authority *issuer, int64_t from, int64_t until);

/* ECDSA over SHA-256: r and s, big-endian, as quotes and JSON documents have it. 0 or -1. */
int issue_sign(EVP_PKEY *key, const void *data, size_t size, uint8_t ret_signature[64]);

/* {"MEMBER":OBJECT,"signature":"..."}; malloc'd. */
char *issue_json(const char *member, const char *object, EVP_PKEY *key);

/* x and y of a P-256 key. 0 or -1. */
int issue_public_key(EVP_PKEY *key, uint8_t ret_point[64]);

/* "2026-11-28T13:00:00Z" */
void issue_date(int64_t seconds, char ret_text[32]);

#endif

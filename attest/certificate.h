/*
 * X.509 certificates of Intel's hierarchy, parsed and verified by libcrypto: root CA, the two PCK CAs, PCK certificates
 * and TCB signers (Intel, "SGX PCK Certificate and CRL Specification"). Names are checked by the phrase that Intel's
 * library looks for, so that another root can have a hierarchy of the same form.
 */
#ifndef COFRE_ATTEST_CERTIFICATE_H
#define COFRE_ATTEST_CERTIFICATE_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "attest/collateral.h"
#include "attest/result.h"

#define CERTIFICATE_COUNT_MAX 3 /* in a chain */
#define CERTIFICATE_SIZE_MAX 4096

enum certificate_role {
    CERTIFICATE_PCK,    /* "... SGX PCK Certificate" */
    CERTIFICATE_PCK_CA, /* "... SGX PCK Processor CA", "... SGX PCK Platform CA" */
    CERTIFICATE_SIGNER, /* "... SGX TCB Signing" */
    CERTIFICATE_ROOT,   /* "... SGX Root CA" */
};

struct certificate {
    X509 *x509;
    uint8_t *der; /* exactly as it came */
    size_t size;
    uint8_t key[64]; /* P-256: x, y */
    struct attest_validity validity;
};

struct certificate_cache;

struct certificate_chain {
    size_t count;
    struct certificate certificates[CERTIFICATE_COUNT_MAX]; /* leaf first */
};

/* DER of each certificate of a PEM text, in order. */
struct pem_list {
    size_t count;
    struct pem_item {
        uint8_t *der;
        size_t size;
    } items[CERTIFICATE_COUNT_MAX];
};

/*
 * Splits a PEM text: certificates and line ends, nothing else, but for one NUL at the end, which quotes have. 0, or -1
 * with *ret_error: what is not PEM or not canonical base64, more than CERTIFICATE_COUNT_MAX, none.
 */
int pem_split(const void *text, size_t size, struct pem_list *ret_list, char **ret_error);
void pem_list_free(struct pem_list *list);

/* Parses DER, all of it: version 3, ECDSA with SHA-256, a P-256 key, no unknown critical extension. */
int certificate_parse(const uint8_t *der, size_t size, struct certificate *ret_certificate, char **ret_error);
void certificate_free(struct certificate *certificate);
/* Another handle on the same certificate. false if there is no memory. */
bool certificate_copy(const struct certificate *certificate, struct certificate *ret_copy);

/* Name and key usage: is it fit for the role? 0, or -1 with *ret_error. */
int certificate_check_role(const struct certificate *certificate, enum certificate_role role, char **ret_error);
/* Which of the two PCK CAs issued a PCK certificate, by the name that it says. */
enum attest_pck_ca certificate_pck_ca(const struct certificate *pck);

/* Names, key identifiers and signature; the issuer may be the certificate itself. */
int certificate_check_issued(const struct certificate *certificate, const struct certificate *issuer, char **ret_error);

void certificate_chain_free(struct certificate_chain *chain);

/*
 * Parses a chain of certificates for the roles (count of them, the last CERTIFICATE_ROOT) and verifies it up to the
 * root's own signature. known (may be NULL) is of certificates verified before: those equal to one of them byte for
 * byte are not verified again; nor is the leaf, if it is in the cache (may be NULL), where it comes once it is verified
 * under a known CA. A cache belongs to one known chain. Whether the root is trusted is not asked. 0, or -1 with
 * *ret_error.
 */
int certificate_chain_verify(const struct pem_list *list, const enum certificate_role *roles, size_t count,
                             const struct certificate_chain *known, struct certificate_cache *cache,
                             struct certificate_chain *ret_chain, char **ret_error);

#endif

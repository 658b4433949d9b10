/*
 * Evidence made to order, over the PKI that EVIDENCE_TOOL (tests/tools/make_evidence.c) writes: quotes of every version
 * and form, documents with one thing changed and signed again, certificates and lists.
 */
#ifndef COFRE_TESTS_EVIDENCE_H
#define COFRE_TESTS_EVIDENCE_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/verify.h"

enum evidence_key { KEY_ROOT, KEY_PLATFORM, KEY_PROCESSOR, KEY_SIGNING, KEY_PCK, KEY_ATTESTATION, KEY_COUNT };

struct blob {
    uint8_t *data; /* malloc'd */
    size_t size;
};

/* What evidence_quote makes; zeros give a version 3 quote of an enclave with its chain in it. */
struct quote_order {
    uint16_t version; /* 0: 3 */
    enum attest_body_type body_type;
    uint16_t certification_type;    /* 0: 5 */
    const void *certification_data; /* NULL: the chain, or the leaf for type 4 */
    size_t certification_data_size;
    size_t auth_size;           /* of the QE's authentication data; 0: 32 */
    struct attest_sgx_body *qe; /* NULL: Intel's-like; REPORTDATA is set here */
    struct attest_sgx_body *sgx;
    struct attest_td_body *td;
};

/* Makes the PKI in a new folder and loads it; fails the test program on any error. */
int evidence_setup(void **state);
int evidence_teardown(void **state);

EVP_PKEY *evidence_key(enum evidence_key key);
struct blob evidence_file(const char *name); /* of the PKI's folder; a NUL follows the bytes */

struct blob evidence_quote(const struct quote_order *order);
/* Bodies that verify. */
struct attest_sgx_body evidence_sgx_body(void);
struct attest_sgx_body evidence_qe_body(int is_tdx);
struct attest_td_body evidence_td_body(void);

/* A signed document with the first `from` in its inner object replaced by `to`, signed again. */
struct blob evidence_resign(const char *name, const char *from, const char *to);
/* The inner object's text signed. */
struct blob evidence_sign(const char *member, const char *object);

/* A revocation list of the issuer ("root", "processor") with one certificate on it; NULL: one that there is not. */
struct blob evidence_crl(const char *name, enum evidence_key key, const char *certificate);

/* A revocation list of the issuer changed by fn, signed again. */
struct blob evidence_changed_crl(const char *name, enum evidence_key key, void (*fn)(X509_CRL *crl));

/* A certificate of the PKI (its file's first one), changed by fn, signed again by the key; PEM. */
struct blob evidence_certificate(const char *file, enum evidence_key key, void (*fn)(X509 *certificate));

/* The documents that verify a quote of an enclave (or TD); the blobs belong to the caller's array of 8. */
struct attest_documents evidence_documents(int is_tdx, struct blob blobs[8]);
void evidence_free(struct blob blobs[8]);

/* The PKI's root, as simulation. */
const struct attest_roots *evidence_roots(void);

#endif

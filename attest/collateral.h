/*
 * Collateral: what Intel says, signed, about one kind of platform, and what revokes. It is parsed once and its
 * signatures are checked once; then it verifies any number of quotes, from any number of threads. It remembers which
 * PCK certificates it has seen verified, and changes in nothing else.
 */
#ifndef COFRE_ATTEST_COLLATERAL_H
#define COFRE_ATTEST_COLLATERAL_H

#include <stddef.h>
#include <stdint.h>

#include "attest/result.h"
#include "attest/roots.h"

struct attest_bundle;

/* size bytes that somebody else owns; data is NULL where there is none. */
struct attest_bytes {
    const void *data;
    size_t size;
};

/* The documents one platform needs, as in DCAP's sgx_ql_qve_collateral_t. CRLs are DER, PEM, or DER in hex. */
struct attest_documents {
    struct attest_bytes tcb_info;          /* JSON {"tcbInfo": ..., "signature": ...} */
    struct attest_bytes tcb_info_chain;    /* PEM: signer, root */
    struct attest_bytes qe_identity;       /* JSON {"enclaveIdentity": ..., "signature": ...} */
    struct attest_bytes qe_identity_chain; /* PEM: signer, root */
    struct attest_bytes pck_crl;
    struct attest_bytes pck_crl_chain; /* PEM: CA, root */
    struct attest_bytes root_crl;
    struct attest_bytes pck_chain; /* PEM: leaf (CA, root); needed for quotes with certification data 1 to 3 only */
};

struct attest_collateral;

/*
 * Parses and checks the documents against the roots, which are copied. What is wrong with one is remembered and becomes
 * the result of each verification that needs it. NULL only if there is no memory. The documents may be freed.
 */
struct attest_collateral *attest_collateral_new(const struct attest_documents *documents,
                                                const struct attest_roots *roots);
/* The same from a bundle. */
struct attest_collateral *attest_collateral_from_bundle(const struct attest_bundle *bundle,
                                                        const struct attest_roots *roots);
void attest_collateral_free(struct attest_collateral *collateral);

/*
 * Reads a file or folder: a bundle of `cofre collateral bundle`; the JSON of DCAP's structure (pck_crl_issuer_chain,
 * root_ca_crl, tcb_info, ...) as other tools write it; or a folder with tcb_info.json, tcb_info_chain.pem,
 * qe_identity.json, qe_identity_chain.pem, pck_crl.der, pck_crl_chain.pem, root_crl.der and, if need be, pck_chain.pem
 * (what is absent counts as not given). NULL with *ret_error.
 */
struct attest_collateral *attest_collateral_load(const char *path, const struct attest_roots *roots, char **ret_error);

/* The first thing wrong with a document of it, as a result without a quote; VERIFIED if nothing is. */
void attest_collateral_status(const struct attest_collateral *collateral, struct attest_result *ret_result);

/* The time span in which all of it holds, seconds since 1970; from > until if there is none. */
void attest_collateral_validity(const struct attest_collateral *collateral, struct attest_validity *ret_validity);

#endif

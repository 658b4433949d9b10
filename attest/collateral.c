/*
 * Collateral: parsed and verified once. Each document has its step; the first step that fails ends the work, and what
 * it says is the answer to every verification.
 */
#include "attest/collateral.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/bundle.h"
#include "attest/certificate_cache.h"
#include "attest/collateral_parts.h"
#include "attest/crl.h"
#include "attest/p256.h"
#include "attest/signed_json.h"
#include "image/error.h"

#define CHAIN_SIZE_MAX (32U << 10)

static int fail(struct collateral_failure *failure, enum attest_check check, enum attest_outcome outcome,
                const char *what, char *why)
{
    failure->check = check;
    failure->outcome = outcome;
    snprintf(failure->reason, sizeof(failure->reason), "%s: %s", what, why ? why : "out of memory");
    free(why);
    return -1;
}

static int missing(struct collateral_failure *failure, enum attest_check check, const char *what)
{
    failure->check = check;
    failure->outcome = ATTEST_OUTCOME_INCOMPLETE;
    snprintf(failure->reason, sizeof(failure->reason), "%s is not among the collateral", what);
    return -1;
}

static void set_validity(struct attest_collateral *collateral, enum attest_dated dated,
                         const struct attest_validity *validity)
{
    collateral->has_validity[dated] = true;
    collateral->validity[dated] = *validity;
}

/* The chain of who signed a document: of two, up to a root that is trusted, the same for all documents. */
static int load_chain(struct attest_collateral *collateral, const struct attest_bytes *text, enum certificate_role role,
                      struct certificate_chain *ret_chain, char **ret_error)
{
    const enum certificate_role roles[] = {role, CERTIFICATE_ROOT};
    struct pem_list list;
    if (text->size > CHAIN_SIZE_MAX)
        return error_set(ret_error, "the issuers' chain is too long");
    if (pem_split(text->data, text->size, &list, ret_error) < 0)
        return error_wrap(ret_error, "the issuers' chain");
    int result = certificate_chain_verify(&list, roles, 2, NULL, NULL, ret_chain, ret_error);
    pem_list_free(&list);
    if (result < 0)
        return error_wrap(ret_error, "the issuers' chain");
    const uint8_t *root = ret_chain->certificates[1].key;
    if (!attest_roots_find(&collateral->roots, root))
        return error_set(ret_error, "the issuers' chain ends in a root that is not trusted");
    if (memcmp(root, collateral->ca_chain.certificates[1].key, 64) != 0)
        return error_set(ret_error, "the issuers' chain ends in another root than that of the PCK CRL");
    return 0;
}

static int load_pck_crl(struct attest_collateral *collateral, const struct attest_documents *documents)
{
    const enum attest_check check = ATTEST_CHECK_PCK_CRL;
    struct attest_validity validity;
    char *error = NULL;
    if (!documents->pck_crl.data)
        return missing(&collateral->failure, check, "the PCK CRL");
    if (!documents->pck_crl_chain.data)
        return missing(&collateral->failure, check, "the chain of the PCK CRL's issuer");
    if (load_chain(collateral, &documents->pck_crl_chain, CERTIFICATE_PCK_CA, &collateral->ca_chain, &error) < 0)
        return fail(&collateral->failure, check, ATTEST_OUTCOME_REJECTED, "PCK CRL", error);
    collateral->pck_crl = crl_load(documents->pck_crl.data, documents->pck_crl.size,
                                   &collateral->ca_chain.certificates[0], &validity, &error);
    if (!collateral->pck_crl)
        return fail(&collateral->failure, check, ATTEST_OUTCOME_REJECTED, "PCK CRL", error);
    set_validity(collateral, ATTEST_DATED_PCK_CRL, &validity);
    return 0;
}

static int load_root_crl(struct attest_collateral *collateral, const struct attest_documents *documents)
{
    struct attest_validity validity;
    char *error = NULL;
    if (!documents->root_crl.data)
        return missing(&collateral->failure, ATTEST_CHECK_ROOT_CRL, "the root CRL");
    collateral->root_crl = crl_load(documents->root_crl.data, documents->root_crl.size,
                                    &collateral->ca_chain.certificates[1], &validity, &error);
    if (!collateral->root_crl)
        return fail(&collateral->failure, ATTEST_CHECK_ROOT_CRL, ATTEST_OUTCOME_REJECTED, "root CRL", error);
    set_validity(collateral, ATTEST_DATED_ROOT_CRL, &validity);
    return 0;
}

/* Opens a document, verifies its signature by the chain's leaf; the caller drops object. */
static int load_signed(const struct attest_bytes *text, const char *name, const struct certificate_chain *chain,
                       struct signed_json *ret_document, char **ret_error)
{
    if (signed_json_open(text->data, text->size, name, ret_document, ret_error) < 0)
        return -1;
    EVP_PKEY *key = X509_get0_pubkey(chain->certificates[0].x509);
    if (p256_verify(key, ret_document->body, ret_document->body_size, ret_document->signature))
        return 0;
    json_decref(ret_document->object);
    return error_set(ret_error, "its signature is not its signer's");
}

static int load_tcb_info(struct attest_collateral *collateral, const struct attest_documents *documents)
{
    const enum attest_check check = ATTEST_CHECK_TCB_INFO;
    struct signed_json document;
    char *error = NULL;
    if (!documents->tcb_info.data)
        return missing(&collateral->failure, check, "TCB info");
    if (!documents->tcb_info_chain.data)
        return missing(&collateral->failure, check, "the chain of TCB info's signer");
    int result = load_chain(collateral, &documents->tcb_info_chain, CERTIFICATE_SIGNER, &collateral->tcb_chain, &error);
    if (result == 0)
        result = load_signed(&documents->tcb_info, "tcbInfo", &collateral->tcb_chain, &document, &error);
    if (result == 0) {
        result = tcb_info_parse(document.object, &collateral->tcb_info, &error);
        json_decref(document.object);
    }
    if (result < 0)
        return fail(&collateral->failure, check, ATTEST_OUTCOME_REJECTED, "TCB info", error);
    set_validity(collateral, ATTEST_DATED_TCB_SIGNER, &collateral->tcb_chain.certificates[0].validity);
    set_validity(collateral, ATTEST_DATED_TCB_INFO, &collateral->tcb_info.validity);
    return 0;
}

static int load_qe_identity(struct attest_collateral *collateral, const struct attest_documents *documents)
{
    const enum attest_check check = ATTEST_CHECK_QE_IDENTITY;
    struct signed_json document;
    char *error = NULL;
    if (!documents->qe_identity.data)
        return missing(&collateral->failure, check, "the QE identity");
    if (!documents->qe_identity_chain.data)
        return missing(&collateral->failure, check, "the chain of the QE identity's signer");
    int result =
        load_chain(collateral, &documents->qe_identity_chain, CERTIFICATE_SIGNER, &collateral->qe_chain, &error);
    if (result == 0)
        result = load_signed(&documents->qe_identity, "enclaveIdentity", &collateral->qe_chain, &document, &error);
    if (result == 0) {
        result = qe_identity_parse(document.object, &collateral->qe_identity, &error);
        json_decref(document.object);
    }
    if (result < 0)
        return fail(&collateral->failure, check, ATTEST_OUTCOME_REJECTED, "QE identity", error);
    set_validity(collateral, ATTEST_DATED_QE_IDENTITY_SIGNER, &collateral->qe_chain.certificates[0].validity);
    set_validity(collateral, ATTEST_DATED_QE_IDENTITY, &collateral->qe_identity.validity);
    return 0;
}

/* No issuer may be on the root's list. */
static int check_revocation(struct attest_collateral *collateral)
{
    static const char *const names[] = {"the CA that issued the PCK CRL", "the signer of TCB info",
                                        "the signer of the QE identity"};
    const struct certificate_chain *chains[] = {&collateral->ca_chain, &collateral->tcb_chain, &collateral->qe_chain};
    for (size_t i = 0; i < 3; i++) {
        if (!crl_revokes(collateral->root_crl, &chains[i]->certificates[0]) &&
            !crl_revokes(collateral->root_crl, &chains[i]->certificates[1]))
            continue;
        collateral->failure.check = ATTEST_CHECK_REVOCATION;
        collateral->failure.outcome = ATTEST_OUTCOME_REJECTED;
        snprintf(collateral->failure.reason, sizeof(collateral->failure.reason), "%s is revoked by the root CRL",
                 names[i]);
        return -1;
    }
    return 0;
}

static void load_pck_chain(struct attest_collateral *collateral, const struct attest_documents *documents)
{
    char *error = NULL;
    if (!documents->pck_chain.data)
        missing(&collateral->pck_failure, ATTEST_CHECK_CERTIFICATION_DATA, "the PCK certificate");
    else if (documents->pck_chain.size > CHAIN_SIZE_MAX ||
             pem_split(documents->pck_chain.data, documents->pck_chain.size, &collateral->pck_list, &error) < 0)
        fail(&collateral->pck_failure, ATTEST_CHECK_PCK_CHAIN, ATTEST_OUTCOME_REJECTED, "PCK certificate", error);
}

struct attest_collateral *attest_collateral_new(const struct attest_documents *documents,
                                                const struct attest_roots *roots)
{
    struct attest_collateral *collateral = calloc(1, sizeof(*collateral));
    if (!collateral)
        return NULL;
    collateral->pck_cache = certificate_cache_new(); /* without it nothing is remembered */
    if (roots)
        collateral->roots = *roots;
    else
        attest_roots_init(&collateral->roots);
    load_pck_chain(collateral, documents);
    if (load_pck_crl(collateral, documents) == 0 && load_root_crl(collateral, documents) == 0 &&
        load_tcb_info(collateral, documents) == 0 && load_qe_identity(collateral, documents) == 0)
        check_revocation(collateral);
    return collateral;
}

static struct attest_bytes bytes_of(const struct attest_document *document)
{
    return (struct attest_bytes){document->data, document->size};
}

static struct attest_bytes chain_of(const struct attest_document *document)
{
    return (struct attest_bytes){document->chain, document->chain ? strlen(document->chain) : 0};
}

struct attest_collateral *attest_collateral_from_bundle(const struct attest_bundle *bundle,
                                                        const struct attest_roots *roots)
{
    const struct attest_document *d = bundle->documents;
    const struct attest_documents documents = {
        .tcb_info = bytes_of(&d[ATTEST_DOCUMENT_TCB_INFO]),
        .tcb_info_chain = chain_of(&d[ATTEST_DOCUMENT_TCB_INFO]),
        .qe_identity = bytes_of(&d[ATTEST_DOCUMENT_QE_IDENTITY]),
        .qe_identity_chain = chain_of(&d[ATTEST_DOCUMENT_QE_IDENTITY]),
        .pck_crl = bytes_of(&d[ATTEST_DOCUMENT_PCK_CRL]),
        .pck_crl_chain = chain_of(&d[ATTEST_DOCUMENT_PCK_CRL]),
        .root_crl = bytes_of(&d[ATTEST_DOCUMENT_ROOT_CRL]),
        .pck_chain = bytes_of(&d[ATTEST_DOCUMENT_PCK_CERT]),
    };
    return attest_collateral_new(&documents, roots);
}

void attest_collateral_free(struct attest_collateral *collateral)
{
    if (!collateral)
        return;
    certificate_chain_free(&collateral->ca_chain);
    certificate_chain_free(&collateral->tcb_chain);
    certificate_chain_free(&collateral->qe_chain);
    X509_CRL_free(collateral->pck_crl);
    X509_CRL_free(collateral->root_crl);
    tcb_info_free(&collateral->tcb_info);
    qe_identity_free(&collateral->qe_identity);
    pem_list_free(&collateral->pck_list);
    certificate_cache_free(collateral->pck_cache);
    free(collateral);
}

void attest_collateral_status(const struct attest_collateral *collateral, struct attest_result *ret_result)
{
    *ret_result = (struct attest_result){.outcome = ATTEST_OUTCOME_VERIFIED};
    if (collateral->failure.check != ATTEST_CHECK_NONE) {
        ret_result->outcome = collateral->failure.outcome;
        ret_result->failed_check = collateral->failure.check;
        memcpy(ret_result->reason, collateral->failure.reason, sizeof(ret_result->reason));
    }
    memcpy(ret_result->has_validity, collateral->has_validity, sizeof(ret_result->has_validity));
    memcpy(ret_result->validity, collateral->validity, sizeof(ret_result->validity));
}

void attest_collateral_validity(const struct attest_collateral *collateral, struct attest_validity *ret_validity)
{
    *ret_validity = (struct attest_validity){INT64_MIN, INT64_MAX};
    for (int i = 0; i < ATTEST_DATED_COUNT; i++) {
        if (!collateral->has_validity[i])
            continue;
        if (collateral->validity[i].from > ret_validity->from)
            ret_validity->from = collateral->validity[i].from;
        if (collateral->validity[i].until < ret_validity->until)
            ret_validity->until = collateral->validity[i].until;
    }
}

/*
 * Verifying a quote: the checks of enum attest_check one after the other, each a function that fails by saying which
 * check failed and why. What is cheap and needs no collateral comes first.
 */
#include "attest/verify.h"

#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/collateral_parts.h"
#include "attest/crl.h"
#include "attest/date.h"
#include "attest/evaluate.h"
#include "attest/p256.h"
#include "attest/pck.h"
#include "image/error.h"

struct verification {
    const struct attest_collateral *collateral; /* may be NULL */
    const struct attest_roots *roots;
    struct attest_quote quote;
    struct pem_list pck_list;       /* of the quote, or copied from collateral */
    struct certificate_chain chain; /* PCK certificate, CA, root */
    struct attest_result *result;
};

static int fail(struct attest_result *result, enum attest_check check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct attest_result *result, enum attest_check check, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(result->reason, sizeof(result->reason), format, args);
    va_end(args);
    result->outcome = ATTEST_OUTCOME_REJECTED;
    result->failed_check = check;
    return -1;
}

/* With a malloc'd reason, which it frees. */
static int fail_with(struct attest_result *result, enum attest_check check, char *why)
{
    fail(result, check, "%s", why ? why : "out of memory");
    free(why);
    return -1;
}

static int incomplete(struct attest_result *result, enum attest_check check, const char *why)
{
    fail(result, check, "%s", why);
    result->outcome = ATTEST_OUTCOME_INCOMPLETE;
    return -1;
}

static int fail_as(struct attest_result *result, const struct collateral_failure *failure)
{
    fail(result, failure->check, "%s", failure->reason);
    result->outcome = failure->outcome;
    return -1;
}

static int check_format(struct verification *v, const void *data, size_t size)
{
    struct attest_result *result = v->result;
    const struct attest_quote *quote = &v->quote;
    char *error = NULL;
    if (attest_quote_parse(data, size, &v->quote, &error) < 0)
        return fail_with(result, ATTEST_CHECK_QUOTE_FORMAT, error);
    result->has_quote = true;
    result->quote_version = quote->version;
    result->tee_type = quote->tee_type;
    result->body_type = quote->body_type;
    memcpy(quote->body_type == ATTEST_BODY_SGX ? (void *)&result->sgx : &result->td, quote->body, quote->body_size);
    memcpy(&result->qe, quote->qe_report, sizeof(result->qe));
    memcpy(result->qe_id, quote->user_data, sizeof(result->qe_id));
    result->certification_type = quote->certification_type;
    if (memcmp(quote->qe_vendor_id, attest_intel_qe_vendor_id, sizeof(attest_intel_qe_vendor_id)) != 0)
        return fail(result, ATTEST_CHECK_QE_VENDOR, "the quoting enclave is not of Intel's kind (vendor ID)");
    return 0;
}

static bool list_append(struct pem_list *list, const uint8_t *der, size_t size)
{
    if (list->count == CERTIFICATE_COUNT_MAX)
        return false;
    struct pem_item *item = &list->items[list->count];
    item->der = malloc(size);
    if (!item->der)
        return false;
    memcpy(item->der, der, size);
    item->size = size;
    list->count++;
    return true;
}

static int check_certification_data(struct verification *v)
{
    const struct attest_quote *quote = &v->quote;
    char *error = NULL;
    switch (quote->certification_type) {
    case ATTEST_CERTIFICATION_PCK_LEAF:
    case ATTEST_CERTIFICATION_PCK_CHAIN:
        if (pem_split(quote->certification_data, quote->certification_data_size, &v->pck_list, &error) < 0)
            return fail_with(v->result, ATTEST_CHECK_CERTIFICATION_DATA, error);
        if (v->pck_list.count != (quote->certification_type == ATTEST_CERTIFICATION_PCK_LEAF ? 1 : 3))
            return fail(v->result, ATTEST_CHECK_CERTIFICATION_DATA,
                        "certification data of type %d has %zu certificates, not %d", quote->certification_type,
                        v->pck_list.count, quote->certification_type == ATTEST_CERTIFICATION_PCK_LEAF ? 1 : 3);
        return 0;
    case ATTEST_CERTIFICATION_PLATFORM_MANIFEST:
        return fail(v->result, ATTEST_CHECK_CERTIFICATION_DATA,
                    "the platform is not registered yet: the quote has its manifest (type 7), no PCK certificate");
    default: /* types 1 to 3; find_pck goes on */
        if (attest_quote_ppid_data(&v->quote, &(struct attest_ppid_data){0}, &error) < 0)
            return fail_with(v->result, ATTEST_CHECK_CERTIFICATION_DATA, error);
        return 0;
    }
}

static int check_quote_signature(struct verification *v)
{
    const struct attest_quote *quote = &v->quote;
    EVP_PKEY *key = p256_key(quote->attestation_key);
    if (!key)
        return fail(v->result, ATTEST_CHECK_QUOTE_SIGNATURE, "the attestation key is no point of P-256");
    bool good = p256_verify(key, quote->signed_bytes, quote->signed_size, quote->signature);
    EVP_PKEY_free(key);
    return good ? 0
                : fail(v->result, ATTEST_CHECK_QUOTE_SIGNATURE,
                       "the quote's signature is not that of its attestation key");
}

static int check_report_bodies(struct verification *v)
{
    char *error = NULL;
    if (attest_sgx_body_check(&v->result->qe, &error) < 0) {
        error_wrap(&error, "the quoting enclave");
        return fail_with(v->result, ATTEST_CHECK_REPORT_BODY, error);
    }
    if (v->result->body_type == ATTEST_BODY_SGX && attest_sgx_body_check(&v->result->sgx, &error) < 0)
        return fail_with(v->result, ATTEST_CHECK_REPORT_BODY, error);
    return 0;
}

static int check_qe_report_data(struct verification *v)
{
    static const uint8_t zeros[32];
    const struct attest_quote *quote = &v->quote;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool made = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, quote->attestation_key, 64) == 1 &&
                EVP_DigestUpdate(context, quote->qe_auth_data, quote->qe_auth_data_size) == 1 &&
                EVP_DigestFinal_ex(context, digest, NULL) == 1;
    EVP_MD_CTX_free(context);
    if (!made)
        return fail(v->result, ATTEST_CHECK_QE_REPORT_DATA, "out of memory");
    if (memcmp(digest, v->result->qe.report_data, 32) != 0 || memcmp(zeros, v->result->qe.report_data + 32, 32) != 0)
        return fail(v->result, ATTEST_CHECK_QE_REPORT_DATA,
                    "the quoting enclave's report does not vouch for the attestation key");
    return 0;
}

/* Types 1 to 3 name a PCK certificate without having it. */
static int find_pck(struct verification *v)
{
    const struct attest_collateral *collateral = v->collateral;
    if (v->pck_list.count)
        return 0;
    if (!collateral)
        return incomplete(v->result, ATTEST_CHECK_CERTIFICATION_DATA,
                          "the quote has no PCK certificate, and there is no collateral to have it from");
    if (collateral->pck_failure.check != ATTEST_CHECK_NONE)
        return fail_as(v->result, &collateral->pck_failure);
    for (size_t i = 0; i < collateral->pck_list.count; i++)
        if (!list_append(&v->pck_list, collateral->pck_list.items[i].der, collateral->pck_list.items[i].size))
            return fail(v->result, ATTEST_CHECK_CERTIFICATION_DATA, "out of memory");
    return 0;
}

/* A PCK certificate without its chain: CA and root are those that the PCK CRL came with. */
static int complete_chain(struct verification *v)
{
    const struct attest_collateral *collateral = v->collateral;
    if (v->pck_list.count != 1)
        return 0;
    if (!collateral || collateral->ca_chain.count != 2)
        return incomplete(v->result, ATTEST_CHECK_PCK_CHAIN,
                          "the CA of the PCK certificate is neither in the quote nor among the collateral");
    for (size_t i = 0; i < 2; i++) {
        const struct certificate *issuer = &collateral->ca_chain.certificates[i];
        if (!list_append(&v->pck_list, issuer->der, issuer->size))
            return fail(v->result, ATTEST_CHECK_PCK_CHAIN, "out of memory");
    }
    return 0;
}

static void set_validity(struct attest_result *result, enum attest_dated dated, const struct certificate *certificate)
{
    result->has_validity[dated] = true;
    result->validity[dated] = certificate->validity;
}

static int check_pck_chain(struct verification *v)
{
    static const enum certificate_role roles[] = {CERTIFICATE_PCK, CERTIFICATE_PCK_CA, CERTIFICATE_ROOT};
    struct attest_result *result = v->result;
    const struct certificate_chain *known = v->collateral ? &v->collateral->ca_chain : NULL;
    char *error = NULL;
    if (find_pck(v) < 0 || complete_chain(v) < 0)
        return -1;
    struct certificate_cache *cache = v->collateral ? v->collateral->pck_cache : NULL;
    if (certificate_chain_verify(&v->pck_list, roles, 3, known, cache, &v->chain, &error) < 0)
        return fail_with(result, ATTEST_CHECK_PCK_CHAIN, error);
    set_validity(result, ATTEST_DATED_PCK_CERT, &v->chain.certificates[0]);
    set_validity(result, ATTEST_DATED_PCK_CA, &v->chain.certificates[1]);
    set_validity(result, ATTEST_DATED_ROOT, &v->chain.certificates[2]);
    result->pck_ca = certificate_pck_ca(&v->chain.certificates[0]);
    if (pck_extensions_of(&v->chain.certificates[0], &result->pck, &error) < 0 ||
        pck_serial_of(&v->chain.certificates[0], result->pck_serial, &error) < 0)
        return fail_with(result, ATTEST_CHECK_PCK_EXTENSIONS, error);
    result->has_pck = true;
    return 0;
}

/* Is a PCK certificate that came from elsewhere the one the quote names? The QE report's signature proves it. */
static int check_ppid(struct verification *v)
{
    const struct attest_pck *pck = &v->result->pck;
    struct attest_ppid_data data;
    if (v->quote.certification_type > ATTEST_CERTIFICATION_PPID_RSA3072)
        return 0;
    if (attest_quote_ppid_data(&v->quote, &data, NULL) < 0)
        return fail(v->result, ATTEST_CHECK_CERTIFICATION_DATA, "it cannot be read");
    if (v->quote.certification_type == ATTEST_CERTIFICATION_PPID && memcmp(data.ppid, pck->ppid, 16) != 0)
        return fail(v->result, ATTEST_CHECK_CERTIFICATION_DATA,
                    "the PCK certificate among the collateral is another platform's (PPID)");
    if (data.pce_id != (pck->pce_id[0] | pck->pce_id[1] << 8))
        return fail(v->result, ATTEST_CHECK_CERTIFICATION_DATA,
                    "the PCK certificate among the collateral is another PCE's (PCEID)");
    return 0;
}

static int check_root(struct verification *v)
{
    struct attest_result *result = v->result;
    const uint8_t *key = v->chain.certificates[2].key;
    SHA256(key, 64, result->root_key_sha256);
    result->has_root = true;
    const struct attest_root *root = attest_roots_find(v->roots, key);
    if (!root)
        return fail(result, ATTEST_CHECK_ROOT, "the chain of the PCK certificate ends in a root that is not trusted");
    result->simulation = root->simulation;
    return 0;
}

static int check_qe_report_signature(struct verification *v)
{
    EVP_PKEY *key = X509_get0_pubkey(v->chain.certificates[0].x509);
    if (!p256_verify(key, v->quote.qe_report, sizeof(struct attest_sgx_body), v->quote.qe_report_signature))
        return fail(v->result, ATTEST_CHECK_QE_REPORT_SIGNATURE,
                    "the signature of the quoting enclave's report is not that of the PCK certificate's key");
    return 0;
}

static int check_collateral(struct verification *v)
{
    const struct attest_collateral *collateral = v->collateral;
    if (!collateral)
        return incomplete(v->result, ATTEST_CHECK_TCB_INFO, "there is no collateral");
    for (int i = 0; i < ATTEST_DATED_COUNT; i++)
        if (collateral->has_validity[i]) {
            v->result->has_validity[i] = true;
            v->result->validity[i] = collateral->validity[i];
        }
    return collateral->failure.check == ATTEST_CHECK_NONE ? 0 : fail_as(v->result, &collateral->failure);
}

/* The lists are of the CAs in this chain, by name and key, and none of its certificates is on them. */
static int check_revocation(struct verification *v)
{
    const struct attest_collateral *collateral = v->collateral;
    const struct certificate *ca = &v->chain.certificates[1], *root = &v->chain.certificates[2];
    const struct certificate *list_ca = &collateral->ca_chain.certificates[0];
    if (memcmp(root->key, collateral->ca_chain.certificates[1].key, sizeof(root->key)) != 0)
        return fail(v->result, ATTEST_CHECK_ROOT_CRL, "the collateral is under another root than the quote");
    if (memcmp(ca->key, list_ca->key, sizeof(ca->key)) != 0 ||
        X509_NAME_cmp(X509_get_subject_name(ca->x509), X509_get_subject_name(list_ca->x509)) != 0)
        return fail(v->result, ATTEST_CHECK_PCK_CRL, "the PCK CRL is of another CA than issued the PCK certificate");
    if (crl_revokes(collateral->pck_crl, &v->chain.certificates[0]))
        return fail(v->result, ATTEST_CHECK_REVOCATION, "the PCK certificate is revoked");
    if (crl_revokes(collateral->root_crl, ca) || crl_revokes(collateral->root_crl, root))
        return fail(v->result, ATTEST_CHECK_REVOCATION, "the CA that issued the PCK certificate is revoked");
    return 0;
}

static const char *tee_name(bool is_tdx)
{
    return is_tdx ? "TDX" : "SGX";
}

static int check_match(struct verification *v)
{
    const struct tcb_info *info = &v->collateral->tcb_info;
    const struct qe_identity *identity = &v->collateral->qe_identity;
    const struct attest_pck *pck = &v->result->pck;
    bool is_tdx = v->quote.tee_type == ATTEST_TEE_TDX;
    if (info->is_tdx != is_tdx)
        return fail(v->result, ATTEST_CHECK_COLLATERAL_MATCH, "the TCB info is for %s, the quote is of %s",
                    tee_name(info->is_tdx), tee_name(is_tdx));
    if (identity->is_tdx != is_tdx)
        return fail(v->result, ATTEST_CHECK_COLLATERAL_MATCH, "the QE identity is for %s, the quote is of %s",
                    tee_name(identity->is_tdx), tee_name(is_tdx));
    if (memcmp(info->fmspc, pck->fmspc, sizeof(pck->fmspc)) != 0)
        return fail(v->result, ATTEST_CHECK_COLLATERAL_MATCH,
                    "the TCB info is for FMSPC %02x%02x%02x%02x%02x%02x, the PCK certificate of another",
                    info->fmspc[0], info->fmspc[1], info->fmspc[2], info->fmspc[3], info->fmspc[4], info->fmspc[5]);
    if (memcmp(info->pce_id, pck->pce_id, sizeof(pck->pce_id)) != 0)
        return fail(v->result, ATTEST_CHECK_COLLATERAL_MATCH,
                    "the TCB info is for another PCEID than the PCK certificate");
    return 0;
}

static int check_identities(struct verification *v)
{
    struct attest_result *result = v->result;
    char *error = NULL;
    if (qe_identity_check(&v->collateral->qe_identity, &result->qe, &error) < 0)
        return fail_with(result, ATTEST_CHECK_QE_REPORT, error);
    if (result->body_type != ATTEST_BODY_SGX &&
        evaluate_tdx_module_check(&v->collateral->tcb_info, &result->td, &error) < 0)
        return fail_with(result, ATTEST_CHECK_TDX_MODULE, error);
    return 0;
}

static int check_validity(struct attest_result *result)
{
    for (int i = 0; i < ATTEST_DATED_COUNT; i++) {
        const struct attest_validity *validity = &result->validity[i];
        bool is_early = result->time < validity->from;
        char limit[32], when[32];
        if (!result->has_validity[i] || (!is_early && result->time <= validity->until))
            continue;
        attest_time_format(is_early ? validity->from : validity->until, limit);
        attest_time_format(result->time, when);
        fail(result, ATTEST_CHECK_VALIDITY, "the %s is valid %s %s; the time of evaluation is %s",
             attest_dated_name((enum attest_dated)i), is_early ? "from" : "until", limit, when);
        result->outcome = ATTEST_OUTCOME_EXPIRED;
        return -1;
    }
    return 0;
}

static int verify(struct verification *v, const void *data, size_t size)
{
    if (check_format(v, data, size) < 0 || check_certification_data(v) < 0 || check_quote_signature(v) < 0 ||
        check_qe_report_data(v) < 0 || check_report_bodies(v) < 0 || check_pck_chain(v) < 0 || check_root(v) < 0 ||
        check_ppid(v) < 0 || check_qe_report_signature(v) < 0 || check_collateral(v) < 0 || check_revocation(v) < 0 ||
        check_match(v) < 0 || check_identities(v) < 0)
        return -1;
    evaluate_tcb(&v->collateral->tcb_info, &v->collateral->qe_identity, v->result);
    return check_validity(v->result);
}

int attest_verify_quote(const void *quote, size_t size, const struct attest_collateral *collateral,
                        const struct attest_roots *roots, int64_t time, struct attest_result *ret_result)
{
    struct attest_roots intel;
    attest_roots_init(&intel);
    *ret_result = (struct attest_result){.time = time};
    struct verification v = {.collateral = collateral,
                             .roots = collateral ? &collateral->roots
                                      : roots    ? roots
                                                 : &intel,
                             .result = ret_result};
    int result = verify(&v, quote, size);
    pem_list_free(&v.pck_list);
    certificate_chain_free(&v.chain);
    return result;
}

int attest_quote_platform(const void *data, size_t size, struct attest_pck *ret_pck, enum attest_pck_ca *ret_ca,
                          uint32_t *ret_tee_type, char **ret_error)
{
    struct attest_quote quote;
    struct pem_list list;
    struct certificate leaf;
    if (attest_quote_parse(data, size, &quote, ret_error) < 0)
        return -1;
    if (quote.certification_type != ATTEST_CERTIFICATION_PCK_CHAIN &&
        quote.certification_type != ATTEST_CERTIFICATION_PCK_LEAF)
        return error_set(ret_error, "certification data of type %d does not say which platform it is",
                         quote.certification_type);
    if (pem_split(quote.certification_data, quote.certification_data_size, &list, ret_error) < 0)
        return -1;
    int result = certificate_parse(list.items[0].der, list.items[0].size, &leaf, ret_error);
    if (result == 0) {
        result = pck_extensions_of(&leaf, ret_pck, ret_error);
        *ret_ca = certificate_pck_ca(&leaf);
        *ret_tee_type = quote.tee_type;
        certificate_free(&leaf);
    }
    pem_list_free(&list);
    return result;
}

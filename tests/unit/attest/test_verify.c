/* Verification of made-up evidence: every version and form, and everything that may be wrong with it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/x509v3.h>

#include "tests/unit/attest/evidence.h"

static struct attest_result result;

static struct attest_bytes bytes(struct blob blob)
{
    return (struct attest_bytes){blob.data, blob.size};
}

/* Verifies, frees the quote. */
static void verify_with(struct blob quote, const struct attest_documents *documents)
{
    struct attest_collateral *collateral = attest_collateral_new(documents, evidence_roots());
    assert_non_null(collateral);
    int status = attest_verify_quote(quote.data, quote.size, collateral, NULL, time(NULL), &result);
    assert_int_equal(status == 0, result.outcome == ATTEST_OUTCOME_VERIFIED);
    assert_int_equal(result.outcome == ATTEST_OUTCOME_VERIFIED, result.failed_check == ATTEST_CHECK_NONE);
    assert_int_equal(result.reason[0] == 0, result.failed_check == ATTEST_CHECK_NONE);
    attest_collateral_free(collateral);
    free(quote.data);
}

static void verify_order(const struct quote_order *order)
{
    struct blob blobs[8];
    struct attest_documents documents =
        evidence_documents(order->body_type && order->body_type != ATTEST_BODY_SGX, blobs);
    verify_with(evidence_quote(order), &documents);
    evidence_free(blobs);
}

static void expect(enum attest_outcome outcome, enum attest_check check)
{
    if (result.outcome != outcome || result.failed_check != check)
        fail_msg("%s, %s: %s; expected %s, %s", attest_outcome_name(result.outcome),
                 attest_check_name(result.failed_check), result.reason, attest_outcome_name(outcome),
                 attest_check_name(check));
}

static void expect_rejected(enum attest_check check, const char *word)
{
    expect(ATTEST_OUTCOME_REJECTED, check);
    if (!strstr(result.reason, word))
        fail_msg("\"%s\" says nothing of \"%s\"", result.reason, word);
}

static void test_versions(void **state)
{
    static const struct {
        uint16_t version;
        enum attest_body_type body;
    } forms[] = {{3, ATTEST_BODY_SGX}, {4, ATTEST_BODY_SGX},  {4, ATTEST_BODY_TD10},
                 {5, ATTEST_BODY_SGX}, {5, ATTEST_BODY_TD10}, {5, ATTEST_BODY_TD15}};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        verify_order(&(struct quote_order){.version = forms[i].version, .body_type = forms[i].body});
        expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
        assert_int_equal(result.tcb_status, ATTEST_TCB_UP_TO_DATE);
        assert_int_equal(result.quote_version, forms[i].version);
        assert_int_equal(result.body_type, forms[i].body);
        assert_true(result.simulation);
        char *json = attest_result_json(&result);
        assert_non_null(strstr(json, "\"verified\""));
        free(json);
    }
    verify_order(&(struct quote_order){.auth_size = 16384}); /* Intel's QE has 32; the format knows no limit */
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
}

/* A quote with a PCK certificate in it says which platform it is of. */
static void expect_platform(uint16_t certification_type, enum attest_pck_ca expected)
{
    struct blob quote = evidence_quote(&(struct quote_order){.certification_type = certification_type});
    struct attest_pck pck;
    enum attest_pck_ca ca = (enum attest_pck_ca) - 1;
    uint32_t tee = 1;
    assert_int_equal(attest_quote_platform(quote.data, quote.size, &pck, &ca, &tee, NULL), 0);
    assert_memory_equal(pck.fmspc, result.pck.fmspc, sizeof(pck.fmspc));
    assert_int_equal(ca, expected);
    assert_int_equal(tee, ATTEST_TEE_SGX);
    free(quote.data);
}

static void test_certification_data(void **state)
{
    uint8_t data[404] = {0};
    for (int i = 0; i < 16; i++)
        data[i] = (uint8_t)i; /* the PPID of the tool's PCK certificate */
    struct quote_order order = {.certification_type = 1, .certification_data = data, .certification_data_size = 36};
    verify_order(&order);
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    data[0] = 1;
    verify_order(&order);
    expect_rejected(ATTEST_CHECK_CERTIFICATION_DATA, "PPID");
    order.certification_type = 3;
    order.certification_data_size = 404;
    verify_order(&order);
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    data[402] = 1;
    verify_order(&order);
    expect_rejected(ATTEST_CHECK_CERTIFICATION_DATA, "PCEID");
    order.certification_data_size = 403;
    verify_order(&order);
    expect_rejected(ATTEST_CHECK_CERTIFICATION_DATA, "403 bytes");
    data[402] = 0;
    order.certification_type = 2;
    order.certification_data_size = 276;
    verify_order(&order);
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    struct blob blobs[8];
    struct attest_documents documents = evidence_documents(0, blobs);
    documents.pck_chain.data = NULL;
    verify_with(evidence_quote(&order), &documents);
    expect(ATTEST_OUTCOME_INCOMPLETE, ATTEST_CHECK_CERTIFICATION_DATA);
    evidence_free(blobs);
    verify_order(&(struct quote_order){.certification_type = 4});
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    expect_platform(4, ATTEST_PCK_CA_PROCESSOR);
    expect_platform(5, ATTEST_PCK_CA_PROCESSOR);
    order = (struct quote_order){.certification_type = 7, .certification_data = data, .certification_data_size = 8};
    verify_order(&order);
    expect_rejected(ATTEST_CHECK_CERTIFICATION_DATA, "manifest");
    order.certification_type = 6;
    verify_order(&order);
    expect_rejected(ATTEST_CHECK_QUOTE_FORMAT, "type 6");
}

/* A chain of certificates of the PKI: p PCK, c its CA, f the other CA, r root, s signer. */
static void verify_chain(const char *certificates)
{
    char text[32768] = "";
    for (; *certificates; certificates++) {
        const char *name = *certificates == 'p'   ? "pck.pem"
                           : *certificates == 'c' ? "processor_chain.pem"
                           : *certificates == 'f' ? "platform_chain.pem"
                           : *certificates == 's' ? "signing_chain.pem"
                                                  : "root.pem";
        struct blob pem = evidence_file(name);
        char *end = strstr((char *)pem.data, "-----END CERTIFICATE-----\n") + 26;
        strncat(text, (char *)pem.data, (size_t)(end - (char *)pem.data));
        free(pem.data);
    }
    verify_order(&(struct quote_order){.certification_data = text, .certification_data_size = strlen(text)});
}

static void test_chains(void **state)
{
    static const char *const wrong[] = {"prc", "cpr", "crp", "rpc", "rcp", "pfr", "psr", "pcc", "ppp", "scr"};
    verify_chain("pcr");
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        verify_chain(wrong[i]);
        expect(ATTEST_OUTCOME_REJECTED, ATTEST_CHECK_PCK_CHAIN);
    }
    verify_chain("pcrr");
    expect_rejected(ATTEST_CHECK_CERTIFICATION_DATA, "more than 3");
    verify_chain("pc");
    expect_rejected(ATTEST_CHECK_CERTIFICATION_DATA, "2 certificates");
    verify_chain("p");
    expect_rejected(ATTEST_CHECK_CERTIFICATION_DATA, "1 certificates");
}

static void set_usage(X509 *certificate, const char *basic, const char *usage)
{
    const struct {
        int nid;
        const char *value;
    } extensions[] = {{NID_basic_constraints, basic}, {NID_key_usage, usage}};
    for (int i = 0; i < 2; i++) {
        int at = X509_get_ext_by_NID(certificate, extensions[i].nid, -1);
        X509_EXTENSION_free(X509_delete_ext(certificate, at));
        if (!extensions[i].value)
            continue;
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, extensions[i].nid, extensions[i].value);
        assert_true(X509_add_ext(certificate, extension, -1));
        X509_EXTENSION_free(extension);
    }
}

static void make_ca(X509 *certificate)
{
    set_usage(certificate, "critical,CA:TRUE", "critical,keyCertSign,cRLSign");
}

static void make_signer_of_certificates(X509 *certificate)
{
    set_usage(certificate, "critical,CA:FALSE", "critical,digitalSignature,keyCertSign");
}

static void make_without_usage(X509 *certificate)
{
    set_usage(certificate, "critical,CA:FALSE", NULL);
}

static void make_old(X509 *certificate)
{
    X509_gmtime_adj(X509_getm_notAfter(certificate), -3600);
}

static void make_future(X509 *certificate)
{
    X509_gmtime_adj(X509_getm_notBefore(certificate), 3600);
}

static void add_unknown_critical(X509 *certificate)
{
    ASN1_OBJECT *object = OBJ_txt2obj("1.3.6.1.4.1.99999.1", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(value, (const uint8_t *)"\5\0", 2);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 1, value);
    assert_true(X509_add_ext(certificate, extension, -1));
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
}

static void drop_sgx_extensions(X509 *certificate)
{
    ASN1_OBJECT *object = OBJ_txt2obj("1.2.840.113741.1.13.1", 1);
    X509_EXTENSION_free(X509_delete_ext(certificate, X509_get_ext_by_OBJ(certificate, object, -1)));
    ASN1_OBJECT_free(object);
}

static void damage_sgx_extensions(X509 *certificate)
{
    ASN1_OBJECT *object = OBJ_txt2obj("1.2.840.113741.1.13.1", 1);
    X509_EXTENSION *extension = X509_get_ext(certificate, X509_get_ext_by_OBJ(certificate, object, -1));
    ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(extension);
    ASN1_OCTET_STRING *shorter = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(shorter, ASN1_STRING_get0_data(value), ASN1_STRING_length(value) - 1);
    X509_EXTENSION_set_data(extension, shorter);
    ASN1_OCTET_STRING_free(shorter);
    ASN1_OBJECT_free(object);
}

/* A PCK certificate changed and signed again, in its chain. */
static void verify_changed_pck(void (*fn)(X509 *certificate), enum evidence_key key)
{
    char text[32768];
    struct blob pck = evidence_certificate("pck.pem", key, fn), chain = evidence_file("processor_chain.pem");
    snprintf(text, sizeof(text), "%s%s", (char *)pck.data, (char *)chain.data);
    verify_order(&(struct quote_order){.certification_data = text, .certification_data_size = strlen(text)});
    free(pck.data);
    free(chain.data);
}

static void keep(X509 *certificate)
{
    (void)certificate;
}

static void test_certificates(void **state)
{
    verify_changed_pck(keep, KEY_PROCESSOR);
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    verify_changed_pck(keep, KEY_PLATFORM);
    expect_rejected(ATTEST_CHECK_PCK_CHAIN, "signature");
    verify_changed_pck(make_ca, KEY_PROCESSOR);
    expect_rejected(ATTEST_CHECK_PCK_CHAIN, "basic constraints");
    verify_changed_pck(make_signer_of_certificates, KEY_PROCESSOR);
    expect_rejected(ATTEST_CHECK_PCK_CHAIN, "key usage");
    verify_changed_pck(make_without_usage, KEY_PROCESSOR);
    expect_rejected(ATTEST_CHECK_PCK_CHAIN, "what its key is for");
    verify_changed_pck(add_unknown_critical, KEY_PROCESSOR);
    expect_rejected(ATTEST_CHECK_PCK_CHAIN, "critical");
    verify_changed_pck(drop_sgx_extensions, KEY_PROCESSOR);
    expect_rejected(ATTEST_CHECK_PCK_EXTENSIONS, "no SGX extensions");
    verify_changed_pck(damage_sgx_extensions, KEY_PROCESSOR);
    expect_rejected(ATTEST_CHECK_PCK_EXTENSIONS, "SEQUENCE");
    verify_changed_pck(make_old, KEY_PROCESSOR);
    expect(ATTEST_OUTCOME_EXPIRED, ATTEST_CHECK_VALIDITY);
    assert_int_equal(result.tcb_status, ATTEST_TCB_UP_TO_DATE);
    verify_changed_pck(make_future, KEY_PROCESSOR);
    expect(ATTEST_OUTCOME_EXPIRED, ATTEST_CHECK_VALIDITY);
    assert_non_null(strstr(result.reason, "PCK certificate is valid from"));
}

static void forbid_cas_below(X509 *certificate)
{
    set_usage(certificate, "critical,CA:TRUE,pathlen:0", "critical,keyCertSign,cRLSign");
}

/* Intel's root has had three certificates; the first says that no CA stands under it. Its key is what counts. */
static void test_other_certificate_of_root(void **state)
{
    char text[32768];
    struct blob pck = evidence_file("pck.pem"), ca = evidence_file("processor_chain.pem"),
                root = evidence_certificate("root.pem", KEY_ROOT, forbid_cas_below);
    char *end = strstr((char *)ca.data, "-----END CERTIFICATE-----\n") + 26;
    snprintf(text, sizeof(text), "%s%.*s%s", (char *)pck.data, (int)(end - (char *)ca.data), (char *)ca.data,
             (char *)root.data);
    verify_order(&(struct quote_order){.certification_data = text, .certification_data_size = strlen(text)});
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    free(pck.data);
    free(ca.data);
    free(root.data);
}

static void test_revocation(void **state)
{
    static const struct {
        const char *list;
        enum evidence_key key;
        const char *certificate;
        const char *word;
    } cases[] = {{"processor", KEY_PROCESSOR, "pck.pem", "PCK certificate is revoked"},
                 {"root", KEY_ROOT, "processor_chain.pem", "issued the PCK CRL is revoked"},
                 {"root", KEY_ROOT, "signing_chain.pem", "signer of TCB info is revoked"}};
    for (size_t i = 0; i < 3; i++) {
        struct blob blobs[8], crl = evidence_crl(cases[i].list, cases[i].key, cases[i].certificate);
        struct attest_documents documents = evidence_documents(0, blobs);
        *(i == 0 ? &documents.pck_crl : &documents.root_crl) = bytes(crl);
        verify_with(evidence_quote(&(struct quote_order){0}), &documents);
        if (!strstr(result.reason, cases[i].word))
            fail_msg("%s", result.reason);
        expect(ATTEST_OUTCOME_REJECTED, ATTEST_CHECK_REVOCATION);
        evidence_free(blobs);
        OPENSSL_free(crl.data);
    }
    struct blob blobs[8], others = evidence_crl("processor", KEY_PROCESSOR, NULL),
                          forged = evidence_crl("processor", KEY_PLATFORM, NULL);
    struct attest_documents documents = evidence_documents(0, blobs);
    documents.pck_crl = bytes(others);
    verify_with(evidence_quote(&(struct quote_order){0}), &documents);
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    documents.pck_crl = bytes(forged);
    verify_with(evidence_quote(&(struct quote_order){0}), &documents);
    expect_rejected(ATTEST_CHECK_PCK_CRL, "signature");
    documents.pck_crl = documents.root_crl;
    verify_with(evidence_quote(&(struct quote_order){0}), &documents);
    expect_rejected(ATTEST_CHECK_PCK_CRL, "another CA");
    evidence_free(blobs);
    OPENSSL_free(others.data);
    OPENSSL_free(forged.data);
}

/* Verifies with one document in the place of its own; 0 TCB info, 1 its signer's chain, 2 QE identity. */
static void verify_document(int place, struct blob document)
{
    struct blob blobs[8];
    struct attest_documents documents = evidence_documents(0, blobs);
    ((struct attest_bytes *)&documents)[place] = bytes(document);
    verify_with(evidence_quote(&(struct quote_order){0}), &documents);
    evidence_free(blobs);
    free(document.data);
}

static void end_list(X509_CRL *crl)
{
    ASN1_TIME *time = X509_gmtime_adj(NULL, -60);
    X509_CRL_set1_nextUpdate(crl, time);
    ASN1_TIME_free(time);
}

static void begin_list_later(X509_CRL *crl)
{
    ASN1_TIME *time = X509_gmtime_adj(NULL, 3600);
    X509_CRL_set1_lastUpdate(crl, time);
    ASN1_TIME_free(time);
}

static void make_delta(X509_CRL *crl)
{
    ASN1_INTEGER *base = ASN1_INTEGER_new();
    ASN1_INTEGER_set(base, 1);
    assert_true(X509_CRL_add1_ext_i2d(crl, NID_delta_crl, base, 1, 0));
    ASN1_INTEGER_free(base);
}

static void make_version_1(X509_CRL *crl)
{
    while (X509_CRL_get_ext_count(crl))
        X509_EXTENSION_free(X509_CRL_delete_ext(crl, 0));
    X509_CRL_set_version(crl, 0);
}

static void test_lists(void **state)
{
    static const struct {
        void (*fn)(X509_CRL *crl);
        enum attest_outcome outcome;
        const char *word;
    } cases[] = {{end_list, ATTEST_OUTCOME_EXPIRED, "CRL is valid until"},
                 {begin_list_later, ATTEST_OUTCOME_EXPIRED, "CRL is valid from"},
                 {make_delta, ATTEST_OUTCOME_REJECTED, "critical extension"},
                 {make_version_1, ATTEST_OUTCOME_REJECTED, "version 2"}};
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        bool root = i % 2;
        struct blob blobs[8],
            crl = evidence_changed_crl(root ? "root" : "processor", root ? KEY_ROOT : KEY_PROCESSOR, cases[i / 2].fn);
        struct attest_documents documents = evidence_documents(0, blobs);
        *(root ? &documents.root_crl : &documents.pck_crl) = bytes(crl);
        verify_with(evidence_quote(&(struct quote_order){0}), &documents);
        expect(cases[i / 2].outcome, cases[i / 2].outcome == ATTEST_OUTCOME_EXPIRED ? ATTEST_CHECK_VALIDITY
                                     : root                                         ? ATTEST_CHECK_ROOT_CRL
                                                                                    : ATTEST_CHECK_PCK_CRL);
        if (!strstr(result.reason, cases[i / 2].word) || !strstr(result.reason, root ? "root" : "PCK"))
            fail_msg("%s", result.reason);
        evidence_free(blobs);
        OPENSSL_free(crl.data);
    }
}

/* A document's time is over, or its signer's; and signers' chains out of order or with more in them. */
static void test_old_documents(void **state)
{
    static const char until[] = "\"nextUpdate\":\"2001-01-01T00:00:00Z\",\"x\":\"";
    verify_document(0, evidence_resign("tcb_v4_sgx.json", "\"nextUpdate\":\"", until));
    expect(ATTEST_OUTCOME_EXPIRED, ATTEST_CHECK_VALIDITY);
    assert_non_null(strstr(result.reason, "TCB info is valid until 2001"));
    assert_int_equal(result.tcb_status, ATTEST_TCB_UP_TO_DATE);
    verify_document(2, evidence_resign("qe_sgx.json", "\"nextUpdate\":\"", until));
    expect(ATTEST_OUTCOME_EXPIRED, ATTEST_CHECK_VALIDITY);
    assert_non_null(strstr(result.reason, "QE identity is valid until 2001"));

    struct blob signer = evidence_certificate("signing_chain.pem", KEY_ROOT, make_old),
                root = evidence_file("root.pem");
    struct blob good = evidence_file("signing_chain.pem");
    const struct {
        const struct blob *parts[3];
        enum attest_outcome outcome;
        const char *word;
    } chains[] = {{{&signer, &root}, ATTEST_OUTCOME_EXPIRED, "TCB info signing certificate is valid until"},
                  {{&root, &signer}, ATTEST_OUTCOME_REJECTED, "expected in this place"},
                  {{&good, &root}, ATTEST_OUTCOME_REJECTED, "3 certificates, not 2"},
                  {{&signer}, ATTEST_OUTCOME_REJECTED, "1 certificates, not 2"}};
    for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
        char text[16384] = "";
        for (int part = 0; part < 3 && chains[i].parts[part]; part++)
            strncat(text, (char *)chains[i].parts[part]->data, chains[i].parts[part]->size);
        verify_document(1, (struct blob){(uint8_t *)strdup(text), strlen(text)});
        expect(chains[i].outcome,
               chains[i].outcome == ATTEST_OUTCOME_EXPIRED ? ATTEST_CHECK_VALIDITY : ATTEST_CHECK_TCB_INFO);
        if (!strstr(result.reason, chains[i].word))
            fail_msg("%s", result.reason);
    }
    free(signer.data);
    free(root.data);
    free(good.data);
}

static void test_other_ca(void **state)
{
    struct blob blobs[8], crl = evidence_file("platform.crl"), chain = evidence_file("platform_chain.pem");
    struct attest_documents documents = evidence_documents(0, blobs);
    documents.pck_crl = bytes(crl);
    documents.pck_crl_chain = bytes(chain);
    verify_with(evidence_quote(&(struct quote_order){0}), &documents);
    expect_rejected(ATTEST_CHECK_PCK_CRL, "another CA");
    evidence_free(blobs);
    free(crl.data);
    free(chain.data);
}

static void test_missing_documents(void **state)
{
    static const enum attest_check checks[7] = {
        ATTEST_CHECK_TCB_INFO, ATTEST_CHECK_TCB_INFO, ATTEST_CHECK_QE_IDENTITY, ATTEST_CHECK_QE_IDENTITY,
        ATTEST_CHECK_PCK_CRL,  ATTEST_CHECK_PCK_CRL,  ATTEST_CHECK_ROOT_CRL};
    for (int i = 0; i < 7; i++) {
        struct blob blobs[8];
        struct attest_documents documents = evidence_documents(0, blobs);
        ((struct attest_bytes *)&documents)[i].data = NULL;
        verify_with(evidence_quote(&(struct quote_order){0}), &documents);
        expect(ATTEST_OUTCOME_INCOMPLETE, checks[i]);
        evidence_free(blobs);
    }
}

static void test_documents_of_others(void **state)
{
    verify_document(0, evidence_file("tcb_v3_sgx.json"));
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    assert_int_equal(result.tcb_info_version, 2);
    verify_document(0, evidence_file("tcb_other.json"));
    expect_rejected(ATTEST_CHECK_COLLATERAL_MATCH, "FMSPC");
    verify_document(0, evidence_file("tcb_v4_tdx.json"));
    expect_rejected(ATTEST_CHECK_COLLATERAL_MATCH, "TDX");
    verify_document(2, evidence_file("qe_tdx.json"));
    expect_rejected(ATTEST_CHECK_COLLATERAL_MATCH, "QE identity");
    verify_document(0, evidence_resign("tcb_v4_sgx.json", "\"pceId\":\"0000\"", "\"pceId\":\"0001\""));
    expect_rejected(ATTEST_CHECK_COLLATERAL_MATCH, "PCEID");
}

static void test_bad_json(void **state)
{
    static const struct {
        int place;
        const char *from, *to, *word;
    } cases[] = {
        {0, "\"version\":3", "\"version\":4", "version"},
        {0, "\"version\":3", "\"version\":\"3\"", "version"},
        {0, "\"version\":3", "\"version\":3,\"version\":3", "duplicate"},
        {0, "\"svn\":5", "\"svn\":256", "svn"},
        {0, "\"svn\":5", "\"svn\":-1", "svn"},
        {0, "\"svn\":5", "\"svn\":5.0", "svn"},
        {0, "\"svn\":5", "\"svn\":99999999999999999999999999", "too big"},
        {0, "\"svn\":5", "\"svn\":5,\"svn\":6", "duplicate"},
        {0, "{\"svn\":5},", "", "15 members"},
        {0, "\"pcesvn\":11", "\"pcesvn\":true", "pcesvn"},
        {0, "\"tcbType\":0", "\"tcbType\":1", "tcbType"},
        {0, "\"fmspc\":\"00", "\"fmspc\":\"zz", "fmspc"},
        {0, "\"issueDate\":\"2", "\"issueDate\":\"x", "issueDate"},
        {0, "\"tcbDate\":\"20", "\"tcbDate\":\"2025-02-29T00:00:00Z\",\"x\":\"", "tcbDate"},
        {0, "\"tcbStatus\":\"UpToDate\"", "\"tcbStatus\":1", "tcbStatus"},
        {0, "\"tcbStatus\":\"UpToDate\"", "\"tcbStatus\":\"UpToDate\",\"advisoryIDs\":[1]", "advisoryIDs"},
        {0, "\"tcbLevels\":[", "\"tcbLevels\":[[],", "tcbLevels[0]"},
        {0, "\"tcbLevels\":[", "\"tcbLevels\":{},\"x\":[", "tcbLevels"},
        {2, "\"version\":2", "\"version\":1", "version"},
        {2, "\"id\":\"QE\"", "\"id\":\"QVE\"", "QVE"},
        {2, "\"isvprodid\":1", "\"isvprodid\":65536", "isvprodid"},
        {2, "\"mrsigner\":\"8c", "\"mrsigner\":\"", "mrsigner"},
        {2, "\"miscselect\":\"00000000\"", "\"miscselect\":0", "miscselect"},
        {2, "\"isvsvn\":8", "\"isvsvn\":70000", "isvsvn"},
        {2, "\"tcbLevels\":[", "\"tcbLevels\":[],\"x\":[", "tcbLevels"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *name = cases[i].place ? "qe_sgx.json" : "tcb_v4_sgx.json";
        verify_document(cases[i].place, evidence_resign(name, cases[i].from, cases[i].to));
        expect_rejected(cases[i].place ? ATTEST_CHECK_QE_IDENTITY : ATTEST_CHECK_TCB_INFO, cases[i].word);
    }
}

static struct blob edited(const char *name, const char *from, const char *to)
{
    struct blob file = evidence_file(name);
    char *text = (char *)file.data, *at = strstr(text, from), *changed;
    assert_non_null(at);
    int size = asprintf(&changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    free(text);
    return (struct blob){(uint8_t *)changed, (size_t)size};
}

/* The signature covers the text: the same facts written otherwise are not what was signed. */
static void test_signed_text(void **state)
{
    static const struct {
        const char *from, *to, *word;
    } cases[] = {{"\"version\":3", "\"version\": 3", "signature"},
                 {"\"version\":3", "\"version\":2", "signature"},
                 {"\"signature\":\"", "\"signature\":\"00", "128 hex digits"},
                 {"\"signature\":\"", "\"more\":1,\"signature\":\"", "besides"},
                 {"{\"tcbInfo\":", "{\"tcbInfo\":{},\"tcbInfo\":", "twice"},
                 {"\"signature\":\"", "\"signature\":\"\",\"signature\":\"", "128 hex digits"},
                 {"{\"tcbInfo\":", "{\"tcbInf\":", "besides"},
                 {"{\"tcbInfo\"", "x{\"tcbInfo\"", "not a JSON object"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        verify_document(0, edited("tcb_v4_sgx.json", cases[i].from, cases[i].to));
        expect_rejected(ATTEST_CHECK_TCB_INFO, cases[i].word);
    }
    struct blob longer = evidence_file("tcb_v4_sgx.json");
    longer.data[longer.size++] = 'x';
    verify_document(0, longer);
    expect_rejected(ATTEST_CHECK_TCB_INFO, "follows");
    verify_document(0, edited("tcb_v4_sgx.json", "{\"tcbInfo\":", "{ \"tcbInfo\" : "));
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
}

static void verify_statuses(const char *platform, const char *qe, enum attest_tcb_status expected)
{
    char to[160];
    struct blob blobs[8];
    struct attest_documents documents = evidence_documents(0, blobs);
    snprintf(to, sizeof(to), "\"tcbStatus\":\"%s\",\"advisoryIDs\":[\"INTEL-SA-00001\"]", platform);
    struct blob tcb_info = evidence_resign("tcb_v4_sgx.json", "\"tcbStatus\":\"UpToDate\"", to);
    snprintf(to, sizeof(to), "\"tcbStatus\":\"%s\"", qe);
    struct blob identity = evidence_resign("qe_sgx.json", "\"tcbStatus\":\"UpToDate\"", to);
    documents.tcb_info = bytes(tcb_info);
    documents.qe_identity = bytes(identity);
    verify_with(evidence_quote(&(struct quote_order){0}), &documents);
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    if (result.tcb_status != expected)
        fail_msg("%s and %s give %s, not %s", platform, qe, attest_tcb_status_name(result.tcb_status),
                 attest_tcb_status_name(expected));
    assert_int_equal(result.advisories.count, 1);
    evidence_free(blobs);
    free(tcb_info.data);
    free(identity.data);
}

static void test_convergence(void **state)
{
    static const enum attest_tcb_status out_of_date = ATTEST_TCB_OUT_OF_DATE,
                                        out_of_date_configuration = ATTEST_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED;
    static const struct {
        enum attest_tcb_status platform, with_old_qe;
    } cases[] = {{ATTEST_TCB_UP_TO_DATE, ATTEST_TCB_OUT_OF_DATE},
                 {ATTEST_TCB_SW_HARDENING_NEEDED, out_of_date},
                 {ATTEST_TCB_CONFIGURATION_NEEDED, out_of_date_configuration},
                 {ATTEST_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED, out_of_date_configuration},
                 {ATTEST_TCB_OUT_OF_DATE, out_of_date},
                 {ATTEST_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED, out_of_date_configuration},
                 {ATTEST_TCB_REVOKED, ATTEST_TCB_REVOKED}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *name = attest_tcb_status_name(cases[i].platform);
        verify_statuses(name, "UpToDate", cases[i].platform);
        verify_statuses(name, "OutOfDate", cases[i].with_old_qe);
        verify_statuses(name, "Revoked", ATTEST_TCB_REVOKED);
    }
    verify_statuses("Splendid", "UpToDate", ATTEST_TCB_UNRECOGNIZED);
    verify_document(0, evidence_resign("tcb_v4_sgx.json", "\"svn\":2", "\"svn\":7"));
    assert_int_equal(result.tcb_status, ATTEST_TCB_UP_TO_DATE);
    verify_document(0, evidence_resign("tcb_v4_sgx.json", "\"svn\":5", "\"svn\":6"));
    assert_int_equal(result.tcb_status, ATTEST_TCB_OUT_OF_DATE);
    struct attest_sgx_body qe = evidence_qe_body(0);
    qe.isv_svn = 0;
    verify_order(&(struct quote_order){.qe = &qe});
    assert_int_equal(result.quoting_enclave.status, ATTEST_TCB_NOT_SUPPORTED);
    assert_int_equal(result.tcb_status, ATTEST_TCB_NOT_SUPPORTED);
}

#define MRSIGNER_SEAM                                                                                                  \
    "\"mrsigner\":\""                                                                                                  \
    "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\","              \
    "\"attributes\":\"0000000000000000\",\"attributesMask\":\"FFFFFFFFFFFFFFFF\""

/* A TDX module identity of version 1: SVN 5 is up to date, SVN 2 is not. */
static void verify_td(struct attest_td_body *td, enum attest_body_type type)
{
    struct blob blobs[8];
    struct attest_documents documents = evidence_documents(1, blobs);
    struct blob tcb_info = evidence_resign(
        "tcb_v4_tdx.json", "\"tcbLevels\":[",
        "\"tdxModuleIdentities\":[{\"id\":\"TDX_01\"," MRSIGNER_SEAM ",\"tcbLevels\":["
        "{\"tcb\":{\"isvsvn\":5},\"tcbDate\":\"2024-03-13T00:00:00Z\",\"tcbStatus\":\"UpToDate\"},"
        "{\"tcb\":{\"isvsvn\":2},\"tcbDate\":\"2023-03-13T00:00:00Z\",\"tcbStatus\":\"OutOfDate\"}]}],\"tcbLevels\":[");
    documents.tcb_info = bytes(tcb_info);
    verify_with(evidence_quote(&(struct quote_order){.version = 5, .body_type = type, .td = td}), &documents);
    evidence_free(blobs);
    free(tcb_info.data);
}

static void test_tdx_module(void **state)
{
    struct attest_td_body td = evidence_td_body();
    td.tee_tcb_svn[1] = 1;
    verify_td(&td, ATTEST_BODY_TD10);
    expect(ATTEST_OUTCOME_VERIFIED, ATTEST_CHECK_NONE);
    assert_int_equal(result.tdx_module.status, ATTEST_TCB_UP_TO_DATE);
    td.tee_tcb_svn[0] = 3;
    verify_td(&td, ATTEST_BODY_TD10);
    assert_int_equal(result.tcb_status, ATTEST_TCB_OUT_OF_DATE);
    verify_td(&td, ATTEST_BODY_TD15); /* TEE_TCB_SVN_2 is of module version 0 and the latest */
    assert_int_equal(result.tcb_status, ATTEST_TCB_TD_RELAUNCH_ADVISED);
    td.tee_tcb_svn2[0] = 4;
    verify_td(&td, ATTEST_BODY_TD15);
    assert_int_equal(result.tcb_status, ATTEST_TCB_OUT_OF_DATE);
    td.tee_tcb_svn2[0] = 5;
    td.tee_tcb_svn2[1] = 1;
    verify_td(&td, ATTEST_BODY_TD15);
    assert_int_equal(result.tcb_status, ATTEST_TCB_TD_RELAUNCH_ADVISED);
    td.tee_tcb_svn[0] = 1;
    verify_td(&td, ATTEST_BODY_TD10);
    assert_int_equal(result.tcb_status, ATTEST_TCB_NOT_SUPPORTED);
    td.tee_tcb_svn[1] = 2;
    verify_td(&td, ATTEST_BODY_TD10);
    expect_rejected(ATTEST_CHECK_TDX_MODULE, "version 2");
    td = evidence_td_body();
    td.mrsigner_seam[47] = 1;
    verify_td(&td, ATTEST_BODY_TD10);
    expect_rejected(ATTEST_CHECK_TDX_MODULE, "MRSIGNERSEAM");
    td = evidence_td_body();
    td.seam_attributes = 1;
    verify_td(&td, ATTEST_BODY_TD10);
    expect_rejected(ATTEST_CHECK_TDX_MODULE, "SEAMATTRIBUTES");
}

static void test_reports(void **state)
{
    struct attest_sgx_body qe = evidence_qe_body(0), sgx = evidence_sgx_body();
    qe.mrsigner[0] ^= 1;
    verify_order(&(struct quote_order){.qe = &qe});
    expect_rejected(ATTEST_CHECK_QE_REPORT, "MRSIGNER");
    qe = evidence_qe_body(0);
    qe.attributes |= ATTEST_SGX_DEBUG;
    verify_order(&(struct quote_order){.qe = &qe});
    expect_rejected(ATTEST_CHECK_QE_REPORT, "ATTRIBUTES");
    qe = evidence_qe_body(0);
    qe.miscselect = 1;
    verify_order(&(struct quote_order){.qe = &qe});
    expect_rejected(ATTEST_CHECK_QE_REPORT, "MISCSELECT");
    qe = evidence_qe_body(0);
    qe.isv_product_id = 2;
    verify_order(&(struct quote_order){.qe = &qe});
    expect_rejected(ATTEST_CHECK_QE_REPORT, "ISVPRODID");
    qe = evidence_qe_body(0);
    qe.report_data[63] = 1;
    verify_order(&(struct quote_order){.qe = &qe});
    expect_rejected(ATTEST_CHECK_QE_REPORT_DATA, "attestation key");
    sgx.reserved4[41] = 1;
    verify_order(&(struct quote_order){.sgx = &sgx});
    expect_rejected(ATTEST_CHECK_REPORT_BODY, "reserved");
    sgx = evidence_sgx_body();
    sgx.attributes = 0;
    verify_order(&(struct quote_order){.sgx = &sgx});
    expect_rejected(ATTEST_CHECK_REPORT_BODY, "initialised");
}

static void test_roots(void **state)
{
    struct blob quote = evidence_quote(&(struct quote_order){0}), blobs[8];
    struct attest_documents documents = evidence_documents(0, blobs);
    struct attest_collateral *intel = attest_collateral_new(&documents, NULL);
    attest_collateral_status(intel, &result);
    expect_rejected(ATTEST_CHECK_PCK_CRL, "not trusted");
    attest_verify_quote(quote.data, quote.size, intel, NULL, time(NULL), &result);
    expect_rejected(ATTEST_CHECK_ROOT, "not trusted");
    attest_verify_quote(quote.data, quote.size, NULL, NULL, time(NULL), &result);
    expect_rejected(ATTEST_CHECK_ROOT, "not trusted");
    attest_verify_quote(quote.data, quote.size, NULL, evidence_roots(), time(NULL), &result);
    expect(ATTEST_OUTCOME_INCOMPLETE, ATTEST_CHECK_TCB_INFO);
    attest_collateral_free(intel);
    evidence_free(blobs);
    free(quote.data);
}

static void test_lengths(void **state)
{
    for (int version = 3; version <= 5; version++) {
        struct blob quote = evidence_quote(&(struct quote_order){.version = (uint16_t)version});
        for (size_t size = 0; size < quote.size; size += size < 1400 ? 1 : 97) {
            uint8_t *copy = malloc(size + 1); /* so that a read past the end is seen */
            memcpy(copy, quote.data, size);
            assert_int_equal(attest_verify_quote(copy, size, NULL, evidence_roots(), 0, &result), -1);
            expect(ATTEST_OUTCOME_REJECTED, ATTEST_CHECK_QUOTE_FORMAT);
            free(copy);
        }
        size_t length_at = version == 5 ? 48 + 6 + 384 : 432;
        for (size_t at = length_at; at < length_at + 4; at++) {
            uint8_t saved = quote.data[at];
            quote.data[at] = 0xff;
            attest_verify_quote(quote.data, quote.size, NULL, evidence_roots(), 0, &result);
            expect_rejected(ATTEST_CHECK_QUOTE_FORMAT, "signature data");
            quote.data[at] = saved;
        }
        assert_int_equal(attest_quote_length(quote.data, quote.size), quote.size);
        assert_int_equal(attest_quote_length(quote.data, 100), 0);
        free(quote.data);
    }
}

struct thread_work {
    const struct attest_collateral *collateral;
    struct blob quote;
    size_t verified;
};

static void *verify_many(void *argument)
{
    struct thread_work *work = argument;
    struct attest_result *mine = malloc(sizeof(*mine));
    for (int i = 0; i < 50; i++)
        work->verified +=
            attest_verify_quote(work->quote.data, work->quote.size, work->collateral, NULL, time(NULL), mine) == 0;
    free(mine);
    return NULL;
}

/* Collateral serves threads, and remembers PCK certificates: also one that it then must still find revoked or old. */
static void test_shared_collateral(void **state)
{
    struct blob blobs[8], quote = evidence_quote(&(struct quote_order){0});
    struct attest_documents documents = evidence_documents(0, blobs);
    struct attest_collateral *collateral = attest_collateral_new(&documents, evidence_roots());
    struct thread_work works[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        works[i] = (struct thread_work){collateral, quote, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, verify_many, &works[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(works[i].verified, 50);
    }
    attest_verify_quote(quote.data, quote.size, collateral, NULL, time(NULL) + 50L * 365 * 86400, &result);
    expect(ATTEST_OUTCOME_EXPIRED, ATTEST_CHECK_VALIDITY);
    attest_collateral_free(collateral);
    evidence_free(blobs);
    free(quote.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_certification_data),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_other_certificate_of_root),
        cmocka_unit_test(test_revocation),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_old_documents),
        cmocka_unit_test(test_other_ca),
        cmocka_unit_test(test_missing_documents),
        cmocka_unit_test(test_documents_of_others),
        cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_signed_text),
        cmocka_unit_test(test_convergence),
        cmocka_unit_test(test_tdx_module),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_shared_collateral),
    };
    return cmocka_run_group_tests(tests, evidence_setup, evidence_teardown);
}

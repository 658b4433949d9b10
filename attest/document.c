/* Documents of collateral: from a service's answer, compared with what was asked. */
#include "attest/document.h"

#include <ctype.h>
#include <jansson.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/crl.h"
#include "attest/date.h"
#include "attest/encode.h"
#include "image/error.h"

#define CHAIN_COUNT_MAX 4
#define SIGNATURE_DIGITS 128 /* r and s of P-256 in hex */

static const char *const kind_names[ATTEST_DOCUMENT_KIND_COUNT] = {
    [ATTEST_DOCUMENT_TCB_INFO] = "TCB info",        [ATTEST_DOCUMENT_QE_IDENTITY] = "QE identity",
    [ATTEST_DOCUMENT_PCK_CRL] = "PCK CRL",          [ATTEST_DOCUMENT_ROOT_CRL] = "root CRL",
    [ATTEST_DOCUMENT_PCK_CERT] = "PCK certificate",
};

const char *attest_document_kind_name(enum attest_document_kind kind)
{
    return kind_names[kind];
}

void attest_document_free(struct attest_document *document)
{
    free(document->data);
    free(document->chain);
    free(document->tcbm);
    *document = (struct attest_document){0};
}

static int keep(struct attest_document *document, const void *data, size_t size, char **ret_error)
{
    document->data = malloc(size + 1);
    if (!document->data)
        return error_set(ret_error, "out of memory");
    memcpy(document->data, data, size);
    document->data[size] = 0;
    document->size = size;
    return 0;
}

static int parse_asn1_time(const ASN1_TIME *time, int64_t *ret_seconds)
{
    struct tm tm;
    if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
        return -1;
    *ret_seconds = timegm(&tm);
    return 0;
}

/* The signed object of {"NAME": {...}, "signature": "..."}. */
static json_t *signed_object(json_t *root, const char *name, char **ret_error)
{
    json_t *inner = json_object_get(root, name);
    const char *signature = json_string_value(json_object_get(root, "signature"));
    uint8_t bytes[SIGNATURE_DIGITS / 2];
    if (!json_is_object(inner)) {
        error_set(ret_error, "it has no object \"%s\"", name);
        return NULL;
    }
    if (!signature || attest_hex_decode(signature, bytes, sizeof(bytes)) < 0) {
        error_set(ret_error, "it has no signature of %d hex digits", SIGNATURE_DIGITS);
        return NULL;
    }
    return inner;
}

static int check_dates(struct attest_document *document, json_t *inner, char **ret_error)
{
    if (!attest_date_parse(json_string_value(json_object_get(inner, "issueDate")), &document->issued) ||
        !attest_date_parse(json_string_value(json_object_get(inner, "nextUpdate")), &document->next_update))
        return error_set(ret_error, "its issueDate or nextUpdate is not a date");
    return 0;
}

static int check_tcb_info(const struct attest_document_request *request, json_t *inner, char **ret_error)
{
    const char *fmspc = json_string_value(json_object_get(inner, "fmspc"));
    const char *id = json_string_value(json_object_get(inner, "id"));
    const char *wanted = request->tee == ATTEST_DOCUMENT_TDX ? "TDX" : "SGX";
    uint8_t bytes[6];
    if (!fmspc || attest_hex_decode(fmspc, bytes, sizeof(bytes)) < 0)
        return error_set(ret_error, "its FMSPC is not 12 hex digits");
    if (memcmp(bytes, request->fmspc, sizeof(bytes)) != 0) {
        char *asked = attest_hex_encode(request->fmspc, sizeof(request->fmspc));
        error_set(ret_error, "it is for another platform: FMSPC %s, not %s", fmspc, asked ? asked : "?");
        free(asked);
        return -1;
    }
    /* Version 2 has no id and is always for SGX. */
    if (id ? strcmp(id, wanted) != 0 : request->tee != ATTEST_DOCUMENT_SGX)
        return error_set(ret_error, "it is for %s, not for %s", id ? id : "SGX", wanted);
    return 0;
}

static int check_identity(const struct attest_document_request *request, json_t *inner, char **ret_error)
{
    const char *id = json_string_value(json_object_get(inner, "id"));
    const char *wanted = request->tee == ATTEST_DOCUMENT_TDX ? "TD_QE" : "QE";
    if (!id || strcmp(id, wanted) != 0)
        return error_set(ret_error, "it is the identity of %.20s, not of %s", id ? id : "nothing", wanted);
    return 0;
}

static int parse_json(const struct attest_document_request *request, const void *data, size_t size,
                      struct attest_document *document, char **ret_error)
{
    bool is_tcb_info = request->kind == ATTEST_DOCUMENT_TCB_INFO;
    json_error_t detail;
    json_t *root = json_loadb(data, size, JSON_REJECT_DUPLICATES, &detail);
    if (!root)
        return error_set(ret_error, "it is not JSON: %s", detail.text);
    json_t *inner = signed_object(root, is_tcb_info ? "tcbInfo" : "enclaveIdentity", ret_error);
    int result = inner ? check_dates(document, inner, ret_error) : -1;
    if (result == 0)
        result = is_tcb_info ? check_tcb_info(request, inner, ret_error) : check_identity(request, inner, ret_error);
    if (result == 0)
        result = keep(document, data, size, ret_error);
    json_decref(root);
    return result;
}

/*
 * Whose list it is, by the common name of its issuer. Intel's end in these words; the list of another CA than the one
 * asked for is refused, a name that ends otherwise is left to the verifier.
 */
static int check_crl_issuer(const struct attest_document_request *request, X509_CRL *crl, char **ret_error)
{
    static const char *const names[] = {"Processor CA", "Platform CA", "Root CA"};
    size_t wanted = request->kind == ATTEST_DOCUMENT_ROOT_CRL ? 2 : request->ca == ATTEST_DOCUMENT_CA_PLATFORM ? 1 : 0;
    char name[128] = "";
    X509_NAME_get_text_by_NID(X509_CRL_get_issuer(crl), NID_commonName, name, sizeof(name));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t size = strlen(name), suffix = strlen(names[i]);
        if (i != wanted && size >= suffix && strcmp(name + size - suffix, names[i]) == 0)
            return error_set(ret_error, "it is the list of \"%s\", not of the %s", name, names[wanted]);
    }
    return 0;
}

static int parse_crl(const struct attest_document_request *request, const void *data, size_t size,
                     struct attest_document *document, char **ret_error)
{
    X509_CRL *crl = crl_read(data, size);
    uint8_t *der = NULL;
    if (!crl)
        return error_set(ret_error, "it is not a CRL in DER, hex or PEM");
    int result = check_crl_issuer(request, crl, ret_error);
    if (result == 0 && (parse_asn1_time(X509_CRL_get0_lastUpdate(crl), &document->issued) < 0 ||
                        parse_asn1_time(X509_CRL_get0_nextUpdate(crl), &document->next_update) < 0))
        result = error_set(ret_error, "it does not say until when it holds");
    if (result == 0) {
        int der_size = i2d_X509_CRL(crl, &der);
        result =
            der_size > 0 ? keep(document, der, (size_t)der_size, ret_error) : error_set(ret_error, "out of memory");
    }
    OPENSSL_free(der);
    X509_CRL_free(crl);
    return result;
}

static bool is_ascii(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] <= 0)
            return false;
    return true;
}

/* Reads the next certificate of a PEM text: 1 with it, 0 at the end, -1 if there is something else. */
static int next_certificate(BIO *bio, X509 **ret_certificate)
{
    char peek[1];
    while (BIO_pending(bio) > 0) {
        const char *data;
        BIO_get_mem_data(bio, (char **)&data);
        if (!isspace((unsigned char)*data))
            break;
        BIO_read(bio, peek, 1);
    }
    if (BIO_pending(bio) <= 0)
        return 0;
    const char *data;
    long left = BIO_get_mem_data(bio, (char **)&data);
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    if (left < (long)sizeof(begin) || memcmp(data, begin, sizeof(begin) - 1) != 0)
        return -1;
    *ret_certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    return *ret_certificate ? 1 : -1;
}

int attest_document_check_chain(const char *text, char **ret_error)
{
    size_t size = strlen(text);
    if (size > ATTEST_DOCUMENT_CHAIN_SIZE_MAX)
        return error_set(ret_error, "the issuer chain is too long");
    BIO *bio = is_ascii(text, size) ? BIO_new_mem_buf(text, (int)size) : NULL;
    int count = 0, result = bio ? 1 : -1;
    while (result > 0 && count <= CHAIN_COUNT_MAX) {
        X509 *certificate = NULL;
        result = next_certificate(bio, &certificate);
        X509_free(certificate);
        if (result > 0)
            count++;
    }
    BIO_free(bio);
    if (result < 0 || count == 0)
        return error_set(ret_error, "the issuer chain is not made of PEM certificates");
    if (count > CHAIN_COUNT_MAX)
        return error_set(ret_error, "the issuer chain has more than %d certificates", CHAIN_COUNT_MAX);
    return 0;
}

static int parse_certificate(const void *data, size_t size, struct attest_document *document, char **ret_error)
{
    BIO *bio = is_ascii(data, size) ? BIO_new_mem_buf(data, (int)size) : NULL;
    X509 *certificate = NULL, *another = NULL;
    int result = 0;
    if (!bio || next_certificate(bio, &certificate) != 1)
        result = error_set(ret_error, "it is not a certificate in PEM");
    else if (next_certificate(bio, &another) != 0)
        result = error_set(ret_error, "there is more than one certificate");
    else if (parse_asn1_time(X509_get0_notBefore(certificate), &document->issued) < 0 ||
             parse_asn1_time(X509_get0_notAfter(certificate), &document->next_update) < 0)
        result = error_set(ret_error, "its validity is not readable");
    X509_free(certificate);
    X509_free(another);
    BIO_free(bio);
    return result < 0 ? -1 : keep(document, data, size, ret_error);
}

int attest_document_parse(const struct attest_document_request *request, const void *data, size_t size,
                          struct attest_document *ret_document, char **ret_error)
{
    struct attest_document document = {0};
    int result;
    if (size > ATTEST_DOCUMENT_SIZE_MAX)
        return error_set(ret_error, "%s: it is too long", kind_names[request->kind]);
    switch (request->kind) {
    case ATTEST_DOCUMENT_TCB_INFO:
    case ATTEST_DOCUMENT_QE_IDENTITY:
        result = parse_json(request, data, size, &document, ret_error);
        break;
    case ATTEST_DOCUMENT_PCK_CRL:
    case ATTEST_DOCUMENT_ROOT_CRL:
        result = parse_crl(request, data, size, &document, ret_error);
        break;
    default:
        result = parse_certificate(data, size, &document, ret_error);
        break;
    }
    if (result < 0) {
        attest_document_free(&document);
        return error_wrap(ret_error, "%s", kind_names[request->kind]);
    }
    *ret_document = document;
    return 0;
}

/* Certificates, lists and documents in the forms of Intel's PKI (contract in issue.h). */
#include "host/quote/issue.h"

#include <openssl/asn1t.h>
#include <openssl/conf.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SGX_OID "1.2.840.113741.1.13.1"

static int add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    int good = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return good ? 0 : -1;
}

static void hex(const uint8_t *bytes, size_t size, char *ret_text)
{
    for (size_t i = 0; i < size; i++)
        sprintf(ret_text + 2 * i, "%02x", bytes[i]);
}

/* The extension's value in OpenSSL's own notation for ASN.1. */
static char *describe_platform(const struct issue_platform *platform)
{
    char *text = NULL, ppid[33], cpusvn[33];
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    hex(platform->ppid, 16, ppid);
    hex(platform->cpusvn, 16, cpusvn);
    fputs("[sgx]\na=SEQUENCE:ppid\nb=SEQUENCE:tcb\nc=SEQUENCE:pceid\nd=SEQUENCE:fmspc\ne=SEQUENCE:type\n", out);
    fprintf(out, "[ppid]\na=OID:" SGX_OID ".1\nb=FORMAT:HEX,OCTETSTRING:%s\n", ppid);
    fputs("[tcb]\na=OID:" SGX_OID ".2\nb=SEQUENCE:tcbs\n[tcbs]\n", out);
    for (int i = 1; i <= 18; i++)
        fprintf(out, "%d=SEQUENCE:t%d\n", i, i);
    for (int i = 1; i <= 16; i++)
        fprintf(out, "[t%d]\na=OID:" SGX_OID ".2.%d\nb=INTEGER:%d\n", i, i, platform->components[i - 1]);
    fprintf(out, "[t17]\na=OID:" SGX_OID ".2.17\nb=INTEGER:%u\n", platform->pce_svn);
    fprintf(out, "[t18]\na=OID:" SGX_OID ".2.18\nb=FORMAT:HEX,OCTETSTRING:%s\n", cpusvn);
    fputs("[pceid]\na=OID:" SGX_OID ".3\nb=FORMAT:HEX,OCTETSTRING:0000\n", out);
    fprintf(out, "[fmspc]\na=OID:" SGX_OID ".4\nb=FORMAT:HEX,OCTETSTRING:%s\n", platform->fmspc);
    fputs("[type]\na=OID:" SGX_OID ".5\nb=ENUMERATED:0\n", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static int add_sgx_extension(X509 *certificate, const struct issue_platform *platform)
{
    char *text = describe_platform(platform);
    BIO *bio = text ? BIO_new_mem_buf(text, -1) : NULL;
    CONF *conf = NCONF_new(NULL);
    ASN1_TYPE *value =
        bio && conf && NCONF_load_bio(conf, bio, NULL) > 0 ? ASN1_generate_nconf("SEQUENCE:sgx", conf) : NULL;
    uint8_t *der = NULL;
    int size = value ? i2d_ASN1_TYPE(value, &der) : 0, good = 0;
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *object = OBJ_txt2obj(SGX_OID, 1);
    X509_EXTENSION *extension = NULL;
    if (size > 0 && octets && object && ASN1_OCTET_STRING_set(octets, der, size)) {
        extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, octets);
        good = extension && X509_add_ext(certificate, extension, -1);
    }
    X509_EXTENSION_free(extension);
    ASN1_OBJECT_free(object);
    ASN1_OCTET_STRING_free(octets);
    OPENSSL_free(der);
    ASN1_TYPE_free(value);
    NCONF_free(conf);
    BIO_free(bio);
    free(text);
    return good ? 0 : -1;
}

static int set_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();
    int good = number && BN_rand(number, 159, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
               BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return good ? 0 : -1;
}

static int set_names(X509 *certificate, const char *common_name, const char *organisation,
                     const struct issue_authority *issuer)
{
    X509_NAME *subject = X509_NAME_new();
    int good = subject &&
               X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)common_name, -1, -1, 0) &&
               X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const uint8_t *)organisation, -1, -1, 0) &&
               X509_set_subject_name(certificate, subject) &&
               X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer->certificate) : subject);
    X509_NAME_free(subject);
    return good ? 0 : -1;
}

X509 *issue_certificate(const char *common_name, const char *organisation, enum issue_kind kind, EVP_PKEY *key,
                        const struct issue_authority *issuer, const struct issue_platform *platform, int64_t from,
                        int64_t until)
{
    X509 *certificate = X509_new(), *issuer_certificate = issuer ? issuer->certificate : certificate;
    int is_ca = kind == ISSUE_CA;

    if (!certificate || !X509_set_version(certificate, X509_VERSION_3) || set_serial(certificate) < 0 ||
        set_names(certificate, common_name, organisation, issuer) < 0 ||
        !ASN1_TIME_set(X509_getm_notBefore(certificate), from) ||
        !ASN1_TIME_set(X509_getm_notAfter(certificate), until) || !X509_set_pubkey(certificate, key) ||
        add_extension(certificate, issuer_certificate, NID_basic_constraints,
                      is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") < 0 ||
        add_extension(certificate, issuer_certificate, NID_key_usage,
                      is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature,nonRepudiation") < 0 ||
        add_extension(certificate, issuer_certificate, NID_subject_key_identifier, "hash") < 0 ||
        add_extension(certificate, issuer_certificate, NID_authority_key_identifier, "keyid:always") < 0 ||
        (kind == ISSUE_PCK && add_sgx_extension(certificate, platform) < 0) ||
        !X509_sign(certificate, issuer ? issuer->key : key, EVP_sha256())) {
        X509_free(certificate);
        return NULL;
    }
    return certificate;
}

static int add_crl_extensions(X509_CRL *crl, X509 *issuer, int64_t number_value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, NULL, NULL, crl, 0);
    X509_EXTENSION *identifier = X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid:always");
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    int good = identifier && X509_CRL_add_ext(crl, identifier, -1) && number &&
               ASN1_INTEGER_set_int64(number, number_value) && X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0);
    X509_EXTENSION_free(identifier);
    ASN1_INTEGER_free(number);
    return good ? 0 : -1;
}

X509_CRL *issue_crl(const struct issue_authority *issuer, int64_t from, int64_t until)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *start = ASN1_TIME_set(NULL, from), *end = ASN1_TIME_set(NULL, until);
    int good = crl && start && end && X509_CRL_set_version(crl, X509_CRL_VERSION_2) &&
               X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->certificate)) &&
               X509_CRL_set1_lastUpdate(crl, start) && X509_CRL_set1_nextUpdate(crl, end) &&
               add_crl_extensions(crl, issuer->certificate, from) == 0 && X509_CRL_sign(crl, issuer->key, EVP_sha256());
    ASN1_TIME_free(start);
    ASN1_TIME_free(end);
    if (!good) {
        X509_CRL_free(crl);
        return NULL;
    }
    return crl;
}

int issue_sign(EVP_PKEY *key, const void *data, size_t size, uint8_t ret_signature[64])
{
    uint8_t der[80];
    const uint8_t *at = der;
    size_t der_size = sizeof(der);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int good = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
               EVP_DigestSign(context, der, &der_size, data, size) == 1;
    EVP_MD_CTX_free(context);
    ECDSA_SIG *signature = good ? d2i_ECDSA_SIG(NULL, &at, (long)der_size) : NULL;
    good = signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret_signature, 32) == 32 &&
           BN_bn2binpad(ECDSA_SIG_get0_s(signature), ret_signature + 32, 32) == 32;
    ECDSA_SIG_free(signature);
    return good ? 0 : -1;
}

char *issue_json(const char *member, const char *object, EVP_PKEY *key)
{
    uint8_t signature[64];
    char digits[129], *text;
    if (issue_sign(key, object, strlen(object), signature) < 0)
        return NULL;
    hex(signature, sizeof(signature), digits);
    return asprintf(&text, "{\"%s\":%s,\"signature\":\"%s\"}", member, object, digits) < 0 ? NULL : text;
}

int issue_public_key(EVP_PKEY *key, uint8_t ret_point[64])
{
    uint8_t octets[65];
    size_t size = 0;
    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof(octets), &size) != 1 ||
        size != sizeof(octets))
        return -1;
    memcpy(ret_point, octets + 1, 64);
    return 0;
}

void issue_date(int64_t seconds, char ret_text[32])
{
    time_t time = (time_t)seconds;
    struct tm tm;
    strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time, &tm));
}

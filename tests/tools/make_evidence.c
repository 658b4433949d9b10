/*
 * Makes evidence for tests: a small imitation of Intel's PKI with all its documents, and quotes of platforms that
 * belong to it. Everything is signed as the real things are, under a root that nobody trusts unless told to.
 *
 *   make-evidence pki FOLDER [DAYS]
 *
 * keys, certificates, CRLs, TCB info and QE identity, issued DAYS ago (default 1) for 30 days;
 *
 *   make-evidence quote FOLDER REPORTDATA [debug] [ppid]
 *
 * a version 3 quote on stdout, of a debug enclave, with an encrypted PPID instead of the PCK certificates. REPORTDATA
 * is up to 128 hex digits.
 */
#include <openssl/conf.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define FMSPC "00a06d080000"
#define OTHER_FMSPC "00906ed50000"
#define DAY 86400L

static const char *folder;
static time_t issued;

static void check(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "make-evidence: %s failed\n", what);
    exit(1);
}

static FILE *open_file(const char *name, const char *mode)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, mode);
    check(file != NULL, path);
    return file;
}

static EVP_PKEY *new_key(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *file = open_file(name, "w");
    check(key && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), name);
    fclose(file);
    return key;
}

static EVP_PKEY *load_key(const char *name)
{
    FILE *file = open_file(name, "r");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    check(key != NULL, name);
    fclose(file);
    return key;
}

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    check(extension && X509_add_ext(certificate, extension, -1), "extension");
    X509_EXTENSION_free(extension);
}

/* The extension 1.2.840.113741.1.13.1 of PCK certificates, described in OpenSSL's own notation. */
static void add_sgx_extension(X509 *certificate)
{
    char text[8192];
    size_t used = 0;
    static const char oid[] = "1.2.840.113741.1.13.1";
#define ADD(...) used += (size_t)snprintf(text + used, sizeof(text) - used, __VA_ARGS__)
    ADD("[sgx]\na=SEQUENCE:ppid\nb=SEQUENCE:tcb\nc=SEQUENCE:pceid\nd=SEQUENCE:fmspc\ne=SEQUENCE:type\n");
    ADD("[ppid]\na=OID:%s.1\nb=FORMAT:HEX,OCTETSTRING:000102030405060708090a0b0c0d0e0f\n", oid);
    ADD("[tcb]\na=OID:%s.2\nb=SEQUENCE:tcbs\n[tcbs]\n", oid);
    for (int i = 1; i <= 18; i++)
        ADD("%d=SEQUENCE:t%d\n", i, i);
    for (int i = 1; i <= 16; i++)
        ADD("[t%d]\na=OID:%s.2.%d\nb=INTEGER:%d\n", i, oid, i, i <= 8 ? 5 : 0);
    ADD("[t17]\na=OID:%s.2.17\nb=INTEGER:11\n", oid);
    ADD("[t18]\na=OID:%s.2.18\nb=FORMAT:HEX,OCTETSTRING:05050505050505050000000000000000\n", oid);
    ADD("[pceid]\na=OID:%s.3\nb=FORMAT:HEX,OCTETSTRING:0000\n", oid);
    ADD("[fmspc]\na=OID:%s.4\nb=FORMAT:HEX,OCTETSTRING:" FMSPC "\n", oid);
    ADD("[type]\na=OID:%s.5\nb=ENUMERATED:0\n", oid);
#undef ADD
    BIO *bio = BIO_new_mem_buf(text, (int)used);
    CONF *conf = NCONF_new(NULL);
    check(conf && NCONF_load_bio(conf, bio, NULL) > 0, "configuration");
    ASN1_TYPE *value = ASN1_generate_nconf("SEQUENCE:sgx", conf);
    uint8_t *der = NULL;
    int size = value ? i2d_ASN1_TYPE(value, &der) : 0;
    check(size > 0, "SGX extension");
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    check(octets && object && ASN1_OCTET_STRING_set(octets, der, size), "SGX extension");
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, octets);
    check(extension && X509_add_ext(certificate, extension, -1), "SGX extension");
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(object);
    ASN1_TYPE_free(value);
    OPENSSL_free(der);
    NCONF_free(conf);
    BIO_free(bio);
}

enum certificate_kind { KIND_CA, KIND_SIGNER, KIND_PCK };

static X509 *make_certificate(const char *name, enum certificate_kind kind, EVP_PKEY *key, X509 *issuer,
                              EVP_PKEY *issuer_key)
{
    static long serial = 1;
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_NAME_new();
    check(certificate && subject, "certificate");
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
    X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC, (const uint8_t *)"Cofre tests", -1, -1, 0);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    ASN1_TIME_set(X509_getm_notBefore(certificate), issued - 365 * DAY);
    ASN1_TIME_set(X509_getm_notAfter(certificate), issued + 3650 * DAY);
    X509_set_subject_name(certificate, subject);
    X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject);
    X509_set_pubkey(certificate, key);
    add_extension(certificate, issuer, NID_basic_constraints,
                  kind == KIND_CA ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(certificate, issuer, NID_key_usage,
                  kind == KIND_CA ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature,nonRepudiation");
    add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
    if (issuer)
        add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always");
    if (kind == KIND_PCK)
        add_sgx_extension(certificate);
    check(X509_sign(certificate, issuer_key, EVP_sha256()), "signing a certificate");
    X509_NAME_free(subject);
    return certificate;
}

static void write_chain(const char *name, ...)
{
    FILE *file = open_file(name, "w");
    va_list certificates;
    va_start(certificates, name);
    for (X509 *c; (c = va_arg(certificates, X509 *)) != NULL;)
        check(PEM_write_X509(file, c), name);
    va_end(certificates);
    fclose(file);
}

static void write_crl(const char *name, X509 *issuer, EVP_PKEY *key)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, issued), *until = ASN1_TIME_set(NULL, issued + 30 * DAY);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    check(crl && from && until && number && ASN1_INTEGER_set(number, 1), name);
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer));
    X509_CRL_set1_lastUpdate(crl, from);
    X509_CRL_set1_nextUpdate(crl, until);
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, NULL, NULL, crl, 0);
    X509_EXTENSION *akid = X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid:always");
    check(akid && X509_CRL_add_ext(crl, akid, -1) && X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0), name);
    check(X509_CRL_sign(crl, key, EVP_sha256()), name);
    FILE *file = open_file(name, "w");
    check(i2d_X509_CRL_fp(file, crl), name);
    fclose(file);
    X509_EXTENSION_free(akid);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    X509_CRL_free(crl);
}

/* ECDSA over SHA-256, as r and s of 32 bytes each. */
static void sign_raw(EVP_PKEY *key, const void *data, size_t size, uint8_t ret_signature[64])
{
    uint8_t der[80];
    size_t der_size = sizeof(der);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    check(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) &&
              EVP_DigestSign(context, der, &der_size, data, size),
          "signing");
    EVP_MD_CTX_free(context);
    const uint8_t *end = der;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &end, (long)der_size);
    check(signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret_signature, 32) == 32 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(signature), ret_signature + 32, 32) == 32,
          "signing");
    ECDSA_SIG_free(signature);
}

static void write_signed(const char *name, const char *member, const char *object, EVP_PKEY *key)
{
    uint8_t signature[64];
    sign_raw(key, object, strlen(object), signature);
    FILE *file = open_file(name, "w");
    fprintf(file, "{\"%s\":%s,\"signature\":\"", member, object);
    for (int i = 0; i < 64; i++)
        fprintf(file, "%02x", signature[i]);
    fputs("\"}", file);
    check(fclose(file) == 0, name);
}

static void date(time_t when, char ret_text[32])
{
    strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime(&when));
}

/* One level of TCB: all components at least svn. */
static void tcb_level(char *out, size_t size, int version, int svn, int pcesvn, const char *status)
{
    size_t used = 0;
#define ADD(...) used += (size_t)snprintf(out + used, size - used, __VA_ARGS__)
    ADD("{\"tcb\":{");
    if (version == 2)
        for (int i = 1; i <= 16; i++)
            ADD("\"sgxtcbcomp%02dsvn\":%d,", i, i <= 8 ? svn : 0);
    for (int list = 0; version == 3 && list < 2; list++) {
        ADD("\"%stcbcomponents\":[", list ? "tdx" : "sgx");
        for (int i = 1; i <= 16; i++)
            ADD("{\"svn\":%d}%s", i <= 8 ? svn : 0, i < 16 ? "," : "],");
        if (!strstr(status, "TDX"))
            break;
    }
    ADD("\"pcesvn\":%d},\"tcbDate\":\"2024-03-13T00:00:00Z\",\"tcbStatus\":\"%s\"}", pcesvn,
        strstr(status, "TDX") ? status + 4 : status);
#undef ADD
}

static void write_tcb_info(const char *name, int version, const char *id, const char *fmspc, EVP_PKEY *key)
{
    char from[32], until[32], high[1500], low[1500], head[512], text[4096];
    int is_tdx = strcmp(id, "TDX") == 0;
    date(issued, from);
    date(issued + 30 * DAY, until);
    tcb_level(high, sizeof(high), version, 5, 11, is_tdx ? "TDX:UpToDate" : "UpToDate");
    tcb_level(low, sizeof(low), version, 2, 5, is_tdx ? "TDX:OutOfDate" : "OutOfDate");
    snprintf(head, sizeof(head), "%s%s%s\"version\":%d,\"issueDate\":\"%s\",\"nextUpdate\":\"%s\",\"fmspc\":\"%s\",",
             version == 3 ? "\"id\":\"" : "", version == 3 ? id : "", version == 3 ? "\"," : "", version, from, until,
             fmspc);
    snprintf(
        text, sizeof(text),
        "{%s\"pceId\":\"0000\",\"tcbType\":0,\"tcbEvaluationDataNumber\":17,%s\"tcbLevels\":[%s,%s]}", head,
        is_tdx ? "\"tdxModule\":{\"mrsigner\":"
                 "\"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\","
                 "\"attributes\":\"0000000000000000\",\"attributesMask\":\"FFFFFFFFFFFFFFFF\"},"
               : "",
        high, low);
    write_signed(name, "tcbInfo", text, key);
}

#define QE_MRSIGNER "8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff"

static void write_identity(const char *name, const char *id, EVP_PKEY *key)
{
    char from[32], until[32], text[2048];
    date(issued, from);
    date(issued + 30 * DAY, until);
    snprintf(text, sizeof(text),
             "{\"id\":\"%s\",\"version\":2,\"issueDate\":\"%s\",\"nextUpdate\":\"%s\",\"tcbEvaluationDataNumber\":17,"
             "\"miscselect\":\"00000000\",\"miscselectMask\":\"FFFFFFFF\",\"attributes\":"
             "\"11000000000000000000000000000000\","
             "\"attributesMask\":\"FBFFFFFFFFFFFFFF0000000000000000\",\"mrsigner\":\"" QE_MRSIGNER "\",\"isvprodid\":1,"
             "\"tcbLevels\":[{\"tcb\":{\"isvsvn\":8},\"tcbDate\":\"2024-03-13T00:00:00Z\",\"tcbStatus\":\"UpToDate\"},"
             "{\"tcb\":{\"isvsvn\":1},\"tcbDate\":\"2020-03-13T00:00:00Z\",\"tcbStatus\":\"OutOfDate\"}]}",
             id, from, until);
    write_signed(name, "enclaveIdentity", text, key);
}

static int make_pki(long days)
{
    mkdir(folder, 0755);
    issued = time(NULL) - days * DAY;
    EVP_PKEY *root_key = new_key("root.key"), *platform_key = new_key("platform.key"),
             *processor_key = new_key("processor.key");
    EVP_PKEY *signing_key = new_key("signing.key"), *pck_key = new_key("pck.key"),
             *attestation_key = new_key("attestation.key");
    X509 *root = make_certificate("Cofre Test SGX Root CA", KIND_CA, root_key, NULL, root_key);
    X509 *platform = make_certificate("Cofre Test SGX PCK Platform CA", KIND_CA, platform_key, root, root_key);
    X509 *processor = make_certificate("Cofre Test SGX PCK Processor CA", KIND_CA, processor_key, root, root_key);
    X509 *signer = make_certificate("Cofre Test SGX TCB Signing", KIND_SIGNER, signing_key, root, root_key);
    X509 *pck = make_certificate("Cofre Test SGX PCK Certificate", KIND_PCK, pck_key, processor, processor_key);
    write_chain("root.pem", root, NULL);
    write_chain("platform_chain.pem", platform, root, NULL);
    write_chain("processor_chain.pem", processor, root, NULL);
    write_chain("signing_chain.pem", signer, root, NULL);
    write_chain("pck.pem", pck, NULL);
    write_chain("pck_chain.pem", pck, processor, root, NULL);
    write_crl("root.crl", root, root_key);
    write_crl("platform.crl", platform, platform_key);
    write_crl("processor.crl", processor, processor_key);
    write_tcb_info("tcb_v3_sgx.json", 2, "SGX", FMSPC, signing_key);
    write_tcb_info("tcb_v4_sgx.json", 3, "SGX", FMSPC, signing_key);
    write_tcb_info("tcb_v4_tdx.json", 3, "TDX", FMSPC, signing_key);
    write_tcb_info("tcb_other.json", 3, "SGX", OTHER_FMSPC, signing_key);
    write_identity("qe_sgx.json", "QE", signing_key);
    write_identity("qe_tdx.json", "TD_QE", signing_key);
    X509 *certificates[] = {root, platform, processor, signer, pck};
    EVP_PKEY *keys[] = {root_key, platform_key, processor_key, signing_key, pck_key, attestation_key};
    for (size_t i = 0; i < 5; i++)
        X509_free(certificates[i]);
    for (size_t i = 0; i < 6; i++)
        EVP_PKEY_free(keys[i]);
    return 0;
}

static void put16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *out, unsigned long value)
{
    put16(out, value & 0xFFFF);
    put16(out + 2, (unsigned)(value >> 16));
}

static size_t from_hex(const char *text, uint8_t *out, size_t size)
{
    size_t count = 0;
    for (; count < size && text[2 * count]; count++) {
        unsigned value;
        check(sscanf(text + 2 * count, "%2x", &value) == 1, "reading hex digits");
        out[count] = (uint8_t)value;
    }
    return count;
}

/* A report body (384 bytes). */
static void fill_body(uint8_t *body, int is_debug, const char *mrsigner, unsigned product, unsigned svn)
{
    memset(body, 5, 8);                              /* CPUSVN */
    body[48] = (uint8_t)(0x05 | (is_debug ? 2 : 0)); /* INIT, MODE64BIT */
    body[56] = 3;
    memset(body + 64, 0xE1, 32);
    from_hex(mrsigner, body + 128, 32);
    put16(body + 256, product);
    put16(body + 258, svn);
}

/* x and y of a P-256 key, 32 bytes each. */
static void public_point(EVP_PKEY *key, uint8_t ret_point[64])
{
    uint8_t octets[65];
    size_t size = 0;
    check(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof(octets), &size) && size == 65,
          "public key");
    memcpy(ret_point, octets + 1, 64);
}

/* Certification data of type 5, the PCK chain with a NUL, or 3. Its whole size, with the head. */
static size_t put_certification(uint8_t *out, int is_ppid)
{
    size_t size;
    if (is_ppid) {
        memset(out + 6, 0xAA, 384); /* RSA of the PPID, for Intel alone */
        memset(out + 6 + 384, 5, 8);
        memset(out + 6 + 392, 0, 8);
        put16(out + 6 + 400, 11);
        put16(out + 6 + 402, 0);
        size = 404;
    } else {
        FILE *chain = open_file("pck_chain.pem", "r");
        size = fread(out + 6, 1, 8000, chain) + 1;
        fclose(chain);
    }
    put16(out, is_ppid ? 3 : 5);
    put32(out + 2, size);
    return 6 + size;
}

static int make_quote(const char *report_data, int is_debug, int is_ppid)
{
    static uint8_t quote[16384];
    static const uint8_t vendor[16] = {0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                       0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};
    EVP_PKEY *attestation_key = load_key("attestation.key"), *pck_key = load_key("pck.key");
    put16(quote, 3);
    put16(quote + 2, 2);
    put16(quote + 8, 8);
    put16(quote + 10, 11);
    memcpy(quote + 12, vendor, sizeof(vendor));
    fill_body(quote + 48, is_debug, "c0f2ec0f2ec0f2ec0f2ec0f2ec0f2ec0f2ec0f2ec0f2ec0f2ec0f2ec0f2ec0f2", 7, 3);
    from_hex(report_data, quote + 48 + 320, 64);
    uint8_t *data = quote + 436, *qe = data + 128, *rest = data + 576;
    sign_raw(attestation_key, quote, 432, data);
    public_point(attestation_key, data + 64);
    fill_body(qe, 0, QE_MRSIGNER, 1, 8);
    qe[48] = 0x15; /* and PROVISIONKEY */
    put16(rest, 32);
    for (int i = 0; i < 32; i++)
        rest[2 + i] = (uint8_t)i;
    uint8_t bound[96];
    memcpy(bound, data + 64, 64);
    memcpy(bound + 64, rest + 2, 32);
    SHA256(bound, sizeof(bound), qe + 320);
    sign_raw(pck_key, qe, 384, qe + 384);
    size_t size = 576 + 34 + put_certification(rest + 34, is_ppid);
    put32(quote + 432, size);
    fwrite(quote, 1, 436 + size, stdout);
    EVP_PKEY_free(attestation_key);
    EVP_PKEY_free(pck_key);
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "pki") == 0) {
        folder = argv[2];
        return make_pki(argc > 3 ? strtol(argv[3], NULL, 10) : 1);
    }
    if (argc >= 4 && strcmp(argv[1], "quote") == 0) {
        folder = argv[2];
        int is_debug = 0, is_ppid = 0;
        for (int i = 4; i < argc; i++) {
            is_debug |= strcmp(argv[i], "debug") == 0;
            is_ppid |= strcmp(argv[i], "ppid") == 0;
        }
        return make_quote(argv[3], is_debug, is_ppid);
    }
    fputs("make-evidence: usage: pki FOLDER [DAYS] | quote FOLDER REPORTDATA [debug] [ppid]\n", stderr);
    return 2;
}

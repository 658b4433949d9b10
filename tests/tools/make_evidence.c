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
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "host/quote/issue.h"

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

static X509 *make_certificate(const char *name, enum issue_kind kind, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    static const struct issue_platform platform = {
        .ppid = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
        .components = {5, 5, 5, 5, 5, 5, 5, 5},
        .pce_svn = 11,
        .cpusvn = {5, 5, 5, 5, 5, 5, 5, 5},
        .fmspc = FMSPC,
    };
    struct issue_authority authority = {issuer, issuer_key};
    X509 *certificate = issue_certificate(name, "Cofre tests", kind, key, issuer ? &authority : NULL, &platform,
                                          issued - 365 * DAY, issued + 3650 * DAY);
    check(certificate != NULL, name);
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
    X509_CRL *crl = issue_crl(&(struct issue_authority){issuer, key}, issued, issued + 30 * DAY);
    FILE *file = open_file(name, "w");
    check(crl && i2d_X509_CRL_fp(file, crl), name);
    fclose(file);
    X509_CRL_free(crl);
}

static void write_signed(const char *name, const char *member, const char *object, EVP_PKEY *key)
{
    char *json = issue_json(member, object, key);
    FILE *file = open_file(name, "w");
    check(json && fputs(json, file) >= 0, name);
    check(fclose(file) == 0, name);
    free(json);
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
            ADD("{\"svn\":%d}%s", i <= 8 && !(list && i == 2) ? svn : 0, i < 16 ? "," : "],");
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
    issue_date(issued, from);
    issue_date(issued + 30 * DAY, until);
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
    issue_date(issued, from);
    issue_date(issued + 30 * DAY, until);
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
    X509 *root = make_certificate("Cofre Test SGX Root CA", ISSUE_CA, root_key, NULL, root_key);
    X509 *platform = make_certificate("Cofre Test SGX PCK Platform CA", ISSUE_CA, platform_key, root, root_key);
    X509 *processor = make_certificate("Cofre Test SGX PCK Processor CA", ISSUE_CA, processor_key, root, root_key);
    X509 *signer = make_certificate("Cofre Test SGX TCB Signing", ISSUE_SIGNER, signing_key, root, root_key);
    X509 *pck = make_certificate("Cofre Test SGX PCK Certificate", ISSUE_PCK, pck_key, processor, processor_key);
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
    check(issue_sign(attestation_key, quote, 432, data) == 0, "signing");
    check(issue_public_key(attestation_key, data + 64) == 0, "reading the attestation key");
    fill_body(qe, 0, QE_MRSIGNER, 1, 8);
    qe[48] = 0x15; /* and PROVISIONKEY */
    put16(rest, 32);
    for (int i = 0; i < 32; i++)
        rest[2 + i] = (uint8_t)i;
    uint8_t bound[96];
    memcpy(bound, data + 64, 64);
    memcpy(bound + 64, rest + 2, 32);
    SHA256(bound, sizeof(bound), qe + 320);
    check(issue_sign(pck_key, qe, 384, qe + 384) == 0, "signing");
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

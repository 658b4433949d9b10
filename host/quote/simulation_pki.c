/* The simulated platform's keys, certificates and collateral (contract in simulation_pki.h). */
#include "host/quote/simulation_pki.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attest/quote.h"
#include "host/quote/issue.h"
#include "host/quote/simulation.h"
#include "host/softsgx/state.h"
#include "image/error.h"

#define YEARS(n) ((n)*365L * ISSUE_DAY)
#define CERTIFICATE_DAYS YEARS(10)
#define DOCUMENT_DAYS (30L * ISSUE_DAY)
#define TCB_DATE "2026-01-01T00:00:00Z"
#define AUTH_DATA_SIZE 32

/* Everybody who signs, and the platform. */
struct pki {
    struct issue_authority root, processor_ca, signer, pck;
    EVP_PKEY *attestation_key;
};

static const struct {
    const char *file, *name;
    size_t offset; /* in struct pki */
} members[] = {
    {"root", "Cofre Simulation SGX Root CA", offsetof(struct pki, root)},
    {"processor_ca", "Cofre Simulation SGX PCK Processor CA", offsetof(struct pki, processor_ca)},
    {"tcb_signing", "Cofre Simulation SGX TCB Signing", offsetof(struct pki, signer)},
    {"pck", "Cofre Simulation SGX PCK Certificate", offsetof(struct pki, pck)},
};
#define MEMBER_COUNT (sizeof(members) / sizeof(members[0]))

static struct issue_authority *member(struct pki *pki, size_t i)
{
    return (struct issue_authority *)((char *)pki + members[i].offset);
}

static void pki_free(struct pki *pki)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        X509_free(member(pki, i)->certificate);
        EVP_PKEY_free(member(pki, i)->key);
    }
    EVP_PKEY_free(pki->attestation_key);
    memset(pki, 0, sizeof(*pki));
}

/* ---- files ---- */

static FILE *open_file(const char *folder, const char *name, const char *extension, const char *mode, char **ret_error)
{
    char path[4400];
    if (snprintf(path, sizeof(path), "%s/%s%s", folder, name, extension) >= (int)sizeof(path)) {
        error_set(ret_error, "%s: the path is too long", folder);
        return NULL;
    }
    FILE *file = fopen(path, mode);
    if (!file)
        error_set_errno(ret_error, errno, "%s", path);
    return file;
}

/* Closes a file that was written; all must have gone well. */
static int close_file(FILE *file, int good, const char *name, char **ret_error)
{
    int failed = ferror(file);
    if (fclose(file) != 0 || failed || !good)
        return error_set(ret_error, "writing %s failed", name);
    return 0;
}

static int write_bytes(const char *folder, const char *name, const void *data, size_t size, char **ret_error)
{
    FILE *file = open_file(folder, name, "", "we", ret_error);
    if (!file)
        return -1;
    return close_file(file, fwrite(data, 1, size, file) == size, name, ret_error);
}

static int write_key(const char *folder, const char *name, EVP_PKEY *key, char **ret_error)
{
    FILE *file = open_file(folder, name, ".key", "we", ret_error);
    if (!file)
        return -1;
    return close_file(file, PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), name, ret_error);
}

static int write_chain(const char *folder, const char *name, const struct issue_authority *const chain[], size_t count,
                       char **ret_error)
{
    FILE *file = open_file(folder, name, "", "we", ret_error);
    int good = 1;
    if (!file)
        return -1;
    for (size_t i = 0; i < count; i++)
        good &= PEM_write_X509(file, chain[i]->certificate);
    return close_file(file, good, name, ret_error);
}

static int write_crl(const char *folder, const char *name, const struct issue_authority *issuer, int64_t now,
                     char **ret_error)
{
    X509_CRL *crl = issue_crl(issuer, now, now + DOCUMENT_DAYS);
    FILE *file = crl ? open_file(folder, name, "", "we", ret_error) : NULL;
    int ret = -1;
    if (file)
        ret = close_file(file, i2d_X509_CRL_fp(file, crl), name, ret_error);
    else if (!crl)
        error_set(ret_error, "making %s failed", name);
    X509_CRL_free(crl);
    return ret;
}

/* ---- making ---- */

static int make_certificates(struct pki *pki, char **ret_error)
{
    static const enum issue_kind kinds[] = {ISSUE_CA, ISSUE_CA, ISSUE_SIGNER, ISSUE_PCK};
    const struct issue_authority *issuers[] = {NULL, &pki->root, &pki->root, &pki->processor_ca};
    struct issue_platform platform = {.components = SIMULATION_CPUSVN,
                                      .pce_svn = SIMULATION_PCE_SVN,
                                      .cpusvn = SIMULATION_CPUSVN,
                                      .fmspc = SIMULATION_FMSPC};
    int64_t now = time(NULL) - ISSUE_DAY; /* verifiers' clocks may be slow */

    if (RAND_bytes(platform.ppid, sizeof(platform.ppid)) != 1 || !(pki->attestation_key = EVP_EC_gen("P-256")))
        return error_set(ret_error, "making a key failed");
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        struct issue_authority *m = member(pki, i);
        m->key = EVP_EC_gen("P-256");
        if (m->key)
            m->certificate = issue_certificate(members[i].name, "simulation, not Intel SGX", kinds[i], m->key,
                                               issuers[i], &platform, now, now + CERTIFICATE_DAYS);
        if (!m->certificate)
            return error_set(ret_error, "making the certificate of %s failed", members[i].name);
    }
    return 0;
}

static void put16(uint8_t *out, size_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

/* The report of the quoting enclave that vouches for its attestation key. */
static struct attest_sgx_body qe_report(const uint8_t *key_and_auth)
{
    struct attest_sgx_body body = {.cpusvn = SIMULATION_CPUSVN,
                                   .attributes = SIMULATION_QE_ATTRIBUTES,
                                   .xfrm = SIMULATION_QE_XFRM,
                                   .isv_product_id = SIMULATION_QE_PRODUCT_ID,
                                   .isv_svn = SIMULATION_QE_SVN};
    memcpy(body.mrenclave, SIMULATION_QE_MRENCLAVE, sizeof(body.mrenclave));
    memcpy(body.mrsigner, SIMULATION_QE_MRSIGNER, sizeof(body.mrsigner));
    SHA256(key_and_auth, 64 + AUTH_DATA_SIZE, body.report_data);
    return body;
}

/* What follows the signature in each quote (SIMULATION_CERTIFICATION), with the PCK chain's PEM at its end. */
static int write_certification(const char *folder, const struct pki *pki, const char *pem, size_t pem_size,
                               char **ret_error)
{
    uint8_t data[8192], key_and_auth[64 + AUTH_DATA_SIZE], *at = data;
    struct attest_sgx_body report;

    if (pem_size + 1024 > sizeof(data))
        return error_set(ret_error, "the certificate chain is too long");
    for (size_t i = 0; i < AUTH_DATA_SIZE; i++)
        key_and_auth[64 + i] = (uint8_t)i;
    if (issue_public_key(pki->attestation_key, key_and_auth) < 0)
        return error_set(ret_error, "reading the attestation key failed");
    memcpy(at, key_and_auth, 64);
    at += 64;
    report = qe_report(key_and_auth);
    memcpy(at, &report, sizeof(report));
    if (issue_sign(pki->pck.key, &report, sizeof(report), at + sizeof(report)) < 0)
        return error_set(ret_error, "signing the quoting enclave's report failed");
    at += sizeof(report) + 64;
    put16(at, AUTH_DATA_SIZE);
    memcpy(at + 2, key_and_auth + 64, AUTH_DATA_SIZE);
    at += 2 + AUTH_DATA_SIZE;
    put16(at, ATTEST_CERTIFICATION_PCK_CHAIN);
    put16(at + 2, pem_size + 1); /* with its NUL, as Intel's has */
    put16(at + 4, 0);
    memcpy(at + 6, pem, pem_size);
    at[6 + pem_size] = 0;
    at += 6 + pem_size + 1;
    return write_bytes(folder, SIMULATION_CERTIFICATION, data, (size_t)(at - data), ret_error);
}

static int write_attestation_key(const char *folder, const struct pki *pki, char **ret_error)
{
    BIGNUM *scalar = NULL;
    uint8_t bytes[32];
    int ret = -1;
    if (EVP_PKEY_get_bn_param(pki->attestation_key, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1 &&
        BN_bn2binpad(scalar, bytes, sizeof(bytes)) == sizeof(bytes))
        ret = write_bytes(folder, SIMULATION_ATTESTATION_KEY, bytes, sizeof(bytes), ret_error);
    else
        error_set(ret_error, "reading the attestation key failed");
    OPENSSL_cleanse(bytes, sizeof(bytes));
    BN_clear_free(scalar);
    return ret;
}

static int write_pki(const char *folder, struct pki *pki, char **ret_error)
{
    const struct issue_authority *const chain[] = {&pki->pck, &pki->processor_ca, &pki->root};
    BIO *pem = BIO_new(BIO_s_mem());
    char *text;
    int ret = pem ? 0 : -1;

    for (size_t i = 0; i < MEMBER_COUNT && ret == 0; i++) {
        const struct issue_authority *one = member(pki, i);
        char name[64];
        snprintf(name, sizeof(name), "%s.pem", members[i].file);
        ret = write_chain(folder, name, &one, 1, ret_error);
        if (ret == 0)
            ret = write_key(folder, members[i].file, one->key, ret_error);
    }
    for (size_t i = 0; i < 3 && ret == 0; i++)
        ret = PEM_write_bio_X509(pem, chain[i]->certificate) ? 0 : -1;
    if (ret == 0)
        ret = write_attestation_key(folder, pki, ret_error);
    if (ret == 0) {
        long size = BIO_get_mem_data(pem, &text);
        ret = write_certification(folder, pki, text, (size_t)size, ret_error);
    }
    BIO_free(pem);
    return ret;
}

/* The state folder's path, and whether the simulated platform is there already. */
static int find_folder(char *ret_path, size_t size, int *ret_exists, char **ret_error)
{
    char path[4400];
    if (!softsgx_state_path(SIMULATION_FOLDER, ret_path, size))
        return error_set(ret_error, "there is no place for the state of the simulated platform (set HOME)");
    snprintf(path, sizeof(path), "%s/" SIMULATION_CERTIFICATION, ret_path);
    *ret_exists = access(path, R_OK) == 0;
    return 0;
}

static void remove_folder(const char *folder)
{
    char path[4400];
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        for (int k = 0; k < 2; k++) {
            snprintf(path, sizeof(path), "%s/%s%s", folder, members[i].file, k ? ".key" : ".pem");
            unlink(path);
        }
    }
    snprintf(path, sizeof(path), "%s/" SIMULATION_ATTESTATION_KEY, folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/" SIMULATION_CERTIFICATION, folder);
    unlink(path);
    rmdir(folder);
}

int simulation_provision(char **ret_error)
{
    char folder[4200], aside[4300];
    struct pki pki = {0};
    int exists, ret;

    if (find_folder(folder, sizeof(folder), &exists, ret_error) < 0)
        return -1;
    if (exists)
        return 0;
    /* Written aside and renamed into place whole, so that two first users agree. */
    snprintf(aside, sizeof(aside), "%s.%d", folder, (int)getpid());
    if (mkdir(aside, 0700) < 0)
        return error_set_errno(ret_error, errno, "%s", aside);
    mode_t before = umask(077);
    ret = make_certificates(&pki, ret_error);
    if (ret == 0)
        ret = write_pki(aside, &pki, ret_error);
    umask(before);
    pki_free(&pki);
    if (ret == 0 && rename(aside, folder) < 0 && errno != ENOTEMPTY && errno != EEXIST)
        ret = error_set_errno(ret_error, errno, "%s", folder);
    remove_folder(aside); /* if it is still there */
    return ret;
}

/* ---- collateral ---- */

static int load_pki(const char *folder, struct pki *pki, char **ret_error)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        struct issue_authority *m = member(pki, i);
        FILE *certificate = open_file(folder, members[i].file, ".pem", "re", ret_error);
        FILE *key = certificate ? open_file(folder, members[i].file, ".key", "re", ret_error) : NULL;
        if (certificate) {
            m->certificate = PEM_read_X509(certificate, NULL, NULL, NULL);
            fclose(certificate);
        }
        if (!key)
            return -1;
        m->key = PEM_read_PrivateKey(key, NULL, NULL, NULL);
        fclose(key);
        if (!m->certificate || !m->key)
            return error_set(ret_error, "%s/%s: not a certificate and its key", folder, members[i].file);
    }
    return 0;
}

static int write_signed(const char *folder, const char *name, const char *member_name, const char *object,
                        EVP_PKEY *key, char **ret_error)
{
    char *json = issue_json(member_name, object, key);
    int ret = json ? write_bytes(folder, name, json, strlen(json), ret_error)
                   : error_set(ret_error, "signing %s failed", name);
    free(json);
    return ret;
}

static int write_tcb_info(const char *folder, const struct pki *pki, int64_t now, char **ret_error)
{
    static const uint8_t components[16] = SIMULATION_CPUSVN;
    char text[2048], list[512] = "", from[32], until[32];
    size_t used = 0;

    for (size_t i = 0; i < sizeof(components); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s{\"svn\":%d}", i ? "," : "", components[i]);
    issue_date(now, from);
    issue_date(now + DOCUMENT_DAYS, until);
    snprintf(text, sizeof(text),
             "{\"id\":\"SGX\",\"version\":3,\"issueDate\":\"%s\",\"nextUpdate\":\"%s\",\"fmspc\":\"" SIMULATION_FMSPC
             "\",\"pceId\":\"0000\",\"tcbType\":0,\"tcbEvaluationDataNumber\":1,\"tcbLevels\":[{\"tcb\":"
             "{\"sgxtcbcomponents\":[%s],\"pcesvn\":%d},\"tcbDate\":\"" TCB_DATE "\",\"tcbStatus\":\"UpToDate\"}]}",
             from, until, list, SIMULATION_PCE_SVN);
    return write_signed(folder, "tcb_info.json", "tcbInfo", text, pki->signer.key, ret_error);
}

static int write_qe_identity(const char *folder, const struct pki *pki, int64_t now, char **ret_error)
{
    char text[2048], mrsigner[65] = "", from[32], until[32];

    for (size_t i = 0; i < 32; i++)
        sprintf(mrsigner + 2 * i, "%02X", (unsigned char)SIMULATION_QE_MRSIGNER[i]);
    issue_date(now, from);
    issue_date(now + DOCUMENT_DAYS, until);
    snprintf(text, sizeof(text),
             "{\"id\":\"QE\",\"version\":2,\"issueDate\":\"%s\",\"nextUpdate\":\"%s\",\"tcbEvaluationDataNumber\":1,"
             "\"miscselect\":\"00000000\",\"miscselectMask\":\"FFFFFFFF\",\"attributes\":"
             "\"11000000000000000000000000000000\",\"attributesMask\":\"FBFFFFFFFFFFFFFF0000000000000000\","
             "\"mrsigner\":\"%s\",\"isvprodid\":%d,\"tcbLevels\":[{\"tcb\":{\"isvsvn\":%d},\"tcbDate\":\"" TCB_DATE
             "\",\"tcbStatus\":\"UpToDate\"}]}",
             from, until, mrsigner, SIMULATION_QE_PRODUCT_ID, SIMULATION_QE_SVN);
    return write_signed(folder, "qe_identity.json", "enclaveIdentity", text, pki->signer.key, ret_error);
}

static int write_collateral(const char *folder, const struct pki *pki, char **ret_error)
{
    const struct issue_authority *const pck_chain[] = {&pki->pck, &pki->processor_ca, &pki->root};
    const struct issue_authority *const signer_chain[] = {&pki->signer, &pki->root};
    int64_t now = time(NULL) - 60; /* verifiers' clocks may be slow */

    if (write_chain(folder, "root.pem", pck_chain + 2, 1, ret_error) < 0 ||
        write_chain(folder, "pck_chain.pem", pck_chain, 3, ret_error) < 0 ||
        write_chain(folder, "pck_crl_chain.pem", pck_chain + 1, 2, ret_error) < 0 ||
        write_chain(folder, "tcb_info_chain.pem", signer_chain, 2, ret_error) < 0 ||
        write_chain(folder, "qe_identity_chain.pem", signer_chain, 2, ret_error) < 0 ||
        write_crl(folder, "root_crl.der", &pki->root, now, ret_error) < 0 ||
        write_crl(folder, "pck_crl.der", &pki->processor_ca, now, ret_error) < 0 ||
        write_tcb_info(folder, pki, now, ret_error) < 0)
        return -1;
    return write_qe_identity(folder, pki, now, ret_error);
}

int simulation_export(const char *target, char **ret_error)
{
    char folder[4200];
    struct pki pki = {0};
    int exists, ret;

    if (simulation_provision(ret_error) < 0 || find_folder(folder, sizeof(folder), &exists, ret_error) < 0)
        return -1;
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        return error_set_errno(ret_error, errno, "%s", target);
    ret = load_pki(folder, &pki, ret_error);
    if (ret == 0)
        ret = write_collateral(target, &pki, ret_error);
    pki_free(&pki);
    return ret;
}

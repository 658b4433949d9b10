/* Evidence made to order. */
#include "tests/unit/attest/evidence.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attest/encode.h"
#include "attest/file.h"
#include "image/file_io.h"

static char folder[] = "/tmp/cofre-verify-XXXXXX";
static EVP_PKEY *keys[KEY_COUNT];
static struct attest_roots roots;

static void must(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "evidence: %s failed\n", what);
    abort();
}

struct blob evidence_file(const char *name)
{
    char path[256], *error = NULL;
    struct blob blob;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    blob.data = (uint8_t *)attest_file_read(path, 1 << 20, &blob.size, &error);
    must(blob.data != NULL, path);
    return blob;
}

EVP_PKEY *evidence_key(enum evidence_key key)
{
    return keys[key];
}

int evidence_setup(void **state)
{
    static const char *const names[] = {"root", "platform", "processor", "signing", "pck", "attestation"};
    char command[512], name[32], *error = NULL;
    (void)state;
    must(mkdtemp(folder) != NULL, "mkdtemp");
    snprintf(command, sizeof(command), "%s pki %s", getenv("EVIDENCE_TOOL"), folder);
    must(system(command) == 0, command);
    for (int i = 0; i < KEY_COUNT; i++) {
        snprintf(name, sizeof(name), "%s.key", names[i]);
        struct blob pem = evidence_file(name);
        BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
        keys[i] = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        must(keys[i] != NULL, name);
        BIO_free(bio);
        free(pem.data);
    }
    struct blob root = evidence_file("root.pem");
    attest_roots_init(&roots);
    must(attest_roots_add_pem(&roots, (char *)root.data, root.size, true, &error) == 0, "root");
    free(root.data);
    return 0;
}

int evidence_teardown(void **state)
{
    (void)state;
    for (int i = 0; i < KEY_COUNT; i++)
        EVP_PKEY_free(keys[i]);
    path_remove_all(folder);
    return 0;
}

const struct attest_roots *evidence_roots(void)
{
    return &roots;
}

static void sign(enum evidence_key key, const void *data, size_t size, uint8_t ret_signature[64])
{
    uint8_t der[80];
    size_t der_size = sizeof(der);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, keys[key]) == 1 &&
             EVP_DigestSign(context, der, &der_size, data, size) == 1,
         "signing");
    EVP_MD_CTX_free(context);
    const uint8_t *end = der;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &end, (long)der_size);
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret_signature, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), ret_signature + 32, 32);
    ECDSA_SIG_free(signature);
}

struct attest_sgx_body evidence_sgx_body(void)
{
    struct attest_sgx_body body = {.attributes = ATTEST_SGX_INIT | ATTEST_SGX_MODE64, .xfrm = 3};
    memset(body.mrenclave, 0xe1, sizeof(body.mrenclave));
    memset(body.mrsigner, 0x51, sizeof(body.mrsigner));
    body.isv_product_id = 7;
    body.isv_svn = 3;
    return body;
}

struct attest_sgx_body evidence_qe_body(int is_tdx)
{
    struct attest_sgx_body body = evidence_sgx_body();
    (void)is_tdx; /* the tool's identities are the same but for their name */
    body.attributes |= ATTEST_SGX_PROVISION_KEY;
    must(attest_hex_decode("8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff", body.mrsigner, 32) == 0,
         "mrsigner");
    body.isv_product_id = 1;
    body.isv_svn = 8;
    return body;
}

struct attest_td_body evidence_td_body(void)
{
    struct attest_td_body body = {.td_attributes = ATTEST_TD_SEPT_VE_DISABLE, .xfam = 3};
    memset(body.tee_tcb_svn, 5, 8);
    body.tee_tcb_svn[1] = 0;
    memset(body.tee_tcb_svn2, 5, 8);
    body.tee_tcb_svn2[1] = 0;
    memset(body.mrtd, 0xd1, sizeof(body.mrtd));
    return body;
}

static size_t put(uint8_t *out, const void *data, size_t size)
{
    memcpy(out, data, size);
    return size;
}

static size_t put16(uint8_t *out, size_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
    return 2;
}

static size_t put32(uint8_t *out, size_t value)
{
    put16(out, value);
    put16(out + 2, value >> 16);
    return 4;
}

static size_t put_header(uint8_t *out, const struct quote_order *order, uint16_t version)
{
    memset(out, 0, ATTEST_QUOTE_HEADER_SIZE);
    put16(out, version);
    put16(out + 2, ATTEST_KEY_TYPE_ECDSA_P256);
    put32(out + 4, order->body_type == 0 || order->body_type == ATTEST_BODY_SGX ? ATTEST_TEE_SGX : ATTEST_TEE_TDX);
    memcpy(out + 12, attest_intel_qe_vendor_id, 16);
    return ATTEST_QUOTE_HEADER_SIZE;
}

static size_t put_body(uint8_t *out, const struct quote_order *order, uint16_t version)
{
    struct attest_sgx_body sgx = order->sgx ? *order->sgx : evidence_sgx_body();
    struct attest_td_body td = order->td ? *order->td : evidence_td_body();
    enum attest_body_type type = order->body_type ? order->body_type : ATTEST_BODY_SGX;
    size_t size = type == ATTEST_BODY_SGX ? sizeof(sgx) : type == ATTEST_BODY_TD10 ? ATTEST_TD10_BODY_SIZE : sizeof(td);
    size_t used = 0;
    if (version == 5) {
        used += put16(out, type);
        used += put32(out + used, size);
    }
    return used + put(out + used, type == ATTEST_BODY_SGX ? (void *)&sgx : &td, size);
}

/* QE report, its signature, authentication data and certification data. */
static size_t put_qe(uint8_t *out, const struct quote_order *order, const uint8_t point[64])
{
    static const uint8_t auth[16384] = {1, 2, 3};
    static uint8_t bound[64 + sizeof(auth)];
    size_t auth_size = order->auth_size ? order->auth_size : 32;
    struct attest_sgx_body qe =
        order->qe ? *order->qe : evidence_qe_body(order->body_type && order->body_type != ATTEST_BODY_SGX);
    memcpy(bound, point, 64);
    memcpy(bound + 64, auth, auth_size);
    SHA256(bound, 64 + auth_size, qe.report_data);
    size_t used = put(out, &qe, sizeof(qe));
    sign(KEY_PCK, &qe, sizeof(qe), out + used);
    used += 64;
    used += put16(out + used, auth_size);
    used += put(out + used, auth, auth_size);
    uint16_t type = order->certification_type ? order->certification_type : ATTEST_CERTIFICATION_PCK_CHAIN;
    used += put16(out + used, type);
    if (order->certification_data) {
        used += put32(out + used, order->certification_data_size);
        return used + put(out + used, order->certification_data, order->certification_data_size);
    }
    struct blob chain = evidence_file(type == ATTEST_CERTIFICATION_PCK_LEAF ? "pck.pem" : "pck_chain.pem");
    used += put32(out + used, chain.size);
    used += put(out + used, chain.data, chain.size);
    free(chain.data);
    return used;
}

struct blob evidence_quote(const struct quote_order *order)
{
    uint8_t *out = calloc(1, 32768), octets[65];
    uint16_t version = order->version ? order->version : 3;
    size_t size, used = put_header(out, order, version);
    used += put_body(out + used, order, version);
    size_t length_at = used;
    used += 4;
    sign(KEY_ATTESTATION, out, length_at, out + used);
    used += 64;
    must(EVP_PKEY_get_octet_string_param(keys[KEY_ATTESTATION], OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof(octets),
                                         &size) == 1,
         "public key");
    used += put(out + used, octets + 1, 64);
    size_t outer_at = used;
    if (version > 3)
        used += 6;
    used += put_qe(out + used, order, octets + 1);
    if (version > 3) {
        put16(out + outer_at, ATTEST_CERTIFICATION_QE_REPORT);
        put32(out + outer_at + 2, used - outer_at - 6);
    }
    put32(out + length_at, used - length_at - 4);
    return (struct blob){out, used};
}

struct blob evidence_sign(const char *member, const char *object)
{
    uint8_t signature[64];
    char *hex, *text;
    sign(KEY_SIGNING, object, strlen(object), signature);
    hex = attest_hex_encode(signature, sizeof(signature));
    int size = asprintf(&text, "{\"%s\":%s,\"signature\":\"%s\"}", member, object, hex);
    must(size > 0, "asprintf");
    free(hex);
    return (struct blob){(uint8_t *)text, (size_t)size};
}

struct blob evidence_resign(const char *name, const char *from, const char *to)
{
    struct blob file = evidence_file(name);
    char *text = (char *)file.data, *object = strchr(text + 1, '{'), *end = strstr(text, ",\"signature\""), *changed;
    *end = 0;
    *strchr(text + 2, '"') = 0;
    char *at = strstr(object, from);
    must(at != NULL, from);
    must(asprintf(&changed, "%.*s%s%s", (int)(at - object), object, to, at + strlen(from)) > 0, "asprintf");
    struct blob blob = evidence_sign(text + 2, changed);
    free(changed);
    free(file.data);
    return blob;
}

static X509 *load_certificate(const char *name)
{
    struct blob pem = evidence_file(name);
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    must(certificate != NULL, name);
    BIO_free(bio);
    free(pem.data);
    return certificate;
}

struct blob evidence_crl(const char *name, enum evidence_key key, const char *certificate)
{
    char file[64];
    snprintf(file, sizeof(file), "%s.crl", name);
    struct blob old = evidence_file(file), blob = {0};
    const uint8_t *data = old.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &data, (long)old.size);
    X509_REVOKED *entry = X509_REVOKED_new();
    X509 *x509 = load_certificate(certificate ? certificate : "pck.pem");
    ASN1_INTEGER *number = ASN1_INTEGER_dup(X509_get0_serialNumber(x509));
    if (!certificate)
        ASN1_INTEGER_set(number, 99999);
    X509_free(x509);
    must(crl && entry && number && X509_REVOKED_set_serialNumber(entry, number) &&
             X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *)X509_CRL_get0_lastUpdate(crl)) &&
             X509_CRL_add0_revoked(crl, entry) && X509_CRL_sort(crl) && X509_CRL_sign(crl, keys[key], EVP_sha256()),
         file);
    int size = i2d_X509_CRL(crl, &blob.data); /* libcrypto's allocator is malloc's */
    must(size > 0, file);
    blob.size = (size_t)size;
    ASN1_INTEGER_free(number);
    X509_CRL_free(crl);
    free(old.data);
    return blob;
}

struct blob evidence_changed_crl(const char *name, enum evidence_key key, void (*fn)(X509_CRL *crl))
{
    char file[64];
    snprintf(file, sizeof(file), "%s.crl", name);
    struct blob old = evidence_file(file), blob = {0};
    const uint8_t *data = old.data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &data, (long)old.size);
    must(crl != NULL, file);
    fn(crl);
    must(X509_CRL_sign(crl, keys[key], EVP_sha256()) > 0, file);
    int size = i2d_X509_CRL(crl, &blob.data);
    must(size > 0, file);
    blob.size = (size_t)size;
    X509_CRL_free(crl);
    free(old.data);
    return blob;
}

struct blob evidence_certificate(const char *file, enum evidence_key key, void (*fn)(X509 *certificate))
{
    X509 *certificate = load_certificate(file);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    fn(certificate);
    must(X509_sign(certificate, keys[key], EVP_sha256()) && PEM_write_bio_X509(bio, certificate), file);
    size_t size = (size_t)BIO_get_mem_data(bio, &text);
    struct blob blob = {calloc(1, size + 1), size};
    memcpy(blob.data, text, size);
    BIO_free(bio);
    X509_free(certificate);
    return blob;
}

struct attest_documents evidence_documents(int is_tdx, struct blob blobs[8])
{
    static const char *const names[2][8] = {{"tcb_v4_sgx.json", "signing_chain.pem", "qe_sgx.json", "signing_chain.pem",
                                             "processor.crl", "processor_chain.pem", "root.crl", "pck_chain.pem"},
                                            {"tcb_v4_tdx.json", "signing_chain.pem", "qe_tdx.json", "signing_chain.pem",
                                             "processor.crl", "processor_chain.pem", "root.crl", "pck_chain.pem"}};
    struct attest_documents documents;
    struct attest_bytes *members = (struct attest_bytes *)&documents;
    _Static_assert(sizeof(documents) == 8 * sizeof(struct attest_bytes), "eight documents");
    for (int i = 0; i < 8; i++) {
        blobs[i] = evidence_file(names[is_tdx][i]);
        members[i] = (struct attest_bytes){blobs[i].data, blobs[i].size};
    }
    return documents;
}

void evidence_free(struct blob blobs[8])
{
    for (int i = 0; i < 8; i++)
        free(blobs[i].data);
}

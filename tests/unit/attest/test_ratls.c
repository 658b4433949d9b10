/* Certificates with evidence: real ones (COFRE_VECTORS), ours (EVIDENCE_TOOL signs the quotes), and damaged ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/sha.h>

#include "attest/cbor.h"
#include "attest/quote.h"
#include "attest/ratls.h"
#include "image/file_io.h"

static char folder[] = "/tmp/cofre-ratls-XXXXXX";
static char command[512];

static X509 *load_vector(const char *name)
{
    char path[512];
    const char *vectors = getenv("COFRE_VECTORS");
    snprintf(path, sizeof(path), "%s/ratls/%s.der", vectors ? vectors : "", name);
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    X509 *certificate = d2i_X509_fp(file, NULL);
    fclose(file);
    assert_non_null(certificate);
    return certificate;
}

static void test_real_certificates(void **state)
{
    static const struct {
        const char *name;
        enum attest_ratls_form form;
        const char *error; /* NULL: good */
    } real[] = {
        {"interop_gramine-cert", ATTEST_RATLS_INTEROPERABLE, NULL},
        {"interop_intel-sgxsdk-cert", ATTEST_RATLS_INTEROPERABLE, NULL},
        {"lsds_sgxlkl_cert", ATTEST_RATLS_OPEN_ENCLAVE, NULL},
        {"oe_tls_client_cert", ATTEST_RATLS_OPEN_ENCLAVE, NULL},
        {"intel_ecdsa_ratls", ATTEST_RATLS_GRAMINE, "another key"}, /* its report data is zero */
    };
    size_t found = 0;
    for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++) {
        struct attest_ratls_evidence evidence;
        char *error = NULL;
        X509 *certificate = load_vector(real[i].name);
        if (!certificate)
            continue;
        found++;
        int result = attest_ratls_evidence_get(certificate, &evidence, &error);
        if (!real[i].error && result < 0)
            fail_msg("%s: %s", real[i].name, error);
        if (real[i].error && (result == 0 || !strstr(error, real[i].error)))
            fail_msg("%s: %s (wanted: %s)", real[i].name, error ? error : "accepted", real[i].error);
        if (result == 0)
            assert_int_equal(evidence.form, real[i].form);
        free(error);
        X509_free(certificate);
    }
    if (found < sizeof(real) / sizeof(real[0]))
        print_message("%zu real certificates are absent (COFRE_VECTORS): not tried\n",
                      sizeof(real) / sizeof(real[0]) - found);
}

static X509 *make(EVP_PKEY *key, bool gramine, const uint8_t *nonce, size_t nonce_size)
{
    struct attest_quote_provider provider = {.quote = attest_quote_from_command, .context = command};
    struct attest_ratls_certificate_options options = {
        .provider = &provider, .gramine = gramine, .nonce = nonce, .nonce_size = nonce_size};
    char *error = NULL;
    X509 *certificate = attest_ratls_certificate_new(key, &options, &error);
    if (!certificate)
        fail_msg("%s", error);
    return certificate;
}

static EVP_PKEY *new_key(const char *curve)
{
    char *error = NULL;
    EVP_PKEY *key = attest_ratls_key_new(curve, &error);
    assert_non_null(key);
    return key;
}

static void expect_error(const X509 *certificate, const char *wanted)
{
    struct attest_ratls_evidence evidence;
    char *error = NULL;
    assert_int_equal(attest_ratls_evidence_get(certificate, &evidence, &error), -1);
    if (!strstr(error, wanted))
        fail_msg("%s (wanted: %s)", error, wanted);
    free(error);
}

static void test_own_certificates(void **state)
{
    static const char *const curves[] = {"P-256", "P-384"};
    for (int i = 0; i < 4; i++) {
        struct attest_ratls_evidence evidence;
        char *error = NULL;
        EVP_PKEY *key = new_key(curves[i & 1]);
        X509 *certificate = make(key, i & 2, (const uint8_t *)"nonce", i & 2 ? 5 : 0);
        assert_int_equal(X509_verify(certificate, key), 1);
        assert_int_equal(attest_ratls_evidence_get(certificate, &evidence, &error), 0);
        assert_int_equal(evidence.form, ATTEST_RATLS_INTEROPERABLE);
        assert_int_equal(evidence.nonce_size, i & 2 ? 5 : 0);
        if (i & 2) { /* without the first form the second counts */
            X509_EXTENSION_free(X509_delete_ext(certificate, 0));
            assert_int_equal(attest_ratls_evidence_get(certificate, &evidence, &error), 0);
            assert_int_equal(evidence.form, ATTEST_RATLS_GRAMINE);
            X509_EXTENSION_free(X509_delete_ext(certificate, 0));
            expect_error(certificate, "no evidence");
        }
        X509_free(certificate);
        EVP_PKEY_free(key);
    }
    char *error = NULL;
    assert_null(attest_ratls_key_new("P-521", &error));
    free(error);
}

/* Evidence is worth nothing in a certificate with another key. */
static void test_stolen_evidence(void **state)
{
    EVP_PKEY *key = new_key("P-256"), *thief = new_key("P-256");
    for (int gramine = 0; gramine < 2; gramine++) {
        X509 *certificate = make(key, gramine, NULL, 0);
        if (gramine)
            X509_EXTENSION_free(X509_delete_ext(certificate, 0));
        X509_set_pubkey(certificate, thief);
        X509_sign(certificate, thief, EVP_sha256());
        expect_error(certificate, "another key than the certificate's");
        X509_free(certificate);
    }
    EVP_PKEY_free(key);
    EVP_PKEY_free(thief);
}

static void set_evidence(X509 *certificate, const uint8_t *data, size_t size, int times)
{
    ASN1_OBJECT *object = OBJ_txt2obj("2.23.133.5.4.9", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(value, data, (int)size);
    while (X509_get_ext_count(certificate) > 0)
        X509_EXTENSION_free(X509_delete_ext(certificate, 0));
    while (times--) {
        X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, value);
        X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
    }
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
}

/* Every bit of the extension counts, but for those that no part of RA-TLS covers: signatures inside the quote. */
static void test_damage(void **state)
{
    EVP_PKEY *key = new_key("P-256");
    X509 *certificate = make(key, false, NULL, 0);
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(certificate, 0));
    size_t size = (size_t)ASN1_STRING_length(value);
    uint8_t *data = malloc(size);
    struct attest_ratls_evidence evidence;
    char *error = NULL;
    memcpy(data, ASN1_STRING_get0_data(value), size);
    assert_int_equal(attest_ratls_evidence_parse(data, size, &evidence, &error), 0);
    size_t quote_from = (size_t)(evidence.quote - data), quote_until = quote_from + evidence.quote_size;
    for (size_t cut = 0; cut < size; cut += cut < 16 || cut > quote_until ? 1 : 97) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, data, cut);
        assert_int_equal(attest_ratls_evidence_parse(copy, cut, &evidence, &error), -1);
        free(copy);
    }
    for (size_t i = 0; i < size; i++) {
        if (i >= quote_from && i < quote_until && (i < quote_from + 368 || i >= quote_from + 400))
            continue;
        for (int bit = 0; bit < 8; bit++) {
            data[i] ^= (uint8_t)(1 << bit);
            set_evidence(certificate, data, size, 1);
            if (attest_ratls_evidence_get(certificate, &evidence, &error) == 0)
                fail_msg("bit %d of byte %zu is not noticed", bit, i);
            data[i] ^= (uint8_t)(1 << bit);
        }
    }
    set_evidence(certificate, data, size, 2);
    expect_error(certificate, "its evidence twice");
    set_evidence(certificate, data, size, 1);
    assert_int_equal(attest_ratls_evidence_get(certificate, &evidence, &error), 0);
    free(error);
    free(data);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

struct form {
    uint64_t tag, array, algorithm;
    const EVP_MD *md;
    bool other_claim, two_hashes, indefinite, trailing;
    const char *error;
};

/* The interoperable form as others write it, rightly and wrongly; its quote is for whatever claims come out. */
static void write_form(const struct form *form, EVP_PKEY *key, X509 *certificate)
{
    struct attest_cbor_writer entry = {0}, claims = {0}, all = {0};
    uint8_t *spki = NULL, hash[EVP_MAX_MD_SIZE], report_data[64] = {0}, *quote;
    unsigned hash_size;
    size_t quote_size;
    char *error = NULL;
    int spki_size = i2d_PUBKEY(key, &spki);
    EVP_Digest(spki, (size_t)spki_size, hash, &hash_size, form->md, NULL);
    OPENSSL_free(spki);
    attest_cbor_write(&entry, ATTEST_CBOR_ARRAY, 2);
    attest_cbor_write(&entry, ATTEST_CBOR_UINT, form->algorithm);
    attest_cbor_write_string(&entry, ATTEST_CBOR_BYTES, hash, hash_size);
    attest_cbor_write(&claims, ATTEST_CBOR_MAP, 1 + form->other_claim + form->two_hashes);
    if (form->other_claim) {
        attest_cbor_write_string(&claims, ATTEST_CBOR_TEXT, "x", 1);
        attest_cbor_write(&claims, ATTEST_CBOR_ARRAY, 2);
        attest_cbor_write(&claims, ATTEST_CBOR_UINT, 1000000);
        attest_cbor_write(&claims, ATTEST_CBOR_MAP, 0);
    }
    for (int i = 0; i <= form->two_hashes; i++) {
        attest_cbor_write_string(&claims, ATTEST_CBOR_TEXT, "pubkey-hash", 11);
        attest_cbor_write_string(&claims, ATTEST_CBOR_BYTES, entry.data, entry.size);
    }
    SHA256(claims.data, claims.size, report_data);
    assert_int_equal(attest_quote_from_command(command, report_data, &quote, &quote_size, &error), 0);
    attest_cbor_write(&all, ATTEST_CBOR_TAG, form->tag);
    attest_cbor_write(&all, ATTEST_CBOR_ARRAY, form->array);
    if (form->indefinite)
        all.data[all.size - 1] = 0x9f;
    attest_cbor_write_string(&all, ATTEST_CBOR_BYTES, quote, quote_size);
    attest_cbor_write_string(&all, ATTEST_CBOR_BYTES, claims.data, claims.size);
    set_evidence(certificate, all.data, all.size, 1);
    if (form->trailing) {
        attest_cbor_write(&all, ATTEST_CBOR_UINT, 0);
        set_evidence(certificate, all.data, all.size, 1);
    }
    free(quote);
    free(entry.data);
    free(claims.data);
    free(all.data);
}

static void test_forms(void **state)
{
    const struct form forms[] = {
        {60000, 2, 1, EVP_sha256(), .error = NULL},
        {60000, 2, 7, EVP_sha384(), .error = NULL},
        {60000, 2, 8, EVP_sha512(), .error = NULL},
        {60000, 2, 1, EVP_sha256(), .other_claim = true, .error = NULL},
        {60000, 2, 1, EVP_sha256(), .two_hashes = true, .error = "one pubkey-hash"},
        {60000, 2, 1, EVP_sha256(), .trailing = true, .error = "followed by other bytes"},
        {60000, 2, 1, EVP_sha256(), .indefinite = true, .error = "not an array"},
        {60000, 3, 1, EVP_sha256(), .error = "not an array"},
        {60000, 2, 2, EVP_sha256(), .error = "unknown algorithm 2"},
        {60000, 2, 7, EVP_sha256(), .error = "another key"},
        {60001, 2, 1, EVP_sha256(), .error = "not a quote"},
        {60002, 2, 1, EVP_sha256(), .error = "not a quote"},
        {60020, 2, 1, EVP_sha256(), .error = "CBOR tag 60020"},
    };
    EVP_PKEY *key = new_key("P-384");
    X509 *certificate = make(key, false, NULL, 0);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct attest_ratls_evidence evidence;
        char *error = NULL;
        write_form(&forms[i], key, certificate);
        if (forms[i].error)
            expect_error(certificate, forms[i].error);
        else if (attest_ratls_evidence_get(certificate, &evidence, &error) < 0)
            fail_msg("form %zu: %s", i, error);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void provider_fails(int (*quote)(void *, const uint8_t[64], uint8_t **, size_t *, char **), const char *context,
                           const char *wanted)
{
    static const uint8_t report_data[64] = {1};
    char *error = NULL;
    uint8_t *result;
    size_t size;
    assert_int_equal(quote((void *)context, report_data, &result, &size, &error), -1);
    if (!strstr(error, wanted))
        fail_msg("%s (wanted: %s)", error, wanted);
    free(error);
}

static void test_providers(void **state)
{
    char other[600], path[300], device[300];
    provider_fails(attest_quote_from_command, "exit 3", "failed");
    provider_fails(attest_quote_from_command, "echo no quote", "no quote`");
    provider_fails(attest_quote_from_command, "head -c 200000 /dev/zero", "too long");
    snprintf(other, sizeof(other), "%s quote %s/pki 02", getenv("EVIDENCE_TOOL"), folder);
    provider_fails(attest_quote_from_command, other, "other report data");
    provider_fails(attest_quote_from_file, "/nonexistent", "/nonexistent");
    snprintf(path, sizeof(path), "%s/quote", folder);
    snprintf(other, sizeof(other), "%s quote %s/pki 01 > %s", getenv("EVIDENCE_TOOL"), folder, path);
    assert_int_equal(system(other), 0);
    uint8_t report_data[64] = {1}, *quote;
    size_t size;
    char *error = NULL;
    assert_int_equal(attest_quote_from_file(path, report_data, &quote, &size, &error), 0);
    free(quote);
    /* A device: what is written to one file counts for the other. */
    snprintf(device, sizeof(device), "%s/user_report_data", folder);
    FILE *file = fopen(device, "w");
    fclose(file);
    assert_int_equal(attest_quote_from_device(folder, report_data, &quote, &size, &error), 0);
    free(quote);
    report_data[0] = 2;
    assert_int_equal(attest_quote_from_device(folder, report_data, &quote, &size, &error), -1);
    assert_non_null(strstr(error, "other report data"));
    free(error);
}

static void test_report_data(void **state)
{
    EVP_PKEY *key = new_key("P-256");
    X509 *certificate = make(key, false, (const uint8_t *)"n", 1);
    struct attest_ratls_evidence evidence;
    struct attest_quote quote;
    uint8_t report_data[64];
    char *error = NULL;
    assert_int_equal(attest_ratls_report_data(key, (const uint8_t *)"n", 1, report_data, &error), 0);
    assert_int_equal(attest_ratls_evidence_get(certificate, &evidence, &error), 0);
    assert_int_equal(attest_quote_parse(evidence.quote, evidence.quote_size, &quote, &error), 0);
    assert_memory_equal(attest_quote_report_data(&quote), report_data, 64);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void test_cbor(void **state)
{
    static const uint64_t values[] = {0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct attest_cbor_writer writer = {0};
        uint64_t value;
        attest_cbor_write(&writer, ATTEST_CBOR_UINT, values[i]);
        struct attest_cbor cbor = {writer.data, writer.data + writer.size};
        assert_int_equal(attest_cbor_read(&cbor, ATTEST_CBOR_BYTES, &value), -1);
        assert_int_equal(attest_cbor_read(&cbor, ATTEST_CBOR_UINT, &value), 0);
        assert_true(value == values[i] && cbor.next == cbor.end);
        assert_int_equal(attest_cbor_read(&cbor, ATTEST_CBOR_UINT, &value), -1);
        free(writer.data);
    }
    static const uint8_t bad[][10] = {
        {0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0},    /* a string longer than anything */
        {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0},    /* an array of as many */
        {0xbb, 0x80, 0, 0, 0, 0, 0, 0, 0, 0},                         /* a map whose double count is 0 */
        {0x9f, 0xff},                                                 /* indefinite */
        {0x1c},                                                       /* reserved */
        {0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81}, /* deep */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct attest_cbor cbor = {bad[i], bad[i] + sizeof(bad[i])};
        assert_int_equal(attest_cbor_skip(&cbor), -1);
        assert_ptr_equal(cbor.next, bad[i]);
    }
}

static int make_folder(void **state)
{
    char text[512];
    if (!mkdtemp(folder))
        return -1;
    snprintf(command, sizeof(command), "%s quote %s/pki $1", getenv("EVIDENCE_TOOL"), folder);
    snprintf(text, sizeof(text), "%s pki %s/pki", getenv("EVIDENCE_TOOL"), folder);
    return system(text);
}

static int remove_folder(void **state)
{
    path_remove_all(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_certificates),
        cmocka_unit_test(test_own_certificates),
        cmocka_unit_test(test_stolen_evidence),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_providers),
        cmocka_unit_test(test_report_data),
        cmocka_unit_test(test_cbor),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

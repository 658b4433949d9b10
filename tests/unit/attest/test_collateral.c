/* Documents, cache and bundles of collateral; EVIDENCE_TOOL makes the documents. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/bundle.h"
#include "attest/cache.h"
#include "attest/encode.h"
#include "image/file_io.h"

static char folder[] = "/tmp/cofre-collateral-XXXXXX";
static const uint8_t fmspc[6] = {0x00, 0xa0, 0x6d, 0x08, 0x00, 0x00};

static char *load(const char *name, size_t *ret_size)
{
    char path[256], *data = malloc(1 << 16);
    snprintf(path, sizeof(path), "%s/pki/%s", folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(data);
    *ret_size = fread(data, 1, 1 << 16, file);
    fclose(file);
    return data;
}

static struct attest_document_request request_of(enum attest_document_kind kind)
{
    struct attest_document_request request = {.kind = kind};
    memcpy(request.fmspc, fmspc, sizeof(fmspc));
    return request;
}

static void parse_file(enum attest_document_kind kind, const char *name, struct attest_document *document)
{
    struct attest_document_request request = request_of(kind);
    size_t size;
    char *data = load(name, &size), *error = NULL;
    if (attest_document_parse(&request, data, size, document, &error) < 0)
        fail_msg("%s", error);
    free(data);
}

static void parse_fails(const struct attest_document_request *request, const void *data, size_t size, const char *why)
{
    struct attest_document document;
    char *error = NULL;
    assert_int_equal(attest_document_parse(request, data, size, &document, &error), -1);
    if (!strstr(error, why))
        fail_msg("%s (wanted: %s)", error, why);
    free(error);
}

static void test_encodings(void **state)
{
    static const char *const bad_base64[] = {
        "A", "AA", "AAA", "AA=A", "A===", "====", "AB==", "AAB=", "AA==AAAA", "AAAA\n", "AA-_"};
    static const char *const bad_base64url[] = {"A", "AB", "AAB", "AA==", "AA+/", "AAAAA"};
    size_t size;
    for (size_t i = 0; i < sizeof(bad_base64) / sizeof(bad_base64[0]); i++)
        assert_null(attest_base64_decode(bad_base64[i], strlen(bad_base64[i]), &size));
    for (size_t i = 0; i < sizeof(bad_base64url) / sizeof(bad_base64url[0]); i++)
        assert_null(attest_base64url_decode(bad_base64url[i], strlen(bad_base64url[i]), &size));
    uint8_t bytes[64];
    for (size_t count = 0; count < sizeof(bytes); count++) {
        bytes[count] = (uint8_t)(count * 37 + 200);
        char *plain = attest_base64_encode(bytes, count), *url = attest_base64url_encode(bytes, count);
        uint8_t *back = attest_base64_decode(plain, strlen(plain), &size);
        assert_int_equal(size, count);
        assert_memory_equal(back, bytes, count);
        free(back);
        back = attest_base64url_decode(url, strlen(url), &size);
        assert_int_equal(size, count);
        assert_memory_equal(back, bytes, count);
        free(back);
        free(plain);
        free(url);
    }
    char *text = attest_percent_decode("a%20b%0A+c");
    assert_string_equal(text, "a b\n+c");
    free(text);
    assert_null(attest_percent_decode("%"));
    assert_null(attest_percent_decode("%4"));
    assert_null(attest_percent_decode("%G0"));
    assert_null(attest_percent_decode("%00"));
    assert_int_equal(attest_hex_decode("00fF", bytes, 2), 0);
    assert_int_equal(attest_hex_decode("00f", bytes, 2), -1);
    assert_int_equal(attest_hex_decode("00fFa", bytes, 2), -1);
    assert_int_equal(attest_hex_decode("0x00", bytes, 2), -1);
}

static void test_truncated(void **state)
{
    static const struct {
        enum attest_document_kind kind;
        const char *name;
    } files[] = {{ATTEST_DOCUMENT_TCB_INFO, "tcb_v4_sgx.json"}, {ATTEST_DOCUMENT_TCB_INFO, "tcb_v3_sgx.json"},
                 {ATTEST_DOCUMENT_QE_IDENTITY, "qe_sgx.json"},  {ATTEST_DOCUMENT_PCK_CRL, "processor.crl"},
                 {ATTEST_DOCUMENT_ROOT_CRL, "root.crl"},        {ATTEST_DOCUMENT_PCK_CERT, "pck.pem"}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct attest_document_request request = request_of(files[i].kind);
        struct attest_document document;
        size_t size;
        char *data = load(files[i].name, &size), *error = NULL;
        parse_file(files[i].kind, files[i].name, &document);
        assert_true(document.next_update > document.issued);
        attest_document_free(&document);
        size_t needed =
            files[i].kind == ATTEST_DOCUMENT_PCK_CERT ? size - 2 : size; /* the last newline, and a dash of five */
        for (size_t cut = 0; cut < needed; cut++) {
            char *copy = malloc(cut + 1); /* exactly as long: a sanitizer sees a read past it */
            memcpy(copy, data, cut);
            assert_int_equal(attest_document_parse(&request, copy, cut, &document, &error), -1);
            free(copy);
        }
        free(error);
        free(data);
    }
}

static void test_forms_of_lists(void **state)
{
    struct attest_document der, hex, again;
    struct attest_document_request request = request_of(ATTEST_DOCUMENT_PCK_CRL);
    char *error = NULL;
    parse_file(ATTEST_DOCUMENT_PCK_CRL, "processor.crl", &der);
    char *digits = attest_hex_encode(der.data, der.size);
    assert_int_equal(attest_document_parse(&request, digits, strlen(digits), &hex, &error), 0);
    assert_int_equal(hex.size, der.size);
    assert_memory_equal(hex.data, der.data, der.size);
    char *base64 = attest_base64_encode(der.data, der.size), *pem = NULL;
    assert_true(asprintf(&pem, "-----BEGIN X509 CRL-----\n%s\n-----END X509 CRL-----\n", base64) > 0);
    assert_int_equal(attest_document_parse(&request, pem, strlen(pem), &again, &error), 0);
    assert_memory_equal(again.data, der.data, der.size);
    digits[3] = 'x';
    parse_fails(&request, digits, strlen(digits), "not a CRL in DER, hex or PEM");
    uint8_t *longer = calloc(1, der.size + 1);
    memcpy(longer, der.data, der.size);
    parse_fails(&request, longer, der.size + 1, "not a CRL in DER, hex or PEM");
    request.ca = ATTEST_DOCUMENT_CA_PLATFORM;
    parse_fails(&request, der.data, der.size, "not of the Platform CA");
    free(longer);
    free(pem);
    free(base64);
    free(digits);
    attest_document_free(&der);
    attest_document_free(&hex);
    attest_document_free(&again);
}

static void test_values(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } changes[] = {
        {"\"tcbInfo\":{", "\"tcbinfo\":{", "no object"},
        {"\"fmspc\":\"00a06d080000\"", "\"fmspc\":\"00a06d08000\"", "FMSPC is not 12"},
        {"\"fmspc\":\"00a06d080000\"", "\"fmspc\":\"00a06d080001\"", "another platform"},
        {"\"fmspc\":\"00a06d080000\"", "\"fmspc\":1", "FMSPC is not 12"},
        {"\"id\":\"SGX\"", "\"id\":\"TDX\"", "for TDX"},
        {"\"issueDate\":\"20", "\"issueDate\":\"30x", "not a date"},
        {"Z\",\"nextUpdate\"", "\",\"nextUpdate\"", "not a date"},
        {"\"nextUpdate\":\"20", "\"nextUpdate\":\" 20", "not a date"},
        {"\"pceId\"", "\"fmspc\"", "duplicate"},
        {"\"signature\":\"", "\"signature\":\"0", "no signature"},
        {"\"pceId\":\"0000\"", "\"pceId\":1e999999", "not JSON"},
        {"\"pceId\":\"0000\"", "\"pceId\":99999999999999999999999", "not JSON"},
    };
    struct attest_document_request request = request_of(ATTEST_DOCUMENT_TCB_INFO);
    size_t size;
    char *data = load("tcb_v4_sgx.json", &size);
    data[size] = 0;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        char *place = strstr(data, changes[i].from), *text = NULL;
        assert_non_null(place);
        int made =
            asprintf(&text, "%.*s%s%s", (int)(place - data), data, changes[i].to, place + strlen(changes[i].from));
        parse_fails(&request, text, (size_t)made, changes[i].why);
        free(text);
    }
    char *deep = malloc(200000);
    memset(deep, '[', 200000);
    parse_fails(&request, deep, 200000, "not JSON");
    free(deep);
    free(data);
}

static struct attest_cache *open_cache(const char *name)
{
    char path[256], *error = NULL;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    struct attest_cache *cache = attest_cache_open(path, &error);
    if (!cache)
        fail_msg("%s", error);
    return cache;
}

static void test_cache(void **state)
{
    struct attest_cache *cache = open_cache("cache/deep/er");
    struct attest_cache_entry entry;
    struct attest_document document;
    char *error = NULL;
    parse_file(ATTEST_DOCUMENT_PCK_CRL, "processor.crl", &document);
    document.chain = strdup("chain");
    assert_int_equal(attest_cache_get(cache, "key", &entry, &error), 0);
    assert_int_equal(attest_cache_put(cache, "key", &document, 12345, &error), 0);
    assert_int_equal(attest_cache_get(cache, "key", &entry, &error), 1);
    assert_int_equal(entry.fetched, 12345);
    assert_int_equal(entry.document.next_update, document.next_update);
    assert_string_equal(entry.document.chain, "chain");
    assert_null(entry.document.tcbm);
    assert_int_equal(entry.document.size, document.size);
    assert_memory_equal(entry.document.data, document.data, document.size);
    assert_int_equal(attest_cache_get(cache, "other", &entry, &error), 0);
    attest_document_free(&entry.document);
    attest_document_free(&document);
    attest_cache_close(cache);
}

/* Every change of a file's meaning is noticed. Spaces between the members mean nothing, and may change. */
static void test_cache_damage(void **state)
{
    struct attest_cache *cache = open_cache("damage");
    struct attest_cache_entry entry;
    struct attest_document document = {
        .data = (uint8_t *)strdup("data"), .size = 4, .chain = strdup("chain"), .next_update = 9};
    char *error = NULL, command[512], text[4096];
    assert_int_equal(attest_cache_put(cache, "key", &document, 12345, &error), 0);
    snprintf(command, sizeof(command), "cat %s/damage/*.json", folder);
    FILE *pipe = popen(command, "r");
    size_t size = fread(text, 1, sizeof(text), pipe);
    pclose(pipe);
    assert_int_equal(attest_cache_parse(text, size, "key", &entry, &error), 0);
    attest_document_free(&entry.document);
    assert_int_equal(attest_cache_parse(text, size, "kez", &entry, &error), -1);
    for (size_t i = 0; i < size; i++) {
        char was = text[i];
        if (was == ' ' || was == '\n')
            continue;
        text[i] ^= 1;
        if (attest_cache_parse(text, size, "key", &entry, &error) == 0)
            fail_msg("not noticed: byte %zu of %.*s", i, (int)size, text);
        text[i] = was;
        assert_int_equal(attest_cache_parse(text, i, "key", &entry, &error), -1);
    }
    free(error);
    attest_document_free(&document);
    attest_cache_close(cache);
}

/* Readers among writers: always a whole document, one that someone wrote. */
static void test_cache_shared(void **state)
{
    enum { PROCESSES = 4, ROUNDS = 150 };
    for (int p = 0; p < PROCESSES; p++) {
        if (fork() != 0)
            continue;
        struct attest_cache *cache = open_cache("shared");
        uint8_t data[50000];
        struct attest_document document = {.data = data, .size = sizeof(data), .next_update = 1};
        for (int i = 0; i < ROUNDS; i++) {
            struct attest_cache_entry entry;
            memset(data, p * ROUNDS + i, sizeof(data));
            if (attest_cache_put(cache, "key", &document, 1, NULL) < 0 ||
                attest_cache_get(cache, "key", &entry, NULL) != 1)
                _exit(1);
            for (size_t j = 1; j < entry.document.size; j++)
                if (entry.document.data[j] != entry.document.data[0])
                    _exit(2);
            attest_document_free(&entry.document);
        }
        _exit(0);
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
}

static void test_cache_lock(void **state)
{
    struct attest_cache *cache = open_cache("lock");
    int held = attest_cache_lock(cache, "key", 0);
    assert_true(held >= 0);
    assert_int_equal(attest_cache_lock(cache, "key", 60), -1);
    int other = attest_cache_lock(cache, "other", 0);
    assert_true(other >= 0);
    close(held);
    held = attest_cache_lock(cache, "key", 0);
    assert_true(held >= 0);
    close(held);
    close(other);
    attest_cache_close(cache);
}

static void test_bundle(void **state)
{
    static const char *const files[] = {"tcb_v4_sgx.json", "qe_sgx.json", "processor.crl", "root.crl", "pck.pem"};
    struct attest_bundle bundle = {.created = 1764331200, .source = strdup("https://x")}, again;
    char *error = NULL, path[256];
    size_t size;
    memcpy(bundle.platform.fmspc, fmspc, sizeof(fmspc));
    for (int kind = 0; kind < ATTEST_DOCUMENT_KIND_COUNT; kind++) {
        parse_file((enum attest_document_kind)kind, files[kind], &bundle.documents[kind]);
        bundle.documents[kind].chain = load("signing_chain.pem", &size);
        bundle.documents[kind].chain[size] = 0;
    }
    char *text = attest_bundle_format(&bundle);
    snprintf(path, sizeof(path), "%s/bundle.json", folder);
    assert_int_equal(attest_bundle_save(&bundle, path, &error), 0);
    assert_int_equal(attest_bundle_load(path, &again, &error), 0);
    assert_int_equal(again.created, bundle.created);
    char *text_again = attest_bundle_format(&again);
    assert_string_equal(text, text_again);
    attest_bundle_free(&again);
    for (size_t cut = 0; cut < strlen(text); cut += 7)
        assert_int_equal(attest_bundle_parse(text, cut, &again, &error), -1);
    assert_int_equal(attest_bundle_save(&bundle, "/nonexistent/x", &error), -1);
    free(error);
    free(text);
    free(text_again);
    attest_bundle_free(&bundle);
}

static int make_folder(void **state)
{
    char command[512];
    if (!mkdtemp(folder))
        return -1;
    snprintf(command, sizeof(command), "%s pki %s/pki", getenv("EVIDENCE_TOOL"), folder);
    return system(command);
}

static int remove_folder(void **state)
{
    path_remove_all(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodings),    cmocka_unit_test(test_truncated),  cmocka_unit_test(test_forms_of_lists),
        cmocka_unit_test(test_values),       cmocka_unit_test(test_cache),      cmocka_unit_test(test_cache_damage),
        cmocka_unit_test(test_cache_shared), cmocka_unit_test(test_cache_lock), cmocka_unit_test(test_bundle),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

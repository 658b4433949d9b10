/* RA-TLS handshakes in memory: who is accepted, what is remembered, and what is not spoken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/bundle.h"
#include "attest/file.h"
#include "attest/ratls_verify.h"
#include "image/file_io.h"

#define DAY 86400

static char folder[] = "/tmp/cofre-ratls-tls-XXXXXX";
static char good_command[512], debug_command[512];
static struct attest_store *store, *empty_store, *strict_store;
static struct attest_policy *policy;

static const char policy_text[] =
    "identities:\n- mrenclave: e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1\n"
    "simulation: true\n";

static struct attest_policy *parse_policy(const char *text)
{
    char *error = NULL;
    struct attest_policy *result = attest_policy_parse(text, strlen(text), "test", &error);
    if (!result)
        fail_msg("%s", error);
    return result;
}

/* A context that shows evidence made by a command, if there is one, and verifies the peer's, if there is a verifier. */
static SSL_CTX *context_of(const SSL_METHOD *method, char *command, const char *curve,
                           struct attest_ratls_verifier *verifier)
{
    SSL_CTX *context = SSL_CTX_new(method);
    char *error = NULL;
    assert_int_equal(attest_ratls_prepare_ctx(context), 0);
    if (command) {
        struct attest_quote_provider provider = {.quote = attest_quote_from_command, .context = command};
        struct attest_ratls_certificate_options options = {.provider = &provider};
        EVP_PKEY *key = attest_ratls_key_new(curve, &error);
        X509 *certificate = attest_ratls_certificate_new(key, &options, &error);
        if (!certificate)
            fail_msg("%s", error);
        assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
        X509_free(certificate);
        EVP_PKEY_free(key);
    }
    if (verifier)
        assert_int_equal(attest_ratls_verify_ctx(context, verifier), 0);
    return context;
}

/* Does the handshake succeed, for both? The reason of the client's, or else the server's, verdict goes to *ret_reason.
 */
static bool handshake(SSL_CTX *client_context, SSL_CTX *server_context, char ret_reason[600])
{
    SSL *client = SSL_new(client_context), *server = SSL_new(server_context);
    BIO *to_server, *to_client;
    char byte = 'x';
    assert_int_equal(BIO_new_bio_pair(&to_server, 1 << 17, &to_client, 1 << 17), 1);
    SSL_set_bio(client, to_server, to_server);
    SSL_set_bio(server, to_client, to_client);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    int a = 0, b = 0;
    for (int i = 0; i < 10; i++) {
        a = SSL_do_handshake(client);
        b = SSL_do_handshake(server);
    }
    /* In TLS 1.3 a client learns of its rejection by its first read. */
    bool good = a == 1 && b == 1 && SSL_write(server, &byte, 1) == 1 && SSL_read(client, &byte, 1) == 1;
    const struct attest_ratls_verdict *verdict = attest_ratls_verdict_of(client);
    if (!verdict || verdict->accepted)
        verdict = attest_ratls_verdict_of(server) ? attest_ratls_verdict_of(server) : verdict;
    snprintf(ret_reason, 600, "%s", verdict ? verdict->reason : "no verdict");
    if (good) {
        assert_int_equal(SSL_version(client), TLS1_3_VERSION);
        assert_int_equal(SSL_session_reused(client), 0);
    }
    SSL_free(client);
    SSL_free(server);
    return good;
}

static void expect(bool wanted, SSL_CTX *client, SSL_CTX *server, const char *reason)
{
    char text[600];
    bool good = handshake(client, server, text);
    if (good != wanted || !strstr(text, reason))
        fail_msg("%s: \"%s\" (wanted: \"%s\")", good ? "accepted" : "rejected", text, reason);
}

static void test_one_side(void **state)
{
    struct attest_ratls_verifier *verifier = attest_ratls_verifier_new(store, policy, 0);
    SSL_CTX *client = context_of(TLS_client_method(), NULL, NULL, verifier);
    static const char *const curves[] = {"P-256", "P-384"};
    for (int i = 0; i < 2; i++) {
        SSL_CTX *server = context_of(TLS_server_method(), good_command, curves[i], NULL);
        expect(true, client, server, "");
        expect(true, client, server, ""); /* remembered */
        SSL_CTX_free(server);
    }
    SSL_CTX *debug = context_of(TLS_server_method(), debug_command, "P-256", NULL);
    expect(false, client, debug, "debug");
    SSL_CTX_free(debug);
    SSL_CTX_free(client);
    attest_ratls_verifier_free(verifier);
}

static void test_both_sides(void **state)
{
    struct attest_ratls_verifier *verifier = attest_ratls_verifier_new(store, policy, 0);
    SSL_CTX *client = context_of(TLS_client_method(), good_command, "P-256", verifier);
    SSL_CTX *server = context_of(TLS_server_method(), good_command, "P-384", verifier);
    SSL_CTX *debug_client = context_of(TLS_client_method(), debug_command, "P-256", verifier);
    SSL_CTX *bare_client = context_of(TLS_client_method(), NULL, NULL, verifier);
    expect(true, client, server, "");
    expect(false, debug_client, server, "debug");
    expect(false, bare_client, server, "");
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    SSL_CTX_free(debug_client);
    SSL_CTX_free(bare_client);
    attest_ratls_verifier_free(verifier);
}

static void test_stores(void **state)
{
    SSL_CTX *server = context_of(TLS_server_method(), good_command, "P-256", NULL);
    struct {
        struct attest_store *store;
        int64_t time;
        const char *reason;
    } cases[] = {
        {empty_store, 0, "no collateral"},
        {strict_store, 0, "root"},
        {store, time(NULL) + 2, ""},
        {store, time(NULL) + 29 * DAY + 3600, "certificate"}, /* ours is over in 30 days, the collateral in 29 */
        {store, 1000000000, "not valid yet"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct attest_ratls_verifier *verifier = attest_ratls_verifier_new(cases[i].store, policy, cases[i].time);
        SSL_CTX *client = context_of(TLS_client_method(), NULL, NULL, verifier);
        if (i == 3) /* expired: for the policy to say */
            cases[i].reason = "expired";
        expect(!*cases[i].reason, client, server, cases[i].reason);
        SSL_CTX_free(client);
        attest_ratls_verifier_free(verifier);
    }
    SSL_CTX_free(server);
}

/* What was verified once is verified again when it is another certificate's, and judged again each time. */
static void test_what_is_remembered(void **state)
{
    struct attest_policy *other =
        parse_policy("identities:\n- mrenclave: 0000000000000000000000000000000000000000000000000000000000000000\n"
                     "simulation: true\n");
    struct attest_ratls_verifier *verifier = attest_ratls_verifier_new(store, policy, 0);
    struct attest_ratls_verifier *judge = attest_ratls_verifier_new(store, other, 0);
    SSL_CTX *client = context_of(TLS_client_method(), NULL, NULL, verifier);
    SSL_CTX *stranger = context_of(TLS_client_method(), NULL, NULL, judge);
    SSL_CTX *server = context_of(TLS_server_method(), good_command, "P-256", NULL);
    for (int i = 0; i < 3; i++) {
        expect(true, client, server, "");
        expect(false, stranger, server, "mrenclave");
    }
    for (int i = 0; i < 70; i++) { /* more than are remembered */
        SSL_CTX *other_server = context_of(TLS_server_method(), good_command, "P-256", NULL);
        expect(true, client, other_server, "");
        SSL_CTX_free(other_server);
    }
    expect(true, client, server, "");
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    SSL_CTX_free(stranger);
    attest_ratls_verifier_free(verifier);
    attest_ratls_verifier_free(judge);
    attest_policy_free(other);
}

static void test_older_tls(void **state)
{
    struct attest_ratls_verifier *verifier = attest_ratls_verifier_new(store, policy, 0);
    SSL_CTX *client = context_of(TLS_client_method(), NULL, NULL, verifier);
    SSL_CTX *server = context_of(TLS_server_method(), good_command, "P-256", NULL);
    SSL_CTX_set_min_proto_version(server, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(server, TLS1_2_VERSION);
    expect(false, client, server, "no verdict");
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    attest_ratls_verifier_free(verifier);
}

/* A certificate that somebody re-signed, or that is signed by nobody. */
static void test_broken_certificates(void **state)
{
    struct attest_ratls_verifier *verifier = attest_ratls_verifier_new(store, policy, 0);
    struct attest_quote_provider provider = {.quote = attest_quote_from_command, .context = good_command};
    struct attest_ratls_certificate_options options = {.provider = &provider};
    struct attest_ratls_verdict *verdict = malloc(sizeof(*verdict));
    char *error = NULL;
    EVP_PKEY *key = attest_ratls_key_new("P-256", &error), *thief = attest_ratls_key_new("P-256", &error);
    X509 *certificate = attest_ratls_certificate_new(key, &options, &error);
    assert_int_equal(attest_ratls_verify(verifier, certificate, verdict), 0);
    assert_true(verdict->accepted && verdict->has_evidence && verdict->form == ATTEST_RATLS_INTEROPERABLE);
    X509_sign(certificate, thief, EVP_sha256());
    assert_int_equal(attest_ratls_verify(verifier, certificate, verdict), -1);
    assert_non_null(strstr(verdict->reason, "own signature"));
    X509_set_pubkey(certificate, thief);
    X509_sign(certificate, thief, EVP_sha256());
    assert_int_equal(attest_ratls_verify(verifier, certificate, verdict), -1);
    assert_non_null(strstr(verdict->reason, "another key"));
    assert_false(verdict->accepted);
    X509_set_pubkey(certificate, key);
    X509_gmtime_adj(X509_getm_notAfter(certificate), -10);
    X509_sign(certificate, key, EVP_sha256());
    assert_int_equal(attest_ratls_verify(verifier, certificate, verdict), -1);
    assert_non_null(strstr(verdict->reason, "has expired"));
    free(verdict);
    X509_free(certificate);
    EVP_PKEY_free(key);
    EVP_PKEY_free(thief);
    attest_ratls_verifier_free(verifier);
}

static void run_tool(const char *arguments)
{
    char command[700];
    snprintf(command, sizeof(command), "%s %s", getenv("EVIDENCE_TOOL"), arguments);
    assert_int_equal(system(command), 0);
}

/* A bundle of the synthetic platform's documents. */
static void write_bundle(const char *path)
{
    static const char *const files[] = {"tcb_v4_sgx.json", "qe_sgx.json", "processor.crl", "root.crl"};
    static const char *const chains[] = {"signing_chain.pem", "signing_chain.pem", "processor_chain.pem", NULL};
    static const uint8_t fmspc[6] = {0x00, 0xa0, 0x6d, 0x08, 0x00, 0x00};
    struct attest_bundle bundle = {.created = time(NULL)};
    char *error = NULL;
    memcpy(bundle.platform.fmspc, fmspc, sizeof(fmspc));
    for (int kind = 0; kind < 4; kind++) {
        struct attest_document_request request = {.kind = (enum attest_document_kind)kind};
        char name[300], *data;
        size_t size;
        memcpy(request.fmspc, fmspc, sizeof(fmspc));
        snprintf(name, sizeof(name), "%s/pki/%s", folder, files[kind]);
        data = attest_file_read(name, 1 << 20, &size, &error);
        assert_non_null(data);
        assert_int_equal(attest_document_parse(&request, data, size, &bundle.documents[kind], &error), 0);
        free(data);
        if (!chains[kind])
            continue;
        snprintf(name, sizeof(name), "%s/pki/%s", folder, chains[kind]);
        bundle.documents[kind].chain = attest_file_read(name, 1 << 20, &size, &error);
    }
    assert_int_equal(attest_bundle_save(&bundle, path, &error), 0);
    attest_bundle_free(&bundle);
}

static int make_world(void **state)
{
    char text[600], root[300], bundle[300], *error = NULL;
    struct attest_roots intel, roots;
    if (!mkdtemp(folder))
        return -1;
    snprintf(good_command, sizeof(good_command), "%s quote %s/pki $1", getenv("EVIDENCE_TOOL"), folder);
    snprintf(debug_command, sizeof(debug_command), "%s quote %s/pki $1 debug", getenv("EVIDENCE_TOOL"), folder);
    snprintf(text, sizeof(text), "pki %s/pki", folder);
    run_tool(text);
    snprintf(root, sizeof(root), "%s/pki/root.pem", folder);
    snprintf(bundle, sizeof(bundle), "%s/bundle", folder);
    write_bundle(bundle);
    attest_roots_init(&intel);
    attest_roots_init(&roots);
    assert_int_equal(attest_roots_add_file(&roots, root, true, &error), 0);
    store = attest_store_new(&roots, NULL);
    empty_store = attest_store_new(&roots, NULL);
    strict_store = attest_store_new(&intel, NULL);
    assert_int_equal(attest_store_add_file(store, bundle, &error), 0);
    assert_int_equal(attest_store_add_file(strict_store, bundle, &error), 0);
    assert_int_equal(attest_store_add_file(store, "/nonexistent", &error), -1);
    free(error);
    policy = parse_policy(policy_text);
    return 0;
}

static int remove_world(void **state)
{
    attest_store_free(store);
    attest_store_free(empty_store);
    attest_store_free(strict_store);
    attest_policy_free(policy);
    path_remove_all(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_side),  cmocka_unit_test(test_both_sides),
        cmocka_unit_test(test_stores),    cmocka_unit_test(test_what_is_remembered),
        cmocka_unit_test(test_older_tls), cmocka_unit_test(test_broken_certificates),
    };
    return cmocka_run_group_tests(tests, make_world, remove_world);
}

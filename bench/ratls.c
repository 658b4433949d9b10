/*
 * The time of RA-TLS handshakes against plain mutual TLS 1.3 ones: bench-ratls EVIDENCE-TOOL FOLDER BUNDLE POLICY
 * Both ends in one thread over memory, certificates of P-256, collateral parsed before. Interleaved rounds; prints
 * JSON: plain    both ends verify a certificate of a CA each ratls    both ends verify each other's evidence, of
 * certificates not seen before again    the same two certificates as in the handshake before in microseconds, the
 * medians of the rounds.
 */
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/ratls_verify.h"

#define ROUNDS 41
#define HANDSHAKES 12 /* of each kind in a round */

static void check(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench-ratls: %s failed\n", what);
    exit(1);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static X509 *sign_certificate(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), issuer ? 2 : 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject);
    X509_set_pubkey(certificate, key);
    X509_EXTENSION *extension =
        X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    check(X509_sign(certificate, issuer_key, EVP_sha256()) > 0, "signing");
    return certificate;
}

static SSL_CTX *context_of(const SSL_METHOD *method, const struct identity *identity)
{
    SSL_CTX *context = SSL_CTX_new(method);
    check(context && attest_ratls_prepare_ctx(context) == 0 &&
              SSL_CTX_use_certificate(context, identity->certificate) == 1 &&
              SSL_CTX_use_PrivateKey(context, identity->key) == 1,
          "a context");
    return context;
}

/* Each end has a certificate of a CA that the other trusts. */
static void plain_contexts(SSL_CTX *ret_contexts[2])
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    X509 *ca = sign_certificate(ca_key, "CA", NULL, ca_key);
    for (int i = 0; i < 2; i++) {
        struct identity identity = {.key = EVP_EC_gen("P-256")};
        identity.certificate = sign_certificate(identity.key, "end", ca, ca_key);
        ret_contexts[i] = context_of(i ? TLS_server_method() : TLS_client_method(), &identity);
        check(X509_STORE_add_cert(SSL_CTX_get_cert_store(ret_contexts[i]), ca), "the CA");
        SSL_CTX_set_verify(ret_contexts[i], SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        X509_free(identity.certificate);
        EVP_PKEY_free(identity.key);
    }
    X509_free(ca);
    EVP_PKEY_free(ca_key);
}

/* Microseconds of one handshake. */
static double handshake(SSL_CTX *contexts[2])
{
    SSL *client = SSL_new(contexts[0]), *server = SSL_new(contexts[1]);
    BIO *to_server = NULL, *to_client = NULL;
    check(client && server && BIO_new_bio_pair(&to_server, 1 << 17, &to_client, 1 << 17) == 1, "a connection");
    SSL_set_bio(client, to_server, to_server);
    SSL_set_bio(server, to_client, to_client);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    double start = now_us();
    int a = 0, b = 0;
    for (int i = 0; i < 10 && (a != 1 || b != 1); i++) {
        a = SSL_do_handshake(client);
        b = SSL_do_handshake(server);
    }
    double spent = now_us() - start;
    const struct attest_ratls_verdict *verdict = attest_ratls_verdict_of(client);
    if (a != 1 || b != 1)
        fprintf(stderr, "%s\n", verdict ? verdict->reason : "no verdict");
    check(a == 1 && b == 1, "a handshake");
    SSL_free(client);
    SSL_free(server);
    return spent;
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(values[0]), compare);
    return values[ROUNDS / 2];
}

/* Contexts that show evidence and verify it, with nothing remembered. */
struct world {
    struct attest_store *store;
    struct attest_policy *policy;
    struct identity identities[2];
    struct attest_ratls_verifier *verifiers[2];
    SSL_CTX *contexts[2];
};

static void world_forget(struct world *world)
{
    for (int i = 0; i < 2; i++) {
        SSL_CTX_free(world->contexts[i]);
        attest_ratls_verifier_free(world->verifiers[i]);
        world->verifiers[i] = attest_ratls_verifier_new(world->store, world->policy, 0);
        world->contexts[i] = context_of(i ? TLS_server_method() : TLS_client_method(), &world->identities[i]);
        check(attest_ratls_verify_ctx(world->contexts[i], world->verifiers[i]) == 0, "a verifier");
    }
}

static void world_open(struct world *world, char **argv)
{
    char command[1024], root[1024], *error = NULL;
    struct attest_roots roots;
    struct attest_quote_provider provider = {.quote = attest_quote_from_command, .context = command};
    struct attest_ratls_certificate_options options = {.provider = &provider};
    snprintf(command, sizeof(command), "%s quote %s $1", argv[1], argv[2]);
    snprintf(root, sizeof(root), "%s/root.pem", argv[2]);
    attest_roots_init(&roots);
    check(attest_roots_add_file(&roots, root, true, &error) == 0, root);
    world->store = attest_store_new(&roots, NULL);
    check(attest_store_add_file(world->store, argv[3], &error) == 0, argv[3]);
    world->policy = attest_policy_load(argv[4], &error);
    if (!world->policy)
        fprintf(stderr, "%s\n", error);
    check(world->policy != NULL, argv[4]);
    for (int i = 0; i < 2; i++) {
        world->identities[i].key = attest_ratls_key_new("P-256", &error);
        world->identities[i].certificate = attest_ratls_certificate_new(world->identities[i].key, &options, &error);
        check(world->identities[i].certificate != NULL, "a certificate");
    }
}

int main(int argc, char **argv)
{
    static double plain[ROUNDS], fresh[ROUNDS], again[ROUNDS];
    struct world world = {0};
    SSL_CTX *plain_pair[2];
    if (argc != 5) {
        fputs("usage: bench-ratls EVIDENCE-TOOL FOLDER BUNDLE POLICY\n", stderr);
        return 2;
    }
    world_open(&world, argv);
    plain_contexts(plain_pair);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < HANDSHAKES; i++) {
            plain[round] += handshake(plain_pair) / HANDSHAKES;
            world_forget(&world);
            fresh[round] += handshake(world.contexts) / HANDSHAKES;
            again[round] += handshake(world.contexts) / HANDSHAKES;
        }
    printf("{\"plain\": %.1f, \"ratls\": %.1f, \"again\": %.1f}\n", median(plain), median(fresh), median(again));
    return 0;
}

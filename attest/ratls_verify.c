/* Verifying RA-TLS certificates. */
#include "attest/ratls_verify.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "image/error.h"

#define CACHE_COUNT 64

/* Certificates whose evidence was verified: the same again needs no second look before this time, but for the policy's.
 */
struct verified {
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int64_t from, until;
    struct attest_ratls_verdict *verdict;
};

struct attest_ratls_verifier {
    struct attest_store *store;
    const struct attest_policy *policy;
    int64_t time;
    pthread_mutex_t lock; /* of what follows */
    struct verified cache[CACHE_COUNT];
    size_t next; /* to be replaced */
};

static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int verdict_index = -1; /* of an SSL */

static void free_verdict(void *parent, void *data, CRYPTO_EX_DATA *ex, int index, long argl, void *argp)
{
    (void)parent, (void)ex, (void)index, (void)argl, (void)argp;
    free(data);
}

static void make_indexes(void)
{
    verdict_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_verdict);
}

struct attest_ratls_verifier *attest_ratls_verifier_new(struct attest_store *store, const struct attest_policy *policy,
                                                        int64_t time)
{
    struct attest_ratls_verifier *verifier = calloc(1, sizeof(*verifier));
    if (!verifier)
        return NULL;
    *verifier = (struct attest_ratls_verifier){.store = store, .policy = policy, .time = time};
    pthread_mutex_init(&verifier->lock, NULL);
    return verifier;
}

void attest_ratls_verifier_free(struct attest_ratls_verifier *verifier)
{
    if (!verifier)
        return;
    for (size_t i = 0; i < CACHE_COUNT; i++)
        free(verifier->cache[i].verdict);
    pthread_mutex_destroy(&verifier->lock);
    free(verifier);
}

/* True with what was verified of the certificate before, if that still stands. */
static bool recall(struct attest_ratls_verifier *verifier, const uint8_t *digest, int64_t now,
                   struct attest_ratls_verdict *ret_verdict)
{
    bool found = false;
    pthread_mutex_lock(&verifier->lock);
    for (size_t i = 0; i < CACHE_COUNT && !found; i++) {
        const struct verified *verified = &verifier->cache[i];
        found = verified->verdict && now >= verified->from && now < verified->until &&
                memcmp(verified->digest, digest, SHA256_DIGEST_LENGTH) == 0;
        if (found)
            *ret_verdict = *verified->verdict;
    }
    pthread_mutex_unlock(&verifier->lock);
    ret_verdict->result.time = now;
    return found;
}

static void remember(struct attest_ratls_verifier *verifier, const uint8_t *digest, int64_t now, int64_t until,
                     const struct attest_ratls_verdict *verdict)
{
    struct attest_ratls_verdict *copy = malloc(sizeof(*copy));
    if (!copy)
        return;
    *copy = *verdict;
    pthread_mutex_lock(&verifier->lock);
    struct verified *verified = &verifier->cache[verifier->next++ % CACHE_COUNT];
    free(verified->verdict);
    memcpy(verified->digest, digest, sizeof(verified->digest));
    verified->from = now;
    verified->until = until;
    verified->verdict = copy;
    pthread_mutex_unlock(&verifier->lock);
}

__attribute__((format(printf, 2, 3))) static int reject(struct attest_ratls_verdict *verdict, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(verdict->reason, sizeof(verdict->reason), format, args);
    va_end(args);
    return -1;
}

static int seconds_of(const ASN1_TIME *time, int64_t *ret_seconds)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return -1;
    *ret_seconds = timegm(&tm);
    return 0;
}

/* The certificate as such. What it says beside the key is believed by nobody, but a broken one is a sign of trouble. */
static int check_certificate(X509 *certificate, int64_t now, int64_t *ret_until, struct attest_ratls_verdict *verdict)
{
    int64_t from;
    if (seconds_of(X509_get0_notBefore(certificate), &from) < 0 ||
        seconds_of(X509_get0_notAfter(certificate), ret_until) < 0)
        return reject(verdict, "the certificate's dates cannot be read");
    if (now < from || now >= *ret_until)
        return reject(verdict, "the certificate %s", now < from ? "is not valid yet" : "has expired");
    if (X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0 &&
        X509_verify(certificate, X509_get0_pubkey(certificate)) != 1) {
        ERR_clear_error();
        return reject(verdict, "the certificate's own signature does not hold");
    }
    return 0;
}

static int check_evidence(struct attest_ratls_verifier *verifier, X509 *certificate, int64_t now, int64_t *ret_until,
                          struct attest_ratls_verdict *verdict)
{
    struct attest_ratls_evidence evidence;
    char *error = NULL;
    if (attest_ratls_evidence_get(certificate, &evidence, &error) < 0) {
        reject(verdict, "%s", error);
        free(error);
        return -1;
    }
    verdict->has_evidence = true;
    verdict->form = evidence.form;
    /* An expired outcome is for the policy to judge, as everything that was verified. */
    attest_store_verify(verifier->store, evidence.quote, evidence.quote_size, now, &verdict->result, ret_until);
    if (verdict->result.outcome != ATTEST_OUTCOME_VERIFIED && verdict->result.outcome != ATTEST_OUTCOME_EXPIRED)
        return reject(verdict, "the quote: %s: %s", attest_check_name(verdict->result.failed_check),
                      verdict->result.reason);
    return 0;
}

static int check_policy(struct attest_ratls_verifier *verifier, struct attest_ratls_verdict *verdict)
{
    struct attest_binding binding = {.report_data = attest_result_report_data(&verdict->result),
                                     .size = 32}; /* compared */
    if (attest_policy_evaluate(verifier->policy, &verdict->result, &binding, &verdict->appraisal) < 0) {
        const struct attest_violation *first = &verdict->appraisal.violations[0];
        return reject(verdict, "the policy: %s: %s", first->rule, first->reason);
    }
    verdict->accepted = true;
    return 0;
}

int attest_ratls_verify(struct attest_ratls_verifier *verifier, X509 *certificate,
                        struct attest_ratls_verdict *ret_verdict)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    int64_t now = verifier->time ? verifier->time : time(NULL), until = 0, result_until = 0;
    unsigned size;
    memset(ret_verdict, 0, sizeof(*ret_verdict));
    bool hashed = X509_digest(certificate, EVP_sha256(), digest, &size) == 1;
    if (hashed && recall(verifier, digest, now, ret_verdict))
        return check_policy(verifier, ret_verdict);
    if (check_certificate(certificate, now, &until, ret_verdict) < 0 ||
        check_evidence(verifier, certificate, now, &result_until, ret_verdict) < 0)
        return -1;
    if (hashed && ret_verdict->result.outcome == ATTEST_OUTCOME_VERIFIED)
        remember(verifier, digest, now, until < result_until ? until : result_until, ret_verdict);
    return check_policy(verifier, ret_verdict);
}

/* What OpenSSL calls instead of its own verification of the chain. */
static int on_verify(X509_STORE_CTX *store_context, void *context)
{
    struct attest_ratls_verifier *verifier = context;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store_context, SSL_get_ex_data_X509_STORE_CTX_idx());
    X509 *certificate = X509_STORE_CTX_get0_cert(store_context);
    struct attest_ratls_verdict *verdict = malloc(sizeof(*verdict)),
                                *old = ssl ? SSL_get_ex_data(ssl, verdict_index) : NULL;
    if (!ssl || !certificate || !verdict || SSL_set_ex_data(ssl, verdict_index, verdict) != 1) {
        free(verdict);
        X509_STORE_CTX_set_error(store_context, X509_V_ERR_OUT_OF_MEM);
        return 0;
    }
    free(old);
    int result = attest_ratls_verify(verifier, certificate, verdict);
    X509_STORE_CTX_set_error(store_context, result == 0 ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
    return result == 0;
}

int attest_ratls_prepare_ctx(SSL_CTX *context)
{
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set1_groups_list(context, "P-256:X25519:P-384") != 1 || SSL_CTX_set_num_tickets(context, 0) != 1)
        return -1;
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    return 0;
}

int attest_ratls_verify_ctx(SSL_CTX *context, struct attest_ratls_verifier *verifier)
{
    pthread_once(&index_once, make_indexes);
    if (verdict_index < 0 || attest_ratls_prepare_ctx(context) < 0)
        return -1;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(context, on_verify, verifier);
    return 0;
}

const struct attest_ratls_verdict *attest_ratls_verdict_of(const SSL *ssl)
{
    return verdict_index < 0 ? NULL : SSL_get_ex_data(ssl, verdict_index);
}

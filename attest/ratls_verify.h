/* Verifying RA-TLS certificates, by themselves and inside OpenSSL's handshakes. */
#ifndef COFRE_ATTEST_RATLS_VERIFY_H
#define COFRE_ATTEST_RATLS_VERIFY_H

#include <openssl/ssl.h>

#include "attest/policy.h"
#include "attest/ratls.h"
#include "attest/result.h"
#include "attest/store.h"

struct attest_ratls_verifier; /* may be used by several threads */

/* What came out for one certificate. */
struct attest_ratls_verdict {
    bool accepted;
    char reason[600]; /* one line; "" if accepted */
    bool has_evidence;
    enum attest_ratls_form form;
    struct attest_result result;       /* if has_evidence */
    struct attest_appraisal appraisal; /* if the quote was verified */
};

/*
 * store and policy are borrowed and must outlive it. time: of evaluation, seconds since 1970; 0: now, each time. NULL
 * if there is no memory.
 */
struct attest_ratls_verifier *attest_ratls_verifier_new(struct attest_store *store, const struct attest_policy *policy,
                                                        int64_t time);
void attest_ratls_verifier_free(struct attest_ratls_verifier *verifier);

/*
 * Verifies a certificate: its dates and, if it is self-issued, its signature; that its evidence commits to its key; the
 * quote; the policy. *ret_verdict is always filled. 0 if it is accepted, else -1. What was verified of a
 * certificate is remembered while what it rests on holds; the policy is asked each time.
 */
int attest_ratls_verify(struct attest_ratls_verifier *verifier, X509 *certificate,
                        struct attest_ratls_verdict *ret_verdict);

/*
 * Makes a context's handshakes verify the peer, which must have a certificate, by this verifier and nothing else:
 * TLS 1.3, no resumption (it would pass over verification), P-256, P-384 and X25519. The verifier must outlive the
 * context. 0, or -1.
 */
int attest_ratls_verify_ctx(SSL_CTX *context, struct attest_ratls_verifier *verifier);

/* The verdict on a connection's peer, whether the handshake succeeded or not; NULL if it did not come that far. */
const struct attest_ratls_verdict *attest_ratls_verdict_of(const SSL *ssl);

/* TLS 1.3 without resumption, for a context that shows a certificate and does not verify one. 0, or -1. */
int attest_ratls_prepare_ctx(SSL_CTX *context);

#endif

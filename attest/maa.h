/*
 * Microsoft Azure Attestation: a service that verifies quotes and says so in a signed token. REST API of version
 * 2022-08-01: POST /attest/SgxEnclave, GET /.well-known/openid-configuration and the keys it points to.
 * https://learn.microsoft.com/rest/api/attestation
 */
#ifndef COFRE_ATTEST_MAA_H
#define COFRE_ATTEST_MAA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/jwt.h"
#include "attest/result.h"

struct attest_maa_options {
    const char *url;          /* of the instance: https://NAME.REGION.attest.azure.net; tokens must be issued by it */
    const char *ca_file;      /* PEM roots for TLS; NULL: the system's */
    const char *bearer_token; /* for an instance that wants one; or NULL */
    long timeout_ms;          /* for each request; 0: 30 s */
};

struct attest_maa; /* a client of one instance; it belongs to one thread */

/* What is asked: */
struct attest_maa_request {
    const uint8_t *quote;
    size_t quote_size;
    const void *runtime_data; /* what the enclave bound: SHA-256 of it is the first half of the report data; or NULL */
    size_t runtime_data_size;
    bool runtime_is_json; /* the service then gives it back as claims, not as bytes */
    const char *nonce;    /* given back in the token; or NULL */
};

/* What a token says of an enclave. Fields that the token leaves out are zero, and has_ says so where it matters. */
struct attest_maa_claims {
    uint8_t mrenclave[32];
    uint8_t mrsigner[32];
    uint8_t report_data[64];
    uint8_t config_id[64];
    uint8_t family_id[16];
    uint8_t extended_product_id[16];
    uint16_t product_id;
    uint16_t svn;
    uint16_t config_svn;
    bool is_debuggable;
    bool has_report_data, has_kss;
    int64_t issued, expires; /* seconds since 1970 */
    uint8_t *held_data;      /* x-ms-sgx-ehd: the runtime data, if it was bytes; malloc'd or NULL */
    size_t held_data_size;
    json_t *all; /* every claim of the token */
};

struct attest_maa *attest_maa_new(const struct attest_maa_options *options, char **ret_error);
void attest_maa_free(struct attest_maa *maa);

/*
 * Has a quote verified. 0 with the token, malloc'd text of which nothing is believed until attest_maa_verify; 1 if the
 * service refuses the quote, -1 if there is no answer, both with *ret_error.
 */
int attest_maa_attest(struct attest_maa *maa, const struct attest_maa_request *request, char **ret_token,
                      char **ret_error);

/* The instance's keys, of the metadata that it publishes. Fetched once; they belong to the client. */
const struct attest_jwt_keys *attest_maa_keys(struct attest_maa *maa, char **ret_error);

/*
 * Verifies a token of an instance (its issuer) at a time, and that it is about an SGX enclave. The caller frees the
 * claims. With a request, it must be the answer to it: of the same enclave, report data, runtime data and nonce.
 */
int attest_maa_verify(const char *token, const char *issuer, const struct attest_jwt_keys *keys, int64_t now,
                      const struct attest_maa_request *request, struct attest_maa_claims *ret_claims, char **ret_error);

/*
 * The same as a result of verification, at that time, for a policy to judge. The quote's signatures, collateral and TCB
 * are what the service vouches for by issuing a token at all: there is no TCB status in it, nor attributes beside
 * DEBUG.
 */
void attest_maa_result(const struct attest_maa_claims *claims, int64_t now, struct attest_result *ret_result);

void attest_maa_claims_free(struct attest_maa_claims *claims);

#endif

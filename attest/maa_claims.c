/* What a token of Microsoft Azure Attestation says, and whether it answers a request. */
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "attest/encode.h"
#include "attest/maa.h"
#include "image/error.h"

#define LEEWAY 60

void attest_maa_claims_free(struct attest_maa_claims *claims)
{
    free(claims->held_data);
    json_decref(claims->all);
    *claims = (struct attest_maa_claims){0};
}

/* A claim of hex digits: 1 if it is there, 0 if not (or empty), -1 if it is something else. */
static int hex_claim(const json_t *all, const char *name, uint8_t *ret_bytes, size_t size)
{
    const json_t *member = json_object_get(all, name);
    const char *text = json_string_value(member);
    if (!member || (text && !*text))
        return 0;
    return text && attest_hex_decode(text, ret_bytes, size) == 0 ? 1 : -1;
}

static int number_claim(const json_t *all, const char *name, uint16_t *ret_value)
{
    const json_t *member = json_object_get(all, name);
    if (!member)
        return 0;
    json_int_t value = json_integer_value(member);
    if (!json_is_integer(member) || value < 0 || value > UINT16_MAX)
        return -1;
    *ret_value = (uint16_t)value;
    return 1;
}

static int read_identity(struct attest_maa_claims *claims, char **ret_error)
{
    const json_t *all = claims->all, *debug = json_object_get(all, "x-ms-sgx-is-debuggable");
    const char *type = json_string_value(json_object_get(all, "x-ms-attestation-type"));
    if (!type || strcmp(type, "sgx") != 0)
        return error_set(ret_error, "it is not about an SGX enclave but about %.50s", type ? type : "nothing");
    if (hex_claim(all, "x-ms-sgx-mrenclave", claims->mrenclave, 32) != 1 ||
        hex_claim(all, "x-ms-sgx-mrsigner", claims->mrsigner, 32) != 1 ||
        number_claim(all, "x-ms-sgx-product-id", &claims->product_id) != 1 ||
        number_claim(all, "x-ms-sgx-svn", &claims->svn) != 1 || !json_is_boolean(debug))
        return error_set(ret_error, "it does not say whole which enclave it is about");
    claims->is_debuggable = json_is_true(debug);
    return 0;
}

static int read_optional(struct attest_maa_claims *claims, char **ret_error)
{
    const json_t *all = claims->all;
    const char *held = json_string_value(json_object_get(all, "x-ms-sgx-ehd"));
    int report_data = hex_claim(all, "x-ms-sgx-report-data", claims->report_data, 64);
    int config = hex_claim(all, "x-ms-sgx-config-id", claims->config_id, 64);
    int family = hex_claim(all, "x-ms-sgx-isv-family-id", claims->family_id, 16);
    int extended = hex_claim(all, "x-ms-sgx-isv-extended-product-id", claims->extended_product_id, 16);
    int config_svn = number_claim(all, "x-ms-sgx-config-svn", &claims->config_svn);
    if (report_data < 0 || config < 0 || family < 0 || extended < 0 || config_svn < 0)
        return error_set(ret_error, "a claim about the enclave is not of its form");
    claims->has_report_data = report_data == 1;
    claims->has_kss = config == 1 || family == 1 || extended == 1 || config_svn == 1;
    if (held && !(claims->held_data = attest_base64url_decode(held, strlen(held), &claims->held_data_size)))
        return error_set(ret_error, "the held data is not base64url");
    claims->issued = json_integer_value(json_object_get(all, "iat"));
    claims->expires = json_integer_value(json_object_get(all, "exp"));
    return 0;
}

static int check_enclave(const struct attest_maa_claims *claims, const struct attest_sgx_body *body, char **ret_error)
{
    if (memcmp(claims->mrenclave, body->mrenclave, 32) != 0 || memcmp(claims->mrsigner, body->mrsigner, 32) != 0 ||
        claims->product_id != body->isv_product_id || claims->svn != body->isv_svn ||
        claims->is_debuggable != ((body->attributes & ATTEST_SGX_DEBUG) != 0))
        return error_set(ret_error, "it is about another enclave than the quote");
    if (claims->has_report_data && memcmp(claims->report_data, body->report_data, 64) != 0)
        return error_set(ret_error, "its report data is not the quote's");
    return 0;
}

static int check_answer(const struct attest_maa_claims *claims, const struct attest_maa_request *request,
                        char **ret_error)
{
    const char *nonce = json_string_value(json_object_get(claims->all, "nonce"));
    struct attest_sgx_body body;
    struct attest_quote quote;
    uint8_t digest[SHA256_DIGEST_LENGTH];
    if (attest_quote_parse(request->quote, request->quote_size, &quote, ret_error) < 0)
        return error_wrap(ret_error, "the quote");
    if (quote.body_type != ATTEST_BODY_SGX)
        return error_set(ret_error, "the quote is not of an SGX enclave");
    memcpy(&body, quote.body, sizeof(body));
    if (check_enclave(claims, &body, ret_error) < 0)
        return -1;
    if (request->nonce && (!nonce || strcmp(nonce, request->nonce) != 0))
        return error_set(ret_error, "its nonce is not the one that was sent");
    if (!request->runtime_data)
        return 0;
    SHA256(request->runtime_data, request->runtime_data_size, digest);
    if (memcmp(digest, body.report_data, sizeof(digest)) != 0)
        return error_set(ret_error, "the quote does not bind the runtime data");
    if (!request->runtime_is_json &&
        (!claims->held_data || claims->held_data_size != request->runtime_data_size ||
         memcmp(claims->held_data, request->runtime_data, request->runtime_data_size) != 0))
        return error_set(ret_error, "its held data is not the runtime data that was sent");
    return 0;
}

int attest_maa_verify(const char *token, const char *issuer, const struct attest_jwt_keys *keys, int64_t now,
                      const struct attest_maa_request *request, struct attest_maa_claims *ret_claims, char **ret_error)
{
    size_t size = strlen(issuer);
    while (size && issuer[size - 1] == '/')
        size--;
    char *name = strndup(issuer, size);
    struct attest_jwt_expectation expectation = {.issuer = name, .now = now, .leeway = LEEWAY};
    struct attest_maa_claims claims = {0};
    int result = name ? attest_jwt_verify(token, strlen(token), keys, &expectation, &claims.all, ret_error)
                      : error_set(ret_error, "out of memory");
    free(name);
    if (result < 0)
        return -1;
    if (read_identity(&claims, ret_error) < 0 || read_optional(&claims, ret_error) < 0 ||
        (request && check_answer(&claims, request, ret_error) < 0)) {
        attest_maa_claims_free(&claims);
        return error_wrap(ret_error, "the token");
    }
    *ret_claims = claims;
    return 0;
}

void attest_maa_result(const struct attest_maa_claims *claims, int64_t now, struct attest_result *ret_result)
{
    *ret_result = (struct attest_result){.outcome = ATTEST_OUTCOME_VERIFIED,
                                         .time = now,
                                         .has_quote = true,
                                         .quote_version = 3,
                                         .tee_type = ATTEST_TEE_SGX,
                                         .body_type = ATTEST_BODY_SGX};
    struct attest_sgx_body *sgx = &ret_result->sgx;
    sgx->attributes = ATTEST_SGX_INIT | ATTEST_SGX_MODE64 | (claims->is_debuggable ? ATTEST_SGX_DEBUG : 0) |
                      (claims->has_kss ? ATTEST_SGX_KSS : 0);
    sgx->isv_product_id = claims->product_id;
    sgx->isv_svn = claims->svn;
    sgx->config_svn = claims->config_svn;
    memcpy(sgx->mrenclave, claims->mrenclave, sizeof(sgx->mrenclave));
    memcpy(sgx->mrsigner, claims->mrsigner, sizeof(sgx->mrsigner));
    memcpy(sgx->report_data, claims->report_data, sizeof(sgx->report_data));
    memcpy(sgx->config_id, claims->config_id, sizeof(sgx->config_id));
    memcpy(sgx->isv_family_id, claims->family_id, sizeof(sgx->isv_family_id));
    memcpy(sgx->isv_ext_product_id, claims->extended_product_id, sizeof(sgx->isv_ext_product_id));
}

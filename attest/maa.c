/* A client of Microsoft Azure Attestation: requests. */
#include "attest/maa.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/encode.h"
#include "attest/http.h"
#include "image/error.h"

#define API_VERSION "2022-08-01"
#define ANSWER_SIZE_MAX (1U << 20)
#define QUOTE_SIZE_MAX (64U << 10)

struct attest_maa {
    struct attest_http *http;
    char *url; /* without a slash at the end */
    char *authorization;
    struct attest_jwt_keys *keys;
};

struct attest_maa *attest_maa_new(const struct attest_maa_options *options, char **ret_error)
{
    struct attest_http_options http = {.ca_file = options->ca_file, .timeout_ms = options->timeout_ms};
    struct attest_maa *maa = calloc(1, sizeof(*maa));
    size_t size = strlen(options->url);
    while (size && options->url[size - 1] == '/')
        size--;
    if (!maa || !(maa->url = strndup(options->url, size)) ||
        (options->bearer_token &&
         asprintf(&maa->authorization, "Authorization: Bearer %s", options->bearer_token) < 0)) {
        attest_maa_free(maa);
        error_set(ret_error, "out of memory");
        return NULL;
    }
    maa->http = attest_http_new(&http, ret_error);
    if (!maa->http) {
        attest_maa_free(maa);
        return NULL;
    }
    return maa;
}

void attest_maa_free(struct attest_maa *maa)
{
    if (!maa)
        return;
    attest_http_free(maa->http);
    attest_jwt_keys_free(maa->keys);
    free(maa->url);
    free(maa->authorization);
    free(maa);
}

static char *request_text(const struct attest_maa_request *request)
{
    char *quote = attest_base64url_encode(request->quote, request->quote_size);
    char *data =
        request->runtime_data ? attest_base64url_encode(request->runtime_data, request->runtime_data_size) : NULL;
    json_t *json = json_pack("{s:s,s:s*}", "quote", quote, "nonce", request->nonce);
    if (json && data)
        json_object_set_new(
            json, "runtimeData",
            json_pack("{s:s,s:s}", "data", data, "dataType", request->runtime_is_json ? "JSON" : "Binary"));
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    free(quote);
    free(data);
    return text;
}

/* {"error": {"code": ..., "message": ...}} of an answer that is no success. */
static int refusal(const struct attest_http_response *response, char **ret_error)
{
    json_t *json = json_loadb(response->body, response->size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *error = json_object_get(json, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    error_set(ret_error, "the service answers with status %ld%s%.100s%s%.500s", response->status, code ? ": " : "",
              code ? code : "", message ? ": " : "", message ? message : "");
    json_decref(json);
    return -1;
}

/* A request whose answer is a JSON object; *ret_status is 0 if there is no answer at all. */
static json_t *ask(struct attest_maa *maa, const char *url, const char *body, long *ret_status, char **ret_error)
{
    static const char *const types[] = {"application/json", "application/jwk-set+json", NULL};
    const char *fields[] = {body ? maa->authorization : NULL, NULL};
    struct attest_http_request request = {
        .url = url, .body = body, .content_type = "application/json", .fields = fields, .size_max = ANSWER_SIZE_MAX};
    struct attest_http_response response;
    json_t *json = NULL;
    *ret_status = 0;
    if (attest_http_do(maa->http, &request, &response, ret_error) < 0)
        return NULL;
    *ret_status = response.status;
    if (response.status != 200)
        refusal(&response, ret_error);
    else if (attest_http_check_type(&response, types, ret_error) == 0 &&
             !(json = json_loadb(response.body, response.size, JSON_REJECT_DUPLICATES, NULL)))
        error_set(ret_error, "the answer is not JSON");
    attest_http_response_free(&response);
    if (!json)
        error_wrap(ret_error, "%s", url);
    return json;
}

int attest_maa_attest(struct attest_maa *maa, const struct attest_maa_request *request, char **ret_token,
                      char **ret_error)
{
    char *body = request->quote_size <= QUOTE_SIZE_MAX ? request_text(request) : NULL, *url = NULL;
    json_t *answer = NULL;
    long status = 0;
    if (request->quote_size > QUOTE_SIZE_MAX)
        return error_set(ret_error, "the quote is too long");
    if (body && asprintf(&url, "%s/attest/SgxEnclave?api-version=%s", maa->url, API_VERSION) >= 0)
        answer = ask(maa, url, body, &status, ret_error);
    else
        error_set(ret_error, "out of memory");
    free(body);
    int result = status == 400 ? 1 : -1;
    if (answer) {
        const char *token = json_string_value(json_object_get(answer, "token"));
        if (!token || !*token)
            result = error_set(ret_error, "%s: the answer has no token", url);
        else
            result = (*ret_token = strdup(token)) ? 0 : error_set(ret_error, "out of memory");
    }
    json_decref(answer);
    free(url);
    return result;
}

/* Where the keys are, as the metadata say; it must be the instance itself. */
static char *keys_url(struct attest_maa *maa, char **ret_error)
{
    char *url = NULL, *result = NULL;
    long status;
    if (asprintf(&url, "%s/.well-known/openid-configuration", maa->url) < 0) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    json_t *metadata = ask(maa, url, NULL, &status, ret_error);
    const char *where = json_string_value(json_object_get(metadata, "jwks_uri"));
    const char *issuer = json_string_value(json_object_get(metadata, "issuer"));
    size_t size = strlen(maa->url);
    if (!metadata)
        ;
    else if (!issuer || strcmp(issuer, maa->url) != 0)
        error_set(ret_error, "%s: the issuer is another: %.200s", url, issuer ? issuer : "none");
    else if (!where || strncmp(where, maa->url, size) != 0 || where[size] != '/')
        error_set(ret_error, "%s: the keys are elsewhere: %.200s", url, where ? where : "nowhere");
    else
        result = strdup(where);
    json_decref(metadata);
    free(url);
    return result;
}

const struct attest_jwt_keys *attest_maa_keys(struct attest_maa *maa, char **ret_error)
{
    if (maa->keys)
        return maa->keys;
    long status;
    char *url = keys_url(maa, ret_error);
    json_t *set = url ? ask(maa, url, NULL, &status, ret_error) : NULL;
    char *text = set ? json_dumps(set, JSON_COMPACT) : NULL;
    if (text) {
        maa->keys = attest_jwt_keys_parse(text, strlen(text), ret_error);
        if (!maa->keys)
            error_wrap(ret_error, "%s", url);
    }
    json_decref(set);
    free(text);
    free(url);
    return maa->keys;
}

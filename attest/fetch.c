/* A client of PCS, PCCS and Azure's cache. */
#include "attest/fetch.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "attest/cache.h"
#include "attest/encode.h"
#include "attest/http.h"
#include "image/error.h"

struct attest_source {
    struct attest_http *http;
    struct attest_cache *cache;
    char *base; /* scheme and server, perhaps a path; no slash at the end */
    int version;
    bool is_pcs;
    char *api_key_field;
    char *root_crl_url;
    int update_early;
    int evaluation_number;
    int64_t max_age;
    long timeout_ms;
    void (*warn)(void *context, const char *text);
    void *warn_context;
};

/* "https://host/x/sgx/certification/v3/" is base "https://host/x" and version 3. */
static int split_url(struct attest_source *source, const char *url, char **ret_error)
{
    static const char middle[] = "/certification/v";
    const char *end = url + strlen(url);
    while (end > url && end[-1] == '/')
        end--;
    const char *found = strstr(url, middle);
    if (found && found - url > 4) {
        const char *number = found + sizeof(middle) - 1;
        if ((number[0] != '3' && number[0] != '4') || number + 1 != end ||
            (memcmp(found - 4, "/sgx", 4) != 0 && memcmp(found - 4, "/tdx", 4) != 0))
            return error_set(ret_error, "%s: only .../sgx/certification/v3 and v4 are known", url);
        if (source->version && source->version != number[0] - '0')
            return error_set(ret_error, "%s: it says another version than %d", url, source->version);
        source->version = number[0] - '0';
        end = found - 4;
    }
    if (!source->version)
        source->version = 4;
    source->base = strndup(url, (size_t)(end - url));
    return source->base ? 0 : error_set(ret_error, "out of memory");
}

static int set_strings(struct attest_source *source, const struct attest_source_options *options, char **ret_error)
{
    int made = 0;
    source->is_pcs = strstr(source->base, "://api.trustedservices.intel.com") != NULL;
    if (options->api_key)
        made = asprintf(&source->api_key_field, "Ocp-Apim-Subscription-Key: %s", options->api_key);
    if (made >= 0 && options->root_crl_url)
        made = asprintf(&source->root_crl_url, "%s", options->root_crl_url);
    else if (made >= 0 && source->is_pcs)
        made = asprintf(&source->root_crl_url, "%s", ATTEST_ROOT_CRL_URL);
    else if (made >= 0)
        made = asprintf(&source->root_crl_url, "%s/sgx/certification/v%d/rootcacrl", source->base, source->version);
    return made < 0 ? error_set(ret_error, "out of memory") : 0;
}

struct attest_source *attest_source_new(const struct attest_source_options *options, char **ret_error)
{
    struct attest_source *source = calloc(1, sizeof(*source));
    struct attest_http_options http = {.ca_file = options->ca_file, .timeout_ms = options->timeout_ms};
    if (!source) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    source->version = options->version;
    source->update_early = options->update_early;
    source->evaluation_number = options->evaluation_number;
    source->max_age = options->max_age;
    source->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : ATTEST_HTTP_TIMEOUT_MS;
    source->warn = options->warn;
    source->warn_context = options->warn_context;
    if (split_url(source, options->url ? options->url : ATTEST_PCS_URL, ret_error) < 0 ||
        set_strings(source, options, ret_error) < 0 || !(source->http = attest_http_new(&http, ret_error)) ||
        (options->cache_folder && !(source->cache = attest_cache_open(options->cache_folder, ret_error)))) {
        attest_source_free(source);
        return NULL;
    }
    return source;
}

void attest_source_free(struct attest_source *source)
{
    if (!source)
        return;
    attest_http_free(source->http);
    attest_cache_close(source->cache);
    free(source->base);
    free(source->api_key_field);
    free(source->root_crl_url);
    free(source);
}

const char *attest_source_url(const struct attest_source *source)
{
    return source->base;
}

/* "", "&update=early" or "&tcbEvaluationDataNumber=N". */
static void update_query(const struct attest_source *source, char *ret_text, size_t size)
{
    *ret_text = 0;
    if (source->version < 4)
        return;
    if (source->evaluation_number > 0)
        snprintf(ret_text, size, "&tcbEvaluationDataNumber=%d", source->evaluation_number);
    else if (source->update_early)
        snprintf(ret_text, size, "&update=early");
}

static int pck_url(const struct attest_source *source, const struct attest_pck_request *pck, char **ret_url)
{
    char *ppid = pck->encrypted_ppid ? attest_hex_encode(pck->encrypted_ppid, pck->encrypted_ppid_size) : strdup("");
    char *qeid = pck->qeid && !source->is_pcs /* which knows no such parameter */ ? attest_hex_encode(pck->qeid, 16)
                                                                                  : strdup("");
    char *cpusvn = attest_hex_encode(pck->cpusvn, sizeof(pck->cpusvn));
    int made = -1;
    if (ppid && qeid && cpusvn) /* PCESVN and PCEID are written as they lie in memory, low byte first */
        made = asprintf(
            ret_url, "%s/sgx/certification/v%d/pckcert?%s%s%s%s%s%scpusvn=%s&pcesvn=%02x%02x&pceid=%02x%02x",
            source->base, source->version, *ppid ? "encrypted_ppid=" : "", ppid, *ppid ? "&" : "", *qeid ? "qeid=" : "",
            qeid, *qeid ? "&" : "", cpusvn, pck->pcesvn & 255, pck->pcesvn >> 8, pck->pceid & 255, pck->pceid >> 8);
    free(ppid);
    free(qeid);
    free(cpusvn);
    return made;
}

char *attest_fetch_url(const struct attest_source *source, const struct attest_document_request *request)
{
    const char *tee = request->tee == ATTEST_DOCUMENT_TDX ? "tdx" : "sgx";
    const uint8_t *f = request->fmspc;
    char *url = NULL, update[64];
    int made = -1;
    update_query(source, update, sizeof(update));
    switch (request->kind) {
    case ATTEST_DOCUMENT_TCB_INFO:
        made = asprintf(&url, "%s/%s/certification/v%d/tcb?fmspc=%02x%02x%02x%02x%02x%02x%s", source->base, tee,
                        source->version, f[0], f[1], f[2], f[3], f[4], f[5], update);
        break;
    case ATTEST_DOCUMENT_QE_IDENTITY:
        made = asprintf(&url, "%s/%s/certification/v%d/qe/identity%s%s", source->base, tee, source->version,
                        *update ? "?" : "", *update ? update + 1 : "");
        break;
    case ATTEST_DOCUMENT_PCK_CRL:
        made = asprintf(&url, "%s/sgx/certification/v%d/pckcrl?ca=%s&encoding=der", source->base, source->version,
                        request->ca == ATTEST_DOCUMENT_CA_PLATFORM ? "platform" : "processor");
        break;
    case ATTEST_DOCUMENT_ROOT_CRL:
        made = asprintf(&url, "%s", source->root_crl_url);
        break;
    default:
        made = pck_url(source, request->pck, &url);
        break;
    }
    return made < 0 ? NULL : url;
}

/*
 * How each kind is answered: its issuers' chain stands in one of these headers (versions 3 and 4 differ), in
 * percent-encoding. JSON must be called so; services disagree on what lists and certificates are called, and those
 * speak for themselves.
 */
static const struct {
    const char *chain_headers[2];
    bool is_json;
} answers[ATTEST_DOCUMENT_KIND_COUNT] = {
    [ATTEST_DOCUMENT_TCB_INFO] = {{"TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"}, true},
    [ATTEST_DOCUMENT_QE_IDENTITY] = {{"SGX-Enclave-Identity-Issuer-Chain"}, true},
    [ATTEST_DOCUMENT_PCK_CRL] = {{"SGX-PCK-CRL-Issuer-Chain"}, false},
    [ATTEST_DOCUMENT_ROOT_CRL] = {{NULL}, false},
    [ATTEST_DOCUMENT_PCK_CERT] = {{"SGX-PCK-Certificate-Issuer-Chain"}, false},
};

static int read_chain(const struct attest_http_response *response, const char *const headers[2], char **ret_chain,
                      char **ret_error)
{
    const char *found = NULL;
    for (int i = 0; i < 2 && headers[i]; i++) {
        const char *value;
        if (attest_http_header(response, headers[i], &value, ret_error) < 0)
            return -1;
        if (value && found && strcmp(value, found) != 0)
            return error_set(ret_error, "the headers %s and %s differ", headers[0], headers[1]);
        if (value)
            found = value;
    }
    if (!found)
        return error_set(ret_error, "the answer has no header %s", headers[0]);
    char *chain = attest_percent_decode(found);
    if (!chain)
        return error_set(ret_error, "the header %s is not percent-encoded text", headers[0]);
    if (attest_document_check_chain(chain, ret_error) < 0) {
        free(chain);
        return -1;
    }
    *ret_chain = chain;
    return 0;
}

/* The headers a PCK certificate comes with: the TCB it stands for, and whose platform it is. */
static int read_pck_headers(const struct attest_http_response *response, const struct attest_document_request *request,
                            struct attest_document *document, char **ret_error)
{
    static const uint8_t none[6];
    const char *tcbm, *fmspc;
    uint8_t bytes[18];
    if (attest_http_header(response, "SGX-TCBm", &tcbm, ret_error) < 0 ||
        attest_http_header(response, "SGX-FMSPC", &fmspc, ret_error) < 0)
        return -1;
    if (!tcbm || attest_hex_decode(tcbm, bytes, sizeof(bytes)) < 0)
        return error_set(ret_error, "the header SGX-TCBm is not 36 hex digits");
    if (memcmp(request->fmspc, none, sizeof(none)) != 0 && fmspc &&
        (attest_hex_decode(fmspc, bytes, 6) < 0 || memcmp(bytes, request->fmspc, 6) != 0))
        return error_set(ret_error, "it is for another platform: FMSPC %.20s", fmspc);
    document->tcbm = strdup(tcbm);
    return document->tcbm ? 0 : error_set(ret_error, "out of memory");
}

static int check_status(const struct attest_http_response *response, char **ret_error)
{
    const char *why = response->status == 404   ? " (it has no such document)"
                      : response->status == 401 ? " (an API key is wanted)"
                      : response->status == 410 ? " (no longer offered: another TCB evaluation data number is wanted)"
                      : response->status == 461 ? " (the platform is not registered there)"
                                                : "";
    return response->status == 200
               ? 0
               : error_set(ret_error, "the service answers with status %ld%s", response->status, why);
}

static int read_answer(const struct attest_http_response *response, const struct attest_document_request *request,
                       struct attest_document *ret_document, char **ret_error)
{
    static const char *const json[] = {"application/json", NULL};
    struct attest_document document;
    enum attest_document_kind kind = request->kind;
    if (check_status(response, ret_error) < 0 ||
        (answers[kind].is_json && attest_http_check_type(response, json, ret_error) < 0) ||
        attest_document_parse(request, response->body, response->size, &document, ret_error) < 0)
        return -1;
    if ((answers[kind].chain_headers[0] &&
         read_chain(response, answers[kind].chain_headers, &document.chain, ret_error) < 0) ||
        (kind == ATTEST_DOCUMENT_PCK_CERT && read_pck_headers(response, request, &document, ret_error) < 0)) {
        attest_document_free(&document);
        return -1;
    }
    *ret_document = document;
    return 0;
}

static int fetch_from_service(struct attest_source *source, const char *url,
                              const struct attest_document_request *request, struct attest_document *ret_document,
                              char **ret_error)
{
    const char *fields[] = {source->api_key_field, NULL};
    struct attest_http_request http = {.url = url, .size_max = ATTEST_DOCUMENT_SIZE_MAX};
    struct attest_http_response response;
    if (request->kind == ATTEST_DOCUMENT_PCK_CERT)
        http.fields = fields; /* the key goes nowhere else */
    if (attest_http_do(source->http, &http, &response, ret_error) < 0)
        return -1;
    int result = read_answer(&response, request, ret_document, ret_error);
    attest_http_response_free(&response);
    return result < 0 ? error_wrap(ret_error, "%.300s", url) : 0;
}

static void warn(const struct attest_source *source, char *text)
{
    if (source->warn && text)
        source->warn(source->warn_context, text);
    free(text);
}

/* 1 with a document that the cache holds and that is fresh; else 0. A damaged file is named, unless quiet. */
static int look_up(struct attest_source *source, const char *url, const struct attest_document_request *request,
                   bool quiet, struct attest_document *ret_document)
{
    struct attest_cache_entry entry;
    char *error = NULL;
    int64_t now = time(NULL);
    int result = attest_cache_get(source->cache, url, &entry, &error);
    if (result < 0) {
        error_wrap(&error, "the collateral cache (fetched again)");
        if (quiet)
            free(error);
        else
            warn(source, error);
    }
    if (result <= 0)
        return 0;
    struct attest_document checked; /* the folder may be anyone's: held to the same rules as an answer */
    bool good = entry.document.next_update > now && entry.fetched <= now &&
                (source->max_age <= 0 || now - entry.fetched <= source->max_age) &&
                attest_document_parse(request, entry.document.data, entry.document.size, &checked, NULL) == 0;
    if (!good) {
        attest_document_free(&entry.document);
        return 0;
    }
    attest_document_free(&checked);
    *ret_document = entry.document;
    return 1;
}

static void keep(struct attest_source *source, const char *url, const struct attest_document *document)
{
    char *error = NULL;
    int64_t now = time(NULL);
    if (document->next_update <= now) /* of use to audit the past only */
        return;
    if (attest_cache_put(source->cache, url, document, now, &error) < 0) {
        error_wrap(&error, "the collateral cache (not kept)");
        warn(source, error);
    }
}

int attest_fetch(struct attest_source *source, const struct attest_document_request *request,
                 struct attest_document *ret_document, int *ret_cached, char **ret_error)
{
    if (source->version < 4 && request->tee == ATTEST_DOCUMENT_TDX)
        return error_set(ret_error, "%s: version 3 of the API has nothing for TDX", source->base);
    char *url = attest_fetch_url(source, request);
    int cached = 0, result = -1, lock = -1;
    if (!url)
        return error_set(ret_error, "out of memory");
    if (source->cache && !(cached = look_up(source, url, request, false, ret_document))) {
        lock = attest_cache_lock(source->cache, url, source->timeout_ms);
        cached = look_up(source, url, request, true, ret_document); /* another process may have been first */
    }
    result = cached ? 0 : fetch_from_service(source, url, request, ret_document, ret_error);
    if (result == 0 && source->cache && !cached)
        keep(source, url, ret_document);
    if (lock >= 0)
        close(lock);
    if (result == 0 && ret_cached)
        *ret_cached = cached;
    free(url);
    return result;
}

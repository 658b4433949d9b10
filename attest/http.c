/* HTTP requests with every limit set, over libcurl. */
#include "attest/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "image/error.h"

#define CONNECT_TIMEOUT_MS 10000L
#define RETRY_DELAY_MS 200L

struct attest_http {
    CURL *curl;
    char *ca_file;
    long timeout_ms;
    int attempts;
};

/* What the callbacks of one transfer fill. */
struct transfer {
    struct attest_http_response *response;
    size_t size_max;
    size_t header_bytes;
    const char *refused; /* why a callback stopped the transfer */
};

struct attest_http *attest_http_new(const struct attest_http_options *options, char **ret_error)
{
    struct attest_http *http = calloc(1, sizeof(*http));
    if (http)
        http->curl = curl_easy_init();
    if (!http || !http->curl || (options->ca_file && !(http->ca_file = strdup(options->ca_file)))) {
        attest_http_free(http);
        error_set(ret_error, "the HTTP client cannot be set up: out of memory");
        return NULL;
    }
    http->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : ATTEST_HTTP_TIMEOUT_MS;
    http->attempts = options->attempts > 0 ? options->attempts : ATTEST_HTTP_ATTEMPTS;
    return http;
}

void attest_http_free(struct attest_http *http)
{
    if (!http)
        return;
    curl_easy_cleanup(http->curl);
    free(http->ca_file);
    free(http);
}

void attest_http_response_free(struct attest_http_response *response)
{
    for (size_t i = 0; i < response->header_count; i++) {
        free(response->headers[i].name);
        free(response->headers[i].value);
    }
    free(response->body);
    *response = (struct attest_http_response){0};
}

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    struct transfer *transfer = context;
    struct attest_http_response *response = transfer->response;
    (void)one;
    if (size > transfer->size_max - response->size) {
        transfer->refused = "the answer is too long";
        return CURL_WRITEFUNC_ERROR;
    }
    char *body = realloc(response->body, response->size + size + 1);
    if (!body) {
        transfer->refused = "out of memory";
        return CURL_WRITEFUNC_ERROR;
    }
    memcpy(body + response->size, data, size);
    response->size += size;
    body[response->size] = 0;
    response->body = body;
    return size;
}

/* A header line "Name: value\r\n"; lines that are not of that form (status line, the empty one) start or end a block.
 */
static size_t on_header(char *data, size_t one, size_t size, void *context)
{
    struct transfer *transfer = context;
    struct attest_http_response *response = transfer->response;
    (void)one;
    transfer->header_bytes += size;
    if (transfer->header_bytes > ATTEST_HTTP_HEADERS_SIZE_MAX) {
        transfer->refused = "the answer's headers are too long";
        return 0;
    }
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) { /* another block, after an interim answer */
        attest_http_response_free(response);
        return size;
    }
    const char *colon = memchr(data, ':', size);
    if (!colon)
        return size;
    if (response->header_count == ATTEST_HTTP_HEADER_COUNT_MAX) {
        transfer->refused = "the answer has too many headers";
        return 0;
    }
    const char *value = colon + 1, *end = data + size;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && strchr(" \t\r\n", end[-1]))
        end--;
    struct attest_http_header *header = &response->headers[response->header_count++];
    header->name = strndup(data, colon - data);
    header->value = strndup(value, end - value);
    if (!header->name || !header->value) {
        transfer->refused = "out of memory";
        return 0;
    }
    return size;
}

/* Plain http gives up TLS: only where no network is crossed. */
static bool host_is_loopback(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

static int check_url(CURLU *url, const char *text, char **ret_error)
{
    char *scheme = NULL, *host = NULL, *user = NULL;
    int result = 0;
    if (curl_url_set(url, CURLUPART_URL, text, 0) || curl_url_get(url, CURLUPART_SCHEME, &scheme, 0))
        result = error_set(ret_error, "not a URL");
    else if (curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK)
        result = error_set(ret_error, "a URL with a user name in it is not taken");
    else if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
             (strcmp(scheme, "https") != 0 && !(strcmp(scheme, "http") == 0 && host_is_loopback(host))))
        result = error_set(ret_error, "only https is taken (http only to this machine)");
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    return result;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char *text_a = NULL, *text_b = NULL;
    bool same = curl_url_get(a, part, &text_a, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_get(b, part, &text_b, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(text_a, text_b) == 0;
    curl_free(text_a);
    curl_free(text_b);
    return same;
}

/* Moves url to where a redirect points, if that is the same server. */
static int follow(CURL *curl, CURLU *url, char **ret_error)
{
    char *target = NULL;
    CURLU *other = curl_url();
    int result = -1;
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &target);
    if (!target)
        error_set(ret_error, "a redirect that says not where to");
    else if (!other || check_url(other, target, ret_error) < 0)
        error_wrap(ret_error, "redirected to %.200s", target);
    else if (!same_part(url, other, CURLUPART_SCHEME) || !same_part(url, other, CURLUPART_HOST) ||
             !same_part(url, other, CURLUPART_PORT))
        error_set(ret_error, "redirected to another server, %.200s: refused", target);
    else if (curl_url_set(url, CURLUPART_URL, target, 0))
        error_set(ret_error, "redirected to something that is not a URL");
    else
        result = 0;
    curl_url_cleanup(other);
    return result;
}

static void set_options(struct attest_http *http, CURLU *url, const struct attest_http_request *request,
                        struct transfer *transfer, struct curl_slist *fields, long timeout_ms)
{
    CURL *curl = http->curl;
    char *scheme = NULL;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_CURLU, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (http->ca_file) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && strcmp(scheme, "http") == 0)
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_free(scheme);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "cofre");
    if (request->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->body));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    }
}

static struct curl_slist *field_list(const struct attest_http_request *request)
{
    struct curl_slist *list = NULL;
    char line[256];
    for (size_t i = 0; request->fields && request->fields[i]; i++)
        list = curl_slist_append(list, request->fields[i]);
    if (request->body) {
        snprintf(line, sizeof(line), "Content-Type: %s", request->content_type);
        list = curl_slist_append(list, line);
        list = curl_slist_append(list, "Expect:"); /* no waiting for "100 Continue" */
    }
    return list;
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

/* Failures that another attempt may not meet. A certificate that is not trusted stays so. */
static bool error_may_pass(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_PARTIAL_FILE ||
           code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR;
}

/* One transfer: 0 with a response, 1 if it failed but may succeed later, -1 for good. */
static int transfer_once(struct attest_http *http, CURLU *url, const struct attest_http_request *request,
                         struct attest_http_response *response, long timeout_ms, char **ret_error)
{
    struct transfer transfer = {.response = response, .size_max = request->size_max};
    struct curl_slist *fields = field_list(request);
    set_options(http, url, request, &transfer, fields, timeout_ms);
    char detail[CURL_ERROR_SIZE] = "";
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, detail);
    CURLcode code = curl_easy_perform(http->curl);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(fields);
    if (code == CURLE_OK) {
        curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &response->status);
        if (!response->body && !(response->body = calloc(1, 1)))
            return error_set(ret_error, "out of memory");
        return 0;
    }
    attest_http_response_free(response);
    if (transfer.refused)
        return error_set(ret_error, "%s", transfer.refused);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return error_set(ret_error, "no whole answer within the time allowed");
    error_set(ret_error, "%s", detail[0] ? detail : curl_easy_strerror(code));
    return error_may_pass(code) ? 1 : -1;
}

static bool status_may_pass(long status)
{
    return status == 429 || status == 500 || (status >= 502 && status <= 504);
}

/* Transfers until there is an answer that is no redirect, or time or attempts are used up. */
static int transfer_all(struct attest_http *http, CURLU *url, const struct attest_http_request *request,
                        struct attest_http_response *response, char **ret_error)
{
    long deadline = now_ms() + http->timeout_ms, delay = RETRY_DELAY_MS;
    int redirects = 0;
    for (int attempt = 1;;) {
        long left = deadline - now_ms();
        if (left <= 0)
            return error_set(ret_error, "no whole answer within the time allowed");
        int result = transfer_once(http, url, request, response, left, ret_error);
        if (result < 0)
            return -1;
        bool again = result > 0 || status_may_pass(response->status);
        if (result == 0 && response->status >= 301 && response->status <= 308 && response->status != 304) {
            attest_http_response_free(response);
            if (++redirects > ATTEST_HTTP_REDIRECT_MAX)
                return error_set(ret_error, "redirected more than %d times", ATTEST_HTTP_REDIRECT_MAX);
            if (follow(http->curl, url, ret_error) < 0)
                return -1;
            continue;
        }
        if (!again || attempt++ == http->attempts || deadline - now_ms() <= delay)
            return result > 0 ? -1 : 0;
        attest_http_response_free(response);
        struct timespec pause = {.tv_sec = delay / 1000, .tv_nsec = delay % 1000 * 1000000};
        nanosleep(&pause, NULL);
        delay *= 2;
    }
}

int attest_http_do(struct attest_http *http, const struct attest_http_request *request,
                   struct attest_http_response *ret_response, char **ret_error)
{
    struct attest_http_response response = {0};
    char *error = NULL;
    CURLU *url = curl_url();
    int result = url ? check_url(url, request->url, &error) : error_set(&error, "out of memory");
    if (result == 0)
        result = transfer_all(http, url, request, &response, &error);
    curl_url_cleanup(url);
    if (result < 0)
        error_set(ret_error, "%.300s: %s", request->url, error);
    else
        *ret_response = response;
    free(error); /* of an attempt that a better one may have followed */
    return result;
}

int attest_http_header(const struct attest_http_response *response, const char *name, const char **ret_value,
                       char **ret_error)
{
    const char *value = NULL;
    for (size_t i = 0; i < response->header_count; i++) {
        if (strcasecmp(response->headers[i].name, name) != 0)
            continue;
        if (value)
            return error_set(ret_error, "the header %s stands twice in the answer", name);
        value = response->headers[i].value;
    }
    *ret_value = value;
    return 0;
}

int attest_http_check_type(const struct attest_http_response *response, const char *const *types, char **ret_error)
{
    const char *value = NULL;
    if (attest_http_header(response, "Content-Type", &value, ret_error) < 0)
        return -1;
    if (!value)
        return error_set(ret_error, "the answer has no Content-Type");
    size_t size = strcspn(value, "; \t");
    for (size_t i = 0; types[i]; i++)
        if (strlen(types[i]) == size && strncasecmp(types[i], value, size) == 0)
            return 0;
    return error_set(ret_error, "the answer is of the wrong type: %.100s instead of %s", value, types[0]);
}

/*
 * HTTP requests with every limit set: what a server may cost in time and memory is bounded, TLS is always verified, and
 * a redirect never leaves the server that was named. Over libcurl.
 */
#ifndef COFRE_ATTEST_HTTP_H
#define COFRE_ATTEST_HTTP_H

#include <stddef.h>

#define ATTEST_HTTP_TIMEOUT_MS 30000
#define ATTEST_HTTP_ATTEMPTS 3
#define ATTEST_HTTP_HEADERS_SIZE_MAX (64U << 10) /* all header lines of one answer */
#define ATTEST_HTTP_HEADER_COUNT_MAX 64
#define ATTEST_HTTP_REDIRECT_MAX 3

struct attest_http_options {
    const char *ca_file; /* PEM roots that servers are verified by; NULL: the system's */
    long timeout_ms;     /* for one request with its retries and redirects; 0: ATTEST_HTTP_TIMEOUT_MS */
    int attempts;        /* of a request that fails for a passing reason; 0: ATTEST_HTTP_ATTEMPTS */
};

struct attest_http; /* a client; it keeps connections open between requests, and belongs to one thread */

struct attest_http_header {
    char *name; /* as the server wrote it */
    char *value;
};

struct attest_http_response {
    long status;
    char *body; /* size bytes and a NUL after them */
    size_t size;
    struct attest_http_header headers[ATTEST_HTTP_HEADER_COUNT_MAX];
    size_t header_count;
};

struct attest_http_request {
    const char *url;           /* https; http only to a loopback address */
    const char *body;          /* NULL: GET; else POST of this text */
    const char *content_type;  /* of body */
    const char *const *fields; /* header lines "Name: value" to send, ended by NULL; or NULL */
    size_t size_max;           /* a longer answer is an error */
};

struct attest_http *attest_http_new(const struct attest_http_options *options, char **ret_error);
void attest_http_free(struct attest_http *http);

/*
 * One request. 0 with a response of any status (the caller frees it); -1 with *ret_error when there is none: no
 * connection, no trusted certificate, no end within the time, too long, or a redirect to elsewhere. What passes by
 * itself (no connection, status 429 or 5xx, an answer cut short) is tried again, a little later each time.
 */
int attest_http_do(struct attest_http *http, const struct attest_http_request *request,
                   struct attest_http_response *ret_response, char **ret_error);
void attest_http_response_free(struct attest_http_response *response);

/*
 * The value of a header, compared without case; NULL in *ret_value if it is absent. A header that stands twice is an
 * error (which one counts depends on who reads). The text belongs to the response.
 */
int attest_http_header(const struct attest_http_response *response, const char *name, const char **ret_value,
                       char **ret_error);

/* 0 if the Content-Type is one of the NULL-ended list (parameters are not looked at); an absent one is an error. */
int attest_http_check_type(const struct attest_http_response *response, const char *const *types, char **ret_error);

#endif

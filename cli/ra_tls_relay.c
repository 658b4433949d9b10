/* Bytes carried between TLS and a plain connection. */
#include "cli/ra_tls_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "image/error.h"

#define BUFFER_SIZE 16384
#define WRITE_SIZE_MAX 4096 /* what a pipe takes without blocking once it is writable: PIPE_BUF */

/* HOST and PORT of "HOST:PORT"; a host in brackets is without them. Both malloc'd. */
static int split_address(const char *address, const char *default_host, char **ret_host, char **ret_port,
                         char **ret_error)
{
    const char *colon = strrchr(address, ':'), *port = colon ? colon + 1 : address;
    *ret_host = colon ? strndup(address, (size_t)(colon - address)) : default_host ? strdup(default_host) : NULL;
    *ret_port = strdup(port);
    size_t size = *ret_host ? strlen(*ret_host) : 0;
    if (size >= 2 && (*ret_host)[0] == '[' && (*ret_host)[size - 1] == ']') {
        memmove(*ret_host, *ret_host + 1, size - 2);
        (*ret_host)[size - 2] = 0;
    }
    if (size && **ret_host && *port)
        return 0;
    free(*ret_host);
    free(*ret_port);
    return error_set(ret_error, "%s: HOST:PORT is wanted", address);
}

static struct addrinfo *resolve(const char *address, bool to_listen, char **ret_error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = to_listen ? AI_PASSIVE : 0}, *list = NULL;
    char *host, *port;
    if (split_address(address, to_listen ? "127.0.0.1" : NULL, &host, &port, ret_error) < 0)
        return NULL;
    int failed = getaddrinfo(host, port, &hints, &list);
    if (failed)
        error_set(ret_error, "%s: %s", address, gai_strerror(failed));
    free(host);
    free(port);
    return failed ? NULL : list;
}

static int open_socket(const char *address, bool to_listen, char **ret_error)
{
    struct addrinfo *list = resolve(address, to_listen, ret_error);
    int fd = -1, saved = 0, one = 1;
    if (!list)
        return -1;
    for (const struct addrinfo *each = list; each && fd < 0; each = each->ai_next) {
        fd = socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            saved = errno;
            continue;
        }
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        int failed = to_listen ? bind(fd, each->ai_addr, each->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0
                               : connect(fd, each->ai_addr, each->ai_addrlen) < 0;
        if (failed) {
            saved = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd < 0 ? error_set_errno(ret_error, saved, "%s", address) : fd;
}

int ra_tls_connect(const char *address, char **ret_error)
{
    return open_socket(address, false, ret_error);
}

int ra_tls_listen(const char *address, char **ret_error)
{
    return open_socket(address, true, ret_error);
}

void ra_tls_set_name(SSL *ssl, const char *address)
{
    char *host, *port, *error = NULL;
    uint8_t numeric[sizeof(struct in6_addr)];
    if (split_address(address, NULL, &host, &port, &error) < 0) {
        free(error);
        return;
    }
    if (inet_pton(AF_INET, host, numeric) != 1 && inet_pton(AF_INET6, host, numeric) != 1)
        SSL_set_tlsext_host_name(ssl, host);
    free(host);
    free(port);
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

/* "WHAT: OpenSSL's reason" of an operation that failed for good. */
static int tls_failed(int code, const char *what, char **ret_error)
{
    unsigned long number = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(number);
    int saved = errno;
    ERR_clear_error();
    if (code == SSL_ERROR_SYSCALL && !number && saved)
        return error_set_errno(ret_error, saved, "%s", what);
    return error_set(ret_error, "%s: %s", what, reason ? reason : "the peer ended the connection");
}

int ra_tls_handshake(SSL *ssl, char **ret_error)
{
    int fd = SSL_get_fd(ssl);
    long deadline = now_ms() + RA_TLS_HANDSHAKE_MS;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    for (;;) {
        ERR_clear_error();
        errno = 0;
        int result = SSL_do_handshake(ssl), code = SSL_get_error(ssl, result);
        if (result == 1)
            return 0;
        if (code != SSL_ERROR_WANT_READ && code != SSL_ERROR_WANT_WRITE)
            return tls_failed(code, "the handshake", ret_error);
        struct pollfd wait = {.fd = fd, .events = code == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT};
        long left = deadline - now_ms();
        if (left <= 0 || poll(&wait, 1, (int)left) == 0)
            return error_set(ret_error, "the handshake took too long");
    }
}

/* Bytes on their way in one direction. */
struct flow {
    uint8_t data[BUFFER_SIZE];
    size_t start, end;
    bool ended;     /* nothing more comes in */
    bool forwarded; /* and the other side has been told */
};

struct relay {
    SSL *ssl;
    int tls_fd, in_fd, out_fd;
    bool is_socket;
    struct flow up, down;         /* to TLS; from TLS */
    bool read_wants, write_wants; /* POLLOUT for reading TLS, POLLIN for writing: when keys are updated */
};

static bool flow_empty(const struct flow *flow)
{
    return flow->start == flow->end;
}

/* Each step: 1 if something moved, 0 if not now, -1 on failure. */
static int step_tls_read(struct relay *relay, char **ret_error)
{
    struct flow *flow = &relay->down;
    if (!flow_empty(flow) || flow->ended)
        return 0;
    ERR_clear_error();
    errno = 0;
    int got = SSL_read(relay->ssl, flow->data, BUFFER_SIZE), code = SSL_get_error(relay->ssl, got);
    relay->read_wants = code == SSL_ERROR_WANT_WRITE;
    if (got > 0) {
        flow->start = 0;
        flow->end = (size_t)got;
        return 1;
    }
    if (code == SSL_ERROR_ZERO_RETURN) {
        flow->ended = true;
        return 1;
    }
    return code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE ? 0 : tls_failed(code, "receiving", ret_error);
}

static int step_tls_write(struct relay *relay, char **ret_error)
{
    struct flow *flow = &relay->up;
    if (flow_empty(flow)) {
        if (!flow->ended || flow->forwarded)
            return 0;
        ERR_clear_error();
        int told = SSL_shutdown(relay->ssl); /* close_notify; the other direction goes on */
        flow->forwarded = told >= 0 || SSL_get_error(relay->ssl, told) != SSL_ERROR_WANT_WRITE;
        return flow->forwarded;
    }
    ERR_clear_error();
    errno = 0;
    int put = SSL_write(relay->ssl, flow->data + flow->start, (int)(flow->end - flow->start));
    int code = SSL_get_error(relay->ssl, put);
    relay->write_wants = code == SSL_ERROR_WANT_READ;
    if (put > 0) {
        flow->start += (size_t)put;
        return 1;
    }
    return code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE ? 0 : tls_failed(code, "sending", ret_error);
}

static int step_plain_read(struct relay *relay, bool readable, char **ret_error)
{
    struct flow *flow = &relay->up;
    if (!flow_empty(flow) || flow->ended || !readable)
        return 0;
    ssize_t got = read(relay->in_fd, flow->data, BUFFER_SIZE);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : error_set_errno(ret_error, errno, "the plain connection");
    flow->start = 0;
    flow->end = (size_t)got;
    flow->ended = got == 0;
    return 1;
}

static int step_plain_write(struct relay *relay, bool writable, char **ret_error)
{
    struct flow *flow = &relay->down;
    size_t left = flow->end - flow->start;
    if (flow_empty(flow)) {
        if (!flow->ended || flow->forwarded)
            return 0;
        if (relay->is_socket)
            shutdown(relay->out_fd, SHUT_WR);
        else
            close(relay->out_fd);
        flow->forwarded = true;
        return 1;
    }
    if (!writable)
        return 0;
    ssize_t put = write(relay->out_fd, flow->data + flow->start,
                        left < WRITE_SIZE_MAX || relay->is_socket ? left : WRITE_SIZE_MAX);
    if (put < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : error_set_errno(ret_error, errno, "the plain connection");
    flow->start += (size_t)put;
    return 1;
}

/* Waits for whatever could move something. */
static int relay_wait(struct relay *relay, bool *ret_readable, bool *ret_writable)
{
    bool want_in = flow_empty(&relay->up) && !relay->up.ended, want_out = !flow_empty(&relay->down);
    bool want_tls_read = flow_empty(&relay->down) && !relay->down.ended,
         want_tls_write = !flow_empty(&relay->up) || (relay->up.ended && !relay->up.forwarded);
    struct pollfd wait[3] = {
        {.fd = relay->tls_fd,
         .events =
             (short)((want_tls_read && !relay->read_wants) || (want_tls_write && relay->write_wants) ? POLLIN : 0)},
        {.fd = want_in ? relay->in_fd : -1, .events = POLLIN},
        {.fd = want_out ? relay->out_fd : -1, .events = POLLOUT},
    };
    if ((want_tls_write && !relay->write_wants) || (want_tls_read && relay->read_wants))
        wait[0].events |= POLLOUT;
    if (!wait[0].events) /* a peer that is gone would make this spin */
        wait[0].fd = -1;
    if (poll(wait, 3, -1) < 0 && errno != EINTR)
        return -1;
    *ret_readable = wait[1].revents != 0;
    *ret_writable = wait[2].revents != 0;
    return 0;
}

int ra_tls_relay(SSL *ssl, int in_fd, int out_fd, char **ret_error)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    bool readable = false, writable = false;
    int moved = 0;
    if (!relay)
        return error_set(ret_error, "out of memory");
    *relay = (struct relay){
        .ssl = ssl, .tls_fd = SSL_get_fd(ssl), .in_fd = in_fd, .out_fd = out_fd, .is_socket = in_fd == out_fd};
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (relay->is_socket)
        fcntl(in_fd, F_SETFL, fcntl(in_fd, F_GETFL) | O_NONBLOCK);
    while (moved >= 0 && !(relay->up.forwarded && relay->down.forwarded)) {
        int steps[4] = {step_tls_read(relay, ret_error), 0, 0, 0};
        if (steps[0] >= 0)
            steps[1] = step_plain_write(relay, writable, ret_error);
        if (steps[0] >= 0 && steps[1] >= 0)
            steps[2] = step_plain_read(relay, readable, ret_error);
        if (steps[0] >= 0 && steps[1] >= 0 && steps[2] >= 0)
            steps[3] = step_tls_write(relay, ret_error);
        moved = 0;
        for (int i = 0; i < 4; i++)
            moved = steps[i] < 0 || moved < 0 ? -1 : moved + steps[i];
        readable = false;
        writable = false;
        if (moved == 0 && relay_wait(relay, &readable, &writable) < 0)
            moved = error_set_errno(ret_error, errno, "poll");
    }
    free(relay);
    return moved < 0 ? -1 : 0;
}

/*
 * A line to a service elsewhere that the kernel speaks with: a TCP connection that carries messages, each behind its
 * size in two bytes, the more significant first; or bytes. Nothing here is trusted by either end.
 */
#ifndef COFRE_HOST_LINE_H
#define COFRE_HOST_LINE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct line {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    socklen_t to_size;
    unsigned timeout_ms; /* of an exchange */
    int fd;              /* -1: no connection */
};

/* address is "1.2.3.4:PORT" or "[::1]:PORT"; false if it is neither. */
bool line_init(struct line *line, const char *address, unsigned timeout_ms);
/*
 * Send a message of at most 65535 bytes, over a new connection if `fresh` is set and else over the last one, and
 * receive its answer of at most answer_max bytes. The answer's size, or negative errno; then the connection is closed.
 */
int64_t line_exchange(struct line *line, bool fresh, const void *message, size_t size, void *ret_answer,
                      size_t answer_max);
/*
 * The same without sizes: send the bytes as they are (perhaps none), and receive at least one byte and at most
 * answer_max of what comes next; none if that is 0.
 */
int64_t line_stream(struct line *line, bool fresh, const void *bytes, size_t size, void *ret_answer, size_t answer_max);

#endif

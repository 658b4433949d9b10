/* A TCP connection that carries messages or bytes (contract in line.h). */
#include "host/line.h"

#include "host/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    return (int64_t)(clock_monotonic_ns() / 1000000);
}

static void hang_up(struct line *line)
{
    if (line->fd >= 0)
        close(line->fd);
    line->fd = -1;
}

static int wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd p = {.fd = fd, .events = events};

    for (;;) {
        int64_t left = deadline_ms - now_ms();
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n >= 0 || errno != EINTR)
            return n > 0 ? 0 : n < 0 ? -errno : -ETIMEDOUT;
    }
}

static int dial(struct line *line, int64_t deadline_ms)
{
    int fd = socket(line->to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, error = 0;
    socklen_t size = sizeof(error);

    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    int ret = connect(fd, &line->to.any, line->to_size) < 0 ? -errno : 0;
    if (ret == -EINPROGRESS)
        ret = wait_for(fd, POLLOUT, deadline_ms);
    if (ret == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0)
        ret = -error;
    if (ret < 0)
        close(fd);
    else
        line->fd = fd;
    return ret;
}

static int send_all(int fd, const uint8_t *data, size_t size, int flags, int64_t deadline_ms)
{
    int ret = 0;

    while (size > 0 && ret == 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL | flags);
        if (n < 0 && errno == EAGAIN)
            ret = wait_for(fd, POLLOUT, deadline_ms);
        else if (n < 0 && errno != EINTR)
            ret = -errno;
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return ret;
}

static int receive_all(int fd, uint8_t *data, size_t size, int64_t deadline_ms)
{
    int ret = 0;

    while (size > 0 && ret == 0) {
        ssize_t n = recv(fd, data, size, 0);
        if (n == 0)
            ret = -ECONNRESET;
        else if (n < 0 && errno == EAGAIN)
            ret = wait_for(fd, POLLIN, deadline_ms);
        else if (n < 0 && errno != EINTR)
            ret = -errno;
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return ret;
}

static int connection(struct line *line, bool fresh, int64_t deadline_ms)
{
    if (fresh)
        hang_up(line);
    return line->fd >= 0 ? 0 : fresh ? dial(line, deadline_ms) : -ENOTCONN;
}

/* What there is, at least a byte. */
static int64_t receive_some(int fd, uint8_t *data, size_t max, int64_t deadline_ms)
{
    for (;;) {
        ssize_t n = recv(fd, data, max, 0);
        int ret = n < 0 && errno != EINTR ? -errno : 0;
        if (n > 0)
            return n;
        if (n == 0)
            return -ECONNRESET;
        if (ret == -EAGAIN)
            ret = wait_for(fd, POLLIN, deadline_ms);
        if (ret < 0)
            return ret;
    }
}

int64_t line_stream(struct line *line, bool fresh, const void *bytes, size_t size, void *ret_answer, size_t answer_max)
{
    int64_t deadline_ms = now_ms() + line->timeout_ms;
    int64_t ret = connection(line, fresh, deadline_ms);

    if (ret == 0)
        ret = send_all(line->fd, bytes, size, 0, deadline_ms);
    if (ret == 0 && answer_max > 0)
        ret = receive_some(line->fd, ret_answer, answer_max, deadline_ms);
    if (ret < 0)
        hang_up(line);
    return ret;
}

int64_t line_exchange(struct line *line, bool fresh, const void *message, size_t size, void *ret_answer,
                      size_t answer_max)
{
    uint8_t head[2] = {(uint8_t)(size >> 8), (uint8_t)size};
    int64_t deadline_ms = now_ms() + line->timeout_ms;
    int ret = connection(line, fresh, deadline_ms);

    if (ret == 0)
        ret = send_all(line->fd, head, sizeof(head), MSG_MORE, deadline_ms);
    if (ret == 0)
        ret = send_all(line->fd, message, size, 0, deadline_ms);
    if (ret == 0)
        ret = receive_all(line->fd, head, sizeof(head), deadline_ms);
    size_t answer_size = (size_t)(head[0] << 8 | head[1]);
    if (ret == 0 && answer_size > answer_max)
        ret = -EMSGSIZE;
    if (ret == 0)
        ret = receive_all(line->fd, ret_answer, answer_size, deadline_ms);
    if (ret < 0) {
        hang_up(line);
        return ret;
    }
    return (int64_t)answer_size;
}

bool line_init(struct line *line, const char *address, unsigned timeout_ms)
{
    char host[64] = "";
    const char *colon = strrchr(address, ':');
    size_t size = colon ? (size_t)(colon - address) : 0;
    bool v6 = size > 2 && address[0] == '[' && colon[-1] == ']';
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;

    *line = (struct line){.timeout_ms = timeout_ms, .fd = -1};
    if (size == 0 || size >= sizeof(host) || port < 1 || port > 65535)
        return false;
    memcpy(host, address + v6, size - 2 * v6);
    line->to_size = v6 ? sizeof(line->to.v6) : sizeof(line->to.v4);
    if (v6)
        line->to.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    else
        line->to.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(line->to.any.sa_family, host, v6 ? (void *)&line->to.v6.sin6_addr : &line->to.v4.sin_addr) == 1;
}

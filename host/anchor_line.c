/* A volume's line to its counter (contract in anchor_line.h). */
#include "host/anchor_line.h"

#include "host/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct anchor_line {
    const char *volume, *address;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    socklen_t to_size;
    unsigned timeout_ms;
    struct volume_shared *shared;
    void (*answered)(void *arg);
    void *arg;
    pthread_t thread;
    int fd; /* -1: no connection */
    bool complained;
    /* what is to be done */
    atomic_uint wanted; /* futex: exchanges so far */
    uint32_t sequence, size;
    bool fresh;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void hang_up(struct anchor_line *line)
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

static int dial(struct anchor_line *line, int64_t deadline_ms)
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

static int send_all(int fd, const uint8_t *data, size_t size, int64_t deadline_ms)
{
    int ret = 0;

    while (size > 0 && ret == 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
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

/* Bytes of the answer, now in the shared page. */
static int64_t exchange(struct anchor_line *line)
{
    uint8_t message[2 + VOLUME_ANCHOR_MESSAGE] = {(uint8_t)(line->size >> 8), (uint8_t)line->size};
    int64_t deadline_ms = now_ms() + line->timeout_ms;
    int ret = 0;

    memcpy(message + 2, line->shared->anchor_message, line->size);
    if (line->fresh)
        hang_up(line);
    if (line->fd < 0)
        ret = line->fresh ? dial(line, deadline_ms) : -ENOTCONN;
    if (ret == 0)
        ret = send_all(line->fd, message, 2 + line->size, deadline_ms);
    if (ret == 0)
        ret = receive_all(line->fd, message, 2, deadline_ms);
    size_t size = (size_t)(message[0] << 8 | message[1]);
    if (ret == 0 && size > VOLUME_ANCHOR_MESSAGE)
        ret = -EMSGSIZE;
    if (ret == 0)
        ret = receive_all(line->fd, message, size, deadline_ms);
    if (ret < 0) {
        hang_up(line);
        return ret;
    }
    memcpy(line->shared->anchor_message, message, size);
    return (int64_t)size;
}

static void *thread_main(void *arg)
{
    struct anchor_line *line = arg;

    for (unsigned seen = 0;; seen++) {
        while (atomic_load(&line->wanted) == seen)
            syscall(SYS_futex, &line->wanted, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
        uint32_t sequence = line->sequence;
        bool fresh = line->fresh;
        int64_t result = exchange(line);
        if (result < 0 && fresh && !line->complained)
            complain("the anchor %s of the volume %s: %s", line->address, line->volume, strerror((int)-result));
        line->complained = fresh ? result < 0 : line->complained;
        __atomic_store_n(&line->shared->anchor_result, result, __ATOMIC_RELAXED);
        __atomic_store_n(&line->shared->anchor_done, sequence + 1, __ATOMIC_RELEASE);
        line->answered(line->arg);
    }
    return NULL;
}

int anchor_line_exchange(struct anchor_line *line, uint64_t size, bool fresh)
{
    if (size > VOLUME_ANCHOR_MESSAGE)
        return -EINVAL;
    line->sequence = __atomic_load_n(&line->shared->anchor_sequence, __ATOMIC_RELAXED);
    line->size = (uint32_t)size;
    line->fresh = fresh;
    atomic_fetch_add(&line->wanted, 1);
    syscall(SYS_futex, &line->wanted, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return 0;
}

/* "1.2.3.4:PORT" or "[::1]:PORT". */
static bool address_parse(struct anchor_line *line)
{
    char host[64] = "";
    const char *colon = strrchr(line->address, ':');
    size_t size = colon ? (size_t)(colon - line->address) : 0;
    bool v6 = size > 2 && line->address[0] == '[' && colon[-1] == ']';
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;

    if (size == 0 || size >= sizeof(host) || port < 1 || port > 65535)
        return false;
    memcpy(host, line->address + v6, size - 2 * v6);
    line->to_size = v6 ? sizeof(line->to.v6) : sizeof(line->to.v4);
    if (v6)
        line->to.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    else
        line->to.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(line->to.any.sa_family, host, v6 ? (void *)&line->to.v6.sin6_addr : &line->to.v4.sin_addr) == 1;
}

struct anchor_line *anchor_line_start(const char *volume, const char *address, unsigned timeout_ms,
                                      struct volume_shared *shared, void (*answered)(void *arg), void *arg)
{
    struct anchor_line *line = calloc(1, sizeof(*line));

    if (!line)
        return NULL;
    *line = (struct anchor_line){.volume = volume,
                                 .address = address,
                                 .timeout_ms = timeout_ms,
                                 .shared = shared,
                                 .answered = answered,
                                 .arg = arg,
                                 .fd = -1};
    if (address_parse(line) && pthread_create(&line->thread, NULL, thread_main, line) == 0)
        return line;
    free(line);
    return NULL;
}

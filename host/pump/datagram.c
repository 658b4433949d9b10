/* Datagram sockets: rings of records. Sends and receives are plain system calls, made when the pump runs. */
#include "host/pump/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define DATAGRAMS_PER_TURN 64
#define RECORD_HEADER sizeof(struct ring_datagram)

static uint32_t align8(uint32_t size)
{
    return (size + 7) & ~7u;
}

/* iov of `count` runs without their first `skip` bytes. */
static int iov_skip(struct iovec iov[2], int count, size_t skip)
{
    if (count > 0 && skip >= iov[0].iov_len) {
        skip -= iov[0].iov_len;
        iov[0] = iov[1];
        count--;
    }
    if (count > 0) {
        iov[0].iov_base = (uint8_t *)iov[0].iov_base + skip;
        iov[0].iov_len -= skip;
    }
    return count;
}

static void iov_limit(struct iovec iov[2], int *count, size_t size)
{
    if (*count > 0 && iov[0].iov_len >= size) {
        iov[0].iov_len = size;
        *count = 1;
    } else if (*count > 1) {
        iov[1].iov_len = size - iov[0].iov_len;
    }
}

static bool receive_one(struct pump *p, struct chan *c)
{
    struct iovec iov[2];
    int count;
    uint32_t room = chan_rx_room(p, c, iov, &count);
    struct sockaddr_storage from;
    struct ring_datagram header = {0};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = iov};
    ssize_t n;

    if (room < RECORD_HEADER + 65536) {
        chan_service(p, c); /* marks it full */
        return false;
    }
    message.msg_iovlen = (size_t)iov_skip(iov, count, RECORD_HEADER);
    n = recvmsg(c->fd, &message, MSG_DONTWAIT);
    p->stats.syscalls++;
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            chan_event(p, c, CHAN_EV_ERROR, errno);
        return false;
    }
    header.size = (uint32_t)n;
    header.addr_size = message.msg_namelen <= sizeof(header.addr) ? message.msg_namelen : 0;
    memcpy(header.addr, &from, header.addr_size);
    chan_rx_put(p, c, 0, &header, RECORD_HEADER);
    chan_rx_advance(p, c, RECORD_HEADER + align8(header.size));
    return true;
}

void datagram_ready(struct pump *p, struct chan *c)
{
    for (int i = 0; i < DATAGRAMS_PER_TURN && receive_one(p, c); i++)
        ;
}

static void copy_out(void *dst, const struct iovec iov[2], size_t size)
{
    size_t first = iov[0].iov_len < size ? iov[0].iov_len : size;

    memcpy(dst, iov[0].iov_base, first);
    if (first < size)
        memcpy((uint8_t *)dst + first, iov[1].iov_base, size - first);
}

void datagram_send(struct pump *p, struct chan *c)
{
    struct iovec iov[2];
    int count;
    uint32_t used;

    while ((used = chan_tx_bytes(p, c, iov, &count)) >= RECORD_HEADER) {
        struct ring_datagram header;
        struct msghdr message = {.msg_iov = iov};
        ssize_t n;

        copy_out(&header, iov, RECORD_HEADER);
        if (header.size > used - RECORD_HEADER || header.addr_size > sizeof(header.addr)) {
            chan_tx_fail(p, c, EPROTO); /* not what the protocol says */
            return;
        }
        count = iov_skip(iov, count, RECORD_HEADER);
        iov_limit(iov, &count, header.size);
        message.msg_iovlen = header.size ? (size_t)count : 0;
        message.msg_name = header.addr_size ? header.addr : NULL;
        message.msg_namelen = header.addr_size;
        n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        p->stats.syscalls++;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            p->backend->poll_out(p, c);
            return;
        }
        if (n < 0)
            chan_event(p, c, CHAN_EV_ERROR, errno);
        chan_tx_advance(p, c, RECORD_HEADER + align8(header.size));
    }
}

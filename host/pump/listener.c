/* Listening sockets: accepted connections get odd channels and are announced as records in the listener's rx ring. */
#include "host/pump/internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 64

bool listener_has_room(struct pump *p, struct chan *c)
{
    struct iovec iov[2];
    int count;
    uint32_t room = chan_rx_room(p, c, iov, &count), used = p->ring_size - room;

    return used / sizeof(struct ring_accept) < c->backlog && room >= sizeof(struct ring_accept) && odd_any(p);
}

void address_show(const struct chan *c, void *addr)
{
    struct sockaddr_in *in = addr;
    struct sockaddr_in6 *in6 = addr;

    if (!c->port_mapped)
        return;
    if (in->sin_family == AF_INET && in->sin_port == c->real)
        in->sin_port = c->shown;
    else if (in->sin_family == AF_INET6 && in6->sin6_port == c->real)
        in6->sin6_port = c->shown;
}

static uint32_t copy_name(uint8_t dst[32], int (*get)(int, struct sockaddr *, socklen_t *), int fd)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);

    if (get(fd, (struct sockaddr *)&name, &size) < 0 || size > 32)
        return 0;
    memcpy(dst, &name, size);
    return size;
}

/* A connection whose peer is in the record already gets a channel, and the record the rest. NULL: none is free. */
static struct chan *connection_open(struct pump *p, const struct chan *listener, int fd, struct ring_accept *record)
{
    uint32_t number = odd_get(p);
    struct chan *c;

    if (number == 0)
        return NULL;
    c = pump_chan(p, number);
    chan_open(p, c, CHAN_STREAM, fd);
    c->family = listener->family;
    c->listener = listener->number;
    c->port_mapped = listener->port_mapped;
    c->shown = listener->shown;
    c->real = listener->real;
    c->rx_on = true;
    record->channel = number;
    record->local_size = copy_name(record->local, getsockname, fd);
    address_show(c, record->local);
    __atomic_fetch_or(&c->shared->host_events, CHAN_EV_CONNECTED, __ATOMIC_RELEASE);
    p->stats.accepted++;
    return c;
}

static void connection_reset(int fd)
{
    struct linger now = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

void listener_accepted(struct pump *p, struct chan *listener, int fd)
{
    struct ring_accept record = {0};
    struct chan *c;

    /* More than the backlog may come in one go from a multishot accept; the ring is larger than any backlog we allow.
     */
    record.addr_size = copy_name(record.addr, getpeername, fd);
    struct iovec iov[2];
    int count;
    if (record.addr_size == 0 || chan_rx_room(p, listener, iov, &count) < sizeof(record) ||
        !(c = connection_open(p, listener, fd, &record))) {
        connection_reset(fd);
        return;
    }
    chan_rx_put(p, listener, 0, &record, sizeof(record));
    chan_rx_advance(p, listener, sizeof(record));
    chan_todo(p, c);
}

int listener_accept(struct pump *p, struct chan *listener, struct ring_accept *ret_record)
{
    struct ring_accept record = {0};
    struct sockaddr_storage peer;
    socklen_t size;
    struct chan *c;
    int fd;

    if (!odd_any(p))
        return -ENOBUFS;
    do {
        size = sizeof(peer);
        fd = accept4(listener->fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
        p->stats.syscalls++;
    } while (fd < 0 && (errno == ECONNABORTED || errno == EINTR));
    if (fd < 0)
        return -errno;
    if (size == 0 || size > sizeof(record.addr)) {
        connection_reset(fd);
        return -EAGAIN;
    }
    memcpy(record.addr, &peer, size);
    record.addr_size = size;
    c = connection_open(p, listener, fd, &record);
    chan_receive_now(p, c);
    if (p->member)
        chan_service(p, c);
    else
        chan_todo(p, c);
    *ret_record = record;
    return 0;
}

void listener_wishes(struct chan *c)
{
    uint32_t flags = __atomic_load_n(&c->shared->kernel_flags, __ATOMIC_ACQUIRE);

    c->accept_wanted = c->demand && (flags & CHAN_K_WANT_ACCEPT);
}

/* What is armed is the other way of accepting, or not wanted any more; or what is wanted is not armed. */
void listener_demand_step(struct pump *p, struct chan *c)
{
    if (c->rx_armed && !(c->rx_polls && c->accept_wanted))
        p->backend->rx_disarm(p, c);
    if (!c->rx_armed && c->accept_wanted) {
        c->rx_polls = true;
        p->backend->rx_arm(p, c);
    }
}

static void demand_ready(struct pump *p, struct chan *c)
{
    if (c->accept_wanted)
        chan_event(p, c, CHAN_EV_ACCEPTABLE, 0);
    c->accept_wanted = false;
    listener_demand_step(p, c);
}

void listener_ready(struct pump *p, struct chan *c)
{
    if (c->demand) {
        demand_ready(p, c);
        return;
    }
    for (int i = 0; i < ACCEPTS_PER_TURN && listener_has_room(p, c); i++) {
        int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC);

        p->stats.syscalls++;
        if (fd >= 0)
            listener_accepted(p, c, fd);
        else if (errno != ECONNABORTED && errno != EINTR)
            return; /* EAGAIN, or out of descriptors: later */
    }
    chan_service(p, c); /* perhaps no room any more */
}

void listener_abandon(struct pump *p, struct chan *c)
{
    uint32_t at = __atomic_load_n(&c->shared->rx_tail, __ATOMIC_ACQUIRE);

    if (c->rx_head - at > p->ring_size)
        return;
    for (; c->rx_head - at >= sizeof(struct ring_accept); at += sizeof(struct ring_accept)) {
        uint8_t raw[sizeof(uint32_t)];
        uint32_t number;

        for (uint32_t i = 0; i < sizeof(raw); i++)
            raw[i] = c->rx[(at + offsetof(struct ring_accept, channel) + i - c->rx_base) & (p->ring_size - 1)];
        memcpy(&number, raw, sizeof(number));
        if (number >= p->channel_count || p->chans[number].kind != CHAN_STREAM ||
            p->chans[number].listener != c->number)
            continue; /* the record was changed by whoever else can write there */
        p->chans[number].closing = p->chans[number].reset = true;
        chan_todo(p, &p->chans[number]);
    }
    c->rx_head = at; /* once only */
    __atomic_store_n(&c->shared->rx_tail, at, __ATOMIC_RELEASE);
}

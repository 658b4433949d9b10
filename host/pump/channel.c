/* One channel's state: rings, receiving, sending, shutting down and closing; the same for both backends. */
#include "host/pump/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEEP_EXTENT 0x4000 /* ring memory that a closed channel may keep for its next life */

static uint32_t load_acquire(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

void chan_begin(struct chan *c, enum chan_kind kind, int fd)
{
    c->kind = (uint8_t)kind;
    c->fd = fd;
    c->rx_head = c->rx_base = c->tx_tail = c->rx_extent = c->tx_extent = 0;
    c->rx_error = 0;
    c->rx_on = c->rx_armed = c->rx_full = c->rx_ended = false;
    c->tx_busy = c->tx_failed = c->tx_poll = c->connecting = false;
    c->shut_write_wanted = c->shut_write_done = c->closing = c->reset = c->always_ready = c->nonblocking = false;
    c->demand = c->accept_wanted = c->rx_polls = false;
    c->port_mapped = c->recv_plain = c->cancelling = c->rx_cancelling = c->send_inline = false;
    c->backlog = c->listener = c->interest = c->armed = c->inflight = c->send_size = c->bulk_score = 0;
    c->stash = NULL;
    c->stash_end = &c->stash;
}

void chan_open(struct pump *p, struct chan *c, enum chan_kind kind, int fd)
{
    struct channel *s = c->shared;

    chan_begin(c, kind, fd);
    s->rx_head = s->rx_base = s->rx_tail = 0;
    s->tx_head = s->tx_base = s->tx_tail = 0;
    s->kernel_flags = 0;
    s->host_error = 0;
    __atomic_store_n(&s->host_events, 0, __ATOMIC_RELEASE);
}

void chan_event(struct pump *p, struct chan *c, uint32_t events, int error)
{
    if (error)
        __atomic_store_n(&c->shared->host_error, error, __ATOMIC_RELAXED);
    __atomic_fetch_or(&c->shared->host_events, events, __ATOMIC_RELEASE);
    ready_push(p, c);
}

/* The runs of ring bytes of `size` indices from `from`. */
static int ring_runs(const struct pump *p, uint8_t *ring, uint32_t from, uint32_t base, uint32_t size,
                     struct iovec iov[2])
{
    uint32_t at = (from - base) & (p->ring_size - 1), first = p->ring_size - at;

    if (size == 0)
        return 0;
    iov[0] = (struct iovec){ring + at, size < first ? size : first};
    iov[1] = (struct iovec){ring, size < first ? 0 : size - first};
    return size > first ? 2 : 1;
}

uint32_t chan_rx_room(struct pump *p, struct chan *c, struct iovec iov[2], int *ret_iov_count)
{
    uint32_t used = c->rx_head - load_acquire(&c->shared->rx_tail), room;

    if (used > p->ring_size)
        used = p->ring_size; /* a lie: no room, then */
    if (used == 0 && c->rx_base != c->rx_head && !(c->recv_plain && c->rx_armed)) {
        c->rx_base = c->rx_head;
        __atomic_store_n(&c->shared->rx_base, c->rx_base, __ATOMIC_RELEASE);
    }
    room = p->ring_size - used;
    *ret_iov_count = ring_runs(p, c->rx, c->rx_head, c->rx_base, room, iov);
    return room;
}

uint32_t chan_rx_put(struct pump *p, struct chan *c, uint32_t at, const void *bytes, uint32_t size)
{
    struct iovec iov[2];
    int count = ring_runs(p, c->rx, c->rx_head + at, c->rx_base, size, iov);

    if (count > 0)
        memcpy(iov[0].iov_base, bytes, iov[0].iov_len);
    if (count > 1)
        memcpy(iov[1].iov_base, (const uint8_t *)bytes + iov[0].iov_len, iov[1].iov_len);
    return at + size;
}

void chan_rx_advance(struct pump *p, struct chan *c, uint32_t size)
{
    uint32_t end = c->rx_head - c->rx_base + size;

    if (end > c->rx_extent)
        c->rx_extent = end;
    c->rx_head += size;
    __atomic_store_n(&c->shared->rx_head, c->rx_head, __ATOMIC_RELEASE);
    p->stats.rx_bytes += size;
    pump_note_input(p, c);
    ready_push(p, c);
}

static void full_list_set(struct pump *p, struct chan *c, bool on)
{
    if (on == c->on_full)
        return;
    c->on_full = on;
    if (on)
        TAILQ_INSERT_TAIL(&p->full, c, full_link);
    else
        TAILQ_REMOVE(&p->full, c, full_link);
}

static void rx_full_set(struct pump *p, struct chan *c, bool full)
{
    full_list_set(p, c, full);
    if (full == c->rx_full)
        return;
    c->rx_full = full;
    if (full)
        __atomic_fetch_or(&c->shared->host_events, CHAN_EV_RX_FULL, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&c->shared->host_events, ~CHAN_EV_RX_FULL, __ATOMIC_SEQ_CST);
}

void chan_rx_bytes(struct pump *p, struct chan *c, const void *bytes, uint32_t size)
{
    const uint8_t *from = bytes;
    struct iovec iov[2];
    struct stash *stash;
    uint32_t room;
    int count;

    if (c->closing) { /* data nobody will read: as Linux, answer with a reset */
        c->reset = true;
        return;
    }
    room = c->stash ? 0 : chan_rx_room(p, c, iov, &count);
    if (room > size)
        room = size;
    if (room > 0) {
        chan_rx_put(p, c, 0, from, room);
        chan_rx_advance(p, c, room);
    }
    if (room == size)
        return;
    stash = malloc(sizeof(*stash) + size - room);
    if (!stash) {
        chan_rx_end(p, c, ENOBUFS);
        return;
    }
    *stash = (struct stash){.size = size - room};
    memcpy(stash->bytes, from + room, size - room);
    *c->stash_end = stash;
    c->stash_end = &stash->next;
    rx_full_set(p, c, true);
    p->backend->rx_disarm(p, c);
}

/* Move stashed bytes in. True if none are left. */
static bool unstash(struct pump *p, struct chan *c)
{
    struct stash *stash;

    while ((stash = c->stash)) {
        struct iovec iov[2];
        int count;
        uint32_t room = chan_rx_room(p, c, iov, &count), left = stash->size - stash->done;

        if (room == 0)
            return false;
        if (room > left)
            room = left;
        chan_rx_put(p, c, 0, stash->bytes + stash->done, room);
        chan_rx_advance(p, c, room);
        stash->done += room;
        if (stash->done == stash->size) {
            c->stash = stash->next;
            if (!c->stash)
                c->stash_end = &c->stash;
            free(stash);
        }
    }
    return true;
}

/* End of file or error. Only once the stash is empty: the kernel must see it after all bytes. */
static void rx_end_announce(struct pump *p, struct chan *c)
{
    if (c->rx_error) {
        c->tx_failed = true;
        chan_event(p, c, CHAN_EV_ERROR | CHAN_EV_TX_CLOSED, c->rx_error);
    } else {
        chan_event(p, c, CHAN_EV_EOF, 0);
    }
}

void chan_rx_end(struct pump *p, struct chan *c, int error)
{
    c->rx_on = false;
    c->rx_error = error;
    if (c->closing)
        return;
    c->rx_ended = true;
    if (!c->stash)
        rx_end_announce(p, c);
}

uint32_t chan_tx_bytes(struct pump *p, struct chan *c, struct iovec iov[2], int *ret_iov_count)
{
    uint32_t used = load_acquire(&c->shared->tx_head) - c->tx_tail;

    *ret_iov_count = 0;
    if (used > p->ring_size)
        return 0; /* a lie */
    *ret_iov_count = ring_runs(p, c->tx, c->tx_tail, load_acquire(&c->shared->tx_base), used, iov);
    return used;
}

void chan_tx_advance(struct pump *p, struct chan *c, uint32_t size)
{
    uint32_t end = c->tx_tail - c->shared->tx_base + size;

    if (end <= p->ring_size && end > c->tx_extent)
        c->tx_extent = end;
    c->tx_tail += size;
    p->stats.tx_bytes += size;
    __atomic_store_n(&c->shared->tx_tail, c->tx_tail, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&c->shared->kernel_flags, __ATOMIC_SEQ_CST) & CHAN_K_WANT_ROOM)
        ready_push(p, c);
}

void chan_tx_fail(struct pump *p, struct chan *c, int error)
{
    c->tx_failed = true;
    if (c->closing)
        return;
    if (error == EPIPE)
        chan_event(p, c, CHAN_EV_TX_CLOSED, 0);
    else
        chan_event(p, c, CHAN_EV_TX_CLOSED | CHAN_EV_ERROR, error);
}

/* Bytes nobody can send any more: gone, so that writers do not wait for room. */
static void tx_discard(struct pump *p, struct chan *c)
{
    struct iovec iov[2];
    int count;
    uint32_t used = chan_tx_bytes(p, c, iov, &count);

    c->tx_tail += used;
    __atomic_store_n(&c->shared->tx_tail, c->tx_tail, __ATOMIC_SEQ_CST);
}

static void output_write(struct pump *p, struct chan *c)
{
    struct iovec iov[2];
    int count;

    while (chan_tx_bytes(p, c, iov, &count) > 0) {
        struct pollfd pfd = {.fd = c->fd, .events = POLLOUT};
        ssize_t n;

        if (!c->nonblocking && !c->always_ready) { /* a blocking pipe takes a page after POLLOUT without blocking */
            if (poll(&pfd, 1, 0) == 0) {
                p->backend->poll_out(p, c);
                return;
            }
            iov[0].iov_len = iov[0].iov_len < 4096 ? iov[0].iov_len : 4096;
            count = 1;
        }
        n = writev(c->fd, iov, count);
        if (n < 0 && errno == EAGAIN) {
            p->backend->poll_out(p, c);
            return;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            chan_tx_fail(p, c, errno);
            tx_discard(p, c);
            return;
        }
        chan_tx_advance(p, c, (uint32_t)n);
    }
}

static void stream_send(struct pump *p, struct chan *c)
{
    struct iovec iov[2];
    int count;

    while (chan_tx_bytes(p, c, iov, &count) > 0) {
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
        ssize_t n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

        p->stats.syscalls++;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            p->backend->poll_out(p, c);
            return;
        }
        if (n < 0) {
            chan_tx_fail(p, c, errno);
            tx_discard(p, c);
            return;
        }
        chan_tx_advance(p, c, (uint32_t)n);
    }
}

void chan_send_now(struct pump *p, struct chan *c)
{
    if (c->kind == CHAN_OUTPUT)
        output_write(p, c);
    else if (c->kind == CHAN_DATAGRAM)
        datagram_send(p, c);
    else
        stream_send(p, c);
}

static void connect_finish(struct pump *p, struct chan *c)
{
    int error = 0;
    socklen_t size = sizeof(error);

    c->connecting = false;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error) {
        chan_event(p, c, CHAN_EV_ERROR, error);
        return;
    }
    c->rx_on = true;
    chan_event(p, c, CHAN_EV_CONNECTED, 0);
}

void chan_ready_out(struct pump *p, struct chan *c)
{
    c->tx_poll = false;
    if (c->connecting)
        connect_finish(p, c);
    chan_service(p, c);
}

void chan_receive_now(struct pump *p, struct chan *c)
{
    struct iovec iov[2];
    int count;
    uint32_t room = chan_rx_room(p, c, iov, &count);
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    ssize_t n;

    if (c->closing)
        return;
    if (room == 0) {
        chan_service(p, c); /* marks it full */
        return;
    }
    do {
        n = c->kind == CHAN_INPUT ? readv(c->fd, iov, count) : recvmsg(c->fd, &message, MSG_DONTWAIT);
        p->stats.syscalls++;
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        chan_rx_advance(p, c, (uint32_t)n);
    else if (n == 0)
        chan_rx_end(p, c, 0);
    else if (errno == EIO && c->kind == CHAN_INPUT) /* a terminal that hung up */
        chan_rx_end(p, c, 0);
    else if (errno != EAGAIN)
        chan_rx_end(p, c, errno);
}

void chan_ready_in(struct pump *p, struct chan *c)
{
    if (c->closing) { /* input nobody will read */
        c->reset = true;
        chan_todo(p, c);
        return;
    }
    if (!c->rx_on)
        return;
    if (c->kind == CHAN_LISTENER)
        listener_ready(p, c);
    else if (c->kind == CHAN_DATAGRAM)
        datagram_ready(p, c);
    else
        chan_receive_now(p, c);
}

static bool rx_has_room(struct pump *p, struct chan *c)
{
    struct iovec iov[2];
    int count;

    if (c->kind == CHAN_LISTENER)
        return listener_has_room(p, c);
    if (c->kind == CHAN_DATAGRAM)
        return chan_rx_room(p, c, iov, &count) >= sizeof(struct ring_datagram) + 65536;
    return chan_rx_room(p, c, iov, &count) > 0;
}

static void rx_step(struct pump *p, struct chan *c)
{
    if (c->stash) {
        if (!unstash(p, c))
            return;
        if (c->rx_ended)
            rx_end_announce(p, c);
    }
    if (!c->rx_on) {
        rx_full_set(p, c, false);
        return;
    }
    if (c->kind == CHAN_LISTENER && c->demand) {
        rx_full_set(p, c, false);
        listener_demand_step(p, c);
        return;
    }
    if (!rx_has_room(p, c)) {
        rx_full_set(p, c, true);
        if (!rx_has_room(p, c)) { /* looked at again after the flag was set, since the kernel may just have read */
            if (c->rx_armed)
                p->backend->rx_disarm(p, c);
            return;
        }
    }
    rx_full_set(p, c, false);
    if (c->kind == CHAN_LISTENER && c->rx_armed && c->rx_polls)
        p->backend->rx_disarm(p, c); /* accepted ahead again */
    if (!c->rx_armed) {
        c->rx_polls = false;
        p->backend->rx_arm(p, c);
    }
}

static void free_stash(struct chan *c)
{
    while (c->stash) {
        struct stash *next = c->stash->next;

        free(c->stash);
        c->stash = next;
    }
}

void chan_forget(struct pump *p, struct chan *c)
{
    full_list_set(p, c, false);
    c->kind = CHAN_FREE;
    c->fd = -1;
}

static void chan_free(struct pump *p, struct chan *c)
{
    struct linger now = {.l_onoff = 1};

    if (c->stash || c->reset)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    free_stash(c);
    close(c->fd);
    if (c->rx_extent > KEEP_EXTENT || c->tx_extent > KEEP_EXTENT)
        madvise(c->rx, 2UL * p->ring_size, MADV_REMOVE);
    chan_forget(p, c);
    if (c->number & 1)
        odd_put(p, c->number);
    else
        chan_event(p, c, CHAN_EV_CLOSED, 0);
}

static void close_step(struct pump *p, struct chan *c)
{
    struct iovec iov[2];
    int count;

    if (c->kind == CHAN_LISTENER)
        listener_abandon(p, c);
    if (c->rx_armed) /* what comes now is left in the socket, so that closing it answers with a reset */
        p->backend->rx_disarm(p, c);
    /* What was written before a reset would have been on its way on Linux, as far as the other end takes it. */
    if (c->reset && !c->tx_failed && !c->tx_busy && !c->tx_poll && !c->connecting && c->kind == CHAN_STREAM)
        chan_send_now(p, c);
    if (!c->reset && !c->tx_failed && chan_tx_bytes(p, c, iov, &count) > 0 && !c->connecting) {
        if (!c->tx_busy && !c->tx_poll)
            c->kind == CHAN_STREAM ? p->backend->tx(p, c) : chan_send_now(p, c);
        if (!c->tx_failed && chan_tx_bytes(p, c, iov, &count) > 0)
            return;
    }
    if (p->backend->detach(p, c))
        chan_free(p, c);
}

static void tx_step(struct pump *p, struct chan *c)
{
    struct iovec iov[2];
    int count;

    if (c->tx_busy || c->tx_poll || c->connecting)
        return;
    if (c->tx_failed)
        tx_discard(p, c);
    else if (chan_tx_bytes(p, c, iov, &count) > 0)
        c->kind == CHAN_STREAM ? p->backend->tx(p, c) : chan_send_now(p, c);
    if (c->shut_write_wanted && !c->tx_busy && chan_tx_bytes(p, c, iov, &count) == 0) {
        c->shut_write_wanted = false;
        c->shut_write_done = true;
        shutdown(c->fd, SHUT_WR);
    }
}

/* What the kernel asks for by flags. They are set after its last tx_head, so they are read before it. */
static void take_wishes(struct chan *c)
{
    uint32_t flags = load_acquire(&c->shared->kernel_flags);

    if (flags == 0 || (c->kind != CHAN_STREAM && !c->demand))
        return;
    if ((flags & CHAN_K_SHUT_WR) && !c->shut_write_done)
        c->shut_write_wanted = true;
    if (flags & CHAN_K_CLOSE) {
        c->closing = true;
        c->reset |= (flags & CHAN_K_RESET) != 0;
    }
}

void chan_service(struct pump *p, struct chan *c)
{
    if (c->kind == CHAN_FREE)
        return;
    take_wishes(c);
    if (c->closing) {
        close_step(p, c);
        return;
    }
    if (c->connecting && !c->tx_poll)
        p->backend->poll_out(p, c);
    if (c->kind != CHAN_LISTENER && c->kind != CHAN_INPUT)
        tx_step(p, c);
    rx_step(p, c);
}

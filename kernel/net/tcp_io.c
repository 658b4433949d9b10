/* TCP sockets: sending, receiving and polling. The hottest path of a server: no host call, few shared words. */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/socket.h>
#include <linux/sockios.h>

#include "kernel/fs/epoll.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/loan.h"
#include "kernel/net/net.h"
#include "kernel/net/tcp.h"
#include "kernel/process/signal.h"
#include "kernel/sched/output.h"
#include "kernel/sched/task.h"
#include "kernel/sched/wait.h"

uint32_t tcp_look(struct tcp_socket *t)
{
    struct chan *c = t->in.chan;
    int error;
    if (!c)
        return 0;
    uint32_t events = chan_events(c, &error);
    if (t->state == TCP_S_CONNECTING && (events & CHAN_EV_CONNECTED))
        t->state = TCP_S_CONNECTED;
    if (error && !t->error_taken) {
        t->error_taken = true;
        t->state = TCP_S_ENDED;
        t->in.sock.error = error;
    }
    if (events & CHAN_EV_EOF)
        t->rx_fin = true;
    if (events & CHAN_EV_TX_CLOSED)
        t->tx_closed = true;
    return events;
}

uint32_t tcp_rx_used(struct tcp_socket *t)
{
    return t->in.chan ? chan_rx_used(t->in.chan) : (uint32_t)t->rx.bytes;
}

/* Receiving */

static void pair_made_room(struct tcp_socket *t)
{
    if (t->pair && t->rx.bytes <= t->rx_max * 2 / 3 && wait_queue_active(&t->pair->in.sock.wait))
        wake_up(&t->pair->in.sock.wait, EVENTS_OUT);
}

/* Moves up to what is there from offset on; bytes, 0 if nothing is there, -EFAULT. */
static ssize_t take(struct tcp_socket *t, struct message *msg, uint32_t offset)
{
    struct chan *c = t->in.chan;
    bool peek = (msg->flags & MSG_PEEK) != 0, discard = (msg->flags & MSG_TRUNC) && !peek;
    uint32_t used = c ? chan_rx_used_at_least(c, offset + 1) : (uint32_t)t->rx.bytes;
    ssize_t n;
    if (used <= offset)
        return 0;
    size_t size = MIN(msg->iter.count, (size_t)(used - offset));
    if (!c) {
        size = tcp_until_mark(t, offset, size);
        n = discard ? (ssize_t)packet_stream_discard(&t->rx, size)
                    : packet_stream_read(&t->rx, &msg->iter, offset, size, peek);
        if (n > 0 && !peek)
            pair_made_room(t);
    } else {
        n = discard ? (ssize_t)size : (ssize_t)chan_rx_copy(c, &msg->iter, offset, (uint32_t)size);
        if (n == 0)
            return -EFAULT;
        if (!peek)
            chan_rx_consume(c, (uint32_t)n);
    }
    if (discard && n > 0)
        iov_iter_advance(&msg->iter, (size_t)n);
    if (n > 0 && !peek) {
        t->rx_bytes += (uint64_t)n;
        if (unlikely(t->urgent) && t->rx_bytes > t->urgent_at)
            t->urgent = TCP_URGENT_NONE;
    }
    return n;
}

/* Nothing more will come, or there is something to say: do not wait. */
static bool rx_over(const struct tcp_socket *t)
{
    return t->rx_fin || t->recalled || t->in.sock.error || t->state == TCP_S_ENDED || t->state == TCP_S_CLOSED ||
           (t->in.sock.shutdown & SOCKET_SHUT_RCV);
}

static bool readable(struct tcp_socket *t, uint32_t offset)
{
    tcp_look(t);
    return tcp_rx_used(t) > offset || rx_over(t);
}

/* With nothing left to read: 0 = end of file, 1 = worth waiting, or the error. */
static int rx_outcome(struct tcp_socket *t)
{
    if (t->recalled)
        return -ERECALLED;
    if (t->rx_fin)
        return 0;
    if (t->in.sock.error)
        return socket_take_error(&t->in.sock);
    return rx_over(t) ? 0 : 1;
}

/* What nearly every read is: bytes are there, no flags. 0: it is something else. */
static ssize_t recv_plain(struct tcp_socket *t, struct message *msg)
{
    struct socket *sock = &t->in.sock;
    struct chan *c = t->in.chan;
    if (!c || t->state != TCP_S_CONNECTED || sock->rx_turn || sock->rcvlowat != 1 || sock->peek_off >= 0 ||
        (msg->flags & ~(unsigned)(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC)))
        return 0;
    uint32_t used = chan_rx_used_at_least(c, 1);
    if (used == 0 || msg->iter.count == 0)
        return 0;
    sock->rx_turn = true;
    uint32_t n = (uint32_t)chan_rx_copy(c, &msg->iter, 0, (uint32_t)MIN(msg->iter.count, (size_t)used));
    if (n > 0)
        chan_rx_consume(c, n);
    socket_turn_give(sock, &sock->rx_turn);
    t->rx_bytes += n;
    return n > 0 ? (ssize_t)n : -EFAULT;
}

ssize_t tcp_recv(struct socket *sock, struct message *msg, bool nonblock)
{
    struct tcp_socket *t = tcp_of(sock);
    ssize_t plain = recv_plain(t, msg);
    if (likely(plain))
        return plain;
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->rcv_timeout_ns);
    size_t target = msg->flags & MSG_WAITALL ? msg->iter.count : MIN((size_t)sock->rcvlowat, msg->iter.count);
    uint32_t offset = (uint32_t)socket_peek_offset(sock, msg);
    ssize_t done = 0, r = 0;
    if (t->state == TCP_S_LISTEN)
        return -ENOTCONN;
    if (msg->flags & MSG_OOB)
        return tcp_urgent_recv(t, msg);
    if (t->state == TCP_S_CLOSED)
        return -ENOTCONN;
    socket_turn_take(sock, &sock->rx_turn);
    for (;;) {
        if (unlikely(tcp_at_mark(t, offset))) {
            if (done)
                break;
            if (signal_pending(task_current())) { /* SIGURG's handler may want the byte */
                r = nonblock ? -EAGAIN : socket_wait_result(-ERESTARTSYS, deadline);
                break;
            }
            offset += tcp_urgent_pass(t, (msg->flags & MSG_PEEK) != 0);
        }
        r = take(t, msg, offset);
        if (r > 0) {
            done += r;
            if (msg->flags & MSG_PEEK)
                offset += (uint32_t)r;
        }
        if (r < 0 || (done && (size_t)done >= target) || msg->iter.count == 0)
            break;
        if (r > 0)
            continue;
        tcp_look(t);
        if (tcp_rx_used(t) > offset)
            continue; /* it came before what tcp_look saw */
        if (done && (nonblock || sock->error))
            break;
        r = rx_outcome(t);
        if (r <= 0)
            break;
        if (nonblock) {
            r = -EAGAIN;
            break;
        }
        socket_turn_give(sock, &sock->rx_turn);
        r = socket_wait_result(wait_event_deadline(&sock->wait, readable(t, offset), deadline), deadline);
        socket_turn_take(sock, &sock->rx_turn);
        if (r < 0)
            break;
    }
    socket_turn_give(sock, &sock->rx_turn);
    if (done > 0 && sock->peek_off >= 0)
        sock->peek_off = msg->flags & MSG_PEEK ? sock->peek_off + (int)done : MAX(sock->peek_off - (int)done, 0);
    return done ? done : r;
}

/* Sending */

/* The most that one call sends by pumping: net.ipv4.tcp_wmem's default maximum. Others want to be served too. */
#define SEND_BUFFER_MAX (4L << 20)

static uint32_t inside_room(const struct tcp_socket *t)
{
    size_t used = t->pair->rx.bytes, max = t->pair->rx_max;
    return used < max ? (uint32_t)(max - used) : 0;
}

static uint32_t tx_room(struct tcp_socket *t, uint32_t wanted)
{
    if (t->in.chan)
        return chan_tx_room(t->in.chan, wanted);
    return t->pair ? inside_room(t) : TCP_INSIDE_MAX;
}

static bool writable(struct tcp_socket *t)
{
    uint32_t all = t->in.chan ? chan_ring_size() : t->pair ? t->pair->rx_max : TCP_INSIDE_MAX, wanted = all / 3;
    bool room = tx_room(t, wanted) >= wanted;
    if (!t->in.chan)
        return room;
    if (room) {
        chan_want_room(t->in.chan, false);
        return true;
    }
    chan_want_room(t->in.chan, true);
    return tx_room(t, wanted) >= wanted;
}

static bool tx_over(const struct tcp_socket *t)
{
    return t->recalled || t->in.sock.error || t->tx_closed || t->state == TCP_S_ENDED || t->state == TCP_S_CLOSED ||
           (t->in.sock.shutdown & SOCKET_SHUT_SEND);
}

static bool sendable(struct tcp_socket *t)
{
    tcp_look(t);
    return tx_over(t) || (t->state == TCP_S_CONNECTED && writable(t));
}

static ssize_t put(struct tcp_socket *t, struct message *msg, uint32_t room)
{
    struct chan *c = t->in.chan;
    size_t size = MIN(msg->iter.count, (size_t)room);
    ssize_t n;
    if (c) {
        n = (ssize_t)chan_tx_copy(c, &msg->iter, 0, (uint32_t)size);
        if (n == 0)
            return -EFAULT;
        chan_tx_commit(c, (uint32_t)n);
    } else if (t->pair) {
        struct tcp_socket *pair = tcp_get(t->pair);
        bool urgent = (msg->flags & MSG_OOB) != 0;
        n = packet_stream_append(&pair->rx, &msg->iter, size);
        if (n > 0 && urgent)
            tcp_urgent_mark(pair, t->tx_bytes + (uint64_t)n - 1);
        if (n > 0)
            wake_up(&pair->in.sock.wait, urgent ? EVENTS_IN | EPOLLPRI : EVENTS_IN);
        tcp_put(pair);
    } else {
        /* The other end is closed: Linux sends, and is answered with a reset. */
        n = (ssize_t)size;
        iov_iter_advance(&msg->iter, size);
        tcp_end(t, t->rx_fin ? EPIPE : ECONNRESET);
    }
    if (n > 0)
        t->tx_bytes += (uint64_t)n;
    return n;
}

static int tx_outcome(struct tcp_socket *t)
{
    if (t->recalled)
        return -ERECALLED;
    if (t->in.sock.error)
        return socket_take_error(&t->in.sock);
    return -EPIPE;
}

/* What nearly every write is: room for all of it, nothing the matter. 0: it is something else. */
static ssize_t send_plain(struct tcp_socket *t, struct message *msg)
{
    struct socket *sock = &t->in.sock;
    struct chan *c = t->in.chan;
    size_t size = msg->iter.count;
    if (!c || t->state != TCP_S_CONNECTED || sock->tx_turn || sock->error || t->tx_closed || output_held ||
        (sock->shutdown & SOCKET_SHUT_SEND) || (msg->flags & (MSG_OOB | MSG_FASTOPEN)) || size == 0 ||
        chan_has_events(c, CHAN_EV_ERROR | CHAN_EV_TX_CLOSED) || size > chan_ring_size() ||
        chan_tx_room(c, (uint32_t)size) < size)
        return 0;
    sock->tx_turn = true;
    uint32_t n = (uint32_t)chan_tx_copy(c, &msg->iter, 0, (uint32_t)size);
    if (n > 0)
        chan_tx_commit(c, n);
    socket_turn_give(sock, &sock->tx_turn);
    t->tx_bytes += n;
    return n > 0 ? (ssize_t)n : -EFAULT;
}

ssize_t tcp_send(struct socket *sock, struct message *msg, bool nonblock)
{
    struct tcp_socket *t = tcp_of(sock);
    ssize_t plain = send_plain(t, msg);
    if (likely(plain))
        return plain;
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->snd_timeout_ns);
    ssize_t done = 0, r = 0;
    bool pumped = false;
    if ((msg->flags & MSG_FASTOPEN) || ((msg->flags & MSG_OOB) && t->in.chan))
        return -EOPNOTSUPP;
    if (t->state == TCP_S_LISTEN)
        return -EPIPE;
    socket_turn_take(sock, &sock->tx_turn);
    do {
        r = t->in.chan ? output_settle() : 0;
        if (r < 0)
            break;
        tcp_look(t);
        if (tx_over(t)) {
            r = tx_outcome(t);
            break;
        }
        uint32_t wanted = (uint32_t)MIN(msg->iter.count, (size_t)INT32_MAX);
        uint32_t room = t->state == TCP_S_CONNECTED ? tx_room(t, MIN(wanted, chan_ring_size())) : 0;
        if (room > 0) {
            if (msg->iter.count == 0)
                break;
            r = put(t, msg, room);
            if (r < 0)
                break;
            done += r;
            pumped = pumped && done >= SEND_BUFFER_MAX;
            continue;
        }
        /* Linux's send buffer would have taken more: let the host empty the ring as long as that makes room. */
        if (!pumped && t->in.chan && t->state == TCP_S_CONNECTED) {
            pumped = true;
            if (net_pump_now())
                continue;
        }
        if (nonblock) {
            if (t->in.chan)
                chan_want_room(t->in.chan, true);
            r = -EAGAIN;
            break;
        }
        r = socket_wait_result(wait_event_deadline(&sock->wait, sendable(t), deadline), deadline);
        pumped = false;
    } while (r >= 0 && msg->iter.count > 0);
    socket_turn_give(sock, &sock->tx_turn);
    return done ? done : r;
}

/* Polling */

static uint32_t poll_listener(struct tcp_socket *t)
{
    /* Who is told of edges looks once only, so the host has to go on by itself. */
    if (t->demand && t->in.sock.file && (epoll_file_flags(t->in.sock.file) & EPOLLET))
        (void)!tcp_demand(t, false);
    return tcp_acceptable(t) ? EVENTS_IN : 0;
}

/* A connection with nothing the matter, and surely room to write: bytes or none. */
static bool poll_plain(struct tcp_socket *t, uint32_t *ret_mask)
{
    struct socket *sock = &t->in.sock;
    struct chan *c = t->in.chan;
    if (!c || t->state != TCP_S_CONNECTED || t->rx_fin || t->tx_closed || sock->error || sock->shutdown ||
        sock->rcvlowat != 1 || (c->flags & CHAN_K_WANT_ROOM) ||
        chan_has_events(c, CHAN_EV_ERROR | CHAN_EV_TX_CLOSED | CHAN_EV_EOF) ||
        chan_tx_room_known(c) < chan_ring_size() / 3)
        return false;
    *ret_mask = chan_rx_used_at_least(c, 1) > 0 ? EVENTS_IN | EVENTS_OUT : EVENTS_OUT;
    return true;
}

uint32_t tcp_poll(struct socket *sock, struct file *file, struct poll_table *table)
{
    struct tcp_socket *t = tcp_of(sock);
    uint32_t mask = 0;
    poll_wait(table, file, &sock->wait);
    if (likely(poll_plain(t, &mask)))
        return mask;
    if (t->state == TCP_S_LISTEN)
        return poll_listener(t);
    if (t->recalled)
        return 0; /* whoever sleeps looks again where it is then */
    tcp_look(t);
    bool rcv_down = t->rx_fin || (sock->shutdown & SOCKET_SHUT_RCV) || t->state == TCP_S_ENDED;
    bool snd_down = t->tx_closed || (sock->shutdown & SOCKET_SHUT_SEND) || t->state == TCP_S_ENDED;
    if ((rcv_down && snd_down) || t->state == TCP_S_CLOSED)
        mask |= EPOLLHUP;
    if (rcv_down)
        mask |= EVENTS_IN | EPOLLRDHUP;
    if (t->state != TCP_S_CONNECTING) {
        uint32_t lowat = MIN(sock->rcvlowat, t->in.chan ? chan_ring_size() / 2 : t->rx_max / 2);
        if (unlikely(t->urgent))
            mask |= tcp_urgent_poll(t, &lowat);
        if (!(mask & EPOLLIN) && t->state != TCP_S_CLOSED) {
            uint32_t used = t->in.chan ? chan_rx_used_at_least(t->in.chan, lowat) : (uint32_t)t->rx.bytes;
            if (used >= lowat)
                mask |= EVENTS_IN;
        }
        if (snd_down || t->state == TCP_S_CLOSED || writable(t))
            mask |= EVENTS_OUT;
    }
    if (sock->error)
        mask |= EPOLLERR;
    return mask;
}

void tcp_option_changed(struct socket *sock, int name)
{
    struct tcp_socket *t = tcp_of(sock);
    if (t->pair && (socket_option(sock, SO_SNDBUF) || socket_option(sock, SO_RCVBUF))) {
        tcp_pair_size(t);
        pair_made_room(t);
        pair_made_room(t->pair);
    }
    inet_option_changed(sock, name);
}

int64_t tcp_ioctl(struct socket *sock, unsigned command, uaddr_t arg)
{
    struct tcp_socket *t = tcp_of(sock);
    uint32_t value;
    switch (command) {
    case SIOCINQ:
        if (t->state == TCP_S_LISTEN)
            return -EINVAL;
        value = t->state == TCP_S_CLOSED ? 0 : t->urgent ? tcp_urgent_inq(t) : tcp_rx_used(t);
        break;
    case SIOCOUTQ:
    case SIOCOUTQNSD:
        if (t->state == TCP_S_LISTEN)
            return -EINVAL;
        value = t->in.chan && t->state != TCP_S_CONNECTING ? chan_tx_queued(t->in.chan) : 0;
        break;
    case SIOCATMARK:
        value = tcp_at_mark(t, 0);
        break;
    default:
        return -ENOTTY;
    }
    return put_user32(arg, value);
}

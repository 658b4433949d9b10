/* UDP sockets: datagrams inside go from queue to queue, those outside through the channel's rings as records. */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/socket.h>
#include <linux/sockios.h>

#include "kernel/boot/boot.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/inet.h"
#include "kernel/net/ip_control.h"
#include "kernel/net/net.h"
#include "kernel/sched/output.h"
#include "kernel/sched/wait.h"

#define UDP_SIZE_MAX 65507
#define PACKET_OVERHEAD 768 /* what Linux counts against SO_RCVBUF besides the bytes, about */
#define HEADER_SIZE ((uint32_t)sizeof(struct ring_datagram))
#define RECORD_SIZE(size) (HEADER_SIZE + ALIGN_UP((uint32_t)(size), 8U))

struct udp_socket {
    struct inet_socket in;
    struct packet_queue rx; /* from inside; packet.name is a struct origin */
    bool peer_inside;       /* connected to a socket inside */
    struct inet_cold cold;
};

struct origin {
    struct endpoint from;
    struct ip_control control;
};

static const struct socket_ops udp_ops;

static struct udp_socket *udp_of(struct socket *sock)
{
    return (struct udp_socket *)sock;
}

int udp_socket_new(int family, int protocol, struct socket **ret_sock)
{
    struct udp_socket *u = kzalloc(sizeof(*u));
    if (!u)
        return -ENOMEM;
    socket_setup(&u->in.sock, &udp_ops, family, SOCK_DGRAM, protocol);
    packet_queue_init(&u->rx);
    ip_any(u->in.local.ip, family == AF_INET);
    inet_options_init(&u->in, &u->cold);
    *ret_sock = &u->in.sock;
    return 0;
}

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, 16) == 0;
}

/* A connected socket takes datagrams only from its peer. */
static int weigh_receiver(struct inet_socket *in, const struct endpoint *src)
{
    if (!in->peer.port)
        return 0;
    return src && endpoint_equal(&in->peer, src) ? 8 : -1;
}

static int weigh_any(struct inet_socket *in, const struct endpoint *src)
{
    (void)in, (void)src;
    return 0;
}

static bool goes_inside(const struct udp_socket *u, const struct endpoint *to)
{
    return ip_is_loopback(to->ip) ||
           (ip_is_own(to->ip) && inet_lookup(u->in.sock.protocol, to, NULL, weigh_any) != NULL);
}

static void source_for(const struct udp_socket *u, const struct endpoint *to, struct endpoint *ret_source)
{
    *ret_source = u->in.local;
    if (!ip_is_any(ret_source->ip))
        return;
    memcpy(ret_source->ip, to->ip, 16);
    if (ip_is_v4(to->ip) && ip_is_loopback(to->ip))
        memcpy(ret_source->ip + 12, "\x7f\0\0\1", 4);
}

/* Names */

static int parse_destination(const struct socket *sock, const void *addr, size_t size, struct endpoint *to)
{
    uint16_t family = 0;
    if (size >= sizeof(family))
        memcpy(&family, addr, sizeof(family));
    int r = endpoint_parse(family == AF_INET ? AF_INET : sock->family, addr, size, to);
    if (r < 0)
        return r;
    if (ip_is_any(to->ip)) {
        if (ip_is_v4(to->ip))
            memcpy(to->ip + 12, "\x7f\0\0\1", 4);
        else
            to->ip[15] = 1;
    }
    return 0;
}

/* The outside: a channel, bound to some port of the host's choice if bind(2) has not done it. */
static int need_channel(struct udp_socket *u, const struct endpoint *to)
{
    if (u->in.chan)
        return 0;
    if (!policy_allows(POLICY_CONNECT_ANY) || u->in.sock.protocol == IPPROTO_UDPLITE)
        return -ENETUNREACH;
    if (ip_is_loopback(u->in.local.ip))
        return -EINVAL;
    return inet_host_create(&u->in, inet_host_family(&u->in, to), udp_news);
}

static int disconnect(struct udp_socket *u)
{
    if (u->in.peer.port && !u->peer_inside && u->in.chan) {
        inet_host_close(&u->in, false);
        inet_unbind(&u->in);
    }
    u->in.peer.port = 0;
    u->peer_inside = false;
    if (!u->in.port_given)
        ip_any(u->in.local.ip, u->in.sock.family == AF_INET);
    return 0;
}

static int udp_connect(struct socket *sock, const void *addr, size_t size, bool nonblock)
{
    struct udp_socket *u = udp_of(sock);
    struct endpoint to, source;
    uint16_t family;
    int r;
    (void)nonblock;
    if (size < sizeof(family))
        return -EINVAL;
    memcpy(&family, addr, sizeof(family));
    if (family == AF_UNSPEC)
        return disconnect(u);
    r = parse_destination(sock, addr, size, &to);
    if (r < 0)
        return r;
    if (ip_is_multicast(to.ip) && to.ip[12] == 255 && !socket_option(sock, SO_BROADCAST))
        return -EACCES;
    u->in.peer.port = 0;
    u->peer_inside = goes_inside(u, &to);
    if (u->peer_inside) {
        source_for(u, &to, &source);
        r = inet_autobind(&u->in, source.ip);
        memcpy(u->in.local.ip, source.ip, 16);
    } else {
        r = need_channel(u, &to);
        if (r == 0)
            r = inet_host_connect(&u->in, &to);
    }
    if (r == 0)
        u->in.peer = to;
    return r;
}

/* Sending */

static ssize_t send_inside(struct udp_socket *u, struct message *msg, const struct endpoint *to)
{
    size_t size = msg->iter.count;
    struct origin origin = {.control = ip_control_of(&u->in, msg, ip_is_v4(to->ip))};
    int r = inet_autobind(&u->in, u->in.local.ip);
    if (r < 0)
        return r;
    source_for(u, to, &origin.from);
    struct packet *packet = packet_new(size);
    if (!packet)
        return -ENOBUFS;
    packet->size = (uint32_t)copy_from_iter(&msg->iter, packet->data, size);
    if (packet->size < size) {
        packet_free(packet);
        return -EFAULT;
    }
    memcpy(packet->name, &origin, sizeof(origin));
    struct inet_socket *target = inet_lookup(u->in.sock.protocol, to, &origin.from, weigh_receiver);
    if (!target) {
        if (u->in.peer.port) {
            u->in.sock.error = ECONNREFUSED;
            wake_up(&u->in.sock.wait, EPOLLERR);
        }
        packet_free(packet);
        return (ssize_t)size;
    }
    struct udp_socket *receiver = udp_of(&target->sock);
    if (receiver->rx.bytes + (receiver->rx.count + 1) * PACKET_OVERHEAD > receiver->in.sock.rcvbuf) {
        packet_free(packet); /* as on any network: no room, no datagram */
        return (ssize_t)size;
    }
    packet_queue_add(&receiver->rx, packet);
    wake_up(&receiver->in.sock.wait, EVENTS_IN);
    return (ssize_t)size;
}

static bool tx_has_room(struct udp_socket *u, uint32_t size)
{
    if (chan_tx_room(u->in.chan, size) >= size) {
        chan_want_room(u->in.chan, false);
        return true;
    }
    chan_want_room(u->in.chan, true);
    return chan_tx_room(u->in.chan, size) >= size;
}

static int wait_tx_room(struct udp_socket *u, uint32_t size, bool nonblock)
{
    struct socket *sock = &u->in.sock;
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->snd_timeout_ns);
    if (tx_has_room(u, size) || (net_pump_now() && tx_has_room(u, size)))
        return 0;
    if (nonblock)
        return -EAGAIN;
    return socket_wait_result(wait_event_deadline(&sock->wait, tx_has_room(u, size), deadline), deadline);
}

static ssize_t send_outside(struct udp_socket *u, struct message *msg, const struct endpoint *to, bool nonblock)
{
    uint32_t size = (uint32_t)msg->iter.count;
    struct ring_datagram header = {.size = size};
    int r = need_channel(u, to);
    if (r < 0)
        return r;
    if (RECORD_SIZE(size) > chan_ring_size())
        return -EMSGSIZE;
    struct socket *sock = &u->in.sock;
    if (!u->in.peer.port)
        header.addr_size = (uint32_t)endpoint_write(u->in.chan_family, to, header.addr);
    else if (!endpoint_equal(&u->in.peer, to) || u->peer_inside)
        header.addr_size = (uint32_t)endpoint_write(u->in.chan_family, to, header.addr);
    socket_turn_take(sock, &sock->tx_turn);
    ssize_t result = wait_tx_room(u, RECORD_SIZE(size), nonblock);
    if (result == 0)
        result = output_settle();
    if (result == 0) {
        chan_tx_copy_kernel(u->in.chan, &header, 0, HEADER_SIZE);
        if (chan_tx_copy(u->in.chan, &msg->iter, HEADER_SIZE, size) < size) {
            result = -EFAULT;
        } else {
            chan_tx_commit(u->in.chan, RECORD_SIZE(size));
            result = (ssize_t)size;
        }
    }
    socket_turn_give(sock, &sock->tx_turn);
    return result;
}

static void look(struct udp_socket *u)
{
    int error;
    if (!u->in.chan)
        return;
    if (chan_events(u->in.chan, &error) & CHAN_EV_ERROR) {
        chan_take_events(u->in.chan, CHAN_EV_ERROR);
        u->in.sock.error = error;
    }
}

static ssize_t udp_send(struct socket *sock, struct message *msg, bool nonblock)
{
    struct udp_socket *u = udp_of(sock);
    struct endpoint to;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->iter.count > UDP_SIZE_MAX)
        return -EMSGSIZE;
    if (msg->name_size) {
        int r = parse_destination(sock, msg->name, msg->name_size, &to);
        if (r < 0)
            return r;
        if (!to.port)
            return -EINVAL;
    } else if (u->in.peer.port) {
        to = u->in.peer;
    } else {
        return -EDESTADDRREQ;
    }
    if (sock->shutdown & SOCKET_SHUT_SEND)
        return -EPIPE;
    if (ip_is_v4(to.ip) && to.ip[12] == 255 && !socket_option(sock, SO_BROADCAST))
        return -EACCES;
    if (ip_is_v4(to.ip) && sock->family == AF_INET6 && u->in.v6only)
        return -ENETUNREACH;
    look(u);
    int error = socket_take_error(sock);
    if (error < 0)
        return error;
    return goes_inside(u, &to) ? send_inside(u, msg, &to) : send_outside(u, msg, &to, nonblock);
}

/* Receiving */

static bool waiting(struct udp_socket *u)
{
    return u->rx.count > 0 || (u->in.chan && chan_rx_used(u->in.chan) > 0);
}

static bool worth_waking(struct udp_socket *u)
{
    look(u);
    return waiting(u) || u->in.sock.error || (u->in.sock.shutdown & SOCKET_SHUT_RCV);
}

static ssize_t deliver_result(struct message *msg, size_t size, size_t copied, size_t wanted)
{
    if (copied < wanted)
        return -EFAULT;
    if (wanted < size)
        msg->out_flags |= MSG_TRUNC;
    return (ssize_t)(msg->flags & MSG_TRUNC ? size : wanted);
}

static void deliver_name(struct udp_socket *u, struct message *msg, const struct endpoint *from)
{
    if (msg->want_name)
        msg->name_size = (uint32_t)endpoint_write(u->in.sock.family, from, msg->name);
}

static ssize_t recv_inside(struct udp_socket *u, struct message *msg)
{
    bool peek = (msg->flags & MSG_PEEK) != 0;
    struct packet *packet = peek ? packet_queue_first(&u->rx) : packet_queue_take(&u->rx);
    struct origin origin;
    memcpy(&origin, packet->name, sizeof(origin));
    size_t offset = MIN((size_t)socket_peek_offset(&u->in.sock, msg), (size_t)packet->size);
    size_t wanted = MIN(msg->iter.count, packet->size - offset);
    size_t n = copy_to_iter(&msg->iter, packet->data + offset, wanted);
    deliver_name(u, msg, &origin.from);
    if (msg->has_control)
        ip_control_deliver(&u->in, msg, ip_is_v4(origin.from.ip), origin.control);
    ssize_t r = deliver_result(msg, packet->size - offset, n, wanted);
    if (!peek)
        packet_free(packet);
    return r;
}

/* The header of the first record, checked to be whole. */
static struct ring_datagram record_header(struct chan *c, uint32_t used)
{
    struct ring_datagram header;
    if (used < HEADER_SIZE)
        host_lied("datagram record: header");
    chan_rx_copy_kernel(c, &header, 0, HEADER_SIZE);
    if (header.size > 65536 || header.addr_size > sizeof(header.addr) || RECORD_SIZE(header.size) > used)
        host_lied("datagram record: size");
    return header;
}

static ssize_t recv_outside(struct udp_socket *u, struct message *msg)
{
    struct chan *c = u->in.chan;
    struct ring_datagram header = record_header(c, chan_rx_used(c));
    struct endpoint from = u->in.peer;
    if (header.addr_size && !endpoint_from_host(header.addr, header.addr_size, &from))
        host_lied("datagram record: address");
    size_t wanted = MIN(msg->iter.count, (size_t)header.size);
    size_t n = chan_rx_copy(c, &msg->iter, HEADER_SIZE, (uint32_t)wanted);
    if (!(msg->flags & MSG_PEEK))
        chan_rx_consume(c, RECORD_SIZE(header.size));
    deliver_name(u, msg, &from);
    return deliver_result(msg, header.size, n, wanted);
}

static ssize_t udp_recv(struct socket *sock, struct message *msg, bool nonblock)
{
    struct udp_socket *u = udp_of(sock);
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->rcv_timeout_ns);
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    for (;;) {
        look(u);
        int r = socket_take_error(sock);
        if (r < 0)
            return r;
        socket_turn_take(sock, &sock->rx_turn);
        if (waiting(u)) {
            ssize_t n = u->rx.count > 0 ? recv_inside(u, msg) : recv_outside(u, msg);
            socket_turn_give(sock, &sock->rx_turn);
            return n;
        }
        socket_turn_give(sock, &sock->rx_turn);
        if (sock->shutdown & SOCKET_SHUT_RCV)
            return 0;
        if (nonblock)
            return -EAGAIN;
        r = wait_event_deadline(&sock->wait, worth_waking(u), deadline);
        if (r < 0)
            return socket_wait_result(r, deadline);
    }
}

/* The rest */

void udp_news(struct chan *c, uint32_t host_events)
{
    struct udp_socket *u = c->owner;
    uint32_t wake = 0;
    if (host_events & CHAN_EV_ERROR)
        wake |= EPOLLERR | EVENTS_IN | EVENTS_OUT;
    if (chan_rx_used(c) > 0)
        wake |= EVENTS_IN;
    if (c->flags & CHAN_K_WANT_ROOM)
        wake |= EVENTS_OUT;
    if (wake)
        wake_up(&u->in.sock.wait, wake);
}

static uint32_t udp_poll(struct socket *sock, struct file *file, struct poll_table *table)
{
    struct udp_socket *u = udp_of(sock);
    uint32_t mask = 0;
    poll_wait(table, file, &sock->wait);
    look(u);
    if (sock->error)
        mask |= EPOLLERR;
    if (sock->shutdown == (SOCKET_SHUT_RCV | SOCKET_SHUT_SEND))
        mask |= EPOLLHUP;
    if (sock->shutdown & SOCKET_SHUT_RCV)
        mask |= EVENTS_IN | EPOLLRDHUP;
    if (waiting(u))
        mask |= EVENTS_IN;
    uint32_t room = MIN(RECORD_SIZE(UDP_SIZE_MAX), chan_ring_size() / 2);
    if (!u->in.chan || tx_has_room(u, room))
        mask |= EVENTS_OUT | EPOLLWRBAND;
    return mask;
}

static int udp_shutdown(struct socket *sock, int how)
{
    struct udp_socket *u = udp_of(sock);
    sock->shutdown |=
        how == SHUT_RDWR ? SOCKET_SHUT_RCV | SOCKET_SHUT_SEND : (how == SHUT_RD ? SOCKET_SHUT_RCV : SOCKET_SHUT_SEND);
    wake_up_all(&sock->wait, EVENTS_ALL);
    return u->in.peer.port ? 0 : -ENOTCONN;
}

static int64_t udp_ioctl(struct socket *sock, unsigned command, uaddr_t arg)
{
    struct udp_socket *u = udp_of(sock);
    uint32_t value = 0, used;
    switch (command) {
    case SIOCINQ:
        if (u->rx.count > 0)
            value = packet_queue_first(&u->rx)->size;
        else if (u->in.chan && (used = chan_rx_used(u->in.chan)) > 0)
            value = record_header(u->in.chan, used).size;
        return put_user32(arg, value);
    case SIOCOUTQ:
        return put_user32(arg, u->in.chan ? chan_tx_queued(u->in.chan) : 0);
    default:
        return -ENOTTY;
    }
}

void udp_queued(struct socket *sock, uint32_t *ret_rx, uint32_t *ret_tx)
{
    struct udp_socket *u = udp_of(sock);
    struct chan *c = u->in.chan;
    *ret_rx = (uint32_t)(u->rx.bytes + u->rx.count * PACKET_OVERHEAD) + (c ? chan_rx_used(c) : 0);
    *ret_tx = c ? chan_tx_queued(c) : 0;
}

static int udp_getname(struct socket *sock, bool peer, void *addr)
{
    return inet_getname(sock, peer, addr);
}

static void udp_release(struct socket *sock)
{
    struct udp_socket *u = udp_of(sock);
    inet_host_close(&u->in, false);
    inet_unbind(&u->in);
    packet_queue_clear(&u->rx);
    socket_forget(sock);
    kfree(u);
}

static const struct socket_ops udp_ops = {
    .bind = inet_bind,
    .connect = udp_connect,
    .getname = udp_getname,
    .send = udp_send,
    .recv = udp_recv,
    .shutdown = udp_shutdown,
    .poll = udp_poll,
    .setsockopt = inet_setsockopt,
    .getsockopt = inet_getsockopt,
    .ioctl = udp_ioctl,
    .option_changed = inet_option_changed,
    .release = udp_release,
};

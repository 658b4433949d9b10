/* TCP sockets: connecting, listening, accepting, ending. Data: tcp_io.c. */
#include "kernel/net/tcp.h"

#include <asm/errno.h>
#include <asm/socket.h>

#include "kernel/arch/hostcall.h"
#include "kernel/boot/boot.h"
#include "kernel/fs/epoll.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/loan.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

#define TCP_RCVBUF 131072
#define TCP_SNDBUF 16384
#define ASK_AGAIN_NS 1000000
/* What Linux's autotuning makes of them on loopback once connected is not imitated. */

struct tcp_socket *tcp_get(struct tcp_socket *t)
{
    t->refcount++;
    return t;
}

void tcp_put(struct tcp_socket *t)
{
    if (!t || --t->refcount > 0)
        return;
    timer_cancel(&t->ask_again);
    packet_queue_clear(&t->rx);
    socket_forget(&t->in.sock);
    kfree(t);
}

static void ask_again(struct timer *timer)
{
    struct tcp_socket *t = container_of(timer, struct tcp_socket, ask_again);
    if (t->demand && t->in.chan)
        chan_want_accept(t->in.chan);
}

struct tcp_socket *tcp_new(int family)
{
    struct tcp_socket *t = kzalloc(sizeof(*t));
    if (!t)
        return NULL;
    socket_setup(&t->in.sock, &tcp_ops, family, SOCK_STREAM, IPPROTO_TCP);
    t->in.sock.rcvbuf = TCP_RCVBUF;
    t->in.sock.sndbuf = TCP_SNDBUF;
    t->refcount = 1;
    t->connect_told = true;
    t->rx_max = TCP_INSIDE_MAX;
    packet_queue_init(&t->rx);
    timer_init(&t->ask_again, ask_again);
    TAILQ_INIT(&t->backlog);
    TAILQ_INIT(&t->waiting);
    ip_any(t->in.local.ip, family == AF_INET);
    inet_options_init(&t->in, &t->cold);
    return t;
}

int tcp_socket_new(int family, struct socket **ret_sock)
{
    struct tcp_socket *t = tcp_new(family);
    if (!t)
        return -ENOMEM;
    *ret_sock = &t->in.sock;
    return 0;
}

bool tcp_is_listening(struct inet_socket *in)
{
    return in->sock.type == SOCK_STREAM && tcp_of(&in->sock)->state == TCP_S_LISTEN;
}

static int weigh_listener(struct inet_socket *in, const struct endpoint *src)
{
    (void)src;
    return tcp_is_listening(in) ? 0 : -1;
}

void tcp_end(struct tcp_socket *t, int error)
{
    t->state = TCP_S_ENDED;
    t->in.sock.error = error;
    wake_up_all(&t->in.sock.wait, EVENTS_ALL);
}

/*
 * Whoever polls asks the host for news of the next connection. Sets with EPOLLEXCLUSIVE are not all told of this one,
 * and who is may be in no hurry to poll again: then somebody else is to hear of what is still there or comes.
 */
static void told_of_connection(struct tcp_socket *t)
{
    if (t->in.sock.file && (epoll_file_flags(t->in.sock.file) & EPOLLEXCLUSIVE))
        timer_arm(&t->ask_again, time_monotonic_ns() + ASK_AGAIN_NS);
}

void tcp_news(struct chan *c, uint32_t host_events)
{
    struct tcp_socket *t = c->owner;
    uint32_t wake = 0;
    if (t->state != TCP_S_LISTEN && (t->state == TCP_S_CONNECTING || (host_events & ~(uint32_t)CHAN_EV_CONNECTED))) {
        tcp_look(t);
        wake = EVENTS_ALL;
    }
    if (chan_rx_used(c) > 0 || (host_events & CHAN_EV_ACCEPTABLE))
        wake |= EVENTS_IN;
    if (t->demand && (host_events & CHAN_EV_ACCEPTABLE))
        told_of_connection(t);
    if (t->shared && chan_rx_used(c) > 0) /* accepted before that was on demand */
        tcp_share_end(t);
    if (c->flags & CHAN_K_WANT_ROOM)
        wake |= EVENTS_OUT;
    if (wake)
        wake_up(&t->in.sock.wait, wake);
}

/* Connecting */

static struct tcp_socket *accepted_new(struct tcp_socket *listener)
{
    struct socket *from = &listener->in.sock;
    struct tcp_socket *t = tcp_new(from->family);
    if (!t)
        return NULL;
    struct socket *sock = &t->in.sock;
    sock->options = from->options;
    sock->linger = from->linger;
    sock->rcvbuf = from->rcvbuf;
    sock->sndbuf = from->sndbuf;
    sock->rcv_timeout_ns = from->rcv_timeout_ns;
    sock->snd_timeout_ns = from->snd_timeout_ns;
    sock->priority = from->priority;
    t->in.v6only = listener->in.v6only;
    t->cold.options_set = listener->cold.options_set;
    memcpy(t->cold.options, listener->cold.options, sizeof(t->cold.options));
    memcpy(t->cold.congestion, listener->cold.congestion, sizeof(t->cold.congestion));
    t->state = TCP_S_CONNECTED;
    return t;
}

static bool backlog_full(const struct tcp_socket *listener)
{
    return listener->backlog_count > listener->backlog_max;
}

/*
 * As on Linux, bytes wait in the sender's buffer and in the receiver's, of which half is for bytes as long as nobody
 * says how large it is to be. A sender's buffer that nobody has set grows.
 */
static void rx_size(struct tcp_socket *to, const struct socket *from)
{
    bool set = socket_option(&to->in.sock, SO_RCVBUF);
    uint32_t rcvbuf = set ? to->in.sock.rcvbuf : TCP_RCVBUF / 2;
    to->rx_max = socket_option(from, SO_SNDBUF) ? MIN(from->sndbuf + rcvbuf, TCP_INSIDE_MAX) : TCP_INSIDE_MAX;
}

void tcp_pair_size(struct tcp_socket *t)
{
    rx_size(t, &t->pair->in.sock);
    rx_size(t->pair, &t->in.sock);
}

static int join(struct tcp_socket *t, struct tcp_socket *listener, const struct endpoint *to)
{
    struct tcp_socket *server = accepted_new(listener);
    if (!server)
        return -ENOMEM;
    server->in.local = *to;
    server->in.peer = t->in.local;
    server->inside = t->inside = true;
    server->pair = tcp_get(t);
    t->pair = tcp_get(server);
    tcp_pair_size(t);
    t->rx_bytes = t->tx_bytes = 0;
    t->state = TCP_S_CONNECTED;
    TAILQ_INSERT_TAIL(&listener->backlog, server, backlog_link);
    listener->backlog_count++;
    listener->joined_ns = time_monotonic_ns();
    if (listener->shared)
        tcp_share_end(listener);
    wake_up(&listener->in.sock.wait, EVENTS_IN);
    return 0;
}

static void stop_waiting(struct tcp_socket *t)
{
    if (!t->waits_for)
        return;
    TAILQ_REMOVE(&t->waits_for->waiting, t, waiting_link);
    t->waits_for = NULL;
}

/* The outcome is in the state: CONNECTED, ENDED, or CONNECTING while the listener's backlog is full. */
static int connect_inside(struct tcp_socket *t, struct tcp_socket *listener, const struct endpoint *to)
{
    static const uint8_t v4_home[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    const uint8_t *source = ip_is_loopback(to->ip) && ip_is_v4(to->ip) ? v4_home : to->ip;
    int r = inet_autobind(&t->in, source);
    if (r < 0)
        return r;
    if (ip_is_any(t->in.local.ip))
        memcpy(t->in.local.ip, source, 16);
    inet_host_close(&t->in, true);
    t->in.peer = *to;
    if (!listener) {
        tcp_end(t, ECONNREFUSED);
        return 0;
    }
    if (!backlog_full(listener))
        return join(t, listener, to);
    t->state = TCP_S_CONNECTING;
    t->waits_for = listener;
    TAILQ_INSERT_TAIL(&listener->waiting, t, waiting_link);
    return 0;
}

static int connect_outside(struct tcp_socket *t, const struct endpoint *to)
{
    if (!policy_allows(POLICY_CONNECT_ANY))
        return -ENETUNREACH;
    if (ip_is_loopback(t->in.local.ip))
        return -EINVAL;
    int r = inet_host_create(&t->in, inet_host_family(&t->in, to), tcp_news);
    if (r < 0)
        return r;
    t->in.peer = *to;
    t->state = TCP_S_CONNECTING;
    r = inet_host_connect(&t->in, to);
    if (r < 0 && r != -EINPROGRESS) {
        t->state = TCP_S_CLOSED;
        t->in.peer.port = 0;
        inet_host_close(&t->in, true);
        return r;
    }
    return 0;
}

static int connect_start(struct tcp_socket *t, struct endpoint *to)
{
    if (ip_is_any(to->ip)) {
        bool v4 = ip_is_v4(to->ip);
        memset(to->ip, 0, 16);
        if (v4)
            memcpy(to->ip + 10, "\xff\xff\x7f\0\0\1", 6);
        else
            to->ip[15] = 1;
    }
    if (ip_is_v4(to->ip) && t->in.sock.family == AF_INET6 && t->in.v6only)
        return -ENETUNREACH;
    if (ip_is_multicast(to->ip))
        return -ENETUNREACH;
    t->connect_told = false;
    struct inet_socket *listener = ip_is_own(to->ip) ? inet_lookup(IPPROTO_TCP, to, NULL, weigh_listener) : NULL;
    int r = listener || ip_is_loopback(to->ip) ? connect_inside(t, listener ? tcp_of(&listener->sock) : NULL, to)
                                               : connect_outside(t, to);
    if (r < 0)
        t->connect_told = true;
    return r;
}

/* After a failed connect the socket may be used again. */
static int connect_failed(struct tcp_socket *t)
{
    int r = socket_take_error(&t->in.sock);
    inet_host_close(&t->in, true);
    if (!t->in.port_given)
        inet_unbind(&t->in);
    t->in.peer.port = 0;
    t->state = TCP_S_CLOSED;
    t->connect_told = true;
    t->error_taken = false;
    t->tx_closed = false;
    return r ? r : -ECONNABORTED;
}

static int disconnect(struct tcp_socket *t)
{
    struct tcp_socket *pair = t->pair;
    stop_waiting(t);
    t->pair = NULL;
    if (pair) {
        tcp_put(pair->pair);
        pair->pair = NULL;
        tcp_end(pair, ECONNRESET);
        tcp_put(pair);
    }
    packet_queue_clear(&t->rx);
    t->in.sock.error = 0;
    connect_failed(t);
    t->rx_fin = t->inside = false;
    t->urgent = TCP_URGENT_NONE;
    t->in.sock.shutdown = 0;
    return 0;
}

static int tcp_connect(struct socket *sock, const void *addr, size_t size, bool nonblock)
{
    struct tcp_socket *t = tcp_of(sock);
    struct endpoint to;
    uint16_t family;
    int r;
    if (size < sizeof(family))
        return -EINVAL;
    memcpy(&family, addr, sizeof(family));
    if (family == AF_UNSPEC)
        return t->state == TCP_S_LISTEN ? 0 : disconnect(t);
    r = endpoint_parse(sock->family, addr, size, &to);
    if (r < 0)
        return r;
    switch (t->state) {
    case TCP_S_LISTEN:
        return -EISCONN;
    case TCP_S_CONNECTED:
        if (t->connect_told)
            return -EISCONN;
        t->connect_told = true;
        return 0;
    case TCP_S_ENDED:
        return t->connect_told ? -EISCONN : connect_failed(t);
    case TCP_S_CONNECTING:
        if (nonblock)
            return -EALREADY;
        break;
    case TCP_S_CLOSED:
        r = connect_start(t, &to);
        if (r < 0)
            return r;
        if (nonblock)
            return -EINPROGRESS;
        break;
    }
    uint64_t deadline = socket_deadline(sock->snd_timeout_ns);
    r = wait_event_deadline(&sock->wait, t->state != TCP_S_CONNECTING, deadline);
    if (r == -ETIMEDOUT)
        return -EINPROGRESS;
    if (r < 0)
        return socket_wait_result(r, deadline);
    if (t->state == TCP_S_ENDED)
        return connect_failed(t);
    t->connect_told = true;
    return 0;
}

/* Listening */

static int tcp_listen(struct socket *sock, int backlog)
{
    struct tcp_socket *t = tcp_of(sock);
    static const int one = 1;
    if (t->state != TCP_S_CLOSED && t->state != TCP_S_LISTEN)
        return -EINVAL;
    if (!t->in.bound) {
        int r = inet_autobind(&t->in, t->in.local.ip);
        if (r < 0)
            return r;
    }
    if (t->in.chan) {
        /* Accepted sockets inherit it: the pump sends whole batches, which Nagle's rule would only delay. */
        if (t->state == TCP_S_CLOSED)
            (void)inet_host_setsockopt(&t->in, SOL_TCP, TCP_NODELAY, &one, sizeof(one));
        int r = inet_host_listen(&t->in, backlog);
        if (r < 0)
            return r;
    }
    t->state = TCP_S_LISTEN;
    sock->listening = true;
    t->backlog_max = backlog;
    return 0;
}

static struct tcp_socket *accept_inside(struct tcp_socket *t)
{
    struct tcp_socket *server = TAILQ_FIRST(&t->backlog), *next;
    if (!server)
        return NULL;
    TAILQ_REMOVE(&t->backlog, server, backlog_link);
    t->backlog_count--;
    while (!backlog_full(t) && (next = TAILQ_FIRST(&t->waiting)) != NULL) {
        stop_waiting(next);
        if (join(next, t, &next->in.peer) < 0)
            tcp_end(next, ECONNREFUSED);
        wake_up_all(&next->in.sock.wait, EVENTS_ALL);
    }
    return server;
}

/* What the host says of a connection that it has accepted. */
static int accepted_begin(struct tcp_socket *t, struct tcp_socket *server, const struct ring_accept *record)
{
    struct endpoint peer, local;
    if (record->addr_size > sizeof(record->addr) || record->local_size > sizeof(record->local) ||
        !endpoint_from_host(record->addr, record->addr_size, &peer) ||
        !endpoint_from_host(record->local, record->local_size, &local))
        host_lied("accept record: address");
    server->in.chan = chan_adopt(record->channel, tcp_news, &server->in);
    if (!server->in.chan)
        return -ENOMEM;
    server->in.chan_family = t->in.chan_family;
    server->in.peer = peer;
    server->in.local = local;
    server->in.local.port = t->in.local.port;
    ip_learn_own(local.ip);
    return 0;
}

/* The next record of those that the host has put into the ring. */
static int accept_announced(struct tcp_socket *t, struct tcp_socket *server)
{
    struct chan *c = t->in.chan;
    struct ring_accept record;
    if (chan_rx_used(c) < sizeof(record))
        host_lied("accept record: size");
    chan_rx_copy_kernel(c, &record, 0, sizeof(record));
    int r = accepted_begin(t, server, &record);
    if (r < 0)
        return r;
    chan_rx_consume(c, sizeof(record));
    chan_rx_more(c);
    return 0;
}

static int accept_asked_for(struct tcp_socket *t, struct tcp_socket *server)
{
    struct hostcall_socket op = {.op = SOCKET_ACCEPT, .channel = t->in.chan->number};
    struct ring_accept record;
    chan_take_events(t->in.chan, CHAN_EV_ACCEPTABLE);
    int r = hostcall_socket(&op);
    if (r < 0)
        return r == -EMFILE ? -ENFILE : r; /* the host's limit is not the process's */
    if (r > 0 || op.optlen != sizeof(record))
        host_lied("accept record: size");
    memcpy(&record, op.optval, sizeof(record));
    return accepted_begin(t, server, &record);
}

static int accept_outside(struct tcp_socket *t, struct tcp_socket **ret_server)
{
    bool announced = t->in.chan && chan_rx_used(t->in.chan) > 0;
    if (!announced && (!t->in.chan || !t->demand))
        return -EAGAIN;
    struct tcp_socket *server = accepted_new(t);
    if (!server)
        return -ENOMEM;
    int r = announced ? accept_announced(t, server) : accept_asked_for(t, server);
    if (r < 0)
        tcp_put(server);
    else
        *ret_server = server;
    return r;
}

int tcp_demand(struct tcp_socket *t, bool demand)
{
    struct hostcall_socket op = {.op = SOCKET_DEMAND, .channel = t->in.chan->number, .value = demand};
    int r = hostcall_socket(&op);
    if (r == 0)
        t->demand = demand;
    return MIN(r, 0);
}

/* As far as the host has said. */
static bool acceptable(struct tcp_socket *t)
{
    struct chan *c = t->in.chan;
    return !TAILQ_EMPTY(&t->backlog) ||
           (c && (chan_rx_used(c) > 0 || (t->demand && chan_has_events(c, CHAN_EV_ACCEPTABLE))));
}

/* What it said of one on demand may be over: another enclave has accepted it. */
bool tcp_acceptable(struct tcp_socket *t)
{
    if (!t->demand || !TAILQ_EMPTY(&t->backlog) || chan_rx_used(t->in.chan) > 0)
        return acceptable(t);
    struct hostcall_socket op = {.op = SOCKET_READY, .channel = t->in.chan->number};
    chan_take_events(t->in.chan, CHAN_EV_ACCEPTABLE);
    if (hostcall_socket(&op) != 0 || op.value != 0)
        return true; /* accept will tell */
    chan_want_accept(t->in.chan);
    return false;
}

/* Sleeps as an exclusive waiter, so that one connection wakes one thread. */
int tcp_accept_wait(struct tcp_socket *t, uint64_t deadline)
{
    struct wait_entry wait;
    int r = 0;
    wait_entry_init(&wait, NULL);
    wait_queue_add_exclusive(&t->in.sock.wait, &wait);
    for (;;) {
        task_prepare_sleep(true);
        if (acceptable(t) || t->state != TCP_S_LISTEN || r < 0) {
            task_cancel_sleep();
            break;
        }
        if (t->demand)
            chan_want_accept(t->in.chan);
        r = task_sleep(deadline);
    }
    wait_queue_remove(&wait);
    if (acceptable(t) || t->state != TCP_S_LISTEN)
        return 0;
    return socket_wait_result(r == -EINTR ? -ERESTARTSYS : r, deadline);
}

int tcp_accept(struct socket *sock, bool nonblock, struct socket **ret_accepted)
{
    struct tcp_socket *t = tcp_of(sock), *server;
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->rcv_timeout_ns);
    for (;;) {
        if (t->state != TCP_S_LISTEN)
            return -EINVAL;
        server = accept_inside(t);
        int r = server ? 0 : accept_outside(t, &server);
        if (r == 0)
            break;
        if (r != -EAGAIN || nonblock)
            return r;
        r = tcp_accept_wait(t, deadline);
        if (r < 0)
            return r;
    }
    if (acceptable(t)) /* news may have been of several: each wakes one */
        wake_up_next(&t->in.sock.wait, EVENTS_IN);
    else if (t->demand && wait_queue_active(&t->in.sock.wait))
        chan_want_accept(t->in.chan);
    *ret_accepted = &server->in.sock;
    return 0;
}

/* Endings */

/* The end t of a pair inside goes away. */
static void pair_leave(struct tcp_socket *t, bool reset)
{
    struct tcp_socket *pair = t->pair;
    if (!pair)
        return;
    t->pair = NULL;
    if (pair->pair == t) {
        pair->pair = NULL;
        tcp_put(t);
    }
    if (reset) {
        tcp_end(pair, pair->rx_fin ? EPIPE : ECONNRESET);
    } else {
        pair->rx_fin = true;
        wake_up_all(&pair->in.sock.wait, EVENTS_IN | EPOLLRDHUP | EPOLLHUP);
    }
    tcp_put(pair);
}

static void listener_close(struct tcp_socket *t)
{
    struct tcp_socket *other;
    while ((other = TAILQ_FIRST(&t->backlog)) != NULL) {
        TAILQ_REMOVE(&t->backlog, other, backlog_link);
        t->backlog_count--;
        pair_leave(other, true);
        tcp_put(other);
    }
    while ((other = TAILQ_FIRST(&t->waiting)) != NULL) {
        stop_waiting(other);
        tcp_end(other, ECONNREFUSED);
    }
    inet_host_close(&t->in, false);
    t->state = TCP_S_CLOSED;
    t->demand = t->shared = false;
    t->in.sock.listening = false;
    wake_up_all(&t->in.sock.wait, EVENTS_ALL);
}

int tcp_shutdown(struct socket *sock, int how)
{
    struct tcp_socket *t = tcp_of(sock);
    if (t->state == TCP_S_LISTEN) {
        if (how != SHUT_WR)
            listener_close(t);
        return 0;
    }
    if (t->state == TCP_S_CLOSED)
        sock->shutdown |= how == SHUT_RDWR ? SOCKET_SHUT_RCV | SOCKET_SHUT_SEND
                                           : (how == SHUT_RD ? SOCKET_SHUT_RCV : SOCKET_SHUT_SEND);
    if (t->state != TCP_S_CONNECTED || (t->rx_fin && (sock->shutdown & SOCKET_SHUT_SEND)))
        return -ENOTCONN; /* never connected, or closed from both sides */
    if (how != SHUT_WR)
        sock->shutdown |= SOCKET_SHUT_RCV;
    if (how != SHUT_RD && !(sock->shutdown & SOCKET_SHUT_SEND)) {
        sock->shutdown |= SOCKET_SHUT_SEND;
        if (t->pair) {
            t->pair->rx_fin = true;
            wake_up_all(&t->pair->in.sock.wait, EVENTS_IN | EPOLLRDHUP | EPOLLHUP);
        } else if (t->in.chan) {
            chan_shutdown_write(t->in.chan);
        }
    }
    wake_up_all(&sock->wait, EVENTS_ALL);
    return 0;
}

static void tcp_release(struct socket *sock)
{
    struct tcp_socket *t = tcp_of(sock);
    bool reset = sock->linger.on && sock->linger.seconds == 0;
    if (t->state == TCP_S_LISTEN)
        listener_close(t);
    stop_waiting(t);
    if (t->state == TCP_S_CONNECTING || (t->state != TCP_S_CLOSED && tcp_rx_used(t) > 0))
        reset = true;
    pair_leave(t, reset);
    if (t->state == TCP_S_CONNECTED || t->state == TCP_S_ENDED)
        inet_host_leave(&t->in, reset);
    else
        inet_host_close(&t->in, reset);
    inet_unbind(&t->in);
    tcp_put(t);
}

uint8_t tcp_linux_state(struct tcp_socket *t)
{
    static const uint8_t states[] = {[TCP_S_CLOSED] = TCP_L_CLOSE,
                                     [TCP_S_LISTEN] = TCP_L_LISTEN,
                                     [TCP_S_CONNECTING] = TCP_L_SYN_SENT,
                                     [TCP_S_CONNECTED] = TCP_L_ESTABLISHED,
                                     [TCP_S_ENDED] = TCP_L_CLOSE};
    bool sends = !(t->in.sock.shutdown & SOCKET_SHUT_SEND);
    if (t->in.chan && !t->in.chan->lent && t->state != TCP_S_LISTEN)
        tcp_look(t);
    if (t->state == TCP_S_CONNECTED && t->rx_fin)
        return sends ? TCP_L_CLOSE_WAIT : TCP_L_CLOSE;
    if (t->state == TCP_S_CONNECTED && !sends)
        return TCP_L_FIN_WAIT2;
    return states[t->state];
}

void tcp_queued(struct tcp_socket *t, uint32_t *ret_rx, uint32_t *ret_tx)
{
    *ret_rx = *ret_tx = 0;
    if (t->in.chan && t->in.chan->lent)
        return;
    if (t->state == TCP_S_LISTEN) {
        uint32_t outside = t->in.chan ? chan_rx_used(t->in.chan) / (uint32_t)sizeof(struct ring_accept) : 0;
        *ret_rx = (uint32_t)t->backlog_count + outside;
    } else if (t->state == TCP_S_CONNECTED) {
        *ret_rx = tcp_rx_used(t) + (t->rx_fin ? 1 : 0); /* a FIN has a number, too */
        *ret_tx = t->in.chan ? chan_tx_queued(t->in.chan) : 0;
    }
}

void tcp_info_fill(struct inet_socket *in, struct tcp_info *info)
{
    struct tcp_socket *t = tcp_of(&in->sock);
    memset(info, 0, sizeof(*info));
    info->tcpi_state = tcp_linux_state(t);
    info->tcpi_rto = 204000;
    info->tcpi_ato = 40000;
    info->tcpi_snd_mss = info->tcpi_advmss = t->inside ? 65483 : 1448;
    info->tcpi_rcv_mss = 536;
    info->tcpi_pmtu = t->inside ? 65535 : 1500;
    info->tcpi_snd_ssthresh = INT32_MAX;
    info->tcpi_snd_cwnd = 10;
    info->tcpi_reordering = 3;
    info->tcpi_rcv_space = 14480;
    info->tcpi_bytes_received = t->rx_bytes;
    info->tcpi_bytes_acked = t->tx_bytes;
    if (t->state == TCP_S_LISTEN) {
        info->tcpi_unacked = (uint32_t)t->backlog_count;
        info->tcpi_sacked = (uint32_t)t->backlog_max;
    }
}

/* After a reset a socket has no peer, though it keeps its address and what came before. */
int tcp_getname(struct socket *sock, bool peer, void *addr)
{
    struct tcp_socket *t = tcp_of(sock);
    if (peer && t->state == TCP_S_CONNECTED)
        tcp_look(t);
    if (peer && t->state == TCP_S_ENDED)
        return -ENOTCONN;
    return inet_getname(sock, peer, addr);
}

const struct socket_ops tcp_ops = {
    .bind = inet_bind,
    .connect = tcp_connect,
    .listen = tcp_listen,
    .accept = tcp_accept,
    .getname = tcp_getname,
    .send = tcp_send,
    .recv = tcp_recv,
    .shutdown = tcp_shutdown,
    .poll = tcp_poll,
    .setsockopt = inet_setsockopt,
    .getsockopt = inet_getsockopt,
    .ioctl = tcp_ioctl,
    .option_changed = tcp_option_changed,
    .release = tcp_release,
};

/* SOCKET host calls: creating, binding, connecting, options, names, shutting down and closing. */
#include "host/pump/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int (*socket_fn)(struct pump *p, struct chan *c, struct hostcall_socket *op);

struct socket_call {
    socket_fn fn;
    bool in_init, in_member;
    bool any_channel; /* it need not be open here */
};

/* More accept records than this never wait in a ring, whatever the backlog. */
#define BACKLOG_MAX 1024

static int socket_create(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    int type = op->type & 0xf, fd;

    if ((c->number & 1) || c->number <= CHANNEL_FIRST_SOCKET || c->kind != CHAN_FREE)
        return -EINVAL;
    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return -EAFNOSUPPORT;
    if (op->family == AF_UNIX && type == SOCK_STREAM && p->config.exec_wanted)
        fd = fcntl(p->config.exec_socket, F_DUPFD_CLOEXEC, 3);
    else if (op->family == AF_INET || op->family == AF_INET6)
        fd = socket(op->family, type | SOCK_CLOEXEC, op->protocol);
    else
        return -EAFNOSUPPORT;
    if (fd < 0)
        return -errno;
    chan_open(p, c, type == SOCK_STREAM ? CHAN_STREAM : CHAN_DATAGRAM, fd);
    c->family = op->family;
    if (type == SOCK_DGRAM) {
        c->rx_on = true;
        chan_todo(p, c);
    }
    return 0;
}

static int answer_name(struct chan *c, struct hostcall_socket *op, int (*get)(int, struct sockaddr *, socklen_t *))
{
    socklen_t size = sizeof(op->addr);

    if (get(c->fd, (struct sockaddr *)op->addr, &size) < 0)
        return -errno;
    op->addr_size = size;
    return 0;
}

static const struct port_mapping *find_mapping(const struct pump *p, int type, uint16_t port)
{
    for (unsigned i = 0; i < p->config.port_count; i++) {
        const struct port_mapping *m = &p->config.ports[i];

        if (m->port == port && m->protocol == (type == CHAN_DATAGRAM ? IPPROTO_UDP : IPPROTO_TCP))
            return m;
    }
    return NULL;
}

static bool socket_v6only(int fd)
{
    int on = 0;
    socklen_t size = sizeof(on);

    return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, &size) == 0 && on;
}

/* What the application binds, as published: the host's port, and the address if one was given. */
static int map_address(const struct pump *p, struct chan *c, struct sockaddr_storage *addr, socklen_t *size)
{
    struct sockaddr_in *in = (struct sockaddr_in *)addr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;
    uint16_t *port = addr->ss_family == AF_INET6 ? &in6->sin6_port : &in->sin_port;
    const struct port_mapping *m = find_mapping(p, c->kind, ntohs(*port));

    if (!m)
        return 0;
    c->port_mapped = true;
    c->shown = *port;
    c->real = *port = htons(m->host_port);
    if (m->family == AF_INET && addr->ss_family == AF_INET) {
        memcpy(&in->sin_addr, m->ip, 4);
    } else if (m->family == AF_INET && addr->ss_family == AF_INET6 && socket_v6only(c->fd)) {
        in6->sin6_addr = in6addr_loopback; /* published for IPv4 alone: the nearest that this socket can be given */
    } else if (m->family == AF_INET && addr->ss_family == AF_INET6) {
        memset(&in6->sin6_addr, 0, 10);
        memset(in6->sin6_addr.s6_addr + 10, 0xff, 2);
        memcpy(in6->sin6_addr.s6_addr + 12, m->ip, 4);
    } else if (m->family == AF_INET6 && addr->ss_family == AF_INET6) {
        memcpy(&in6->sin6_addr, m->ip, 16);
    } else if (m->family == AF_INET6) {
        return -EADDRNOTAVAIL;
    }
    return 0;
}

static int socket_bind(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    struct sockaddr_storage addr;
    socklen_t size = op->addr_size;
    int ret;

    if (size < sizeof(sa_family_t) || size > sizeof(op->addr))
        return -EINVAL;
    memset(&addr, 0, sizeof(addr));
    memcpy(&addr, op->addr, size);
    ret = size >= sizeof(struct sockaddr_in) ? map_address(p, c, &addr, &size) : 0;
    if (ret == 0 && bind(c->fd, (struct sockaddr *)&addr, size) < 0)
        ret = -errno;
    if (ret < 0) {
        c->port_mapped = false;
        return ret;
    }
    if (c->port_mapped)
        return 0; /* as asked for, as far as the application knows */
    return answer_name(c, op, getsockname);
}

static int socket_listen(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    uint32_t backlog = op->value < 1 ? 1 : op->value > BACKLOG_MAX ? BACKLOG_MAX : (uint32_t)op->value;

    if (c->kind != CHAN_STREAM && c->kind != CHAN_LISTENER)
        return -EOPNOTSUPP;
    if (c->rx_on && c->kind == CHAN_STREAM)
        return -EINVAL;
    if (listen(c->fd, op->value) < 0)
        return -errno;
    c->kind = CHAN_LISTENER;
    c->backlog = backlog;
    c->rx_on = true;
    chan_todo(p, c);
    return 0;
}

static int stream_connect(struct chan *c, const struct sockaddr *addr, socklen_t size)
{
    int flags = fcntl(c->fd, F_GETFL), ret;

    /* Only for this call: io_uring takes O_NONBLOCK as a wish not to wait in the background either. */
    fcntl(c->fd, F_SETFL, flags | O_NONBLOCK);
    ret = connect(c->fd, addr, size) < 0 ? -errno : 0;
    fcntl(c->fd, F_SETFL, flags);
    return ret == -EINPROGRESS ? 0 : ret;
}

static int socket_connect(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    int ret;

    if (op->addr_size < sizeof(sa_family_t) || op->addr_size > sizeof(op->addr))
        return -EINVAL;
    if (c->kind == CHAN_DATAGRAM) {
        if (connect(c->fd, (struct sockaddr *)op->addr, op->addr_size) < 0)
            return -errno;
        return answer_name(c, op, getsockname);
    }
    if (c->kind != CHAN_STREAM)
        return -EINVAL;
    if (c->connecting)
        return -EALREADY;
    if (c->rx_on || c->rx_ended)
        return -EISCONN;
    ret = stream_connect(c, (struct sockaddr *)op->addr, op->addr_size);
    if (ret < 0)
        return ret;
    c->connecting = true;
    p->stats.connects++;
    __atomic_fetch_and(&c->shared->host_events, ~(CHAN_EV_ERROR | CHAN_EV_TX_CLOSED), __ATOMIC_SEQ_CST);
    chan_todo(p, c);
    ret = answer_name(c, op, getsockname);
    return ret < 0 ? ret : -EINPROGRESS;
}

static int socket_shutdown(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    if (op->value < SHUT_RD || op->value > SHUT_RDWR)
        return -EINVAL;
    if (op->value != SHUT_WR)
        shutdown(c->fd, SHUT_RD);
    if (op->value != SHUT_RD) {
        c->shut_write_wanted = true;
        chan_todo(p, c);
    }
    return 0;
}

static int socket_close(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    c->closing = true;
    if (op->value & CLOSE_RESET)
        c->reset = true;
    /* Nothing is under way of one that was only bound: its port is free when the call is over. */
    if (c->kind == CHAN_STREAM && !c->rx_on && !c->connecting && c->inflight == 0)
        chan_service(p, c);
    else
        chan_todo(p, c);
    return 0;
}

/* Options that the kernel keeps to itself, and those that reach further than a socket. */
static bool option_refused(int level, int name)
{
    if (level != SOL_SOCKET)
        return level != IPPROTO_TCP && level != IPPROTO_IP && level != IPPROTO_IPV6 && level != IPPROTO_UDP;
    switch (name) {
    case SO_LINGER:
    case SO_RCVTIMEO:
    case SO_SNDTIMEO:
    case SO_ERROR:
    case SO_TYPE:
    case SO_DOMAIN:
    case SO_PROTOCOL:
    case SO_ACCEPTCONN:
    case SO_ATTACH_FILTER:
    case SO_ATTACH_BPF:
    case SO_DETACH_FILTER:
    case SO_ATTACH_REUSEPORT_CBPF:
    case SO_ATTACH_REUSEPORT_EBPF:
    case SO_BINDTODEVICE:
        return true;
    default:
        return false;
    }
}

static int socket_setopt(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    if (op->optlen > sizeof(op->optval))
        return -EINVAL;
    if (option_refused(op->level, op->name))
        return -ENOPROTOOPT;
    return setsockopt(c->fd, op->level, op->name, op->optval, op->optlen) < 0 ? -errno : 0;
}

static int socket_getopt(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    socklen_t size = op->optlen;

    if (size > sizeof(op->optval))
        return -EINVAL;
    if (option_refused(op->level, op->name))
        return -ENOPROTOOPT;
    if (getsockopt(c->fd, op->level, op->name, op->optval, &size) < 0)
        return -errno;
    op->optlen = size;
    return 0;
}

static int socket_getname(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    int ret = answer_name(c, op, op->value ? getpeername : getsockname);

    if (ret == 0 && !op->value)
        address_show(c, op->addr);
    return ret;
}

static int socket_demand(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    int ret;

    if (c->kind != CHAN_LISTENER || c->family == AF_UNIX)
        return -EOPNOTSUPP;
    ret = handover_serve(p);
    if (ret < 0)
        return ret;
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) /* of all who share it; stays, since io_uring's accept can do with it */
        return -errno;
    c->demand = op->value != 0;
    listener_wishes(c);
    chan_todo(p, c);
    return 0;
}

static int socket_share(struct pump *p, struct chan *unused, struct hostcall_socket *op)
{
    uint32_t number = odd_get(p);
    int ret;

    if (number == 0)
        return -ENOBUFS;
    ret = handover_want(p, op->channel, pump_chan(p, number));
    if (ret < 0)
        odd_put(p, number);
    else
        op->value = (int32_t)number;
    return ret;
}

static int socket_accept(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    struct ring_accept record;
    int ret;

    if (c->kind != CHAN_LISTENER || !c->demand)
        return -EINVAL;
    if (!p->member && pump_is_mine(p))
        pump_turn_now(p);
    else if (p->member)
        pump_take(p);
    ret = c->kind == CHAN_LISTENER && !c->closing ? listener_accept(p, c, &record) : -EBADF;
    if (ret < 0)
        return ret;
    memcpy(op->optval, &record, sizeof(record));
    op->optlen = sizeof(record);
    return 0;
}

static int socket_ready(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    struct pollfd polled = {.fd = c->fd, .events = POLLIN};

    if (c->kind != CHAN_LISTENER || !c->demand)
        return -EINVAL;
    op->value = poll(&polled, 1, 0) > 0;
    return 0;
}

/* Those that listen have nothing that is left to do; of a connection that cannot be given nothing is left. */
static int give_all(struct pump *p)
{
    for (uint32_t i = CHANNEL_FIRST_SOCKET; i < p->chans_end; i += 2) {
        struct chan *c = &p->chans[i];

        if (c->kind == CHAN_FREE || (c->kind == CHAN_STREAM && handover_give(p, c) == 0))
            continue;
        c->closing = c->reset = true;
        chan_todo(p, c);
    }
    return 0;
}

static int socket_give(struct pump *p, struct chan *c, struct hostcall_socket *op)
{
    pump_take(p);
    if (op->channel == GIVE_ALL)
        return give_all(p);
    if (c->kind == CHAN_FREE || c->closing)
        return -EBADF;
    return c->kind == CHAN_STREAM ? handover_give(p, c) : -EOPNOTSUPP;
}

static const struct socket_call socket_calls[] = {
    [SOCKET_CREATE] = {socket_create, .in_init = true, .any_channel = true},
    [SOCKET_BIND] = {socket_bind, .in_init = true},
    [SOCKET_LISTEN] = {socket_listen, .in_init = true},
    [SOCKET_CONNECT] = {socket_connect, .in_init = true},
    [SOCKET_SHUTDOWN] = {socket_shutdown, .in_init = true, .in_member = true},
    [SOCKET_CLOSE] = {socket_close, .in_init = true, .in_member = true},
    [SOCKET_SETOPT] = {socket_setopt, .in_init = true, .in_member = true},
    [SOCKET_GETOPT] = {socket_getopt, .in_init = true, .in_member = true},
    [SOCKET_GETNAME] = {socket_getname, .in_init = true, .in_member = true},
    [SOCKET_DEMAND] = {socket_demand, .in_init = true},
    [SOCKET_SHARE] = {socket_share, .in_member = true, .any_channel = true},
    [SOCKET_ACCEPT] = {socket_accept, .in_init = true, .in_member = true},
    [SOCKET_GIVE] = {socket_give, .in_member = true, .any_channel = true},
    [SOCKET_READY] = {socket_ready, .in_init = true, .in_member = true},
};

/* A member's connection may be the init process's already, and only on its way to this pump. */
static void await_given(struct pump *p, const struct chan *c)
{
    if (p->member || c->kind != CHAN_FREE || number_is_of(p, c->number, 0))
        return;
    pthread_mutex_unlock(&p->lock);
    handover_take(p);
    pthread_mutex_lock(&p->lock);
}

/* What the call has left to do. True: the pump's thread is to be woken for it. */
static bool finish_call(struct pump *p)
{
    if (p->member) { /* any thread may do it */
        pump_take(p);
        return p->waiting && ready_pending(p);
    }
    if (TAILQ_EMPTY(&p->todo))
        return false;
    if (!pump_is_mine(p))
        return true;
    pump_turn_now(p); /* out of the enclave anyway: do it now */
    return false;
}

int64_t pump_socket(struct pump *p, struct hostcall_socket *shared_op)
{
    struct hostcall_socket op = *shared_op;
    const struct socket_call *call;
    bool all = op.op == SOCKET_GIVE && op.channel == GIVE_ALL, wake;
    struct chan *c = NULL;
    int64_t ret;

    if (op.op >= sizeof(socket_calls) / sizeof(socket_calls[0]))
        return -ENOSYS;
    call = &socket_calls[op.op];
    if (!(p->member ? call->in_member : call->in_init))
        return -ENOSYS;
    if (!all && (op.channel < CHANNEL_FIRST_SOCKET || op.channel >= p->channel_count))
        return -EBADF;
    pthread_mutex_lock(&p->lock);
    if (!all)
        c = pump_chan(p, op.channel);
    if (!call->any_channel)
        await_given(p, c);
    if (!call->any_channel && (c->kind == CHAN_FREE || c->closing))
        ret = -EBADF;
    else
        ret = call->fn(p, c, &op);
    wake = finish_call(p);
    pthread_mutex_unlock(&p->lock);
    if (wake)
        pump_wake(p);
    *shared_op = op;
    return ret;
}

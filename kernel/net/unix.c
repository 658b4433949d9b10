/* Unix sockets: names, connections, lifetime. Data: unix_io.c. */
#include <asm/errno.h>
#include <linux/stat.h>

#include "kernel/fs/fs_context.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/unix.h"
#include "kernel/process/process.h"
#include "kernel/sched/wait.h"

#define PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
#define NAME_BUCKETS 64

static LIST_HEAD(unix_names, unix_socket) abstract_names[NAME_BUCKETS];
static uint32_t autobind_next;

static const struct socket_ops unix_stream_ops;
static const struct socket_ops unix_dgram_ops;
static const struct socket_ops unix_seqpacket_ops;

struct unix_socket *unix_get(struct unix_socket *u)
{
    u->refcount++;
    return u;
}

void unix_put(struct unix_socket *u)
{
    if (!u || --u->refcount > 0)
        return;
    packet_queue_clear(&u->rx);
    socket_forget(&u->sock);
    kfree(u);
}

static int unix_new(int type, int protocol, struct unix_socket **ret_u)
{
    if (protocol && protocol != AF_UNIX)
        return -EPROTONOSUPPORT;
    const struct socket_ops *ops;
    switch (type) {
    case SOCK_STREAM:
        ops = &unix_stream_ops;
        break;
    case SOCK_RAW:
        type = SOCK_DGRAM;
        __attribute__((fallthrough));
    case SOCK_DGRAM:
        ops = &unix_dgram_ops;
        break;
    case SOCK_SEQPACKET:
        ops = &unix_seqpacket_ops;
        break;
    default:
        return -ESOCKTNOSUPPORT;
    }
    struct unix_socket *u = kzalloc(sizeof(*u));
    if (!u)
        return -ENOMEM;
    socket_setup(&u->sock, ops, AF_UNIX, type, 0);
    u->refcount = 1;
    packet_queue_init(&u->rx);
    wait_queue_init(&u->room_wait);
    TAILQ_INIT(&u->backlog);
    LIST_INIT(&u->senders);
    *ret_u = u;
    return 0;
}

int unix_socket_new(int type, int protocol, struct socket **ret_sock)
{
    struct unix_socket *u;
    int r = unix_new(type, protocol, &u);
    if (r == 0)
        *ret_sock = &u->sock;
    return r;
}

int unix_socket_pair(int type, int protocol, struct socket *ret_pair[2])
{
    struct unix_socket *a, *b;
    int r = unix_new(type, protocol, &a);
    if (r < 0)
        return r;
    r = unix_new(type, protocol, &b);
    if (r < 0) {
        unix_put(a);
        return r;
    }
    a->state = b->state = UNIX_CONNECTED;
    a->peer = unix_get(b);
    b->peer = unix_get(a);
    if (a->sock.type == SOCK_DGRAM) {
        LIST_INSERT_HEAD(&b->senders, a, sender_link);
        LIST_INSERT_HEAD(&a->senders, b, sender_link);
    }
    a->sock.peer_cred = b->sock.peer_cred = cred_self();
    ret_pair[0] = &a->sock;
    ret_pair[1] = &b->sock;
    return 0;
}

/* Names */

static struct unix_names *abstract_bucket(const struct sockaddr_un *addr, size_t size)
{
    uint32_t hash = 2166136261U;
    for (size_t i = PATH_OFFSET; i < size; i++)
        hash = (hash ^ ((const uint8_t *)addr)[i]) * 16777619U;
    return &abstract_names[hash % NAME_BUCKETS];
}

static struct unix_socket *abstract_find(const struct sockaddr_un *addr, size_t size, int type)
{
    struct unix_socket *u;
    LIST_FOREACH (u, abstract_bucket(addr, size), name_link)
        if (u->name_size == size && u->sock.type == type && memcmp(&u->name, addr, size) == 0)
            return u;
    return NULL;
}

int unix_check_address(const void *addr, size_t size, struct sockaddr_un *ret_addr)
{
    if (size <= PATH_OFFSET || size > sizeof(*ret_addr))
        return -EINVAL;
    memset(ret_addr, 0, sizeof(*ret_addr));
    memcpy(ret_addr, addr, size);
    return ret_addr->sun_family == AF_UNIX ? 0 : -EINVAL;
}

/* A path name need not end in NUL when it fills the whole field. */
static void address_path(const struct sockaddr_un *addr, char path[UNIX_PATH_MAX + 1])
{
    memcpy(path, addr->sun_path, UNIX_PATH_MAX);
    path[UNIX_PATH_MAX] = 0;
}

static int find_by_path(const struct sockaddr_un *addr, struct unix_socket **ret_target)
{
    char path[UNIX_PATH_MAX + 1];
    struct dentry *dentry;
    address_path(addr, path);
    int r = vfs_lookup(AT_FDCWD_, path, LOOKUP_FOLLOW, &dentry);
    if (r < 0)
        return r;
    struct inode *inode = dentry_inode(dentry);
    r = inode_permission(inode, 2);
    if (r == 0 && ((inode->mode & S_IFMT) != S_IFSOCK || !inode->socket))
        r = -ECONNREFUSED;
    if (r == 0)
        *ret_target = inode->socket;
    dentry_put(dentry);
    return r;
}

int unix_find(const struct sockaddr_un *addr, size_t size, int type, struct unix_socket **ret_target)
{
    if (addr->sun_path[0]) {
        int r = find_by_path(addr, ret_target);
        if (r < 0)
            return r;
        if ((*ret_target)->sock.type != type)
            return -EPROTOTYPE;
        return 0;
    }
    *ret_target = abstract_find(addr, size, type);
    return *ret_target ? 0 : -ECONNREFUSED;
}

static void name_set_abstract(struct unix_socket *u, const struct sockaddr_un *addr, size_t size)
{
    u->name = *addr;
    u->name_size = (uint32_t)size;
    LIST_INSERT_HEAD(abstract_bucket(addr, size), u, name_link);
}

int unix_autobind(struct unix_socket *u)
{
    if (u->name_size)
        return 0;
    for (unsigned tries = 0; tries < 0x100000; tries++) {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        snprintf(addr.sun_path + 1, 6, "%05x", autobind_next++ & 0xfffff);
        if (abstract_find(&addr, PATH_OFFSET + 6, u->sock.type))
            continue;
        name_set_abstract(u, &addr, PATH_OFFSET + 6);
        return 0;
    }
    return -ENOSPC;
}

static int bind_path(struct unix_socket *u, const struct sockaddr_un *addr)
{
    char path[UNIX_PATH_MAX + 1];
    struct dentry *dentry;
    address_path(addr, path);
    uint32_t mode = S_IFSOCK | (0777 & ~fs_current()->umask);
    int r = vfs_mknod(AT_FDCWD_, path, mode, 0, &dentry);
    if (r < 0)
        return r == -EEXIST ? -EADDRINUSE : r;
    u->inode = inode_get(dentry_inode(dentry));
    u->inode->socket = u;
    dentry_put(dentry);
    u->name = *addr;
    u->name_size = (uint32_t)(PATH_OFFSET + strlen(path) + 1);
    return 0;
}

static bool path_exists(const struct sockaddr_un *addr)
{
    char path[UNIX_PATH_MAX + 1];
    struct dentry *dentry;
    address_path(addr, path);
    if (vfs_lookup(AT_FDCWD_, path, 0, &dentry) < 0)
        return false;
    dentry_put(dentry);
    return true;
}

static int unix_bind(struct socket *sock, const void *address, size_t size)
{
    struct unix_socket *u = unix_of(sock);
    struct sockaddr_un addr;
    if (size == PATH_OFFSET && ((const struct sockaddr_un *)address)->sun_family == AF_UNIX)
        return unix_autobind(u);
    int r = unix_check_address(address, size, &addr);
    if (r < 0)
        return r;
    if (u->name_size)
        return addr.sun_path[0] && path_exists(&addr) ? -EADDRINUSE : -EINVAL;
    if (addr.sun_path[0])
        return bind_path(u, &addr);
    if (abstract_find(&addr, size, sock->type))
        return -EADDRINUSE;
    name_set_abstract(u, &addr, size);
    return 0;
}

static void name_drop(struct unix_socket *u)
{
    if (u->inode) {
        u->inode->socket = NULL;
        inode_put(u->inode);
        u->inode = NULL;
    } else if (u->name_size && u->name_link.le_prev) {
        LIST_REMOVE(u, name_link);
    }
}

static int unix_getname(struct socket *sock, bool peer, void *address)
{
    struct unix_socket *u = unix_of(sock);
    if (peer) {
        u = u->peer;
        if (!u)
            return -ENOTCONN;
    }
    if (!u->name_size) {
        const uint16_t family = AF_UNIX;
        memcpy(address, &family, sizeof(family));
        return sizeof(family);
    }
    memcpy(address, &u->name, MIN((size_t)u->name_size, sizeof(u->name)));
    return (int)u->name_size;
}

/* Connections */

static int unix_listen(struct socket *sock, int backlog)
{
    struct unix_socket *u = unix_of(sock);
    if (u->state == UNIX_CONNECTED || !u->name_size)
        return -EINVAL;
    u->state = UNIX_LISTEN;
    sock->listening = true;
    u->backlog_max = backlog;
    sock->peer_cred = cred_self();
    wake_up_all(&u->room_wait, 0);
    return 0;
}

static bool backlog_full(const struct unix_socket *listener)
{
    return listener->backlog_count > listener->backlog_max;
}

/* The server's end of a new connection, queued at the listener. */
static int connection_make(struct unix_socket *u, struct unix_socket *listener)
{
    struct unix_socket *server;
    int r = unix_new(u->sock.type, 0, &server);
    if (r < 0)
        return r;
    server->sock.peer_cred = cred_self();
    u->sock.peer_cred = listener->sock.peer_cred;
    server->name = listener->name;
    server->name_size = listener->name_size;
    server->sock.options = listener->sock.options & (1ULL << 16 /* SO_PASSCRED */);
    server->state = u->state = UNIX_CONNECTED;
    u->peer = unix_get(server);
    server->peer = unix_get(u);
    TAILQ_INSERT_TAIL(&listener->backlog, server, backlog_link);
    listener->backlog_count++;
    wake_up(&listener->sock.wait, EPOLLIN | EPOLLRDNORM);
    return 0;
}

static int connect_stream(struct unix_socket *u, const struct sockaddr_un *addr, size_t size, bool nonblock)
{
    uint64_t deadline = socket_deadline(u->sock.snd_timeout_ns);
    if (socket_option(&u->sock, 16 /* SO_PASSCRED */)) {
        int r = unix_autobind(u);
        if (r < 0)
            return r;
    }
    for (;;) {
        struct unix_socket *listener;
        if (u->state == UNIX_CONNECTED)
            return -EISCONN;
        if (u->state == UNIX_LISTEN)
            return -EINVAL;
        int r = unix_find(addr, size, u->sock.type, &listener);
        if (r < 0)
            return r;
        if (listener->state != UNIX_LISTEN || listener->dead || (listener->sock.shutdown & SOCKET_SHUT_RCV))
            return -ECONNREFUSED;
        if (!backlog_full(listener))
            return connection_make(u, listener);
        if (nonblock)
            return -EAGAIN;
        unix_get(listener);
        r = wait_event_deadline(&listener->room_wait, !backlog_full(listener) || listener->dead, deadline);
        unix_put(listener);
        if (r < 0)
            return socket_wait_result(r, deadline);
    }
}

static void dgram_disconnect(struct unix_socket *u)
{
    if (!u->peer)
        return;
    LIST_REMOVE(u, sender_link);
    unix_put(u->peer);
    u->peer = NULL;
    u->state = UNIX_CLOSED;
}

static int connect_dgram(struct unix_socket *u, const struct sockaddr_un *addr, size_t size)
{
    struct unix_socket *target;
    int r = unix_find(addr, size, u->sock.type, &target);
    if (r < 0)
        return r;
    if (target->peer && target->peer != u)
        return -EPERM;
    if (socket_option(&u->sock, 16 /* SO_PASSCRED */)) {
        r = unix_autobind(u);
        if (r < 0)
            return r;
    }
    unix_get(target);
    dgram_disconnect(u);
    u->peer = target;
    u->state = UNIX_CONNECTED;
    LIST_INSERT_HEAD(&target->senders, u, sender_link);
    return 0;
}

static int unix_connect(struct socket *sock, const void *address, size_t size, bool nonblock)
{
    struct unix_socket *u = unix_of(sock);
    struct sockaddr_un addr;
    uint16_t family = AF_UNIX;
    if (size < sizeof(family))
        return -EINVAL;
    memcpy(&family, address, sizeof(family));
    if (sock->type == SOCK_DGRAM && family == AF_UNSPEC) {
        dgram_disconnect(u);
        return 0;
    }
    int r = unix_check_address(address, size, &addr);
    if (r < 0)
        return r;
    return sock->type == SOCK_DGRAM ? connect_dgram(u, &addr, size) : connect_stream(u, &addr, size, nonblock);
}

static int unix_accept(struct socket *sock, bool nonblock, struct socket **ret_accepted)
{
    struct unix_socket *u = unix_of(sock);
    if (u->state != UNIX_LISTEN)
        return -EINVAL;
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->rcv_timeout_ns);
    if (TAILQ_EMPTY(&u->backlog)) {
        if (nonblock)
            return (sock->shutdown & SOCKET_SHUT_RCV) ? -EINVAL : -EAGAIN;
        int r =
            wait_event_deadline(&sock->wait, !TAILQ_EMPTY(&u->backlog) || (sock->shutdown & SOCKET_SHUT_RCV), deadline);
        if (r < 0)
            return socket_wait_result(r, deadline);
        if (TAILQ_EMPTY(&u->backlog))
            return -EINVAL;
    }
    struct unix_socket *server = TAILQ_FIRST(&u->backlog);
    TAILQ_REMOVE(&u->backlog, server, backlog_link);
    u->backlog_count--;
    wake_up_all(&u->room_wait, 0);
    *ret_accepted = &server->sock;
    return 0;
}

/* Endings */

#define WAKE_ALL_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM | EPOLLRDHUP | EPOLLHUP | EPOLLERR)

static int unix_shutdown(struct socket *sock, int how)
{
    struct unix_socket *u = unix_of(sock);
    uint8_t mine =
        how == SHUT_RDWR ? SOCKET_SHUT_RCV | SOCKET_SHUT_SEND : (how == SHUT_RD ? SOCKET_SHUT_RCV : SOCKET_SHUT_SEND);
    sock->shutdown |= mine;
    wake_up_all(&sock->wait, WAKE_ALL_EVENTS);
    if (u->peer && sock->type != SOCK_DGRAM) {
        struct socket *peer = &u->peer->sock;
        if (mine & SOCKET_SHUT_RCV)
            peer->shutdown |= SOCKET_SHUT_SEND;
        if (mine & SOCKET_SHUT_SEND)
            peer->shutdown |= SOCKET_SHUT_RCV;
        wake_up_all(&peer->wait, WAKE_ALL_EVENTS);
    }
    return 0;
}

/* One end goes: the other reads what is there, then end of file; a reset if something was left unread here. */
static void peer_hang_up(struct unix_socket *u, bool reset)
{
    struct unix_socket *peer = u->peer;
    if (!peer)
        return;
    u->peer = NULL;
    if (u->sock.type == SOCK_DGRAM) {
        LIST_REMOVE(u, sender_link);
    } else {
        peer->sock.shutdown |= SOCKET_SHUT_RCV | SOCKET_SHUT_SEND;
        if (reset)
            peer->sock.error = ECONNRESET;
        wake_up_all(&peer->sock.wait, WAKE_ALL_EVENTS);
    }
    unix_put(peer);
}

static void backlog_drop(struct unix_socket *u)
{
    struct unix_socket *server;
    while ((server = TAILQ_FIRST(&u->backlog)) != NULL) {
        TAILQ_REMOVE(&u->backlog, server, backlog_link);
        u->backlog_count--;
        server->dead = true;
        peer_hang_up(server, true);
        packet_queue_clear(&server->rx);
        unix_put(server);
    }
}

static void unix_release(struct socket *sock)
{
    struct unix_socket *u = unix_of(sock);
    struct unix_socket *sender;
    name_drop(u);
    u->dead = true;
    sock->shutdown = SOCKET_SHUT_RCV | SOCKET_SHUT_SEND;
    backlog_drop(u);
    peer_hang_up(u, u->rx.count > 0);
    packet_queue_clear(&u->rx);
    /* Senders keep the dead target as peer and get ECONNREFUSED when they next send. */
    LIST_FOREACH (sender, &u->senders, sender_link)
        wake_up_all(&sender->sock.wait, WAKE_ALL_EVENTS);
    wake_up_all(&u->room_wait, 0);
    unix_put(u);
    unix_gc();
}

static int unix_setsockopt(struct socket *sock, int level, int name, const void *value, size_t size)
{
    (void)sock, (void)level, (void)name, (void)value, (void)size;
    return -EOPNOTSUPP;
}

static int unix_getsockopt(struct socket *sock, int level, int name, void *value, size_t *size)
{
    (void)sock, (void)level, (void)name, (void)value, (void)size;
    return -EOPNOTSUPP;
}

#define UNIX_COMMON_OPS                                                                                                \
    .bind = unix_bind, .connect = unix_connect, .getname = unix_getname, .shutdown = unix_shutdown, .poll = unix_poll, \
    .ioctl = unix_ioctl, .setsockopt = unix_setsockopt, .getsockopt = unix_getsockopt, .release = unix_release

static const struct socket_ops unix_stream_ops = {
    UNIX_COMMON_OPS, .listen = unix_listen, .accept = unix_accept, .send = unix_stream_send, .recv = unix_stream_recv,
};

static const struct socket_ops unix_dgram_ops = {
    UNIX_COMMON_OPS,
    .send = unix_packet_send,
    .recv = unix_packet_recv,
};

static const struct socket_ops unix_seqpacket_ops = {
    UNIX_COMMON_OPS, .listen = unix_listen, .accept = unix_accept, .send = unix_packet_send, .recv = unix_packet_recv,
};

/* Unix sockets: sending, receiving and polling. */
#include <asm/errno.h>
#include <asm/ioctls.h>
#include <asm/socket.h>
#include <linux/sockios.h>

#include "kernel/fs/poll.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/unix.h"
#include "kernel/sched/wait.h"

/* net.unix.max_dgram_qlen */
#define DGRAM_QUEUE_MAX 10

#define EVENTS_IN (EPOLLIN | EPOLLRDNORM)
#define EVENTS_OUT (EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND)

/* Credentials travel when either side asked for them. */
static int scm_add_credentials(struct message *msg, const struct unix_socket *from, const struct unix_socket *to)
{
    if (msg->scm && msg->scm->has_cred)
        return 0;
    if (!socket_option(&from->sock, SO_PASSCRED) && !socket_option(&to->sock, SO_PASSCRED))
        return 0;
    if (!msg->scm) {
        msg->scm = kzalloc(sizeof(*msg->scm));
        if (!msg->scm)
            return -ENOMEM;
    }
    msg->scm->cred = cred_self();
    msg->scm->has_cred = true;
    return 0;
}

static void scm_receive(struct unix_socket *u, struct message *msg, struct scm *scm)
{
    if (socket_option(&u->sock, SO_PASSCRED)) {
        struct ucred nobody = {0, 65534, 65534};
        message_put_control(msg, SOL_SOCKET, SCM_CREDENTIALS, scm && scm->has_cred ? &scm->cred : &nobody,
                            sizeof(struct ucred));
    }
    if (scm)
        scm_deliver_files(msg, scm);
}

static void scm_receive_peek(struct unix_socket *u, struct message *msg, struct scm *scm)
{
    struct scm *copy = scm ? scm_copy(scm) : NULL;
    scm_receive(u, msg, copy);
    scm_free(copy);
}

/* Stream */

static bool stream_writable(const struct unix_socket *u)
{
    return !u->peer || u->peer->rx.bytes * 4 <= u->sock.sndbuf;
}

static bool stream_room(const struct unix_socket *u)
{
    return u->peer->rx.bytes < u->sock.sndbuf;
}

static bool stream_broken(const struct unix_socket *u)
{
    return (u->sock.shutdown & SOCKET_SHUT_SEND) || u->peer->dead || (u->peer->sock.shutdown & SOCKET_SHUT_RCV);
}

/* Queue as much as there is room for; the message's scm goes with its first byte. */
static ssize_t stream_queue(struct unix_socket *u, struct message *msg, struct unix_socket *peer)
{
    size_t size = MIN(msg->iter.count, (size_t)u->sock.sndbuf - peer->rx.bytes);
    if (!msg->scm)
        return packet_stream_append(&peer->rx, &msg->iter, size);
    size = MIN(size, (size_t)65536);
    struct packet *packet = packet_new(size);
    if (!packet)
        return -ENOBUFS;
    packet->size = (uint32_t)copy_from_iter(&msg->iter, packet->data, size);
    int r = packet->size ? scm_queued(msg->scm) : -EFAULT;
    if (r < 0) {
        packet_free(packet);
        return r;
    }
    packet->scm = msg->scm;
    msg->scm = NULL;
    packet_queue_add(&peer->rx, packet);
    return (ssize_t)packet->size;
}

ssize_t unix_stream_send(struct socket *sock, struct message *msg, bool nonblock)
{
    struct unix_socket *u = unix_of(sock);
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->snd_timeout_ns);
    ssize_t done = 0;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->name_size)
        return u->state == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    if (u->state != UNIX_CONNECTED || !u->peer)
        return -ENOTCONN;
    struct unix_socket *peer = unix_get(u->peer);
    ssize_t r = 0;
    if (stream_broken(u))
        r = -EPIPE;
    else
        r = scm_add_credentials(msg, u, peer);
    socket_turn_take(sock, &sock->tx_turn);
    while (r >= 0 && msg->iter.count > 0) {
        if (stream_broken(u)) {
            r = -EPIPE;
            break;
        }
        if (!stream_room(u)) {
            if (nonblock) {
                r = -EAGAIN;
                break;
            }
            r = socket_wait_result(wait_event_deadline(&sock->wait, stream_writable(u) || stream_broken(u), deadline),
                                   deadline);
            continue;
        }
        r = stream_queue(u, msg, peer);
        if (r > 0) {
            done += r;
            wake_up(&peer->sock.wait, EVENTS_IN);
        }
    }
    socket_turn_give(sock, &sock->tx_turn);
    unix_put(peer);
    return done ? done : r;
}

static bool stream_readable(const struct unix_socket *u)
{
    return u->rx.bytes > 0 || (u->sock.shutdown & SOCKET_SHUT_RCV) || u->sock.error;
}

static void reader_made_room(struct unix_socket *u)
{
    if (u->peer && stream_writable(u->peer) && wait_queue_active(&u->peer->sock.wait))
        wake_up(&u->peer->sock.wait, EVENTS_OUT);
}

/* What one recvmsg gathers: files of at most one packet, bytes of senders with the same credentials (if passed). */
struct stream_read {
    struct scm *scm; /* files to deliver, owned */
    struct ucred cred;
    bool have_cred;
    bool stop;
};

static bool same_sender(const struct unix_socket *u, const struct packet *packet, struct stream_read *read)
{
    struct ucred cred = {0, 65534, 65534};
    if (!socket_option(&u->sock, SO_PASSCRED))
        return true;
    if (packet->scm && packet->scm->has_cred)
        cred = packet->scm->cred;
    if (!read->have_cred) {
        read->cred = cred;
        read->have_cred = true;
        return true;
    }
    return cred.pid == read->cred.pid && cred.uid == read->cred.uid && cred.gid == read->cred.gid;
}

/* The packet's files go to the reader; its credentials stay for what is left of its bytes. */
static void take_files(struct packet *packet, struct stream_read *read)
{
    struct scm *scm = packet->scm;
    if (!scm || !scm->file_count)
        return;
    scm_dequeued(scm);
    packet->scm = NULL;
    if (scm->has_cred) {
        packet->scm = kzalloc(sizeof(*packet->scm));
        if (packet->scm) {
            packet->scm->cred = scm->cred;
            packet->scm->has_cred = true;
        }
    }
    read->scm = scm;
}

static void packet_drop_read(struct unix_socket *u, struct packet *packet)
{
    if (packet->offset != packet->size || packet->busy)
        return;
    TAILQ_REMOVE(&u->rx.packets, packet, link);
    u->rx.count--;
    packet_free(packet);
}

/* Read on until the message is full or something says stop. Bytes, 0 if there are none, -EFAULT. */
static ssize_t stream_take(struct unix_socket *u, struct message *msg, struct stream_read *read)
{
    bool peek = (msg->flags & MSG_PEEK) != 0;
    size_t offset = socket_peek_offset(&u->sock, msg);
    struct packet *packet = packet_queue_first(&u->rx), *next;
    ssize_t done = 0;
    for (; packet && msg->iter.count > 0 && !read->stop; packet = next) {
        size_t there = packet->size - packet->offset;
        next = TAILQ_NEXT(packet, link);
        if (offset >= there) {
            offset -= there;
            continue;
        }
        if (!same_sender(u, packet, read)) {
            read->stop = true;
            break;
        }
        size_t wanted = MIN(there - offset, msg->iter.count);
        size_t n = copy_to_iter(&msg->iter, packet->data + packet->offset + offset, wanted);
        done += (ssize_t)n;
        offset = 0;
        read->stop = n < wanted;
        if (peek) {
            if (packet->scm && packet->scm->file_count) {
                read->scm = scm_copy(packet->scm);
                read->stop = true;
            }
            continue;
        }
        packet->offset += (uint32_t)n;
        u->rx.bytes -= n;
        take_files(packet, read);
        if (read->scm)
            read->stop = true;
        packet_drop_read(u, packet);
    }
    return done || !read->stop || read->have_cred ? done : -EFAULT;
}

static void stream_deliver(struct message *msg, struct stream_read *read)
{
    if (read->have_cred)
        message_put_control(msg, SOL_SOCKET, SCM_CREDENTIALS, &read->cred, sizeof(read->cred));
    if (read->scm) {
        scm_deliver_files(msg, read->scm);
        scm_free(read->scm);
    }
}

ssize_t unix_stream_recv(struct socket *sock, struct message *msg, bool nonblock)
{
    struct unix_socket *u = unix_of(sock);
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->rcv_timeout_ns);
    size_t target = msg->flags & MSG_WAITALL ? msg->iter.count : MIN((size_t)sock->rcvlowat, msg->iter.count);
    struct stream_read read = {0};
    ssize_t done = 0, r = 0;
    if (u->state != UNIX_CONNECTED)
        return -EINVAL;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    socket_turn_take(sock, &sock->rx_turn);
    for (;;) {
        r = u->rx.bytes > socket_peek_offset(sock, msg) ? stream_take(u, msg, &read) : 0;
        if (r > 0) {
            done += r;
            if (!(msg->flags & MSG_PEEK))
                reader_made_room(u);
        }
        if (r < 0 || read.stop || (size_t)done >= target || (done && (msg->flags & MSG_PEEK)))
            break;
        if (r > 0)
            continue;
        r = done ? 0 : socket_take_error(sock);
        if (r < 0 || sock->error || (sock->shutdown & SOCKET_SHUT_RCV))
            break;
        if (nonblock) {
            r = -EAGAIN;
            break;
        }
        socket_turn_give(sock, &sock->rx_turn);
        r = socket_wait_result(wait_event_deadline(&sock->wait, stream_readable(u), deadline), deadline);
        socket_turn_take(sock, &sock->rx_turn);
        if (r < 0)
            break;
    }
    socket_turn_give(sock, &sock->rx_turn);
    stream_deliver(msg, &read);
    if (done > 0 && sock->peek_off >= 0)
        sock->peek_off = msg->flags & MSG_PEEK ? sock->peek_off + (int)done : MAX(sock->peek_off - (int)done, 0);
    return done ? done : r;
}

/* Datagram and seqpacket */

bool unix_queue_full(const struct unix_socket *target)
{
    return target->rx.count > DGRAM_QUEUE_MAX;
}

/* Where this message goes: a referenced target, or -errno. */
static int packet_target(struct unix_socket *u, struct message *msg, struct unix_socket **ret_target)
{
    if (u->sock.type == SOCK_SEQPACKET) {
        if (u->state != UNIX_CONNECTED || !u->peer)
            return -ENOTCONN;
        *ret_target = unix_get(u->peer);
        return 0;
    }
    if (!msg->name_size) {
        if (!u->peer)
            return -ENOTCONN;
        *ret_target = unix_get(u->peer);
        return 0;
    }
    struct sockaddr_un addr;
    struct unix_socket *target;
    int r = unix_check_address(msg->name, msg->name_size, &addr);
    if (r == 0)
        r = unix_find(&addr, msg->name_size, u->sock.type, &target);
    if (r < 0)
        return r;
    if (target->peer && target->peer != u)
        return -EPERM;
    *ret_target = unix_get(target);
    return 0;
}

/* Why sending to target fails now: 0 if it does not. */
static int packet_refused(struct unix_socket *u, const struct unix_socket *target)
{
    if (u->sock.shutdown & SOCKET_SHUT_SEND)
        return -EPIPE;
    if (target->dead)
        return u->sock.type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
    if (target->sock.shutdown & SOCKET_SHUT_RCV)
        return -EPIPE;
    return 0;
}

static bool packet_room(const struct unix_socket *u, const struct unix_socket *target, size_t size)
{
    if (target->rx.count == 0)
        return true;
    if (u->sock.type == SOCK_SEQPACKET || target->peer == u)
        return target->rx.bytes + size <= u->sock.sndbuf;
    return !unix_queue_full(target);
}

static ssize_t packet_queue_message(struct unix_socket *u, struct unix_socket *target, struct message *msg,
                                    struct packet *packet)
{
    int r = scm_add_credentials(msg, u, target);
    if (r == 0)
        r = scm_queued(msg->scm);
    if (r < 0)
        return r;
    packet->scm = msg->scm;
    msg->scm = NULL;
    packet->name_size = u->name_size;
    memcpy(packet->name, &u->name, MIN((size_t)u->name_size, sizeof(u->name)));
    packet_queue_add(&target->rx, packet);
    wake_up(&target->sock.wait, EVENTS_IN);
    return (ssize_t)packet->size;
}

ssize_t unix_packet_send(struct socket *sock, struct message *msg, bool nonblock)
{
    struct unix_socket *u = unix_of(sock);
    struct unix_socket *target;
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->snd_timeout_ns);
    size_t size = msg->iter.count;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (sock->type == SOCK_DGRAM && socket_option(sock, SO_PASSCRED)) {
        int e = unix_autobind(u);
        if (e < 0)
            return e;
    }
    ssize_t r = packet_target(u, msg, &target);
    if (r < 0)
        return r;
    struct packet *packet = NULL;
    r = -EMSGSIZE;
    if (size > sock->sndbuf - 32)
        goto out;
    r = -ENOBUFS;
    packet = packet_new(size);
    if (!packet)
        goto out;
    packet->size = (uint32_t)copy_from_iter(&msg->iter, packet->data, size);
    r = packet->size < size ? -EFAULT : 0;
    while (r == 0) {
        r = packet_refused(u, target);
        if (r < 0 || packet_room(u, target, size))
            break;
        if (nonblock) {
            r = -EAGAIN;
            break;
        }
        r = socket_wait_result(wait_event_deadline(&target->room_wait,
                                                   packet_room(u, target, size) || packet_refused(u, target), deadline),
                               deadline);
    }
    if (r == -ECONNREFUSED && !msg->name_size && sock->type == SOCK_DGRAM && u->peer == target) {
        LIST_REMOVE(u, sender_link);
        u->peer = NULL;
        u->state = UNIX_CLOSED;
        unix_put(target);
    }
    if (r == 0) {
        r = packet_queue_message(u, target, msg, packet);
        if (r >= 0)
            packet = NULL;
    }
out:
    packet_free(packet);
    unix_put(target);
    return r;
}

static void packet_made_room(struct unix_socket *u)
{
    struct unix_socket *sender;
    wake_up_all(&u->room_wait, 0);
    if (u->sock.type == SOCK_SEQPACKET) {
        reader_made_room(u);
        return;
    }
    LIST_FOREACH (sender, &u->senders, sender_link)
        if (wait_queue_active(&sender->sock.wait))
            wake_up(&sender->sock.wait, EVENTS_OUT);
}

/* Wait until a packet is there, and take the turn to read it. */
static int packet_wait(struct unix_socket *u, bool nonblock)
{
    struct socket *sock = &u->sock;
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->rcv_timeout_ns);
    for (;;) {
        socket_turn_take(sock, &sock->rx_turn);
        if (u->rx.count > 0)
            return 1;
        socket_turn_give(sock, &sock->rx_turn);
        int r = socket_take_error(sock);
        if (r < 0)
            return r;
        if (sock->shutdown & SOCKET_SHUT_RCV)
            return sock->type == SOCK_SEQPACKET || !nonblock ? 0 : -EAGAIN;
        if (nonblock)
            return -EAGAIN;
        r = wait_event_deadline(&sock->wait, u->rx.count > 0 || sock->error || (sock->shutdown & SOCKET_SHUT_RCV),
                                deadline);
        if (r < 0)
            return socket_wait_result(r, deadline);
    }
}

static ssize_t packet_copy(struct unix_socket *u, struct message *msg, const struct packet *packet)
{
    size_t offset = MIN((size_t)socket_peek_offset(&u->sock, msg), (size_t)packet->size);
    size_t there = packet->size - offset;
    size_t n = MIN(there, msg->iter.count);
    if (there > n)
        msg->out_flags |= MSG_TRUNC;
    if (msg->want_name) {
        msg->name_size = packet->name_size;
        memcpy(msg->name, packet->name, MIN((size_t)packet->name_size, sizeof(struct sockaddr_un)));
    }
    if (copy_to_iter(&msg->iter, packet->data + offset, n) < n)
        return -EFAULT;
    return (ssize_t)(msg->flags & MSG_TRUNC ? there : n);
}

ssize_t unix_packet_recv(struct socket *sock, struct message *msg, bool nonblock)
{
    struct unix_socket *u = unix_of(sock);
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (sock->type == SOCK_SEQPACKET && u->state != UNIX_CONNECTED)
        return -ENOTCONN;
    ssize_t result = packet_wait(u, nonblock);
    if (result <= 0)
        return result;
    if (msg->flags & MSG_PEEK) {
        struct packet *first = packet_queue_first(&u->rx);
        result = packet_copy(u, msg, first);
        scm_receive_peek(u, msg, first->scm);
        socket_turn_give(sock, &sock->rx_turn);
        return result;
    }
    struct packet *packet = packet_queue_take(&u->rx);
    socket_turn_give(sock, &sock->rx_turn);
    packet_made_room(u);
    result = packet_copy(u, msg, packet);
    scm_receive(u, msg, packet->scm);
    packet_free(packet);
    return result;
}

/* Polling */

uint32_t unix_poll(struct socket *sock, struct file *file, struct poll_table *table)
{
    struct unix_socket *u = unix_of(sock);
    uint32_t events = 0;
    poll_wait(table, file, &sock->wait);
    if (u->state == UNIX_LISTEN)
        return TAILQ_EMPTY(&u->backlog) ? 0 : EVENTS_IN;
    if (sock->error)
        events |= EPOLLERR;
    if (sock->shutdown == (SOCKET_SHUT_RCV | SOCKET_SHUT_SEND))
        events |= EPOLLHUP;
    if (sock->shutdown & SOCKET_SHUT_RCV)
        events |= EPOLLRDHUP | EVENTS_IN;
    if (u->rx.count > 0 && (u->rx.bytes > 0 || sock->type != SOCK_STREAM))
        events |= EVENTS_IN;
    if (sock->type != SOCK_DGRAM && u->state == UNIX_CLOSED)
        events |= EPOLLHUP;
    bool writable = true;
    if (sock->type == SOCK_DGRAM)
        writable = !u->peer || u->peer->dead || packet_room(u, u->peer, 1);
    else
        writable = stream_writable(u);
    if (writable)
        events |= EVENTS_OUT;
    return events;
}

int64_t unix_ioctl(struct socket *sock, unsigned command, uaddr_t arg)
{
    struct unix_socket *u = unix_of(sock);
    uint32_t value;
    switch (command) {
    case SIOCINQ:
        if (u->state == UNIX_LISTEN)
            return -EINVAL;
        if (sock->type == SOCK_STREAM || sock->type == SOCK_SEQPACKET)
            value = (uint32_t)u->rx.bytes;
        else
            value = u->rx.count ? packet_queue_first(&u->rx)->size : 0;
        return put_user32(arg, value);
    case SIOCOUTQ:
        return put_user32(arg, u->peer && sock->type != SOCK_DGRAM ? (uint32_t)u->peer->rx.bytes : 0);
    default:
        return -ENOTTY;
    }
}

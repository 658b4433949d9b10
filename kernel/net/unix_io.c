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

/* Read runs of bytes until the message is full or the ancillary data changes. */
static ssize_t stream_take(struct unix_socket *u, struct message *msg, bool *ret_stop)
{
    bool peek = (msg->flags & MSG_PEEK) != 0;
    bool pass_cred = socket_option(&u->sock, SO_PASSCRED);
    size_t offset = socket_peek_offset(&u->sock, msg);
    struct packet *packet = packet_queue_first(&u->rx);
    ssize_t done = 0;
    while (packet && offset >= packet->size - packet->offset) {
        offset -= packet->size - packet->offset;
        packet = TAILQ_NEXT(packet, link);
    }
    if (!packet)
        return 0;
    if (packet->scm || pass_cred) {
        /* One packet at a time: its bytes, then what came with it. */
        struct scm *scm = packet->scm;
        size_t size = MIN(msg->iter.count, (size_t)(packet->size - packet->offset - offset));
        if (peek) {
            done = (ssize_t)copy_to_iter(&msg->iter, packet->data + packet->offset + offset, size);
            scm_receive_peek(u, msg, scm);
        } else {
            struct scm cred_only = scm ? (struct scm){.cred = scm->cred, .has_cred = scm->has_cred} : (struct scm){0};
            bool has_files = scm && scm->file_count;
            bool last = size == packet->size - packet->offset;
            if (has_files || last)
                packet->scm = NULL;
            done = packet_stream_read(&u->rx, &msg->iter, 0, size, false);
            scm_receive(u, msg, has_files ? scm : &cred_only);
            if (has_files && !last && !packet->scm && cred_only.has_cred) {
                scm->file_count = 0;
                packet->scm = scm; /* later bytes keep the sender's credentials */
            } else if (has_files || last) {
                scm_free(scm);
            }
        }
        *ret_stop = true;
        return done < (ssize_t)size && done == 0 ? -EFAULT : done;
    }
    size_t run = 0;
    for (struct packet *p = packet; p && !p->scm; p = TAILQ_NEXT(p, link))
        run += p->size - p->offset;
    run -= offset;
    *ret_stop = run < u->rx.bytes - offset;
    return packet_stream_read(&u->rx, &msg->iter, socket_peek_offset(&u->sock, msg), MIN(msg->iter.count, run), peek);
}

ssize_t unix_stream_recv(struct socket *sock, struct message *msg, bool nonblock)
{
    struct unix_socket *u = unix_of(sock);
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->rcv_timeout_ns);
    size_t wanted = msg->flags & MSG_WAITALL ? msg->iter.count : MIN((size_t)sock->rcvlowat, msg->iter.count);
    ssize_t done = 0, r = 0;
    bool stop = false;
    if (u->state != UNIX_CONNECTED)
        return -EINVAL;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    socket_turn_take(sock, &sock->rx_turn);
    while (!stop) {
        r = u->rx.bytes > socket_peek_offset(sock, msg) ? stream_take(u, msg, &stop) : 0;
        if (r < 0)
            break;
        if (r > 0) {
            done += r;
            if (!(msg->flags & MSG_PEEK))
                reader_made_room(u);
            else
                break;
        }
        if (stop || (size_t)done >= wanted)
            break;
        if (r > 0)
            continue;
        r = socket_take_error(sock);
        if (r < 0 || (sock->shutdown & SOCKET_SHUT_RCV))
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
    if (done && (msg->flags & MSG_PEEK) && sock->peek_off >= 0)
        sock->peek_off += (int)done;
    else if (done > 0 && sock->peek_off > 0)
        sock->peek_off -= MIN(sock->peek_off, (int)done);
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
    if (u->sock.type == SOCK_SEQPACKET)
        msg->out_flags |= MSG_EOR;
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

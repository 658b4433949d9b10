/*
 * Urgent data of connections inside, as net/ipv4/tcp_input.c keeps it: the last byte of what was sent with MSG_OOB is
 * marked. It stays in the queue, at its place; a read ends before it, and the next one passes over it unless it is to
 * be read inline. Only the last mark is remembered.
 */
#include <asm/errno.h>
#include <asm/signal.h>
#include <asm/socket.h>

#include "kernel/net/tcp.h"
#include "kernel/process/kill.h"

static bool is_inline(const struct tcp_socket *t)
{
    return socket_option(&t->in.sock, SO_OOBINLINE);
}

static void discard_byte(struct tcp_socket *t)
{
    packet_stream_discard(&t->rx, 1);
    t->rx_bytes++;
    t->urgent = TCP_URGENT_NONE;
}

uint32_t tcp_urgent_pass(struct tcp_socket *t, bool peek)
{
    if (is_inline(t))
        return 0;
    if (peek)
        return 1;
    discard_byte(t);
    return 0;
}

void tcp_urgent_mark(struct tcp_socket *t, uint64_t at)
{
    const struct packet *last = TAILQ_LAST(&t->rx.packets, packet_list);
    const struct file *file = t->in.sock.file;
    /* An older one that is next to be read goes; who reads right now has passed over it. */
    if (t->urgent && tcp_at_mark(t, 0) && !is_inline(t) && !t->in.sock.rx_turn)
        discard_byte(t);
    t->urgent = TCP_URGENT_THERE;
    t->urgent_at = at;
    t->urgent_byte = last->data[last->size - 1];
    if (file && file->owner_pid)
        signal_send_owner(file, SIGURG);
}

ssize_t tcp_urgent_recv(struct tcp_socket *t, struct message *msg)
{
    uint8_t byte = t->urgent_byte;
    if (is_inline(t) || t->urgent != TCP_URGENT_THERE)
        return -EINVAL;
    if (t->state == TCP_S_ENDED && !t->rx_fin)
        return -ENOTCONN;
    if (!(msg->flags & MSG_PEEK))
        t->urgent = TCP_URGENT_READ;
    msg->out_flags |= MSG_OOB;
    if (msg->iter.count == 0) {
        msg->out_flags |= MSG_TRUNC;
        return 0;
    }
    if (!(msg->flags & MSG_TRUNC) && copy_to_iter(&msg->iter, &byte, 1) != 1)
        return -EFAULT;
    return 1;
}

uint32_t tcp_urgent_poll(const struct tcp_socket *t, uint32_t *lowat)
{
    if (tcp_at_mark(t, 0) && !is_inline(t))
        ++*lowat;
    return t->urgent == TCP_URGENT_THERE ? EPOLLPRI : 0;
}

uint32_t tcp_urgent_inq(const struct tcp_socket *t)
{
    return is_inline(t) ? (uint32_t)t->rx.bytes : (uint32_t)(t->urgent_at - t->rx_bytes);
}

/*
 * TCP sockets. Where the bytes go is the socket's carrier: a channel (in.chan) or the peer socket inside (pair).
 *
 *   CLOSED -> LISTEN
 *   CLOSED -> CONNECTING -> CONNECTED -> ENDED (reset, or the connect failed)
 *
 * A connection inside: each of the pair has its own rx queue, which the other appends to. An end that is gone leaves
 * pair NULL.
 */
#ifndef COFRE_KERNEL_NET_TCP_H
#define COFRE_KERNEL_NET_TCP_H

#include <linux/tcp.h>

#include "kernel/net/inet.h"
#include "kernel/sched/wait.h"

enum { TCP_URGENT_NONE, TCP_URGENT_THERE, TCP_URGENT_READ };
enum tcp_state { TCP_S_CLOSED, TCP_S_LISTEN, TCP_S_CONNECTING, TCP_S_CONNECTED, TCP_S_ENDED };

struct tcp_socket {
    struct inet_socket in;
    enum tcp_state state;
    unsigned refcount;
    bool connect_told; /* the outcome of a non-blocking connect was returned or is not owed */
    bool error_taken;  /* from the channel */
    bool tx_closed;    /* the host cannot send any more */
    bool rx_fin;       /* the other end sends no more */
    bool inside;       /* was connected inside */
    bool recalled;     /* kernel/net/loan.h: a borrower's, to be given back or given back */
    uint8_t recalls;   /* so often was it lent and called back */
    void *loan;        /* of whoever lent it, or borrowed it */
    uint64_t rx_bytes, tx_bytes;

    /* inside */
    struct tcp_socket *pair; /* referenced */
    struct packet_queue rx;
    uint32_t rx_max; /* bytes that may wait there */
    uint8_t urgent;  /* TCP_URGENT_* */
    uint8_t urgent_byte;
    uint64_t urgent_at; /* as rx_bytes counts */

    /* listening */
    TAILQ_HEAD(tcp_backlog, tcp_socket) backlog; /* connections inside, waiting for accept */
    TAILQ_ENTRY(tcp_socket) backlog_link;
    int backlog_count, backlog_max;
    bool demand;                                 /* the host accepts when it is asked to, not by itself */
    bool shared;                                 /* other enclaves may accept from the same host socket */
    uint64_t joined_ns;                          /* when the last connection came from inside */
    struct timer ask_again;                      /* to hear of the next connection: tcp_news() */
    TAILQ_HEAD(tcp_waiting, tcp_socket) waiting; /* connecting inside while the backlog is full */
    TAILQ_ENTRY(tcp_socket) waiting_link;
    struct tcp_socket *waits_for; /* not referenced: the listener drops its list when it goes */

    struct inet_cold cold;
};

static inline struct tcp_socket *tcp_of(struct socket *sock)
{
    return (struct tcp_socket *)sock;
}

#define TCP_INSIDE_MAX (1U << 20) /* bytes that wait in one direction inside, unless buffer sizes were set */

/* kernel/net/tcp.c */
extern const struct socket_ops tcp_ops;
struct tcp_socket *tcp_new(int family) must_check;
int tcp_getname(struct socket *sock, bool peer, void *addr);
int tcp_shutdown(struct socket *sock, int how);
int tcp_accept(struct socket *sock, bool nonblock, struct socket **ret_accepted);
/* Until there may be something to accept; t may listen no more then. 0, or as accept(2) ends that waits no longer. */
int tcp_accept_wait(struct tcp_socket *t, uint64_t deadline);
/* Has the host accept on demand, or by itself. 0 or -errno. */
must_check int tcp_demand(struct tcp_socket *t, bool demand);
/* A connection may be there; for poll. If not, news will come of one. */
bool tcp_acceptable(struct tcp_socket *t);
struct tcp_socket *tcp_get(struct tcp_socket *t);
void tcp_put(struct tcp_socket *t);
void tcp_end(struct tcp_socket *t, int error); /* the connection is broken: error is told once, then EOF and EPIPE */
/* t is inside: how many bytes may wait there now, in both directions. */
void tcp_pair_size(struct tcp_socket *t);
/* Linux's states of a connection (net/tcp_states.h), as far as there are such here. */
enum {
    TCP_L_ESTABLISHED = 1,
    TCP_L_SYN_SENT,
    TCP_L_FIN_WAIT2 = 5,
    TCP_L_CLOSE = 7,
    TCP_L_CLOSE_WAIT,
    TCP_L_LISTEN = 10
};
/* One of these; of a lent connection as it was when it went. */
uint8_t tcp_linux_state(struct tcp_socket *t);
/* Bytes to be read (connections to be accepted), bytes the host has yet to take; 0 of a lent connection. */
void tcp_queued(struct tcp_socket *t, uint32_t *ret_rx, uint32_t *ret_tx);
void tcp_info_fill(struct inet_socket *in, struct tcp_info *info);

/* kernel/net/tcp_io.c */
ssize_t tcp_send(struct socket *sock, struct message *msg, bool nonblock);
ssize_t tcp_recv(struct socket *sock, struct message *msg, bool nonblock);
void tcp_option_changed(struct socket *sock, int name);
uint32_t tcp_poll(struct socket *sock, struct file *file, struct poll_table *table);
int64_t tcp_ioctl(struct socket *sock, unsigned command, uaddr_t arg);
uint32_t tcp_rx_used(struct tcp_socket *t);
/* Looks at the channel's events; takes its error. Bytes that came before are still in the ring. */
uint32_t tcp_look(struct tcp_socket *t);

/* Urgent data (kernel/net/tcp_urgent.c); while t->urgent is not NONE, its byte has not been passed. */
/* Is the urgent byte what is to be read from offset on? */
static inline bool tcp_at_mark(const struct tcp_socket *t, uint32_t offset)
{
    return t->urgent && t->urgent_at == t->rx_bytes + offset;
}
/* Of size bytes from offset on, those that one read may give. */
static inline size_t tcp_until_mark(const struct tcp_socket *t, uint32_t offset, size_t size)
{
    uint64_t here = t->rx_bytes + offset;
    return t->urgent && t->urgent_at > here ? MIN(size, (size_t)(t->urgent_at - here)) : size;
}
/* At the mark, by who has the rx turn: the urgent byte is consumed, or 1 = to be passed over (peek); 0 inline. */
uint32_t tcp_urgent_pass(struct tcp_socket *t, bool peek);
/* The last byte in t's queue, sent as number `at`, is urgent: takes the place of an older mark, signals SIGURG. */
void tcp_urgent_mark(struct tcp_socket *t, uint64_t at);
/* recv with MSG_OOB. 1, 0, -EINVAL (there is none, or it is inline), -ENOTCONN, -EFAULT. */
ssize_t tcp_urgent_recv(struct tcp_socket *t, struct message *msg);
/* EPOLLPRI or 0; the urgent byte does not count as one that makes t readable. */
uint32_t tcp_urgent_poll(const struct tcp_socket *t, uint32_t *lowat);
/* SIOCINQ */
uint32_t tcp_urgent_inq(const struct tcp_socket *t);

#endif

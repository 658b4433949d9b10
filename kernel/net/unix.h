/*
 * Unix sockets. A unix_socket lives as long as its file or anybody that names it as peer: references are counted.
 *
 * Connected stream and seqpacket sockets name each other in `peer`; a datagram socket names where it sends to, and is
 * on that one's `senders` list. The bytes a socket will read wait in its own rx queue.
 */
#ifndef COFRE_KERNEL_NET_UNIX_H
#define COFRE_KERNEL_NET_UNIX_H

#include <linux/un.h>

#include "kernel/lib/list.h"
#include "kernel/net/packet.h"
#include "kernel/net/scm.h"
#include "kernel/net/socket.h"

struct inode;

enum unix_state { UNIX_CLOSED, UNIX_LISTEN, UNIX_CONNECTED };

struct unix_socket {
    struct socket sock;
    unsigned refcount;
    enum unix_state state;
    bool dead;                /* its file is gone */
    struct unix_socket *peer; /* referenced */
    struct packet_queue rx;
    struct wait_queue room_wait; /* datagram senders and connectors waiting for this one's queue */

    /* name */
    uint32_t name_size; /* of name, 0 = unbound */
    struct sockaddr_un name;
    struct inode *inode; /* referenced: where a path name is bound */
    LIST_ENTRY(unix_socket) name_link;

    /* listening */
    TAILQ_HEAD(unix_backlog, unix_socket) backlog;
    TAILQ_ENTRY(unix_socket) backlog_link;
    int backlog_count, backlog_max;

    /* datagram sockets connected to this one */
    LIST_HEAD(unix_senders, unix_socket) senders;
    LIST_ENTRY(unix_socket) sender_link;

    /* kernel/net/unix_gc.c */
    unsigned in_flight; /* references to its file from queued messages */
    unsigned gc_count;
    bool gc_candidate;
    TAILQ_ENTRY(unix_socket) flight_link;
};

static inline struct unix_socket *unix_of(struct socket *sock)
{
    return (struct unix_socket *)sock;
}

/* kernel/net/unix.c */
struct unix_socket *unix_get(struct unix_socket *u);
void unix_put(struct unix_socket *u);
int unix_find(const struct sockaddr_un *addr, size_t size, int type, struct unix_socket **ret_target) must_check;
int unix_check_address(const void *addr, size_t size, struct sockaddr_un *ret_addr) must_check;
int unix_autobind(struct unix_socket *u);

/* kernel/net/unix_io.c */
ssize_t unix_stream_send(struct socket *sock, struct message *msg, bool nonblock);
ssize_t unix_stream_recv(struct socket *sock, struct message *msg, bool nonblock);
ssize_t unix_packet_send(struct socket *sock, struct message *msg, bool nonblock);
ssize_t unix_packet_recv(struct socket *sock, struct message *msg, bool nonblock);
uint32_t unix_poll(struct socket *sock, struct file *file, struct poll_table *table);
int64_t unix_ioctl(struct socket *sock, unsigned command, uaddr_t arg);
bool unix_queue_full(const struct unix_socket *target);

/* kernel/net/unix_gc.c */
int unix_flight_check(const struct scm *scm) must_check;
void unix_flight_begin(struct scm *scm);
void unix_flight_end(struct scm *scm);
/* A unix socket was closed: free the sockets that only messages in their own queues still hold. */
void unix_gc(void);

#endif

/*
 * Sockets, whatever their family: the object behind a socket file, the message that send and receive pass around, and
 * the operations a family gives. A family embeds struct socket first in its own.
 *
 * All of it is under the kernel lock. Copies to and from the application may sleep in a page fault, so whoever copies
 * into or out of a socket's buffers in several steps holds its rx or tx turn (socket_turn_take) meanwhile.
 */
#ifndef COFRE_KERNEL_NET_SOCKET_H
#define COFRE_KERNEL_NET_SOCKET_H

#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/list.h"
#include "kernel/lib/types.h"
#include "kernel/mm/uio.h"
#include "kernel/net/socket_types.h"
#include "kernel/sched/wait.h"

struct socket;
struct scm;

struct message {
    struct iov_iter iter;
    unsigned flags;             /* MSG_* as given */
    unsigned out_flags;         /* MSG_TRUNC, MSG_CTRUNC, MSG_EOR...: what recvmsg reports */
    bool want_name;             /* recv: name is worth filling */
    bool has_control;           /* recv: control has room, or is to be flagged as cut */
    uint32_t name_size;         /* send: 0 = none; recv: set by the family, 0 = none */
    int16_t hops[2], tclass[2]; /* send, by IPv4 and by IPv6: ip_control.h; -1 = as the socket's options say */
    struct scm *scm; /* send: ancillary data, taken over by the family (set to NULL) or freed by the caller */
    uaddr_t control; /* recv: where the next cmsg goes */
    size_t control_left;
    uint8_t name[MSG_NAME_MAX];
};

/* Optional ones may be NULL: EOPNOTSUPP. nonblock: O_NONBLOCK or MSG_DONTWAIT. */
struct socket_ops {
    int (*bind)(struct socket *sock, const void *addr, size_t size);
    int (*connect)(struct socket *sock, const void *addr, size_t size, bool nonblock);
    int (*listen)(struct socket *sock, int backlog);                                 /* optional */
    int (*accept)(struct socket *sock, bool nonblock, struct socket **ret_accepted); /* optional */
    /* Writes at most MSG_NAME_MAX bytes; size or -errno. */
    int (*getname)(struct socket *sock, bool peer, void *addr);
    ssize_t (*send)(struct socket *sock, struct message *msg, bool nonblock);
    ssize_t (*recv)(struct socket *sock, struct message *msg, bool nonblock);
    int (*shutdown)(struct socket *sock, int how); /* optional */
    uint32_t (*poll)(struct socket *sock, struct file *file, struct poll_table *table);
    /* Options the generic layer does not know; size is at most 256. Optional (ENOPROTOOPT). */
    int (*setsockopt)(struct socket *sock, int level, int name, const void *value, size_t size);
    /* value has room for *size (at most 256); sets *size. */
    int (*getsockopt)(struct socket *sock, int level, int name, void *value, size_t *size);
    int64_t (*ioctl)(struct socket *sock, unsigned command, uaddr_t arg); /* optional */
    void (*option_changed)(struct socket *sock, int name);                /* optional: a SOL_SOCKET option was set */
    void (*release)(struct socket *sock);                                 /* frees sock */
    void (*settle)(struct socket *sock);                                  /* optional: see socket_settle() */
};

enum { SOCKET_SHUT_RCV = 1, SOCKET_SHUT_SEND = 2 };

/* The first two lines are what every read, write, poll and wake-up uses. */
struct socket {
    const struct socket_ops *ops;
    struct wait_queue wait;
    int error;    /* SO_ERROR: positive, reported once */
    int peek_off; /* SO_PEEK_OFF, -1 = off */
    uint32_t rcvlowat;
    uint16_t family, type, protocol;
    uint8_t shutdown; /* SOCKET_SHUT_* */
    bool rx_turn, tx_turn, turn_wanted;
    bool listening;                          /* SO_ACCEPTCONN */
    uint64_t rcv_timeout_ns, snd_timeout_ns; /* 0 = none */
    struct file *file;                       /* not referenced; NULL while in an accept queue */
    uint32_t rcvbuf, sndbuf;
    uint32_t priority, mark;
    uint64_t options; /* bit n = boolean option SO_n is on; SO_SNDBUF, SO_RCVBUF: was set */
    struct linger linger;
    struct ucred peer_cred;
    TAILQ_ENTRY(socket) link; /* of those of its kind */
    uint64_t serial;          /* rises along that list */
};

/* What /proc/net lists. */
enum socket_kind { SOCKETS_TCP, SOCKETS_UDP, SOCKETS_UNIX, SOCKETS_LISTED };

void socket_init(void);

/* Fills the generic part; sock is zeroed memory of the family's struct. */
void socket_setup(struct socket *sock, const struct socket_ops *ops, int family, int type, int protocol);
/* Its memory is about to be freed. */
void socket_forget(struct socket *sock);
/* The oldest socket of a kind that was made after the one with this serial number; NULL. */
struct socket *socket_after(enum socket_kind kind, uint64_t serial);
/* The next one; NULL. */
static inline struct socket *socket_next(const struct socket *sock)
{
    return TAILQ_NEXT(sock, link);
}
/* The socket behind a file, or NULL if it is no socket. */
struct socket *socket_of_file(struct file *file);
/* A file for sock; on failure sock is released. */
struct file *socket_file_new(struct socket *sock, unsigned flags) must_check;

/* Another enclave may have it (kernel/net/loan.h): it is here again when this returns. May sleep. */
static inline void socket_settle(struct socket *sock)
{
    if (unlikely(sock->ops->settle != NULL))
        sock->ops->settle(sock);
}

static inline bool socket_option(const struct socket *sock, int name)
{
    return sock->options >> name & 1;
}

/* Takes the pending error: 0 or negative errno. */
static inline int socket_take_error(struct socket *sock)
{
    int error = sock->error;
    sock->error = 0;
    return -error;
}

static inline uint64_t socket_peek_offset(const struct socket *sock, const struct message *msg)
{
    return (msg->flags & MSG_PEEK) && sock->peek_off > 0 ? (uint64_t)sock->peek_off : 0;
}

uint64_t socket_deadline(uint64_t timeout_ns);
/* What a wait_event_deadline() result means for a socket call: 0, -EAGAIN (time is up), -ERESTARTSYS or -EINTR. */
int socket_wait_result(int result, uint64_t deadline_ns);

void socket_turn_take(struct socket *sock, bool *turn);
void socket_turn_give(struct socket *sock, bool *turn);

/* Generic option layer (kernel/net/sockopt.c); value is already in kernel memory. */
int socket_setsockopt(struct socket *sock, int level, int name, const void *value, size_t size);
int socket_getsockopt(struct socket *sock, int level, int name, void *value, size_t *size);

/* Interface ioctls that any socket answers (kernel/net/interface.c); -ENOTTY if it is none of them. */
int64_t interface_ioctl(unsigned command, uaddr_t arg);

/* Families. */
int inet_socket_new(int family, int type, int protocol, struct socket **ret_sock) must_check;
int unix_socket_new(int type, int protocol, struct socket **ret_sock) must_check;
int unix_socket_pair(int type, int protocol, struct socket *ret_pair[2]) must_check;
int netlink_socket_new(int type, int protocol, struct socket **ret_sock) must_check;

#endif

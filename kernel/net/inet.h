/*
 * TCP and UDP, for IPv4 and IPv6 alike: an address is always 16 bytes, IPv4 ones mapped (::ffff:a.b.c.d).
 *
 * A socket has up to two sides. Inside: connections and datagrams between sockets of this container, joined in memory
 * (addresses 127/8, ::1 and our own). Outside: a channel of the arena (kernel/net/channel.h). A socket bound to the
 * unspecified address has both.
 */
#ifndef COFRE_KERNEL_NET_INET_H
#define COFRE_KERNEL_NET_INET_H

#include <linux/in.h>
#include <linux/in6.h>

#include "abi/hostcall.h"
#include "kernel/lib/list.h"
#include "kernel/net/channel.h"
#include "kernel/net/packet.h"
#include "kernel/net/socket.h"

struct endpoint {
    uint8_t ip[16];
    uint16_t port; /* host order; 0 = none */
    uint32_t scope;
};

/* Options kept as one int each and forwarded to the host's socket; table in inet_option.c. */
#define INET_OPTION_MAX 28
/* Those that datagrams look at. */
enum { INET_TTL, INET_TOS, INET_RECVTTL, INET_RECVTOS, INET_HOPS, INET_TCLASS, INET_RECVHOPLIMIT, INET_RECVTCLASS };
#define INET_HOPS_DEFAULT 64

struct inet_socket {
    struct socket sock;
    struct chan *chan; /* the outside, or NULL */
    int chan_family;
    bool bound;      /* in the port table */
    bool port_given; /* by bind(2), not chosen */
    bool v6only;
    struct inet_cold *cold;
    struct endpoint local, peer; /* port 0 = unset */
    LIST_ENTRY(inet_socket) port_link;
};

/* What only option calls use; inside the socket's own memory, at its end. */
struct inet_cold {
    struct inet_socket *owner;
    TAILQ_ENTRY(inet_cold) deferred_link;
    uint32_t deferred;    /* bit i: the host is yet to be told of options[i]; DEFERRED_KEEPALIVE: of SO_KEEPALIVE */
    uint32_t options_set; /* bit i: options[i] was set by the application */
    int options[INET_OPTION_MAX];
    char congestion[16];
};

static inline struct inet_socket *inet_of(struct socket *sock)
{
    return (struct inet_socket *)sock;
}

#define EVENTS_IN (EPOLLIN | EPOLLRDNORM)
#define EVENTS_OUT (EPOLLOUT | EPOLLWRNORM)
#define EVENTS_ALL (EVENTS_IN | EVENTS_OUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR)

/* Addresses (inet.c) */
static inline bool ip_is_v4(const uint8_t ip[16])
{
    uint64_t zero;
    uint32_t prefix;
    __builtin_memcpy(&zero, ip, sizeof(zero));
    __builtin_memcpy(&prefix, ip + sizeof(zero), sizeof(prefix));
    return zero == 0 && prefix == 0xffff0000; /* ::ffff:0:0/96 */
}
bool ip_is_any(const uint8_t ip[16]);
bool ip_is_loopback(const uint8_t ip[16]);
bool ip_is_multicast(const uint8_t ip[16]); /* or broadcast */
/* Loopback, or an address the host has shown to be ours. */
bool ip_is_own(const uint8_t ip[16]);
void ip_learn_own(const uint8_t ip[16]);
void ip_any(uint8_t ip[16], bool v4);
/* From and to struct sockaddr_in / sockaddr_in6. Parsing: 0, -EINVAL, -EAFNOSUPPORT. Writing: the size. */
int endpoint_parse(int family, const void *addr, size_t size, struct endpoint *ret_endpoint) must_check;
int endpoint_write(int family, const struct endpoint *endpoint, void *addr);
/* What the host wrote, of either family; false if it is no such address. */
bool endpoint_from_host(const void *addr, size_t size, struct endpoint *ret_endpoint);

/* Ports (inet.c) */
int inet_bind(struct socket *sock, const void *addr, size_t size);
/* Binds to ip and a free ephemeral port, inside only. */
int inet_autobind(struct inet_socket *in, const uint8_t ip[16]) must_check;
void inet_unbind(struct inet_socket *in);
/* The best matching bound socket of the protocol for a destination inside, or NULL. weigh: -1 = not this one, else what
 * speaks for it beyond its address. */
typedef int (*inet_weigh_fn)(struct inet_socket *in, const struct endpoint *src);
struct inet_socket *inet_lookup(int protocol, const struct endpoint *dst, const struct endpoint *src,
                                inet_weigh_fn weigh);
int inet_getname(struct socket *sock, bool peer, void *addr);

/* The host's side (inet_host.c) */
/* Makes sure in->chan is there: SOCKET_CREATE and the options set so far. 0 or -errno. */
int inet_host_create(struct inet_socket *in, int family, void (*news)(struct chan *, uint32_t)) must_check;
/* Binds it; *endpoint becomes what the host bound. */
int inet_host_bind(struct inet_socket *in, struct endpoint *endpoint) must_check;
int inet_host_listen(struct inet_socket *in, int backlog) must_check;
/* 0 or -EINPROGRESS, or an error; in->local is filled when the host knows it. */
int inet_host_connect(struct inet_socket *in, const struct endpoint *to) must_check;
void inet_host_close(struct inet_socket *in, bool reset);
/* The same for a connected stream, without a host call: it happens when the host next pumps. */
void inet_host_leave(struct inet_socket *in, bool reset);
int inet_host_setsockopt(struct inet_socket *in, int level, int name, const void *value, size_t size);
/* May this port be opened to the outside (policy)? */
bool inet_port_allowed(int type, uint16_t port);
int inet_host_family(const struct inet_socket *in, const struct endpoint *to);

/* Options (inet_option.c) */
int inet_setsockopt(struct socket *sock, int level, int name, const void *value, size_t size);
int inet_getsockopt(struct socket *sock, int level, int name, void *value, size_t *size);
void inet_option_changed(struct socket *sock, int name);
void inet_options_init(struct inet_socket *in, struct inet_cold *cold);
void inet_options_replay(struct inet_socket *in);
void inet_options_forget(struct inet_socket *in); /* those not told to the host yet: its socket goes */

int tcp_socket_new(int family, struct socket **ret_sock) must_check;
/* UDP, or UDP-Lite, which is UDP with ports of its own and no outside. */
int udp_socket_new(int family, int protocol, struct socket **ret_sock) must_check;
/* What of SO_RCVBUF and SO_SNDBUF is used. */
void udp_queued(struct socket *sock, uint32_t *ret_rx, uint32_t *ret_tx);
void tcp_news(struct chan *c, uint32_t events);
void udp_news(struct chan *c, uint32_t events);
bool tcp_is_listening(struct inet_socket *in);

#endif

/* TCP and UDP: addresses, ports and names. */
#include <asm/byteorder.h>
#include <asm/errno.h>
#include <asm/socket.h>
#include <linux/capability.h>

#include "kernel/boot/boot.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/net/inet.h"
#include "kernel/process/process.h"

#define PORT_BUCKETS 256
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_COUNT 28232 /* net.ipv4.ip_local_port_range */
#define OWN_MAX 8
#define SIN6_SIZE_MIN 24 /* without sin6_scope_id, RFC 2133 */

LIST_HEAD(port_list, inet_socket);
static struct port_list ports[3][PORT_BUCKETS]; /* TCP, UDP, UDP-Lite */

static uint8_t own[OWN_MAX][16];
static size_t own_count;

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t v6_loopback[16] = {[15] = 1};
static const uint8_t zero[16];

bool ip_is_any(const uint8_t ip[16])
{
    return memcmp(ip, zero, 16) == 0 || (ip_is_v4(ip) && memcmp(ip + 12, zero, 4) == 0);
}

bool ip_is_loopback(const uint8_t ip[16])
{
    return (ip_is_v4(ip) && ip[12] == 127) || memcmp(ip, v6_loopback, 16) == 0;
}

bool ip_is_multicast(const uint8_t ip[16])
{
    if (ip_is_v4(ip))
        return (ip[12] & 0xf0) == 0xe0 || (ip[12] & ip[13] & ip[14] & ip[15]) == 0xff;
    return ip[0] == 0xff;
}

bool ip_is_own(const uint8_t ip[16])
{
    if (ip_is_loopback(ip))
        return true;
    for (size_t i = 0; i < own_count; i++)
        if (memcmp(own[i], ip, 16) == 0)
            return true;
    return false;
}

void ip_learn_own(const uint8_t ip[16])
{
    if (ip_is_any(ip) || ip_is_multicast(ip) || ip_is_own(ip) || own_count == OWN_MAX)
        return;
    memcpy(own[own_count++], ip, 16);
}

void ip_any(uint8_t ip[16], bool v4)
{
    memset(ip, 0, 16);
    if (v4)
        memcpy(ip, v4_prefix, sizeof(v4_prefix));
}

static void parse_v4(const void *addr, struct endpoint *ep)
{
    struct sockaddr_in sin;
    memcpy(&sin, addr, sizeof(sin));
    memcpy(ep->ip, v4_prefix, sizeof(v4_prefix));
    memcpy(ep->ip + 12, &sin.sin_addr, 4);
    ep->port = __be16_to_cpu(sin.sin_port);
    ep->scope = 0;
}

static void parse_v6(const void *addr, size_t size, struct endpoint *ep)
{
    struct sockaddr_in6 sin6 = {0};
    memcpy(&sin6, addr, MIN(size, sizeof(sin6)));
    memcpy(ep->ip, &sin6.sin6_addr, 16);
    ep->port = __be16_to_cpu(sin6.sin6_port);
    ep->scope = sin6.sin6_scope_id;
}

int endpoint_parse(int family, const void *addr, size_t size, struct endpoint *ret_endpoint)
{
    uint16_t given;
    if (size < sizeof(given))
        return -EINVAL;
    memcpy(&given, addr, sizeof(given));
    if (family == AF_INET) {
        if (size < sizeof(struct sockaddr_in))
            return -EINVAL;
        if (given != AF_INET)
            return -EAFNOSUPPORT;
        parse_v4(addr, ret_endpoint);
        return 0;
    }
    if (size < SIN6_SIZE_MIN)
        return -EINVAL;
    if (given != AF_INET6)
        return -EAFNOSUPPORT;
    parse_v6(addr, size, ret_endpoint);
    return 0;
}

int endpoint_write(int family, const struct endpoint *endpoint, void *addr)
{
    if (family == AF_INET) {
        struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = __cpu_to_be16(endpoint->port)};
        memcpy(&sin.sin_addr, endpoint->ip + 12, 4);
        memcpy(addr, &sin, sizeof(sin));
        return sizeof(sin);
    }
    struct sockaddr_in6 sin6 = {
        .sin6_family = AF_INET6, .sin6_port = __cpu_to_be16(endpoint->port), .sin6_scope_id = endpoint->scope};
    memcpy(&sin6.sin6_addr, endpoint->ip, 16);
    memcpy(addr, &sin6, sizeof(sin6));
    return sizeof(sin6);
}

bool endpoint_from_host(const void *addr, size_t size, struct endpoint *ret_endpoint)
{
    uint16_t family;
    if (size < sizeof(struct sockaddr_in))
        return false;
    memcpy(&family, addr, sizeof(family));
    if (family == AF_INET)
        parse_v4(addr, ret_endpoint);
    else if (family == AF_INET6 && size >= SIN6_SIZE_MIN)
        parse_v6(addr, size, ret_endpoint);
    else
        return false;
    return true;
}

/* Ports */

static struct port_list *port_bucket(int protocol, uint16_t port)
{
    return &ports[protocol == IPPROTO_TCP ? 0 : protocol == IPPROTO_UDP ? 1 : 2][port % PORT_BUCKETS];
}

/* Does a socket bound to `any` at this family see packets for `ip`? */
static bool any_covers(const struct inet_socket *in, const uint8_t ip[16])
{
    if (in->sock.family == AF_INET)
        return ip_is_v4(ip);
    return !in->v6only || !ip_is_v4(ip);
}

static bool addresses_overlap(const struct inet_socket *a, const struct inet_socket *b)
{
    bool any_a = ip_is_any(a->local.ip), any_b = ip_is_any(b->local.ip);
    if (any_a && any_b) {
        if (a->sock.family == b->sock.family)
            return true;
        return !(a->sock.family == AF_INET6 ? a : b)->v6only;
    }
    if (any_a)
        return any_covers(a, b->local.ip);
    if (any_b)
        return any_covers(b, a->local.ip);
    return memcmp(a->local.ip, b->local.ip, 16) == 0;
}

static bool may_share(struct inet_socket *a, struct inet_socket *b)
{
    if (socket_option(&a->sock, SO_REUSEPORT) && socket_option(&b->sock, SO_REUSEPORT))
        return true;
    if (!socket_option(&a->sock, SO_REUSEADDR) || !socket_option(&b->sock, SO_REUSEADDR))
        return false;
    return a->sock.type == SOCK_DGRAM || (!tcp_is_listening(a) && !tcp_is_listening(b));
}

static bool port_conflicts(struct inet_socket *in, uint16_t port)
{
    struct inet_socket *other;
    LIST_FOREACH (other, port_bucket(in->sock.protocol, port), port_link)
        if (other != in && other->local.port == port && addresses_overlap(in, other) && !may_share(in, other))
            return true;
    return false;
}

static void port_take(struct inet_socket *in, uint16_t port)
{
    in->local.port = port;
    in->bound = true;
    LIST_INSERT_HEAD(port_bucket(in->sock.protocol, port), in, port_link);
}

void inet_unbind(struct inet_socket *in)
{
    if (!in->bound)
        return;
    LIST_REMOVE(in, port_link);
    in->bound = false;
    in->local.port = 0;
}

static uint16_t ephemeral_find(struct inet_socket *in)
{
    uint32_t start = (uint32_t)random_u64() % EPHEMERAL_COUNT;
    for (uint32_t i = 0; i < EPHEMERAL_COUNT; i++) {
        uint16_t port = (uint16_t)(EPHEMERAL_FIRST + (start + i) % EPHEMERAL_COUNT);
        if (!port_conflicts(in, port))
            return port;
    }
    return 0;
}

int inet_autobind(struct inet_socket *in, const uint8_t ip[16])
{
    if (in->bound)
        return 0;
    memcpy(in->local.ip, ip, 16);
    uint16_t port = ephemeral_find(in);
    if (!port)
        return -EADDRNOTAVAIL;
    port_take(in, port);
    return 0;
}

/* Binding to the outside: the host's word decides whether the port is free there, and which one if any will do. */
static int bind_outside(struct inet_socket *in, struct endpoint *ep)
{
    void (*news)(struct chan *, uint32_t) = in->sock.type == SOCK_STREAM ? tcp_news : udp_news;
    if (in->sock.protocol == IPPROTO_UDPLITE) /* inside only */
        return ip_is_any(ep->ip) || ip_is_own(ep->ip) ? 0 : -EADDRNOTAVAIL;
    if (ep->port ? !inet_port_allowed(in->sock.type, ep->port)
                 : !policy_allows(POLICY_PORTS_ANY) && !policy_allows(POLICY_CONNECT_ANY))
        return ep->port ? -EACCES : 0;
    int r = inet_host_create(in, in->sock.family, news);
    if (r == -EAFNOSUPPORT && in->sock.family == AF_INET6 && !in->v6only && ip_is_any(ep->ip)) {
        /* A host without IPv6 still has the IPv4 half of a dual-stack address. */
        struct endpoint v4 = *ep;
        ip_any(v4.ip, true);
        r = inet_host_create(in, AF_INET, news);
        if (r == 0)
            r = inet_host_bind(in, &v4);
        ep->port = v4.port;
    } else if (r == 0) {
        struct endpoint asked = *ep;
        r = inet_host_bind(in, &asked);
        ep->port = asked.port;
    }
    if (r < 0)
        inet_host_close(in, true);
    return r;
}

int inet_bind(struct socket *sock, const void *addr, size_t size)
{
    struct inet_socket *in = inet_of(sock);
    struct endpoint ep;
    int r = endpoint_parse(sock->family, addr, size, &ep);
    if (r == -EAFNOSUPPORT && sock->family == AF_INET && *(const uint16_t *)addr == AF_UNSPEC) {
        parse_v4(addr, &ep); /* old programs leave the family out with INADDR_ANY */
        r = ip_is_any(ep.ip) ? 0 : -EAFNOSUPPORT;
    }
    if (r < 0)
        return r;
    if (ep.port && ep.port < 1024 && !process_capable(CAP_NET_BIND_SERVICE))
        return -EACCES;
    if (in->bound || in->peer.port)
        return -EINVAL;
    memcpy(in->local.ip, ep.ip, 16);
    in->local.scope = ep.scope;
    if (ep.port && port_conflicts(in, ep.port)) {
        r = -EADDRINUSE;
        goto fail;
    }
    if (!ip_is_loopback(ep.ip)) {
        r = bind_outside(in, &ep);
        if (r < 0)
            goto fail;
    }
    in->port_given = ep.port != 0;
    if (!ep.port)
        ep.port = ephemeral_find(in);
    r = ep.port ? 0 : -EADDRINUSE;
    if (r < 0)
        goto fail;
    port_take(in, ep.port);
    return 0;
fail:
    ip_any(in->local.ip, sock->family == AF_INET);
    return r;
}

struct inet_socket *inet_lookup(int protocol, const struct endpoint *dst, const struct endpoint *src,
                                inet_weigh_fn weigh)
{
    struct inet_socket *in, *best = NULL;
    int best_score = 0;
    LIST_FOREACH (in, port_bucket(protocol, dst->port), port_link) {
        int score, extra;
        if (in->local.port != dst->port)
            continue;
        if (memcmp(in->local.ip, dst->ip, 16) == 0)
            score = 4;
        else if (ip_is_any(in->local.ip) && any_covers(in, dst->ip))
            score = in->sock.family == AF_INET ? 2 : 1;
        else
            continue;
        extra = weigh(in, src);
        if (extra >= 0 && score + extra > best_score) {
            best = in;
            best_score = score + extra;
        }
    }
    return best;
}

int inet_getname(struct socket *sock, bool peer, void *addr)
{
    struct inet_socket *in = inet_of(sock);
    if (!peer)
        return endpoint_write(sock->family, &in->local, addr);
    if (!in->peer.port)
        return -ENOTCONN;
    return endpoint_write(sock->family, &in->peer, addr);
}

int inet_socket_new(int family, int type, int protocol, struct socket **ret_sock)
{
    if (protocol < 0 || protocol > 262)
        return -EINVAL;
    switch (type) {
    case SOCK_STREAM:
        if (protocol && protocol != IPPROTO_TCP)
            return -EPROTONOSUPPORT;
        return tcp_socket_new(family, ret_sock);
    case SOCK_DGRAM:
        if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
            return -EACCES; /* net.ipv4.ping_group_range is empty */
        if (protocol && protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE)
            return -EPROTONOSUPPORT;
        return udp_socket_new(family, protocol ? protocol : IPPROTO_UDP, ret_sock);
    case SOCK_RAW:
        return protocol ? -EPERM : -EPROTONOSUPPORT;
    default:
        return -ESOCKTNOSUPPORT;
    }
}

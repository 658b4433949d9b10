/*
 * Netlink ROUTE sockets, for programs that ask what interfaces, addresses and routes there are (getifaddrs,
 * if_nametoindex, getaddrinfo). Nothing can be changed: EPERM. SOCK_DIAG is there as on a Linux that has nobody to
 * answer it: ss then reads /proc/net without a complaint. Other protocols do not exist.
 */
#include <asm/errno.h>
#include <asm/socket.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>

#include "kernel/fs/poll.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/interface.h"
#include "kernel/net/packet.h"
#include "kernel/net/scm.h"
#include "kernel/net/socket.h"
#include "kernel/process/process.h"

#define REPLY_MAX 2048
#define REQUEST_MAX 16384
#define QUEUE_MAX 1024
#define EVENTS_IN (EPOLLIN | EPOLLRDNORM)

struct netlink_socket {
    struct socket sock;
    struct packet_queue rx;
    uint32_t port_id, groups;
    bool bound;
    LIST_ENTRY(netlink_socket) link;
};

static LIST_HEAD(, netlink_socket) all = LIST_HEAD_INITIALIZER(all);
static const struct socket_ops netlink_ops;

static struct netlink_socket *netlink_of(struct socket *sock)
{
    return (struct netlink_socket *)sock;
}

int netlink_socket_new(int type, int protocol, struct socket **ret_sock)
{
    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    if (protocol != NETLINK_ROUTE && protocol != NETLINK_SOCK_DIAG)
        return -EPROTONOSUPPORT;
    struct netlink_socket *n = kzalloc(sizeof(*n));
    if (!n)
        return -ENOMEM;
    socket_setup(&n->sock, &netlink_ops, AF_NETLINK, type, protocol);
    packet_queue_init(&n->rx);
    LIST_INSERT_HEAD(&all, n, link);
    *ret_sock = &n->sock;
    return 0;
}

static bool port_taken(uint32_t port_id)
{
    struct netlink_socket *n;
    LIST_FOREACH (n, &all, link)
        if (n->bound && n->port_id == port_id)
            return true;
    return false;
}

static void bind_to(struct netlink_socket *n, uint32_t port_id)
{
    if (!port_id) {
        port_id = (uint32_t)process_self()->pid;
        for (uint32_t next = (uint32_t)-4097; port_taken(port_id); next--)
            port_id = next;
    }
    n->port_id = port_id;
    n->bound = true;
}

static int netlink_bind(struct socket *sock, const void *addr, size_t size)
{
    struct netlink_socket *n = netlink_of(sock);
    struct sockaddr_nl nl;
    if (size < sizeof(nl))
        return -EINVAL;
    memcpy(&nl, addr, sizeof(nl));
    if (nl.nl_family != AF_NETLINK)
        return -EINVAL;
    if (n->bound && nl.nl_pid != n->port_id)
        return -EINVAL;
    if (!n->bound) {
        if (nl.nl_pid && port_taken(nl.nl_pid))
            return -EADDRINUSE;
        bind_to(n, nl.nl_pid);
    }
    n->groups = nl.nl_groups; /* nothing ever changes, so nothing is ever told */
    return 0;
}

static int netlink_connect(struct socket *sock, const void *addr, size_t size, bool nonblock)
{
    struct netlink_socket *n = netlink_of(sock);
    (void)nonblock;
    if (size < sizeof(struct sockaddr_nl))
        return -EINVAL;
    if (((const struct sockaddr_nl *)addr)->nl_pid)
        return -EPERM;
    if (!n->bound)
        bind_to(n, 0);
    return 0;
}

static int netlink_getname(struct socket *sock, bool peer, void *addr)
{
    struct netlink_socket *n = netlink_of(sock);
    struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
    if (!peer) {
        nl.nl_pid = n->port_id;
        nl.nl_groups = n->groups;
    }
    memcpy(addr, &nl, sizeof(nl));
    return sizeof(nl);
}

/* Building replies */

static void reply_queue(struct netlink_socket *n, struct packet *reply)
{
    if (reply->size == 0 || n->rx.count >= QUEUE_MAX) {
        packet_free(reply);
        return;
    }
    packet_queue_add(&n->rx, reply);
    wake_up(&n->sock.wait, EVENTS_IN);
}

/* A message whose payload starts with `fixed`; attributes follow. NULL when the packet is full. */
static struct nlmsghdr *put_message(struct packet *reply, const struct nlmsghdr *to, uint32_t port_id, uint16_t type,
                                    const void *fixed, size_t fixed_size)
{
    size_t size = NLMSG_HDRLEN + NLMSG_ALIGN(fixed_size);
    if (reply->capacity - reply->size < size)
        return NULL;
    struct nlmsghdr *h = (struct nlmsghdr *)(reply->data + reply->size);
    memset(h, 0, size);
    h->nlmsg_len = (uint32_t)(NLMSG_HDRLEN + fixed_size);
    h->nlmsg_type = type;
    h->nlmsg_flags = to->nlmsg_flags & NLM_F_DUMP ? NLM_F_MULTI : 0;
    h->nlmsg_seq = to->nlmsg_seq;
    h->nlmsg_pid = port_id;
    memcpy(h + 1, fixed, fixed_size);
    reply->size += (uint32_t)size;
    return h;
}

static void put_attribute(struct packet *reply, struct nlmsghdr *h, uint16_t type, const void *data, size_t size)
{
    size_t total = RTA_ALIGN(RTA_LENGTH(size));
    if (reply->capacity - reply->size < total)
        return;
    struct rtattr *a = (struct rtattr *)(reply->data + reply->size);
    memset(a, 0, total);
    a->rta_len = (uint16_t)RTA_LENGTH(size);
    a->rta_type = type;
    memcpy(a + 1, data, size);
    reply->size += (uint32_t)total;
    h->nlmsg_len = (uint32_t)(reply->data + reply->size - (uint8_t *)h);
}

static void put_u32(struct packet *reply, struct nlmsghdr *h, uint16_t type, uint32_t value)
{
    put_attribute(reply, h, type, &value, sizeof(value));
}

static void put_string(struct packet *reply, struct nlmsghdr *h, uint16_t type, const char *s)
{
    put_attribute(reply, h, type, s, strlen(s) + 1);
}

static void put_link(struct netlink_socket *n, struct packet *reply, const struct nlmsghdr *to,
                     const struct interface *it)
{
    struct ifinfomsg info = {
        .ifi_family = AF_UNSPEC, .ifi_type = it->type, .ifi_index = it->index, .ifi_flags = it->flags};
    struct nlmsghdr *h = put_message(reply, to, n->port_id, RTM_NEWLINK, &info, sizeof(info));
    static const uint8_t ones[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, zeros[6];
    struct rtnl_link_stats64 stats = {0};
    uint8_t operstate = it->index == 1 ? 0 /* unknown */ : 6 /* up */, byte = 0, carrier = 1;
    if (!h)
        return;
    put_string(reply, h, IFLA_IFNAME, it->name);
    put_u32(reply, h, IFLA_TXQLEN, 1000);
    put_attribute(reply, h, IFLA_OPERSTATE, &operstate, 1);
    put_attribute(reply, h, IFLA_LINKMODE, &byte, 1);
    put_u32(reply, h, IFLA_MTU, it->mtu);
    put_u32(reply, h, IFLA_GROUP, 0);
    put_u32(reply, h, IFLA_PROMISCUITY, 0);
    put_u32(reply, h, IFLA_NUM_TX_QUEUES, 1);
    put_u32(reply, h, IFLA_NUM_RX_QUEUES, 1);
    put_attribute(reply, h, IFLA_CARRIER, &carrier, 1);
    put_string(reply, h, IFLA_QDISC, "noqueue");
    put_attribute(reply, h, IFLA_ADDRESS, it->mac, 6);
    put_attribute(reply, h, IFLA_BROADCAST, it->index == 1 ? zeros : ones, 6);
    put_attribute(reply, h, IFLA_STATS64, &stats, sizeof(stats));
}

static void put_address(struct netlink_socket *n, struct packet *reply, const struct nlmsghdr *to,
                        const struct interface *it, int family)
{
    bool v4 = family == AF_INET;
    struct ifaddrmsg info = {.ifa_family = (uint8_t)family,
                             .ifa_prefixlen = v4 ? it->v4_prefix : it->v6_prefix,
                             .ifa_flags = IFA_F_PERMANENT,
                             .ifa_scope = it->index == 1 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE,
                             .ifa_index = (uint32_t)it->index};
    struct ifa_cacheinfo cache = {.ifa_prefered = UINT32_MAX, .ifa_valid = UINT32_MAX};
    const uint8_t *ip = v4 ? it->v4 : it->v6;
    size_t size = v4 ? 4 : 16;
    struct nlmsghdr *h = put_message(reply, to, n->port_id, RTM_NEWADDR, &info, sizeof(info));
    if (!h)
        return;
    put_attribute(reply, h, IFA_ADDRESS, ip, size);
    if (v4) {
        put_attribute(reply, h, IFA_LOCAL, ip, size);
        if (it->index != 1) {
            uint8_t broadcast[4] = {ip[0], ip[1], ip[2], 255};
            put_attribute(reply, h, IFA_BROADCAST, broadcast, 4);
        }
        put_string(reply, h, IFA_LABEL, it->name);
    }
    put_u32(reply, h, IFA_FLAGS, IFA_F_PERMANENT);
    put_attribute(reply, h, IFA_CACHEINFO, &cache, sizeof(cache));
}

/* The one route worth telling: everything else leaves by eth0. */
static void put_route(struct netlink_socket *n, struct packet *reply, const struct nlmsghdr *to,
                      const struct interface *it, int family)
{
    bool v4 = family == AF_INET;
    struct rtmsg info = {.rtm_family = (uint8_t)family,
                         .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = RTPROT_BOOT,
                         .rtm_scope = v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                         .rtm_type = RTN_UNICAST};
    struct nlmsghdr *h = put_message(reply, to, n->port_id, RTM_NEWROUTE, &info, sizeof(info));
    if (!h)
        return;
    put_u32(reply, h, RTA_TABLE, RT_TABLE_MAIN);
    put_attribute(reply, h, RTA_PREFSRC, v4 ? it->v4 : it->v6, v4 ? 4 : 16);
    put_u32(reply, h, RTA_OIF, (uint32_t)it->index);
}

/* Requests */

static bool wants(int family, int wanted)
{
    return family == AF_UNSPEC || family == wanted;
}

static void answer_each(struct netlink_socket *n, const struct nlmsghdr *to, struct packet *reply, int family)
{
    const struct interface *it;
    for (unsigned i = 0; (it = interface_at(i)) != NULL; i++) {
        switch (to->nlmsg_type) {
        case RTM_GETLINK:
            put_link(n, reply, to, it);
            break;
        case RTM_GETADDR:
            if (it->has_v4 && wants(family, AF_INET))
                put_address(n, reply, to, it, AF_INET);
            if (it->has_v6 && wants(family, AF_INET6))
                put_address(n, reply, to, it, AF_INET6);
            break;
        case RTM_GETROUTE:
            if (i > 0 && it->has_v4 && wants(family, AF_INET))
                put_route(n, reply, to, it, AF_INET);
            if (i > 0 && it->has_v6 && wants(family, AF_INET6))
                put_route(n, reply, to, it, AF_INET6);
            break;
        default:
            break;
        }
    }
}

static int answer_dump(struct netlink_socket *n, const struct nlmsghdr *to, int family)
{
    struct packet *reply = packet_new(REPLY_MAX * 2), *done = packet_new(NLMSG_HDRLEN + 8);
    int32_t zero = 0;
    if (!reply || !done) {
        packet_free(reply);
        packet_free(done);
        return -ENOBUFS;
    }
    answer_each(n, to, reply, family);
    reply_queue(n, reply);
    put_message(done, to, n->port_id, NLMSG_DONE, &zero, sizeof(zero));
    reply_queue(n, done);
    return 0;
}

/* RTM_GETLINK for one interface, by index or IFLA_IFNAME. */
static int answer_link(struct netlink_socket *n, const struct nlmsghdr *to)
{
    struct ifinfomsg info;
    const struct interface *it = NULL;
    size_t size = to->nlmsg_len - NLMSG_HDRLEN;
    if (size < sizeof(info))
        return -EINVAL;
    memcpy(&info, to + 1, sizeof(info));
    if (info.ifi_index > 0)
        it = interface_by_index(info.ifi_index);
    const char *at = (const char *)(to + 1) + NLMSG_ALIGN(sizeof(info));
    size_t left = size > NLMSG_ALIGN(sizeof(info)) ? size - NLMSG_ALIGN(sizeof(info)) : 0;
    while (!it && left >= sizeof(struct rtattr)) {
        struct rtattr a;
        memcpy(&a, at, sizeof(a));
        if (a.rta_len < sizeof(a) || a.rta_len > left)
            break;
        if (a.rta_type == IFLA_IFNAME && a.rta_len > sizeof(a)) {
            char name[16] = {0};
            memcpy(name, at + sizeof(a), MIN((size_t)a.rta_len - sizeof(a), sizeof(name) - 1));
            it = interface_by_name(name);
        }
        size_t step = MIN((size_t)RTA_ALIGN(a.rta_len), left);
        at += step;
        left -= step;
    }
    if (!it)
        return -ENODEV;
    struct packet *reply = packet_new(REPLY_MAX);
    if (!reply)
        return -ENOBUFS;
    put_link(n, reply, to, it);
    reply_queue(n, reply);
    return 0;
}

/* RTM_GETROUTE for one destination: by lo or by eth0. */
static int answer_route(struct netlink_socket *n, const struct nlmsghdr *to)
{
    struct rtmsg info;
    if (to->nlmsg_len - NLMSG_HDRLEN < sizeof(info))
        return -EINVAL;
    memcpy(&info, to + 1, sizeof(info));
    const struct interface *it = interface_at(1);
    bool v6 = info.rtm_family == AF_INET6;
    if (!it || (v6 ? !it->has_v6 : !it->has_v4))
        return -ENETUNREACH;
    struct packet *reply = packet_new(REPLY_MAX);
    if (!reply)
        return -ENOBUFS;
    put_route(n, reply, to, it, v6 ? AF_INET6 : AF_INET);
    reply_queue(n, reply);
    return 0;
}

static void answer_error(struct netlink_socket *n, const struct nlmsghdr *to, int error)
{
    struct nlmsgerr body = {.error = error, .msg = *to};
    struct packet *reply = packet_new(REPLY_MAX);
    struct nlmsghdr plain = *to;
    if (!reply)
        return;
    plain.nlmsg_flags = 0;
    struct nlmsghdr *h = put_message(reply, &plain, n->port_id, NLMSG_ERROR, &body, sizeof(body));
    size_t rest = to->nlmsg_len - NLMSG_HDRLEN;
    if (error && rest <= reply->capacity - reply->size) { /* a refusal carries the whole request */
        memcpy(reply->data + reply->size, to + 1, rest);
        reply->size +=
            (uint32_t)NLMSG_ALIGN(rest) <= reply->capacity - reply->size ? (uint32_t)NLMSG_ALIGN(rest) : (uint32_t)rest;
        h->nlmsg_len += (uint32_t)rest;
    } else {
        h->nlmsg_flags = NLM_F_CAPPED;
    }
    reply_queue(n, reply);
}

static int handle_sock_diag(const struct nlmsghdr *h)
{
    struct sock_diag_req request;
    switch (h->nlmsg_type) {
    case TCPDIAG_GETSOCK:
    case DCCPDIAG_GETSOCK:
        return -EOPNOTSUPP;
    case SOCK_DIAG_BY_FAMILY:
    case SOCK_DESTROY:
        if (h->nlmsg_len < NLMSG_LENGTH(sizeof(request)))
            return -EINVAL;
        memcpy(&request, h + 1, sizeof(request));
        return request.sdiag_family >= AF_MAX ? -EINVAL : -ENOENT;
    default:
        return h->nlmsg_type < NLMSG_MIN_TYPE ? 0 : -EINVAL;
    }
}

static int handle(struct netlink_socket *n, const struct nlmsghdr *h)
{
    if (n->sock.protocol == NETLINK_SOCK_DIAG)
        return handle_sock_diag(h);
    uint8_t family = AF_UNSPEC;
    bool dump = (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    if (h->nlmsg_type < RTM_BASE)
        return 0;
    if (h->nlmsg_type > RTM_MAX)
        return -EOPNOTSUPP;
    if (h->nlmsg_len > NLMSG_HDRLEN)
        memcpy(&family, h + 1, 1);
    if ((h->nlmsg_type - RTM_BASE) % 4 != 2) /* new, delete or set */
        return -EPERM;
    if (dump)
        return answer_dump(n, h, family);
    switch (h->nlmsg_type) {
    case RTM_GETLINK:
        return answer_link(n, h);
    case RTM_GETROUTE:
        return answer_route(n, h);
    default:
        return -EOPNOTSUPP;
    }
}

static void handle_all(struct netlink_socket *n, const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (size - at >= NLMSG_HDRLEN) {
        const struct nlmsghdr *h = (const struct nlmsghdr *)(data + at);
        if (h->nlmsg_len < NLMSG_HDRLEN || h->nlmsg_len > size - at)
            return;
        if (h->nlmsg_flags & NLM_F_REQUEST) {
            bool dump = (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
            int r = handle(n, h);
            if (r < 0 || ((h->nlmsg_flags & NLM_F_ACK) && !dump))
                answer_error(n, h, r);
        }
        size_t step = NLMSG_ALIGN(h->nlmsg_len);
        if (step >= size - at)
            return;
        at += step;
    }
}

static ssize_t netlink_send(struct socket *sock, struct message *msg, bool nonblock)
{
    struct netlink_socket *n = netlink_of(sock);
    size_t size = msg->iter.count;
    (void)nonblock;
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->name_size) {
        struct sockaddr_nl nl;
        if (msg->name_size < sizeof(nl))
            return -EINVAL;
        memcpy(&nl, msg->name, sizeof(nl));
        if (nl.nl_family != AF_NETLINK)
            return -EINVAL;
        if (nl.nl_pid)
            return -ECONNREFUSED;
    }
    if (size > REQUEST_MAX)
        return -EMSGSIZE;
    if (!n->bound)
        bind_to(n, 0);
    uint8_t *data = kmalloc(size + 1);
    if (!data)
        return -ENOBUFS;
    ssize_t r = (ssize_t)size;
    if (copy_from_iter(&msg->iter, data, size) < size)
        r = -EFAULT;
    else
        handle_all(n, data, size);
    kfree(data);
    return r;
}

static ssize_t netlink_recv(struct socket *sock, struct message *msg, bool nonblock)
{
    struct netlink_socket *n = netlink_of(sock);
    uint64_t deadline = nonblock ? 0 : socket_deadline(sock->rcv_timeout_ns);
    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (n->rx.count == 0) {
        if (nonblock)
            return -EAGAIN;
        int r = wait_event_deadline(&sock->wait, n->rx.count > 0, deadline);
        if (r < 0)
            return socket_wait_result(r, deadline);
    }
    socket_turn_take(sock, &sock->rx_turn);
    struct packet *packet = packet_queue_first(&n->rx);
    if (!packet) {
        socket_turn_give(sock, &sock->rx_turn);
        return -EAGAIN;
    }
    size_t wanted = MIN(msg->iter.count, (size_t)packet->size);
    ssize_t r = copy_to_iter(&msg->iter, packet->data, wanted) < wanted ? -EFAULT : (ssize_t)wanted;
    if (wanted < packet->size)
        msg->out_flags |= MSG_TRUNC;
    if (r >= 0 && (msg->flags & MSG_TRUNC))
        r = (ssize_t)packet->size;
    if (msg->want_name) {
        struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
        memcpy(msg->name, &nl, sizeof(nl));
        msg->name_size = sizeof(nl);
    }
    if (socket_option(sock, SO_PASSCRED)) {
        struct ucred kernel = {0, 0, 0};
        message_put_control(msg, SOL_SOCKET, SCM_CREDENTIALS, &kernel, sizeof(kernel));
    }
    if (!(msg->flags & MSG_PEEK))
        packet_free(packet_queue_take(&n->rx));
    socket_turn_give(sock, &sock->rx_turn);
    return r;
}

static uint32_t netlink_poll(struct socket *sock, struct file *file, struct poll_table *table)
{
    struct netlink_socket *n = netlink_of(sock);
    poll_wait(table, file, &sock->wait);
    return EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND | (n->rx.count ? EVENTS_IN : 0);
}

static int netlink_setsockopt(struct socket *sock, int level, int name, const void *value, size_t size)
{
    (void)sock, (void)value;
    if (level != SOL_NETLINK || size < sizeof(int))
        return -ENOPROTOOPT;
    switch (name) {
    case NETLINK_ADD_MEMBERSHIP: /* of groups in which nothing is ever said */
    case NETLINK_DROP_MEMBERSHIP:
    case NETLINK_PKTINFO:
    case NETLINK_EXT_ACK:
    case NETLINK_CAP_ACK:
    case NETLINK_GET_STRICT_CHK:
    case NETLINK_NO_ENOBUFS:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static void netlink_release(struct socket *sock)
{
    struct netlink_socket *n = netlink_of(sock);
    LIST_REMOVE(n, link);
    packet_queue_clear(&n->rx);
    socket_forget(sock);
    kfree(n);
}

static const struct socket_ops netlink_ops = {
    .bind = netlink_bind,
    .connect = netlink_connect,
    .getname = netlink_getname,
    .send = netlink_send,
    .recv = netlink_recv,
    .poll = netlink_poll,
    .setsockopt = netlink_setsockopt,
    .release = netlink_release,
};

/* Interfaces, and the old ioctls that ask for them. */
#include "kernel/net/interface.h"

#include <asm/byteorder.h>
#include <asm/errno.h>
#include <linux/sockios.h>

#include "kernel/boot/boot.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/inet.h"

/* <linux/if.h> and <linux/if_arp.h> drag the C library in. */
#define IFF_UP 0x1
#define IFF_BROADCAST 0x2
#define IFF_LOOPBACK 0x8
#define IFF_RUNNING 0x40
#define IFF_MULTICAST 0x1000
#define IFF_LOWER_UP 0x10000
#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772

#define FLAGS_LO (IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_LOWER_UP)
#define FLAGS_ETH (IFF_UP | IFF_BROADCAST | IFF_RUNNING | IFF_MULTICAST | IFF_LOWER_UP)

static struct interface list[2] = {
    {.index = 1,
     .name = "lo",
     .flags = FLAGS_LO,
     .mtu = 65536,
     .type = ARPHRD_LOOPBACK,
     .has_v4 = true,
     .has_v6 = true,
     .v4 = {127, 0, 0, 1},
     .v6 = {[15] = 1},
     .v4_prefix = 8,
     .v6_prefix = 128},
    {.index = 2,
     .name = "eth0",
     .flags = FLAGS_ETH,
     .mtu = 1500,
     .type = ARPHRD_ETHER,
     .v4_prefix = 24,
     .v6_prefix = 64},
};
static bool host_asked;

/* The address the host would send from: connecting a datagram socket chooses it and sends nothing. */
static bool ask_host(const uint8_t to[16], int family, uint8_t ret_ip[16])
{
    struct socket *sock;
    struct endpoint ep = {.port = 9};
    bool known = false;
    memcpy(ep.ip, to, 16);
    if (udp_socket_new(family, IPPROTO_UDP, &sock) < 0)
        return false;
    struct inet_socket *in = inet_of(sock);
    if (inet_host_create(in, family, udp_news) == 0 && inet_host_connect(in, &ep) == 0 && !ip_is_any(in->local.ip) &&
        !ip_is_loopback(in->local.ip)) {
        memcpy(ret_ip, in->local.ip, 16);
        known = true;
    }
    sock->ops->release(sock);
    return known;
}

static void look_outside(void)
{
    static const uint8_t v4_somewhere[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};
    static const uint8_t v6_somewhere[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    struct interface *eth = &list[1];
    uint8_t ip[16];
    host_asked = true;
    if (!policy_allows(POLICY_CONNECT_ANY))
        return;
    eth->has_v4 = ask_host(v4_somewhere, AF_INET, ip);
    if (eth->has_v4)
        memcpy(eth->v4, ip + 12, 4);
    eth->has_v6 = ask_host(v6_somewhere, AF_INET6, ip);
    if (eth->has_v6)
        memcpy(eth->v6, ip, 16);
    eth->mac[0] = 0x02;
    eth->mac[1] = 0x42;
    memcpy(eth->mac + 2, eth->v4, 4);
}

const struct interface *interface_at(unsigned i)
{
    if (i >= 1 && !host_asked)
        look_outside();
    if (i >= ARRAY_COUNT(list) || (i == 1 && !list[1].has_v4 && !list[1].has_v6))
        return NULL;
    return &list[i];
}

const struct interface *interface_by_name(const char *name)
{
    const struct interface *it;
    for (unsigned i = 0; (it = interface_at(i)) != NULL; i++)
        if (strcmp(it->name, name) == 0)
            return it;
    return NULL;
}

const struct interface *interface_by_index(int index)
{
    const struct interface *it;
    for (unsigned i = 0; (it = interface_at(i)) != NULL; i++)
        if (it->index == index)
            return it;
    return NULL;
}

/* struct ifreq and struct ifconf as ioctl takes them. */
struct ifreq_user {
    char name[16];
    union {
        struct sockaddr_in addr;
        struct {
            uint16_t family;
            uint8_t bytes[14];
        } hwaddr;
        int16_t flags;
        int32_t number;
        uint8_t room[24];
    };
};
_Static_assert(sizeof(struct ifreq_user) == 40, "as Linux");

struct ifconf_user {
    int32_t size, pad;
    uint64_t buf;
};

static void request_v4(struct ifreq_user *req, const uint8_t ip[4])
{
    memset(req->room, 0, sizeof(req->room));
    req->addr.sin_family = AF_INET;
    memcpy(&req->addr.sin_addr, ip, 4);
}

static int64_t list_interfaces(uaddr_t arg)
{
    struct ifconf_user conf;
    const struct interface *it;
    int32_t used = 0;
    if (copy_from_user(&conf, arg, sizeof(conf)) < 0)
        return -EFAULT;
    for (unsigned i = 0; (it = interface_at(i)) != NULL; i++) {
        struct ifreq_user req = {0};
        if (!it->has_v4)
            continue;
        if (conf.buf) {
            if (conf.size - used < (int32_t)sizeof(req))
                break;
            string_copy(req.name, it->name, sizeof(req.name));
            request_v4(&req, it->v4);
            if (copy_to_user(conf.buf + (uint64_t)used, &req, sizeof(req)) < 0)
                return -EFAULT;
        }
        used += (int32_t)sizeof(req);
    }
    return put_user32(arg, (uint32_t)used);
}

static void v4_mask(uint8_t ip[4], unsigned prefix)
{
    uint32_t mask = __cpu_to_be32(prefix ? ~0U << (32 - prefix) : 0);
    memcpy(ip, &mask, 4);
}

static int answer(const struct interface *it, unsigned command, struct ifreq_user *req)
{
    uint8_t ip[4], mask[4];
    switch (command) {
    case SIOCGIFADDR:
        if (!it->has_v4)
            return -EADDRNOTAVAIL;
        request_v4(req, it->v4);
        return 0;
    case SIOCGIFNETMASK:
        v4_mask(mask, it->v4_prefix);
        request_v4(req, mask);
        return 0;
    case SIOCGIFBRDADDR:
        v4_mask(mask, it->v4_prefix);
        for (int i = 0; i < 4; i++)
            ip[i] = it->index == 1 ? 0 : (uint8_t)(it->v4[i] | ~mask[i]);
        request_v4(req, ip);
        return 0;
    case SIOCGIFFLAGS:
        req->flags = (int16_t)it->flags;
        return 0;
    case SIOCGIFMTU:
        req->number = (int32_t)it->mtu;
        return 0;
    case SIOCGIFINDEX:
        req->number = it->index;
        return 0;
    case SIOCGIFMETRIC:
        req->number = 0;
        return 0;
    case SIOCGIFTXQLEN:
        req->number = 1000;
        return 0;
    case SIOCGIFHWADDR:
        memset(req->room, 0, sizeof(req->room));
        req->hwaddr.family = it->type;
        memcpy(req->hwaddr.bytes, it->mac, sizeof(it->mac));
        return 0;
    default:
        return -ENOTTY;
    }
}

int64_t interface_ioctl(unsigned command, uaddr_t arg)
{
    struct ifreq_user req;
    const struct interface *it;
    if (command == SIOCGIFCONF)
        return list_interfaces(arg);
    if (command < SIOCGIFNAME || command > SIOCGIFTXQLEN)
        return -ENOTTY;
    if (copy_from_user(&req, arg, sizeof(req)) < 0)
        return -EFAULT;
    req.name[sizeof(req.name) - 1] = 0;
    if (command == SIOCGIFNAME) {
        it = interface_by_index(req.number);
        if (!it)
            return -ENODEV;
        memset(req.name, 0, sizeof(req.name));
        string_copy(req.name, it->name, sizeof(req.name));
        return copy_to_user(arg, &req, sizeof(req));
    }
    it = interface_by_name(req.name);
    if (!it)
        return -ENODEV;
    int r = answer(it, command, &req);
    return r < 0 ? r : copy_to_user(arg, &req, sizeof(req));
}

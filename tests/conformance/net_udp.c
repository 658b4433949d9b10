/* UDP on loopback, and what a program can ask about the network: interfaces, netlink, resolver helpers. */
#include "show.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

static int revents(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    poll(&p, 1, 0);
    return p.revents;
}

static struct sockaddr_in v4(const char *ip, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

static int port_of(int fd)
{
    struct sockaddr_in6 a;
    socklen_t size = sizeof(a);
    getsockname(fd, (struct sockaddr *)&a, &size);
    return ntohs(a.sin6_port);
}

static void datagrams(void)
{
    struct sockaddr_in a = v4("127.0.0.1", 0), from;
    socklen_t size = sizeof(from);
    char b[64];
    int n;
    int r = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
    SHOW(revents(s));
    SHOW(bind(r, (struct sockaddr *)&a, sizeof(a)));
    a.sin_port = htons((uint16_t)port_of(r));
    SHOW(send(s, "x", 1, 0));
    SHOW(sendto(s, "hello", 5, 0, (struct sockaddr *)&a, sizeof(a)));
    SHOW(port_of(s) >= 32768);
    SHOW(sendto(s, "", 0, 0, (struct sockaddr *)&a, sizeof(a)));
    SHOW(sendto(s, "third", 5, 0, (struct sockaddr *)&a, sizeof(a)));
    SHOW(revents(r));
    SHOW(ioctl(r, FIONREAD, &n));
    SHOW(n);
    SHOW(recvfrom(r, b, 3, MSG_PEEK, (struct sockaddr *)&from, &size));
    SHOW(recvfrom(r, b, 3, MSG_TRUNC, (struct sockaddr *)&from, &size));
    printf("%s %d %d\n", inet_ntoa(from.sin_addr), ntohs(from.sin_port) == port_of(s), (int)size);
    SHOW(recv(r, b, 64, 0));
    SHOW(recv(r, b, 64, 0));
    SHOW(recv(r, b, 64, MSG_DONTWAIT));
    SHOW(connect(s, (struct sockaddr *)&a, sizeof(a)));
    SHOW(send(s, "c", 1, 0));
    SHOW(sendto(r, "reply", 5, 0, (struct sockaddr *)&from, sizeof(from)));
    SHOW(recv(s, b, 64, 0));
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    from.sin_port = htons((uint16_t)port_of(s));
    SHOW(sendto(other, "stranger", 8, 0, (struct sockaddr *)&from, sizeof(from)));
    SHOW(recv(s, b, 64, MSG_DONTWAIT));
    SHOW(shutdown(other, SHUT_RD));
    close(r);
    SHOW(send(s, "x", 1, 0));
    struct timespec ts = {0, 10000000};
    nanosleep(&ts, NULL);
    SHOW(revents(s) & POLLERR);
    SHOW(recv(s, b, 64, MSG_DONTWAIT));
    SHOW(recv(s, b, 64, MSG_DONTWAIT));
    struct sockaddr un = {.sa_family = AF_UNSPEC};
    SHOW(connect(s, &un, sizeof(un)));
    SHOW(send(s, "x", 1, 0));
    static char big[70000];
    SHOW(sendto(s, big, sizeof(big), 0, (struct sockaddr *)&a, sizeof(a)));
    a.sin_port = 0;
    SHOW(sendto(s, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)));
    SHOW(listen(s, 1));
    SHOW(accept(s, NULL, NULL));
    SHOW(sendto(s, "x", 1, 0, (struct sockaddr *)&a, 3));
    close(s), close(other);
    struct timeval tv = {0, 20000};
    s = socket(AF_INET, SOCK_DGRAM, 0);
    a = v4("127.0.0.1", 0);
    SHOW(bind(s, (struct sockaddr *)&a, sizeof(a)));
    SHOW(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    SHOW(recv(s, b, 64, 0));
    close(s);
}

static void six(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, from;
    socklen_t size = sizeof(from);
    char b[64];
    int r = socket(AF_INET6, SOCK_DGRAM, 0), s = socket(AF_INET6, SOCK_DGRAM, 0);
    SHOW(bind(r, (struct sockaddr *)&a, sizeof(a)));
    a.sin6_port = htons((uint16_t)port_of(r));
    SHOW(sendto(s, "six", 3, 0, (struct sockaddr *)&a, sizeof(a)));
    SHOW(recvfrom(r, b, 64, 0, (struct sockaddr *)&from, &size));
    printf("%s size %d\n", inet_ntop(AF_INET6, &from.sin6_addr, b, sizeof(b)), (int)size);
    close(r), close(s);
}

/* What came with a datagram, in a buffer for so much of it. */
static void show_control(int fd, size_t size, int flags)
{
    char b[64] = "", control[256] __attribute__((aligned(8))) = "";
    struct iovec v = {b, sizeof(b)};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = size};
    SHOW(recvmsg(fd, &m, flags | MSG_DONTWAIT));
    printf("flags %x control %zu:", m.msg_flags, (size_t)m.msg_controllen);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        printf(" level %d type %d", c->cmsg_level, c->cmsg_type);
        for (unsigned char *p = CMSG_DATA(c), *end = (unsigned char *)c + c->cmsg_len; p < end; p++)
            printf(" %d", *p);
    }
    printf("\n");
}

struct control_item {
    int level, type, value;
    size_t size;
};

static void send_control(int fd, const void *to, socklen_t to_size, const struct control_item *items, int count)
{
    char control[256] __attribute__((aligned(8))) = "";
    struct iovec v = {"data", 4};
    struct msghdr m = {.msg_name = (void *)to,
                       .msg_namelen = to_size,
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    size_t used = 0;
    for (int i = 0; i < count; i++, c = CMSG_NXTHDR(&m, c)) {
        c->cmsg_level = items[i].level;
        c->cmsg_type = items[i].type;
        c->cmsg_len = CMSG_LEN(items[i].size);
        memcpy(CMSG_DATA(c), &items[i].value, items[i].size);
        used += CMSG_SPACE(items[i].size);
        printf("level %d type %d value %d size %d, ", items[i].level, items[i].type, items[i].value,
               (int)items[i].size);
    }
    m.msg_controllen = used;
    SHOW(sendmsg(fd, &m, 0));
}
#define SEND(fd, to, ...)                                                                                              \
    do {                                                                                                               \
        struct control_item items_[] = {__VA_ARGS__};                                                                  \
        send_control(fd, &to, sizeof(to), items_, sizeof(items_) / sizeof(items_[0]));                                 \
    } while (0)

static void option(int fd, const char *what, int level, int name, int value)
{
    int got = -1;
    socklen_t size = sizeof(got);
    printf("%s:", what);
    getsockopt(fd, level, name, &got, &size);
    printf(" %d,", got);
    SHOW(setsockopt(fd, level, name, &value, sizeof(value)));
    getsockopt(fd, level, name, &got, &size);
    printf("then %d\n", got);
}
#define SET(fd, level, name, value) option(fd, #name, level, name, value)

/* Hop limits and classes, sent and received with datagrams. */
static void ancillary(void)
{
    struct sockaddr_in a = v4("127.0.0.1", 0);
    int r = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
    bind(r, (struct sockaddr *)&a, sizeof(a));
    a.sin_port = htons((uint16_t)port_of(r));
    SET(r, IPPROTO_IP, IP_RECVTTL, 7);
    SEND(s, a, {999, 1, 0, 4});
    show_control(r, 256, MSG_PEEK);
    SET(r, IPPROTO_IP, IP_RECVTOS, 1);
    show_control(r, 256, 0);
    SET(s, IPPROTO_IP, IP_TTL, 9);
    SET(s, IPPROTO_IP, IP_TOS, 0x10);
    SHOW(sendto(s, "plain", 5, 0, (struct sockaddr *)&a, sizeof(a)));
    show_control(r, 256, 0);
    SEND(s, a, {IPPROTO_IP, IP_TTL, 33, 4}, {IPPROTO_IP, IP_TOS, 0x20, 4});
    show_control(r, 256, 0);
    SEND(s, a, {IPPROTO_IP, IP_TOS, 0x28, 1});
    show_control(r, 256, 0);
    SEND(s, a, {IPPROTO_IP, IP_TTL, 0, 4});
    SEND(s, a, {IPPROTO_IP, IP_TTL, 256, 4});
    SEND(s, a, {IPPROTO_IP, IP_TTL, 5, 1});
    SEND(s, a, {IPPROTO_IP, IP_TOS, 256, 4});
    SEND(s, a, {IPPROTO_IP, IP_TOS, 1, 2});
    SEND(s, a, {IPPROTO_IPV6, IPV6_HOPLIMIT, 5, 4});
    show_control(r, 256, 0);
    SET(r, IPPROTO_IP, IP_RECVTTL, 0);
    SEND(s, a, {IPPROTO_IP, IP_TTL, 33, 4});
    show_control(r, 256, 0);
    SET(r, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    close(r), close(s);

    struct sockaddr_in6 b = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, mapped = b;
    r = socket(AF_INET6, SOCK_DGRAM, 0), s = socket(AF_INET6, SOCK_DGRAM, 0);
    bind(r, (struct sockaddr *)&b, sizeof(b));
    b.sin6_port = htons((uint16_t)port_of(r));
    SET(r, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 3);
    SET(r, IPPROTO_IP, IP_RECVTTL, 1);
    SEND(s, b, {IPPROTO_IPV6, IPV6_TCLASS, 0x30, 4});
    show_control(r, 256, MSG_PEEK);
    SET(r, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    show_control(r, 256, 0);
    SEND(s, b, {IPPROTO_IPV6, IPV6_TCLASS, 0, 4}, {IPPROTO_IPV6, IPV6_HOPLIMIT, 2, 4});
    show_control(r, 256, 0);
    SET(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 12);
    SET(s, IPPROTO_IPV6, IPV6_TCLASS, 0x40);
    SEND(s, b, {IPPROTO_IPV6, IPV6_HOPLIMIT, -1, 4});
    show_control(r, 256, 0);
    SEND(s, b, {IPPROTO_IPV6, IPV6_HOPLIMIT, 0, 4});
    show_control(r, 256, 0);
    SEND(s, b, {IPPROTO_IPV6, IPV6_HOPLIMIT, 256, 4});
    SEND(s, b, {IPPROTO_IPV6, IPV6_HOPLIMIT, -2, 4});
    SEND(s, b, {IPPROTO_IPV6, IPV6_TCLASS, 256, 4});
    SEND(s, b, {IPPROTO_IPV6, IPV6_TCLASS, 1, 5});
    SEND(s, b, {IPPROTO_IP, IP_TTL, 77, 4});
    show_control(r, 256, 0);
    static const size_t rooms[] = {0, 1, 8, 15, 16, 19, 20, 24, 25, 39, 40, 43, 44, 48};
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        SEND(s, b, {IPPROTO_IPV6, IPV6_HOPLIMIT, 8, 4});
        show_control(r, rooms[i], 0);
    }
    char one;
    SHOW(sendto(s, "plain", 5, 0, (struct sockaddr *)&b, sizeof(b)));
    SHOW(recv(r, &one, 1, 0));
    close(r), close(s);
    /* IPv4 between sockets of IPv6 */
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
    r = socket(AF_INET6, SOCK_DGRAM, 0), s = socket(AF_INET6, SOCK_DGRAM, 0);
    bind(r, (struct sockaddr *)&mapped, sizeof(mapped));
    mapped.sin6_port = htons((uint16_t)port_of(r));
    SET(r, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    SET(r, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    SET(r, IPPROTO_IP, IP_RECVTTL, 1);
    SET(r, IPPROTO_IP, IP_RECVTOS, 1);
    SEND(s, mapped, {IPPROTO_IP, IP_TTL, 21, 4}, {IPPROTO_IP, IP_TOS, 0x38, 4});
    show_control(r, 256, 0);
    close(r), close(s);
}

static void interfaces(void)
{
    struct ifaddrs *list;
    SHOW(getifaddrs(&list));
    for (struct ifaddrs *i = list; i; i = i->ifa_next) {
        if (strcmp(i->ifa_name, "lo") != 0 || !i->ifa_addr)
            continue;
        char b[64] = "";
        if (i->ifa_addr->sa_family == AF_INET)
            inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, b, sizeof(b));
        else if (i->ifa_addr->sa_family == AF_INET6)
            inet_ntop(AF_INET6, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, b, sizeof(b));
        printf("lo family %d flags %x %s\n", i->ifa_addr->sa_family, i->ifa_flags, b);
    }
    freeifaddrs(list);
    SHOW(if_nametoindex("lo"));
    SHOW(if_nametoindex("nothing"));
    char name[IF_NAMESIZE] = "";
    printf("index 1 is %s\n", if_indextoname(1, name) ? name : "none");
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq q = {0};
    strcpy(q.ifr_name, "lo");
    SHOW(ioctl(s, SIOCGIFADDR, &q));
    printf("%s\n", inet_ntoa(((struct sockaddr_in *)&q.ifr_addr)->sin_addr));
    SHOW(ioctl(s, SIOCGIFNETMASK, &q));
    printf("%s\n", inet_ntoa(((struct sockaddr_in *)&q.ifr_addr)->sin_addr));
    SHOW(ioctl(s, SIOCGIFFLAGS, &q));
    printf("flags %x\n", q.ifr_flags);
    SHOW(ioctl(s, SIOCGIFMTU, &q));
    printf("mtu %d\n", q.ifr_mtu);
    SHOW(ioctl(s, SIOCGIFHWADDR, &q));
    printf("type %d\n", q.ifr_hwaddr.sa_family);
    strcpy(q.ifr_name, "nothing");
    SHOW(ioctl(s, SIOCGIFADDR, &q));
    close(s);
    SHOW(socket(AF_NETLINK, SOCK_RAW, 31));
    SHOW(socket(AF_NETLINK, SOCK_STREAM, 0));
}

static void resolver(void)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *res;
    SHOW(getaddrinfo("127.0.0.1", "80", &hints, &res));
    SHOW(res->ai_family);
    freeaddrinfo(res);
    SHOW(getaddrinfo("::1", "80", &hints, &res));
    SHOW(res->ai_family);
    freeaddrinfo(res);
}

int main(void)
{
    alarm(30);
    datagrams();
    six();
    ancillary();
    interfaces();
    resolver();
    return 0;
}

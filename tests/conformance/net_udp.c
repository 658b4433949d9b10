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
    interfaces();
    resolver();
    return 0;
}

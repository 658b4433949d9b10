/* TCP on loopback: listening, connecting, data, half close, resets, options, polling, both families. */
#include "show.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

static int revents(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
    poll(&p, 1, 0);
    return p.revents;
}

static int revents_soon(int fd, int wanted)
{
    struct timespec t = {0, 2000000};
    for (int i = 0; i < 200 && (revents(fd) & wanted) != wanted; i++)
        nanosleep(&t, NULL);
    return revents(fd);
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

static int listener(const char *ip)
{
    struct sockaddr_in a = v4(ip, 0);
    int l = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(bind(l, (struct sockaddr *)&a, sizeof(a)));
    SHOW(listen(l, 16));
    return l;
}

static void pair(int l, int *client, int *server)
{
    struct sockaddr_in a = v4("127.0.0.1", port_of(l));
    *client = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(connect(*client, (struct sockaddr *)&a, sizeof(a)));
    *server = accept(l, NULL, NULL);
    SHOW(*server >= 0);
}

static void show_address(const char *what, int fd, int (*get)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_storage a = {0};
    socklen_t size = sizeof(a);
    char text[64] = "?";
    int r = get(fd, (struct sockaddr *)&a, &size);
    if (a.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&a)->sin_addr, text, sizeof(text));
    else if (a.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&a)->sin6_addr, text, sizeof(text));
    printf("%s: %d %s family %d size %d %s\n", what, r, r < 0 ? strerrorname_np(errno) : "", a.ss_family, (int)size,
           text);
}

static void data(void)
{
    int l = listener("127.0.0.1"), c, s, n;
    char b[64];
    SHOW(revents(l));
    pair(l, &c, &s);
    show_address("client", c, getsockname);
    show_address("client's peer", c, getpeername);
    show_address("server", s, getsockname);
    show_address("server's peer", s, getpeername);
    SHOW(port_of(c) >= 32768);
    SHOW(revents(c));
    SHOW(send(c, "hello", 5, 0));
    SHOW(revents_soon(s, POLLIN));
    SHOW(ioctl(s, FIONREAD, &n));
    SHOW(n);
    SHOW(recv(s, b, 2, MSG_PEEK));
    SHOW(recv(s, b, 2, 0));
    SHOW(recv(s, b, 64, 0));
    SHOW(recv(s, b, 64, MSG_DONTWAIT));
    SHOW(send(s, "abcdefgh", 8, 0));
    revents_soon(c, POLLIN);
    SHOW(recv(c, NULL, 3, MSG_TRUNC));
    SHOW(recv(c, b, 5, MSG_WAITALL));
    printf("%.5s\n", b);
    SHOW(shutdown(c, SHUT_WR));
    SHOW(revents_soon(s, POLLIN | POLLRDHUP));
    SHOW(recv(s, b, 64, 0));
    SHOW(recv(s, b, 64, 0));
    SHOW(send(c, "x", 1, MSG_NOSIGNAL));
    SHOW(send(s, "late", 4, 0));
    SHOW(revents_soon(c, POLLIN));
    SHOW(recv(c, b, 64, 0));
    close(s);
    SHOW(revents_soon(c, POLLIN | POLLHUP));
    SHOW(recv(c, b, 64, 0));
    SHOW(shutdown(c, SHUT_RD));
    close(c);
    pair(l, &c, &s);
    SHOW(send(c, "unread", 6, 0));
    revents_soon(s, POLLIN);
    close(s);
    SHOW(revents_soon(c, POLLERR | POLLHUP));
    SHOW(recv(c, b, 64, 0));
    SHOW(recv(c, b, 64, 0));
    SHOW(send(c, "x", 1, MSG_NOSIGNAL));
    close(c);
    pair(l, &c, &s);
    struct linger now = {1, 0};
    SHOW(setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
    SHOW(send(c, "last", 4, 0));
    revents_soon(s, POLLIN);
    close(c);
    SHOW(revents_soon(s, POLLERR));
    int e = 0;
    socklen_t e_size = sizeof(e);
    SHOW(recv(s, b, 64, 0));
    SHOW(getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &e_size));
    SHOW(e);
    SHOW(recv(s, b, 64, 0));
    close(s);
    pair(l, &c, &s);
    close(s);
    revents_soon(c, POLLRDHUP);
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(c, "x", 1));
    revents_soon(c, POLLERR);
    SHOW(write(c, "x", 1));
    SHOW(write(c, "x", 1));
    SHOW(recv(c, b, 64, 0));
    close(c);
    close(l);
}

static void connecting(void)
{
    int l = listener("127.0.0.1"), port = port_of(l), e = 0;
    socklen_t e_size = sizeof(e);
    char b[8];
    struct sockaddr_in a = v4("127.0.0.1", port);
    int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(revents(c));
    SHOW(send(c, "x", 1, MSG_NOSIGNAL));
    SHOW(recv(c, b, 1, 0));
    SHOW(getpeername(c, (struct sockaddr *)&a, &e_size));
    e_size = sizeof(e);
    SHOW(shutdown(c, SHUT_RDWR));
    a = v4("127.0.0.1", port);
    SHOW(connect(c, (struct sockaddr *)&a, sizeof(a)));
    SHOW(revents_soon(c, POLLOUT));
    SHOW(getsockopt(c, SOL_SOCKET, SO_ERROR, &e, &e_size));
    SHOW(e);
    SHOW(connect(c, (struct sockaddr *)&a, sizeof(a)));
    SHOW(connect(c, (struct sockaddr *)&a, sizeof(a)));
    SHOW(revents(l));
    int s = accept4(l, NULL, NULL, SOCK_NONBLOCK);
    SHOW(fcntl(s, F_GETFL) & O_NONBLOCK);
    SHOW(recv(s, b, 1, 0));
    close(s), close(c), close(l);
    c = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(connect(c, (struct sockaddr *)&a, sizeof(a)));
    SHOW(connect(c, (struct sockaddr *)&a, 4));
    a.sin_family = AF_INET6;
    SHOW(connect(c, (struct sockaddr *)&a, sizeof(a)));
    close(c);
    a.sin_family = AF_INET;
    c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(connect(c, (struct sockaddr *)&a, sizeof(a)));
    SHOW(revents_soon(c, POLLERR));
    SHOW(getsockopt(c, SOL_SOCKET, SO_ERROR, &e, &e_size));
    SHOW(e);
    close(c);
    l = listener("127.0.0.1");
    a = v4("127.0.0.1", port_of(l));
    SHOW(connect(l, (struct sockaddr *)&a, sizeof(a)));
    SHOW(shutdown(l, SHUT_RD));
    SHOW(accept(l, NULL, NULL));
    close(l);
}

static void names(void)
{
    int l = listener("127.0.0.1"), on = 1;
    struct sockaddr_in a = v4("127.0.0.1", port_of(l)), away = v4("192.0.2.77", 0);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(bind(s, (struct sockaddr *)&a, sizeof(a)));
    SHOW(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    SHOW(bind(s, (struct sockaddr *)&a, sizeof(a)));
    SHOW(bind(s, (struct sockaddr *)&away, sizeof(away)));
    SHOW(bind(s, (struct sockaddr *)&a, 3));
    a.sin_port = 0;
    SHOW(bind(s, (struct sockaddr *)&a, sizeof(a)));
    SHOW(bind(s, (struct sockaddr *)&a, sizeof(a)));
    show_address("bound", s, getsockname);
    show_address("no peer", s, getpeername);
    close(s);
    close(l);
    int p = socket(AF_INET, SOCK_STREAM, 0), q = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(setsockopt(p, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
    SHOW(setsockopt(q, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
    SHOW(bind(p, (struct sockaddr *)&a, sizeof(a)));
    a.sin_port = htons((uint16_t)port_of(p));
    SHOW(bind(q, (struct sockaddr *)&a, sizeof(a)));
    SHOW(listen(p, 1));
    SHOW(listen(q, 1));
    close(p), close(q);
    SHOW(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    SHOW(socket(AF_INET, SOCK_SEQPACKET, 0));
    SHOW(socket(AF_INET, 99, 0));
}

static void show_option(int fd, const char *what, int level, int name)
{
    int v = -1;
    socklen_t size = sizeof(v);
    int r = getsockopt(fd, level, name, &v, &size);
    printf("%s: %d %d size %d\n", what, r, v, (int)size);
}
#define OPTION(fd, level, name) show_option(fd, #name, level, name)

static void set(int fd, const char *what, int level, int name, int v)
{
    int r = setsockopt(fd, level, name, &v, sizeof(v));
    printf("set %s %d: %d %s\n", what, v, r, r ? strerrorname_np(errno) : "");
}
#define SET(fd, level, name, v) set(fd, #name, level, name, v)

static void options(void)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    OPTION(s, SOL_SOCKET, SO_TYPE);
    OPTION(s, SOL_SOCKET, SO_PROTOCOL);
    OPTION(s, SOL_SOCKET, SO_DOMAIN);
    OPTION(s, SOL_SOCKET, SO_ERROR);
    OPTION(s, SOL_SOCKET, SO_REUSEADDR);
    OPTION(s, SOL_SOCKET, SO_KEEPALIVE);
    OPTION(s, SOL_SOCKET, SO_RCVLOWAT);
    OPTION(s, SOL_SOCKET, SO_ACCEPTCONN);
    OPTION(s, IPPROTO_TCP, TCP_NODELAY);
    OPTION(s, IPPROTO_TCP, TCP_KEEPIDLE);
    OPTION(s, IPPROTO_TCP, TCP_KEEPINTVL);
    OPTION(s, IPPROTO_TCP, TCP_KEEPCNT);
    OPTION(s, IPPROTO_TCP, TCP_SYNCNT);
    OPTION(s, IPPROTO_TCP, TCP_USER_TIMEOUT);
    OPTION(s, IPPROTO_IP, IP_TTL);
    OPTION(s, IPPROTO_IP, IP_TOS);
    SET(s, SOL_SOCKET, SO_KEEPALIVE, 5);
    OPTION(s, SOL_SOCKET, SO_KEEPALIVE);
    SET(s, SOL_SOCKET, SO_RCVBUF, 10000);
    OPTION(s, SOL_SOCKET, SO_RCVBUF);
    SET(s, SOL_SOCKET, SO_SNDBUF, 1);
    OPTION(s, SOL_SOCKET, SO_SNDBUF);
    SET(s, SOL_SOCKET, SO_RCVLOWAT, 9);
    OPTION(s, SOL_SOCKET, SO_RCVLOWAT);
    SET(s, SOL_SOCKET, SO_TYPE, 1);
    SET(s, SOL_SOCKET, 9999, 1);
    SET(s, IPPROTO_TCP, TCP_NODELAY, 7);
    OPTION(s, IPPROTO_TCP, TCP_NODELAY);
    SET(s, IPPROTO_TCP, TCP_KEEPIDLE, 0);
    SET(s, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    OPTION(s, IPPROTO_TCP, TCP_KEEPIDLE);
    SET(s, IPPROTO_TCP, TCP_CORK, 1);
    OPTION(s, IPPROTO_TCP, TCP_CORK);
    SET(s, IPPROTO_IP, IP_TTL, 0);
    SET(s, IPPROTO_IP, IP_TTL, 12);
    OPTION(s, IPPROTO_IP, IP_TTL);
    struct timeval tv = {1, 500000}, got = {0};
    socklen_t size = sizeof(got);
    SHOW(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    SHOW(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &got, &size));
    printf("%ld %ld size %d\n", (long)got.tv_sec, (long)got.tv_usec, (int)size);
    tv.tv_usec = 1000000;
    SHOW(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
    struct linger lg = {5, 7}, lgot = {0};
    SHOW(setsockopt(s, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
    size = sizeof(lgot);
    SHOW(getsockopt(s, SOL_SOCKET, SO_LINGER, &lgot, &size));
    printf("linger %d %d\n", lgot.l_onoff, lgot.l_linger);
    int v = 1;
    SHOW(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, 2));
    SHOW(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, (void *)8, 4));
    size = 2;
    SHOW(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &size));
    SHOW(size);
    close(s);
    int p[2];
    SHOW(pipe(p));
    SHOW(getsockopt(p[0], SOL_SOCKET, SO_TYPE, &v, &size));
    SHOW(listen(p[0], 1));
    close(p[0]), close(p[1]);
}

static void *server_v6(void *arg)
{
    int s = accept(*(int *)arg, NULL, NULL);
    char b[16];
    ssize_t n = read(s, b, 16);
    if (write(s, b, (size_t)n) != n)
        perror("write");
    close(s);
    return NULL;
}

static void families(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int l = socket(AF_INET6, SOCK_STREAM, 0);
    pthread_t t;
    char b[16];
    OPTION(l, IPPROTO_IPV6, IPV6_V6ONLY);
    SHOW(bind(l, (struct sockaddr *)&a, sizeof(a)));
    SHOW(listen(l, 1));
    a.sin6_port = htons((uint16_t)port_of(l));
    pthread_create(&t, NULL, server_v6, &l);
    int c = socket(AF_INET6, SOCK_STREAM, 0);
    SHOW(connect(c, (struct sockaddr *)&a, sizeof(a)));
    show_address("v6 client", c, getsockname);
    SHOW(write(c, "six", 3));
    SHOW(read(c, b, 16));
    SHOW(read(c, b, 16));
    pthread_join(t, NULL);
    close(c), close(l);
    /* a mapped address on a v6 socket */
    l = socket(AF_INET6, SOCK_STREAM, 0);
    a = (struct sockaddr_in6){.sin6_family = AF_INET6};
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.sin6_addr);
    SHOW(bind(l, (struct sockaddr *)&a, sizeof(a)));
    SHOW(listen(l, 1));
    int s;
    struct sockaddr_in v = v4("127.0.0.1", port_of(l));
    c = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(connect(c, (struct sockaddr *)&v, sizeof(v)));
    s = accept(l, NULL, NULL);
    show_address("mapped", s, getpeername);
    close(s), close(c), close(l);
}

static void *pump_all(void *arg)
{
    static char b[50000];
    long total = 0;
    ssize_t n;
    while ((n = read(*(int *)arg, b, sizeof(b))) > 0)
        total += n;
    return (void *)total;
}

static void bulk(void)
{
    int l = listener("127.0.0.1"), c, s;
    static char b[100000];
    pthread_t t;
    void *total;
    long sent = 0;
    pair(l, &c, &s);
    pthread_create(&t, NULL, pump_all, &s);
    for (int i = 0; i < 100; i++)
        sent += send(c, b, sizeof(b), 0);
    close(c);
    pthread_join(t, &total);
    printf("sent %ld received %ld\n", sent, (long)total);
    close(s);
    pair(l, &c, &s);
    fcntl(c, F_SETFL, O_NONBLOCK);
    while (write(c, b, sizeof(b)) > 0)
        ;
    SHOW(errno == EAGAIN);
    SHOW(revents(c));
    fcntl(s, F_SETFL, O_NONBLOCK);
    struct timespec ts = {0, 1000000};
    for (int i = 0; i < 200 && !(revents(c) & POLLOUT); i++) {
        while (read(s, b, sizeof(b)) > 0)
            ;
        nanosleep(&ts, NULL);
    }
    SHOW(revents(c));
    close(c), close(s), close(l);
}

static void *read_slowly(void *arg)
{
    static char b[3000];
    long total = 0;
    ssize_t n;
    struct timespec t = {0, 200000};
    while ((n = read(*(int *)arg, b, sizeof(b))) > 0) {
        total += n;
        nanosleep(&t, NULL);
    }
    return (void *)total;
}

/* What a sender gets in that is not to wait, in bytes, and then an edge when the other end has read. */
static long fill(int from, int to)
{
    static char b[65536];
    struct epoll_event e = {.events = EPOLLOUT | EPOLLET}, got;
    struct timespec t = {0, 5000000};
    int ep = epoll_create1(0);
    long total = 0;
    ssize_t n;
    SHOW(fcntl(from, F_SETFL, O_NONBLOCK));
    SHOW(fcntl(to, F_SETFL, O_NONBLOCK));
    for (int i = 0; i < 3; i++, nanosleep(&t, NULL))
        while ((n = write(from, b, sizeof(b))) > 0)
            total += n;
    epoll_ctl(ep, EPOLL_CTL_ADD, from, &e);
    epoll_wait(ep, &got, 1, 0);
    for (int i = 0; i < 5; i++, nanosleep(&t, NULL))
        while (read(to, b, sizeof(b)) > 0)
            ;
    SHOW(epoll_wait(ep, &got, 1, 1000));
    SHOW(revents(from));
    SHOW(fcntl(from, F_SETFL, 0));
    SHOW(fcntl(to, F_SETFL, 0));
    close(ep);
    return total;
}

/* Sizes that were set bound what waits between the two ends. */
static void sizes(void)
{
    int l = listener("127.0.0.1"), c, s;
    static char b[20000];
    pthread_t t;
    void *total;
    SET(l, SOL_SOCKET, SO_RCVBUF, 10000);
    SET(l, SOL_SOCKET, SO_SNDBUF, 4096);
    pair(l, &c, &s);
    OPTION(s, SOL_SOCKET, SO_RCVBUF);
    SET(c, SOL_SOCKET, SO_SNDBUF, 10000);
    long there = fill(c, s);
    printf("small both ways: %d\n", there > 10000 && there < 60000);
    there = fill(s, c);
    printf("a small sender: %d\n", there > 4096 && there < 150000);
    SET(c, SOL_SOCKET, SO_SNDBUF, 200000);
    SET(s, SOL_SOCKET, SO_RCVBUF, 200000);
    there = fill(c, s);
    printf("larger: %d\n", there > 200000 && there < 1000000);
    SET(c, SOL_SOCKET, SO_SNDBUF, 1);
    SET(s, SOL_SOCKET, SO_RCVBUF, 1);
    SET(s, SOL_SOCKET, SO_RCVLOWAT, 500000); /* more than ever comes */
    SHOW(write(c, b, 2000));
    pthread_create(&t, NULL, read_slowly, &s);
    SHOW(write(c, b, sizeof(b)));
    SHOW(shutdown(c, SHUT_WR));
    pthread_join(t, &total);
    printf("received %ld\n", (long)total);
    pthread_create(&t, NULL, read_slowly, &c);
    SHOW(write(s, b, sizeof(b)));
    SHOW(shutdown(s, SHUT_WR));
    pthread_join(t, &total);
    printf("received %ld\n", (long)total);
    close(c), close(s);
    pair(l, &c, &s);
    SET(c, SOL_SOCKET, SO_SNDBUF, 10000);
    pthread_create(&t, NULL, pump_all, &s);
    SHOW(write(c, b, sizeof(b)));
    close(c);
    pthread_join(t, &total);
    printf("received %ld\n", (long)total);
    close(s), close(l);
}

static void edges(void)
{
    int l = listener("127.0.0.1"), c, s, ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET}, got;
    pair(l, &c, &s);
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, s, &e));
    SHOW(epoll_wait(ep, &got, 1, 0));
    SHOW(send(c, "a", 1, 0));
    SHOW(epoll_wait(ep, &got, 1, 1000));
    SHOW(epoll_wait(ep, &got, 1, 0));
    SHOW(send(c, "b", 1, 0));
    SHOW(epoll_wait(ep, &got, 1, 1000));
    SHOW(got.events);
    close(c);
    SHOW(epoll_wait(ep, &got, 1, 1000));
    SHOW(got.events);
    close(s), close(l), close(ep);
}

int main(void)
{
    alarm(30);
    data();
    connecting();
    names();
    options();
    families();
    bulk();
    sizes();
    edges();
    return 0;
}

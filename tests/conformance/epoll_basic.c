/* epoll: level and edge triggering, one-shot, exclusive, modification, nesting, closing, errors. */
#include "show.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

static int add(int ep, int fd, unsigned events)
{
    struct epoll_event e = {.events = events, .data.u64 = 0x100000000ULL + (unsigned)fd};
    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static int modify(int ep, int fd, unsigned events)
{
    struct epoll_event e = {.events = events, .data.u64 = 0x200000000ULL + (unsigned)fd};
    return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
}

static void wait_show(const char *what, int ep, int timeout)
{
    struct epoll_event e[8];
    int n = epoll_wait(ep, e, 8, timeout);
    printf("%s: %d", what, n);
    if (n < 0)
        printf(" %s", strerrorname_np(errno));
    /* the order among several is not promised */
    unsigned events = 0;
    unsigned long data = 0;
    for (int i = 0; i < n; i++) {
        events |= e[i].events;
        data += e[i].data.u64;
    }
    printf(" events %x data %lx\n", events, data);
}

static void levels(void)
{
    int ep = epoll_create1(EPOLL_CLOEXEC), p[2];
    SHOW(pipe2(p, O_NONBLOCK));
    SHOW(fcntl(ep, F_GETFD));
    SHOW(add(ep, p[0], EPOLLIN));
    wait_show("empty", ep, 0);
    SHOW(write(p[1], "abc", 3));
    wait_show("level 1", ep, 0);
    wait_show("level 2", ep, 0);
    char c[8];
    SHOW(read(p[0], c, 8));
    wait_show("drained", ep, 0);
    SHOW(modify(ep, p[0], EPOLLIN | EPOLLET));
    wait_show("edge none", ep, 0);
    SHOW(write(p[1], "abc", 3));
    wait_show("edge 1", ep, 0);
    wait_show("edge 2", ep, 0);
    SHOW(write(p[1], "d", 1));
    wait_show("edge again", ep, 0);
    SHOW(modify(ep, p[0], EPOLLIN | EPOLLONESHOT));
    wait_show("oneshot 1", ep, 0);
    wait_show("oneshot 2", ep, 0);
    SHOW(modify(ep, p[0], EPOLLIN | EPOLLONESHOT));
    wait_show("oneshot rearmed", ep, 0);
    SHOW(modify(ep, p[0], 0));
    wait_show("nothing wanted", ep, 0);
    SHOW(close(p[1]));
    wait_show("hup always", ep, 0);
    SHOW(close(p[0]));
    wait_show("closed", ep, 0);
    close(ep);
}

static void errors(void)
{
    int ep = epoll_create(1), p[2], file = open("/tmp/epoll_file", O_RDWR | O_CREAT, 0600);
    struct epoll_event e = {0};
    SHOW(pipe(p));
    SHOW(epoll_create(0));
    SHOW(epoll_create1(7));
    SHOW(add(ep, ep, EPOLLIN));
    SHOW(add(ep, 99, EPOLLIN));
    SHOW(add(99, p[0], EPOLLIN));
    SHOW(add(p[0], p[1], EPOLLIN));
    SHOW(add(ep, file, EPOLLIN));
    SHOW(add(ep, p[0], EPOLLIN));
    SHOW(add(ep, p[0], EPOLLIN));
    SHOW(modify(ep, p[1], EPOLLIN));
    SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL));
    SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], NULL));
    SHOW(epoll_ctl(ep, 77, p[0], &e));
    SHOW(epoll_wait(ep, &e, 0, 0));
    SHOW(epoll_wait(ep, &e, -1, 0));
    SHOW(epoll_wait(ep, (void *)8, 1, 0));
    SHOW(epoll_wait(p[0], &e, 1, 0));
    SHOW(add(ep, p[0], EPOLLIN | EPOLLEXCLUSIVE));
    SHOW(modify(ep, p[0], EPOLLIN));
    SHOW(add(ep, p[1], EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT));
    SHOW(read(ep, &e, 1));
    SHOW(lseek(ep, 0, SEEK_SET));
    close(ep), close(p[0]), close(p[1]), close(file);
    unlink("/tmp/epoll_file");
}

static void nesting(void)
{
    int ep[8], p[2], other = epoll_create1(0);
    SHOW(pipe(p));
    for (int i = 0; i < 8; i++)
        ep[i] = epoll_create1(0);
    for (int i = 0; i < 7; i++) {
        errno = 0;
        int r = add(ep[i], ep[i + 1], EPOLLIN);
        printf("nest %d: %d %s\n", i, r, r ? strerrorname_np(errno) : "");
    }
    SHOW(add(ep[3], ep[0], EPOLLIN));
    SHOW(add(other, p[0], EPOLLIN));
    int outer = epoll_create1(0);
    SHOW(add(outer, other, EPOLLIN));
    wait_show("outer idle", outer, 0);
    SHOW(write(p[1], "x", 1));
    wait_show("outer", outer, 0);
    struct pollfd pfd = {.fd = outer, .events = POLLIN | POLLOUT};
    SHOW(poll(&pfd, 1, 0));
    SHOW(pfd.revents);
    SHOW(add(other, outer, EPOLLIN));
    char c;
    SHOW(read(p[0], &c, 1));
    wait_show("outer drained", outer, 0);
    for (int i = 0; i < 8; i++)
        close(ep[i]);
    close(other), close(outer), close(p[0]), close(p[1]);
}

static void duplicates(void)
{
    int ep = epoll_create1(0), p[2], q;
    SHOW(pipe(p));
    q = dup(p[0]);
    SHOW(add(ep, p[0], EPOLLIN));
    SHOW(add(ep, q, EPOLLIN));
    SHOW(write(p[1], "x", 1));
    wait_show("both", ep, 0);
    close(p[0]);
    wait_show("file still open", ep, 0);
    close(q);
    wait_show("gone", ep, 0);
    close(p[1]), close(ep);
}

static int wake_fd;
static void *waker(void *arg)
{
    struct timespec t = {0, 30000000};
    unsigned long one = 1;
    nanosleep(&t, NULL);
    if (write(wake_fd, &one, 8) != 8)
        perror("write");
    return arg;
}

static void handler(int s)
{
    (void)s;
}

static void *killer(void *arg)
{
    struct timespec t = {0, 30000000};
    nanosleep(&t, NULL);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}

static void sleeping(void)
{
    int ep = epoll_create1(0);
    pthread_t t, self = pthread_self();
    struct timespec a, b;
    wake_fd = eventfd(0, EFD_NONBLOCK);
    SHOW(add(ep, wake_fd, EPOLLIN));
    clock_gettime(CLOCK_MONOTONIC, &a);
    wait_show("timeout", ep, 40);
    clock_gettime(CLOCK_MONOTONIC, &b);
    SHOW((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec >= 40000000L);
    pthread_create(&t, NULL, waker, NULL);
    wait_show("woken", ep, 5000);
    pthread_join(t, NULL);
    unsigned long v;
    SHOW(read(wake_fd, &v, 8));
    struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &sa, NULL);
    pthread_create(&t, NULL, killer, &self);
    wait_show("signal", ep, 5000);
    pthread_join(t, NULL);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    struct epoll_event e;
    SHOW(epoll_wait(ep, &e, 1, 0));
    SHOW(epoll_pwait(ep, &e, 1, 1000, &old));
    struct timespec short_time = {0, 1000000};
    SHOW(epoll_pwait2(ep, &e, 1, &short_time, NULL));
    close(ep), close(wake_fd);
}

static void sockets(void)
{
    int ep = epoll_create1(0), s[2];
    SHOW(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
    SHOW(add(ep, s[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET));
    wait_show("fresh", ep, 0);
    wait_show("again", ep, 0);
    SHOW(write(s[1], "hi", 2));
    wait_show("data", ep, 0);
    SHOW(shutdown(s[1], SHUT_WR));
    wait_show("rdhup", ep, 0);
    SHOW(close(s[1]));
    wait_show("hup", ep, 0);
    wait_show("hup told", ep, 0);
    close(s[0]), close(ep);
}

static void many(void)
{
    int ep = epoll_create1(0), fds[200], ready = 0;
    struct epoll_event e[256];
    for (int i = 0; i < 200; i++) {
        fds[i] = eventfd(i % 2, EFD_NONBLOCK);
        add(ep, fds[i], EPOLLIN);
    }
    SHOW(epoll_wait(ep, e, 256, 0));
    int seen[1024] = {0};
    for (int round = 0; round < 10; round++) {
        int n = epoll_wait(ep, e, 10, 0);
        for (int i = 0; i < n; i++)
            if (!seen[e[i].data.u64 & 1023]++)
                ready++;
    }
    SHOW(ready); /* round robin: everybody's turn comes */
    for (int i = 0; i < 200; i++)
        close(fds[i]);
    SHOW(epoll_wait(ep, e, 256, 0));
    close(ep);
}

/* Each connection is an edge; that one is accepted is none. */
static void accepting(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int ep = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0), fds[2];
    SHOW(bind(listener, (struct sockaddr *)&address, size));
    SHOW(listen(listener, 8));
    getsockname(listener, (struct sockaddr *)&address, &size);
    add(ep, listener, EPOLLIN | EPOLLET);
    for (int i = 0; i < 2; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        SHOW(connect(fds[i], (struct sockaddr *)&address, size));
    }
    struct epoll_event e[4];
    SHOW(epoll_wait(ep, e, 4, 1000));
    int first = accept(listener, NULL, NULL);
    SHOW(first >= 0);
    SHOW(epoll_wait(ep, e, 4, 0));
    int second = accept(listener, NULL, NULL);
    SHOW(second >= 0);
    SHOW(epoll_wait(ep, e, 4, 0));
    close(first);
    close(second);
    close(fds[0]);
    close(fds[1]);
    close(listener);
    close(ep);
}

int main(void)
{
    accepting();
    levels();
    errors();
    nesting();
    duplicates();
    sleeping();
    sockets();
    many();
    return 0;
}

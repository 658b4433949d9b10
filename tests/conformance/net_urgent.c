/* Urgent data of TCP on loopback: MSG_OOB, marks, SO_OOBINLINE, polling, SIGURG. */
#include "show.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

static int client, server;

static void moment(void)
{
    struct timespec t = {0, 3000000};
    nanosleep(&t, NULL);
}

static void pair(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM, 0);
    bind(l, (struct sockaddr *)&a, sizeof(a));
    listen(l, 1);
    getsockname(l, (struct sockaddr *)&a, &size);
    client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, (struct sockaddr *)&a, sizeof(a));
    server = accept(l, NULL, NULL);
    close(l);
}

static void pair_end(void)
{
    close(client), close(server);
}

static void say(const char *text, int flags)
{
    ssize_t n = send(client, text, strlen(text), flags);
    printf("sent %s%s: %zd\n", text, flags & MSG_OOB ? " urgent" : "", n);
    moment();
}

static void hear(size_t size, int flags)
{
    char b[64] = "";
    ssize_t n = recv(server, b, size, flags | MSG_DONTWAIT);
    printf("recv %zu %x: %zd %s %s\n", size, flags, n, n < 0 ? strerrorname_np(errno) : "", n > 0 ? b : "");
}

static void look(void)
{
    struct pollfd p = {.fd = server, .events = POLLIN | POLLPRI | POLLRDBAND | POLLOUT | POLLRDHUP};
    struct timeval none = {0, 0};
    fd_set in, ex;
    int mark = -1, there = -1;
    poll(&p, 1, 0);
    FD_ZERO(&in);
    FD_ZERO(&ex);
    FD_SET(server, &in), FD_SET(server, &ex);
    int n = select(server + 1, &in, NULL, &ex, &none);
    ioctl(server, SIOCATMARK, &mark);
    ioctl(server, FIONREAD, &there);
    printf("poll %x select %d in %d ex %d mark %d there %d\n", p.revents, n, !!FD_ISSET(server, &in),
           !!FD_ISSET(server, &ex), mark, there);
}

static void inline_on(int on)
{
    SHOW(setsockopt(server, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)));
}

/* Reads end before the mark; the byte is got apart. */
static void apart(void)
{
    pair();
    look();
    hear(8, MSG_OOB);
    say("abc", MSG_OOB);
    look();
    hear(8, MSG_OOB | MSG_PEEK);
    hear(1, 0);
    look();
    hear(8, MSG_PEEK);
    hear(8, 0);
    look();
    hear(8, MSG_OOB);
    look();
    hear(8, MSG_OOB);
    say("def", 0);
    look();
    hear(8, MSG_PEEK);
    hear(8, 0);
    look();
    hear(8, MSG_OOB);
    hear(8, 0);
    pair_end();
}

/* A read at the mark loses the byte. */
static void passed(void)
{
    pair();
    say("x", MSG_OOB);
    look();
    hear(8, 0);
    look();
    hear(8, MSG_OOB);
    say("a", 0);
    say("b", MSG_OOB);
    say("c", 0);
    look();
    hear(8, 0);
    look();
    hear(8, 0);
    look();
    hear(8, MSG_OOB);
    say("1234", MSG_OOB);
    hear(2, MSG_TRUNC);
    hear(8, MSG_TRUNC);
    hear(0, MSG_OOB | MSG_PEEK);
    hear(8, MSG_OOB | MSG_TRUNC);
    say("", MSG_OOB);
    look();
    pair_end();
}

/* Of two only the last is one. */
static void replaced(void)
{
    pair();
    say("ab", MSG_OOB);
    say("cd", MSG_OOB);
    look();
    hear(8, MSG_OOB);
    hear(8, 0);
    hear(8, 0);
    say("x", MSG_OOB);
    look();
    say("y", MSG_OOB);
    look();
    hear(8, MSG_OOB);
    hear(8, 0);
    say("gh", MSG_OOB);
    hear(8, 0);
    hear(8, MSG_OOB);
    say("ij", 0);
    say("k", MSG_OOB);
    look();
    hear(8, 0);
    hear(8, MSG_OOB);
    hear(8, 0);
    pair_end();
}

static void among(void)
{
    pair();
    inline_on(1);
    say("ab", MSG_OOB);
    say("cd", 0);
    look();
    hear(8, MSG_OOB);
    hear(8, 0);
    look();
    hear(8, MSG_PEEK);
    hear(8, 0);
    look();
    say("ef", MSG_OOB);
    inline_on(0);
    look();
    hear(8, MSG_OOB);
    hear(8, 0);
    inline_on(1);
    look();
    hear(8, 0);
    look();
    pair_end();
}

static void edges(void)
{
    struct epoll_event e = {.events = EPOLLPRI | EPOLLET}, got = {0};
    int ep = epoll_create1(0);
    pair();
    epoll_ctl(ep, EPOLL_CTL_ADD, server, &e);
    SHOW(epoll_wait(ep, &got, 1, 0));
    say("a", 0);
    SHOW(epoll_wait(ep, &got, 1, 0));
    say("b", MSG_OOB);
    SHOW(epoll_wait(ep, &got, 1, 1000));
    printf("events %x\n", got.events);
    SHOW(epoll_wait(ep, &got, 1, 0));
    say("c", MSG_OOB);
    SHOW(epoll_wait(ep, &got, 1, 1000));
    pair_end();
    close(ep);
}

static int urgent_signals, code;

static void urgent(int signal, siginfo_t *info, void *context)
{
    urgent_signals++;
    code = info->si_code;
}

static void *say_soon(void *arg)
{
    moment(), moment();
    send(client, arg, strlen(arg), MSG_OOB);
    return NULL;
}

static void signals(void)
{
    struct sigaction act = {.sa_sigaction = urgent, .sa_flags = SA_SIGINFO};
    char b[8] = "";
    pthread_t t;
    sigaction(SIGURG, &act, NULL);
    pair();
    say("a", MSG_OOB);
    SHOW(urgent_signals);
    SHOW(fcntl(server, F_SETOWN, getpid()));
    say("b", MSG_OOB);
    SHOW(urgent_signals);
    SHOW(code);
    setpgid(0, 0); /* one that is seen from here; as session leader it has one */
    SHOW(fcntl(server, F_SETOWN, -getpgrp()));
    say("c", MSG_OOB);
    SHOW(urgent_signals);
    SHOW(fcntl(server, F_SETOWN, 0));
    say("d", MSG_OOB);
    SHOW(urgent_signals);
    pair_end();
    /* Who sleeps is to let the handler have the byte. */
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGURG);
    pair();
    SHOW(fcntl(server, F_SETOWN, getpid()));
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_create(&t, NULL, say_soon, "e");
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    SHOW(recv(server, b, 8, 0));
    SHOW(urgent_signals);
    pthread_join(t, NULL);
    SHOW(recv(server, b, 8, MSG_OOB));
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_create(&t, NULL, say_soon, "fgh");
    SHOW(recv(server, b, 8, MSG_WAITALL));
    pthread_join(t, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    pair_end();
    /* Another process owns it. */
    int ready[2], status;
    if (pipe(ready) < 0)
        return;
    pid_t child = fork();
    if (child == 0) {
        sigprocmask(SIG_BLOCK, &set, NULL);
        status = write(ready[1], "x", 1) != 1 || sigwaitinfo(&set, NULL) != SIGURG;
        _exit(status);
    }
    SHOW(read(ready[0], b, 1));
    pair();
    SHOW(fcntl(server, F_SETOWN, child));
    say("i", MSG_OOB);
    SHOW(waitpid(child, &status, 0) == child);
    SHOW(status);
    pair_end();
    signal(SIGURG, SIG_DFL);
}

static void states(void)
{
    char b[8];
    int l = socket(AF_INET, SOCK_STREAM, 0), s = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(listen(l, 1));
    SHOW(recv(l, b, 1, MSG_OOB));
    SHOW(recv(s, b, 1, MSG_OOB));
    SHOW(send(s, "x", 1, MSG_OOB | MSG_NOSIGNAL));
    close(l), close(s);
    pair();
    say("ab", MSG_OOB);
    SHOW(shutdown(client, SHUT_WR));
    moment();
    look();
    hear(8, 0);
    look();
    hear(8, MSG_OOB);
    look();
    hear(8, 0);
    look();
    SHOW(send(client, "x", 1, MSG_OOB | MSG_NOSIGNAL));
    pair_end();
    pair();
    say("cd", MSG_OOB);
    struct linger now = {1, 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(client);
    moment();
    look();
    hear(8, MSG_OOB);
    close(server);
    pair();
    int two = 2;
    SHOW(setsockopt(server, SOL_SOCKET, SO_RCVLOWAT, &two, sizeof(two)));
    say("ef", MSG_OOB);
    look();
    hear(1, 0);
    say("g", 0);
    look();
    say("h", 0);
    look();
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    SHOW(connect(server, &none, sizeof(none)));
    hear(8, MSG_OOB);
    pair_end();
}

/* In a message header, and from one process to another. */
static void messages(void)
{
    char b[8] = "";
    struct iovec v = {b, 8};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    pair();
    say("q", MSG_OOB);
    SHOW(recvmsg(server, &m, MSG_OOB));
    SHOW(m.msg_flags);
    SHOW(recvmsg(server, &m, MSG_DONTWAIT));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        say("child", MSG_OOB);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0) {
        look();
        hear(8, 0);
        hear(8, MSG_OOB);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    look();
    pair_end();
}

int main(void)
{
    alarm(30);
    apart();
    passed();
    replaced();
    among();
    edges();
    signals();
    states();
    messages();
    return 0;
}

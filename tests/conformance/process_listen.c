/* Sockets that a child makes for itself: it listens, accepts, receives and sends, for others of its own making. */
#include "child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct sockaddr_in here(int fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    if (fd >= 0)
        getsockname(fd, (struct sockaddr *)&a, &size);
    return a;
}

static int bound(int type)
{
    struct sockaddr_in a = here(-1);
    int fd = socket(AF_INET, type, 0);
    bind(fd, (struct sockaddr *)&a, sizeof(a));
    return fd;
}

/* Each of four children says so many lines over a connection of its own, and hears them again. */
static void client(int family, const void *address, socklen_t size, int lines)
{
    int fd = socket(family, SOCK_STREAM, 0), wrong = 0;
    if (connect(fd, address, size) < 0)
        _exit(90);
    for (int i = 0; i < lines; i++) {
        char sent[64], got[64];
        int n = snprintf(sent, sizeof(sent), "%d line %d", getpid(), i);
        wrong += write(fd, sent, n) != n || read(fd, got, sizeof(got)) != n || memcmp(sent, got, n) != 0;
    }
    _exit(wrong);
}

static void serve(const char *what, int family, int listener, const void *address, socklen_t size)
{
    struct pollfd p = {listener, POLLIN, 0};
    int status, ended = 0, open = 0, came = 0;
    pid_t pids[4];
    for (int i = 0; i < 4; i++)
        if ((pids[i] = fork()) == 0)
            client(family, address, size, 200);
    int set = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.fd = listener}}, events[8];
    printf("%s: poll %d\n", what, poll(&p, 1, 5000));
    epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
    while (came < 4 || open > 0) {
        int n = epoll_wait(set, events, 8, 5000);
        if (n <= 0)
            break;
        for (int i = 0; i < n; i++) {
            char data[100];
            int fd = events[i].data.fd;
            if (fd == listener) {
                event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event);
                open++;
                came++;
                continue;
            }
            ssize_t got = read(fd, data, sizeof(data));
            if (got > 0) {
                write(fd, data, got);
            } else {
                close(fd);
                open--;
            }
        }
    }
    for (int i = 0; i < 4; i++)
        ended += waitpid(pids[i], &status, 0) == pids[i] && status == 0;
    printf("%s: %d came, %d ended well\n", what, came, ended);
    close(set);
}

static void *accepts(void *arg)
{
    int fd = accept(*(int *)arg, NULL, NULL);
    return (void *)(long)(fd < 0 ? errno : 0);
}

static void on_signal(int signal)
{
}

static void ends_of_listeners(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    int listener = bound(SOCK_STREAM);
    pthread_t thread;
    void *result;
    SHOW(accept(listener, NULL, NULL));
    listen(listener, 4);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    SHOW(accept(listener, NULL, NULL));
    fcntl(listener, F_SETFL, 0);
    sigaction(SIGALRM, &action, NULL);
    ualarm(20000, 0);
    SHOW(accept(listener, NULL, NULL));
    pthread_create(&thread, NULL, accepts, &listener);
    usleep(50000);
    SHOW(shutdown(listener, SHUT_RDWR));
    pthread_join(thread, &result);
    printf("accept of a listener that was shut down: %s\n", strerrorname_np((int)(long)result));
    close(listener);
}

/* Datagrams: answers go to whoever asked; what was sent to nobody is an error the second time. */
static void datagrams(void)
{
    fflush(stdout);
    int server = bound(SOCK_DGRAM), good = 0, status;
    struct sockaddr_in address = here(server), from;
    socklen_t size = sizeof(from);
    char data[2000];
    pid_t pid = fork();
    if (pid == 0) {
        int fd = bound(SOCK_DGRAM);
        connect(fd, (struct sockaddr *)&address, sizeof(address));
        for (int i = 0; i < 300; i++) {
            memset(data, i, sizeof(data));
            int n = 1 + i * 5;
            send(fd, data, n, 0);
            memset(data, ~i, sizeof(data));
            good += recv(fd, data, sizeof(data), 0) == n && data[n - 1] == (char)i;
        }
        close(server);
        send(fd, "end", 3, 0);
        recv(fd, data, sizeof(data), 0);
        printf("%d datagrams came back\n", good);
        fflush(stdout);
        _exit(0);
    }
    for (;;) {
        ssize_t n = recvfrom(server, data, sizeof(data), 0, (struct sockaddr *)&from, &size);
        if (n == 3 && memcmp(data, "end", 3) == 0)
            break;
        sendto(server, data, n, 0, (struct sockaddr *)&from, size);
    }
    sendto(server, "bye", 3, 0, (struct sockaddr *)&from, size);
    waitpid(pid, &status, 0);
    close(server);
    int fd = bound(SOCK_DGRAM);
    connect(fd, (struct sockaddr *)&address, sizeof(address));
    SHOW(send(fd, "x", 1, 0));
    SHOW(send(fd, "x", 1, 0));
    close(fd);
}

static void unix_datagrams(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/tmp/process_listen_dgram"}, from;
    socklen_t size = sizeof(from);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), status, sum = 0, n = 0;
    unsigned char data[10];
    unlink(a.sun_path);
    bind(fd, (struct sockaddr *)&a, sizeof(a));
    pid_t pid = fork();
    if (pid == 0) {
        int to = socket(AF_UNIX, SOCK_DGRAM, 0);
        for (int i = 0; i < 500; i++) {
            data[0] = i & 7;
            sendto(to, data, 1 + i % 9, 0, (struct sockaddr *)&a, sizeof(a));
        }
        _exit(0);
    }
    for (; n < 500; n++)
        sum += recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &size) * (data[0] + 1);
    waitpid(pid, &status, 0);
    printf("unix datagrams: %d, sum %d, a nameless sender: %d\n", n, sum, size == sizeof(a.sun_family) || size == 0);
    close(fd);
    unlink(a.sun_path);
}

/* Two children listen on one port; every client is served by one of them. */
static void shared_port(void)
{
    int ready[2], one = 1, status, served = 0;
    struct sockaddr_in address;
    pid_t pids[2];
    char c;
    int first = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(first, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    address = here(-1);
    bind(first, (struct sockaddr *)&address, sizeof(address));
    address = here(first);
    pipe(ready);
    for (int i = 0; i < 2; i++) {
        if ((pids[i] = fork()) == 0) {
            int fd = socket(AF_INET, SOCK_STREAM, 0);
            setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
            if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
                _exit(1);
            write(ready[1], "x", 1);
            for (;;) {
                int server = accept(fd, NULL, NULL);
                write(server, "served", 6);
                close(server);
            }
        }
    }
    read(ready[0], &c, 1);
    read(ready[0], &c, 1);
    for (int i = 0; i < 40; i++) {
        char text[8] = "";
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        served += connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && read(fd, text, 8) == 6;
        close(fd);
    }
    for (int i = 0; i < 2; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], &status, 0);
    }
    printf("one port, two listeners: %d served\n", served);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(connect(fd, (struct sockaddr *)&address, sizeof(address)));
    close(fd);
    close(first);
}

static void all(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/tmp/process_listen"};
    int fd = bound(SOCK_STREAM);
    struct sockaddr_in address = here(fd);
    listen(fd, 8);
    serve("tcp", AF_INET, fd, &address, sizeof(address));
    close(fd);
    unlink(a.sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(fd, (struct sockaddr *)&a, sizeof(a));
    listen(fd, 8);
    serve("unix", AF_UNIX, fd, &a, sizeof(a));
    close(fd);
    unlink(a.sun_path);
    ends_of_listeners();
    datagrams();
    unix_datagrams();
    shared_port();
}

int main(void)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        all();
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    printf("status %x\n", status);
    return 0;
}

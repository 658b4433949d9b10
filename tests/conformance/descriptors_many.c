/* As many descriptors as may be: files, pipes, sockets and connections, in this process and in a child. */
#include "child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define LIMIT 5000

static int fds[LIMIT], count;

static void close_all(void)
{
    while (count > 0)
        close(fds[--count]);
}

/* Until there is an error: which one, and how many there are then. */
static void fill(const char *what, int (*one)(void))
{
    int r = 0;
    while (count < LIMIT && r >= 0)
        if ((r = one()) >= 0)
            fds[count++] = r;
    int error = errno;
    printf("%s: %s, the last is %d\n", what, strerrorname_np(error), count ? fds[count - 1] : -1);
}

static int a_file(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static int a_copy(void)
{
    return fcntl(0, F_DUPFD_CLOEXEC, 3);
}

static int a_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static int a_set(void)
{
    return epoll_create1(0);
}

static int half_a_pair(void)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return -1;
    fds[count++] = pair[0];
    return pair[1];
}

static int half_a_pipe(void)
{
    int ends[2];
    if (pipe(ends) < 0)
        return -1;
    fds[count++] = ends[0];
    return ends[1];
}

/* What else needs a descriptor when there is none, and what is at the limit. */
static void at_the_limit(void)
{
    int pair[2];
    SHOW(open("/etc/passwd", O_RDONLY));
    SHOW(open("/nowhere", O_RDONLY));
    SHOW(open("/tmp/descriptors_many", O_RDWR | O_CREAT, 0600));
    SHOW(access("/tmp/descriptors_many", F_OK));
    SHOW(dup(0));
    SHOW(dup2(0, LIMIT - 1));
    SHOW(dup2(0, LIMIT));
    SHOW(fcntl(0, F_DUPFD, LIMIT));
    SHOW(pipe(pair));
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SHOW(accept(0, NULL, NULL));
}

/* A connection that there is no descriptor for waits until there is one. */
static void accept_at_the_limit(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    char c = 0;
    bind(listener, (struct sockaddr *)&address, size);
    listen(listener, 8);
    getsockname(listener, (struct sockaddr *)&address, &size);
    connect(client, (struct sockaddr *)&address, size);
    write(client, "x", 1);
    fill("before accept", a_copy);
    SHOW(accept(listener, NULL, NULL));
    close(fds[--count]);
    int server = accept(listener, NULL, NULL);
    printf("then accept: %d", server == fds[count]);
    read(server, &c, 1);
    printf(", with what was sent: %d\n", c == 'x');
    close(server);
    close_all();
    close(listener);
    close(client);
}

/* All descriptors in one poll and one epoll set: those that have something. */
static void watch_all(void)
{
    static struct pollfd polled[LIMIT];
    static struct epoll_event events[LIMIT];
    int set = epoll_create1(0), ready = 0, woken = 0;
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {EPOLLIN, {.u32 = (unsigned)i}};
        polled[i] = (struct pollfd){fds[i], POLLIN, 0};
        epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event);
        if (i % 7 == 0)
            write(fds[i], "x", 1);
    }
    int polls = poll(polled, count, 0);
    for (int i = 0; i < count; i++)
        ready += polled[i].revents == POLLIN;
    for (int n; (n = epoll_wait(set, events, 100, 0)) > 0; woken += n)
        for (int i = 0; i < n; i++) {
            char c;
            read(fds[events[i].data.u32], &c, 1);
        }
    printf("%d descriptors: poll %d, ready %d, epoll %d\n", count, polls, ready, woken);
    close(set);
}

static void connections(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), r = 0, good = 0;
    bind(listener, (struct sockaddr *)&address, size);
    listen(listener, 128);
    getsockname(listener, (struct sockaddr *)&address, &size);
    while (count < LIMIT - 1 && r >= 0) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        r = client < 0 ? -1 : connect(client, (struct sockaddr *)&address, size);
        if (client >= 0)
            fds[count++] = client;
        if (r < 0 || (r = accept(listener, NULL, NULL)) < 0)
            break;
        fds[count++] = r;
    }
    printf("connections: %s at %d descriptors\n", strerrorname_np(errno), count);
    for (int i = 0; i + 1 < count; i += 2) {
        int sent = i, got = -1;
        write(fds[i], &sent, sizeof(sent));
        good += read(fds[i + 1], &got, sizeof(got)) == sizeof(got) && got == sent;
    }
    printf("%d of them carry what was sent\n", good);
    close_all();
    close(listener);
}

static void all(const char *who)
{
    printf("-- %s\n", who);
    fill("files", a_file);
    at_the_limit();
    close_all();
    close(LIMIT - 1);
    fill("copies", a_copy);
    close_all();
    fill("sockets", a_socket);
    close_all();
    fill("sets", a_set);
    close_all();
    fill("pipes", half_a_pipe);
    close_all();
    fill("pairs", half_a_pair);
    for (int i = 0; i < 6; i++)
        close(fds[--count]);
    watch_all();
    close_all();
    accept_at_the_limit();
    connections();
    int last = a_file();
    printf("afterwards %d\n", last);
    close(last);
    fflush(stdout);
}

int main(void)
{
    struct rlimit limit = {LIMIT, LIMIT};
    int status;
    close_range(3, ~0U, 0);
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    all("the first process");
    pid_t pid = fork();
    if (pid == 0) {
        all("a child");
        _exit(0);
    }
    waitpid(pid, &status, 0);
    printf("status %x\n", status);
    return 0;
}

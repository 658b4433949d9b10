/* Unix stream sockets: pairs, names, connecting, data, ancillary data, shutting down, errors. */
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

static int revents(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
    poll(&p, 1, 0);
    return p.revents;
}

static socklen_t path_address(struct sockaddr_un *a, const char *path)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    strcpy(a->sun_path, path);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

static socklen_t abstract_address(struct sockaddr_un *a, const char *name)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    strcpy(a->sun_path + 1, name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static void show_name(const char *what, int fd, int (*get)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_un a;
    socklen_t size = sizeof(a);
    memset(&a, 'x', sizeof(a));
    int r = get(fd, (struct sockaddr *)&a, &size);
    printf("%s: %d size %d family %d", what, r, (int)size, a.sun_family);
    if (r < 0)
        printf(" %s", strerrorname_np(errno));
    else if (size > 2)
        printf(" '%.*s'", (int)(size - 3 - (a.sun_path[0] ? 0 : 0)), a.sun_path[0] ? a.sun_path : a.sun_path + 1);
    printf("\n");
}

static void pairs(void)
{
    int s[2], n;
    char b[64];
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    show_name("unnamed", s[0], getsockname);
    show_name("peer", s[0], getpeername);
    SHOW(revents(s[0]));
    SHOW(write(s[0], "hello", 5));
    SHOW(send(s[0], " world", 6, MSG_MORE));
    SHOW(ioctl(s[1], FIONREAD, &n));
    SHOW(n);
    SHOW(recv(s[1], b, 3, MSG_PEEK));
    SHOW(recv(s[1], b, 64, 0));
    printf("%.11s\n", b);
    SHOW(recv(s[1], b, 64, MSG_DONTWAIT));
    SHOW(write(s[0], "abcdef", 6));
    SHOW(recv(s[1], b, 4, MSG_WAITALL));
    SHOW(recv(s[1], b, 4, MSG_TRUNC));
    SHOW(sendto(s[0], "x", 1, 0, (struct sockaddr *)b, 2));
    struct iovec v[3] = {{"one", 3}, {"", 0}, {"three", 5}};
    SHOW(writev(s[0], v, 3));
    char x[2], y[20];
    struct iovec w[2] = {{x, 2}, {y, 20}};
    SHOW(readv(s[1], w, 2));
    printf("%.2s %.6s\n", x, y);
    SHOW(write(s[0], "", 0));
    SHOW(revents(s[1]));
    SHOW(shutdown(s[0], SHUT_WR));
    SHOW(revents(s[0]));
    SHOW(revents(s[1]));
    SHOW(read(s[1], b, 64));
    SHOW(send(s[0], "x", 1, MSG_NOSIGNAL));
    SHOW(write(s[1], "back", 4));
    SHOW(read(s[0], b, 64));
    SHOW(shutdown(s[1], SHUT_RDWR));
    SHOW(revents(s[0]));
    SHOW(read(s[0], b, 64));
    SHOW(shutdown(s[1], 7));
    close(s[0]), close(s[1]);
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    SHOW(write(s[0], "unread", 6));
    close(s[1]);
    SHOW(revents(s[0]));
    SHOW(read(s[0], b, 64));
    SHOW(read(s[0], b, 64));
    SHOW(send(s[0], "x", 1, MSG_NOSIGNAL));
    show_name("peer gone", s[0], getpeername);
    close(s[0]);
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    close(s[1]);
    SHOW(read(s[0], b, 64));
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(s[0], "x", 1));
    close(s[0]);
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 5, s));
    SHOW(socketpair(AF_UNIX, 77, 0, s));
    SHOW(socketpair(AF_INET, SOCK_STREAM, 0, s));
    SHOW(socket(AF_UNIX, SOCK_STREAM | 0x100, 0));
    SHOW(socket(999, SOCK_STREAM, 0));
}

static void *client(void *arg)
{
    struct sockaddr_un a;
    socklen_t size = path_address(&a, arg);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(s, (struct sockaddr *)&a, size) == 0) {
        if (write(s, "ping", 4) != 4)
            perror("write");
        char b[8];
        if (read(s, b, 8) != 4)
            perror("read");
    }
    close(s);
    return NULL;
}

static void names(void)
{
    struct sockaddr_un a;
    struct stat st;
    pthread_t t;
    char b[16];
    unlink("/tmp/us.sock");
    socklen_t size = path_address(&a, "/tmp/us.sock");
    int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(revents(l));
    SHOW(connect(c, (struct sockaddr *)&a, size));
    SHOW(listen(l, 5));
    SHOW(bind(l, (struct sockaddr *)&a, size));
    SHOW(bind(l, (struct sockaddr *)&a, size));
    int d = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(bind(d, (struct sockaddr *)&a, size));
    show_name("bound", l, getsockname);
    SHOW(stat("/tmp/us.sock", &st));
    printf("mode %o\n", st.st_mode & S_IFMT);
    SHOW(open("/tmp/us.sock", O_RDWR));
    SHOW(connect(c, (struct sockaddr *)&a, size));
    SHOW(accept(l, NULL, NULL));
    SHOW(listen(l, 5));
    SHOW(revents(l));
    int on = -1;
    socklen_t on_size = sizeof(on);
    SHOW(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &on, &on_size));
    SHOW(on);
    pthread_create(&t, NULL, client, "/tmp/us.sock");
    struct sockaddr_un peer;
    socklen_t peer_size = sizeof(peer);
    int s = accept4(l, (struct sockaddr *)&peer, &peer_size, SOCK_CLOEXEC);
    SHOW(s >= 0);
    SHOW(peer_size);
    SHOW(fcntl(s, F_GETFD));
    SHOW(read(s, b, 16));
    show_name("accepted", s, getsockname);
    SHOW(write(s, "pong", 4));
    pthread_join(t, NULL);
    SHOW(read(s, b, 16));
    close(s);
    SHOW(connect(c, (struct sockaddr *)&a, size));
    SHOW(connect(c, (struct sockaddr *)&a, size));
    SHOW(write(c, "early", 5));
    s = accept(l, NULL, NULL);
    SHOW(read(s, b, 16));
    struct ucred cred = {0};
    socklen_t cred_size = sizeof(cred);
    SHOW(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &cred_size));
    SHOW(cred.pid == getpid() && cred.uid == getuid() && cred.gid == getgid());
    show_name("client's peer", c, getpeername);
    fcntl(l, F_SETFL, O_NONBLOCK);
    SHOW(accept(l, NULL, NULL));
    close(s), close(c), close(d);
    c = socket(AF_UNIX, SOCK_STREAM, 0);
    close(l);
    SHOW(connect(c, (struct sockaddr *)&a, size));
    SHOW(unlink("/tmp/us.sock"));
    SHOW(connect(c, (struct sockaddr *)&a, size));
    a.sun_family = AF_INET;
    SHOW(connect(c, (struct sockaddr *)&a, size));
    SHOW(connect(c, (struct sockaddr *)&a, 2));
    SHOW(bind(c, (struct sockaddr *)&a, 1));
    close(c);
    l = socket(AF_UNIX, SOCK_STREAM, 0);
    a.sun_family = AF_UNIX;
    SHOW(bind(l, (struct sockaddr *)&a, sizeof(sa_family_t)));
    size = sizeof(a);
    SHOW(getsockname(l, (struct sockaddr *)&a, &size));
    SHOW(size);
    close(l);
    size = abstract_address(&a, "conformance-name");
    l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(bind(l, (struct sockaddr *)&a, size));
    SHOW(listen(l, 0));
    SHOW(connect(c, (struct sockaddr *)&a, size));
    d = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(connect(d, (struct sockaddr *)&a, size));
    SHOW(connect(d, (struct sockaddr *)&a, size - 1));
    int e = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    SHOW(connect(e, (struct sockaddr *)&a, size));
    close(l);
    SHOW(revents(c));
    SHOW(read(c, b, 16));
    SHOW(read(c, b, 16));
    close(c), close(d), close(e);
}

static int send_fds(int s, const int *fds, int n, const char *text)
{
    char control[CMSG_SPACE(sizeof(int) * 16)] = {0};
    struct iovec v = {(void *)text, strlen(text)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int) * n);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    return (int)sendmsg(s, &m, 0);
}

static int receive(int s, int room, size_t size, int flags)
{
    char control[256], text[64] = {0};
    struct iovec v = {text, size};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room ? control : NULL, .msg_controllen = room};
    int r = (int)recvmsg(s, &m, flags), last = -1;
    printf("recvmsg %d '%s' flags %x control %d", r, r > 0 ? text : "", (unsigned)m.msg_flags, (int)m.msg_controllen);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); r >= 0 && room && c; c = CMSG_NXTHDR(&m, c)) {
        printf(" [level %d type %d len %d", c->cmsg_level, c->cmsg_type, (int)c->cmsg_len);
        if (c->cmsg_type == SCM_RIGHTS)
            for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                memcpy(&last, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                printf(" fd flags %d", fcntl(last, F_GETFD));
                if (i + 1 < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int))
                    close(last);
            }
        if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred u;
            memcpy(&u, CMSG_DATA(c), sizeof(u));
            printf(" mine %d", u.pid == getpid());
        }
        printf("]");
    }
    printf("\n");
    return last;
}

static void rights(void)
{
    int s[2], p[2], fd;
    char b[16];
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    SHOW(pipe(p));
    SHOW(send_fds(s[0], p, 2, "two"));
    fd = receive(s[1], 200, 64, MSG_CMSG_CLOEXEC);
    SHOW(write(fd, "through", 7));
    SHOW(read(p[0], b, 16));
    close(fd);
    SHOW(send_fds(s[0], p, 2, "cut"));
    fd = receive(s[1], CMSG_LEN(sizeof(int)), 64, 0);
    close(fd);
    SHOW(send_fds(s[0], p, 1, "none"));
    receive(s[1], 0, 64, 0);
    SHOW(send_fds(s[0], p, 1, "first"));
    SHOW(write(s[0], "plain", 5));
    SHOW(send_fds(s[0], p + 1, 1, "second"));
    SHOW(write(s[0], "tail", 4));
    close(receive(s[1], 200, 2, 0));
    close(receive(s[1], 200, 64, 0));
    close(receive(s[1], 200, 64, 0));
    close(receive(s[1], 200, 64, MSG_DONTWAIT));
    SHOW(send_fds(s[0], p, 1, "peek"));
    close(receive(s[1], 200, 64, MSG_PEEK));
    close(receive(s[1], 200, 64, 0));
    int bad = 99, on = 1;
    SHOW(send_fds(s[0], &bad, 1, "bad"));
    SHOW(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
    SHOW(write(s[0], "cred", 4));
    receive(s[1], 200, 64, 0);
    SHOW(send_fds(s[0], p, 1, "both"));
    close(receive(s[1], 200, 64, 0));
    /* a file lives on inside a message */
    SHOW(send_fds(s[0], &p[1], 1, "kept"));
    close(p[1]);
    fd = receive(s[1], 200, 64, 0);
    SHOW(write(fd, "alive", 5));
    SHOW(read(p[0], b, 16));
    close(fd);
    SHOW(read(p[0], b, 16));
    close(p[0]);
    /* a socket in its own queue: closing both ends must free it and what it carries */
    SHOW(pipe(p));
    int cycle[3] = {s[0], s[1], p[1]};
    SHOW(send_fds(s[0], cycle, 3, "cycle"));
    SHOW(send_fds(s[1], cycle, 2, "cycle"));
    close(s[0]), close(s[1]), close(p[1]);
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    close(s[0]), close(s[1]); /* has the garbage looked for */
    SHOW(read(p[0], b, 16));
    close(p[0]);
}

static void *slow_reader(void *arg)
{
    static char b[5000];
    long total = 0;
    ssize_t n;
    while ((n = read(*(int *)arg, b, sizeof(b))) > 0)
        total += n;
    return (void *)total;
}

static void bulk(void)
{
    int s[2];
    static char b[70000];
    pthread_t t;
    void *total;
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    pthread_create(&t, NULL, slow_reader, &s[1]);
    long sent = 0;
    for (int i = 0; i < 50; i++)
        sent += write(s[0], b, sizeof(b));
    close(s[0]);
    pthread_join(t, &total);
    printf("sent %ld received %ld\n", sent, (long)total);
    close(s[1]);
    SHOW(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
    ssize_t n;
    while ((n = write(s[0], b, 1000)) > 0)
        ;
    SHOW(n);
    SHOW(revents(s[0]));
    long drained = 0;
    while ((n = read(s[1], b, sizeof(b))) > 0)
        drained += n;
    SHOW(drained > 50000);
    SHOW(revents(s[0]));
    struct timeval tv = {0, 20000};
    fcntl(s[1], F_SETFL, 0);
    SHOW(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    SHOW(read(s[1], b, 1));
    close(s[0]), close(s[1]);
}

int main(void)
{
    alarm(30);
    pairs();
    names();
    rights();
    bulk();
    return 0;
}

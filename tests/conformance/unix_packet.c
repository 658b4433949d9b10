/* Unix datagram and seqpacket sockets. */
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static int revents(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
    poll(&p, 1, 0);
    return p.revents;
}

static socklen_t address(struct sockaddr_un *a, const char *name)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    strcpy(a->sun_path, name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);
}

static void *drain(void *arg)
{
    char b[16];
    struct timespec t = {0, 30000000};
    nanosleep(&t, NULL);
    if (recv(*(int *)arg, b, 16, 0) < 0)
        perror("recv");
    return NULL;
}

static void datagrams(void)
{
    struct sockaddr_un a, b, from;
    char buf[64];
    int n;
    unlink("/tmp/ud.a"), unlink("/tmp/ud.b");
    socklen_t a_size = address(&a, "/tmp/ud.a"), b_size = address(&b, "/tmp/ud.b"), size;
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), r = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    SHOW(bind(r, (struct sockaddr *)&a, a_size));
    SHOW(send(s, "x", 1, 0));
    SHOW(bind(s, (struct sockaddr *)&b, b_size));
    SHOW(sendto(s, "first", 5, 0, (struct sockaddr *)&a, a_size));
    SHOW(sendto(s, "second", 6, 0, (struct sockaddr *)&a, a_size));
    SHOW(sendto(s, "", 0, 0, (struct sockaddr *)&a, a_size));
    SHOW(ioctl(r, FIONREAD, &n));
    SHOW(n);
    size = sizeof(from);
    SHOW(recvfrom(r, buf, 64, 0, (struct sockaddr *)&from, &size));
    SHOW(size);
    size = sizeof(from);
    SHOW(recvfrom(r, buf, 3, MSG_PEEK | MSG_TRUNC, (struct sockaddr *)&from, &size));
    SHOW(recvfrom(r, buf, 3, MSG_TRUNC, (struct sockaddr *)&from, &size));
    printf("from %d %s\n", (int)size, from.sun_path);
    SHOW(revents(r));
    SHOW(recv(r, buf, 64, 0));
    SHOW(recv(r, buf, 64, 0));
    SHOW(connect(s, (struct sockaddr *)&a, a_size));
    SHOW(send(s, "con", 3, 0));
    SHOW(recv(r, buf, 64, 0));
    SHOW(connect(r, (struct sockaddr *)&b, b_size));
    int other = socket(AF_UNIX, SOCK_DGRAM, 0);
    SHOW(sendto(other, "x", 1, 0, (struct sockaddr *)&a, a_size));
    SHOW(connect(other, (struct sockaddr *)&a, a_size));
    struct sockaddr un = {.sa_family = AF_UNSPEC};
    SHOW(connect(r, &un, sizeof(un)));
    SHOW(sendto(other, "y", 1, 0, (struct sockaddr *)&a, a_size));
    SHOW(recv(r, buf, 64, 0));
    SHOW(listen(s, 1));
    SHOW(accept(s, NULL, NULL));
    for (n = 0; send(s, "fill", 4, 0) == 4; n++)
        ;
    SHOW(errno == EAGAIN);
    SHOW(n > 1);
    SHOW(revents(s));
    SHOW(revents(r));
    pthread_t t;
    fcntl(s, F_SETFL, 0);
    pthread_create(&t, NULL, drain, &r);
    SHOW(send(s, "blocked", 7, 0));
    pthread_join(t, NULL);
    close(r);
    SHOW(send(s, "x", 1, 0));
    SHOW(send(s, "x", 1, 0));
    SHOW(sendto(s, "x", 1, 0, (struct sockaddr *)&a, a_size));
    unlink("/tmp/ud.a");
    SHOW(sendto(s, "x", 1, 0, (struct sockaddr *)&a, a_size));
    static char big[300000];
    SHOW(sendto(s, big, sizeof(big), 0, (struct sockaddr *)&b, b_size));
    close(s), close(other);
    unlink("/tmp/ud.b");
    int p[2];
    SHOW(socketpair(AF_UNIX, SOCK_DGRAM, 0, p));
    SHOW(send(p[0], "one", 3, 0));
    SHOW(send(p[0], "two", 3, 0));
    SHOW(recv(p[1], buf, 64, 0));
    SHOW(recv(p[1], buf, 64, 0));
    SHOW(shutdown(p[0], SHUT_RD));
    SHOW(recv(p[0], buf, 64, MSG_DONTWAIT));
    SHOW(revents(p[0]));
    SHOW(send(p[1], "x", 1, MSG_NOSIGNAL));
    close(p[1]);
    SHOW(revents(p[0]));
    SHOW(send(p[0], "x", 1, MSG_NOSIGNAL));
    close(p[0]);
}

static void batches(void)
{
    int p[2];
    SHOW(socketpair(AF_UNIX, SOCK_DGRAM, 0, p));
    struct iovec v[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
    struct mmsghdr m[3] = {0};
    for (int i = 0; i < 3; i++)
        m[i].msg_hdr.msg_iov = &v[i], m[i].msg_hdr.msg_iovlen = 1;
    SHOW(sendmmsg(p[0], m, 3, 0));
    SHOW(m[2].msg_len);
    char b[4][8];
    struct iovec w[4];
    struct mmsghdr r[4] = {0};
    for (int i = 0; i < 4; i++) {
        w[i] = (struct iovec){b[i], 8};
        r[i].msg_hdr.msg_iov = &w[i], r[i].msg_hdr.msg_iovlen = 1;
    }
    SHOW(recvmmsg(p[1], r, 4, MSG_WAITFORONE, NULL));
    SHOW(r[1].msg_len);
    SHOW(recvmmsg(p[1], r, 4, MSG_DONTWAIT, NULL));
    close(p[0]), close(p[1]);
}

static void seqpackets(void)
{
    int s[2];
    char b[64];
    SHOW(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
    SHOW(send(s[0], "packet one", 10, 0));
    SHOW(send(s[0], "two", 3, MSG_EOR));
    struct iovec v = {b, 4};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    SHOW(recvmsg(s[1], &m, 0));
    printf("flags %x\n", (unsigned)m.msg_flags);
    SHOW(recvmsg(s[1], &m, 0));
    printf("flags %x\n", (unsigned)m.msg_flags);
    SHOW(revents(s[0]));
    SHOW(shutdown(s[0], SHUT_WR));
    SHOW(recv(s[1], b, 64, 0));
    SHOW(send(s[0], "x", 1, MSG_NOSIGNAL));
    SHOW(revents(s[1]));
    close(s[0]);
    SHOW(revents(s[1]));
    SHOW(send(s[1], "x", 1, MSG_NOSIGNAL));
    close(s[1]);
    int n = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    SHOW(revents(n));
    SHOW(send(n, "x", 1, 0));
    SHOW(recv(n, b, 1, MSG_DONTWAIT));
    close(n);
}

int main(void)
{
    alarm(30);
    datagrams();
    batches();
    seqpackets();
    return 0;
}

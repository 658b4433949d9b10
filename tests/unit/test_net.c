/* Sockets over the arena, hosted, with an honest fake host: data, wrap-around, events, accounting, failing memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/signal.h>
#include <asm/socket.h>
#include <linux/eventpoll.h>
#include <linux/in.h>
#include <linux/un.h>

#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/net/loan.h"
#include "kernel/net/net.h"
#include "kernel/net/socket_types.h"
#include "kernel/net/tcp.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/wait.h"
#include "net_world.h"

static uint16_t big16(uint16_t v)
{
    return (uint16_t)(v << 8 | v >> 8);
}

static struct sockaddr_in v4(uint32_t ip, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = big16(port), .sin_addr.s_addr = __builtin_bswap32(ip)};
}

#define ANY 0
#define LOOPBACK 0x7f000001
#define ELSEWHERE 0xc6336401

/* The one channel of the kernel's that listens or, if not listening, is open. */
static uint32_t kernel_channel(bool listening)
{
    for (uint32_t n = CHANNEL_FIRST_SOCKET + 1; n < WORLD_CHANNELS; n += 2)
        if (host_chans[n].open && host_chans[n].listening == listening)
            return n;
    fail_msg("no such channel");
    return 0;
}

static int listener(uint16_t port)
{
    struct sockaddr_in a = v4(ANY, port);
    int l = (int)CALL3(socket, AF_INET, SOCK_STREAM, 0);
    assert_true(l >= 0);
    assert_int_equal(CALL3(bind, l, &a, sizeof(a)), 0);
    assert_int_equal(CALL2(listen, l, 8), 0);
    return l;
}

/* The host lets as many records wait as the backlog says, and hears of each that is taken once it has stopped. */
static void accept_tells_of_room(void **state)
{
    int l = listener(80);
    uint32_t c = kernel_channel(true);
    for (int stopped = 0; stopped < 2; stopped++) {
        host_accept(c);
        host_accept(c);
        if (stopped)
            host_event(c, CHAN_EV_RX_FULL, 0);
        net_poll_ready();
        host_pump();
        uint32_t before = host_dirty_taken(c);
        int s = (int)CALL4(accept4, l, 0, 0, 0);
        host_pump();
        assert_int_equal(host_dirty_taken(c), before + (uint32_t)stopped);
        world_close(s);
        world_close((int)CALL4(accept4, l, 0, 0, 0));
    }
    world_close(l);
}

static int revents(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
    CALL3(poll, &p, 1, 0);
    return p.revents;
}

static void accepts_and_echoes(void **state)
{
    char b[64] = "";
    int l = listener(80);
    uint32_t lc = kernel_channel(true);
    assert_int_equal(revents(l), 0);
    uint32_t c = host_accept(lc);
    assert_int_equal(host_put(c, "early", 5), 5);
    assert_int_equal(revents(l), POLLIN);
    struct sockaddr_in peer;
    uint32_t size = sizeof(peer);
    int s = (int)CALL4(accept4, l, &peer, &size, SOCK_NONBLOCK);
    assert_true(s >= 0);
    assert_int_equal(size, sizeof(peer));
    assert_int_equal(big16(peer.sin_port), 0x3039);
    assert_int_equal(CALL3(getsockname, s, &peer, &size), 0);
    assert_int_equal(big16(peer.sin_port), 80);
    assert_int_equal(revents(s), POLLIN | POLLOUT);
    assert_int_equal(world_read(s, b, sizeof(b)), 5);
    assert_memory_equal(b, "early", 5);
    assert_int_equal(world_read(s, b, sizeof(b)), -EAGAIN);
    host_pump();
    uint32_t before = host_dirty_taken(c);
    assert_int_equal(world_write(s, "answer", 6), 6);
    assert_true(net_flush_wanted());
    host_pump();
    assert_false(net_flush_wanted());
    assert_int_equal(host_dirty_taken(c), before + 1);
    assert_int_equal(host_take(c, b, sizeof(b)), 6);
    assert_memory_equal(b, "answer", 6);
    host_put(c, "last", 4);
    host_event(c, CHAN_EV_EOF, 0);
    assert_int_equal(revents(s), POLLIN | POLLOUT | POLLRDHUP);
    assert_int_equal(world_read(s, b, sizeof(b)), 4);
    assert_int_equal(world_read(s, b, sizeof(b)), 0);
    world_close(s);
    host_pump();
    assert_true(host_chans[c].closed && !host_chans[c].reset);
    c = host_accept(lc);
    s = (int)CALL4(accept4, l, 0, 0, 0);
    host_put(c, "unread", 6);
    world_close(s);
    host_pump();
    assert_true(host_chans[c].closed && host_chans[c].reset);
    c = host_accept(lc);
    s = (int)CALL4(accept4, l, 0, 0, 0);
    host_put(c, "x", 1);
    host_event(c, CHAN_EV_ERROR | CHAN_EV_TX_CLOSED, ECONNRESET);
    assert_int_equal(revents(s), POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
    assert_int_equal(world_read(s, b, sizeof(b)), 1);
    assert_int_equal(world_read(s, b, sizeof(b)), -ECONNRESET);
    assert_int_equal(world_read(s, b, sizeof(b)), 0);
    int pipes = world_signals(SIGPIPE);
    assert_int_equal(world_write(s, "x", 1), -EPIPE);
    assert_int_equal(world_signals(SIGPIPE), pipes + 1);
    world_close(s);
    world_close(l);
}

static void connects(void **state)
{
    struct sockaddr_in a = v4(ELSEWHERE, 443);
    int s = (int)CALL3(socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), e = -1;
    uint32_t size = sizeof(e);
    assert_int_equal(CALL3(connect, s, &a, sizeof(a)), -EINPROGRESS);
    uint32_t c = kernel_channel(false);
    assert_int_equal(CALL3(connect, s, &a, sizeof(a)), -EALREADY);
    assert_int_equal(revents(s), 0);
    assert_int_equal(world_write(s, "x", 1), -EAGAIN);
    host_event(c, CHAN_EV_CONNECTED, 0);
    assert_int_equal(revents(s), POLLOUT);
    assert_int_equal(CALL5(getsockopt, s, SOL_SOCKET, SO_ERROR, &e, &size), 0);
    assert_int_equal(e, 0);
    assert_int_equal(CALL3(connect, s, &a, sizeof(a)), 0);
    assert_int_equal(CALL3(connect, s, &a, sizeof(a)), -EISCONN);
    assert_int_equal(CALL2(shutdown, s, SHUT_WR), 0);
    host_pump();
    assert_true(host_chans[c].shut_write);
    world_close(s);
    host_pump();
    assert_true(host_chans[c].closed);
    net_poll_ready();
    s = (int)CALL3(socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(CALL3(connect, s, &a, sizeof(a)), -EINPROGRESS);
    assert_int_equal(kernel_channel(false), c); /* the number came back */
    host_event(c, CHAN_EV_ERROR | CHAN_EV_TX_CLOSED, ECONNREFUSED);
    assert_true(revents(s) & POLLERR);
    assert_int_equal(CALL5(getsockopt, s, SOL_SOCKET, SO_ERROR, &e, &size), 0);
    assert_int_equal(e, ECONNREFUSED);
    world_close(s);
    net_poll_ready();
}

/* Random sizes both ways, many times around the rings; what comes out is what went in. */
static void rings_wrap(void **state)
{
    static uint8_t out[3 * WORLD_RING], in[3 * WORLD_RING];
    int l = listener(80);
    uint32_t c = host_accept(kernel_channel(true));
    int s = (int)CALL4(accept4, l, 0, 0, SOCK_NONBLOCK);
    uint64_t seed = 1;
    uint32_t put = 0, got = 0, wrote = 0, took = 0;
    for (int i = 0; i < 40000; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        uint32_t size = (seed >> 33) % (i % 3 ? 300 : sizeof(out));
        switch (seed >> 60 & 3) {
        case 0:
            for (uint32_t k = 0; k < size; k++)
                out[k] = (uint8_t)((put + k) * 7);
            put += (uint32_t)host_put(c, out, size);
            break;
        case 1: {
            int64_t n = world_read(s, in, size);
            for (int64_t k = 0; k < n; k++)
                assert_int_equal(in[k], (uint8_t)((got + (uint32_t)k) * 7));
            got += n > 0 ? (uint32_t)n : 0;
            assert_true(n >= 0 || got == put);
            break;
        }
        case 2: {
            for (uint32_t k = 0; k < size; k++)
                out[k] = (uint8_t)((wrote + k) * 5);
            int64_t n = world_write(s, out, size);
            wrote += n > 0 ? (uint32_t)n : 0;
            break;
        }
        default: {
            size_t n = host_take(c, in, size);
            for (size_t k = 0; k < n; k++)
                assert_int_equal(in[k], (uint8_t)((took + (uint32_t)k) * 5));
            took += (uint32_t)n;
        }
        }
        host_pump();
        net_poll_ready();
    }
    assert_true(put > 100 * WORLD_RING && wrote > 100 * WORLD_RING);
    world_close(s);
    world_close(l);
}

static uint32_t draining;
static void drain(void)
{
    static uint8_t b[1000];
    host_pump();
    host_take(draining, b, sizeof(b));
}

/* A full ring: the writer blocks until the host has taken something; EPOLLOUT comes back. */
static void writer_waits_for_room(void **state)
{
    static uint8_t b[4 * WORLD_RING];
    int l = listener(80);
    uint32_t c = draining = host_accept(kernel_channel(true));
    int s = (int)CALL4(accept4, l, 0, 0, 0);
    assert_int_equal(CALL6(sendto, s, b, sizeof(b), MSG_DONTWAIT, 0, 0), WORLD_RING);
    assert_int_equal(revents(s), 0);
    assert_true(world.channels[c].kernel_flags & CHAN_K_WANT_ROOM);
    world.idle = drain;
    assert_int_equal(world_write(s, b, sizeof(b)), sizeof(b));
    world.idle = NULL;
    while (host_take(c, b, sizeof(b)) > 0)
        ;
    net_poll_ready();
    assert_int_equal(revents(s), POLLOUT);
    assert_false(world.channels[c].kernel_flags & CHAN_K_WANT_ROOM);
    world_close(s);
    world_close(l);
}

/* Without blocking: as much as the host takes meanwhile, up to Linux's largest send buffer; and it asks no more than
 * that. */
static void writer_goes_on_while_there_is_room(void **state)
{
    static uint8_t b[6 << 20];
    int l = listener(80);
    draining = host_accept(kernel_channel(true));
    int s = (int)CALL4(accept4, l, 0, 0, 0);
    world.idle = drain;
    assert_int_equal(CALL6(sendto, s, b, 100 * WORLD_RING, MSG_DONTWAIT, 0, 0), 100 * WORLD_RING);
    assert_in_range(CALL6(sendto, s, b, sizeof(b), MSG_DONTWAIT, 0, 0), 4 << 20, (4 << 20) + 2 * WORLD_RING);
    world.idle = NULL;
    world_close(s);
    world_close(l);
}

/* A reader that makes half the ring free tells the host, which may have stopped for lack of room. */
static void reader_tells_of_room(void **state)
{
    static uint8_t b[WORLD_RING];
    int l = listener(80);
    uint32_t c = host_accept(kernel_channel(true));
    int s = (int)CALL4(accept4, l, 0, 0, SOCK_NONBLOCK);
    host_pump();
    uint32_t before = host_dirty_taken(c);
    host_put(c, b, 100);
    world_read(s, b, 100);
    host_pump();
    assert_int_equal(host_dirty_taken(c), before);
    assert_int_equal(host_put(c, b, WORLD_RING), WORLD_RING);
    world_read(s, b, WORLD_RING / 4);
    host_pump();
    assert_int_equal(host_dirty_taken(c), before);
    world_read(s, b, WORLD_RING / 2);
    host_pump();
    assert_int_equal(host_dirty_taken(c), before + 1);
    world_close(s);
    world_close(l);
}

static void datagrams(void **state)
{
    char b[64];
    struct sockaddr_in a = v4(ANY, 53), from;
    uint32_t size = sizeof(from);
    int n, s = (int)CALL3(socket, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(CALL3(bind, s, &a, sizeof(a)), 0);
    uint32_t c = kernel_channel(false);
    host_datagram(c, 1000, "first", 5);
    host_datagram(c, 1001, "", 0);
    host_datagram(c, 1002, "third one", 9);
    assert_int_equal(world_ioctl(s, FIONREAD, &n), 0);
    assert_int_equal(n, 5);
    assert_int_equal(CALL6(recvfrom, s, b, sizeof(b), MSG_PEEK, &from, &size), 5);
    assert_int_equal(CALL6(recvfrom, s, b, 2, MSG_TRUNC, &from, &size), 5);
    assert_int_equal(big16(from.sin_port), 1000);
    assert_int_equal(CALL6(recvfrom, s, b, sizeof(b), 0, &from, &size), 0);
    assert_int_equal(CALL6(recvfrom, s, b, sizeof(b), 0, &from, &size), 9);
    assert_int_equal(big16(from.sin_port), 1002);
    assert_int_equal(CALL6(recvfrom, s, b, sizeof(b), 0, &from, &size), -EAGAIN);
    assert_int_equal(CALL6(sendto, s, "reply", 5, 0, &from, sizeof(from)), 5);
    struct {
        struct ring_datagram h;
        char data[8];
    } out;
    assert_int_equal(host_take(c, &out, sizeof(out)), sizeof(out));
    assert_int_equal(out.h.size, 5);
    assert_memory_equal(out.data, "reply", 5);
    assert_memory_equal(out.h.addr, &from, 8);
    host_event(c, CHAN_EV_ERROR, ECONNREFUSED);
    assert_int_equal(CALL6(recvfrom, s, b, sizeof(b), 0, &from, &size), -ECONNREFUSED);
    assert_int_equal(CALL6(recvfrom, s, b, sizeof(b), 0, &from, &size), -EAGAIN);
    world_close(s);
    net_poll_ready();
}

static int no_socket(struct hostcall_socket *op)
{
    fail_msg("host call %d", (int)op->op);
    return -EIO;
}

/* The same ports are others, and the host never hears of them. */
static void datagrams_of_udp_lite(void **state)
{
    char b[64];
    struct sockaddr_in a = v4(ANY, 53), to = v4(LOOPBACK, 53), away = v4(0xc0000201, 54);
    int udp = (int)CALL3(socket, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP);
    int lite = (int)CALL3(socket, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDPLITE);
    int from = (int)CALL3(socket, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDPLITE);
    assert_int_equal(CALL3(socket, AF_INET, SOCK_STREAM, IPPROTO_UDPLITE), -EPROTONOSUPPORT);
    assert_int_equal(CALL3(bind, udp, &to, sizeof(to)), 0);
    world.socket = no_socket;
    assert_int_equal(CALL3(bind, lite, &a, sizeof(a)), 0);
    assert_int_equal(CALL3(bind, from, &away, sizeof(away)), -EADDRNOTAVAIL);
    assert_int_equal(CALL6(sendto, from, "lite", 4, 0, &to, sizeof(to)), 4);
    assert_int_equal(CALL6(sendto, from, "lite", 4, 0, &away, sizeof(away)), -ENETUNREACH);
    assert_int_equal(world_read(udp, b, sizeof(b)), -EAGAIN);
    assert_int_equal(world_read(lite, b, sizeof(b)), 4);
    world_close(udp);
    world_close(lite);
    world_close(from);
    world.socket = NULL;
}

static void epoll_sees_news(void **state)
{
    char b[16];
    int l = listener(80), ep = (int)CALL1(epoll_create1, 0);
    uint32_t c = host_accept(kernel_channel(true));
    int s = (int)CALL4(accept4, l, 0, 0, SOCK_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data = 7}, got[4];
    assert_int_equal(CALL4(epoll_ctl, ep, EPOLL_CTL_ADD, s, &e), 0);
    assert_int_equal(CALL4(epoll_wait, ep, got, 4, 0), 0);
    host_put(c, "a", 1);
    assert_int_equal(CALL4(epoll_wait, ep, got, 4, 0), 1);
    assert_int_equal(got[0].data, 7);
    assert_int_equal(CALL4(epoll_wait, ep, got, 4, 0), 0);
    e.events = EPOLLIN;
    assert_int_equal(CALL4(epoll_ctl, ep, EPOLL_CTL_MOD, s, &e), 0);
    assert_int_equal(CALL4(epoll_wait, ep, got, 4, 0), 1);
    assert_int_equal(CALL4(epoll_wait, ep, got, 4, 0), 1);
    assert_int_equal(world_read(s, b, 16), 1);
    assert_int_equal(CALL4(epoll_wait, ep, got, 4, 0), 0);
    host_event(c, CHAN_EV_EOF, 0);
    assert_int_equal(CALL4(epoll_wait, ep, got, 4, 0), 1);
    world_close(s);
    assert_int_equal(CALL4(epoll_wait, ep, got, 4, 0), 0);
    world_close(ep);
    world_close(l);
}

/* News about channels nobody knows is no lie: a connection not accepted yet, one just closed. */
static void stray_news(void **state)
{
    for (uint32_t n = CHANNEL_FIRST_SOCKET; n < WORLD_CHANNELS; n++)
        host_ready(n);
    assert_true(net_poll_ready());
    assert_false(net_poll_ready());
}

static struct sockaddr_un abstract(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    string_copy(a.sun_path + 1, name, sizeof(a.sun_path) - 1);
    return a;
}

/* Everything inside: unix names, pairs, files in flight, TCP and UDP joined in memory. Whatever fails, it is tidy. */
static void inside_once(void)
{
    int pair[2] = {-1, -1}, fds[8], n = 0;
    char b[32];
    struct sockaddr_un name = abstract("somebody");
    struct sockaddr_in a = v4(LOOPBACK, 4000);
    fds[n++] = (int)CALL3(socket, AF_UNIX, SOCK_STREAM, 0);
    CALL3(bind, fds[0], &name, 12);
    CALL2(listen, fds[0], 4);
    fds[n++] = (int)CALL3(socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL3(connect, fds[1], &name, 12);
    CALL4(socketpair, AF_UNIX, SOCK_STREAM, 0, pair);
    struct {
        struct cmsg_header h;
        int fd[2];
    } control = {.h = {sizeof(control), SOL_SOCKET, SCM_RIGHTS}, .fd = {pair[0], fds[1]}};
    struct {
        void *base;
        size_t size;
    } iov = {b, 8};
    struct user_msghdr m = {
        .iov = (uint64_t)&iov, .iov_count = 1, .control = (uint64_t)&control, .control_size = sizeof(control)};
    CALL3(sendmsg, pair[0], &m, MSG_DONTWAIT);
    CALL3(sendmsg, pair[1], &m, MSG_DONTWAIT);
    fds[n++] = (int)CALL3(socket, AF_INET, SOCK_STREAM, 0);
    CALL3(bind, fds[2], &a, sizeof(a));
    CALL2(listen, fds[2], 4);
    fds[n++] = (int)CALL3(socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CALL3(connect, fds[3], &a, sizeof(a));
    CALL6(sendto, fds[3], "hello", 5, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
    fds[n++] = (int)CALL4(accept4, fds[2], 0, 0, 0);
    CALL6(recvfrom, fds[4], b, 32, MSG_DONTWAIT, 0, 0);
    fds[n++] = (int)CALL3(socket, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    CALL3(bind, fds[5], &a, sizeof(a));
    CALL6(sendto, fds[5], "self", 4, 0, &a, sizeof(a));
    fds[n++] = (int)CALL1(epoll_create1, 0);
    for (int i = 0; i < 6; i++) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT}, got[8];
        CALL4(epoll_ctl, fds[6], EPOLL_CTL_ADD, fds[i], &e);
        CALL4(epoll_wait, fds[6], got, 8, 0);
    }
    for (int i = 0; i < n; i++)
        world_close(fds[i]);
    world_close(pair[0]);
    world_close(pair[1]);
    /* the pair may live on in its own queues: closing any unix socket has such looked for */
    hosted_fail_alloc(0);
    if (CALL4(socketpair, AF_UNIX, SOCK_STREAM, 0, pair) == 0) {
        world_close(pair[0]);
        world_close(pair[1]);
    }
}

static void inside_leaves_nothing(void **state)
{
    inside_once();
    long live = hosted_alloc_live();
    inside_once();
    assert_int_equal(hosted_alloc_live(), live);
    unsigned long n = 0;
    do {
        hosted_fail_alloc(++n);
        inside_once();
        assert_int_equal(hosted_alloc_live(), live);
    } while (n < 60);
}

/* ---- lending ---- */

static int lent_news, recalls;
static struct tcp_socket *lent;
static struct tcp_loan loan;

static void count_news(struct tcp_socket *t)
{
    assert_ptr_equal(t, lent);
    lent_news++;
}

static void count_recall(struct tcp_socket *t)
{
    assert_ptr_equal(t, lent);
    recalls++;
}

/* What a borrower does is done here on the channel's words, as another enclave would. */
static void comes_back(void)
{
    world.idle = NULL;
    loan.chan.rx_head = world.channels[loan.chan.number].rx_head;
    loan.chan.rx_tail += 2;
    world.channels[loan.chan.number].rx_tail = loan.chan.rx_tail;
    tcp_loan_end(lent, &loan);
}

static int lend_accepted(int l, uint32_t *ret_channel)
{
    static const struct tcp_loan_ops ops = {.news = count_news, .recall = count_recall};
    static int mark;
    *ret_channel = host_accept(kernel_channel(true));
    int s = (int)CALL4(accept4, l, 0, 0, 0);
    struct file *file = fd_get(s);
    assert_true(tcp_lendable(file, 2));
    assert_false(tcp_lendable(file, 1));
    lent = tcp_of_file(file);
    tcp_loan_ops_set(&ops);
    tcp_lend(lent, &mark, &loan);
    assert_false(tcp_lendable(file, 2));
    file_put(file);
    assert_true(tcp_loan_ok(&loan));
    lent_news = recalls = 0;
    return s;
}

static void lends(void **state)
{
    char b[16] = "";
    uint32_t c;
    int l = listener(80), s = lend_accepted(l, &c);
    assert_int_equal(loan.chan.number, c);
    assert_int_equal(host_put(c, "abcdef", 6), 6);
    assert_true(net_poll_ready());
    assert_int_equal(lent_news, 1);
    /* listing it asks for nothing, and tells nothing of what waits */
    uint32_t rx = 1, tx = 1;
    assert_int_equal(tcp_linux_state(lent), TCP_L_ESTABLISHED);
    tcp_queued(lent, &rx, &tx);
    assert_int_equal(rx + tx, 0);
    assert_int_equal(recalls, 0);
    /* polling asks for it, and sees it once it is here */
    assert_int_equal(revents(s), 0);
    assert_int_not_equal(recalls, 0);
    /* whoever uses it waits for it */
    world.idle = comes_back;
    assert_int_equal(CALL6(recvfrom, s, b, sizeof(b), 0, 0, 0), 4);
    assert_string_equal(b, "cdef");
    assert_int_equal(tcp_recalls(lent), 1);
    assert_null(tcp_lent(c));
    host_event(c, CHAN_EV_EOF, 0);
    net_poll_ready();
    assert_int_equal(lent_news, 1);
    assert_int_equal(CALL6(recvfrom, s, b, sizeof(b), 0, 0, 0), 0);
    world_close(s);
    world_close(l);
}

static void lent_ends(void **state)
{
    uint32_t c;
    int l = listener(80), s = lend_accepted(l, &c);
    long live = hosted_alloc_live();
    /* closed while it is away: it goes when it has come back */
    world_close(s);
    assert_int_equal(recalls, 1);
    assert_false(host_chans[c].closed);
    tcp_loan_end(lent, &loan);
    tcp_release_closed(lent);
    assert_true(hosted_alloc_live() < live);
    host_pump();
    assert_true(host_chans[c].closed || !host_chans[c].open);
    /* the borrower is lost: what it sent goes out, the connection ends */
    s = lend_accepted(l, &c);
    tcp_loan_lost(lent);
    assert_int_equal(CALL6(recvfrom, s, &c, sizeof(c), 0, 0, 0), -ECONNRESET);
    assert_int_equal(CALL6(recvfrom, s, &c, sizeof(c), 0, 0, 0), 0);
    world_close(s);
    world_close(l);
}

static void loans_are_checked(void **state)
{
    uint32_t c;
    int l = listener(80), s = lend_accepted(l, &c);
    struct tcp_loan bad = loan;
    assert_true(tcp_loan_ok(&bad));
    bad.chan.rx_head = bad.chan.rx_tail + WORLD_RING + 1;
    assert_false(tcp_loan_ok(&bad));
    bad = loan;
    bad.chan.tx_tail = bad.chan.tx_head + 1;
    assert_false(tcp_loan_ok(&bad));
    bad = loan;
    bad.error = -1;
    assert_false(tcp_loan_ok(&bad));
    bad = loan;
    bad.rcvlowat = 0;
    assert_false(tcp_loan_ok(&bad));
    /* not the access mode: only what fcntl may change */
    loan.file_flags = ~0U;
    tcp_loan_end(lent, &loan);
    struct file *file = fd_get(s);
    assert_int_equal(file->flags & 3, 2);
    file_put(file);
    world_close(s);
    world_close(l);
}

/* ---- a listening socket on demand ---- */

static int unshared;
static uint32_t demanding; /* the channel */

static void count_unshare(void)
{
    unshared++;
}

static bool share(int l)
{
    static const struct tcp_loan_ops ops = {.news = count_news, .recall = count_recall, .unshare = count_unshare};
    struct file *file = fd_get(l);
    tcp_loan_ops_set(&ops);
    unshared = 0;
    bool shared = tcp_share(file, &loan);
    assert_true(tcp_shared(file) || !shared);
    file_put(file);
    return shared;
}

static int shared_listener(void)
{
    int l = listener(80);
    demanding = kernel_channel(true);
    assert_true(share(l));
    assert_int_equal(loan.chan.number, demanding);
    assert_true(host_chans[demanding].demand);
    return l;
}

static int accept_now(int l)
{
    struct file *file = fd_get(l);
    file->flags |= O_NONBLOCK;
    int s = (int)CALL4(accept4, l, 0, 0, 0);
    file->flags &= ~(unsigned)O_NONBLOCK;
    file_put(file);
    return s;
}

static int no_channels(struct hostcall_socket *op)
{
    return op->op == SOCKET_ACCEPT ? -EMFILE : host_socket(op);
}

static void accepts_on_demand(void **state)
{
    struct sockaddr_in peer;
    uint32_t size = sizeof(peer);
    int l = shared_listener(), s;
    assert_int_equal(accept_now(l), -EAGAIN);
    /* the host says that there is one only to who asked */
    host_client(demanding);
    assert_int_equal(world.channels[demanding].host_events & CHAN_EV_ACCEPTABLE, 0);
    s = (int)CALL4(accept4, l, &peer, &size, 0);
    assert_true(s >= 0);
    assert_int_equal(big16(peer.sin_port), 0x3039);
    world_close(s);
    assert_int_equal(revents(l), 0);
    assert_true(world.channels[demanding].kernel_flags & CHAN_K_WANT_ACCEPT);
    host_pump();
    assert_true(host_chans[demanding].wanted);
    assert_int_equal(revents(l), 0);
    host_client(demanding);
    assert_int_equal(revents(l), POLLIN);
    assert_int_equal(revents(l), POLLIN);
    world_close(accept_now(l));
    /* and asked again, tells it again */
    assert_int_equal(revents(l), 0);
    host_client(demanding);
    host_pump();
    assert_int_equal(revents(l), POLLIN);
    /* what it has told is over when another process was quicker */
    host_chans[demanding].clients--;
    assert_int_equal(revents(l), 0);
    host_client(demanding);
    host_pump();
    world.socket = no_channels;
    assert_int_equal(accept_now(l), -ENFILE);
    world.socket = NULL;
    world_close(accept_now(l));
    assert_int_equal(accept_now(l), -EAGAIN);
    assert_int_equal(unshared, 0);
    world_close(l);
    assert_true(host_chans[demanding].closed);
}

static void client_comes(void)
{
    host_pump();
    if (host_chans[demanding].wanted)
        host_client(demanding);
}

static void waits_for_a_client(void **state)
{
    int l = shared_listener();
    world.idle = client_comes;
    int s = (int)CALL4(accept4, l, 0, 0, 0);
    assert_true(s >= 0);
    world_close(s);
    struct pollfd p = {.fd = l, .events = POLLIN};
    assert_int_equal(CALL3(poll, &p, 1, 1000), 1);
    world_close(accept_now(l));
    world.idle = host_pump;
    assert_true(CALL4(accept4, l, 0, 0, 0) < 0);
    assert_true(host_chans[demanding].wanted);
    world.idle = NULL;
    world_close(l);
}

static int waiters_woken;

static bool waiter_wakes(struct wait_entry *wait, uint32_t events)
{
    wait_queue_remove(wait);
    waiters_woken++;
    return true;
}

/* As the threads that wait in accept: each hears of one connection. */
static void wakes_one_thread_for_each(void **state)
{
    struct wait_entry waits[3];
    int l = shared_listener();
    struct file *file = fd_get(l);
    waiters_woken = 0;
    for (int i = 0; i < 3; i++) {
        wait_entry_init(&waits[i], NULL);
        waits[i].fn = waiter_wakes;
        wait_queue_add_exclusive(&tcp_of_file(file)->in.sock.wait, &waits[i]);
    }
    chan_want_accept(tcp_of_file(file)->in.chan);
    host_pump();
    host_client(demanding);
    host_client(demanding);
    net_poll_ready();
    assert_int_equal(waiters_woken, 1);
    /* the first takes its own, and others wait: whether there is one for them is asked */
    world_close(accept_now(l));
    host_pump();
    net_poll_ready();
    assert_int_equal(waiters_woken, 2);
    world_close(accept_now(l));
    host_pump();
    net_poll_ready();
    assert_int_equal(waiters_woken, 2);
    assert_true(host_chans[demanding].wanted);
    host_client(demanding);
    net_poll_ready();
    assert_int_equal(waiters_woken, 3);
    world_close(accept_now(l));
    file_put(file);
    world_close(l);
}

/* What the host accepted by itself comes first, and only here. */
static void takes_first_what_came_before(void **state)
{
    char b[8] = "";
    int l = listener(80);
    demanding = kernel_channel(true);
    uint32_t c = host_accept(demanding);
    host_put(c, "early", 5);
    assert_false(share(l));
    assert_true(host_chans[demanding].demand);
    host_client(demanding);
    int s = accept_now(l);
    assert_int_equal(world_read(s, b, sizeof(b)), 5);
    assert_string_equal(b, "early");
    world_close(s);
    assert_true(share(l));
    world_close(accept_now(l));
    assert_int_equal(accept_now(l), -EAGAIN);
    /* one that was on its way then: nobody else may wait for it */
    host_accept(demanding);
    net_poll_ready();
    assert_int_equal(unshared, 1);
    assert_false(share(l));
    world_close(accept_now(l));
    assert_true(share(l));
    world_close(l);
}

static void goes_back_when_it_is_watched(void **state)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data = 7};
    int l = shared_listener(), ep = (int)CALL1(epoll_create1, 0);
    host_client(demanding);
    assert_int_equal(CALL4(epoll_ctl, ep, EPOLL_CTL_ADD, l, &e), 0);
    assert_int_equal(CALL4(epoll_wait, ep, &e, 1, 0), 1);
    assert_false(host_chans[demanding].demand);
    assert_int_equal(host_chans[demanding].clients, 0);
    world_close(accept_now(l));
    assert_int_equal(accept_now(l), -EAGAIN);
    assert_false(share(l));
    host_client(demanding);
    net_poll_ready();
    assert_int_equal(CALL4(epoll_wait, ep, &e, 1, 0), 1);
    world_close(accept_now(l));
    world_close(ep);
    assert_true(share(l));
    assert_true(host_chans[demanding].demand);
    world_close(l);
}

/* Who is in a set that tells of levels accepts on demand, too. */
static void is_shared_while_it_is_watched(void **state)
{
    struct epoll_event e = {.events = EPOLLIN, .data = 7};
    int l = listener(80), ep[2];
    demanding = kernel_channel(true);
    for (int i = 0; i < 2; i++) {
        ep[i] = (int)CALL1(epoll_create1, 0);
        assert_int_equal(CALL4(epoll_ctl, ep[i], EPOLL_CTL_ADD, l, &e), 0);
        assert_int_equal(CALL4(epoll_wait, ep[i], &e, 1, 0), 0);
    }
    assert_true(share(l));
    host_pump();
    assert_true(host_chans[demanding].wanted); /* nobody has polled since */
    for (int i = 0; i < 3; i++) {
        host_client(demanding);
        net_poll_ready();
        for (int k = 0; k < 2; k++) {
            assert_int_equal(CALL4(epoll_wait, ep[k], &e, 1, 0), 1);
            assert_int_equal(e.data, 7);
        }
        world_close(accept_now(l));
        for (int k = 0; k < 2; k++)
            assert_int_equal(CALL4(epoll_wait, ep[k], &e, 1, 0), 0);
        host_pump();
        assert_true(host_chans[demanding].wanted);
    }
    assert_true(host_chans[demanding].demand);
    assert_int_equal(unshared, 0);
    for (int i = 0; i < 2; i++)
        world_close(ep[i]);
    world_close(l);
}

/* One watch is told once, until it is set again. */
static void is_shared_with_one_shots(void **state)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT, .data = 7};
    int l = shared_listener(), ep = (int)CALL1(epoll_create1, 0);
    assert_int_equal(CALL4(epoll_ctl, ep, EPOLL_CTL_ADD, l, &e), 0);
    host_pump();
    host_client(demanding);
    host_client(demanding);
    net_poll_ready();
    assert_int_equal(CALL4(epoll_wait, ep, &e, 1, 0), 1);
    assert_int_equal(CALL4(epoll_wait, ep, &e, 1, 0), 0);
    world_close(accept_now(l));
    e.events = EPOLLIN | EPOLLONESHOT;
    assert_int_equal(CALL4(epoll_ctl, ep, EPOLL_CTL_MOD, l, &e), 0);
    assert_int_equal(CALL4(epoll_wait, ep, &e, 1, 0), 1);
    world_close(accept_now(l));
    assert_int_equal(CALL4(epoll_ctl, ep, EPOLL_CTL_MOD, l, &e), 0);
    assert_int_equal(CALL4(epoll_wait, ep, &e, 1, 0), 0);
    host_pump();
    assert_true(host_chans[demanding].wanted);
    world_close(ep);
    world_close(l);
}

/* A set that tells of levels, in one that tells of edges. */
static void goes_back_in_a_set_of_sets(void **state)
{
    struct epoll_event e = {.events = EPOLLIN};
    int l = shared_listener(), inner = (int)CALL1(epoll_create1, 0), outer = (int)CALL1(epoll_create1, 0);
    assert_int_equal(CALL4(epoll_ctl, inner, EPOLL_CTL_ADD, l, &e), 0);
    assert_true(host_chans[demanding].demand);
    host_pump();
    host_client(demanding);
    net_poll_ready();
    e.events = EPOLLIN | EPOLLET;
    assert_int_equal(CALL4(epoll_ctl, outer, EPOLL_CTL_ADD, inner, &e), 0);
    assert_int_equal(CALL4(epoll_wait, inner, &e, 1, 0), 1);
    assert_false(host_chans[demanding].demand);
    world_close(accept_now(l));
    assert_false(share(l));
    world_close(outer);
    world_close(inner);
    assert_true(share(l));
    world_close(l);
}

/* Not all sets are told of a connection; who is may not look again, but another may wait for the next. */
static void asks_for_sets_that_were_not_told(void **state)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    int l = shared_listener(), ep = (int)CALL1(epoll_create1, 0);
    assert_int_equal(CALL4(epoll_ctl, ep, EPOLL_CTL_ADD, l, &e), 0);
    host_pump();
    host_client(demanding);
    net_poll_ready();
    assert_int_equal(CALL4(epoll_wait, ep, &e, 1, 0), 1);
    host_chans[demanding].clients--; /* accepted by another process */
    host_pump();
    assert_false(host_chans[demanding].wanted);
    timers_run(world.now_ns);
    host_pump();
    assert_false(host_chans[demanding].wanted);
    world.now_ns += 1000000;
    timers_run(world.now_ns);
    host_pump();
    assert_true(host_chans[demanding].wanted);
    /* closed in the middle */
    host_client(demanding);
    net_poll_ready();
    world_close(ep);
    world_close(l);
    assert_int_equal(timers_next_ns(), NO_DEADLINE);
}

static void connection_inside_of_a_shared_one(void **state)
{
    struct sockaddr_in a = v4(LOOPBACK, 80);
    char b[8] = "";
    int l = shared_listener(), s = (int)CALL3(socket, AF_INET, SOCK_STREAM, 0);
    host_client(demanding);
    assert_int_equal(CALL3(connect, s, &a, sizeof(a)), 0);
    assert_int_equal(unshared, 1);
    assert_false(share(l));
    assert_int_equal(revents(l), POLLIN);
    int t = accept_now(l);
    assert_int_equal(world_write(s, "inside", 6), 6);
    assert_int_equal(world_read(t, b, sizeof(b)), 6);
    world_close(t);
    world_close(s);
    world_close(accept_now(l)); /* the one outside */
    assert_false(share(l));     /* there may be another one soon */
    world.now_ns += 1000000000;
    assert_true(share(l));
    world_close(l);
}

/* Without a channel there is nobody to ask. */
static void listens_again(void **state)
{
    int l = shared_listener();
    struct epoll_event e = {.events = EPOLLIN};
    int ep = (int)CALL1(epoll_create1, 0);
    assert_int_equal(CALL2(shutdown, l, SHUT_RDWR), 0);
    assert_true(host_chans[demanding].closed);
    assert_int_equal(CALL2(listen, l, 8), 0);
    assert_int_equal(revents(l), 0);
    assert_int_equal(accept_now(l), -EAGAIN);
    assert_true(CALL4(accept4, l, 0, 0, 0) < 0);
    assert_int_equal(CALL4(epoll_ctl, ep, EPOLL_CTL_ADD, l, &e), 0);
    assert_int_equal(CALL4(epoll_wait, ep, &e, 1, 0), 0);
    world_close(ep);
    world_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_and_echoes),
        cmocka_unit_test(accept_tells_of_room),
        cmocka_unit_test(connects),
        cmocka_unit_test(rings_wrap),
        cmocka_unit_test(writer_waits_for_room),
        cmocka_unit_test(writer_goes_on_while_there_is_room),
        cmocka_unit_test(reader_tells_of_room),
        cmocka_unit_test(datagrams),
        cmocka_unit_test(datagrams_of_udp_lite),
        cmocka_unit_test(epoll_sees_news),
        cmocka_unit_test(stray_news),
        cmocka_unit_test(inside_leaves_nothing),
        cmocka_unit_test(lends),
        cmocka_unit_test(lent_ends),
        cmocka_unit_test(loans_are_checked),
        cmocka_unit_test(accepts_on_demand),
        cmocka_unit_test(waits_for_a_client),
        cmocka_unit_test(wakes_one_thread_for_each),
        cmocka_unit_test(takes_first_what_came_before),
        cmocka_unit_test(goes_back_when_it_is_watched),
        cmocka_unit_test(is_shared_while_it_is_watched),
        cmocka_unit_test(is_shared_with_one_shots),
        cmocka_unit_test(goes_back_in_a_set_of_sets),
        cmocka_unit_test(asks_for_sets_that_were_not_told),
        cmocka_unit_test(connection_inside_of_a_shared_one),
        cmocka_unit_test(listens_again),
    };
    world_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Steps of a hostile world (contract in net_hostile.h). */
#include "net_hostile.h"

#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/socket.h>
#include <linux/eventpoll.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/sockios.h>
#include <linux/tcp.h>

#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/net/loan.h"
#include "kernel/net/net.h"
#include "kernel/net/socket_types.h"
#include "net_world.h"

#define FD_MAX 40

static choose_fn choose;
static uint32_t lie_rate;
static uint8_t buffer[3 * WORLD_RING];

static uint32_t word(void)
{
    switch (choose(8)) {
    case 0:
        return 0;
    case 1:
        return UINT32_MAX - choose(3);
    case 2:
        return 1U << choose(32);
    case 3:
        return choose(200);
    case 4:
        return WORLD_RING + choose(3) - 1;
    default:
        return choose(UINT16_MAX) << 16 | choose(UINT16_MAX);
    }
}

static bool lying(void)
{
    return choose(1000) < lie_rate;
}

void hostile_channel(struct channel *c, choose_fn choose_below, uint32_t (*any)(void))
{
    switch (choose_below(10)) {
    case 0:
        c->rx_head = any();
        break;
    case 1:
        c->rx_head += choose_below(200);
        break;
    case 2:
        c->tx_tail = any();
        break;
    case 3:
        c->tx_tail += choose_below(100);
        break;
    case 4:
        c->host_events |= 1U << choose_below(8);
        break;
    case 5:
        c->host_events = any();
        break;
    case 6:
        c->host_error = (int32_t)any();
        break;
    case 7:
        c->rx_base = any();
        break;
    case 8: /* the kernel's own words */
        ((uint32_t *)c)[16 + choose_below(16)] = any();
        break;
    default:
        c->ready_queued = choose_below(2);
        c->dirty_queued = choose_below(2);
    }
}

void hostile_queue(struct arena_queue *q, choose_fn choose_below, uint32_t (*any)(void))
{
    switch (choose_below(4)) {
    case 0:
        q->head += choose_below(4);
        break;
    case 1:
        q->head = any();
        break;
    case 2:
        q->tail = choose_below(4) ? q->tail + choose_below(4) : any();
        break;
    default:
        q->entries[choose_below(WORLD_CHANNELS)] = choose_below(4) ? choose_below(WORLD_CHANNELS) : any();
    }
}

/* What the host writes in a channel's shared words, or in its bytes and records: sizes, addresses, channel numbers. */
static void lie_in_channel(void)
{
    uint32_t n = choose(5) ? 3 + choose(12) : choose(WORLD_CHANNELS);
    if (choose(6))
        hostile_channel(&world.channels[n], choose, word);
    else
        ((uint32_t *)(world.rings + (size_t)n * 2 * WORLD_RING))[choose(40)] = word();
    if (choose(2))
        host_ready(n);
}

static int hostile_socket(struct hostcall_socket *op)
{
    int r = host_socket(op);
    if (!lying())
        return r;
    switch (choose(op->op == SOCKET_ACCEPT ? 5 : 3)) {
    case 3:
        op->optlen = choose(2) ? word() : op->optlen + choose(3) - 1;
        return r;
    case 4: /* the channel, or a part of an address */
        ((uint32_t *)op->optval)[choose(3) ? choose(16) : 0] = choose(2) ? word() : choose(WORLD_CHANNELS);
        return r;
    case 0:
        return -(int)choose(140);
    case 1:
        return (int)word() % 4096; /* the kernel's hostcall layer refuses numbers past the errnos */
    default:
        op->addr_size = choose(129);
        for (uint32_t i = 0; i < sizeof(op->addr); i += 4)
            *(uint32_t *)(op->addr + i) = word();
        return r;
    }
}

static void host_acts(void)
{
    static uint8_t b[WORLD_RING];
    uint32_t n = CHANNEL_FIRST_SOCKET + choose(choose(3) ? 14 : WORLD_CHANNELS - CHANNEL_FIRST_SOCKET);
    struct host_chan *c = &host_chans[n];
    switch (choose(6)) {
    case 0:
        host_pump();
        return;
    case 1:
        if (c->open && c->listening && choose(4))
            host_client(n);
        else if (c->open && c->listening)
            host_accept(n);
        return;
    case 2:
        if (c->open && c->type == SOCK_DGRAM)
            host_datagram(n, (uint16_t)choose(5000), b, choose(700));
        else if (c->connected && c->open)
            host_put(n, b, choose(sizeof(b)));
        return;
    case 3:
        if (c->open)
            host_take(n, b, choose(sizeof(b)));
        return;
    case 4:
        if (c->open && c->connecting && !c->connected) {
            c->connected = choose(4) != 0;
            host_event(n, c->connected ? CHAN_EV_CONNECTED : CHAN_EV_ERROR, 111);
        }
        return;
    default:
        if (c->open && (c->connected || c->type == SOCK_DGRAM) && !choose(4))
            host_event(n, 1U << choose(4), 1 + (int)choose(130));
    }
}

static struct sockaddr_in some_address(void)
{
    static const uint32_t ips[] = {0, 0x7f000001, 0xc6336401, 0xac110005, 0xffffffff};
    uint16_t port = (uint16_t)(choose(4) ? 4000 + choose(6) : 0);
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = (uint16_t)(port << 8 | port >> 8),
                                .sin_addr.s_addr = __builtin_bswap32(ips[choose(5)])};
}

static void program_makes_socket(void)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    int pair[2];
    if (choose(8) == 0)
        CALL4(socketpair, AF_UNIX, choose(2) ? SOCK_STREAM : SOCK_DGRAM, 0, pair);
    else
        CALL3(socket, choose(4) ? AF_INET : AF_INET6, types[choose(2)] | (choose(3) ? SOCK_NONBLOCK : 0), 0);
}

static void program_transfers(int fd)
{
    struct sockaddr_in a = some_address();
    uint32_t size = sizeof(a);
    static const unsigned flags[] = {0, MSG_PEEK, MSG_WAITALL, MSG_TRUNC, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB};
    unsigned f = flags[choose(7)] | (choose(2) ? MSG_DONTWAIT : 0);
    size_t n = choose(4) ? choose(600) : choose(sizeof(buffer));
    switch (choose(6)) {
    case 0:
        CALL6(sendto, fd, buffer, n, f, choose(2) ? &a : NULL, sizeof(a));
        break;
    case 1:
        CALL6(recvfrom, fd, buffer, n, f, &a, &size);
        break;
    case 2:
        world_write(fd, buffer, n);
        break;
    case 3:
        world_read(fd, buffer, n);
        break;
    default: {
        struct {
            void *base;
            size_t size;
        } iov[2] = {{buffer, n / 2}, {buffer + n / 2, n - n / 2}};
        struct {
            struct cmsg_header header;
            int32_t value;
        } control[2] = {{{choose(32), SOL_IP, (int32_t)choose(4)}, (int32_t)word()},
                        {{choose(32), SOL_IPV6, (int32_t)choose(70)}, (int32_t)word()}};
        struct user_msghdr m = {.name = (uint64_t)&a, .name_size = sizeof(a), .iov = (uint64_t)iov, .iov_count = 2};
        m.control = choose(4) ? (uint64_t)control : 0;
        m.control_size = choose(4) ? sizeof(control) : choose(sizeof(control));
        if (choose(2)) {
            CALL3(recvmsg, fd, &m, f);
        } else {
            m.name_size = choose(2) ? sizeof(a) : 0;
            CALL3(sendmsg, fd, &m, f);
        }
    }
    }
}

static void program_asks(int fd)
{
    static const uint16_t levels[] = {SOL_SOCKET, SOL_TCP, SOL_IP, SOL_IPV6};
    static const uint32_t requests[] = {SIOCINQ, SIOCOUTQ, SIOCATMARK};
    uint8_t value[256] = {0};
    struct sockaddr_in6 a;
    uint32_t size = sizeof(a), room = choose(257);
    switch (choose(7)) {
    case 0:
        CALL5(getsockopt, fd, levels[choose(4)], choose(70), value, &room);
        break;
    case 1:
        *(uint32_t *)value = choose(2) ? choose(3) : word();
        CALL5(setsockopt, fd, levels[choose(4)], choose(70), value, choose(32));
        break;
    case 2:
        CALL3(getsockname, fd, &a, &size);
        break;
    case 3:
        CALL3(getpeername, fd, &a, &size);
        break;
    case 4:
        world_ioctl(fd, requests[choose(3)], value);
        break;
    case 5:
        CALL2(shutdown, fd, choose(3));
        break;
    default: {
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN | POLLOUT}, {.fd = (int)choose(FD_MAX), .events = POLLIN}};
        CALL3(poll, p, 2, (int)choose(2));
    }
    }
}

static void program_watches(int fd)
{
    struct epoll_event e = {.events = choose(2) ? EPOLLIN | EPOLLOUT : 1U << choose(32)}, got[8];
    int other = (int)choose(FD_MAX);
    switch (choose(5)) {
    case 0:
        CALL1(epoll_create1, 0);
        break;
    case 1:
        CALL4(epoll_ctl, other, 1 + choose(3), fd, &e);
        break;
    default:
        CALL4(epoll_wait, fd, got, 1 + choose(8), (int)choose(2));
    }
}

/* As for a member that accepts from it: from then on the host does so on demand. */
static void shares(int fd)
{
    struct file *file = fd_get(fd);
    struct tcp_loan loan;
    if (!file)
        return;
    (void)tcp_share(file, &loan);
    file_put(file);
}

static void program_acts(void)
{
    int fd = (int)choose(FD_MAX);
    struct sockaddr_in a = some_address();
    switch (choose(13)) {
    case 12:
        shares(fd);
        break;
    case 0:
        program_makes_socket();
        break;
    case 1:
        CALL3(bind, fd, &a, sizeof(a));
        break;
    case 2:
        CALL2(listen, fd, choose(10));
        break;
    case 3:
        CALL3(connect, fd, &a, sizeof(a));
        break;
    case 4:
    case 5:
        CALL4(accept4, fd, 0, 0, choose(2) ? SOCK_NONBLOCK : 0);
        break;
    case 6:
        if (fd > 4 || !choose(50))
            world_close(fd);
        break;
    case 7:
        program_asks(fd);
        break;
    case 8:
        program_watches(fd);
        break;
    default:
        program_transfers(fd);
    }
}

static void ends_sharing(void)
{
}

static void idle(void)
{
    for (int i = 0; i < 3; i++) {
        if (lying())
            lie_in_channel();
        host_acts();
    }
}

void hostile_init(choose_fn fn)
{
    static const struct tcp_loan_ops ops = {.unshare = ends_sharing};
    choose = fn;
    tcp_loan_ops_set(&ops);
    world.idle = idle;
    world.socket = hostile_socket;
    /* A few that are surely there: a listener outside and inside, a datagram socket, an epoll set of them. */
    for (int i = 0; i < 4; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = (uint16_t)((4000 + i) << 8 | (4000 + i) >> 8)};
        int fd = (int)CALL3(socket, AF_INET, (i == 3 ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);
        CALL3(bind, fd, &a, sizeof(a));
        CALL2(listen, fd, 5);
    }
    CALL1(epoll_create1, 0);
}

void hostile_step(uint32_t lies)
{
    lie_rate = lies;
    if (lying())
        choose(30) ? lie_in_channel() : hostile_queue(choose(2) ? world.ready : world.dirty, choose, word);
    switch (choose(4)) {
    case 0:
        host_acts();
        break;
    case 1:
        net_poll_ready();
        net_flush_wanted();
        if (!choose(8))
            world_timer();
        break;
    default:
        program_acts();
    }
}

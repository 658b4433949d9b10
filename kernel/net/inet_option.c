/* Options at IPPROTO_TCP, IP, IPV6 and UDP: remembered here, answered from here, and told to the host's socket. */
#include <asm/errno.h>
#include <asm/socket.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/net/inet.h"
#include "kernel/net/tcp.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

struct inet_option {
    int level, name;
    int initial, min, max;
    bool forward;
};

static const struct inet_option table[] = {
    [INET_TTL] = {SOL_IP, IP_TTL, INET_HOPS_DEFAULT, 1, 255, true},
    [INET_TOS] = {SOL_IP, IP_TOS, 0, 0, 255, true},
    [INET_RECVTTL] = {SOL_IP, IP_RECVTTL, 0, INT32_MIN, INT32_MAX, false},
    [INET_RECVTOS] = {SOL_IP, IP_RECVTOS, 0, INT32_MIN, INT32_MAX, false},
    [INET_HOPS] = {SOL_IPV6, IPV6_UNICAST_HOPS, INET_HOPS_DEFAULT, -1, 255, true},
    [INET_TCLASS] = {SOL_IPV6, IPV6_TCLASS, 0, -1, 255, true},
    [INET_RECVHOPLIMIT] = {SOL_IPV6, IPV6_RECVHOPLIMIT, 0, INT32_MIN, INT32_MAX, false},
    [INET_RECVTCLASS] = {SOL_IPV6, IPV6_RECVTCLASS, 0, INT32_MIN, INT32_MAX, false},
    {SOL_TCP, TCP_NODELAY, 0, INT32_MIN, INT32_MAX, true},
    {SOL_TCP, TCP_CORK, 0, INT32_MIN, INT32_MAX, false}, /* bytes wait for the pump anyway */
    {SOL_TCP, TCP_QUICKACK, 1, INT32_MIN, INT32_MAX, false},
    {SOL_TCP, TCP_KEEPIDLE, 7200, 1, 32767, true},
    {SOL_TCP, TCP_KEEPINTVL, 75, 1, 32767, true},
    {SOL_TCP, TCP_KEEPCNT, 9, 1, 127, true},
    {SOL_TCP, TCP_SYNCNT, 6, 1, 127, true},
    {SOL_TCP, TCP_USER_TIMEOUT, 0, 0, INT32_MAX, true},
    {SOL_TCP, TCP_DEFER_ACCEPT, 0, INT32_MIN, INT32_MAX, true},
    {SOL_TCP, TCP_LINGER2, 60, INT32_MIN, INT32_MAX, true},
    {SOL_TCP, TCP_WINDOW_CLAMP, 0, 0, INT32_MAX, false},
    {SOL_TCP, TCP_NOTSENT_LOWAT, 0, INT32_MIN, INT32_MAX, false},
    {SOL_IP, IP_MTU_DISCOVER, 1, 0, 5, true},
    {SOL_IP, IP_MULTICAST_TTL, 1, 0, 255, true},
    {SOL_IP, IP_MULTICAST_LOOP, 1, INT32_MIN, INT32_MAX, true},
    {SOL_IP, IP_FREEBIND, 0, INT32_MIN, INT32_MAX, false},
    {SOL_IP, IP_RECVERR, 0, INT32_MIN, INT32_MAX, false}, /* the error queue is always empty */
    {SOL_IPV6, IPV6_MULTICAST_HOPS, 1, -1, 255, true},
    {SOL_IPV6, IPV6_MULTICAST_LOOP, 1, 0, 1, true},
    {SOL_IPV6, IPV6_RECVERR, 0, INT32_MIN, INT32_MAX, false},
};
_Static_assert(ARRAY_COUNT(table) <= INET_OPTION_MAX, "room in struct inet_socket");

/* SOL_SOCKET options that the host's socket must know of. */
static const int socket_level[] = {SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_BROADCAST};

void inet_options_init(struct inet_socket *in, struct inet_cold *cold)
{
    in->cold = cold;
    cold->owner = in;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++)
        in->cold->options[i] = table[i].initial;
    string_copy(in->cold->congestion, "cubic", sizeof(in->cold->congestion));
}

/*
 * Keepalive options of connections matter after seconds of silence, and servers set four of them on every connection
 * they accept: the host is told of them a moment later, if the connection still lives.
 */
#define DEFERRED_KEEPALIVE (1U << 31)
#define DEFER_NS 500000000ULL
#define DEFER_MORE_NS 10000000ULL /* between batches */
#define DEFER_BATCH 16

static void deferred_tell(struct timer *timer);
static TAILQ_HEAD(, inet_cold) deferred = TAILQ_HEAD_INITIALIZER(deferred);
static struct timer defer_timer;

static bool may_defer(const struct inet_socket *in, int level, int name)
{
    if (in->sock.type != SOCK_STREAM || in->sock.listening || !in->peer.port)
        return false;
    if (level == SOL_SOCKET)
        return name == SO_KEEPALIVE;
    return level == SOL_TCP && (name == TCP_KEEPIDLE || name == TCP_KEEPINTVL || name == TCP_KEEPCNT);
}

static void defer(struct inet_socket *in, uint32_t bit)
{
    if (!in->cold->deferred)
        TAILQ_INSERT_TAIL(&deferred, in->cold, deferred_link);
    in->cold->deferred |= bit;
    if (!defer_timer.armed) {
        timer_init(&defer_timer, deferred_tell);
        timer_arm(&defer_timer, time_monotonic_ns() + DEFER_NS);
    }
}

void inet_options_forget(struct inet_socket *in)
{
    if (!in->cold->deferred)
        return;
    in->cold->deferred = 0;
    TAILQ_REMOVE(&deferred, in->cold, deferred_link);
}

static void deferred_tell(struct timer *timer)
{
    for (int i = 0; i < DEFER_BATCH; i++) {
        struct inet_cold *cold = TAILQ_FIRST(&deferred);
        if (!cold)
            return;
        struct inet_socket *in = cold->owner;
        uint32_t bits = cold->deferred;
        int on = socket_option(&in->sock, SO_KEEPALIVE);
        inet_options_forget(in);
        if (bits & DEFERRED_KEEPALIVE)
            (void)inet_host_setsockopt(in, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        for (size_t k = 0; k < ARRAY_COUNT(table); k++)
            if (bits >> k & 1)
                (void)inet_host_setsockopt(in, table[k].level, table[k].name, &cold->options[k], sizeof(int));
    }
    timer_arm(timer, time_monotonic_ns() + DEFER_MORE_NS);
}

static int find(const struct inet_socket *in, int level, int name)
{
    if ((level == SOL_TCP && in->sock.type != SOCK_STREAM) || (level == SOL_IPV6 && in->sock.family != AF_INET6))
        return -1;
    for (size_t i = 0; i < ARRAY_COUNT(table); i++)
        if (table[i].level == level && table[i].name == name)
            return (int)i;
    return -1;
}

void inet_options_replay(struct inet_socket *in)
{
    int one = 1, v6only = in->v6only;
    for (size_t i = 0; i < ARRAY_COUNT(socket_level); i++)
        if (socket_option(&in->sock, socket_level[i]))
            (void)inet_host_setsockopt(in, SOL_SOCKET, socket_level[i], &one, sizeof(one));
    for (size_t i = 0; i < ARRAY_COUNT(table); i++)
        if (table[i].forward && (in->cold->options_set >> i & 1))
            (void)inet_host_setsockopt(in, table[i].level, table[i].name, &in->cold->options[i], sizeof(int));
    if (in->chan_family == AF_INET6)
        (void)inet_host_setsockopt(in, SOL_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
}

void inet_option_changed(struct socket *sock, int name)
{
    struct inet_socket *in = inet_of(sock);
    for (size_t i = 0; in->chan && i < ARRAY_COUNT(socket_level); i++) {
        if (socket_level[i] != name)
            continue;
        int value = socket_option(sock, name);
        if (may_defer(in, SOL_SOCKET, name))
            defer(in, DEFERRED_KEEPALIVE);
        else
            (void)inet_host_setsockopt(in, SOL_SOCKET, name, &value, sizeof(value));
    }
}

static int option_int(const void *value, size_t size, int *ret_number)
{
    if (size >= sizeof(int)) {
        memcpy(ret_number, value, sizeof(int));
        return 0;
    }
    if (size == 1) { /* IP level options may be bytes */
        *ret_number = *(const uint8_t *)value;
        return 0;
    }
    return -EINVAL;
}

static bool is_membership(int level, int name)
{
    if (level == SOL_IP)
        return name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP || name == IP_MULTICAST_IF ||
               name == IP_ADD_SOURCE_MEMBERSHIP || name == IP_DROP_SOURCE_MEMBERSHIP;
    return level == SOL_IPV6 &&
           (name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP || name == IPV6_MULTICAST_IF);
}

static int set_special(struct inet_socket *in, int level, int name, const void *value, size_t size)
{
    int number;
    if (level == SOL_TCP && name == TCP_CONGESTION && in->sock.type == SOCK_STREAM) {
        size_t n = MIN(size, sizeof(in->cold->congestion) - 1);
        char wanted[16] = {0};
        memcpy(wanted, value, n);
        if (strcmp(wanted, "cubic") != 0 && strcmp(wanted, "reno") != 0)
            return -ENOENT;
        memcpy(in->cold->congestion, wanted, sizeof(wanted));
        return 0;
    }
    if (is_membership(level, name)) {
        if (in->sock.type != SOCK_DGRAM)
            return -EPROTO;
        return in->chan ? inet_host_setsockopt(in, level, name, value, size) : -ENODEV;
    }
    if (level == SOL_IPV6 && name == IPV6_V6ONLY && in->sock.family == AF_INET6) {
        int r = option_int(value, size, &number);
        if (r < 0)
            return r;
        if (in->bound)
            return -EINVAL;
        in->v6only = number != 0;
        return 0;
    }
    return -ENOPROTOOPT;
}

int inet_setsockopt(struct socket *sock, int level, int name, const void *value, size_t size)
{
    struct inet_socket *in = inet_of(sock);
    int i = find(in, level, name), number;
    if (i < 0)
        return set_special(in, level, name, value, size);
    int r = option_int(value, size, &number);
    if (r < 0)
        return r;
    if (number < table[i].min || number > table[i].max)
        return -EINVAL;
    if (table[i].min == INT32_MIN &&
        (level != SOL_TCP || (name != TCP_DEFER_ACCEPT && name != TCP_LINGER2 && name != TCP_NOTSENT_LOWAT)))
        number = number != 0;
    if ((in->cold->options_set >> i & 1) && in->cold->options[i] == number)
        return 0;
    in->cold->options[i] = number;
    in->cold->options_set |= 1U << i;
    if (in->chan && may_defer(in, level, name)) {
        defer(in, 1U << i);
        return 0;
    }
    /* Accepted connections have TCP_NODELAY from the listener: see tcp_listen. */
    if (in->chan && table[i].forward && !(level == SOL_TCP && name == TCP_NODELAY && in->chan->number % 2))
        return inet_host_setsockopt(in, level, name, &number, sizeof(number));
    return 0;
}

static int answer(void *value, size_t *size, const void *result, size_t result_size)
{
    *size = MIN(*size, result_size);
    memcpy(value, result, *size);
    return 0;
}

int inet_getsockopt(struct socket *sock, int level, int name, void *value, size_t *size)
{
    struct inet_socket *in = inet_of(sock);
    int i = find(in, level, name), number;
    if (i >= 0) {
        if (level == SOL_IP && *size > 0 && *size < sizeof(int) && in->cold->options[i] >= 0 &&
            in->cold->options[i] <= 255) {
            *size = 1;
            *(uint8_t *)value = (uint8_t)in->cold->options[i];
            return 0;
        }
        return answer(value, size, &in->cold->options[i], sizeof(int));
    }
    if (level == SOL_TCP && sock->type == SOCK_STREAM) {
        switch (name) {
        case TCP_MAXSEG:
            number = in->peer.port ? (ip_is_own(in->peer.ip) ? 65483 : 1448) : 536;
            return answer(value, size, &number, sizeof(number));
        case TCP_CONGESTION:
            return answer(value, size, in->cold->congestion, sizeof(in->cold->congestion));
        case TCP_INFO: {
            struct tcp_info info;
            tcp_info_fill(in, &info);
            return answer(value, size, &info, sizeof(info));
        }
        default:
            return -ENOPROTOOPT;
        }
    }
    if (level == SOL_IPV6 && name == IPV6_V6ONLY && sock->family == AF_INET6) {
        number = in->v6only;
        return answer(value, size, &number, sizeof(number));
    }
    if (level == SOL_IP && name == IP_MTU && in->peer.port) {
        number = ip_is_own(in->peer.ip) ? 65536 : 1500;
        return answer(value, size, &number, sizeof(number));
    }
    return -ENOPROTOOPT;
}

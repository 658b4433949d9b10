/* /proc/net: the sockets of the container, as Linux lists them. A socket's number is that of /proc/PID/fd. */
#include <linux/net.h>
#include <linux/stat.h>

#include "kernel/fs/proc.h"
#include "kernel/lib/string.h"
#include "kernel/net/tcp.h"
#include "kernel/net/unix.h"

#define FILE_OF(n, t)                                                                                                  \
    {                                                                                                                  \
        .name = n, .mode = S_IFREG | 0444, .text = t                                                                   \
    }

#define INET_HEADING "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
#define INET6_HEADING                                                                                                  \
    "  sl  local_address                         remote_address                        st tx_queue rx_queue tr "       \
    "tm->when retrnsmt   uid  timeout inode"
/* Lines for IPv4 are of one length each. */
#define TCP_WIDTH 149
#define UDP_WIDTH 127

static unsigned long number_of(const struct socket *sock)
{
    return sock->file ? (unsigned long)sock->file->inode->ino : 0;
}

static unsigned owner_of(const struct socket *sock)
{
    return sock->file ? sock->file->inode->uid : 0;
}

/* ---- TCP and UDP ---- */

/* Words of 32 bits as they lie in memory. No port: nowhere. */
static void show_endpoint(struct seq *seq, int family, const struct endpoint *endpoint, bool known)
{
    uint32_t words[4] = {0};

    if (known)
        memcpy(words, endpoint->ip, sizeof words);
    for (int i = family == AF_INET ? 3 : 0; i < 4; i++)
        seq_printf(seq, "%08X", words[i]);
    seq_printf(seq, ":%04X ", known ? endpoint->port : 0);
}

/* What both have, up to the number. */
static void show_inet(struct seq *seq, const struct inet_socket *in, uint8_t state, uint32_t rx, uint32_t tx)
{
    const struct socket *sock = &in->sock;

    show_endpoint(seq, sock->family, &in->local, true);
    show_endpoint(seq, sock->family, &in->peer, in->peer.port != 0);
    seq_printf(seq, "%02X %08X:%08X 00:00000000 00000000 %5u %8d %lu ", state, tx, rx, owner_of(sock), 0,
               number_of(sock));
}

/* Of a socket that Linux would list as well. */
static bool tcp_line(struct seq *seq, struct socket *sock, unsigned line)
{
    struct tcp_socket *t = tcp_of(sock);
    uint32_t rx, tx;

    if (!sock->file && t->loan) /* closed: it ends as soon as it has come back */
        return false;
    uint8_t state = tcp_linux_state(t);
    if (state == TCP_L_CLOSE)
        return false;
    tcp_queued(t, &rx, &tx);
    seq_printf(seq, "%4u: ", line);
    show_inet(seq, &t->in, state, rx, tx);
    seq_printf(seq, "%d %016x %s", 1, 0, state == TCP_L_LISTEN ? "100 0 0 10 0" : "20 0 0 10 -1");
    return true;
}

static bool udp_line(struct seq *seq, struct socket *sock, unsigned line)
{
    const struct inet_socket *in = inet_of(sock);
    uint32_t rx, tx;

    if (!in->local.port)
        return false;
    udp_queued(sock, &rx, &tx);
    seq_printf(seq, "%5u: ", line);
    show_inet(seq, in, in->peer.port ? TCP_L_ESTABLISHED : TCP_L_CLOSE, rx, tx);
    seq_printf(seq, "%d %016x %d", 2, 0, 0);
    return true;
}

static void end_line(struct seq *seq, size_t start, size_t width)
{
    size_t size = seq->used - start;

    seq_printf(seq, "%*s\n", size < width ? (int)(width - size) : 0, "");
}

/* A file of this directory: of which sockets, and how a line of it is written, without its end. */
struct listing {
    enum socket_kind kind;
    int family;
    size_t width;
    const char *heading;
    bool (*line)(struct seq *seq, struct socket *sock, unsigned line);
};

static bool list_sockets(struct seq *seq, struct pseudo_cursor *cursor, const struct listing *listing)
{
    struct socket *sock = socket_after(listing->kind, cursor->after);
    size_t start = seq->used;

    if (cursor->after == 0 && cursor->count == 0) {
        seq_printf(seq, "%s", listing->heading);
        end_line(seq, start, listing->width);
    }
    for (; sock && seq->used < PSEUDO_WINDOW && !seq->failed; sock = socket_next(sock)) {
        cursor->after = sock->serial;
        start = seq->used;
        if (sock->family != listing->family || !listing->line(seq, sock, cursor->count))
            continue;
        end_line(seq, start, listing->width);
        cursor->count++;
    }
    return !sock;
}

static bool tcp_records(struct seq *seq, const struct pseudo_ctx *ctx, struct pseudo_cursor *cursor)
{
    static const struct listing tcp = {SOCKETS_TCP, AF_INET, TCP_WIDTH, INET_HEADING, tcp_line};

    (void)ctx;
    return list_sockets(seq, cursor, &tcp);
}

static bool tcp6_records(struct seq *seq, const struct pseudo_ctx *ctx, struct pseudo_cursor *cursor)
{
    static const struct listing tcp6 = {SOCKETS_TCP, AF_INET6, 0, INET6_HEADING, tcp_line};

    (void)ctx;
    return list_sockets(seq, cursor, &tcp6);
}

static bool udp_records(struct seq *seq, const struct pseudo_ctx *ctx, struct pseudo_cursor *cursor)
{
    static const struct listing udp = {SOCKETS_UDP, AF_INET, UDP_WIDTH, " " INET_HEADING " ref pointer drops",
                                       udp_line};

    (void)ctx;
    return list_sockets(seq, cursor, &udp);
}

static bool udp6_records(struct seq *seq, const struct pseudo_ctx *ctx, struct pseudo_cursor *cursor)
{
    static const struct listing udp6 = {SOCKETS_UDP, AF_INET6, 0, INET6_HEADING " ref pointer drops", udp_line};

    (void)ctx;
    return list_sockets(seq, cursor, &udp6);
}

/* ---- unix sockets ---- */

/* NULs are shown as @, the one at the end of a path is left out. */
static void show_name(struct seq *seq, const struct unix_socket *u)
{
    char text[sizeof u->name.sun_path];
    size_t size = u->name_size - offsetof(struct sockaddr_un, sun_path);

    if (u->name.sun_path[0])
        size--;
    for (size_t i = 0; i < size; i++)
        text[i] = (char)(u->name.sun_path[i] ? u->name.sun_path[i] : '@');
    seq_write(seq, " ", 1);
    seq_write(seq, text, size);
}

static bool unix_line(struct seq *seq, struct socket *sock, unsigned line)
{
    const struct unix_socket *u = unix_of(sock);
    unsigned state = u->state == UNIX_CONNECTED ? SS_CONNECTED : SS_UNCONNECTED;

    (void)line;
    if (u->dead) /* somebody still has it as peer */
        return false;
    if (!sock->file)
        state = state == SS_CONNECTED ? SS_CONNECTING : SS_DISCONNECTING;
    seq_printf(seq, "%016x: %08X %08X %08X %04X %02X %5lu", 0, u->refcount + 1, 0,
               u->state == UNIX_LISTEN ? __SO_ACCEPTCON : 0, sock->type, state, number_of(sock));
    if (u->name_size)
        show_name(seq, u);
    return true;
}

static bool unix_records(struct seq *seq, const struct pseudo_ctx *ctx, struct pseudo_cursor *cursor)
{
    static const struct listing all = {SOCKETS_UNIX, AF_UNIX, 0,
                                       "Num       RefCount Protocol Flags    Type St Inode Path", unix_line};

    (void)ctx;
    return list_sockets(seq, cursor, &all);
}

const struct pseudo_entry proc_net_entries[] = {
    FILE_OF("dev",
            "Inter-|   Receive                                                |  Transmit\n"
            " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo "
            "colls carrier compressed\n"
            "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0"
            "       0          0\n"),
    FILE_OF("if_inet6", "00000000000000000000000000000001 01 80 10 80       lo\n"),
    FILE_OF("route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"),
    {.name = "tcp", .mode = S_IFREG | 0444, .records = tcp_records},
    {.name = "tcp6", .mode = S_IFREG | 0444, .records = tcp6_records},
    {.name = "udp", .mode = S_IFREG | 0444, .records = udp_records},
    {.name = "udp6", .mode = S_IFREG | 0444, .records = udp6_records},
    {.name = "unix", .mode = S_IFREG | 0444, .records = unix_records},
    {0},
};

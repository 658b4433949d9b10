/* Connections that another enclave has (contract in loan.h). */
#include "kernel/net/loan.h"

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/socket.h>

#include "kernel/arch/hostcall.h"
#include "kernel/fs/epoll.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/net/tcp.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

_Static_assert(TCP_LOAN_OPTIONS == INET_OPTION_MAX, "all options travel");

static const struct tcp_loan_ops *ops;
static const struct socket_ops lent_ops, borrowed_ops, shared_ops;

void tcp_loan_ops_set(const struct tcp_loan_ops *new_ops)
{
    ops = new_ops;
}

/* ---- what travels ---- */

static void write_loan(const struct tcp_socket *t, struct tcp_loan *loan)
{
    const struct socket *sock = &t->in.sock;
    loan->family = sock->family;
    loan->chan_family = t->in.chan_family;
    memcpy(loan->local_ip, t->in.local.ip, 16);
    memcpy(loan->peer_ip, t->in.peer.ip, 16);
    loan->local_port = t->in.local.port;
    loan->peer_port = t->in.peer.port;
    loan->local_scope = t->in.local.scope;
    loan->peer_scope = t->in.peer.scope;
    loan->rx_bytes = t->rx_bytes;
    loan->tx_bytes = t->tx_bytes;
    loan->ended = t->state == TCP_S_ENDED;
    loan->error_taken = t->error_taken;
    loan->tx_closed = t->tx_closed;
    loan->rx_fin = t->rx_fin;
    loan->v6only = t->in.v6only;
    loan->error = sock->error;
    loan->peek_off = sock->peek_off;
    loan->shutdown = sock->shutdown;
    loan->rcvlowat = sock->rcvlowat;
    loan->rcvbuf = sock->rcvbuf;
    loan->sndbuf = sock->sndbuf;
    loan->priority = sock->priority;
    loan->mark = sock->mark;
    loan->rcv_timeout_ns = sock->rcv_timeout_ns;
    loan->snd_timeout_ns = sock->snd_timeout_ns;
    loan->options = sock->options;
    loan->linger_on = sock->linger.on;
    loan->linger_seconds = sock->linger.seconds;
    loan->options_set = t->cold.options_set;
    memcpy(loan->option_values, t->cold.options, sizeof(loan->option_values));
    memcpy(loan->congestion, t->cold.congestion, sizeof(loan->congestion));
    loan->file_flags = sock->file ? sock->file->flags : 0;
}

static void read_loan(struct tcp_socket *t, const struct tcp_loan *loan)
{
    struct socket *sock = &t->in.sock;
    t->rx_bytes = loan->rx_bytes;
    t->tx_bytes = loan->tx_bytes;
    t->state = loan->ended ? TCP_S_ENDED : TCP_S_CONNECTED;
    t->error_taken = loan->error_taken;
    t->tx_closed = loan->tx_closed;
    t->rx_fin = loan->rx_fin;
    sock->error = loan->error;
    sock->peek_off = loan->peek_off;
    sock->shutdown = (uint8_t)loan->shutdown;
    sock->rcvlowat = loan->rcvlowat;
    sock->rcvbuf = loan->rcvbuf;
    sock->sndbuf = loan->sndbuf;
    sock->priority = loan->priority;
    sock->mark = loan->mark;
    sock->rcv_timeout_ns = loan->rcv_timeout_ns;
    sock->snd_timeout_ns = loan->snd_timeout_ns;
    sock->options = loan->options;
    sock->linger = (struct linger){loan->linger_on, loan->linger_seconds};
    t->cold.options_set = loan->options_set;
    memcpy(t->cold.options, loan->option_values, sizeof(loan->option_values));
    memcpy(t->cold.congestion, loan->congestion, sizeof(loan->congestion));
    if (sock->file)
        tcp_set_file_flags(t, loan->file_flags);
}

bool tcp_loan_ok(const struct tcp_loan *loan)
{
    return loan->chan.rx_head - loan->chan.rx_tail <= chan_ring_size() &&
           loan->chan.tx_head - loan->chan.tx_tail <= chan_ring_size() &&
           !(loan->chan.flags & (CHAN_K_CLOSE | CHAN_K_RESET)) && loan->error >= 0 && loan->error <= EHWPOISON &&
           loan->peek_off >= -1 && loan->shutdown <= 3 && loan->rcvlowat > 0 &&
           (loan->linger_on == 0 || loan->linger_on == 1);
}

#define FLAGS_THAT_CHANGE (O_APPEND | O_NONBLOCK | FASYNC)

void tcp_set_file_flags(struct tcp_socket *t, unsigned flags)
{
    struct file *file = t->in.sock.file;
    file->flags = (file->flags & ~(unsigned)FLAGS_THAT_CHANGE) | (flags & FLAGS_THAT_CHANGE);
}

/* ---- the lender ---- */

static void lent_news(struct chan *c, uint32_t events)
{
    (void)events;
    ops->news(c->owner);
}

static bool is_tcp(const struct socket *sock)
{
    return sock && sock->type == SOCK_STREAM && (sock->family == AF_INET || sock->family == AF_INET6);
}

bool tcp_lendable(const struct file *file, unsigned references)
{
    struct socket *sock = file->refcount == references ? socket_of_file((struct file *)file) : NULL;
    if (!is_tcp(sock) || sock->ops != &tcp_ops)
        return false;
    const struct tcp_socket *t = tcp_of(sock);
    return t->state == TCP_S_CONNECTED && t->connect_told && t->in.chan && !sock->error && !sock->rx_turn &&
           !sock->tx_turn && !file->epoll_watchers && !wait_queue_active(&sock->wait);
}

int tcp_listening_name(struct file *file, void *ret_addr)
{
    struct socket *sock = socket_of_file(file);
    if (!is_tcp(sock) || sock->ops != &tcp_ops || tcp_of(sock)->state != TCP_S_LISTEN)
        return 0;
    return MAX(sock->ops->getname(sock, false, ret_addr), 0);
}

struct tcp_socket *tcp_of_file(struct file *file)
{
    return tcp_of(socket_of_file(file));
}

unsigned tcp_recalls(const struct tcp_socket *t)
{
    return t->recalls;
}

void *tcp_loan_of(const struct tcp_socket *t)
{
    return t->loan;
}

uint32_t tcp_channel(const struct tcp_socket *t)
{
    return t->in.chan->number;
}

struct file *tcp_file(const struct tcp_socket *t)
{
    return t->in.sock.file;
}

void tcp_release_closed(struct tcp_socket *t)
{
    if (!t->in.sock.file)
        t->in.sock.ops->release(&t->in.sock);
}

void tcp_lend(struct tcp_socket *t, void *loan, struct tcp_loan *ret_loan)
{
    ASSERT(!t->loan && t->in.sock.ops == &tcp_ops);
    t->loan = loan;
    memset(ret_loan, 0, sizeof(*ret_loan));
    write_loan(t, ret_loan);
    chan_lend(t->in.chan, lent_news, &ret_loan->chan);
    t->in.sock.ops = &lent_ops;
}

static void here_again(struct tcp_socket *t)
{
    t->in.sock.ops = &tcp_ops;
    t->loan = NULL;
    if (t->recalls < UINT8_MAX)
        t->recalls++;
}

void tcp_loan_end(struct tcp_socket *t, const struct tcp_loan *loan)
{
    here_again(t);
    read_loan(t, loan);
    chan_lend_end(t->in.chan, tcp_news, &loan->chan);
    wake_up_all(&t->in.sock.wait, EVENTS_ALL);
}

void tcp_loan_lost(struct tcp_socket *t)
{
    here_again(t);
    inet_options_forget(&t->in);
    chan_lend_lost(t->in.chan);
    t->in.chan = NULL;
    tcp_end(t, ECONNRESET);
}

struct tcp_socket *tcp_lent(uint32_t channel)
{
    struct chan *c = chan_lent(channel);
    return c ? c->owner : NULL;
}

void tcp_lent_dirty(struct tcp_socket *t)
{
    chan_lent_dirty(t->in.chan);
}

static void lent_settle(struct socket *sock)
{
    struct wait_entry entry;
    ops->recall(tcp_of(sock));
    wait_entry_init(&entry, NULL);
    wait_queue_add(&sock->wait, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (sock->ops != &lent_ops)
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
}

/* Whoever polls hears of it when it is here again. */
static uint32_t lent_poll(struct socket *sock, struct file *file, struct poll_table *table)
{
    poll_wait(table, file, &sock->wait);
    ops->recall(tcp_of(sock));
    return 0;
}

/* The last descriptor is gone: the rest when the borrower has said how far it came. */
static void lent_release(struct socket *sock)
{
    ops->recall(tcp_of(sock));
}

static const struct socket_ops lent_ops = {.settle = lent_settle, .poll = lent_poll, .release = lent_release};

/* ---- connections and listening sockets of both ---- */

static void take_loan(struct tcp_socket *t, const struct tcp_loan *loan)
{
    t->in.chan_family = loan->chan_family;
    memcpy(t->in.local.ip, loan->local_ip, 16);
    memcpy(t->in.peer.ip, loan->peer_ip, 16);
    t->in.local.port = loan->local_port;
    t->in.peer.port = loan->peer_port;
    t->in.local.scope = loan->local_scope;
    t->in.peer.scope = loan->peer_scope;
    t->in.v6only = loan->v6only;
    read_loan(t, loan);
    ip_learn_own(t->in.local.ip);
}

/* A socket without a channel, and its file. */
static int socket_of_loan(const struct tcp_loan *loan, struct tcp_socket **ret_t, struct file **ret_file)
{
    if ((loan->family != AF_INET && loan->family != AF_INET6) || !tcp_loan_ok(loan))
        return -EPROTO;
    *ret_t = tcp_new(loan->family);
    if (!*ret_t)
        return -ENOMEM;
    *ret_file = socket_file_new(&(*ret_t)->in.sock, 0);
    return *ret_file ? 0 : -ENOMEM;
}

static int connection_of_loan(const struct tcp_loan *loan, void *whose, const struct socket_ops *socket_ops,
                              struct chan *chan_of_loan(const struct chan_loan *, void (*)(struct chan *, uint32_t),
                                                        void *),
                              void (*news)(struct chan *, uint32_t), struct file **ret_file)
{
    struct tcp_socket *t;
    int r = socket_of_loan(loan, &t, ret_file);
    if (r < 0)
        return r;
    t->in.chan = chan_of_loan(&loan->chan, news, &t->in);
    if (!t->in.chan) {
        file_put(*ret_file);
        return -EPROTO;
    }
    t->in.sock.ops = socket_ops;
    take_loan(t, loan);
    t->loan = whose;
    return 0;
}

int tcp_foreign(const struct tcp_loan *loan, void *loan_of_lender, struct file **ret_file)
{
    return connection_of_loan(loan, loan_of_lender, &lent_ops, chan_foreign, lent_news, ret_file);
}

#define JOINED_NS 1000000000ULL

/* Sharing ends with a connection from inside, and with it what else members were told: not over and over. */
static bool joined_lately(const struct tcp_socket *t)
{
    return t->joined_ns && time_monotonic_ns() - t->joined_ns < JOINED_NS;
}

/* The sets that the socket is in have heard of connections so far. */
static int begin_demand(struct tcp_socket *t, const struct file *file)
{
    if (t->demand)
        return 0;
    int r = tcp_demand(t, true);
    if (r == 0 && file->epoll_watchers)
        chan_want_accept(t->in.chan);
    return r;
}

bool tcp_share(struct file *file, struct tcp_loan *ret_loan)
{
    struct socket *sock = socket_of_file(file);
    if (!is_tcp(sock) || sock->ops != &tcp_ops || sock->rcv_timeout_ns || (epoll_file_flags(file) & EPOLLET))
        return false;
    struct tcp_socket *t = tcp_of(sock);
    if (t->state != TCP_S_LISTEN || !t->in.chan || joined_lately(t) || !TAILQ_EMPTY(&t->backlog) ||
        !TAILQ_EMPTY(&t->waiting) || begin_demand(t, file) < 0 || chan_rx_used(t->in.chan) > 0)
        return false;
    memset(ret_loan, 0, sizeof(*ret_loan));
    write_loan(t, ret_loan);
    ret_loan->chan.number = t->in.chan->number;
    t->shared = true;
    return true;
}

bool tcp_shared(struct file *file)
{
    struct socket *sock = socket_of_file(file);
    return is_tcp(sock) && tcp_of(sock)->shared;
}

void tcp_share_end(struct tcp_socket *t)
{
    t->shared = false;
    ops->unshare();
}

/* ---- the borrower ---- */

int tcp_borrow(const struct tcp_loan *loan, void *borrowed, struct file **ret_file)
{
    return connection_of_loan(loan, borrowed, &borrowed_ops, chan_borrow, tcp_news, ret_file);
}

int tcp_share_begin(const struct tcp_loan *loan, struct file **ret_file)
{
    struct hostcall_socket op = {.op = SOCKET_SHARE, .channel = loan->chan.number};
    struct tcp_socket *t;
    int r = socket_of_loan(loan, &t, ret_file);
    if (r < 0)
        return r;
    r = hostcall_socket(&op);
    if (r >= 0)
        t->in.chan = chan_adopt((uint32_t)op.value, tcp_news, &t->in);
    if (!t->in.chan) {
        file_put(*ret_file);
        return r < 0 ? r : -ENOMEM;
    }
    take_loan(t, loan);
    t->in.sock.ops = &shared_ops;
    t->state = TCP_S_LISTEN;
    t->demand = true;
    return 0;
}

bool tcp_share_closed(struct file *file)
{
    return tcp_of_file(file)->state != TCP_S_LISTEN;
}

int tcp_share_accept(struct file *file, struct tcp_socket **ret_accepted)
{
    struct socket *accepted;
    int r = tcp_accept(socket_of_file(file), true, &accepted);
    if (r == 0)
        *ret_accepted = tcp_of(accepted);
    return r;
}

int tcp_share_wait(struct file *file)
{
    return tcp_accept_wait(tcp_of_file(file), NO_DEADLINE);
}

int tcp_share_ready(struct file *file)
{
    return tcp_acceptable(tcp_of_file(file));
}

void tcp_share_watch(struct file *file, struct wait_entry *entry)
{
    wait_queue_add(&tcp_of_file(file)->in.sock.wait, entry);
}

void tcp_drop(struct tcp_socket *accepted)
{
    accepted->in.sock.ops->release(&accepted->in.sock);
}

int tcp_peer_name(struct tcp_socket *t, void *ret_addr)
{
    return tcp_getname(&t->in.sock, true, ret_addr);
}

void tcp_share_close(struct file *file)
{
    struct tcp_socket *t = tcp_of_file(file);
    t->state = TCP_S_CLOSED;
    wake_up_all(&t->in.sock.wait, EVENTS_ALL);
    file_put(file);
}

static void shared_release(struct socket *sock)
{
    struct tcp_socket *t = tcp_of(sock);
    chan_close(t->in.chan, false, true);
    tcp_put(t);
}

/* Who accepts calls tcp_accept(). */
static const struct socket_ops shared_ops = {.release = shared_release};

struct file *tcp_begin(struct tcp_socket *accepted, void *borrowed, unsigned flags)
{
    accepted->loan = borrowed;
    accepted->in.sock.ops = &borrowed_ops;
    return socket_file_new(&accepted->in.sock, flags);
}

void tcp_loan_now(const struct tcp_socket *t, struct tcp_loan *ret_loan)
{
    memset(ret_loan, 0, sizeof(*ret_loan));
    write_loan(t, ret_loan);
    chan_loan_of(t->in.chan, &ret_loan->chan);
}

void tcp_give(struct tcp_socket *t)
{
    chan_give(t->in.chan);
}

void tcp_leave(struct tcp_socket *t)
{
    const struct socket *sock = &t->in.sock;
    inet_host_leave(&t->in, (sock->linger.on && sock->linger.seconds == 0) || tcp_rx_used(t) > 0);
    t->loan = NULL;
    t->recalled = true;
    wake_up_all(&t->in.sock.wait, EVENTS_ALL);
}

struct tcp_socket *tcp_borrowed(struct file *file)
{
    struct socket *sock = socket_of_file(file);
    return sock && sock->ops == &borrowed_ops && tcp_of(sock)->in.chan ? tcp_of(sock) : NULL;
}

struct tcp_socket *tcp_borrowed_channel(uint32_t channel)
{
    struct chan *c = chan_borrowed(channel);
    return c ? c->owner : NULL;
}

void tcp_give_back(struct tcp_socket *t, struct tcp_loan *ret_loan)
{
    memset(ret_loan, 0, sizeof(*ret_loan));
    write_loan(t, ret_loan);
    chan_borrow_end(t->in.chan, &ret_loan->chan);
    t->in.chan = NULL;
    t->loan = NULL;
    t->recalled = true;
    wake_up_all(&t->in.sock.wait, EVENTS_ALL);
}

bool tcp_in_use(const struct tcp_socket *t)
{
    return t->in.sock.rx_turn || t->in.sock.tx_turn;
}

void tcp_ask_back(struct tcp_socket *t)
{
    t->recalled = true;
    wake_up_all(&t->in.sock.wait, EVENTS_ALL);
}

bool tcp_recalled(const struct tcp_socket *t)
{
    return t->recalled;
}

bool tcp_borrowed_option(const struct tcp_socket *t, int level, int name)
{
    if (level == SOL_TCP) /* accepted ones have TCP_NODELAY from the listener: kernel/net/inet_option.c */
        return name == TCP_CORK || name == TCP_QUICKACK || (name == TCP_NODELAY && t->in.chan->number % 2);
    return level == SOL_SOCKET && (name == SO_RCVTIMEO_OLD || name == SO_SNDTIMEO_OLD || name == SO_RCVLOWAT ||
                                   name == SO_LINGER || name == SO_RCVBUF || name == SO_SNDBUF);
}

void tcp_borrowed_news(struct tcp_socket *t)
{
    tcp_news(t->in.chan, chan_events(t->in.chan, NULL));
}

static void borrowed_release(struct socket *sock)
{
    struct tcp_socket *t = tcp_of(sock);
    if (t->in.chan)
        ops->closed(t);
    tcp_put(t);
}

/* As tcp_ops, as far as it needs no host call. */
static const struct socket_ops borrowed_ops = {
    .getname = tcp_getname,
    .send = tcp_send,
    .recv = tcp_recv,
    .shutdown = tcp_shutdown,
    .poll = tcp_poll,
    .setsockopt = inet_setsockopt,
    .getsockopt = inet_getsockopt,
    .ioctl = tcp_ioctl,
    .release = borrowed_release,
};

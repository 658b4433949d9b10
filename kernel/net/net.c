/* The net layer as the rest of the kernel sees it: start, news from the host, and the console's channels. */
#include <asm/errno.h>
#include <linux/eventpoll.h>

#include "kernel/arch/hostcall.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/uio.h"
#include "kernel/net/channel.h"
#include "kernel/net/net.h"
#include "kernel/net/socket.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/sched/wait.h"

/* A task that polls without ever sleeping still gets news this often. */
#define SPIN_PUMP_NS 200000

static struct {
    struct chan *chan;
    struct wait_queue wait;
    uint32_t reserved; /* of the free part of its tx ring */
} console[CHANNEL_FIRST_SOCKET];

static uint64_t last_spin_pump_ns;
static bool pumps;

static void console_news(struct chan *c, uint32_t events)
{
    (void)events;
    wake_up(&console[c->number].wait, 0);
}

const struct net_loan_ops *net_loan_ops;

void net_init(void)
{
    pumps = true;
    chan_init(false);
    for (uint32_t i = 0; i < CHANNEL_FIRST_SOCKET; i++) {
        wait_queue_init(&console[i].wait);
        console[i].chan = chan_console(i, console_news, NULL);
    }
    socket_init();
}

void net_init_borrower(void)
{
    chan_init(true);
    socket_init();
}

bool net_poll_ready(void)
{
    bool found = chan_poll_ready();
    if (net_loan_ops)
        found |= net_loan_ops->poll(found);
    return found;
}

void net_flush(void)
{
    if (net_loan_ops && net_loan_ops->flush)
        net_loan_ops->flush();
}

bool net_flush_wanted(void)
{
    return chan_dirty_pending() || chan_borrowed_pending() ||
           (net_loan_ops && net_loan_ops->wanted && net_loan_ops->wanted());
}

bool net_pumps(void)
{
    return pumps;
}

bool net_pump_wanted(void)
{
    return chan_dirty_pending();
}

void net_pump_begin(void)
{
    pumps = true;
}

void net_pump_end(void)
{
    struct hostcall_socket op = {.op = SOCKET_GIVE, .channel = GIVE_ALL};
    if (!pumps)
        return;
    int r = hostcall_socket(&op);
    (void)r; /* a host that loses bytes could have lost them before */
}

static bool pump_now(void)
{
    if (!pumps || vcpu_index() != 0)
        return false;
    hostcall_park(0, true);
    net_poll_ready();
    return true;
}

bool net_pump_now(void)
{
    bool pumped = pump_now();
    if (!net_loan_ops || !net_loan_ops->flush)
        return pumped;
    net_flush();
    return net_loan_ops->poll(false) || pumped;
}

void net_bytes(uint64_t *ret_received, uint64_t *ret_sent)
{
    chan_bytes(ret_received, ret_sent);
}

void net_poll_spinning(void)
{
    uint64_t now = time_monotonic_ns();
    if (now - last_spin_pump_ns < SPIN_PUMP_NS)
        return;
    last_spin_pump_ns = now;
    net_pump_now();
}

ssize_t channel_read(unsigned channel, void *buf, size_t size)
{
    struct chan *c = console[channel].chan;
    if (!c)
        return 0;
    uint32_t events = chan_events(c, NULL);
    uint32_t n = (uint32_t)MIN((size_t)chan_rx_used(c), size);
    if (n == 0)
        return (events & (CHAN_EV_EOF | CHAN_EV_ERROR)) ? 0 : -EAGAIN;
    chan_rx_copy_kernel(c, buf, 0, n);
    chan_rx_consume(c, n);
    return (ssize_t)n;
}

ssize_t channel_write(unsigned channel, const void *buf, size_t size)
{
    struct chan *c = console[channel].chan;
    if (!c)
        return -EIO;
    if (chan_events(c, NULL) & CHAN_EV_TX_CLOSED)
        return -EPIPE;
    uint32_t reserved = console[channel].reserved;
    uint32_t wanted = (uint32_t)MIN(size, (size_t)(chan_ring_size() - reserved));
    uint32_t room = chan_tx_room(c, wanted + reserved);
    if (room <= reserved) {
        chan_want_room(c, true);
        room = chan_tx_room(c, wanted + reserved);
        if (room <= reserved)
            return -EAGAIN;
    }
    chan_want_room(c, false);
    uint32_t n = MIN(room - reserved, wanted);
    chan_tx_copy_kernel(c, buf, 0, n);
    chan_tx_commit(c, n);
    return (ssize_t)n;
}

bool channel_reserve(unsigned channel, size_t size)
{
    struct chan *c = console[channel].chan;
    uint32_t reserved = console[channel].reserved;
    if (!c || (chan_events(c, NULL) & CHAN_EV_TX_CLOSED) || size > chan_ring_size() / 4 - reserved)
        return false;
    uint32_t all = reserved + (uint32_t)size;
    if (chan_tx_room(c, all) < all)
        return false;
    console[channel].reserved = all;
    return true;
}

void channel_unreserve(unsigned channel, size_t size)
{
    ASSERT(size <= console[channel].reserved);
    console[channel].reserved -= (uint32_t)size;
}

int channel_write_reserved(unsigned channel, const void *buf, size_t size)
{
    struct chan *c = console[channel].chan;
    channel_unreserve(channel, size);
    if (chan_events(c, NULL) & CHAN_EV_TX_CLOSED)
        return -EPIPE;
    uint32_t n = MIN(chan_tx_room(c, (uint32_t)size), (uint32_t)size);
    chan_tx_copy_kernel(c, buf, 0, n);
    chan_tx_commit(c, n);
    return n == size ? 0 : -EIO; /* the host has taken back room that there was */
}

bool channel_take_winsize(unsigned channel)
{
    struct chan *c = console[channel].chan;
    if (!c || !(chan_events(c, NULL) & CHAN_EV_WINSIZE))
        return false;
    chan_take_events(c, CHAN_EV_WINSIZE);
    return true;
}

struct wait_queue *channel_wait_queue(unsigned channel)
{
    return &console[channel].wait;
}

uint32_t channel_poll(unsigned channel)
{
    struct chan *c = console[channel].chan;
    if (!c)
        return EPOLLHUP;
    uint32_t result = 0;
    uint32_t events = chan_events(c, NULL);
    if (chan_rx_used(c) > 0)
        result |= EPOLLIN | EPOLLRDNORM;
    if (events & CHAN_EV_EOF)
        result |= EPOLLIN | EPOLLRDNORM | EPOLLHUP;
    if (events & CHAN_EV_TX_CLOSED)
        result |= EPOLLERR;
    if (events & CHAN_EV_WINSIZE)
        result |= EPOLLPRI;
    if (chan_tx_room(c, chan_ring_size() / 2) >= chan_ring_size() / 2) {
        result |= EPOLLOUT | EPOLLWRNORM;
    } else {
        chan_want_room(c, true);
        if (chan_tx_room(c, chan_ring_size() / 2) >= chan_ring_size() / 2)
            result |= EPOLLOUT | EPOLLWRNORM;
    }
    return result;
}

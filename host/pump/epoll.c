/* The pump on epoll: level-triggered readiness, then the system calls one by one. For hosts that forbid io_uring. */
#include "host/clock.h"
#include "host/error.h"
#include "host/pump/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define WAKE_TAG UINT32_MAX

struct epoll {
    int fd;
    bool no_pwait2;
    struct epoll_event events[EVENTS_MAX];
};

static void interest_set(struct pump *p, struct chan *c, uint32_t interest)
{
    struct epoll *e = p->backend_state;
    struct epoll_event event = {.events = interest, .data.u32 = c->number};
    int op = !c->armed ? EPOLL_CTL_ADD : interest ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

    c->interest = interest;
    if (c->armed == interest)
        return;
    p->stats.syscalls++;
    if (epoll_ctl(e->fd, op, c->fd, &event) < 0 && errno == EPERM)
        c->always_ready = true;
    c->armed = interest;
}

static void epoll_rx_arm(struct pump *p, struct chan *c)
{
    if (c->kind == CHAN_LISTENER) /* ours alone, so this flag is too */
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (!c->always_ready) {
        c->rx_armed = true;
        interest_set(p, c, c->interest | EPOLLIN);
    }
    if (c->always_ready) {
        c->rx_armed = false; /* looked at again at the next park */
        c->armed = c->interest = 0;
        chan_ready_in(p, c);
        chan_todo(p, c);
    }
}

static void epoll_rx_disarm(struct pump *p, struct chan *c)
{
    c->rx_armed = false;
    interest_set(p, c, c->interest & ~(uint32_t)EPOLLIN);
}

static void epoll_poll_out(struct pump *p, struct chan *c)
{
    c->tx_poll = true;
    interest_set(p, c, c->interest | EPOLLOUT);
    if (c->always_ready)
        c->tx_poll = false;
}

static bool epoll_detach(struct pump *p, struct chan *c)
{
    interest_set(p, c, 0);
    c->rx_armed = c->tx_poll = false;
    return true;
}

static void handle(struct pump *p, const struct epoll_event *event)
{
    struct chan *c;
    uint64_t count;

    if (event->data.u32 == WAKE_TAG) {
        if (read(p->wake_fd, &count, sizeof(count)) < 0)
            return;
        return;
    }
    c = &p->chans[event->data.u32];
    if (c->kind == CHAN_FREE || !c->armed)
        return;
    if ((event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) && (c->armed & EPOLLOUT)) {
        interest_set(p, c, c->interest & ~(uint32_t)EPOLLOUT);
        chan_ready_out(p, c);
    }
    if (c->kind == CHAN_FREE || !(c->armed & EPOLLIN))
        return;
    if (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        chan_ready_in(p, c);
    if (!c->rx_on && c->kind != CHAN_FREE)
        epoll_rx_disarm(p, c);
}

static int wait_events(struct epoll *e, uint64_t deadline_ns)
{
    uint64_t now = deadline_ns && deadline_ns != PARK_FOREVER ? clock_monotonic_ns() : 0;
    uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / 1000000000ULL), .tv_nsec = (long)(left % 1000000000ULL)};
    int n, ms;

    if (!e->no_pwait2) {
        n = epoll_pwait2(e->fd, e->events, EVENTS_MAX, deadline_ns == PARK_FOREVER ? NULL : &timeout, NULL);
        if (n >= 0 || errno != ENOSYS)
            return n;
        e->no_pwait2 = true;
    }
    ms = deadline_ns == PARK_FOREVER ? -1 : left > 1000000000000ULL ? 1000000000 : (int)((left + 999999) / 1000000);
    return epoll_wait(e->fd, e->events, EVENTS_MAX, ms);
}

static int spin(struct pump *p, struct epoll *e, uint64_t deadline_ns)
{
    struct spin spin;
    int n;

    if (deadline_ns == 0 || !pump_may_spin(p))
        return 0;
    spin_begin(&spin);
    do
        n = epoll_wait(e->fd, e->events, EVENTS_MAX, 0);
    while (n == 0 && spin_goes_on(p, &spin));
    spin_end(p, &spin, n > 0);
    return n;
}

static void epoll_turn(struct pump *p, uint64_t deadline_ns)
{
    struct epoll *e = p->backend_state;
    uint64_t start = 0;
    int n;

    pthread_mutex_unlock(&p->lock);
    if (deadline_ns)
        start = clock_monotonic_ns();
    n = spin(p, e, deadline_ns);
    if (n <= 0)
        n = wait_events(e, deadline_ns);
    if (deadline_ns && n > 0)
        pump_waited(p, clock_monotonic_ns() - start);
    pthread_mutex_lock(&p->lock);
    p->stats.syscalls++;
    p->stats.waits += deadline_ns != 0;
    for (int i = 0; i < n; i++)
        handle(p, &e->events[i]);
}

static int epoll_init(struct pump *p, char **ret_error)
{
    struct epoll *e = calloc(1, sizeof(*e));
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = WAKE_TAG};

    if (!e)
        return -ENOMEM;
    p->backend_state = e;
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->fd < 0 || epoll_ctl(e->fd, EPOLL_CTL_ADD, p->wake_fd, &event) < 0)
        return fail(ret_error, errno, "making an epoll descriptor failed: %s", strerror(errno));
    return 0;
}

static void epoll_deinit(struct pump *p)
{
    struct epoll *e = p->backend_state;

    close(e->fd);
    free(e);
    p->backend_state = NULL;
}

const struct pump_backend pump_epoll = {
    .name = "epoll",
    .init = epoll_init,
    .deinit = epoll_deinit,
    .rx_arm = epoll_rx_arm,
    .rx_disarm = epoll_rx_disarm,
    .tx = chan_send_now,
    .poll_out = epoll_poll_out,
    .detach = epoll_detach,
    .turn = epoll_turn,
};

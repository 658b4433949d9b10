/*
 * The pump on epoll: level-triggered readiness, then the system calls one by one. For hosts that forbid io_uring, and
 * for members.
 */
#include "host/clock.h"
#include "host/error.h"
#include "host/pump/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define WAKE_TAG UINT32_MAX
#define SLACK_NS 50000 /* a sleep may take this much longer: prctl(2), PR_SET_TIMERSLACK */

struct epoll {
    int fd;
    bool no_pwait2;
    unsigned armed_count;
    const sigset_t *wait_mask; /* in a member: while it waits, so that others can wake it */
    sigset_t mask;
    struct epoll_event events[EVENTS_MAX];
};

static void to_arm_set(struct pump *p, struct chan *c, bool on)
{
    if (on == c->on_arm)
        return;
    c->on_arm = on;
    if (on)
        TAILQ_INSERT_TAIL(&p->to_arm, c, arm_link);
    else
        TAILQ_REMOVE(&p->to_arm, c, arm_link);
}

static void interest_tell(struct pump *p, struct chan *c)
{
    struct epoll *e = p->backend_state;
    struct epoll_event event = {.events = c->interest, .data.u32 = c->number};
    int op = !c->armed ? EPOLL_CTL_ADD : c->interest ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

    to_arm_set(p, c, false);
    if (c->armed == c->interest)
        return;
    p->stats.syscalls++;
    e->armed_count += !c->armed;
    e->armed_count -= !c->interest;
    if (epoll_ctl(e->fd, op, c->fd, &event) < 0 && errno == EPERM)
        c->always_ready = true;
    c->armed = c->interest;
}

static void interest_set(struct pump *p, struct chan *c, uint32_t interest)
{
    c->interest = interest;
    if (p->member && !p->waiting)
        to_arm_set(p, c, c->armed != interest);
    else
        interest_tell(p, c);
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
    c->interest = 0;
    interest_tell(p, c);
    c->rx_armed = c->tx_poll = false;
    return true;
}

/* In a member: look for input where epoll has not been told to, and tell it where there is none. */
static void receive_unarmed(struct pump *p)
{
    struct chan *c, *next;

    for (c = TAILQ_FIRST(&p->to_arm); c; c = next) {
        uint32_t head = c->rx_head;

        next = TAILQ_NEXT(c, arm_link);
        if (c->kind == CHAN_STREAM && c->rx_on && (c->interest & EPOLLIN) && !(c->armed & EPOLLIN))
            chan_receive_now(p, c);
        if (!c->rx_on)
            epoll_rx_disarm(p, c);
        else if (c->rx_head == head)
            interest_tell(p, c);
    }
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
    if (c->kind == CHAN_FREE || !c->interest)
        return;
    if ((event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) && (c->interest & EPOLLOUT)) {
        interest_set(p, c, c->interest & ~(uint32_t)EPOLLOUT);
        chan_ready_out(p, c);
    }
    if (c->kind == CHAN_FREE || !(c->interest & EPOLLIN))
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
        n = epoll_pwait2(e->fd, e->events, EVENTS_MAX, deadline_ns == PARK_FOREVER ? NULL : &timeout, e->wait_mask);
        if (n >= 0 || errno != ENOSYS)
            return n;
        e->no_pwait2 = true;
    }
    ms = deadline_ns == PARK_FOREVER ? -1 : left > 1000000000000ULL ? 1000000000 : (int)((left + 999999) / 1000000);
    return epoll_pwait(e->fd, e->events, EVENTS_MAX, ms, e->wait_mask);
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

/* In a member. False: there is nothing to wait for, or to look at. */
static bool about_to_wait(struct pump *p, uint64_t *deadline_ns)
{
    const struct epoll *e = p->backend_state;
    struct chan *c;

    receive_unarmed(p);
    if (ready_pending(p))
        *deadline_ns = 0; /* that is news */
    if (*deadline_ns == 0)
        return e->armed_count > 0;
    while ((c = TAILQ_FIRST(&p->to_arm)))
        interest_tell(p, c);
    p->waiting = true;
    return true;
}

/* What has come within `ns`, or already if that is `count`. A kick ends it early. */
static int gather(struct pump *p, struct epoll *e, int count, uint64_t ns)
{
    struct pollfd kick = {.fd = p->wake_fd, .events = POLLIN};
    struct timespec timeout = {.tv_nsec = (long)(ns - SLACK_NS)};
    int n = epoll_wait(e->fd, e->events, EVENTS_MAX, 0);

    if (n >= count || ppoll(&kick, 1, &timeout, e->wait_mask) != 0)
        return n;
    return epoll_wait(e->fd, e->events, EVENTS_MAX, 0);
}

static void epoll_turn(struct pump *p, uint64_t deadline_ns)
{
    struct epoll *e = p->backend_state;
    uint64_t start = 0, gather_ns = 0;
    uint32_t count = 1;
    bool gathers;
    int n;

    if (p->member && !about_to_wait(p, &deadline_ns))
        return;
    if (deadline_ns)
        count = pump_coalesce(p, &gather_ns);
    pthread_mutex_unlock(&p->lock);
    if (deadline_ns)
        start = clock_monotonic_ns();
    gathers = gather_ns > SLACK_NS && deadline_ns > start + gather_ns;
    n = gathers ? gather(p, e, (int)count, gather_ns) : spin(p, e, deadline_ns);
    if (n <= 0 && !(gathers && pump_is_kicked(p))) /* the kick may have been taken */
        n = wait_events(e, deadline_ns);
    if (deadline_ns && n > 0)
        pump_waited(p, clock_monotonic_ns() - start);
    pthread_mutex_lock(&p->lock);
    p->waiting = false;
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
    if (p->member) {
        pthread_sigmask(SIG_BLOCK, NULL, &e->mask);
        sigdelset(&e->mask, PUMP_WAKE_SIGNAL);
        e->wait_mask = &e->mask;
    }
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

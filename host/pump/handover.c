/*
 * Descriptors between a member's pump and the init process's: the one asks for a listening socket (WANT), and gives
 * connections away (GIVE). Messages of all members come through one socket, made before any of them; the init process
 * takes them in a thread, or whoever needs what is on its way takes them first.
 *
 * A message counts only while the number that it is about is still the sender's: what a member sent before it was
 * killed is taken before its numbers are free.
 */
#include "host/pump/internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum handover_op { HANDOVER_WANT, HANDOVER_GIVE };

/* WANT: op, member and channel; the descriptor is where the answer goes. The answer and GIVE: the rest as well. */
struct handover_message {
    uint32_t op, member, channel;
    uint32_t rx_head, rx_base, tx_tail, rx_extent, tx_extent, backlog;
    int family, rx_error;
    uint16_t shown, real;
    bool port_mapped, rx_on, rx_full, rx_ended, tx_failed, closing, reset, shut_write_wanted, shut_write_done;
};

static int message_send(int socket, const struct handover_message *message, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {(void *)message, sizeof(*message)};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);
    ssize_t n;

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    do
        n = sendmsg(socket, &header, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* 1, and a message with its descriptor, -1 if this process can have no more; 0: nobody can send; or negative errno. */
static int message_receive(int socket, int flags, struct handover_message *ret_message, int *ret_fd)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {ret_message, sizeof(*ret_message)};
    struct msghdr header;
    const struct cmsghdr *c;
    ssize_t n;

    for (;;) {
        header = (struct msghdr){
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        n = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return 0;
        if (n == sizeof(*ret_message))
            break;
    }
    *ret_fd = -1;
    c = CMSG_FIRSTHDR(&header);
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fd, CMSG_DATA(c), sizeof(*ret_fd));
    return 1;
}

/* ---- the init process ---- */

static void state_save(const struct chan *c, struct handover_message *m)
{
    m->rx_head = c->rx_head;
    m->rx_base = c->rx_base;
    m->tx_tail = c->tx_tail;
    m->rx_extent = c->rx_extent;
    m->tx_extent = c->tx_extent;
    m->backlog = c->backlog;
    m->family = c->family;
    m->rx_error = c->rx_error;
    m->shown = c->shown;
    m->real = c->real;
    m->port_mapped = c->port_mapped;
    m->rx_on = c->rx_on;
    m->rx_full = c->rx_full;
    m->rx_ended = c->rx_ended;
    m->tx_failed = c->tx_failed;
    m->closing = c->closing;
    m->reset = c->reset;
    m->shut_write_wanted = c->shut_write_wanted;
    m->shut_write_done = c->shut_write_done;
}

static void state_restore(struct chan *c, const struct handover_message *m)
{
    c->rx_head = m->rx_head;
    c->rx_base = m->rx_base;
    c->tx_tail = m->tx_tail;
    c->rx_extent = m->rx_extent;
    c->tx_extent = m->tx_extent;
    c->family = m->family;
    c->rx_error = m->rx_error;
    c->shown = m->shown;
    c->real = m->real;
    c->port_mapped = m->port_mapped;
    c->rx_on = m->rx_on;
    c->rx_full = m->rx_full;
    c->rx_ended = m->rx_ended;
    c->tx_failed = m->tx_failed;
    c->closing = m->closing;
    c->reset = m->reset;
    c->shut_write_wanted = m->shut_write_wanted;
    c->shut_write_done = m->shut_write_done;
}

static void wanted(struct pump *p, const struct handover_message *m, int answer_to)
{
    struct handover_message answer = {.channel = m->channel};
    const struct chan *c = &p->chans[m->channel];

    pthread_mutex_lock(&p->lock);
    if (c->kind == CHAN_LISTENER && c->demand && !c->closing) {
        state_save(c, &answer);
        message_send(answer_to, &answer, c->fd);
    }
    pthread_mutex_unlock(&p->lock);
    close(answer_to); /* all the answer there is, otherwise */
}

static void given(struct pump *p, const struct handover_message *m, int fd)
{
    struct chan *c;

    pthread_mutex_lock(&p->lock);
    c = pump_chan(p, m->channel);
    if (number_is_of(p, m->channel, m->member) && c->kind == CHAN_FREE) {
        chan_begin(c, CHAN_STREAM, fd);
        state_restore(c, m);
        number_become(p, m->channel, 0);
        if (!c->closing)
            ready_push_new(p, c);
        if (fd < 0) /* cannot be had: the other end sees it closed */
            chan_rx_end(p, c, ECONNRESET);
        chan_todo(p, c);
        fd = -1;
    }
    pthread_mutex_unlock(&p->lock);
    if (fd >= 0)
        close(fd);
    pump_wake(p);
}

/* False: this socket has ended. */
static bool take(struct pump *p)
{
    struct handover_message m;
    int fd, ret;

    pthread_mutex_lock(&p->handover.lock);
    while ((ret = message_receive(p->handover.receiver, MSG_DONTWAIT, &m, &fd)) > 0) {
        if (m.op == HANDOVER_WANT && fd >= 0)
            wanted(p, &m, fd);
        else if (m.op == HANDOVER_GIVE)
            given(p, &m, fd);
    }
    pthread_mutex_unlock(&p->handover.lock);
    return ret == -EAGAIN;
}

void handover_take(struct pump *p)
{
    if (atomic_load(&p->numbers->served))
        (void)take(p);
}

void handover_take_given(struct pump *p)
{
    uint32_t given = atomic_load(&p->numbers->given);

    if (given == p->handover.given_seen)
        return;
    p->handover.given_seen = given;
    handover_take(p);
}

static void *serve_main(void *arg)
{
    struct pump *p = arg;
    struct pollfd polled = {.fd = p->handover.receiver, .events = POLLIN};

    prctl(PR_SET_NAME, "cofre-handover");
    while (poll(&polled, 1, -1) < 0 || take(p))
        ;
    return NULL;
}

int handover_serve(struct pump *p)
{
    sigset_t all, before;
    int ret = 0;

    if (atomic_exchange(&p->numbers->served, true))
        return 0;
    sigfillset(&all); /* signals are for vCPU threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ret = pthread_create(&p->handover.thread, NULL, serve_main, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ret != 0)
        atomic_store(&p->numbers->served, false);
    return -ret;
}

int handover_new(struct pump *p)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    p->handover.receiver = ends[0];
    p->handover.sender = ends[1];
    pthread_mutex_init(&p->handover.lock, NULL);
    return 0;
}

void handover_free(struct pump *p)
{
    shutdown(p->handover.receiver, SHUT_RDWR);
    if (atomic_load(&p->numbers->served))
        pthread_join(p->handover.thread, NULL);
    close(p->handover.receiver);
    close(p->handover.sender);
    pthread_mutex_destroy(&p->handover.lock);
}

/* ---- members ---- */

int handover_want(struct pump *p, uint32_t number, struct chan *c)
{
    struct handover_message m = {.op = HANDOVER_WANT, .member = p->member, .channel = number};
    int ends[2], fd, ret;

    if (!atomic_load(&p->numbers->served))
        return -EINVAL;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    ret = message_send(p->handover.sender, &m, ends[1]);
    close(ends[1]);
    if (ret == 0)
        ret = message_receive(ends[0], 0, &m, &fd);
    close(ends[0]);
    if (ret <= 0 || fd < 0)
        return ret < 0 ? ret : ret == 0 ? -EBADF : -EMFILE;
    chan_open(p, c, CHAN_LISTENER, fd);
    c->family = m.family;
    c->port_mapped = m.port_mapped;
    c->shown = m.shown;
    c->real = m.real;
    c->backlog = m.backlog;
    c->demand = c->rx_on = true;
    return 0;
}

int handover_give(struct pump *p, struct chan *c)
{
    struct handover_message m = {.op = HANDOVER_GIVE, .member = p->member, .channel = c->number};
    int fd = c->fd, ret;

    p->backend->detach(p, c);
    __atomic_store_n(&c->shared->dirty_queued, 0, __ATOMIC_SEQ_CST); /* our dirty queue is empty */
    __atomic_store_n(&c->shared->ready_queued, 0, __ATOMIC_SEQ_CST);
    state_save(c, &m);
    ret = message_send(p->handover.sender, &m, fd);
    if (ret < 0) {
        chan_todo(p, c);
        return ret;
    }
    atomic_fetch_add(&p->numbers->given, 1);
    chan_forget(p, c);
    close(fd);
    return 0;
}

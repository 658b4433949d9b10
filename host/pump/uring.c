/*
 * The pump on io_uring. A park is one io_uring_enter: sends, re-arms, and the wait.
 *
 * - Streams are received by a multishot recv into shared buffers, copied from there into the rx ring; a stream that
 * fills many buffers in a row changes to plain recv straight into its ring, and back when little comes.
 * - Sends are inline and need no completion when all went out (CQE_SKIP_SUCCESS): right after the submission, whatever
 *   has not reported a failure has been sent. What would block is sent again in the background.
 * - While much arrives, the wait lasts a minimum time (Linux 6.12), so that one exit serves many clients.
 * The ring itself is handled here, without liburing: it is small, and old versions lack the minimum wait.
 */
#include "host/clock.h"
#include "host/error.h"
#include "host/pump/internal.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SQ_ENTRIES 1024
#define CQ_ENTRIES 8192
#define BUFFER_COUNT 256
#define BUFFER_SIZE 2048
#define BUFFER_GROUP 0
#define BULK_AFTER 8  /* full buffers in a row: plain recv */
#define SMALL_AFTER 2 /* small plain recvs in a row: multishot again */

#ifndef IORING_FEAT_MIN_TIMEOUT
#define IORING_FEAT_MIN_TIMEOUT (1U << 15)
#endif

enum op { OP_RECV, OP_SEND, OP_SEND_LATER, OP_POLL_IN, OP_POLL_OUT, OP_ACCEPT, OP_CANCEL, OP_WAKE };

struct wait_argument { /* struct io_uring_getevents_arg of Linux 6.12 */
    uint64_t sigmask;
    uint32_t sigmask_sz, min_wait_usec;
    uint64_t ts;
};

struct uring {
    int fd;
    void *rings;
    size_t rings_size;
    unsigned *sq_head, *sq_tail, *sq_flags;
    unsigned sq_next; /* our tail, ahead of the published one */
    struct io_uring_sqe *sqes;
    unsigned *cq_head, *cq_tail;
    struct io_uring_cqe *cqes;
    struct io_uring_buf_ring *buffers;
    uint8_t *buffer_bytes;
    uint16_t buffer_tail;
    bool min_wait;
    bool wake_armed;
    bool urgent;            /* entries that must not wait for the next park */
    struct chan_list batch; /* inline sends not known to have succeeded */
};

static unsigned load_acquire(const unsigned *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static unsigned unsubmitted(const struct uring *u)
{
    return u->sq_next - load_acquire(u->sq_head);
}

static int enter(struct pump *p, unsigned wait_count, unsigned flags, const struct wait_argument *argument)
{
    struct uring *u = p->backend_state;

    __atomic_store_n(u->sq_tail, u->sq_next, __ATOMIC_RELEASE);
    p->stats.syscalls++;
    return (int)syscall(SYS_io_uring_enter, u->fd, unsubmitted(u), wait_count,
                        flags | (argument ? IORING_ENTER_EXT_ARG : 0), argument, argument ? sizeof(*argument) : 0);
}

static struct io_uring_sqe *sqe_new(struct pump *p, enum op op, struct chan *c, uint8_t opcode)
{
    struct uring *u = p->backend_state;
    struct io_uring_sqe *sqe;

    while (unsubmitted(u) >= SQ_ENTRIES)
        if (enter(p, 0, 0, NULL) < 0 && errno != EINTR)
            enter(p, 0, IORING_ENTER_GETEVENTS, NULL); /* completions are in the way */
    sqe = &u->sqes[u->sq_next++ & (SQ_ENTRIES - 1)];
    memset(sqe, 0, sizeof(*sqe));
    sqe->opcode = opcode;
    sqe->fd = c ? c->fd : -1;
    sqe->user_data = (uint64_t)op << 32 | (c ? c->number : 0);
    return sqe;
}

static void arm_wake(struct pump *p)
{
    struct uring *u = p->backend_state;
    struct io_uring_sqe *sqe = sqe_new(p, OP_WAKE, NULL, IORING_OP_POLL_ADD);

    sqe->fd = p->wake_fd;
    sqe->poll32_events = POLLIN;
    sqe->len = IORING_POLL_ADD_MULTI;
    u->wake_armed = true;
}

static void arm_poll(struct pump *p, struct chan *c, enum op op, unsigned events)
{
    sqe_new(p, op, c, IORING_OP_POLL_ADD)->poll32_events = events;
    c->inflight++;
}

static void arm_recv(struct pump *p, struct chan *c)
{
    struct io_uring_sqe *sqe;
    struct iovec iov[2];
    int count;

    if (!c->recv_plain) {
        sqe = sqe_new(p, OP_RECV, c, IORING_OP_RECV);
        sqe->ioprio = IORING_RECV_MULTISHOT;
        sqe->flags = IOSQE_BUFFER_SELECT;
        sqe->buf_group = BUFFER_GROUP;
    } else {
        if (chan_rx_room(p, c, iov, &count) == 0)
            return;
        sqe = sqe_new(p, OP_RECV, c, IORING_OP_RECV);
        sqe->addr = (uint64_t)(uintptr_t)iov[0].iov_base;
        sqe->len = (uint32_t)iov[0].iov_len;
    }
    c->rx_armed = true;
    c->inflight++;
}

static void uring_rx_arm(struct pump *p, struct chan *c)
{
    struct io_uring_sqe *sqe;

    if (c->kind == CHAN_STREAM) {
        arm_recv(p, c);
        return;
    }
    c->rx_armed = true;
    if (c->kind != CHAN_LISTENER || c->rx_polls) {
        arm_poll(p, c, OP_POLL_IN, POLLIN);
        return;
    }
    sqe = sqe_new(p, OP_ACCEPT, c, IORING_OP_ACCEPT);
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->accept_flags = SOCK_CLOEXEC;
    c->inflight++;
}

static enum op rx_op(const struct chan *c)
{
    return c->kind == CHAN_STREAM ? OP_RECV : c->kind == CHAN_LISTENER && !c->rx_polls ? OP_ACCEPT : OP_POLL_IN;
}

static void uring_rx_disarm(struct pump *p, struct chan *c)
{
    struct uring *u = p->backend_state;
    struct io_uring_sqe *sqe;

    if (!c->rx_armed || c->rx_cancelling)
        return;
    c->rx_cancelling = true;
    sqe = sqe_new(p, OP_CANCEL, NULL, IORING_OP_ASYNC_CANCEL);
    sqe->addr = (uint64_t)rx_op(c) << 32 | c->number;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    u->urgent = true;
}

static bool uring_detach(struct pump *p, struct chan *c)
{
    struct uring *u = p->backend_state;
    struct io_uring_sqe *sqe;

    if (c->inflight == 0 && !c->send_inline)
        return true;
    if (c->inflight > 0 && !c->cancelling) {
        c->cancelling = true;
        sqe = sqe_new(p, OP_CANCEL, c, IORING_OP_ASYNC_CANCEL);
        sqe->cancel_flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
        sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
        u->urgent = true;
    }
    return false;
}

static void uring_poll_out(struct pump *p, struct chan *c)
{
    struct uring *u = p->backend_state;

    c->tx_poll = true;
    arm_poll(p, c, OP_POLL_OUT, POLLOUT);
    u->urgent = true;
}

static void uring_tx(struct pump *p, struct chan *c)
{
    struct uring *u = p->backend_state;
    struct io_uring_sqe *sqe;
    int count;

    c->send_size = chan_tx_bytes(p, c, c->iov, &count);
    if (count == 1) {
        sqe = sqe_new(p, OP_SEND, c, IORING_OP_SEND);
        sqe->addr = (uint64_t)(uintptr_t)c->iov[0].iov_base;
        sqe->len = (uint32_t)c->iov[0].iov_len;
    } else {
        c->message = (struct msghdr){.msg_iov = c->iov, .msg_iovlen = 2};
        sqe = sqe_new(p, OP_SEND, c, IORING_OP_SENDMSG);
        sqe->addr = (uint64_t)(uintptr_t)&c->message;
        sqe->len = 1;
    }
    sqe->msg_flags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    c->tx_busy = c->send_inline = true;
    TAILQ_INSERT_TAIL(&u->batch, c, batch_link);
}

/* The socket's buffer is full: wait for room in the background, then send what fits. */
static void send_later(struct pump *p, struct chan *c)
{
    struct uring *u = p->backend_state;
    struct io_uring_sqe *sqe;
    int count;

    if (chan_tx_bytes(p, c, c->iov, &count) == 0)
        return;
    sqe = sqe_new(p, OP_SEND_LATER, c, IORING_OP_SEND);
    sqe->addr = (uint64_t)(uintptr_t)c->iov[0].iov_base;
    sqe->len = (uint32_t)c->iov[0].iov_len;
    sqe->msg_flags = MSG_NOSIGNAL;
    sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
    c->tx_busy = true;
    c->inflight++;
    u->urgent = true;
}

static void buffer_return(struct uring *u, uint16_t id)
{
    struct io_uring_buf *buffer = &u->buffers->bufs[u->buffer_tail & (BUFFER_COUNT - 1)];

    buffer->addr = (uint64_t)(uintptr_t)(u->buffer_bytes + (size_t)id * BUFFER_SIZE);
    buffer->len = BUFFER_SIZE;
    buffer->bid = id;
    __atomic_store_n(&u->buffers->tail, ++u->buffer_tail, __ATOMIC_RELEASE);
}

/* Choose between multishot and plain by what comes. */
static void score_recv(struct pump *p, struct chan *c, uint32_t size)
{
    if (!c->recv_plain) {
        c->bulk_score = size == BUFFER_SIZE ? c->bulk_score + 1 : 0;
        if (c->bulk_score >= BULK_AFTER)
            uring_rx_disarm(p, c); /* becomes plain when it has ended */
    } else {
        c->bulk_score = size < 2 * BUFFER_SIZE ? c->bulk_score + 1 : 0;
        if (c->bulk_score >= SMALL_AFTER) {
            c->recv_plain = false;
            c->bulk_score = 0;
        }
    }
}

static void recv_done(struct pump *p, struct chan *c, int res, uint32_t flags)
{
    struct uring *u = p->backend_state;

    if (!(flags & IORING_CQE_F_MORE)) {
        c->inflight--;
        c->rx_armed = c->rx_cancelling = false;
        chan_todo(p, c);
    }
    if (flags & IORING_CQE_F_BUFFER) {
        uint16_t id = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);

        if (res > 0)
            chan_rx_bytes(p, c, u->buffer_bytes + (size_t)id * BUFFER_SIZE, (uint32_t)res);
        buffer_return(u, id);
    } else if (res > 0 && c->closing) {
        c->reset = true;
    } else if (res > 0) {
        chan_rx_advance(p, c, (uint32_t)res);
    }
    if (res > 0) {
        score_recv(p, c, (uint32_t)res);
        if (!c->rx_armed && !c->recv_plain && c->bulk_score >= BULK_AFTER) {
            c->recv_plain = true;
            c->bulk_score = 0;
        }
    } else if (res == 0) {
        chan_rx_end(p, c, 0);
    } else if (res == -ECANCELED) {
        c->recv_plain = c->bulk_score >= BULK_AFTER;
        c->bulk_score = 0;
    } else if (res != -ENOBUFS && res != -EAGAIN && res != -EINTR) {
        chan_rx_end(p, c, -res);
    }
}

static void send_failed(struct pump *p, struct chan *c, int res)
{
    c->tx_busy = false;
    if (res > 0)
        chan_tx_advance(p, c, (uint32_t)res < c->send_size ? (uint32_t)res : c->send_size);
    if (res > 0 || res == -EAGAIN || res == -EINTR)
        send_later(p, c);
    else
        chan_tx_fail(p, c, -res);
    chan_todo(p, c);
}

static void send_later_done(struct pump *p, struct chan *c, int res)
{
    c->inflight--;
    c->tx_busy = false;
    if (res > 0)
        chan_tx_advance(p, c, (uint32_t)res);
    else if (res < 0 && res != -EAGAIN && res != -EINTR && res != -ECANCELED)
        chan_tx_fail(p, c, -res);
    chan_todo(p, c);
}

static void accept_done(struct pump *p, struct chan *c, int res, uint32_t flags)
{
    if (!(flags & IORING_CQE_F_MORE)) {
        c->inflight--;
        c->rx_armed = c->rx_cancelling = false;
    }
    if (res >= 0 && c->closing)
        close(res);
    else if (res >= 0)
        listener_accepted(p, c, res);
    if (res == -EMFILE || res == -ENFILE || res == -ENOBUFS || res == -ENOMEM)
        return; /* tried again when something else makes us look */
    chan_todo(p, c);
}

static void poll_done(struct pump *p, struct chan *c, enum op op, int res)
{
    c->inflight--;
    if (op == OP_POLL_OUT) {
        chan_ready_out(p, c);
        return;
    }
    c->rx_armed = c->rx_cancelling = false;
    if (!c->closing && !(c->kind == CHAN_LISTENER && (res < 0 || !c->demand)))
        chan_ready_in(p, c);
    chan_todo(p, c);
}

static void completion(struct pump *p, const struct io_uring_cqe *cqe)
{
    struct uring *u = p->backend_state;
    enum op op = (enum op)(cqe->user_data >> 32);
    struct chan *c = &p->chans[(uint32_t)cqe->user_data];

    switch (op) {
    case OP_RECV:
        recv_done(p, c, cqe->res, cqe->flags);
        break;
    case OP_SEND:
        c->send_inline = false;
        send_failed(p, c, cqe->res);
        break;
    case OP_SEND_LATER:
        send_later_done(p, c, cqe->res);
        break;
    case OP_ACCEPT:
        accept_done(p, c, cqe->res, cqe->flags);
        break;
    case OP_POLL_IN:
    case OP_POLL_OUT:
        poll_done(p, c, op, cqe->res);
        break;
    case OP_WAKE:
        if (!(cqe->flags & IORING_CQE_F_MORE))
            u->wake_armed = false;
        break;
    case OP_CANCEL:
        break;
    }
}

static void batch_settle(struct pump *p)
{
    struct uring *u = p->backend_state;
    struct chan *c;

    while ((c = TAILQ_FIRST(&u->batch))) {
        TAILQ_REMOVE(&u->batch, c, batch_link);
        if (!c->send_inline)
            continue; /* it reported */
        c->send_inline = c->tx_busy = false;
        chan_tx_advance(p, c, c->send_size);
        if (c->shut_write_wanted || c->closing)
            chan_todo(p, c);
    }
}

static void prefetch_completion(const struct pump *p, const struct uring *u, unsigned at, unsigned tail)
{
    const struct io_uring_cqe *cqe = &u->cqes[at & (CQ_ENTRIES - 1)];
    uint32_t number = (uint32_t)cqe->user_data;

    if ((int)(tail - at) <= 0)
        return;
    __builtin_prefetch(&p->chans[number]);
    __builtin_prefetch((const uint8_t *)&p->chans[number] + 64);
    __builtin_prefetch(&p->channels[number]);
    if (cqe->flags & IORING_CQE_F_BUFFER)
        __builtin_prefetch(u->buffer_bytes + (size_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT) * BUFFER_SIZE);
}

/* Handle what has completed. Everything made so far has been submitted. */
static void reap(struct pump *p)
{
    struct uring *u = p->backend_state;
    unsigned head = *u->cq_head, tail;

    for (;;) {
        tail = load_acquire(u->cq_tail);
        while (head != tail) {
            prefetch_completion(p, u, head + 2, tail);
            completion(p, &u->cqes[head++ & (CQ_ENTRIES - 1)]);
            __atomic_store_n(u->cq_head, head, __ATOMIC_RELEASE);
        }
        if (!(load_acquire(u->sq_flags) & IORING_SQ_CQ_OVERFLOW))
            break;
        enter(p, 0, IORING_ENTER_GETEVENTS, NULL);
    }
    batch_settle(p);
}

/* Submit all, without waiting, and handle what has completed. */
static void flush(struct pump *p)
{
    struct uring *u = p->backend_state;
    unsigned end;

    u->urgent = false;
    do {
        end = u->sq_next;
        if (enter(p, 0, IORING_ENTER_GETEVENTS, NULL) < 0 && errno != EINTR && errno != EBUSY && errno != EAGAIN)
            break;
    } while ((int)(end - load_acquire(u->sq_head)) > 0);
    reap(p);
}

static bool anything_waiting(const struct uring *u)
{
    return load_acquire(u->cq_tail) != *u->cq_head ||
           (load_acquire(u->sq_flags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

/* A success that is not reported cannot end the wait: is there one in the batch on which something depends? */
static bool batch_matters(struct pump *p)
{
    struct uring *u = p->backend_state;
    struct chan *c;

    TAILQ_FOREACH (c, &u->batch, batch_link)
        if (c->closing || c->shut_write_wanted ||
            (__atomic_load_n(&c->shared->kernel_flags, __ATOMIC_RELAXED) & CHAN_K_WANT_ROOM))
            return true;
    return false;
}

/* True if something came. */
static bool spin(struct pump *p)
{
    struct uring *u = p->backend_state;
    struct spin spin;
    bool came;

    spin_begin(&spin);
    while (!(came = anything_waiting(u)) && spin_goes_on(p, &spin))
        __builtin_ia32_pause();
    spin_end(p, &spin, came);
    return came;
}

static void wait_events(struct pump *p, uint64_t deadline_ns)
{
    const struct uring *u = p->backend_state;
    struct __kernel_timespec timeout;
    struct wait_argument argument = {0};
    uint64_t gather_ns = 0;
    unsigned count = u->min_wait ? pump_coalesce(p, &gather_ns) : 1;

    argument.min_wait_usec = (uint32_t)(gather_ns / 1000);
    if (deadline_ns != PARK_FOREVER) {
        uint64_t now = clock_monotonic_ns(), left = deadline_ns > now ? deadline_ns - now : 0;

        timeout = (struct __kernel_timespec){.tv_sec = (long long)(left / 1000000000ULL),
                                             .tv_nsec = (long long)(left % 1000000000ULL)};
        argument.ts = (uint64_t)(uintptr_t)&timeout;
    }
    pthread_mutex_unlock(&p->lock);
    enter(p, count, IORING_ENTER_GETEVENTS, &argument);
    pthread_mutex_lock(&p->lock);
}

static void uring_turn(struct pump *p, uint64_t deadline_ns)
{
    struct uring *u = p->backend_state;
    uint64_t start, gather_ns;
    bool may_spin = pump_may_spin(p) && (!u->min_wait || pump_coalesce(p, &gather_ns) == 1);

    if (!u->wake_armed)
        arm_wake(p);
    if (deadline_ns == 0) {
        if (unsubmitted(u) > 0 || anything_waiting(u))
            flush(p);
        return;
    }
    if (batch_matters(p) || may_spin) {
        flush(p);
        if (ready_pending(p) || !TAILQ_EMPTY(&p->todo) || pump_is_kicked(p))
            return; /* that kick's event may just have been taken: it would not end the wait */
        if (!u->wake_armed)
            arm_wake(p);
    }
    start = clock_monotonic_ns();
    p->stats.waits++;
    if (!(may_spin && spin(p)))
        wait_events(p, deadline_ns);
    else
        enter(p, 0, IORING_ENTER_GETEVENTS, NULL);
    if ((int)unsubmitted(u) > 0)
        flush(p);
    else
        reap(p);
    pump_waited(p, clock_monotonic_ns() - start);
    if (u->urgent)
        flush(p);
}

static int map_rings(struct uring *u, const struct io_uring_params *params)
{
    size_t sq_size = params->sq_off.array + params->sq_entries * sizeof(unsigned);
    size_t cq_size = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    uint8_t *rings;

    if (!(params->features & IORING_FEAT_SINGLE_MMAP) || !(params->features & IORING_FEAT_EXT_ARG) ||
        !(params->features & IORING_FEAT_CQE_SKIP) || params->sq_entries != SQ_ENTRIES ||
        params->cq_entries != CQ_ENTRIES)
        return -ENOSYS;
    u->rings_size = sq_size > cq_size ? sq_size : cq_size;
    rings = mmap(NULL, u->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_SQ_RING);
    u->sqes = mmap(NULL, params->sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_SQES);
    if (rings == MAP_FAILED || u->sqes == MAP_FAILED)
        return -ENOMEM; /* of no consequence: the process ends or goes on with epoll */
    u->rings = rings;
    u->sq_head = (unsigned *)(rings + params->sq_off.head);
    u->sq_tail = (unsigned *)(rings + params->sq_off.tail);
    u->sq_flags = (unsigned *)(rings + params->sq_off.flags);
    u->cq_head = (unsigned *)(rings + params->cq_off.head);
    u->cq_tail = (unsigned *)(rings + params->cq_off.tail);
    u->cqes = (struct io_uring_cqe *)(rings + params->cq_off.cqes);
    for (unsigned i = 0; i < SQ_ENTRIES; i++)
        ((unsigned *)(rings + params->sq_off.array))[i] = i;
    u->min_wait = params->features & IORING_FEAT_MIN_TIMEOUT;
    return 0;
}

static int register_buffers(struct uring *u)
{
    struct io_uring_buf_reg reg = {.ring_entries = BUFFER_COUNT, .bgid = BUFFER_GROUP};

    u->buffers = mmap(NULL, BUFFER_COUNT * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    u->buffer_bytes =
        mmap(NULL, (size_t)BUFFER_COUNT * BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (u->buffers == MAP_FAILED || u->buffer_bytes == MAP_FAILED)
        return -ENOMEM;
    reg.ring_addr = (uint64_t)(uintptr_t)u->buffers;
    if (syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_PBUF_RING, &reg, 1) < 0)
        return -errno;
    for (uint16_t i = 0; i < BUFFER_COUNT; i++)
        buffer_return(u, i);
    return 0;
}

/* What is in flight refers to ring bytes, which will be unmapped. */
static void cancel_all(struct uring *u)
{
    struct io_uring_sync_cancel_reg reg = {
        .fd = -1,
        .flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY,
        .timeout = {.tv_sec = 1},
    };

    syscall(SYS_io_uring_register, u->fd, IORING_REGISTER_SYNC_CANCEL, &reg, 1);
}

static void uring_deinit(struct pump *p)
{
    struct uring *u = p->backend_state;

    if (u->rings) {
        cancel_all(u);
        munmap(u->rings, u->rings_size);
        munmap(u->sqes, SQ_ENTRIES * sizeof(struct io_uring_sqe));
    }
    close(u->fd);
    if (u->buffers) {
        munmap(u->buffers, BUFFER_COUNT * sizeof(struct io_uring_buf));
        munmap(u->buffer_bytes, (size_t)BUFFER_COUNT * BUFFER_SIZE);
    }
    free(u);
    p->backend_state = NULL;
}

static int uring_init(struct pump *p, char **ret_error)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                 IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        .cq_entries = CQ_ENTRIES,
    };
    struct uring *u = calloc(1, sizeof(*u));
    int ret;

    if (!u)
        return -ENOMEM;
    TAILQ_INIT(&u->batch);
    u->fd = (int)syscall(SYS_io_uring_setup, SQ_ENTRIES, &params);
    if (u->fd < 0) {
        ret = fail(ret_error, errno, "setting io_uring up failed: %s (COFRE_PUMP=epoll does without)", strerror(errno));
        free(u);
        return ret;
    }
    p->backend_state = u;
    ret = map_rings(u, &params);
    if (ret == 0)
        ret = register_buffers(u);
    if (ret < 0) {
        uring_deinit(p);
        return fail(ret_error, -ret, "setting io_uring up failed: %s (COFRE_PUMP=epoll does without)", strerror(-ret));
    }
    arm_wake(p);
    return 0;
}

const struct pump_backend pump_uring = {
    .name = "io_uring",
    .init = uring_init,
    .deinit = uring_deinit,
    .rx_arm = uring_rx_arm,
    .rx_disarm = uring_rx_disarm,
    .tx = uring_tx,
    .poll_out = uring_poll_out,
    .detach = uring_detach,
    .turn = uring_turn,
};

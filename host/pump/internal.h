/*
 * Inside the pump.
 *
 * struct chan is the host's private view of a channel; what it reads from the shared part it checks on each use. All
 * state is under pump.lock, which is released only while a backend waits. Submission queue entries and epoll interest
 * are made only by the pump's thread: others change a channel's state, put it on the todo list and wake the pump.
 *
 * Everything about a channel is driven by chan_service(), which looks at the state and does whatever can be done.
 *
 *   life:   FREE -> (create | accept) -> open -> closing -> (tx drained, backend detached) -> FREE
 *   rx:     rx_on (may receive) && !rx_armed && room -> backend arms; no room -> rx_full, looked at again at every park
 *   tx:     bytes && !connecting && !tx_busy -> backend sends; empty -> pending shutdown, close
 */
#ifndef COFRE_HOST_PUMP_INTERNAL_H
#define COFRE_HOST_PUMP_INTERNAL_H

#include "abi/ring.h"
#include "host/pump/pump.h"

#include <pthread.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum chan_kind { CHAN_FREE, CHAN_INPUT, CHAN_OUTPUT, CHAN_STREAM, CHAN_LISTENER, CHAN_DATAGRAM };

struct stash { /* bytes received that found no room */
    struct stash *next;
    uint32_t size, done;
    uint8_t bytes[];
};

/* What every receive and send touches comes first, in two cache lines. */
struct chan {
    struct channel *shared;
    uint8_t *rx, *tx;
    uint32_t number;
    int fd;
    uint32_t rx_head, rx_base, tx_tail; /* the truth; the shared ones are copies */
    uint32_t rx_extent, tx_extent;      /* ring bytes ever touched in this life, for giving memory back */
    uint8_t kind;                       /* enum chan_kind */
    bool rx_on, rx_armed, rx_full;
    bool tx_busy, tx_failed, tx_poll; /* in flight; given up; waits for POLLOUT */
    bool connecting;

    bool closing, reset;
    bool shut_write_wanted, shut_write_done;
    bool on_todo, on_full;
    bool send_inline, recv_plain; /* uring */
    uint8_t bulk_score;
    uint32_t send_size;
    uint32_t epoch; /* last period with input, for counting active channels */
    struct stash *stash;
    TAILQ_ENTRY(chan) batch_link;
    struct iovec iov[2];

    struct stash **stash_end;
    TAILQ_ENTRY(chan) todo_link, full_link;
    int family, rx_error;
    bool rx_ended;
    bool always_ready; /* epoll does not take it: a regular file or the like */
    bool nonblocking;  /* writing never blocks */
    bool cancelling, rx_cancelling;
    bool port_mapped;
    uint16_t shown, real;     /* published port: what the application believes, and what it is */
    uint32_t backlog;         /* listener: records that may wait in rx */
    uint32_t listener;        /* accepted: whose record announced it */
    uint32_t interest, armed; /* epoll: EPOLL* */
    unsigned inflight;        /* uring: operations that will still complete */
    struct msghdr message;
} __attribute__((aligned(64)));
TAILQ_HEAD(chan_list, chan);

struct pump_backend {
    const char *name;
    int (*init)(struct pump *pump, char **ret_error);
    void (*deinit)(struct pump *pump);
    void (*rx_arm)(struct pump *pump, struct chan *c);
    void (*rx_disarm)(struct pump *pump, struct chan *c);
    /* Send tx bytes of a stream. */
    void (*tx)(struct pump *pump, struct chan *c);
    /* Call chan_ready_out() once c->fd can be written. */
    void (*poll_out)(struct pump *pump, struct chan *c);
    /* Stop all that refers to c->fd. True if nothing does any more; otherwise chan_service() is called later. */
    bool (*detach)(struct pump *pump, struct chan *c);
    /* Do what was asked for; wait until deadline_ns (0: not at all) for something to happen; handle it. */
    void (*turn)(struct pump *pump, uint64_t deadline_ns);
};
extern const struct pump_backend pump_epoll, pump_uring;

struct pump {
    pthread_mutex_t lock;
    const struct pump_backend *backend;
    void *backend_state;
    struct pump_config config;
    pthread_t owner;

    uint8_t *arena;
    size_t arena_size;
    struct arena_header *header;
    struct arena_queue *ready, *dirty;
    struct channel *channels;
    uint8_t *rings;
    uint32_t channel_count, ring_size;
    uint32_t ready_head, dirty_tail; /* the truth */

    struct chan *chans; /* channel_count, zero pages until used */
    uint32_t chans_end; /* none was ever used from here on */
    uint32_t *odd_free; /* stack of odd numbers that were used and are free again */
    uint32_t odd_free_count, odd_next;
    struct chan_list todo, full;
    int wake_fd;
    atomic_uint *kicked; /* during pump_park */

    /* For coalescing: input events and distinct channels with input, in the current and the last period of 2 ms. */
    uint32_t epoch;
    uint64_t epoch_start_ns;
    uint32_t arrivals, arrivals_last, active, active_last;
    /* spin.c: the mean length of the last waits, and how long none is spun after one that did not pay. */
    uint64_t gap_ns, rest_ns, no_spin_until_ns;

    struct pump_stats stats;
};

static inline struct chan *pump_chan(struct pump *p, uint32_t number)
{
    struct chan *c = &p->chans[number];

    if (!c->shared) { /* first use of this slot */
        c->shared = &p->channels[number];
        c->number = number;
        c->fd = -1;
        c->rx = p->rings + (uint64_t)number * 2 * p->ring_size;
        c->tx = c->rx + p->ring_size;
        if (number >= p->chans_end)
            p->chans_end = number + 1;
    }
    return c;
}

/* pump.c */
void ready_push(struct pump *p, struct chan *c);
bool ready_pending(const struct pump *p); /* the kernel has not looked at all we told it */
void chan_todo(struct pump *p, struct chan *c);
void pump_turn_now(struct pump *p); /* what is on the todo list, without waiting */
uint32_t odd_get(struct pump *p);   /* 0: none free */
void odd_put(struct pump *p, uint32_t number);

static inline bool pump_is_kicked(const struct pump *p)
{
    return p->kicked && atomic_load(p->kicked);
}

/* spin.c */
struct spin {
    uint64_t start_ns, last_ns;
    bool lost; /* the CPU, meanwhile */
};

bool pump_may_spin(const struct pump *p);
void pump_waited(struct pump *p, uint64_t ns); /* a wait ended with something */
void spin_begin(struct spin *spin);
bool spin_goes_on(const struct pump *p, struct spin *spin);
void spin_end(struct pump *p, const struct spin *spin, bool came);

/* channel.c */
void chan_open(struct pump *p, struct chan *c, enum chan_kind kind, int fd);
void chan_service(struct pump *p, struct chan *c);
/* Room in rx as up to two runs of ring bytes (*ret_iov_count of them); total. Moves the base of an empty ring. */
uint32_t chan_rx_room(struct pump *p, struct chan *c, struct iovec iov[2], int *ret_iov_count);
void chan_rx_advance(struct pump *p, struct chan *c, uint32_t size);                  /* bytes are in place: publish */
void chan_rx_bytes(struct pump *p, struct chan *c, const void *bytes, uint32_t size); /* copied in, or stashed */
void chan_rx_end(struct pump *p, struct chan *c, int error);                          /* 0: end of file */
uint32_t chan_rx_put(struct pump *p, struct chan *c, uint32_t at, const void *bytes, uint32_t size);
/* Bytes in tx as up to two runs. */
uint32_t chan_tx_bytes(struct pump *p, struct chan *c, struct iovec iov[2], int *ret_iov_count);
void chan_tx_advance(struct pump *p, struct chan *c, uint32_t size);
void chan_tx_fail(struct pump *p, struct chan *c, int error);
void chan_event(struct pump *p, struct chan *c, uint32_t events, int error);
/* The descriptor is ready: do the input or output that its kind knows, without blocking. */
void chan_ready_in(struct pump *p, struct chan *c);
void chan_ready_out(struct pump *p, struct chan *c);
void chan_send_now(struct pump *p, struct chan *c);
void pump_note_input(struct pump *p, struct chan *c);

/* listener.c */
void listener_accepted(struct pump *p, struct chan *listener, int fd);
bool listener_has_room(struct pump *p, struct chan *c);
void listener_ready(struct pump *p, struct chan *c);
void listener_abandon(struct pump *p, struct chan *c); /* connections nobody has taken are reset */
void address_show(const struct chan *c, void *addr);   /* the published port as the application knows it */

/* datagram.c */
void datagram_ready(struct pump *p, struct chan *c);
void datagram_send(struct pump *p, struct chan *c);

/* console.c */
void console_init(struct pump *p);

#endif

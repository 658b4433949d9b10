/*
 * Inside the pump.
 *
 * struct chan is the host's private view of a channel; what it reads from the shared part it checks on each use. All
 * state is under pump.lock, which is released only while a backend waits. Submission queue entries and epoll interest
 * are made only by the pump's thread: others change a channel's state, put it on the todo list and wake the pump.
 *
 * Everything about a channel is driven by chan_service(), which looks at the state and does whatever can be done.
 *
 * A member's own pump (pump.member) is always on epoll, so all of its operations can be done by any thread under the
 * lock. Most of its connections are accepted, answered and closed without the process ever sleeping: they are received
 * from directly, and epoll hears of a channel only when the process is about to look for news there (to_arm).
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
    TAILQ_ENTRY(chan) todo_link, full_link, arm_link;
    int family, rx_error;
    bool rx_ended;
    bool always_ready; /* epoll does not take it: a regular file or the like */
    bool nonblocking;  /* writing never blocks */
    bool cancelling, rx_cancelling;
    bool port_mapped;
    bool demand, accept_wanted; /* listener: SOCKET_DEMAND; CHAN_EV_ACCEPTABLE is owed */
    bool rx_polls;              /* listener: what is armed only says that there is a connection */
    bool on_arm;
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

/*
 * Who uses which odd number, for all pumps of a container: in memory that all its host processes share, and no enclave.
 * A number is given back only when neither of its two queues holds it: it may begin its next life in another pump.
 */
struct pump_numbers {
    _Atomic uint32_t next;           /* where to look for a free one first */
    _Atomic uint32_t given;          /* connections handed over so far; the init process may not have taken them yet */
    _Atomic bool served;             /* the init process hears handover messages */
    _Atomic uint8_t had[UINT16_MAX]; /* [member]: it ever had one */
    _Atomic uint16_t owner[];        /* [channel_count]: 0: nobody; else 1 + member */
};

/* Between the init process and its members: handover.c. */
struct handover {
    int receiver, sender; /* the init process's; everybody's */
    pthread_mutex_t lock; /* receiving; before the pump's */
    pthread_t thread;
    uint32_t given_seen; /* pump_park */
};

struct pump {
    pthread_mutex_t lock;
    uint32_t member; /* whose it is; 0: the init process */
    atomic_bool started;
    bool waiting; /* a member's: vCPU 0 sleeps, or is about to */
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
    struct pump_numbers *numbers;
    struct handover handover;
    uint32_t *odd_free; /* odd numbers of ours that are free: the last freed is used next, the first goes back */
    uint32_t odd_head, odd_tail;
    struct chan_list todo, full, to_arm;
    int wake_fd;
    atomic_uint *kicked; /* during pump_park */

    /* For coalescing: input events and distinct channels with input, in the current and the last period of 2 ms. */
    uint32_t epoch;
    uint64_t epoch_start_ns;
    uint32_t arrivals, arrivals_last, active, active_last;
    atomic_uint clients; /* active_last, for other threads */
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
void ready_push_new(struct pump *p, struct chan *c); /* it is in no queue, whatever its flag says */
bool ready_pending(const struct pump *p);            /* the kernel has not looked at all we told it */
void chan_todo(struct pump *p, struct chan *c);
void pump_turn_now(struct pump *p); /* what is on the todo list, without waiting */
void pump_take(struct pump *p);     /* what the kernel has queued, and the todo list */
/*
 * How many inputs a wait is to gather, and for how long at most: a tenth of the time between two of a channel. 1 and 0:
 * any one ends it, since there are few of them, or few channels have any.
 */
uint32_t pump_coalesce(const struct pump *p, uint64_t *ret_ns);

/* numbers.c */
int numbers_new(struct pump *p);
bool odd_any(struct pump *p);     /* is there a free number? */
uint32_t odd_get(struct pump *p); /* 0: none free */
void odd_put(struct pump *p, uint32_t number);
bool number_is_of(const struct pump *p, uint32_t number, uint32_t member);
void number_become(struct pump *p, uint32_t number, uint32_t member);
/* A member has ended: what it still had is free. */
void numbers_reclaim(struct pump *p, uint32_t member);

/* handover.c */
int handover_new(struct pump *p);
void handover_free(struct pump *p);
int handover_serve(struct pump *p); /* start the thread that listens to members; by any thread, any number of times */
/* Handle what members have sent. Init process, any thread without the pump's lock. */
void handover_take(struct pump *p);
/* The same, if a connection has been given since the last time. The pump's thread. */
void handover_take_given(struct pump *p);
/* In a member: *c := a listener on demand over the init process's channel `number`. */
int handover_want(struct pump *p, uint32_t number, struct chan *c);
/* In a member: the channel is the init process's; here it is free. */
int handover_give(struct pump *p, struct chan *c);

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
void chan_begin(struct chan *c, enum chan_kind kind, int fd); /* our own half alone */
void chan_open(struct pump *p, struct chan *c, enum chan_kind kind, int fd);
void chan_forget(struct pump *p, struct chan *c); /* the slot is free; its descriptor and number are somebody else's */
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
void chan_receive_now(struct pump *p, struct chan *c); /* a stream: what is there, into the ring */
void pump_note_input(struct pump *p, struct chan *c);

/* listener.c */
void listener_accepted(struct pump *p, struct chan *listener, int fd);
bool listener_has_room(struct pump *p, struct chan *c);
void listener_ready(struct pump *p, struct chan *c);
void listener_wishes(struct chan *c); /* the kernel has made it dirty */
void listener_demand_step(struct pump *p, struct chan *c);
/* One connection, now, into *ret_record. 0 or negative errno. */
int listener_accept(struct pump *p, struct chan *listener, struct ring_accept *ret_record);
void listener_abandon(struct pump *p, struct chan *c); /* connections nobody has taken are reset */
void address_show(const struct chan *c, void *addr);   /* the published port as the application knows it */

/* datagram.c */
void datagram_ready(struct pump *p, struct chan *c);
void datagram_send(struct pump *p, struct chan *c);

/* console.c */
void console_init(struct pump *p);

#endif

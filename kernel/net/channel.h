/*
 * Kernel side of the arena (abi/ring.h). A struct chan is the private state of one channel; everything the host wrote
 * is loaded once per use and checked against it, and a contradiction ends in host_lied().
 */
#ifndef COFRE_KERNEL_NET_CHANNEL_H
#define COFRE_KERNEL_NET_CHANNEL_H

#include "abi/ring.h"
#include "kernel/arch/untrusted.h"
#include "kernel/lib/types.h"
#include "kernel/mm/uio.h"

enum chan_state { CHAN_FREE, CHAN_OPEN, CHAN_CLOSING };

/* The first line is what every read and write uses. */
struct chan {
    uint32_t rx_tail, rx_head, rx_base; /* own; last seen; last seen */
    uint32_t tx_head, tx_tail, tx_base; /* own; last seen; own */
    uint32_t flags;                     /* kernel_flags as last stored */
    uint8_t state;
    bool rx_was_half_full;
    bool lent;       /* another enclave has it: nothing of it may be touched here but news and dirty */
    bool queued;     /* a borrower's: among those that the owner of the arena is to make dirty */
    bool elsewhere;  /* the pump that serves it is not this enclave's */
    host_ptr shared; /* struct channel */
    host_ptr rx, tx; /* ring bytes */
    /* The host says something changed; event: enum channel_event so far. */
    void (*news)(struct chan *c, uint32_t event);
    void *owner;
    uint32_t number;
    struct chan *next_free;
};

/*
 * Reads and checks the arena's header; an absent arena leaves the kernel without channels. borrower: another enclave
 * owns the arena, its queues and its channels, and lends some of these. There may be a pump of this enclave's own
 * besides, for connections that begin here.
 */
void chan_init(bool borrower);
extern uint32_t chan_ring_bytes; /* set once */
static inline uint32_t chan_ring_size(void)
{
    return chan_ring_bytes;
}

/*
 * A connected stream's channel in the hands of another enclave of this container: what the owner knows of it, the
 * borrower goes on with, and comes back. Both map the same arena. Meanwhile the owner passes on news and makes it
 * dirty when asked to.
 */
struct chan_loan {
    uint32_t number;
    uint32_t rx_tail, rx_head, rx_base;
    uint32_t tx_head, tx_tail, tx_base;
    uint32_t flags, rx_was_half_full;
};

/* A free channel of the kernel's half, open; NULL if none is left. */
struct chan *chan_alloc(void (*news)(struct chan *, uint32_t), void *owner) must_check;
/* The channel that an accept record names, open. */
struct chan *chan_adopt(uint32_t number, void (*news)(struct chan *, uint32_t), void *owner);
/* One of the console's. */
struct chan *chan_console(uint32_t number, void (*news)(struct chan *, uint32_t), void *owner) must_check;
/* The channel of a connection that began in another enclave, whose pump serves it: open, and lent to that one. NULL
 * when out of memory, or if there can be no such. */
struct chan *chan_foreign(const struct chan_loan *loan, void (*news)(struct chan *, uint32_t), void *owner) must_check;
/* SOCKET_CREATE failed: back to the free ones, the host never saw it. */
void chan_unalloc(struct chan *c);
/* No more use of c by its owner. Bytes in tx still go out, then FIN; or, with reset, RST. At once by SOCKET_CLOSE; or,
 * for a connected stream, when the host next pumps. */
void chan_close(struct chan *c, bool reset, bool at_once);
/* The host closes when it next pumps. True: another one is closed now. False: none is to be, or the deadline is over.
 */
bool chan_wait_closed(uint64_t deadline);
void chan_shutdown_write(struct chan *c); /* a connected stream; when the host next pumps */
/* A listening one on demand: CHAN_EV_ACCEPTABLE will come, once. */
void chan_want_accept(struct chan *c);
/* Clear events marked "taken" before acting on them. */
void chan_take_events(struct chan *c, uint32_t events);

/* enum channel_event bits; *ret_error (may be NULL) = the positive errno when CHAN_EV_ERROR is among them. */
uint32_t chan_events(struct chan *c, int *ret_error);
/* Of these bits, some are set: worth calling chan_events(). */
static inline bool chan_has_events(const struct chan *c, uint32_t events)
{
    return untrusted_peek64(host_ptr_add(c->shared, offsetof(struct channel, host_events))) & events;
}

/* Bytes that can be read now. chan_rx_used_at_least is cheaper: it looks at the host's index only if needed. */
uint32_t chan_rx_used(struct chan *c);
static inline uint32_t chan_rx_used_at_least(struct chan *c, uint32_t wanted)
{
    uint32_t used = c->rx_head - c->rx_tail;
    return likely(used >= wanted) ? used : chan_rx_used(c);
}
/* Copy up to size bytes that lie offset bytes ahead, without consuming; offset + size <= used. Returns bytes moved. */
size_t chan_rx_copy(struct chan *c, struct iov_iter *to, uint32_t offset, uint32_t size);
void chan_rx_copy_kernel(struct chan *c, void *dst, uint32_t offset, uint32_t size);
void chan_rx_consume(struct chan *c, uint32_t size);
/* After that, where the host lets less wait than the ring has room for: it may have stopped, and goes on. */
void chan_rx_more(struct chan *c);

/* Free bytes in tx now; looks at the host's index only if fewer than wanted were known to be free. */
uint32_t chan_tx_room(struct chan *c, uint32_t wanted);
static inline uint32_t chan_tx_room_known(const struct chan *c)
{
    return chan_ring_bytes - (c->tx_head - c->tx_tail);
}
/* Put bytes offset bytes past head; offset + size <= room. Nothing is seen by the host before chan_tx_commit(). */
size_t chan_tx_copy(struct chan *c, struct iov_iter *from, uint32_t offset, uint32_t size);
void chan_tx_copy_kernel(struct chan *c, const void *src, uint32_t offset, uint32_t size);
void chan_tx_commit(struct chan *c, uint32_t size);
/* Bytes the host has not taken yet. */
uint32_t chan_tx_queued(struct chan *c);
/* Ask to be told when tx has drained; call before the last look at chan_tx_room(). */
void chan_want_room(struct chan *c, bool want);

/* Lending: see struct chan_loan. */
void chan_loan_of(const struct chan *c, struct chan_loan *ret_loan); /* as it is now */
void chan_lend(struct chan *c, void (*news)(struct chan *, uint32_t), struct chan_loan *ret_loan);
void chan_lend_end(struct chan *c, void (*news)(struct chan *, uint32_t), const struct chan_loan *loan);
/* It stays lost: closed, with what the borrower had queued sent. */
void chan_lend_lost(struct chan *c);
struct chan *chan_lent(uint32_t number); /* one that is lent; NULL */
void chan_lent_dirty(struct chan *c);
/* The borrower's side. NULL when out of memory, or if there is no such channel. */
struct chan *chan_borrow(const struct chan_loan *loan, void (*news)(struct chan *, uint32_t), void *owner) must_check;
void chan_borrow_end(struct chan *c, struct chan_loan *ret_loan); /* not while queued */
struct chan *chan_borrowed(uint32_t number);                      /* NULL */
size_t chan_borrowed_dirty(uint32_t *ret_numbers, size_t max);    /* taken off the list of them */
bool chan_borrowed_pending(void);                                 /* are there any? */
/* A stream of this enclave's pump becomes one of the init enclave's, as which it can then be given back. */
void chan_give(struct chan *c);

/* The two queues; kernel/net/net.h has what the rest of the kernel calls. */
bool chan_poll_ready(void);
bool chan_dirty_pending(void);
void chan_bytes(uint64_t *ret_received, uint64_t *ret_sent); /* since boot */

#endif

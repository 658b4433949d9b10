/*
 * The arena: rings in untrusted memory through which sockets and the console move data without leaving the enclave.
 *
 * A channel is a pair of single-producer single-consumer byte rings: rx (host writes, kernel reads) and tx (kernel
 * writes, host reads). Indices run freely (modulo 2^32); capacity is a power of two; used = head - tail must be <=
 * capacity or the other side has lied. Each side keeps its own index privately and publishes a copy; what it reads from
 * the other's copy it validates on every use. Layout in the arena:
 *
 *   struct arena_header | struct arena_queue ready | struct arena_queue dirty | struct channel[channel_count] | ring
 * bytes
 *
 * Where index i lies: byte (i - base) & (ring_size - 1) of the ring, base being the producer's rx_base or tx_base. A
 * producer that finds its ring empty (its head equals the tail it reads) sets base = head before it writes, so that a
 * ring that keeps up touches one page only. The consumer reads base after head, each time; it changes only while
 * nothing is in the ring, and since it is only ever used masked, a lie cannot lead out of the ring.
 *
 * Order: the producer writes bytes, then base, then head (release); the consumer reads head (acquire), base, bytes, and
 * stores tail (release). The host sets host_events (release) after rx_head and host_error: whoever sees CHAN_EV_EOF or
 * CHAN_EV_ERROR must read rx_head after it and deliver those bytes first.
 *
 * Two bounded queues carry channel numbers so that nobody scans: `ready` (host -> kernel: this channel has news: bytes,
 * events, or tx room for CHAN_K_WANT_ROOM) and `dirty` (kernel -> host: this channel has bytes to send, freed rx space
 * that the host waits for, or a state change). A channel is at most once in each: the producer enqueues when exchange
 * of the channel's ready_queued / dirty_queued with 1 gives 0; the consumer takes the number, stores 0 (exchange, a
 * full barrier) and only then looks at the channel. These two flags belong to the queues and are never reset otherwise,
 * not even when a channel number gets a new life. News about a channel that the kernel does not know (not yet taken
 * from the accept ring, or just closed) is to be ignored: whoever opens a channel looks at its state first.
 *
 * Who looks when
 * - The host takes `dirty` at every PARK with PARK_PUMP (by vCPU 0), also with deadline 0, and at EXIT.
 * - tx bytes wait for that at most 1 ms: the kernel sets tick_wanted = TICK_FLUSH on vCPU 0 while `dirty` is not empty
 *   and, at the tick, makes PARK(0, PARK_PUMP). In general every tick on vCPU 0 is a good time for that call, since
 *   only it brings in new bytes: while somebody waits for a channel (or polls it without sleeping, or a SOCKET_CLOSE is
 *   on its way) and vCPU 0 computes, a tick must be wanted.
 * - When another vCPU makes `dirty` non-empty and vCPU 0 is parked, KICK(1 << 0) makes the host pump. One that is about
 *   to park itself must do it; one that goes on computing may leave it to its own tick.
 */
#ifndef COFRE_ABI_RING_H
#define COFRE_ABI_RING_H

#include <stdint.h>

#define ARENA_MAGIC 0x314e455241464f43ULL /* "COFAREN1" */

#define CHANNEL_STDIN 0
#define CHANNEL_STDOUT 1
#define CHANNEL_STDERR 2
#define CHANNEL_FIRST_SOCKET 3

struct arena_header {
    uint64_t magic;
    uint32_t channel_count; /* power of two, <= 65536; also both queues' capacity */
    uint32_t ring_size;     /* bytes of each rx and each tx ring; power of two (default 256 KiB, touched lazily) */
    uint64_t ready_offset, dirty_offset, channels_offset, rings_offset; /* from the arena's start */
};

/* Bounded queue of channel numbers, capacity channel_count. Single producer side, single consumer side. */
struct arena_queue {
    uint32_t head; /* producer */
    uint32_t pad0[15];
    uint32_t tail; /* consumer */
    uint32_t pad1[15];
    uint32_t entries[];
};

/* A member's own two (boot_params.queues): `ready`, and `dirty` this far behind. */
#define MEMBER_QUEUE_SIZE(channel_count)                                                                               \
    ((sizeof(struct arena_queue) + (channel_count) * sizeof(uint32_t) + 4095) & ~4095ULL)

/*
 * channel.host_events bits: set by the host (atomic or), read by the kernel; sticky, except that the kernel clears
 * (atomic and) those marked "taken" before it acts on them, and CHAN_EV_RX_FULL is the host's to clear.
 */
enum channel_event {
    CHAN_EV_CONNECTED = 1 << 0, /* connect finished well, or an accepted socket is ready */
    CHAN_EV_ERROR = 1 << 1,     /* host_error holds a positive errno (ECONNREFUSED, ...); datagrams: taken */
    CHAN_EV_EOF = 1 << 2,       /* the peer's FIN came after the bytes in rx */
    CHAN_EV_TX_CLOSED = 1 << 3, /* sending fails from now on (EPIPE) */
    CHAN_EV_CLOSED = 1 << 4,    /* after SOCKET_CLOSE: the slot is free again */
    CHAN_EV_WINSIZE = 1 << 5,   /* channel 0: the terminal's size changed (CONSOLE_GET_WINSIZE); taken */
    /*
     * The host stopped receiving for lack of rx room: after a read that leaves the ring at least half empty the kernel
     * makes the channel dirty; of a listener, after each record. (The host also looks by itself at every pump: only a
     * vCPU 0 that computes needs this.)
     */
    CHAN_EV_RX_FULL = 1 << 6,
    CHAN_EV_ACCEPTABLE = 1 << 7, /* listening on demand: there is, or was, a connection; taken */
};

/* channel.kernel_flags bits, set by the kernel. */
enum channel_kernel_flag {
    CHAN_K_WANT_ROOM = 1 << 0, /* a writer waits for tx room: make `ready` when tx bytes have gone (set, then dirty) */
    /* Connected streams, set after the last tx_head, then dirty: what the host calls of the same name do, without a
     * call.
     */
    CHAN_K_SHUT_WR = 1 << 1, /* SOCKET_SHUTDOWN(SHUT_WR) */
    CHAN_K_CLOSE = 1 << 2,   /* SOCKET_CLOSE */
    CHAN_K_RESET = 1 << 3,   /* with CLOSE: CLOSE_RESET */
    /* Listening on demand, then dirty: say CHAN_EV_ACCEPTABLE, once, as soon as SOCKET_ACCEPT would give a connection.
     * Whoever has taken that event and waits again makes the channel dirty again. */
    CHAN_K_WANT_ACCEPT = 1 << 4,
};

struct channel {
    /* written by the host */
    uint32_t rx_head;
    uint32_t tx_tail;
    uint32_t host_events;
    int32_t host_error;
    uint32_t ready_queued;
    uint32_t rx_base;
    uint32_t pad0[10];
    /* written by the kernel */
    uint32_t rx_tail;
    uint32_t tx_head;
    uint32_t kernel_flags;
    uint32_t dirty_queued;
    uint32_t tx_base;
    uint32_t pad1[11];
};
_Static_assert(sizeof(struct channel) == 128, "two cache lines");

/* Ring bytes of channel c: rx at rings_offset + c * 2 * ring_size, tx ring_size further. */

/*
 * Listening sockets: the rx ring holds struct ring_accept records; the host has already accepted and given each
 * connection a free odd channel. At most `backlog` records wait there; more wait in the host's own backlog.
 * Datagram sockets: rx and tx rings hold a struct ring_datagram, then size bytes, padded to 8.
 * A record is published whole (head moves once for all of it): a reader that finds less treats it as a lie. It may wrap
 * around the ring's end anywhere.
 */
struct ring_accept {
    uint32_t channel;
    uint32_t addr_size;
    uint8_t addr[32]; /* peer: sockaddr_in or sockaddr_in6 */
    uint32_t local_size;
    uint32_t pad;
    uint8_t local[32]; /* own address */
};

struct ring_datagram {
    uint32_t size;
    uint32_t addr_size; /* 0 = connected socket's peer */
    uint8_t addr[32];
};

/*
 * A member's enclave maps the arena too, and its host process may have a pump of its own, for channels that begin there
 * (SOCKET_SHARE, SOCKET_ACCEPT). That one has a ready and a dirty queue of its own, in boot_params.queues. Which of the
 * two queues a channel is in follows from whose it is; SOCKET_GIVE makes it the init process's, with a dirty_queued and
 * ready_queued of 0.
 *
 * Channel ownership: numbers below CHANNEL_FIRST_SOCKET are the console's. Of the rest, even numbers are handed out by
 * the kernel (SOCKET_CREATE), odd ones by the host (accepted connections).
 * Life: at SOCKET_CREATE, and before an accepted connection is announced, the host zeroes all indices, bases, events
 * and kernel_flags of the channel (both halves; the kernel must not touch it then), and the kernel starts its private
 * indices at 0. After SOCKET_CLOSE or CHAN_K_CLOSE the kernel touches the channel no more. An even number may be used
 * again once `ready` has brought CHAN_EV_CLOSED; of an odd one the kernel forgets all at once, and meets it again in an
 * accept record. SOCKET_CLOSE with bytes unread in rx, or SO_LINGER {1, 0}: pass CLOSE_RESET, since Linux sends RST
 * there.
 *
 * Console: stdin is channel 0 (rx; CHAN_EV_EOF at its end, at once without BOOT_STDIN_OPEN), stdout 1 and stderr 2 (tx;
 * CHAN_EV_TX_CLOSED when nobody reads). With BOOT_TTY the host's terminal is raw: line editing, echo and signals are
 * the kernel's. EXIT sends what is left in all tx rings before the host process ends.
 */

#endif

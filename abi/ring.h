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
 * Two bounded queues carry channel numbers so that nobody scans: `ready` (host -> kernel: this channel has news) and
 * `dirty` (kernel -> host: this channel has bytes to send, freed rx space, or a state change). A channel is at most
 * once in each (channel.ready_queued / dirty_queued flags; the consumer clears its flag before it looks at the
 * channel).
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

/* channel.host_events bits: sticky, set by the host (atomic or), read by the kernel. */
enum channel_event {
    CHAN_EV_CONNECTED = 1 << 0, /* connect finished well, or an accepted socket is ready */
    CHAN_EV_ERROR = 1 << 1,     /* host_error holds a positive errno (ECONNREFUSED, ECONNRESET, ...) */
    CHAN_EV_EOF = 1 << 2,       /* the peer's FIN came after the bytes in rx */
    CHAN_EV_TX_CLOSED = 1 << 3, /* sending fails from now on (EPIPE) */
    CHAN_EV_CLOSED = 1 << 4,    /* after SOCKET_CLOSE: the slot is free again */
};

/* channel.kernel_flags bits, set by the kernel. */
enum channel_kernel_flag {
    CHAN_K_WANT_ROOM = 1 << 0, /* a writer waits for tx room: make `ready` when the tx ring has drained */
    CHAN_K_RX_THROTTLED = 1 << 1,
};

struct channel {
    /* written by the host */
    uint32_t rx_head;
    uint32_t tx_tail;
    uint32_t host_events;
    int32_t host_error;
    uint32_t ready_queued;
    uint32_t pad0[11];
    /* written by the kernel */
    uint32_t rx_tail;
    uint32_t tx_head;
    uint32_t kernel_flags;
    uint32_t dirty_queued;
    uint32_t pad1[12];
};
_Static_assert(sizeof(struct channel) == 128, "two cache lines");

/* Ring bytes of channel c: rx at rings_offset + c * 2 * ring_size, tx ring_size further. */

/*
 * Listening sockets: the rx ring holds struct ring_accept records; the host has already accepted and given each
 * connection a free channel from CHANNEL numbers that the kernel lent it (see `lend` below).
 * Datagram sockets: rx and tx rings hold a struct ring_datagram, then size bytes, padded to 8.
 * Records never straddle less than their header: a reader that finds fewer than header bytes treats it as a lie.
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
 * Channel ownership: numbers below CHANNEL_FIRST_SOCKET are the console's. Of the rest, even numbers are handed out by
 * the kernel (SOCKET_CREATE), odd ones by the host (accepted connections); a closed one returns to whoever hands it
 * out.
 */

#endif

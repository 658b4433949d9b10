/*
 * Several processes: what the host processes of one container share, and how their kernels talk (docs/PROCESSES.md).
 *
 * Each process of a container is a host process with an enclave of its own. The one of PID 1 is the init process; the
 * others are members, numbered 1..link_area.member_max by the slot they use; number 0 is the init process. All map the
 * same link area at the same address:
 *
 *   struct link_area | struct member_shared[member_max + 1] | struct link_shared[link_count] | ring bytes
 *
 * A link is a pair of byte rings between two enclaves. Link n (1..member_max) joins the init process (side 0) and
 * member n (side 1); the links above are given out by the init kernel, for fork (side 0 = parent, side 1 = child).
 * The bytes are encrypted and authenticated records (kernel/remote/link.h); the host sees their sizes and times only.
 *
 * Each ring has one producer and one consumer. Indices run freely (modulo 2^32); head - tail must be <= the ring's
 * size, or the other side (or the host) has lied. Byte i of a ring lies at i & (ring_size - 1).
 */
#ifndef COFRE_ABI_LINK_H
#define COFRE_ABI_LINK_H

#include <stdint.h>

#define LINK_MAGIC 0x314b4e494c464f43ULL /* "COFLINK1" */

struct link_area {
    uint64_t magic;
    uint32_t member_max; /* members 1..member_max */
    uint32_t link_count; /* links 0..link_count - 1; number 0 is never used */
    uint32_t ring_size;  /* bytes of each of a link's two rings; power of two, touched lazily */
    uint32_t reserved;
    uint64_t members_offset, links_offset, rings_offset; /* from the area's start */
};

/* What others of the container must know of a host process to wake it. Written by host code, except `attention`. */
enum member_state {
    MEMBER_FREE = 0,
    MEMBER_STARTING = 1, /* asked for; its host process builds an enclave */
    MEMBER_RUNNING = 2,  /* its vCPU 0 has entered */
    MEMBER_ENDED = 3,    /* its host process is gone; the init kernel frees it with SPAWN_RELEASE */
};

#define MEMBER_VCPU_MAX 64

enum vcpu_parked {
    PARKED_NOT = 0,
    PARKED = 1,
    PARKED_PUMP = 2, /* in the pump of its own process, a member's */
};

struct member_shared {
    uint32_t state; /* enum member_state */
    uint32_t host_pid;
    uint32_t host_tid[MEMBER_VCPU_MAX]; /* of its vCPU threads */
    uint32_t parked[MEMBER_VCPU_MAX];   /* enum vcpu_parked: while the vCPU waits in PARK */
    uint32_t kicked[MEMBER_VCPU_MAX];   /* futex: set by whoever wakes it, taken by the park */
    /*
     * Doorbell, written by the kernels of other processes before they KICK: 1 = something is in a ring for this
     * process. Its kernel looks at it instead of at every link, and clears it (exchange) before it looks at the rings.
     * Only a hint: the rings themselves are what counts. While it is set and vCPU 0 runs, the host ticks that about
     * every millisecond.
     */
    uint32_t attention;
    uint32_t polling; /* 1 while a vCPU of it looks at `attention` all the time: no KICK is needed */
    /*
     * 1 while more threads want to run on the host than it has processors (host/crowd.h): looking out for another
     * enclave then takes the time of whoever would answer. Only a hint.
     */
    uint32_t crowded;
    /* Of the host alone: 1 while it serves many clients and no processor is free (host/members.c). */
    uint32_t serves_full;
    uint32_t pad[60];
};

struct link_ring {
    uint32_t head; /* producer */
    uint32_t pad0[15];
    uint32_t tail; /* consumer */
    uint32_t pad1[15];
};

struct link_shared {
    struct link_ring ring[2]; /* [side]: written by that side */
    /* The handshake, in the clear: [side] is written by that side once, then the word set to 1. */
    uint8_t nonce[2][32];
    uint32_t nonce_ready[2];
    uint32_t pad[46];
};
_Static_assert(sizeof(struct link_ring) == 128, "two cache lines");
_Static_assert(sizeof(struct link_shared) % 64 == 0, "whole cache lines");

/* Ring bytes of link n: side 0's at rings_offset + n * 2 * ring_size, side 1's ring_size further. */

#endif

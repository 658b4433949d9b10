/*
 * What travels over a link between the init enclave and a member: one message per record, a struct message followed by
 * what its type says. Both ends are the same measured kernel, yet lengths are checked as if they were not.
 *
 *   member                                init
 *   DATA*, CALL  ------------------------>  an agent runs the system call
 *                <------------------------  FETCH: memory of the caller that CALL did not bring along
 *   FETCHED      ------------------------>
 *   CANCEL       ------------------------>  a signal came: interrupt the agent
 *                <------------------------  STORE*, REPLY: memory to be written, then the result
 *
 * Other types belong to whoever handles them (remote.h).
 */
#ifndef COFRE_KERNEL_REMOTE_MESSAGE_H
#define COFRE_KERNEL_REMOTE_MESSAGE_H

#include "kernel/lib/types.h"
#include "kernel/remote/link.h"

enum message_type {
    MESSAGE_NONE = 0,
    /* to init */
    MESSAGE_CALL = 1,    /* struct call_head, windows, data of input windows (each padded to 8 bytes) */
    MESSAGE_DATA = 2,    /* struct store, data: more input of the CALL of the same request, which follows */
    MESSAGE_FETCHED = 3, /* the bytes that could be read; fewer than asked for: the next one faults */
    MESSAGE_CANCEL = 4,
    /* to a member */
    MESSAGE_REPLY = 5,    /* struct reply_head, then stores */
    MESSAGE_STORE = 6,    /* struct reply_head (ignored), then stores */
    MESSAGE_FETCH = 7,    /* struct window: addr, size */
    MESSAGE_HANDLED = 16, /* from here on: remote_handle() */
    MESSAGE_TYPE_MAX = 96,
};

struct message {
    uint32_t type;
    uint32_t request; /* chosen by the member; 0: none */
    int32_t pid, tid;
};

enum window_flags {
    WINDOW_IN = 1,   /* `size` bytes are sent along; beyond them a read faults */
    WINDOW_OUT = 2,  /* `size` bytes may be written; beyond them a write faults */
    WINDOW_DATA = 4, /* with WINDOW_IN: DATA messages brought the bytes, not the CALL */
};
/* In the flags, with WINDOW_IN: so many pages at its beginning are sealed (sealed.h). In the CALL, struct sealed_page
 * of each take their place, also with WINDOW_DATA. */
#define WINDOW_SEALED_SHIFT 8

/* A range of the caller's memory that the call is known to touch. */
struct window {
    uint64_t addr;
    uint64_t span; /* the whole range: size says how much of it is there */
    uint32_t size;
    uint32_t flags;
};

struct call_head {
    uint64_t nr;
    uint64_t args[6];
    uint64_t blocked;    /* the caller's signal mask */
    uint64_t pending;    /* signals that wait for the caller alone */
    uint64_t ignored;    /* of SIGTTIN and SIGTTOU, those that the process ignores: terminals ask */
    uint32_t data_count; /* DATA messages before this one, for windows with WINDOW_DATA */
    uint32_t window_count;
    uint64_t lease_era;  /* of a call that asks for a lease or assurance (leases.h), to be repeated in it; 0: none */
    uint64_t wants_post; /* a write that asks for room (posts.h) */
};

enum reply_flags {
    REPLY_CONTINUE = 1, /* a file where a longer read or write goes on rather than return a part */
};

struct reply_head {
    int64_t result;
    uint32_t flags;
    uint32_t free_from; /* of a call that returns a new descriptor: all from this one on are free; 0: not said */
};

/* Followed by `size` bytes and padding to 8; or, with STORE_SEALED, by struct sealed_page of `size` / PAGE_SIZE pages.
 */
#define STORE_SEALED (1ULL << 63) /* in the size */
struct store {
    uint64_t addr;
    uint64_t size;
};

#define CALL_WINDOWS_MAX 1100   /* a full iovec and what is around it */
#define CALL_DATA_MAX 0x40000UL /* bytes of input, or of output, that one call moves at most */
#define MESSAGE_PAYLOAD_MAX (LINK_MESSAGE_MAX - sizeof(struct message))

#endif

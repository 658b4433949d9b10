/*
 * Messages about leases (leases.h): files that a member may open, read and close by itself while nothing changes. By
 * the order of the link:
 *
 *   LEASE   --> member   before the reply of an openat that asked for it: this path is this file, with these contents
 *   MORE    --> member   what of them did not fit. Other leases' are not between; if the rest never comes there is none
 *   ASSURANCE > member   before the reply of a getsockname or fchmod that asked for it: what is known of a descriptor
 *   LISTENER -> member   before the reply of an accept that asked for it: it may accept from that socket by itself
 *   BREAK   --> member   something is about to change: all leases end
 *   OPENED  <-- member   a descriptor that was opened there is to be one here
 *   MODE    <-- member   a file's mode is to be this; it was assured that it may be
 *   DROP    <-- member   it does not need this lease any more, or none
 *   BROKEN  <-- member   the answer to BREAK: it has none, and all it had opened was told before
 *   SYNC    --> member   somebody looks at a file whose mode it may set: nothing ends
 *   SYNCED  <-- member   the answer: all modes it has set were told before
 */
#ifndef COFRE_KERNEL_REMOTE_LEASE_MESSAGE_H
#define COFRE_KERNEL_REMOTE_LEASE_MESSAGE_H

#include <linux/stat.h>

#include "kernel/net/loan.h"
#include "kernel/remote/process_message.h"

#ifndef LEASE_SIZE_MAX             /* tests have smaller ones */
#define LEASE_SIZE_MAX 0x100000UL  /* of a file */
#define LEASE_BYTES_MAX 0x800000UL /* of all files, that a member keeps */
#define LEASE_PIECE_MAX 0x10000UL  /* of contents, in a message */
#endif
#define LEASE_PATH_MAX 256 /* with its NUL */
#define LEASE_COUNT_MAX 64 /* of a member */

struct lease_message {
    struct message message;
    uint64_t id;
    uint64_t era;  /* of the call that asked */
    uint32_t size; /* of the contents, all of them */
    uint32_t path_size;
    struct statx stat;
    uint8_t bytes[]; /* the path with its NUL, then the first LEASE_PIECE_MAX of the contents */
};
_Static_assert(sizeof(struct lease_message) + LEASE_PATH_MAX + LEASE_PIECE_MAX <= LINK_MESSAGE_MAX, "fits");

/* Each as large as it can be. */
struct lease_more_message {
    struct message message;
    uint64_t id;
    uint64_t offset;
    uint8_t bytes[];
};

enum assurance {
    ASSURANCE_NAME = 1, /* of a socket: getsockname */
    ASSURANCE_MODE,     /* fchmod succeeds */
    ASSURANCE_ACCEPT,   /* accept: a LISTENER of its own */
};
#define ASSURANCE_NAME_MAX 28
#define ASSURANCE_MODE_BITS 0777U /* setting others may be refused */

struct lease_assurance_message {
    struct message message;
    uint64_t id;
    uint64_t era; /* of the call that asked */
    int32_t fd;
    uint32_t kind; /* enum assurance */
    uint32_t size; /* of the name */
    uint8_t name[ASSURANCE_NAME_MAX];
};

struct lease_listener_message {
    struct message message;
    uint64_t id;
    uint64_t era;
    int32_t fd;
    uint32_t pad;
    struct tcp_loan loan; /* what connections have from it; the channel's number */
};

struct lease_mode_message {
    struct message message;
    uint64_t id;
    uint64_t age_ns; /* so long ago was it set */
    uint32_t mode;
    uint32_t pad;
};

/* BREAK, BROKEN, SYNC and SYNCED: which one; DROP: of which lease, or 0. */
struct lease_number_message {
    struct message message;
    uint64_t number;
};

struct lease_opened_message {
    struct message message;
    uint64_t id;
    int64_t pos;
    int32_t fd;
    uint32_t cloexec;
    uint32_t flags; /* O_NONBLOCK or 0 */
    uint32_t pad;
};

#endif

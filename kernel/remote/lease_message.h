/*
 * Messages about leases (leases.h): files that a member may open, read and close by itself while nothing changes. By
 * the order of the link:
 *
 *   LEASE   --> member   before the reply of an openat that asked for it: this path is this file, with these contents
 *   MORE    --> member   what of them did not fit. Other leases' are not between; if the rest never comes there is none
 *   BREAK   --> member   something is about to change: all leases end
 *   OPENED  <-- member   a descriptor that was opened there is to be one here
 *   DROP    <-- member   it does not need this lease any more, or none
 *   BROKEN  <-- member   the answer to BREAK: it has none, and all it had opened was told before
 */
#ifndef COFRE_KERNEL_REMOTE_LEASE_MESSAGE_H
#define COFRE_KERNEL_REMOTE_LEASE_MESSAGE_H

#include <linux/stat.h>

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

/* BREAK and BROKEN: which one; DROP: of which lease, or 0. */
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

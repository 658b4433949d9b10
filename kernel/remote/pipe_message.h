/*
 * Pipes that are lent to the enclaves at both their ends: what is written goes from one to the other by a link of their
 * own, whose key the init enclave made and told both. A loan is known by an id that is never used again.
 *
 *   LEND      --> both     this descriptor's pipe is yours; to the reader with the bytes that were in it
 *   UNWANTED  <-- either   have it called back
 *   RECALL    --> reader   PIPE_SENT_PENDING: do nothing with it any more
 *   RECALL    --> writer   give it back. Ignored if RETURN is on its way
 *   RETURN    <-- writer   so many bytes it has sent, with those of LEND, and no more follow; perhaps unasked
 *   RECALL    --> reader   after that: there are so many in all
 *   RETURN    <-- reader   those of them that nobody has read
 *
 * On the link between them the writer sends struct pipe_data, the reader struct pipe_credit. They go without a ring,
 * unless the other side has said that it waits: that it does before it sleeps, and then looks once more.
 */
#ifndef COFRE_KERNEL_REMOTE_PIPE_MESSAGE_H
#define COFRE_KERNEL_REMOTE_PIPE_MESSAGE_H

#include "kernel/remote/process_message.h"

#define PIPE_SENT_UNKNOWN UINT64_MAX /* the writer's enclave is gone: what came is all there is */
#define PIPE_SENT_PENDING (UINT64_MAX - 1)

/* LEND; to the reader with bytes behind it. */
struct pipe_lend_message {
    struct message message;
    uint64_t id;
    int32_t fd;
    uint32_t writer; /* 1: the end to write to */
    uint64_t size;   /* bytes that are on their way: the reader gets them with this message */
    struct stream_place place;
};

/* RECALL; RETURN, from the reader with bytes behind it; UNWANTED. */
struct pipe_id_message {
    struct message message;
    uint64_t id;
    uint64_t sent; /* the writer's RETURN, RECALL to the reader */
};

/* With bytes behind it, or none. */
struct pipe_data {
    uint32_t waits; /* the writer, for room: ring when there is */
    uint32_t zero;
};

struct pipe_credit {
    uint64_t consumed; /* bytes in all that were read */
    uint32_t waits;    /* the reader, for bytes */
    uint32_t zero;
};

#endif

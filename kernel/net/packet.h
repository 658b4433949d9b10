/*
 * Queues of bytes inside the kernel: what waits to be read from unix, netlink and loopback sockets. A packet is one
 * datagram, or a run of stream bytes that share their ancillary data.
 */
#ifndef COFRE_KERNEL_NET_PACKET_H
#define COFRE_KERNEL_NET_PACKET_H

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"
#include "kernel/mm/uio.h"

struct scm;

struct packet {
    TAILQ_ENTRY(packet) link;
    struct scm *scm;                 /* owned; NULL = none */
    uint32_t capacity, size, offset; /* room for data; bytes put; bytes already read */
    uint32_t name_size;
    bool busy;         /* a writer is copying into it and may sleep: stays in the queue even when all of it was read */
    uint8_t name[128]; /* sender's address */
    uint8_t data[];
};

struct packet_queue {
    TAILQ_HEAD(packet_list, packet) packets;
    size_t bytes; /* not yet read */
    size_t count;
};

void packet_queue_init(struct packet_queue *queue);
void packet_queue_clear(struct packet_queue *queue);
struct packet *packet_new(size_t capacity) must_check; /* size 0, no name; data and name not cleared */
void packet_free(struct packet *packet);               /* with its scm */
void packet_queue_add(struct packet_queue *queue, struct packet *packet);
/* Takes the first packet off; it is the caller's. */
struct packet *packet_queue_take(struct packet_queue *queue);
static inline struct packet *packet_queue_first(struct packet_queue *queue)
{
    return TAILQ_FIRST(&queue->packets);
}

/* Append up to size bytes of a stream, using room at the end of the last packet. Bytes, or -ENOMEM, -EFAULT if none. */
ssize_t packet_stream_append(struct packet_queue *queue, struct iov_iter *from, size_t size);
/* Move stream bytes from `offset` on into `to`; consumed unless peek (offset must be 0 then). -EFAULT if none. */
ssize_t packet_stream_read(struct packet_queue *queue, struct iov_iter *to, size_t offset, size_t size, bool peek);
/* Consumes up to size stream bytes unread; how many. */
size_t packet_stream_discard(struct packet_queue *queue, size_t size);

#endif

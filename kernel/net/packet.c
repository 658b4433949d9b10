/* Queues of packets: see packet.h. */
#include <asm/errno.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/packet.h"
#include "kernel/net/scm.h"

#define STREAM_PACKET_MIN 2048
#define STREAM_PACKET_MAX 65536

void packet_queue_init(struct packet_queue *queue)
{
    TAILQ_INIT(&queue->packets);
    queue->bytes = 0;
    queue->count = 0;
}

struct packet *packet_new(size_t capacity)
{
    struct packet *packet = kmalloc(sizeof(*packet) + capacity);
    if (!packet)
        return NULL;
    packet->scm = NULL;
    packet->capacity = (uint32_t)capacity;
    packet->size = 0;
    packet->offset = 0;
    packet->name_size = 0;
    packet->busy = false;
    return packet;
}

void packet_free(struct packet *packet)
{
    if (!packet)
        return;
    scm_free(packet->scm);
    kfree(packet);
}

void packet_queue_add(struct packet_queue *queue, struct packet *packet)
{
    TAILQ_INSERT_TAIL(&queue->packets, packet, link);
    queue->bytes += packet->size - packet->offset;
    queue->count++;
}

struct packet *packet_queue_take(struct packet_queue *queue)
{
    struct packet *packet = TAILQ_FIRST(&queue->packets);
    if (!packet)
        return NULL;
    TAILQ_REMOVE(&queue->packets, packet, link);
    queue->bytes -= packet->size - packet->offset;
    queue->count--;
    return packet;
}

void packet_queue_clear(struct packet_queue *queue)
{
    struct packet *packet;
    while ((packet = packet_queue_take(queue)) != NULL)
        packet_free(packet);
}

static void stream_packet_retire(struct packet_queue *queue, struct packet *packet)
{
    if (packet->offset != packet->size || packet->busy)
        return;
    TAILQ_REMOVE(&queue->packets, packet, link);
    queue->count--;
    packet_free(packet);
}

ssize_t packet_stream_append(struct packet_queue *queue, struct iov_iter *from, size_t size)
{
    size_t done = 0;
    while (done < size) {
        size_t left = size - done;
        struct packet *packet = TAILQ_LAST(&queue->packets, packet_list);
        bool fresh = !packet || packet->scm || packet->size == packet->capacity;
        if (fresh) {
            size_t capacity = MIN(MAX(left, (size_t)STREAM_PACKET_MIN), (size_t)STREAM_PACKET_MAX);
            packet = packet_new(capacity - sizeof(*packet));
            if (!packet)
                return done ? (ssize_t)done : -ENOMEM;
        }
        packet->busy = true;
        size_t n =
            copy_from_iter(from, packet->data + packet->size, MIN(left, (size_t)(packet->capacity - packet->size)));
        packet->busy = false;
        packet->size += (uint32_t)n;
        done += n;
        if (fresh && n > 0) {
            packet_queue_add(queue, packet);
        } else if (fresh) {
            packet_free(packet);
        } else {
            queue->bytes += n;
            stream_packet_retire(queue, packet);
        }
        if (n == 0)
            return done ? (ssize_t)done : -EFAULT;
    }
    return (ssize_t)done;
}

ssize_t packet_stream_read(struct packet_queue *queue, struct iov_iter *to, size_t offset, size_t size, bool peek)
{
    size_t done = 0;
    struct packet *packet = TAILQ_FIRST(&queue->packets);
    while (packet && done < size) {
        struct packet *next = TAILQ_NEXT(packet, link);
        size_t there = packet->size - packet->offset;
        if (offset >= there) {
            offset -= there;
            packet = next;
            continue;
        }
        size_t wanted = MIN(there - offset, size - done);
        size_t n = copy_to_iter(to, packet->data + packet->offset + offset, wanted);
        done += n;
        offset = 0;
        if (!peek) {
            packet->offset += (uint32_t)n;
            queue->bytes -= n;
            stream_packet_retire(queue, packet);
        }
        if (n < wanted)
            return done ? (ssize_t)done : -EFAULT;
        packet = next;
    }
    return (ssize_t)done;
}

size_t packet_stream_discard(struct packet_queue *queue, size_t size)
{
    size_t done = 0;
    struct packet *packet = TAILQ_FIRST(&queue->packets), *next;
    for (; packet && done < size; packet = next) {
        size_t n = MIN(size - done, (size_t)(packet->size - packet->offset));
        next = TAILQ_NEXT(packet, link);
        packet->offset += (uint32_t)n;
        queue->bytes -= n;
        done += n;
        stream_packet_retire(queue, packet);
    }
    return done;
}

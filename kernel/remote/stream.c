/* Streams of bytes over links (contract in stream.h). */
#include "kernel/remote/stream.h"

#include <linux/errno.h>

#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/remote/area.h"
#include "kernel/sched/task.h"

#define PIECE 0x10000UL /* bytes of a record */
#define SMALL 0x1000UL  /* what is smaller is gathered */

struct link_stream {
    struct stream stream;
    TAILQ_ENTRY(link_stream) entry;
    struct link link;
    struct wait_queue wait; /* for something to read */
    size_t gathered;
    struct record *in; /* being read */
    size_t in_at;
    uint8_t gather[2 * SMALL];
};

static TAILQ_HEAD(, link_stream) streams = TAILQ_HEAD_INITIALIZER(streams);

/* ---- writing ---- */

static int send(struct link_stream *s, const void *data, size_t size)
{
    int r = link_backlogged(&s->link) ? link_wait(&s->link) : 0;
    while (r == 0 && (r = link_send(&s->link, data, size)) == -ENOMEM) {
        r = link_wait(&s->link);
        task_yield();
    }
    return r;
}

static int send_gathered(struct link_stream *s)
{
    size_t size = s->gathered;
    s->gathered = 0;
    return size ? send(s, s->gather, size) : 0;
}

static int stream_do_write(struct stream *stream, const void *data, size_t size)
{
    struct link_stream *s = container_of(stream, struct link_stream, stream);
    const uint8_t *p = data;
    int r = 0;
    if (s->gathered + size > sizeof(s->gather) || size >= SMALL)
        r = send_gathered(s);
    if (r == 0 && size < SMALL) {
        memcpy(s->gather + s->gathered, data, size);
        s->gathered += size;
        return 0;
    }
    while (r == 0 && size > 0) {
        size_t n = MIN(size, PIECE);
        r = send(s, p, n);
        p += n;
        size -= n;
    }
    return r;
}

int link_stream_flush(struct link_stream *s)
{
    int r = send_gathered(s);
    return r < 0 ? r : link_wait(&s->link);
}

/* ---- reading ---- */

static int receive(struct link_stream *s)
{
    struct wait_entry entry;
    int r;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&s->wait, &entry);
    for (;;) {
        task_prepare_sleep(false);
        link_poll(&s->link);
        r = link_receive(&s->link, &s->in);
        if (r != -EAGAIN)
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
    s->in_at = 0;
    return r == -EBADMSG ? -EPIPE : r;
}

static int stream_do_read(struct stream *stream, void *data, size_t size)
{
    struct link_stream *s = container_of(stream, struct link_stream, stream);
    uint8_t *p = data;
    while (size > 0) {
        int r = s->in ? 0 : receive(s);
        if (r < 0)
            return r;
        size_t n = MIN(size, s->in->size - s->in_at);
        memcpy(p, s->in->data + s->in_at, n);
        s->in_at += n;
        p += n;
        size -= n;
        if (s->in_at == s->in->size) {
            kfree(s->in);
            s->in = NULL;
        }
    }
    return 0;
}

/* ---- life ---- */

struct link_stream *link_stream_open(const struct stream_place *place, unsigned side)
{
    struct link_stream *s = kzalloc(sizeof(*s));
    if (!s)
        return NULL;
    s->stream = (struct stream){stream_do_write, stream_do_read};
    wait_queue_init(&s->wait);
    link_open(&s->link, place->number, side, place->peer, place->key);
    TAILQ_INSERT_TAIL(&streams, s, entry);
    return s;
}

struct stream *link_stream_bytes(struct link_stream *s)
{
    return &s->stream;
}

void link_stream_close(struct link_stream *s)
{
    if (!s)
        return;
    TAILQ_REMOVE(&streams, s, entry);
    link_close(&s->link);
    kfree(s->in);
    kfree(s);
}

void link_stream_cut(uint32_t number)
{
    struct link_stream *s;
    TAILQ_FOREACH (s, &streams, entry) {
        if (s->link.number != number)
            continue;
        link_kill(&s->link, "the other enclave has ended");
        wake_up_all(&s->wait, 0);
    }
}

void stream_poll(void)
{
    struct link_stream *s;
    TAILQ_FOREACH (s, &streams, entry) {
        link_poll(&s->link);
        wake_up_all(&s->wait, 0);
    }
}

bool stream_busy(void)
{
    return !TAILQ_EMPTY(&streams);
}

/* ---- numbers ---- */

static uint64_t *used; /* bit map of links above the members' */

uint32_t stream_number_new(void)
{
    uint32_t first = link_area_member_max() + 1, count = link_area_link_count() - first;
    if (!used)
        used = kzalloc((count + 63) / 64 * sizeof(*used));
    for (uint32_t i = 0; used && i < count; i++) {
        if (used[i / 64] >> (i % 64) & 1)
            continue;
        used[i / 64] |= 1ULL << (i % 64);
        return first + i;
    }
    return 0;
}

void stream_number_free(uint32_t number)
{
    uint32_t i = number - link_area_member_max() - 1;
    if (number)
        used[i / 64] &= ~(1ULL << (i % 64));
}

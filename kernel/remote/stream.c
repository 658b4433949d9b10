/* Streams of bytes over links (contract in stream.h). */
#include "kernel/remote/stream.h"

#include <linux/errno.h>

#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/remote/area.h"
#include "kernel/remote/check.h"
#include "kernel/remote/remote.h"
#include "kernel/sched/task.h"

#define PIECE 0x8000UL /* bytes of a record: some that the processor's cache holds fill the ring */
#define SMALL 0x1000UL /* what is smaller is gathered */

struct link_stream {
    struct stream stream;
    TAILQ_ENTRY(link_stream) entry;
    struct link link;
    uint64_t id;
    struct wait_queue wait; /* for something to read */
    size_t gathered;
    struct record *in; /* being read */
    size_t in_at;
    uint8_t gather[2 * SMALL];
};

static TAILQ_HEAD(, link_stream) streams = TAILQ_HEAD_INITIALIZER(streams);

/* ---- while much is moved ---- */

/*
 * Both ends work at the same time and are hardly ever far apart, so that neither sleeps: this task looks at the
 * doorbell itself, and the other end need not wake anybody.
 */
static void busy_begin(void)
{
    doorbell_set_polling(true);
}

/* Also before a sleep: what was rung meanwhile woke nobody. */
static void busy_end(void)
{
    doorbell_set_polling(false);
    remote_poll();
}

/* ---- writing ---- */

static bool has_room(const void *link)
{
    return link_has_room(link, PIECE);
}

static int send(struct link_stream *s, const void *data, size_t size)
{
    int r = 0;
    if (link_backlogged(&s->link)) {
        busy_end();
        r = link_wait(&s->link);
        busy_begin();
    }
    (void)remote_look_out(has_room, &s->link);
    while (r == 0 && (r = link_send(&s->link, data, size)) == -ENOMEM) {
        busy_end();
        r = link_wait(&s->link);
        task_yield();
        busy_begin();
    }
    return r;
}

static int send_gathered(struct link_stream *s)
{
    size_t size = s->gathered;
    s->gathered = 0;
    return size ? send(s, s->gather, size) : 0;
}

static int send_pieces(struct link_stream *s, const uint8_t *data, size_t size)
{
    int r = 0;
    for (size_t n; r == 0 && size > 0; data += n, size -= n) {
        n = MIN(size, PIECE);
        r = send(s, data, n);
    }
    return r;
}

static int stream_do_write(struct stream *stream, const void *data, size_t size)
{
    struct link_stream *s = container_of(stream, struct link_stream, stream);
    int r = 0;
    if (size >= SMALL || s->gathered + size > sizeof(s->gather)) {
        busy_begin();
        r = send_gathered(s);
        if (r == 0 && size >= SMALL)
            r = send_pieces(s, data, size);
        busy_end();
    }
    if (r == 0 && size < SMALL) {
        memcpy(s->gather + s->gathered, data, size);
        s->gathered += size;
    }
    return r;
}

int link_stream_flush(struct link_stream *s)
{
    busy_begin();
    int r = send_gathered(s);
    busy_end();
    return r < 0 ? r : link_wait(&s->link);
}

/* ---- reading ---- */

/* The next record: straight to dst if it is not longer than max, else it is kept and *ret_size is 0. */
static int take(struct link_stream *s, void *dst, size_t max, size_t *ret_size)
{
    int r = link_receive_to(&s->link, dst, max, ret_size);
    if (r != -EMSGSIZE)
        return r;
    *ret_size = 0;
    s->in_at = 0;
    return link_receive(&s->link, &s->in);
}

static void sleep(struct link_stream *s)
{
    struct wait_entry entry;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&s->wait, &entry);
    task_prepare_sleep(false);
    if (!link_has_message(&s->link))
        (void)!task_sleep(NO_DEADLINE);
    task_cancel_sleep();
    wait_queue_remove(&entry);
}

static bool has_message(const void *link)
{
    return link_has_message(link);
}

static int receive(struct link_stream *s, void *dst, size_t max, size_t *ret_size)
{
    int r;
    busy_begin();
    for (;;) {
        link_poll(&s->link);
        r = take(s, dst, max, ret_size);
        if (r != -EAGAIN)
            break;
        if (remote_look_out(has_message, &s->link))
            continue;
        busy_end();
        sleep(s);
        busy_begin();
    }
    busy_end();
    return r == -EBADMSG ? -EPIPE : r;
}

/* Of the record that is kept. */
static size_t take_kept(struct link_stream *s, void *dst, size_t max)
{
    size_t n = MIN(max, s->in->size - s->in_at);
    memcpy(dst, s->in->data + s->in_at, n);
    s->in_at += n;
    if (s->in_at == s->in->size) {
        kfree(s->in);
        s->in = NULL;
    }
    return n;
}

static int stream_do_read(struct stream *stream, void *data, size_t size)
{
    struct link_stream *s = container_of(stream, struct link_stream, stream);
    uint8_t *p = data;
    for (size_t n; size > 0; p += n, size -= n) {
        int r = 0;
        if (s->in)
            n = take_kept(s, p, size);
        else
            r = receive(s, p, size, &n);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- life ---- */

/* What was cut lately: it may be opened only after that was heard of. */
static uint64_t cut[16];
static size_t cut_next;

static bool was_cut(uint64_t id)
{
    for (size_t i = 0; i < ARRAY_COUNT(cut); i++)
        if (cut[i] == id)
            return true;
    return false;
}

#define GONE "the other enclave has ended"

struct link_stream *link_stream_open(const struct stream_place *place, unsigned side)
{
    struct link_stream *s = stream_place_ok(place) ? kzalloc(sizeof(*s)) : NULL;
    if (!s)
        return NULL;
    s->id = place->id;
    s->stream = (struct stream){stream_do_write, stream_do_read};
    wait_queue_init(&s->wait);
    link_open(&s->link, place->number, side, place->peer, place->key);
    if (was_cut(s->id))
        link_kill(&s->link, GONE);
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

void link_stream_cut(uint64_t id)
{
    struct link_stream *s;
    cut[cut_next++ % ARRAY_COUNT(cut)] = id;
    TAILQ_FOREACH (s, &streams, entry) {
        if (s->id != id)
            continue;
        link_kill(&s->link, GONE);
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

#define FREE 0U
#define IN_USE (~0U)

static uint32_t *numbers; /* of links above the members': FREE, IN_USE, or the member that must be gone first */

static uint32_t first_number(void)
{
    return link_area_member_max() + 1;
}

static uint32_t number_count(void)
{
    return link_area_link_count() - first_number();
}

uint32_t stream_number_new(void)
{
    if (!numbers)
        numbers = kzalloc(MAX(number_count(), 1U) * sizeof(*numbers));
    for (uint32_t i = 0; numbers && i < number_count(); i++) {
        if (numbers[i] != FREE)
            continue;
        numbers[i] = IN_USE;
        return first_number() + i;
    }
    return 0;
}

void stream_number_free(uint32_t number)
{
    if (number)
        numbers[number - first_number()] = FREE;
}

void stream_number_retire(uint32_t number, uint32_t member)
{
    numbers[number - first_number()] = member;
}

void stream_numbers_release(uint32_t member)
{
    for (uint32_t i = 0; numbers && i < number_count(); i++)
        if (numbers[i] == member)
            numbers[i] = FREE;
}

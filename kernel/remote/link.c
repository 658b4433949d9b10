/* Links (contract in link.h). */
#include "kernel/remote/link.h"

#include <linux/errno.h>

#include "abi/link.h"
#include "kernel/arch/untrusted.h"
#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/secret.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/remote/area.h"
#include "kernel/sched/task.h"

struct record_header {
    uint32_t size;
    uint32_t zero;
};

#define RECORD_SIZE(size) ALIGN_UP(sizeof(struct record_header) + (size) + AES_GCM_TAG_SIZE, 8UL)
#define RECORD_SIZE_MAX RECORD_SIZE(LINK_MESSAGE_MAX)

#define RING_EVERY 64

static TAILQ_HEAD(, link) unrung = TAILQ_HEAD_INITIALIZER(unrung);
static unsigned corks;

static const char label[] = "cofre link 1";

/* Where records are sealed. The kernel lock is held from filling to emptying it. */
static uint8_t scratch[RECORD_SIZE_MAX] __attribute__((aligned(64)));

static host_ptr field(const struct link *link, size_t offset)
{
    return host_ptr_add(link->shared, offset);
}

/* The words of ring `side`. Each has a cache line, so its unused other half may be written with it. */
static host_ptr head_of(const struct link *link, unsigned side)
{
    return field(link, offsetof(struct link_shared, ring) + side * sizeof(struct link_ring) +
                           offsetof(struct link_ring, head));
}

static host_ptr tail_of(const struct link *link, unsigned side)
{
    return field(link, offsetof(struct link_shared, ring) + side * sizeof(struct link_ring) +
                           offsetof(struct link_ring, tail));
}

void link_kill(struct link *link, const char *why)
{
    if (link->state == LINK_DEAD)
        return;
    link->state = LINK_DEAD;
    link->failure = why;
    wake_up_all(&link->room_wait, 0);
}

/* Whoever looks after links must hear of it, though it may be a sender who found out, and nothing may come any more. */
static int die(struct link *link, const char *why)
{
    link_kill(link, why);
    doorbell_ring(link_area_self());
    return -EBADMSG;
}

void link_reset(uint32_t number)
{
    struct link_shared fresh;
    memset(&fresh, 0, sizeof(fresh));
    untrusted_copy_out(link_area_link(number), &fresh, sizeof(fresh));
}

void link_open(struct link *link, uint32_t number, unsigned side, uint32_t peer, const uint8_t base_key[LINK_KEY_SIZE])
{
    ASSERT(number > 0 && number < link_area_link_count() && side < 2);
    memset(link, 0, sizeof(*link));
    link->state = LINK_GREETING;
    link->number = number;
    link->side = side;
    link->peer = peer;
    link->shared = link_area_link(number);
    link->out_ring = link_area_ring(number, side);
    link->in_ring = link_area_ring(number, !side);
    link->ring_size = link_area_ring_size();
    memcpy(link->base_key, base_key, LINK_KEY_SIZE);
    TAILQ_INIT(&link->queue);
    wait_queue_init(&link->room_wait);
    random_bytes(link->nonce, sizeof(link->nonce));
    untrusted_copy_out(field(link, offsetof(struct link_shared, nonce) + side * sizeof(link->nonce)), link->nonce,
                       sizeof(link->nonce));
    untrusted_store32(field(link, offsetof(struct link_shared, nonce_ready) + side * sizeof(uint32_t)), 1);
    doorbell_ring(peer);
    link_poll(link);
}

static void queue_drop(struct link *link)
{
    struct record *record;
    while ((record = TAILQ_FIRST(&link->queue))) {
        TAILQ_REMOVE(&link->queue, record, entry);
        memory_wipe(record->data, record->size);
        kfree(record);
    }
    link->queue_bytes = 0;
}

void link_close(struct link *link)
{
    ASSERT(!wait_queue_active(&link->room_wait));
    if (link->state != LINK_CLOSED)
        queue_drop(link);
    if (link->unrung)
        TAILQ_REMOVE(&unrung, link, unrung_entry);
    memory_wipe(link, sizeof(*link));
}

/* ---- handshake ---- */

static void derive_keys(struct link *link, const uint8_t peer_nonce[32])
{
    uint8_t salt[64], info[sizeof(label) + 4], keys[2 * AES_GCM_KEY_SIZE];
    memcpy(salt + link->side * 32UL, link->nonce, 32);
    memcpy(salt + !link->side * 32UL, peer_nonce, 32);
    memcpy(info, label, sizeof(label));
    memcpy(info + sizeof(label), &link->number, 4);
    hkdf_sha256(link->base_key, LINK_KEY_SIZE, salt, sizeof(salt), info, sizeof(info), keys, sizeof(keys));
    aes_gcm_key_init(&link->send_key, keys + link->side * AES_GCM_KEY_SIZE);
    aes_gcm_key_init(&link->receive_key, keys + !link->side * AES_GCM_KEY_SIZE);
    memory_wipe(keys, sizeof(keys));
    memory_wipe(link->base_key, LINK_KEY_SIZE);
}

static bool greeted(const struct link *link)
{
    unsigned other = !link->side;
    return untrusted_load32(field(link, offsetof(struct link_shared, nonce_ready) + other * sizeof(uint32_t))) != 0;
}

static void greet(struct link *link)
{
    uint8_t nonce[32];
    unsigned other = !link->side;
    if (!greeted(link))
        return;
    untrusted_copy_in(nonce, field(link, offsetof(struct link_shared, nonce) + other * sizeof(nonce)), sizeof(nonce));
    derive_keys(link, nonce);
    link->state = LINK_OPEN;
}

/* ---- sending ---- */

static void record_nonce(uint64_t number, uint8_t ret_nonce[AES_GCM_NONCE_SIZE])
{
    memset(ret_nonce, 0, AES_GCM_NONCE_SIZE);
    memcpy(ret_nonce, &number, sizeof(number));
}

static void ring_put(struct link *link, const void *src, size_t size)
{
    uint32_t at = link->head & (link->ring_size - 1);
    size_t first = MIN(size, (size_t)link->ring_size - at);
    untrusted_copy_out_own(host_ptr_add(link->out_ring, at), src, first);
    untrusted_copy_out_own(link->out_ring, (const uint8_t *)src + first, size - first);
    link->head += (uint32_t)size;
}

/* Bytes in the out ring that the other side has not read, as it says. */
static uint32_t out_used(const struct link *link)
{
    return link->head - (uint32_t)untrusted_peek64(tail_of(link, link->side));
}

/*
 * Room for a record? If not, the consumer will ring when there is: it looks at the head after it has moved the tail,
 * and this looks at the tail once more after the head was moved, so one of the two sees the other. 0, -EAGAIN,
 * -EBADMSG.
 */
static int make_sure_of_room(struct link *link, size_t total)
{
    uint32_t used = out_used(link);
    if (used <= link->ring_size && total > link->ring_size - used) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        used = out_used(link);
    }
    if (used > link->ring_size)
        return die(link, "how much of a link's ring was read");
    return total > link->ring_size - used ? -EAGAIN : 0;
}

static int seal(struct link *link, const void *message, size_t size)
{
    struct record_header header = {.size = (uint32_t)size};
    uint8_t nonce[AES_GCM_NONCE_SIZE], *cipher = scratch + sizeof(header);
    size_t total = RECORD_SIZE(size);
    int r = make_sure_of_room(link, total);
    if (r < 0)
        return r;
    record_nonce(link->sent++, nonce);
    memcpy(scratch, &header, sizeof(header));
    aes_gcm_seal(&link->send_key, nonce, &header, sizeof(header), message, size, cipher, cipher + size);
    memset(cipher + size + AES_GCM_TAG_SIZE, 0, total - sizeof(header) - size - AES_GCM_TAG_SIZE);
    ring_put(link, scratch, total);
    untrusted_poke64(head_of(link, link->side), link->head);
    return 0;
}

static int enqueue(struct link *link, const void *message, size_t size)
{
    struct record *record = kmalloc_transient(sizeof(*record) + size);
    if (!record)
        return -ENOMEM;
    record->size = size;
    memcpy(record->data, message, size);
    TAILQ_INSERT_TAIL(&link->queue, record, entry);
    link->queue_bytes += size;
    return 0;
}

static void ring(struct link *link)
{
    if (link->unrung)
        TAILQ_REMOVE(&unrung, link, unrung_entry);
    link->unrung = 0;
    link->quiet = false;
    link->peer_awake = doorbell_ring(link->peer);
}

static void ring_or_cork(struct link *link)
{
    if (corks == 0 || link->unrung + 1 == RING_EVERY) {
        ring(link);
        return;
    }
    if (link->unrung++ == 0)
        TAILQ_INSERT_TAIL(&unrung, link, unrung_entry);
}

void link_cork(void)
{
    corks++;
}

void link_uncork(void)
{
    struct link *link;
    if (--corks > 0)
        return;
    while ((link = TAILQ_FIRST(&unrung)) != NULL)
        ring(link);
}

static int send(struct link *link, const void *message, size_t size, bool loud)
{
    ASSERT(size > 0 && size <= LINK_MESSAGE_MAX);
    if (link->state == LINK_DEAD || link->state == LINK_CLOSED)
        return -EPIPE;
    if (link->state == LINK_GREETING)
        link_poll(link);
    if (link->state == LINK_GREETING || !TAILQ_EMPTY(&link->queue))
        return enqueue(link, message, size);
    int r = seal(link, message, size);
    if (r == 0 && loud)
        ring_or_cork(link);
    else if (r == 0)
        link->quiet = true;
    return r == -EAGAIN ? enqueue(link, message, size) : r == 0 ? 0 : -EPIPE;
}

int link_send(struct link *link, const void *message, size_t size)
{
    return send(link, message, size, true);
}

int link_send_quietly(struct link *link, const void *message, size_t size)
{
    return send(link, message, size, false);
}

bool link_unrung(const struct link *link)
{
    return link->quiet;
}

void link_ring(struct link *link)
{
    ring(link);
}

bool link_has_room(const struct link *link, size_t size)
{
    if (link->state == LINK_GREETING)
        return greeted(link);
    return link->state != LINK_OPEN ||
           (TAILQ_EMPTY(&link->queue) && out_used(link) <= link->ring_size - RECORD_SIZE(size));
}

bool link_drained(const struct link *link)
{
    return link->state != LINK_OPEN || (TAILQ_EMPTY(&link->queue) && out_used(link) == 0);
}

bool link_backlogged(const struct link *link)
{
    return link->state != LINK_DEAD && !TAILQ_EMPTY(&link->queue);
}

int link_wait(struct link *link)
{
    struct wait_entry entry;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&link->room_wait, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (!link_backlogged(link))
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
    return link->state == LINK_DEAD ? -EPIPE : 0;
}

static void flush(struct link *link)
{
    struct record *record;
    bool sent = false;
    while ((record = TAILQ_FIRST(&link->queue)) && seal(link, record->data, record->size) == 0) {
        TAILQ_REMOVE(&link->queue, record, entry);
        link->queue_bytes -= record->size;
        memory_wipe(record->data, record->size);
        kfree(record);
        sent = true;
    }
    if (!sent)
        return;
    doorbell_ring(link->peer);
    if (!record)
        wake_up_all(&link->room_wait, 0);
}

void link_poll(struct link *link)
{
    if (link->state == LINK_GREETING)
        greet(link);
    if (link->state == LINK_OPEN && !TAILQ_EMPTY(&link->queue))
        flush(link);
}

/* ---- receiving ---- */

static void ring_get(const struct link *link, uint32_t position, void *dst, size_t size)
{
    uint32_t at = position & (link->ring_size - 1);
    size_t first = MIN(size, (size_t)link->ring_size - at);
    untrusted_copy_in(dst, host_ptr_add(link->in_ring, at), first);
    untrusted_copy_in((uint8_t *)dst + first, link->in_ring, size - first);
}

/*
 * The producer may have found no room: it does not see the tail move unless it is told (make_sure_of_room()). That is
 * when half of the ring is free, so that what it sends next is many records. Who has no room has more than `low` in it.
 */
static void consume(struct link *link, size_t total)
{
    const uint32_t low = (uint32_t)MIN(link->ring_size / 2, link->ring_size - RECORD_SIZE_MAX);
    uint32_t before = link->tail;
    link->tail += (uint32_t)total;
    untrusted_poke64(tail_of(link, !link->side), link->tail);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint32_t used = (uint32_t)untrusted_peek64(head_of(link, !link->side)) - before;
    if (used > low && used - (uint32_t)total <= low)
        doorbell_ring(link->peer);
}

bool link_has_message(const struct link *link)
{
    if (link->state == LINK_GREETING)
        return greeted(link);
    return link->state != LINK_OPEN || (uint32_t)untrusted_peek64(head_of(link, !link->side)) != link->tail;
}

/* Copies the header of the next record in, and checks it. */
static int next_header(struct link *link, struct record_header *ret_header)
{
    if (link->state != LINK_OPEN)
        return link->state == LINK_GREETING ? -EAGAIN : -EPIPE;
    uint32_t used = (uint32_t)untrusted_peek64(head_of(link, !link->side)) - link->tail;
    if (used == 0)
        return -EAGAIN;
    if (used > link->ring_size || used < sizeof(*ret_header))
        return die(link, "how much of a link's ring was written");
    ring_get(link, link->tail, ret_header, sizeof(*ret_header));
    if (ret_header->size == 0 || ret_header->size > LINK_MESSAGE_MAX || RECORD_SIZE(ret_header->size) > used)
        return die(link, "the size of a record");
    return 0;
}

/* The record comes whole into dst, which only then is looked at. */
static int open_record(struct link *link, const struct record_header *header, void *dst)
{
    uint8_t nonce[AES_GCM_NONCE_SIZE], tag[AES_GCM_TAG_SIZE];
    ring_get(link, link->tail + (uint32_t)sizeof(*header), dst, header->size);
    ring_get(link, link->tail + (uint32_t)sizeof(*header) + header->size, tag, sizeof(tag));
    record_nonce(link->received++, nonce);
    if (aes_gcm_open(&link->receive_key, nonce, header, sizeof(*header), dst, header->size, tag, dst) < 0)
        return die(link, "a record: it was not sealed by the other enclave for this place");
    consume(link, RECORD_SIZE(header->size));
    return 0;
}

int link_receive(struct link *link, struct record **ret_record)
{
    struct record_header header;
    int r = next_header(link, &header);
    if (r < 0)
        return r;
    struct record *record = kmalloc_transient(sizeof(*record) + header.size);
    if (!record)
        return -ENOMEM;
    record->size = header.size;
    r = open_record(link, &header, record->data);
    if (r < 0)
        kfree(record);
    else
        *ret_record = record;
    return r;
}

int link_receive_to(struct link *link, void *dst, size_t max, size_t *ret_size)
{
    struct record_header header;
    int r = next_header(link, &header);
    if (r == 0 && header.size > max)
        return -EMSGSIZE;
    if (r == 0)
        r = open_record(link, &header, dst);
    if (r == 0)
        *ret_size = header.size;
    return r;
}

/* Channels: rings, queues and events of the arena, with every word of the host checked. */
#include <asm/errno.h>

#include "kernel/arch/hostcall.h"
#include "kernel/arch/untrusted.h"
#include "kernel/boot/boot.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/channel.h"
#include "kernel/sched/wait.h"

#define CHANNEL_COUNT_MAX 65536U
#define RING_SIZE_MIN 4096U
#define RING_SIZE_MAX (1U << 26)
#define CHUNK_SHIFT 6
#define CHUNK_SIZE (1U << CHUNK_SHIFT)

/* Past this many bytes a writer looks whether the ring has emptied, so that it can go back to its first lines. */
#define BASE_AFTER 256U

uint32_t chan_ring_bytes;

static struct {
    uint32_t count;
    host_ptr ready, dirty, channels, rings;
    uint32_t ready_tail;
    uint32_t dirty_head;
    struct chan **chunks;    /* of CHUNK_SIZE channels, made when one of them is first used */
    struct chan *free;       /* of the kernel's half, last used first */
    uint32_t dirty_pair;     /* the dirty entry before an odd one: both share a word */
    uint64_t received, sent; /* bytes */
    uint32_t never_used;     /* even numbers from here on were never handed out */
    bool borrower;           /* channels are another enclave's, but those that begin here */
    struct chan *queued;     /* a borrower's: to be made dirty by the owner */
    uint32_t closing;        /* in state CHAN_CLOSING */
    uint64_t closed;         /* were, so far */
} arena;
static struct wait_queue closed_wait = {TAILQ_HEAD_INITIALIZER(closed_wait.entries)};

#define SHARED(c, field) host_ptr_add((c)->shared, offsetof(struct channel, field))

/* The arena's range is checked once; its words are read and written in pairs of 32 bits. What shares a word: */
#define PAIRED(a, b)                                                                                                   \
    _Static_assert(offsetof(struct channel, a) % 8 == 0 &&                                                             \
                       offsetof(struct channel, b) == offsetof(struct channel, a) + 4,                                 \
                   "pair")
PAIRED(rx_head, tx_tail);
PAIRED(host_events, host_error);
PAIRED(ready_queued, rx_base);
PAIRED(rx_tail, tx_head);
PAIRED(tx_base, pad1);
_Static_assert(offsetof(struct arena_queue, tail) % 8 == 0 && offsetof(struct arena_queue, entries) % 8 == 0, "pairs");

static inline uint32_t low(uint64_t word)
{
    return (uint32_t)word;
}
static inline uint32_t high(uint64_t word)
{
    return (uint32_t)(word >> 32);
}
static inline uint64_t pair(uint32_t l, uint32_t h)
{
    return l | (uint64_t)h << 32;
}

static bool region_ok(uint64_t offset, uint64_t size, uint64_t arena_size)
{
    return offset % 128 == 0 && offset <= arena_size && size <= arena_size - offset;
}

/* Of this enclave's own pump, if there is to be one. */
static void own_queues(uint32_t n)
{
    const struct boot_blob *blob = &boot_params()->queues;
    host_ptr base = {blob->addr};
    if (blob->size == 0)
        return;
    if (blob->size < 2 * MEMBER_QUEUE_SIZE(n) || base.addr % PAGE_SIZE || !untrusted_range_ok(base, blob->size))
        host_lied("the queues of a pump: place");
    arena.ready = base;
    arena.dirty = host_ptr_add(base, MEMBER_QUEUE_SIZE(n));
}

void chan_init(bool borrower)
{
    const struct boot_blob *blob = &boot_params()->arena;
    struct arena_header h;
    if (blob->size == 0)
        return;
    host_ptr base = {blob->addr};
    if (blob->size < sizeof(h) || base.addr % PAGE_SIZE || !untrusted_range_ok(base, blob->size))
        host_lied("arena: place");
    untrusted_copy_in(&h, base, sizeof(h));
    uint32_t n = h.channel_count;
    if (h.magic != ARENA_MAGIC || n < 2 * CHUNK_SIZE || n > CHANNEL_COUNT_MAX || (n & (n - 1)) ||
        h.ring_size < RING_SIZE_MIN || h.ring_size > RING_SIZE_MAX || (h.ring_size & (h.ring_size - 1)))
        host_lied("arena: header");
    uint64_t queue_size = sizeof(struct arena_queue) + n * sizeof(uint32_t);
    if (!region_ok(h.ready_offset, queue_size, blob->size) || !region_ok(h.dirty_offset, queue_size, blob->size) ||
        !region_ok(h.channels_offset, (uint64_t)n * sizeof(struct channel), blob->size) ||
        !region_ok(h.rings_offset, (uint64_t)n * 2 * h.ring_size, blob->size))
        host_lied("arena: offsets");
    arena.chunks = kzalloc(n / CHUNK_SIZE * sizeof(struct chan *));
    if (!arena.chunks)
        panic("no memory for the arena");
    chan_ring_bytes = h.ring_size;
    if (!borrower) {
        arena.ready = host_ptr_add(base, h.ready_offset);
        arena.dirty = host_ptr_add(base, h.dirty_offset);
    } else {
        own_queues(n);
    }
    arena.channels = host_ptr_add(base, h.channels_offset);
    arena.rings = host_ptr_add(base, h.rings_offset);
    arena.never_used = ALIGN_UP(CHANNEL_FIRST_SOCKET, 2);
    arena.borrower = borrower;
    arena.count = n;
}

static bool chunk_make(uint32_t number)
{
    struct chan *chunk = kzalloc(CHUNK_SIZE * sizeof(struct chan));
    if (!chunk)
        return false;
    for (uint32_t i = 0; i < CHUNK_SIZE; i++) {
        struct chan *c = &chunk[i];
        c->number = ALIGN_DOWN(number, CHUNK_SIZE) + i;
        c->shared = host_ptr_add(arena.channels, (uint64_t)c->number * sizeof(struct channel));
        c->rx = host_ptr_add(arena.rings, (uint64_t)c->number * 2 * chan_ring_bytes);
        c->tx = host_ptr_add(c->rx, chan_ring_bytes);
    }
    arena.chunks[number >> CHUNK_SHIFT] = chunk;
    return true;
}

/* The private state of a channel; NULL if it was never used. */
static inline struct chan *chan_find(uint32_t number)
{
    struct chan *chunk = arena.chunks[number >> CHUNK_SHIFT];
    return chunk ? &chunk[number & (CHUNK_SIZE - 1)] : NULL;
}

/* The same, made if need be; NULL when out of memory. */
static struct chan *chan_make(uint32_t number)
{
    struct chan *c = chan_find(number);
    return c || !chunk_make(number) ? c : chan_find(number);
}

static void chan_open(struct chan *c, void (*news)(struct chan *, uint32_t), void *owner)
{
    c->state = CHAN_OPEN;
    c->flags = 0;
    c->rx_head = c->rx_tail = c->rx_base = 0;
    c->tx_head = c->tx_tail = c->tx_base = 0;
    c->rx_was_half_full = false;
    c->lent = c->elsewhere = false;
    c->news = news;
    c->owner = owner;
}

struct chan *chan_alloc(void (*news)(struct chan *, uint32_t), void *owner)
{
    struct chan *c = arena.free;
    if (c) {
        arena.free = c->next_free;
    } else {
        if (arena.never_used >= arena.count)
            return NULL;
        c = chan_make(arena.never_used);
        if (!c)
            return NULL;
        arena.never_used += 2;
    }
    chan_open(c, news, owner);
    return c;
}

void chan_unalloc(struct chan *c)
{
    c->state = CHAN_FREE;
    c->owner = NULL;
    c->next_free = arena.free;
    arena.free = c;
}

struct chan *chan_adopt(uint32_t number, void (*news)(struct chan *, uint32_t), void *owner)
{
    if (number < CHANNEL_FIRST_SOCKET || number >= arena.count || number % 2 == 0)
        host_lied("accepted channel: number");
    if (!arena.dirty.addr)
        host_lied("accepted channel: there is no pump for it");
    struct chan *c = chan_make(number);
    if (!c)
        return NULL;
    if (c->state == CHAN_OPEN)
        host_lied("accepted channel: in use");
    chan_open(c, news, owner);
    return c;
}

struct chan *chan_console(uint32_t number, void (*news)(struct chan *, uint32_t), void *owner)
{
    if (arena.count == 0)
        return NULL;
    struct chan *c = chan_make(number);
    if (c)
        chan_open(c, news, owner);
    return c;
}

/* Queues */

static host_ptr queue_entry(host_ptr queue, uint32_t index)
{
    return host_ptr_add(queue, sizeof(struct arena_queue) + (uint64_t)(index & (arena.count - 1)) * sizeof(uint32_t));
}

static void chan_make_dirty(struct chan *c)
{
    if (unlikely(c->elsewhere)) {
        if (c->queued || c->lent)
            return;
        c->queued = true;
        c->next_free = arena.queued;
        arena.queued = c;
        return;
    }
    if (untrusted_exchange32(SHARED(c, dirty_queued), 1) != 0)
        return;
    uint32_t tail = low(untrusted_peek64(host_ptr_add(arena.dirty, offsetof(struct arena_queue, tail))));
    if (arena.dirty_head - tail >= arena.count)
        host_lied("dirty queue: tail");
    if (arena.dirty_head % 2 == 0) {
        arena.dirty_pair = c->number;
        untrusted_poke64(queue_entry(arena.dirty, arena.dirty_head), c->number);
    } else {
        untrusted_poke64(queue_entry(arena.dirty, arena.dirty_head - 1), pair(arena.dirty_pair, c->number));
    }
    arena.dirty_head++;
    untrusted_poke64(host_ptr_add(arena.dirty, offsetof(struct arena_queue, head)), arena.dirty_head);
}

bool chan_dirty_pending(void)
{
    return arena.dirty.addr &&
           low(untrusted_peek64(host_ptr_add(arena.dirty, offsetof(struct arena_queue, tail)))) != arena.dirty_head;
}

static void chan_ready(uint32_t number)
{
    if (number >= arena.count)
        host_lied("ready queue: channel");
    host_ptr shared = host_ptr_add(arena.channels, (uint64_t)number * sizeof(struct channel));
    /* Flag first, then the channel: an exchange, so that the loads below cannot pass it. */
    untrusted_exchange32(host_ptr_add(shared, offsetof(struct channel, ready_queued)), 0);
    struct chan *c = chan_find(number);
    if (!c || c->state == CHAN_FREE)
        return; /* an accepted connection whose record was not read yet; accept looks for itself */
    uint32_t events = low(untrusted_peek64(SHARED(c, host_events)));
    if (c->state == CHAN_CLOSING) {
        if (!(events & CHAN_EV_CLOSED))
            return;
        c->state = CHAN_FREE;
        arena.closing--;
        arena.closed++;
        if (wait_queue_active(&closed_wait))
            wake_up_all(&closed_wait, 0);
        if (number % 2 == 0 && number >= CHANNEL_FIRST_SOCKET) {
            c->next_free = arena.free;
            arena.free = c;
        }
        return;
    }
    if (c->news)
        c->news(c, events);
}

/* With many clients everything about a channel has left the cache since its last turn: fetch for all at once. */
static void prefetch(const uint32_t *numbers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct chan *c = numbers[i] < arena.count ? chan_find(numbers[i]) : NULL;
        if (!c || !c->owner)
            continue;
        __builtin_prefetch((const void *)c->shared.addr);
        __builtin_prefetch((const void *)(c->shared.addr + offsetof(struct channel, rx_tail)));
        __builtin_prefetch((const void *)c->rx.addr);
        __builtin_prefetch((const void *)c->tx.addr, 1);
        __builtin_prefetch(c->owner);
        __builtin_prefetch((const char *)c->owner + 64);
    }
}

#define READY_BATCH 32

bool chan_poll_ready(void)
{
    if (arena.ready.addr == 0)
        return false;
    uint32_t head = low(untrusted_peek64(host_ptr_add(arena.ready, offsetof(struct arena_queue, head))));
    uint32_t left = head - arena.ready_tail;
    if (left == 0)
        return false;
    if (left > arena.count)
        host_lied("ready queue: head");
    while (left > 0) {
        uint32_t numbers[READY_BATCH];
        uint32_t n = MIN(left, (uint32_t)READY_BATCH);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = arena.ready_tail + i;
            uint64_t word = untrusted_peek64(queue_entry(arena.ready, at & ~1U));
            numbers[i] = at % 2 ? high(word) : low(word);
        }
        /* The slots are free before any flag is, so the host never finds the queue over-full. */
        arena.ready_tail += n;
        untrusted_poke64(host_ptr_add(arena.ready, offsetof(struct arena_queue, tail)), arena.ready_tail);
        prefetch(numbers, n);
        for (uint32_t i = 0; i < n; i++)
            chan_ready(numbers[i]);
        left -= n;
    }
    return true;
}

void chan_bytes(uint64_t *ret_received, uint64_t *ret_sent)
{
    *ret_received = arena.received;
    *ret_sent = arena.sent;
}

/* Events and endings */

uint32_t chan_events(struct chan *c, int *ret_error)
{
    uint64_t word = untrusted_peek64(SHARED(c, host_events));
    uint32_t events = low(word);
    if (ret_error) {
        *ret_error = 0;
        if (events & CHAN_EV_ERROR) {
            int error = (int)high(word);
            if (error <= 0 || error > EHWPOISON)
                host_lied("channel error number");
            *ret_error = error;
        }
    }
    return events;
}

static void chan_set_flags(struct chan *c, uint32_t flags)
{
    c->flags = flags;
    untrusted_store32(SHARED(c, kernel_flags), flags);
}

void chan_take_events(struct chan *c, uint32_t events)
{
    untrusted_and32(SHARED(c, host_events), ~events);
}

void chan_close(struct chan *c, bool reset, bool at_once)
{
    ASSERT(c->state == CHAN_OPEN);
    /* The host names accepted channels itself: one is free for it as soon as it hears of the close. */
    c->state = c->number % 2 ? CHAN_FREE : CHAN_CLOSING;
    arena.closing += c->state == CHAN_CLOSING;
    c->news = NULL;
    c->owner = NULL;
    if (!at_once) {
        chan_set_flags(c, c->flags | CHAN_K_CLOSE | (reset ? CHAN_K_RESET : 0));
        chan_make_dirty(c);
        return;
    }
    struct hostcall_socket op = {.op = SOCKET_CLOSE, .channel = c->number, .value = reset ? CLOSE_RESET : 0};
    int r = hostcall_socket(&op);
    (void)r; /* nothing to do about a host that cannot close */
}

bool chan_wait_closed(uint64_t deadline)
{
    uint64_t before = arena.closed;
    return arena.closing > 0 && wait_event_deadline(&closed_wait, arena.closed != before, deadline) == 0;
}

void chan_shutdown_write(struct chan *c)
{
    chan_set_flags(c, c->flags | CHAN_K_SHUT_WR);
    chan_make_dirty(c);
}

void chan_want_accept(struct chan *c)
{
    if (!(c->flags & CHAN_K_WANT_ACCEPT))
        chan_set_flags(c, c->flags | CHAN_K_WANT_ACCEPT);
    chan_make_dirty(c);
}

/* Lending */

void chan_loan_of(const struct chan *c, struct chan_loan *ret_loan)
{
    *ret_loan = (struct chan_loan){.number = c->number,
                                   .rx_tail = c->rx_tail,
                                   .rx_head = c->rx_head,
                                   .rx_base = c->rx_base,
                                   .tx_head = c->tx_head,
                                   .tx_tail = c->tx_tail,
                                   .tx_base = c->tx_base,
                                   .flags = c->flags,
                                   .rx_was_half_full = c->rx_was_half_full};
}

void chan_lend(struct chan *c, void (*news)(struct chan *, uint32_t), struct chan_loan *ret_loan)
{
    ASSERT(c->state == CHAN_OPEN && !c->lent);
    chan_loan_of(c, ret_loan);
    c->lent = true;
    c->news = news;
}

static void take_indices(struct chan *c, const struct chan_loan *loan)
{
    c->rx_tail = loan->rx_tail;
    c->rx_head = loan->rx_head;
    c->rx_base = loan->rx_base;
    c->tx_head = loan->tx_head;
    c->tx_tail = loan->tx_tail;
    c->tx_base = loan->tx_base;
    c->flags = loan->flags;
    c->rx_was_half_full = loan->rx_was_half_full;
}

void chan_lend_end(struct chan *c, void (*news)(struct chan *, uint32_t), const struct chan_loan *loan)
{
    ASSERT(c->lent);
    c->lent = c->elsewhere = false;
    c->news = news;
    take_indices(c, loan);
    chan_make_dirty(c); /* whatever the borrower had done last */
}

void chan_lend_lost(struct chan *c)
{
    ASSERT(c->lent);
    c->lent = false;
    if (c->elsewhere) { /* and so is the host process that had it */
        c->state = CHAN_FREE;
        c->owner = NULL;
        return;
    }
    c->flags = untrusted_load32(SHARED(c, kernel_flags)) & CHAN_K_SHUT_WR;
    chan_close(c, false, false);
}

struct chan *chan_lent(uint32_t number)
{
    struct chan *c = number < arena.count ? chan_find(number) : NULL;
    return c && c->state == CHAN_OPEN && c->lent ? c : NULL;
}

void chan_lent_dirty(struct chan *c)
{
    chan_make_dirty(c);
}

/* As it is said to be, served elsewhere. */
static struct chan *open_elsewhere(const struct chan_loan *loan, void (*news)(struct chan *, uint32_t), void *owner)
{
    if (loan->number < CHANNEL_FIRST_SOCKET || loan->number >= arena.count ||
        loan->rx_head - loan->rx_tail > chan_ring_bytes || loan->tx_head - loan->tx_tail > chan_ring_bytes)
        return NULL;
    struct chan *c = chan_make(loan->number);
    if (!c || c->state != CHAN_FREE)
        return NULL;
    chan_open(c, news, owner);
    take_indices(c, loan);
    c->elsewhere = true;
    return c;
}

struct chan *chan_borrow(const struct chan_loan *loan, void (*news)(struct chan *, uint32_t), void *owner)
{
    return arena.borrower ? open_elsewhere(loan, news, owner) : NULL;
}

struct chan *chan_foreign(const struct chan_loan *loan, void (*news)(struct chan *, uint32_t), void *owner)
{
    struct chan *c = !arena.borrower && loan->number % 2 ? open_elsewhere(loan, news, owner) : NULL;
    if (c)
        c->lent = true;
    return c;
}

void chan_give(struct chan *c)
{
    struct hostcall_socket op = {.op = SOCKET_GIVE, .channel = c->number};
    ASSERT(arena.borrower && c->state == CHAN_OPEN && !c->elsewhere);
    chan_poll_ready(); /* what is said of it here is not said again there */
    int r = hostcall_socket(&op);
    (void)r; /* nothing to do about a host that does not: the connection stands still */
    c->elsewhere = true;
}

void chan_borrow_end(struct chan *c, struct chan_loan *ret_loan)
{
    ASSERT(!c->queued);
    chan_lend(c, NULL, ret_loan);
    c->lent = false;
    c->state = CHAN_FREE;
    c->owner = NULL;
}

struct chan *chan_borrowed(uint32_t number)
{
    struct chan *c = arena.borrower && number < arena.count ? chan_find(number) : NULL;
    return c && c->state == CHAN_OPEN ? c : NULL;
}

bool chan_borrowed_pending(void)
{
    return arena.queued != NULL;
}

size_t chan_borrowed_dirty(uint32_t *ret_numbers, size_t max)
{
    size_t count = 0;
    for (struct chan *c; count < max && (c = arena.queued) != NULL; count++) {
        arena.queued = c->next_free;
        c->queued = false;
        ret_numbers[count] = c->number;
    }
    return count;
}

/* Receiving */

static void rx_look(struct chan *c)
{
    uint32_t head = low(untrusted_peek64(SHARED(c, rx_head)));
    uint32_t used = head - c->rx_tail;
    if (used > chan_ring_bytes)
        host_lied("rx ring: head");
    if (used)
        c->rx_base = high(untrusted_peek64(SHARED(c, ready_queued)));
    c->rx_head = head;
    c->rx_was_half_full |= used >= chan_ring_bytes / 2;
}

uint32_t chan_rx_used(struct chan *c)
{
    rx_look(c);
    return c->rx_head - c->rx_tail;
}

/* Callers stay inside what they were told is there, so only a host that moved its index meanwhile gets here. */
static void rx_check(const struct chan *c, uint32_t offset, uint32_t size)
{
    uint32_t used = c->rx_head - c->rx_tail;
    if (unlikely(used > chan_ring_bytes || offset > used || size > used - offset))
        host_lied("rx ring: moved");
}

size_t chan_rx_copy(struct chan *c, struct iov_iter *to, uint32_t offset, uint32_t size)
{
    rx_check(c, offset, size);
    uint32_t at = (c->rx_tail + offset - c->rx_base) & (chan_ring_bytes - 1);
    uint32_t first = MIN(size, chan_ring_bytes - at);
    size_t done = copy_untrusted_to_iter(to, host_ptr_add(c->rx, at), first);
    if (done == first && first < size)
        done += copy_untrusted_to_iter(to, c->rx, size - first);
    return done;
}

void chan_rx_copy_kernel(struct chan *c, void *dst, uint32_t offset, uint32_t size)
{
    rx_check(c, offset, size);
    uint32_t at = (c->rx_tail + offset - c->rx_base) & (chan_ring_bytes - 1);
    uint32_t first = MIN(size, chan_ring_bytes - at);
    untrusted_copy_in(dst, host_ptr_add(c->rx, at), first);
    if (first < size)
        untrusted_copy_in((char *)dst + first, c->rx, size - first);
}

void chan_rx_consume(struct chan *c, uint32_t size)
{
    rx_check(c, 0, size);
    c->rx_tail += size;
    arena.received += size;
    untrusted_poke64(SHARED(c, rx_tail), pair(c->rx_tail, c->tx_head));
    if (c->rx_was_half_full && c->rx_head - c->rx_tail < chan_ring_bytes / 2) {
        c->rx_was_half_full = false;
        chan_make_dirty(c);
    }
}

void chan_rx_more(struct chan *c)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the host sets the flag and then looks at the tail once more */
    if (chan_has_events(c, CHAN_EV_RX_FULL))
        chan_make_dirty(c);
}

/* Sending */

static void tx_look(struct chan *c)
{
    uint32_t tail = high(untrusted_peek64(SHARED(c, rx_head)));
    if (c->tx_head - tail > chan_ring_bytes)
        host_lied("tx ring: tail");
    c->tx_tail = tail;
}

uint32_t chan_tx_room(struct chan *c, uint32_t wanted)
{
    uint32_t used = c->tx_head - c->tx_tail;
    uint32_t at = (c->tx_head - c->tx_base) & (chan_ring_bytes - 1);
    if (used != 0 && (chan_ring_bytes - used < wanted || at >= BASE_AFTER)) {
        tx_look(c);
        used = c->tx_head - c->tx_tail;
    }
    if (used == 0 && at != 0) {
        c->tx_base = c->tx_head;
        untrusted_poke64(SHARED(c, tx_base), c->tx_base);
    }
    return chan_ring_bytes - used;
}

static void tx_check(const struct chan *c, uint32_t offset, uint32_t size)
{
    uint32_t room = chan_ring_bytes - (c->tx_head - c->tx_tail);
    ASSERT(room <= chan_ring_bytes && offset <= room && size <= room - offset);
}

size_t chan_tx_copy(struct chan *c, struct iov_iter *from, uint32_t offset, uint32_t size)
{
    tx_check(c, offset, size);
    uint32_t at = (c->tx_head + offset - c->tx_base) & (chan_ring_bytes - 1);
    uint32_t first = MIN(size, chan_ring_bytes - at);
    size_t done = copy_untrusted_from_iter(from, host_ptr_add(c->tx, at), first);
    if (done == first && first < size)
        done += copy_untrusted_from_iter(from, c->tx, size - first);
    return done;
}

void chan_tx_copy_kernel(struct chan *c, const void *src, uint32_t offset, uint32_t size)
{
    tx_check(c, offset, size);
    uint32_t at = (c->tx_head + offset - c->tx_base) & (chan_ring_bytes - 1);
    uint32_t first = MIN(size, chan_ring_bytes - at);
    untrusted_copy_out_own(host_ptr_add(c->tx, at), src, first);
    if (first < size)
        untrusted_copy_out_own(c->tx, (const char *)src + first, size - first);
}

void chan_tx_commit(struct chan *c, uint32_t size)
{
    c->tx_head += size;
    arena.sent += size;
    untrusted_poke64(SHARED(c, rx_tail), pair(c->rx_tail, c->tx_head));
    chan_make_dirty(c);
}

uint32_t chan_tx_queued(struct chan *c)
{
    tx_look(c);
    return c->tx_head - c->tx_tail;
}

void chan_want_room(struct chan *c, bool want)
{
    bool wanted = (c->flags & CHAN_K_WANT_ROOM) != 0;
    if (want == wanted)
        return;
    chan_set_flags(c, want ? c->flags | CHAN_K_WANT_ROOM : c->flags & ~(uint32_t)CHAN_K_WANT_ROOM);
    if (want)
        chan_make_dirty(c); /* an exchange: also orders the flag before the caller's last look at the room */
}

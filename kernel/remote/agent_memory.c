/* The user memory of agents (contract in agent.h). */
#include <linux/errno.h>

#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/remote/agent.h"
#include "kernel/remote/frames.h"
#include "kernel/sched/task.h"

#define OUT_START (sizeof(struct message) + sizeof(struct reply_head))

uint64_t agent_fetch_count;

static struct agent *self(void)
{
    return task_current()->agent;
}

/* An empty message of stores. */
static void out_begin(struct agent *agent)
{
    if (!agent->out) {
        agent->out = agent->small;
        agent->out_capacity = sizeof(agent->small);
    }
    agent->out_size = OUT_START;
    agent->last = NULL;
}

/* ---- taking a CALL apart ---- */

struct cursor {
    uint8_t *at;
    size_t left;
};

static void *take(struct cursor *c, size_t size)
{
    size_t padded = ALIGN_UP(size, 8UL);
    void *p = c->at;
    if (size > c->left)
        return NULL;
    padded = MIN(padded, c->left);
    c->at += padded;
    c->left -= padded;
    return p;
}

static int add_piece(struct agent *agent, uint64_t addr, uint64_t size, uint8_t *data)
{
    uint64_t end;
    if (!data || __builtin_add_overflow(addr, size, &end))
        return -EPROTO;
    agent->pieces[agent->piece_count++] = (struct piece){.addr = addr, .size = size, .data = data};
    return 0;
}

/* Sealed pages at the beginning of a window. */
static int add_sealed(struct agent *agent, const struct window *w, uint32_t count, struct cursor *c)
{
    const struct sealed_page *pages = count <= FRAMES_MEMBER_MAX ? take(c, count * sizeof(*pages)) : NULL;
    if (!pages || !(w->flags & WINDOW_IN) || count * PAGE_SIZE > w->size ||
        frames_claim(agent->member, pages, count) < 0)
        return -EPROTO;
    agent->pieces[agent->piece_count++] =
        (struct piece){.addr = w->addr, .size = count * PAGE_SIZE, .sealed = pages, .untaken = (1ULL << count) - 1};
    return 0;
}

static int decode_data(struct agent *agent)
{
    struct record *record;
    TAILQ_FOREACH (record, &agent->data, entry) {
        struct cursor c = {record->data + sizeof(struct message), record->size - sizeof(struct message)};
        const struct store *store = take(&c, sizeof(*store));
        if (!store || add_piece(agent, store->addr, store->size, take(&c, store->size)) < 0)
            return -EPROTO;
    }
    return 0;
}

/* Input lies in the CALL unless DATA brought it. */
static int decode_windows(struct agent *agent, struct cursor *c)
{
    for (uint32_t i = 0; i < agent->head->window_count; i++) {
        const struct window *w = &agent->windows[i];
        uint32_t sealed = w->flags >> WINDOW_SEALED_SHIFT;
        uint64_t end, rest = w->size - sealed * PAGE_SIZE;
        if (__builtin_add_overflow(w->addr, w->span, &end) || w->size > w->span)
            return -EPROTO;
        if (sealed > 0 && add_sealed(agent, w, sealed, c) < 0)
            return -EPROTO;
        if ((w->flags & (WINDOW_IN | WINDOW_DATA)) == WINDOW_IN && rest > 0 &&
            add_piece(agent, w->addr + sealed * PAGE_SIZE, rest, take(c, rest)) < 0)
            return -EPROTO;
    }
    return 0;
}

int agent_decode(struct agent *agent)
{
    struct cursor c = {agent->call->data + sizeof(struct message), agent->call->size - sizeof(struct message)};
    out_begin(agent);
    agent->head = take(&c, sizeof(*agent->head));
    if (!agent->head || agent->head->window_count > CALL_WINDOWS_MAX || agent->head->data_count != agent->data_count)
        return -EPROTO;
    agent->windows = take(&c, agent->head->window_count * sizeof(struct window));
    if (!agent->windows)
        return -EPROTO;
    size_t count = 2UL * agent->head->window_count + agent->data_count;
    if (count == 0)
        return 0;
    agent->pieces = kmalloc(count * sizeof(struct piece));
    if (!agent->pieces)
        return -ENOMEM;
    int r = decode_data(agent);
    return r < 0 ? r : decode_windows(agent, &c);
}

static void drop_untaken(struct piece *p)
{
    for (; p->untaken; p->untaken &= p->untaken - 1)
        frame_drop(p->sealed[__builtin_ctzll(p->untaken)].frame);
}

static void sealed_free(struct agent *agent)
{
    for (size_t i = 0; i < agent->piece_count; i++) {
        struct piece *p = &agent->pieces[i];
        if (!p->sealed)
            continue;
        drop_untaken(p);
        kfree(p->data);
    }
}

void agent_memory_free(struct agent *agent)
{
    struct record *record;
    sealed_free(agent);
    while ((record = TAILQ_FIRST(&agent->data))) {
        TAILQ_REMOVE(&agent->data, record, entry);
        kfree(record);
    }
    kfree(agent->call);
    kfree(agent->pieces);
    kfree(agent->fetched);
    if (agent->out != agent->small)
        kfree(agent->out);
    agent->call = agent->fetched = NULL;
    agent->pieces = NULL;
    agent->piece_count = agent->piece_hint = agent->data_count = agent->data_bytes = 0;
    agent->out = NULL;
    agent->last = NULL;
    agent->send_failed = false;
}

/* ---- output ---- */

static void out_send(struct agent *agent, enum message_type type, struct reply_head reply)
{
    struct message *message = (struct message *)agent->out;
    *message = (struct message){type, agent->request, agent->pid, agent->tid};
    *(struct reply_head *)(message + 1) = reply;
    if (agent->last)
        agent->out_size = ALIGN_UP(agent->out_size, 8UL);
    int r = link_send(agent->link, agent->out, agent->out_size);
    while (r == -ENOMEM && type == MESSAGE_REPLY) { /* the caller waits for it */
        if (link_wait(agent->link) < 0)
            break;
        r = link_send(agent->link, agent->out, agent->out_size);
        if (r == -ENOMEM)
            task_yield();
    }
    agent->send_failed |= r < 0;
    out_begin(agent);
}

/* The small buffer is exchanged for a full one when it does not suffice; without memory it goes on. */
static void out_grow(struct agent *agent)
{
    uint8_t *big = agent->out == agent->small ? kmalloc_transient(LINK_MESSAGE_MAX) : NULL;
    if (!big)
        return;
    memcpy(big, agent->out, agent->out_size);
    if (agent->last)
        agent->last = (struct store *)(big + ((uint8_t *)agent->last - agent->out));
    agent->out = big;
    agent->out_capacity = LINK_MESSAGE_MAX;
}

/* How many of size bytes at addr may be written, as far as the call's windows tell. */
static size_t writable(const struct agent *agent, uaddr_t addr, size_t size)
{
    for (uint32_t i = 0; i < agent->head->window_count; i++) {
        const struct window *w = &agent->windows[i];
        if (!(w->flags & WINDOW_OUT) || addr - w->addr >= w->span)
            continue;
        uint64_t offset = addr - w->addr;
        if (offset >= w->size)
            return 0;
        return MIN(size, w->size - offset);
    }
    return size;
}

static bool extends(const struct agent *agent, uaddr_t addr)
{
    return agent->last && agent->last->addr + agent->last->size == addr;
}

/* Room in the message for at least one byte after its store's head. */
static bool has_room(const struct agent *agent, uaddr_t addr, size_t size)
{
    size_t at = extends(agent, addr) ? agent->out_size : ALIGN_UP(agent->out_size, 8UL) + sizeof(struct store);
    return at < agent->out_capacity && (at + size <= agent->out_capacity || agent->out_capacity == LINK_MESSAGE_MAX);
}

size_t agent_out_room(uaddr_t addr, size_t size, void **ret_room)
{
    struct agent *agent = self();
    size = writable(agent, addr, size);
    if (size == 0)
        return 0;
    if (!has_room(agent, addr, size))
        out_grow(agent);
    if (!has_room(agent, addr, MIN(size, agent->out_capacity - OUT_START - sizeof(struct store))))
        out_send(agent, MESSAGE_STORE, (struct reply_head){0});
    if (!extends(agent, addr)) {
        agent->out_size = ALIGN_UP(agent->out_size, 8UL);
        agent->last = (struct store *)(agent->out + agent->out_size);
        *agent->last = (struct store){.addr = addr};
        agent->out_size += sizeof(struct store);
    }
    size = MIN(size, ALIGN_DOWN(agent->out_capacity, 8UL) - agent->out_size);
    *ret_room = agent->out + agent->out_size;
    agent->last->size += size;
    agent->out_size += size;
    return size;
}

bool agent_give_sealed(uaddr_t dst, const struct sealed_page *page)
{
    struct agent *agent = self();
    if (writable(agent, dst, PAGE_SIZE) < PAGE_SIZE || !frame_pass(page->frame, agent->member))
        return false;
    bool extends_pages = agent->last && (agent->last->size & STORE_SEALED) &&
                         agent->last->addr + (agent->last->size & ~STORE_SEALED) == dst;
    size_t needed = sizeof(struct store) + sizeof(*page);
    if (ALIGN_UP(agent->out_size, 8UL) + needed > agent->out_capacity)
        out_grow(agent);
    if (ALIGN_UP(agent->out_size, 8UL) + needed > agent->out_capacity) {
        out_send(agent, MESSAGE_STORE, (struct reply_head){0});
        extends_pages = false;
    }
    if (!extends_pages) {
        agent->out_size = ALIGN_UP(agent->out_size, 8UL);
        agent->last = (struct store *)(agent->out + agent->out_size);
        *agent->last = (struct store){.addr = dst, .size = STORE_SEALED};
        agent->out_size += sizeof(struct store);
    }
    memcpy(agent->out + agent->out_size, page, sizeof(*page));
    agent->out_size += sizeof(*page);
    agent->last->size += PAGE_SIZE;
    return true;
}

/* The call may read what it wrote. */
static void patch_input(struct agent *agent, uaddr_t addr, const uint8_t *src, size_t size)
{
    for (size_t i = 0; i < agent->piece_count; i++) {
        const struct piece *p = &agent->pieces[i];
        uint64_t start = MAX(addr, p->addr), end = MIN(addr + size, p->addr + p->size);
        if (start < end && p->data)
            memcpy(p->data + (start - p->addr), src + (start - addr), end - start);
    }
}

static size_t copy_out(uaddr_t dst, const void *src, size_t size)
{
    size_t done = 0, n;
    void *room;
    while (done < size && (n = agent_out_room(dst + done, size - done, &room)) > 0) {
        if (src)
            memcpy(room, (const uint8_t *)src + done, n);
        else
            memset(room, 0, n);
        patch_input(self(), dst + done, room, n);
        done += n;
    }
    return done;
}

size_t agent_copy_out(uaddr_t dst, const void *src, size_t size)
{
    return copy_out(dst, src, size);
}

size_t agent_clear_out(uaddr_t dst, size_t size)
{
    return copy_out(dst, NULL, size);
}

void agent_reply(struct agent *agent, struct reply_head reply)
{
    if (agent->send_failed)
        reply.result = -ENOMEM;
    out_send(agent, MESSAGE_REPLY, reply);
}

/* ---- input ---- */

/* The bytes of a piece; NULL: it is sealed, and cannot be opened any more or there is no memory for it. */
static uint8_t *bytes_of(struct agent *agent, struct piece *p)
{
    size_t count = p->size / PAGE_SIZE;
    if (!p->sealed || p->data)
        return p->data;
    uint8_t *data = p->untaken == (1ULL << count) - 1 ? kmalloc(p->size) : NULL;
    if (!data) {
        agent->send_failed = true;
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        sealed_open(&p->sealed[i], data + i * PAGE_SIZE);
    drop_untaken(p);
    p->data = data;
    return data;
}

static struct piece *piece_at(struct agent *agent, uaddr_t src)
{
    for (size_t i = 0; i < agent->piece_count; i++) {
        size_t at = agent->piece_hint + i;
        struct piece *p = &agent->pieces[at < agent->piece_count ? at : at - agent->piece_count];
        if (src - p->addr < p->size) {
            agent->piece_hint = (size_t)(p - agent->pieces);
            return p;
        }
    }
    return NULL;
}

bool agent_take_sealed(uaddr_t src, struct sealed_page *ret_page)
{
    struct piece *p = piece_at(self(), src);
    uint64_t index = p ? (src - p->addr) / PAGE_SIZE : 0;
    if (!p || (src - p->addr) % PAGE_SIZE || !(p->untaken >> index & 1))
        return false;
    p->untaken &= ~(1ULL << index);
    *ret_page = p->sealed[index];
    return true;
}

size_t agent_in_place(uaddr_t src, size_t size, const void **ret_data)
{
    struct piece *p = piece_at(self(), src);
    const uint8_t *data = p ? bytes_of(self(), p) : NULL;
    if (!data)
        return 0;
    *ret_data = data + (src - p->addr);
    return MIN(size, p->size - (src - p->addr));
}

/* In a window, but not in what could be read of it. */
static bool faults(const struct agent *agent, uaddr_t addr)
{
    for (uint32_t i = 0; i < agent->head->window_count; i++) {
        const struct window *w = &agent->windows[i];
        if ((w->flags & WINDOW_IN) && addr - w->addr < w->span)
            return true;
    }
    return false;
}

void agent_fetched(struct agent *agent, struct record *record)
{
    if (!agent->fetching || agent->fetched) {
        kfree(record);
        return;
    }
    agent->fetched = record;
    task_wake(agent->task);
}

/* Wait for the answer to a FETCH; NULL if none will come. */
static struct record *fetch_wait(struct agent *agent)
{
    for (;;) {
        task_prepare_sleep(false);
        if (agent->fetched || agent->link->state == LINK_DEAD)
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    struct record *record = agent->fetched;
    agent->fetched = NULL;
    return record;
}

/* Bytes got of at most one message's worth; 0: it faults. Sleeps. */
static size_t fetch(struct agent *agent, void *dst, uaddr_t src, size_t size)
{
    struct {
        struct message message;
        struct window window;
    } ask = {{MESSAGE_FETCH, agent->request, agent->pid, agent->tid}, {.addr = src}};
    size = MIN(size, 0x10000UL);
    ask.window.span = ask.window.size = (uint32_t)size;
    if (agent->last)
        out_send(agent, MESSAGE_STORE, (struct reply_head){0}); /* so that it reads what it wrote */
    agent_fetch_count++;
    agent->fetching = true;
    struct record *record = NULL;
    if (link_send(agent->link, &ask, sizeof(ask)) == 0)
        record = fetch_wait(agent);
    agent->fetching = false;
    size_t got = record ? MIN(size, record->size - sizeof(struct message)) : 0;
    if (got > 0)
        memcpy(dst, record->data + sizeof(struct message), got);
    kfree(record);
    return got;
}

size_t agent_copy_in(void *dst, uaddr_t src, size_t size)
{
    struct agent *agent = self();
    size_t done = 0, n;
    const void *data;
    while (done < size) {
        n = agent_in_place(src + done, size - done, &data);
        if (n > 0)
            memcpy((uint8_t *)dst + done, data, n);
        else if (faults(agent, src + done) || (n = fetch(agent, (uint8_t *)dst + done, src + done, size - done)) == 0)
            break;
        done += n;
    }
    return done;
}

ssize_t agent_string_in(char *dst, uaddr_t src, size_t size)
{
    size_t done = 0;
    while (done < size) {
        /* ends with its window if that brought its end; never the page after the one it ends in */
        size_t in_page = PAGE_SIZE - ((src + done) & (PAGE_SIZE - 1)), n = MIN(in_page, size - done);
        const void *data;
        size_t here = agent_in_place(src + done, n, &data);
        n = agent_copy_in(dst + done, src + done, here > 0 ? here : n);
        if (n == 0)
            return -EFAULT;
        const char *nul = memchr(dst + done, 0, n);
        if (nul)
            return nul - dst;
        done += n;
    }
    return -ENAMETOOLONG;
}

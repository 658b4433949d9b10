/*
 * What a member says of a system call (kernel/remote/message.h): the input is its CALL, DATA and the call's own
 * accesses. Whatever it says, the agent reads only what was sent, and its replies are well formed and bring each byte
 * that was written once. Each frame of sealed pages that it claims goes to one reader or back, whatever the call does.
 *
 * fuzz-sources: kernel/remote/agent_memory.c tests/unit/hosted_libc.c tests/unit/one_task.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include <linux/errno.h>
#include <stdlib.h>

#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/remote/agent.h"
#include "kernel/remote/sealed.h"
#include "kernel/sched/task.h"
#include "tests/unit/hosted_libc.h"
#include "tests/unit/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct agent agent;
static struct link link_there;
static uint64_t written, stored;
static unsigned replies;

void *kmalloc(size_t size)
{
    return malloc(size);
}

void *kmalloc_transient(size_t size)
{
    return kmalloc(size);
}

void kfree(void *p)
{
    free(p);
}

void panic_at(const char *file, int line, const char *format, ...)
{
    abort();
}

/* The answer to a FETCH: some bytes, or none. */
int task_sleep(uint64_t deadline_ns)
{
    size_t size = agent_fetch_count % 3 * 100;
    struct record *record = malloc(sizeof(*record) + sizeof(struct message) + size);
    if (!record)
        abort();
    record->size = sizeof(struct message) + size;
    memset(record->data, 7, record->size);
    agent_fetched(&agent, record);
    return 0;
}

void task_yield(void)
{
}

int link_wait(struct link *link)
{
    return 0;
}

/* ---- frames ---- */

/* frames.h, which does not go with the C library's headers */
int frames_claim(const struct remote_member *member, const struct sealed_page *pages, size_t count);
bool frame_pass(uint32_t frame, struct remote_member *member);
void frame_drop(uint32_t frame);

enum { FRAMES = 64 };
static enum { UNUSED, CLAIMED, TAKEN, GONE } frames[FRAMES];
static bool give_fails;

/* Of these, those that are nobody's yet. */
int frames_claim(const struct remote_member *member, const struct sealed_page *pages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pages[i].frame >= FRAMES || frames[pages[i].frame] != UNUSED) {
            while (i-- > 0)
                frames[pages[i].frame] = UNUSED;
            return -EPROTO;
        }
        frames[pages[i].frame] = CLAIMED;
    }
    return 0;
}

void frame_drop(uint32_t frame)
{
    if (frame >= FRAMES || (frames[frame] != CLAIMED && frames[frame] != TAKEN))
        abort();
    frames[frame] = GONE;
}

bool frame_pass(uint32_t frame, struct remote_member *member)
{
    if (frame >= FRAMES || frames[frame] != TAKEN)
        abort();
    return !give_fails;
}

void sealed_open(const struct sealed_page *page, uint8_t *ret_plain)
{
    if (page->frame >= FRAMES || frames[page->frame] != CLAIMED)
        abort();
    memset(ret_plain, 5, PAGE_SIZE);
}

/* A pipe takes a page at src and gives it to somebody at dst. */
static void move_sealed(uint64_t src, uint64_t dst)
{
    struct sealed_page page;
    if (!agent_take_sealed(src, &page))
        return;
    if (page.frame >= FRAMES || frames[page.frame] != CLAIMED)
        abort();
    frames[page.frame] = TAKEN;
    if (agent_give_sealed(dst, &page)) {
        frames[page.frame] = GONE;
        written += PAGE_SIZE;
    } else {
        frame_drop(page.frame);
    }
}

/* As the member reads it. */
int link_send(struct link *link, const void *message, size_t size)
{
    const struct message *m = message;
    if (m->type == MESSAGE_FETCH)
        return size == sizeof(*m) + sizeof(struct window) ? 0 : (abort(), 0);
    replies += m->type == MESSAGE_REPLY;
    size_t left = size - sizeof(*m) - sizeof(struct reply_head);
    const uint8_t *at = (const uint8_t *)(m + 1) + sizeof(struct reply_head);
    if (size > LINK_MESSAGE_MAX || size % 8 != 0)
        abort();
    while (left > 0) {
        const struct store *store = (const struct store *)at;
        if (left >= sizeof(*store) && store->size & STORE_SEALED) {
            uint64_t bytes = store->size & ~STORE_SEALED;
            size_t taken = sizeof(*store) + bytes / PAGE_SIZE * sizeof(struct sealed_page);
            if (bytes == 0 || bytes % PAGE_SIZE || taken > left)
                abort();
            stored += bytes;
            at += taken;
            left -= taken;
            continue;
        }
        if (left < sizeof(*store) || store->size == 0 || store->size > left - sizeof(*store))
            abort();
        stored += store->size;
        at += sizeof(*store) + ALIGN_UP(store->size, 8UL);
        left -= sizeof(*store) + ALIGN_UP(store->size, 8UL);
    }
    return 0;
}

static struct record *record_of(struct input *in, size_t size)
{
    size = MIN(size, in->left);
    struct record *record = malloc(sizeof(*record) + sizeof(struct message) + size);
    if (!record)
        abort();
    record->size = sizeof(struct message) + size;
    memset(record->data, 0, sizeof(struct message));
    memcpy(record->data + sizeof(struct message), in->at, size);
    in->at += size;
    in->left -= size;
    return record;
}

/* One access of the call: near a window of its, or anywhere. */
static void access_memory(struct input *in)
{
    static uint8_t buffer[100000];
    unsigned op = (unsigned)input_number(in, 1), which = (unsigned)input_number(in, 1);
    uint64_t addr = input_number(in, 2);
    size_t size = input_number(in, 2) % sizeof(buffer), n;
    void *room;
    if (agent.head->window_count > 0)
        addr += agent.windows[which % agent.head->window_count].addr - 16;
    switch (op % 6) {
    case 0:
        agent_copy_in(buffer, addr, size);
        break;
    case 1:
        written += agent_copy_out(addr, buffer, size);
        break;
    case 2:
        written += agent_clear_out(addr, size);
        break;
    case 3:
        if (agent_string_in((char *)buffer, addr, MIN(size, 5000UL)) >= 0 && !memchr(buffer, 0, 5000))
            abort();
        break;
    case 4:
        give_fails = size & 1;
        move_sealed(addr + 16, addr + size);
        break;
    default:
        if ((n = agent_out_room(addr, size, &room)) > 0)
            memset(room, 1, n);
        written += n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    memset(&agent, 0, sizeof(agent));
    TAILQ_INIT(&agent.data);
    task_current()->agent = &agent;
    agent.task = task_current();
    agent.link = &link_there;
    memset(frames, 0, sizeof(frames));
    agent_fetch_count = written = stored = replies = 0;
    for (unsigned i = (unsigned)input_number(&in, 1) % 3; i > 0; i--) {
        struct record *record = record_of(&in, input_number(&in, 1));
        TAILQ_INSERT_TAIL(&agent.data, record, entry);
        agent.data_count++;
    }
    agent.call = record_of(&in, input_number(&in, 2));
    int r = agent_decode(&agent);
    while (r == 0 && in.left > 0)
        access_memory(&in);
    agent_reply(&agent, (struct reply_head){.result = r});
    if (written != stored || replies != 1)
        abort();
    agent_memory_free(&agent);
    for (size_t i = 0; i < FRAMES; i++)
        if (frames[i] == CLAIMED || frames[i] == TAKEN)
            abort();
    return 0;
}

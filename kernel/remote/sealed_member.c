/* Sealed pages in a member (contract in sealed_member.h). */
#include "kernel/remote/sealed_member.h"

#include <linux/errno.h>

#include "kernel/crypto/secret.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/process.h"
#include "kernel/remote/area.h"
#include "kernel/remote/client.h"
#include "kernel/remote/frames.h"
#include "kernel/sched/task.h"

/* Frames to write to, and for what: a guess, since what is at the descriptor may have changed. */
static struct {
    int pid, fd;
    uint32_t writer;
    uint64_t sealed; /* pages, ever */
    uint32_t count;
    uint32_t frames[FRAMES_MEMBER_MAX];
} granted;

static struct frames_read_message read;

/* ---- writing ---- */

size_t sealed_window(struct gathered *g, int fd, struct sealed_page *pages, size_t max)
{
    size_t whole = g->window.size / PAGE_SIZE, count = MIN(whole, max), done;
    if (count == 0 || granted.count == 0 || fd != granted.fd || process_self()->pid != granted.pid)
        return 0;
    uint8_t *page = kmalloc(PAGE_SIZE);
    for (done = 0; page && done < count && granted.count > 0; done++) {
        if (copy_from_user_partial(page, g->window.addr + done * PAGE_SIZE, PAGE_SIZE) < PAGE_SIZE ||
            granted.count == 0)
            break;
        pages[done] = (struct sealed_page){
            .count = ++granted.sealed, .writer = granted.writer, .frame = granted.frames[--granted.count]};
        sealed_seal(&pages[done], page);
    }
    kfree(page);
    g->sealed = pages;
    g->window.flags |= (uint32_t)done << WINDOW_SEALED_SHIFT;
    return done;
}

static void receive_frames(struct record *record)
{
    const struct frames_message *m = (const struct frames_message *)record->data;
    size_t frames = 2UL * link_area_link_count() * (link_area_ring_size() / PAGE_SIZE);
    if (record->size < FRAMES_MESSAGE_SIZE(0) || m->count > FRAMES_MEMBER_MAX - granted.count ||
        record->size < FRAMES_MESSAGE_SIZE(m->count))
        panic("frames of the init enclave");
    sealed_key_set(m->key);
    if (m->count > 0) {
        granted.pid = m->message.pid;
        granted.fd = m->fd;
        granted.writer = m->writer;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->frames[i] >= frames)
            panic("a frame of the init enclave");
        granted.frames[granted.count++] = m->frames[i];
    }
    memory_wipe(record->data, record->size);
    kfree(record);
}

void sealed_reset(void)
{
    granted.count = 0;
    granted.pid = 0;
    read.count = 0;
}

/* ---- reading ---- */

void sealed_tell_read(void)
{
    if (read.count == 0)
        return;
    read.message = (struct message){.type = MESSAGE_FRAMES_READ};
    if (client_post_quietly(&read.message, FRAMES_READ_SIZE(read.count)) == 0)
        read.count = 0;
}

/* Without memory it waits: nobody else has the page any more. */
static uint8_t *page_for_it(void)
{
    uint8_t *page;
    while (!(page = kmalloc(PAGE_SIZE)))
        task_yield();
    return page;
}

bool sealed_deliver(const struct sealed_page *sealed, uint64_t addr)
{
    uint8_t *page = page_for_it();
    sealed_open(sealed, page);
    if (read.count < FRAMES_READ_MAX)
        read.frames[read.count++] = sealed->frame;
    bool good = copy_to_user(addr, page, PAGE_SIZE) == 0;
    kfree(page);
    if (read.count == FRAMES_READ_MAX)
        sealed_tell_read();
    return good;
}

void sealed_member_init(void)
{
    client_on_message(MESSAGE_FRAMES, receive_frames);
}

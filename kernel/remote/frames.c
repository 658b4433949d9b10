/* Frames of sealed pages (contract in frames.h). */
#include "kernel/remote/frames.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/stat.h>

#include "kernel/crypto/secret.h"
#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/process.h"
#include "kernel/remote/area.h"
#include "kernel/remote/server.h"
#include "kernel/remote/stream.h"

#define LINKS_MAX 4      /* whose rings are frames */
#define OFFER_MIN 0x4000 /* bytes of a write: less is not worth it */

enum frame_state { FRAME_FREE, FRAME_WRITER, FRAME_PIPE, FRAME_READER };

struct frame {
    uint8_t state;   /* enum frame_state */
    uint32_t member; /* the writer or the reader */
};

static struct {
    uint32_t first; /* frame */
    struct frame *frames;
} pools[LINKS_MAX];
static uint32_t pool_count, used, last_writer;
static uint8_t key[AES_GCM_KEY_SIZE];

static uint32_t frames_of_link(void)
{
    return 2 * (link_area_ring_size() / PAGE_SIZE);
}

/* NULL: there is no such frame. */
static struct frame *find(uint32_t frame)
{
    for (uint32_t i = 0; i < pool_count; i++)
        if (frame - pools[i].first < frames_of_link())
            return &pools[i].frames[frame - pools[i].first];
    return NULL;
}

static void set(struct frame *f, enum frame_state state, uint32_t member)
{
    used += (state != FRAME_FREE) - (f->state != FRAME_FREE);
    *f = (struct frame){.state = (uint8_t)state, .member = member};
}

/* One link more. False: no more is to be had. */
static bool grow(void)
{
    uint32_t number = pool_count < LINKS_MAX ? stream_number_new() : 0;
    if (number == 0)
        return false;
    struct frame *frames = kzalloc(frames_of_link() * sizeof(*frames));
    if (!frames) {
        stream_number_free(number);
        return false;
    }
    if (pool_count == 0) {
        random_bytes(key, sizeof(key));
        sealed_key_set(key);
    }
    pools[pool_count].first = number * frames_of_link();
    pools[pool_count++].frames = frames;
    return true;
}

static uint32_t take_free(uint32_t member, uint32_t *ret_frames, uint32_t count)
{
    uint32_t taken = 0;
    while (used + count > pool_count * frames_of_link() && grow())
        ;
    for (uint32_t p = 0; p < pool_count; p++) {
        for (uint32_t i = 0; i < frames_of_link() && taken < count; i++) {
            if (pools[p].frames[i].state != FRAME_FREE)
                continue;
            set(&pools[p].frames[i], FRAME_WRITER, member);
            ret_frames[taken++] = pools[p].first + i;
        }
    }
    return taken;
}

static uint32_t count_of(uint32_t member)
{
    uint32_t count = 0;
    for (uint32_t p = 0; p < pool_count; p++)
        for (uint32_t i = 0; i < frames_of_link(); i++)
            count += pools[p].frames[i].state == FRAME_WRITER && pools[p].frames[i].member == member;
    return count;
}

/* Of the current process. */
static bool is_pipe(int fd)
{
    struct file *file = fd_get(fd);
    bool result = file && S_ISFIFO(file->inode->mode);
    if (file)
        file_put(file);
    return result;
}

/* The reply that follows rings. */
static bool send(struct remote_member *member, struct frames_message *m)
{
    struct member_frames *known = remote_member_frames(member);
    m->writer = known->writer;
    memcpy(m->key, key, sizeof(key));
    int r = link_send_quietly(remote_member_link(member), m, FRAMES_MESSAGE_SIZE(m->count));
    memory_wipe(m->key, sizeof(m->key));
    known->has_key |= r == 0;
    return r == 0;
}

void frames_offer(struct remote_member *member, struct process *process, uint64_t nr, uint64_t fd, int64_t result)
{
    struct frames_message m = {.message = {MESSAGE_FRAMES, 0, process->pid, 0}, .fd = (int)fd};
    struct member_frames *known = remote_member_frames(member);
    uint32_t number = remote_member_number(member);
    if (nr != __NR_write || result < OFFER_MIN || !is_pipe((int)fd))
        return;
    uint32_t wanted = (uint32_t)MIN((uint64_t)result / PAGE_SIZE, (uint64_t)FRAMES_MEMBER_MAX), has = count_of(number);
    if (known->writer == 0 && last_writer < UINT32_MAX)
        known->writer = ++last_writer;
    if (has >= wanted || known->writer == 0)
        return;
    m.count = take_free(number, m.frames, wanted - has);
    if (m.count > 0 && !send(member, &m))
        for (uint32_t i = 0; i < m.count; i++)
            set(find(m.frames[i]), FRAME_FREE, 0);
}

static bool is(const struct frame *f, enum frame_state state, uint32_t member)
{
    return f && f->state == state && f->member == member;
}

int frames_claim(const struct remote_member *member, const struct sealed_page *pages, size_t count)
{
    uint32_t number = remote_member_number(member);
    for (size_t i = 0; i < count; i++) {
        struct frame *f = find(pages[i].frame);
        if (!is(f, FRAME_WRITER, number)) {
            while (i-- > 0) /* also what is there twice */
                set(find(pages[i].frame), FRAME_WRITER, number);
            return -EPROTO;
        }
        set(f, FRAME_PIPE, 0);
    }
    return 0;
}

bool frame_pass(uint32_t frame, struct remote_member *member)
{
    struct frames_message m = {.message = {.type = MESSAGE_FRAMES}, .fd = -1};
    struct frame *f = find(frame);
    ASSERT(is(f, FRAME_PIPE, 0));
    if (!remote_member_frames(member)->has_key && !send(member, &m))
        return false;
    set(f, FRAME_READER, remote_member_number(member));
    return true;
}

void frame_drop(uint32_t frame)
{
    struct frame *f = find(frame);
    ASSERT(is(f, FRAME_PIPE, 0));
    set(f, FRAME_FREE, 0);
}

static void receive_read(struct remote_member *member, struct record *record)
{
    const struct frames_read_message *m = (const struct frames_read_message *)record->data;
    size_t count = record->size >= FRAMES_READ_SIZE(0) ? MIN(m->count, FRAMES_READ_MAX) : 0;
    for (size_t i = 0; i < count && record->size >= FRAMES_READ_SIZE(count); i++) {
        struct frame *f = find(m->frames[i]);
        if (is(f, FRAME_READER, remote_member_number(member)))
            set(f, FRAME_FREE, 0);
    }
    kfree(record);
}

void frames_release(uint32_t member)
{
    for (uint32_t p = 0; p < pool_count; p++) {
        for (uint32_t i = 0; i < frames_of_link(); i++) {
            struct frame *f = &pools[p].frames[i];
            if (is(f, FRAME_WRITER, member) || is(f, FRAME_READER, member))
                set(f, FRAME_FREE, 0);
        }
    }
}

size_t frames_used(void)
{
    return used;
}

void frames_init(void)
{
    remote_member_on_message(MESSAGE_FRAMES_READ, receive_read);
}

/* Sealed pages against a host that has the frames in its hands, and frames against members that claim what is not
 * theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/errno.h>
#include <asm/unistd_64.h>
#include <linux/stat.h>
#include <string.h>

#include "abi/link.h"
#include "hosted_libc.h"
#include "kernel/arch/hostcall.h"
#include "kernel/crypto/crypto.h"
#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/process.h"
#include "kernel/remote/area.h"
#include "kernel/remote/frames.h"
#include "kernel/remote/server.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/time.h"

#define RING 0x20000U
#define LINKS 12U
#define FRAMES_OF_LINK (2 * RING / PAGE_SIZE)

static struct {
    struct link_area header;
    uint8_t pad[PAGE_SIZE - sizeof(struct link_area)];
    uint8_t tables[4 * PAGE_SIZE];
    uint8_t rings[2UL * LINKS * RING];
} area __attribute__((aligned(PAGE_SIZE)));

uint64_t time_monotonic_ns(void)
{
    static uint64_t now;
    return now += 1000;
}

struct remote_member {
    uint32_t number;
    struct member_frames frames;
    struct link link;
    bool dead;
    unsigned messages;
    struct frames_message last; /* that it got */
};

static struct remote_member writer = {.number = 1}, reader = {.number = 2};
static void (*on_read)(struct remote_member *member, struct record *record);
static struct process process = {.pid = 7};
static struct inode inode = {.mode = S_IFIFO};
static struct file file = {.inode = &inode};
static uint32_t next_link;
static jmp_buf lie;
static const char *lied_about;

/* ---- the rest of the kernel ---- */

void host_lied(const char *what)
{
    lied_about = what;
    longjmp(lie, 1);
}

void *kmalloc(size_t size)
{
    return hosted_malloc(size);
}

void *kzalloc(size_t size)
{
    return memset(hosted_malloc(size), 0, size);
}

void kfree(void *p)
{
    hosted_free(p);
}

void random_bytes(void *buf, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buf)[i] = (uint8_t)(i * 77 + 5);
}

void hostcall_kick_member(unsigned member, uint64_t vcpu_mask)
{
}

uint32_t stream_number_new(void)
{
    return next_link < LINKS ? next_link++ : 0;
}

void stream_number_free(uint32_t number)
{
}

struct file *fd_get(int fd)
{
    return fd == 9 ? &file : NULL;
}

void file_put(struct file *f)
{
}

uint32_t remote_member_number(const struct remote_member *member)
{
    return member->number;
}

struct link *remote_member_link(struct remote_member *member)
{
    return &member->link;
}

struct member_frames *remote_member_frames(struct remote_member *member)
{
    return &member->frames;
}

void remote_member_on_message(uint32_t type, void (*fn)(struct remote_member *member, struct record *record))
{
    assert_int_equal(type, MESSAGE_FRAMES_READ);
    on_read = fn;
}

int link_send_quietly(struct link *link, const void *message, size_t size)
{
    struct remote_member *member = container_of(link, struct remote_member, link);
    if (member->dead)
        return -EPIPE;
    memcpy(&member->last, message, size);
    assert_int_equal(size, FRAMES_MESSAGE_SIZE(member->last.count));
    member->messages++;
    return 0;
}

/* ---- */

static void says_read(struct remote_member *member, const uint32_t *frames, uint32_t count, uint32_t said)
{
    struct record *record = kzalloc(sizeof(*record) + sizeof(struct frames_read_message));
    struct frames_read_message *m = (struct frames_read_message *)record->data;
    record->size = FRAMES_READ_SIZE(count);
    m->count = said;
    memcpy(m->frames, frames, count * sizeof(*frames));
    on_read(member, record);
}

/* What the writer has afterwards, in writer.last. */
static void offer(size_t pages)
{
    writer.last.count = 0;
    frames_offer(&writer, &process, __NR_write, 9, (int64_t)(pages * PAGE_SIZE));
}

static int begin(void **unused)
{
    area.header = (struct link_area){.magic = LINK_MAGIC,
                                     .member_max = 3,
                                     .link_count = LINKS,
                                     .ring_size = RING,
                                     .members_offset = PAGE_SIZE,
                                     .links_offset = 3 * PAGE_SIZE,
                                     .rings_offset = 5 * PAGE_SIZE};
    next_link = next_link ? next_link : 4;
    assert_null(link_area_init((host_ptr){(uint64_t)&area}, sizeof(area), 0));
    crypto_init();
    frames_init();
    writer.dead = reader.dead = false;
    return 0;
}

static int end(void **unused)
{
    frames_release(writer.number);
    frames_release(reader.number);
    return frames_used() == 0 ? 0 : -1;
}

static uint8_t *bytes(uint32_t frame)
{
    return area.rings + (size_t)frame * PAGE_SIZE;
}

static struct sealed_page seal(uint32_t frame, uint64_t count, uint8_t fill)
{
    static uint8_t plain[PAGE_SIZE];
    struct sealed_page page = {.frame = frame, .writer = 5, .count = count};
    memset(plain, fill, sizeof(plain));
    sealed_seal(&page, plain);
    return page;
}

/* What the page is, or -1: the host lied, and nothing came out. */
static int open_page(const struct sealed_page *page)
{
    static uint8_t plain[PAGE_SIZE];
    lied_about = NULL;
    if (setjmp(lie) == 0)
        sealed_open(page, plain);
    for (size_t i = 1; i < PAGE_SIZE; i++)
        assert_int_equal(plain[i], plain[0]);
    assert_true(!lied_about || plain[0] == 0);
    return lied_about ? -1 : plain[0];
}

static void test_what_the_host_does_to_a_frame(void **unused)
{
    uint8_t old[PAGE_SIZE], swap[PAGE_SIZE];
    struct sealed_page a = seal(130, 1, 'a'), b = seal(131, 2, 'b');
    assert_int_equal(open_page(&a), 'a');
    assert_int_equal(open_page(&b), 'b');
    for (size_t bit = 0; bit < 8 * PAGE_SIZE; bit += 97) {
        bytes(130)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(open_page(&a), -1);
        bytes(130)[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    memcpy(swap, bytes(130), PAGE_SIZE); /* moved */
    memcpy(bytes(130), bytes(131), PAGE_SIZE);
    memcpy(bytes(131), swap, PAGE_SIZE);
    assert_int_equal(open_page(&a), -1);
    assert_int_equal(open_page(&b), -1);
    memcpy(old, swap, PAGE_SIZE); /* replayed: the same bytes before, in the same frame */
    a = seal(130, 3, 'a');
    assert_int_equal(open_page(&a), 'a');
    assert_memory_not_equal(bytes(130), old, PAGE_SIZE);
    memcpy(bytes(130), old, PAGE_SIZE);
    assert_int_equal(open_page(&a), -1);
    memset(bytes(130), 0, PAGE_SIZE); /* dropped */
    assert_int_equal(open_page(&a), -1);
}

/* No two pages are sealed alike, whoever writes them. */
static void test_nonces_differ(void **unused)
{
    struct sealed_page a = seal(130, 1, 'x'), b = {.frame = 131, .writer = 6, .count = 1};
    uint8_t plain[PAGE_SIZE];
    memset(plain, 'x', sizeof(plain));
    sealed_seal(&b, plain);
    assert_memory_not_equal(bytes(130), bytes(131), PAGE_SIZE);
    a.writer = 6;
    assert_int_equal(open_page(&a), -1);
    offer(4);
    uint32_t first = writer.frames.writer;
    assert_int_not_equal(first, 0);
    frames_release(writer.number);
    writer.frames = (struct member_frames){0}; /* another enclave at the same place */
    offer(4);
    assert_int_not_equal(writer.frames.writer, first);
}

static void test_offers(void **unused)
{
    offer(3); /* too little to be worth it */
    assert_int_equal(writer.last.count, 0);
    frames_offer(&writer, &process, __NR_write, 8, 1 << 20);
    frames_offer(&writer, &process, __NR_read, 9, 1 << 20);
    frames_offer(&writer, &process, __NR_write, 9, -EPIPE);
    inode.mode = S_IFREG;
    offer(16);
    inode.mode = S_IFIFO;
    assert_int_equal(writer.last.count, 0);
    writer.dead = true;
    offer(16);
    assert_int_equal(frames_used(), 0);
    writer.dead = false;
    offer(16);
    assert_int_equal(writer.last.count, 16);
    assert_int_equal(writer.last.fd, 9);
    assert_int_equal(writer.last.message.pid, 7);
    offer(16); /* it has them still */
    assert_int_equal(writer.last.count, 0);
    offer(1000);
    assert_int_equal(writer.last.count, FRAMES_MEMBER_MAX - 16);
    assert_int_equal(frames_used(), FRAMES_MEMBER_MAX);
}

static void test_claims(void **unused)
{
    struct sealed_page pages[4] = {{.count = 0}};
    uint32_t frames[4];
    offer(4);
    memcpy(frames, writer.last.frames, sizeof(frames));
    for (size_t i = 0; i < 4; i++)
        pages[i].frame = frames[i];
    assert_int_equal(frames_claim(&reader, pages, 4), -EPROTO); /* another's */
    pages[3].frame = frames[0];
    assert_int_equal(frames_claim(&writer, pages, 4), -EPROTO); /* twice */
    for (size_t i = 0; i < 200; i++) {
        pages[3].frame = (uint32_t)(i * 0x2345671); /* one that is nobody's, or does not exist */
        if (pages[3].frame != frames[3])
            assert_int_equal(frames_claim(&writer, pages, 4), -EPROTO);
    }
    pages[3].frame = frames[3];
    assert_int_equal(frames_claim(&writer, pages, 4), 0);
    assert_int_equal(frames_claim(&writer, pages, 1), -EPROTO); /* it is the pipe's by now */
    says_read(&writer, frames, 4, 4);
    says_read(&reader, frames, 4, 4);
    assert_int_equal(frames_used(), 4);
    assert_true(frame_pass(frames[0], &reader));
    assert_true(frame_pass(frames[1], &reader));
    says_read(&writer, frames, 4, 4); /* not the reader */
    assert_int_equal(frames_used(), 4);
    says_read(&reader, frames, 1, 1000); /* more than the message has */
    assert_int_equal(frames_used(), 4);
    says_read(&reader, frames, 4, 4); /* not all are its own */
    assert_int_equal(frames_used(), 2);
    frame_drop(frames[2]);
    frames_release(writer.number); /* the writer is gone; what is in the pipe stays there */
    assert_int_equal(frames_used(), 1);
    assert_true(frame_pass(frames[3], &reader));
    frames_release(reader.number);
    assert_int_equal(frames_used(), 0);
}

/* Who reads has to know the key; if it cannot be told, it is not given the page. */
static void test_readers_know_the_key(void **unused)
{
    struct sealed_page page = {.count = 0};
    offer(4);
    page.frame = writer.last.frames[0];
    assert_int_equal(frames_claim(&writer, &page, 1), 0);
    reader.frames = (struct member_frames){0};
    reader.dead = true;
    assert_false(frame_pass(page.frame, &reader));
    reader.dead = false;
    reader.messages = 0;
    assert_true(frame_pass(page.frame, &reader));
    assert_int_equal(reader.messages, 1);
    assert_int_equal(reader.last.count, 0);
    assert_memory_equal(reader.last.key, writer.last.key, sizeof(writer.last.key));
}

/* Frames are a few; without any more, pages go as bytes. */
static void test_frames_run_out(void **unused)
{
    struct sealed_page pages[FRAMES_MEMBER_MAX];
    size_t total = 0;
    uint32_t all[5 * FRAMES_OF_LINK];
    for (;;) {
        offer(FRAMES_MEMBER_MAX);
        if (writer.last.count == 0)
            break;
        for (uint32_t i = 0; i < writer.last.count; i++)
            all[total++] = pages[i].frame = writer.last.frames[i];
        assert_int_equal(frames_claim(&writer, pages, writer.last.count), 0);
    }
    assert_int_equal(total, 4 * FRAMES_OF_LINK);
    assert_int_equal(frames_used(), total);
    for (size_t i = 0; i < total; i++)
        frame_drop(all[i]);
    assert_int_equal(frames_used(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_offers, begin, end),
        cmocka_unit_test_setup_teardown(test_what_the_host_does_to_a_frame, begin, end),
        cmocka_unit_test_setup_teardown(test_nonces_differ, begin, end),
        cmocka_unit_test_setup_teardown(test_claims, begin, end),
        cmocka_unit_test_setup_teardown(test_readers_know_the_key, begin, end),
        cmocka_unit_test_setup_teardown(test_frames_run_out, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * A link between two sides over memory of a hostile host: the input is what they send and what the host does between.
 * A cipher that anybody can see through stands in for AES-GCM, so that forged sizes and indices are not stopped by it
 * alone; what is received is still what was sent, in order.
 *
 * fuzz-sources: kernel/remote/link.c kernel/remote/area.c kernel/arch/untrusted.c kernel/sched/wait.c
 * fuzz-sources: tests/unit/hosted_libc.c tests/unit/one_task.c tests/unit/sum_cipher.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include <stdlib.h>

#include "abi/link.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/remote/area.h"
#include "kernel/remote/link.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "tests/unit/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void hostcall_kick_member(unsigned number, uint64_t vcpu_mask);

#define RING 0x20000U

static struct area {
    struct link_area header;
    struct member_shared members[2] __attribute__((aligned(64)));
    struct link_shared links[2] __attribute__((aligned(64)));
    uint8_t rings[4][RING] __attribute__((aligned(64)));
} area __attribute__((aligned(4096)));

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

void host_lied(const char *what)
{
    abort();
}

uint64_t time_monotonic_ns(void)
{
    static uint64_t now;
    return now += 1000;
}

void random_bytes(void *buf, size_t size)
{
    memset(buf, 3, size);
}

void hostcall_kick_member(unsigned number, uint64_t vcpu_mask)
{
}

int task_sleep(uint64_t deadline_ns)
{
    return 0;
}

/* ---- */

static void send_numbered(struct link *link, uint64_t *sent, size_t size)
{
    static uint8_t message[LINK_MESSAGE_MAX];
    size = MIN(size + 8, LINK_MESSAGE_MAX);
    memcpy(message, sent, 8);
    memset(message + 8, (uint8_t)*sent, size - 8);
    if (link->queue_bytes < 200000 && link_send(link, message, size) == 0)
        (*sent)++;
}

static void receive_numbered(struct link *link, uint64_t *received)
{
    struct record *record;
    while (link_receive(link, &record) == 0) {
        if (record->size < 8 || memcmp(record->data, received, 8) != 0)
            abort();
        for (size_t i = 8; i < record->size; i++)
            if (record->data[i] != (uint8_t)*received)
                abort();
        (*received)++;
        kfree(record);
    }
}

static void lie(struct input *in, unsigned side)
{
    struct link_shared *shared = &area.links[1];
    uint64_t what = input_number(in, 1), value = input_number(in, 4);
    switch (what % 4) {
    case 0:
        shared->ring[side].head += (uint32_t)value;
        break;
    case 1:
        shared->ring[side].tail += (uint32_t)value;
        break;
    case 2:
        memcpy(&area.rings[2 + side][value % (RING - 8)], in->at, MIN(in->left, 8UL));
        break;
    default:
        ((uint8_t *)shared)[value % sizeof(*shared)] ^= (uint8_t)(value >> 24);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[LINK_KEY_SIZE];
    static struct link links[2];
    struct input in = {data, size};
    uint64_t sent[2] = {0, 0}, received[2] = {0, 0};
    memset(&area, 0, sizeof(area)); /* keys are the same in all runs: no record may survive one */
    area.header = (struct link_area){.magic = LINK_MAGIC,
                                     .member_max = 1,
                                     .link_count = 2,
                                     .ring_size = RING,
                                     .members_offset = offsetof(struct area, members),
                                     .links_offset = offsetof(struct area, links),
                                     .rings_offset = offsetof(struct area, rings)};
    if (input_number(&in, 1) == 255) { /* the header is the input */
        memcpy(&area.header, in.at, MIN(in.left, sizeof(area.header)));
        (void)!link_area_init((host_ptr){(uint64_t)&area}, sizeof(area), 1);
        return 0;
    }
    if (link_area_init((host_ptr){(uint64_t)&area}, sizeof(area), 1))
        abort();
    link_open(&links[0], 1, 0, 1, key);
    link_open(&links[1], 1, 1, 0, key);
    while (in.left > 0) {
        unsigned op = (unsigned)input_number(&in, 1), side = op & 1;
        if (op >> 1 & 1)
            send_numbered(&links[side], &sent[side], input_number(&in, 2));
        else if (op >> 2 & 1)
            receive_numbered(&links[side], &received[!side]);
        else
            lie(&in, side);
        link_poll(&links[side]);
        if (received[0] > sent[0] || received[1] > sent[1])
            abort();
    }
    link_close(&links[0]);
    link_close(&links[1]);
    return 0;
}

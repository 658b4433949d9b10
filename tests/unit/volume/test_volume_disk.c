/*
 * kernel/fs/volume_disk.c above a host that does what was asked for later only when it must, and then one that lies in
 * every buffer: what is read is right or an error, and what a sync acknowledged is there.
 */
#include <linux/errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "kernel/arch/hostcall.h"
#include "kernel/arch/untrusted.h"
#include "kernel/crypto/crypto.h"
#include "kernel/fs/volume_disk.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/sched/run_queue.h"
#include "kernel/sched/task.h"

#include <cmocka.h>

#define BLOCK VOLUME_IO_BLOCK
#define BLOCKS 4096U
#define FILE_BLOCKS 768U

struct run_queue run_queue;
static uint8_t file[BLOCKS * BLOCK], *area; /* the host's file; what it shares with the kernel */

/* ---- the host ---- */

enum lie { LIE_NONE, LIE_SWAPPED, LIE_SHORT, LIE_EARLY, LIE_CHANGED, LIE_ERROR, LIE_LOST, LIE_COUNT };
static const char *const lie_names[] = {"late", "swapped", "short", "early", "changed", "error", "lost"};

struct request {
    uint64_t op, block, count;
    unsigned buffer;
    uint32_t sequence;
};
static struct request queue[VOLUME_BUFFERS];
static unsigned queued, waits, later;
static enum lie lie;
static unsigned lie_rate; /* of 100 */
static unsigned fail_write_at, writes;
static int64_t result_lie;
static jmp_buf lied;

static struct volume_shared *shared(void)
{
    return (struct volume_shared *)(area + VOLUME_BUFFERS_SIZE);
}

static bool lies_now(enum lie which)
{
    return lie == which && disk_random() % 100 < lie_rate;
}

static void host_read(const struct request *r, uint8_t *data)
{
    uint64_t block = lies_now(LIE_SWAPPED) ? disk_random() % (BLOCKS - r->count) : r->block;
    uint64_t count = lies_now(LIE_SHORT) ? r->count / 2 : r->count;
    memcpy(data, file + block * BLOCK, count * BLOCK);
}

static int64_t host_perform(const struct request *r)
{
    uint8_t *data = area + r->buffer * VOLUME_BUFFER_SIZE;
    if (r->op == VOLUME_FLUSH)
        return 0;
    if (r->block + r->count > BLOCKS || r->count > VOLUME_IO_BLOCKS || r->buffer >= VOLUME_BUFFERS)
        fail_msg("operation %u on blocks %u + %u", (unsigned)r->op, (unsigned)r->block, (unsigned)r->count);
    if (lies_now(LIE_ERROR))
        return -EIO;
    if (r->op == VOLUME_READ) {
        host_read(r, data);
        return 0;
    }
    if (++writes == fail_write_at)
        return -ENOSPC;
    if (!lies_now(LIE_LOST))
        memcpy(file + r->block * BLOCK, data, r->count * BLOCK);
    return 0;
}

static void host_answer(const struct request *r, int64_t result)
{
    shared()->lanes[r->buffer].result = result_lie ? result_lie : result;
    shared()->lanes[r->buffer].done = r->sequence + 1;
}

/* The first of what is to be done later. */
static void host_step(void)
{
    struct request r = queue[0];
    bool early = lies_now(LIE_EARLY);
    assert_true(queued > 0);
    memmove(queue, queue + 1, --queued * sizeof(*queue));
    if (early)
        host_answer(&r, 0); /* the kernel finds what was in the buffer before */
    else
        host_answer(&r, host_perform(&r));
}

int hostcall_volume(uint64_t op, uint64_t file_number, uint64_t block, uint64_t count)
{
    struct request r = {op & 0xff, block, count, (unsigned)(op / VOLUME_OP_BUFFER(1)), 0};
    (void)file_number;
    assert_true(r.buffer < VOLUME_BUFFERS);
    if (op & VOLUME_OP_LATER) {
        later++;
        assert_true(queued < VOLUME_BUFFERS); /* or a buffer is in use twice */
        for (unsigned i = 0; i < queued; i++)
            assert_true(queue[i].buffer != r.buffer);
        r.sequence = shared()->lanes[r.buffer].sequence;
        queue[queued++] = r;
        while (queued > 0 && disk_random() % 4 == 0)
            host_step();
        return 0;
    }
    while (r.op == VOLUME_WAIT ? shared()->lanes[r.buffer].done == 0 : queued > 0)
        host_step();
    waits += r.op == VOLUME_WAIT;
    return r.op == VOLUME_WAIT ? 0 : (int)host_perform(&r);
}

/* ---- the rest of the kernel ---- */

bool untrusted_range_ok(host_ptr p, uint64_t size)
{
    return p.addr == (uint64_t)area && size <= VOLUME_BUFFERS_SIZE + BLOCK;
}
uint32_t untrusted_load32(host_ptr p)
{
    return *(volatile uint32_t *)p.addr;
}
uint64_t untrusted_load64(host_ptr p)
{
    return *(volatile uint64_t *)p.addr;
}
void untrusted_store64(host_ptr p, uint64_t value)
{
    *(uint64_t *)p.addr = value;
}
void untrusted_copy_in(void *dst, host_ptr src, size_t size)
{
    memcpy(dst, (void *)src.addr, size);
    if (lies_now(LIE_CHANGED)) /* who looked again would see something else */
        memset((void *)src.addr, 0x5a, size);
}
void untrusted_copy_out(host_ptr dst, const void *src, size_t size)
{
    memcpy((void *)dst.addr, src, size);
}
void host_lied(const char *what)
{
    (void)what;
    longjmp(lied, 1);
}
void printk(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}
void random_bytes(void *buf, size_t size)
{
    struct disk *d = disk_new(1); /* whose salts never repeat */
    d->io.random(NULL, buf, size);
    disk_free(d);
}
struct timespec_ns time_now(void)
{
    return (struct timespec_ns){1700000000, 0};
}
struct task *task_current(void)
{
    static struct task task;
    return &task;
}
unsigned vcpu_count(void)
{
    return 1;
}
unsigned vcpu_index(void)
{
    return 0;
}
void task_wake(struct task *task)
{
    assert_ptr_equal(task, task_current());
}
void task_prepare_sleep(bool interruptible)
{
    (void)interruptible;
}
int task_sleep(uint64_t deadline_ns)
{
    (void)deadline_ns;
    assert_int_equal(shared()->waited, 1); /* or the host would not kick */
    host_step();
    volume_disks_poll();
    return 0;
}
void task_cancel_sleep(void)
{
}

/* ---- tests ---- */

/* The host starts anew, with the file as it is. */
static struct volume_disk *disk_again(void)
{
    static struct volume_disk disk;
    const struct boot_volume boot = {.buffer = (uint64_t)area, .block_count = BLOCKS};
    lie = LIE_NONE;
    fail_write_at = writes = queued = 0;
    result_lie = 0;
    run_queue.count = run_queue.background = 0;
    memset(area, 0, VOLUME_BUFFERS_SIZE + BLOCK);
    volume_disk_init(&disk, 0, &boot, "/test");
    return &disk;
}

static struct volume_disk *disk_begin(void)
{
    memset(file, 0, sizeof(file));
    return disk_again();
}

static void fill(uint8_t *to, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        memset(to + i * BLOCK, (int)disk_random(), BLOCK);
}

/* Any order of operations is as if each had been done at once. */
static void test_order(void **state)
{
    (void)state;
    static uint8_t model[64 * BLOCK + VOLUME_BUFFER_SIZE * 2], buf[VOLUME_BUFFER_SIZE * 2];
    struct volume_disk *disk = disk_begin();
    const struct volume_io *io = &disk->io;
    disk_seed(3);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t block = disk_random() % 64, count = 1 + disk_random() % (disk_random() % 8 ? 12 : 100);
        run_queue.count = disk_random() % 2; /* others wait: it sleeps */
        switch (disk_random() % 6) {
        case 0:
        case 1:
            io->read_ahead(io->arg, block, MIN(count, (uint64_t)VOLUME_IO_BLOCKS));
            break;
        case 2:
            fill(buf, count);
            memcpy(model + block * BLOCK, buf, count * BLOCK);
            assert_int_equal(io->write(io->arg, block, count, buf, disk_random() % 8 == 0), 0);
            break;
        case 3:
            if (disk_random() % 8 == 0) {
                assert_int_equal(io->flush(io->arg), 0);
                assert_memory_equal(file, model, sizeof(model));
            }
            break;
        default:
            assert_int_equal(io->read(io->arg, block, count, buf), 0);
            assert_memory_equal(buf, model + block * BLOCK, count * BLOCK);
        }
    }
    assert_true(waits > 100);
}

static struct volume *open_volume(struct volume_disk *disk, bool format)
{
    static const struct volume_options options = {.cache_size = 1 << 20};
    struct volume_key_slot slot = {.type = VOLUME_KEY_FILE, .name = "test"};
    struct volume *v = NULL;
    if (format)
        assert_int_equal(volume_format(&disk->io, &slot, disk_key), 0);
    return volume_mount(&disk->io, &options, disk_unlock, disk_key, &v) < 0 ? NULL : v;
}

static void block_of(uint64_t index, uint8_t *ret)
{
    for (uint64_t i = 0; i < BLOCK / 8; i++)
        ((uint64_t *)(void *)ret)[i] = index * 1000003 + i;
}

/* A file that does not fit into the cache, MiB by MiB. */
static int write_file(struct volume *v)
{
    static uint8_t buf[256 * BLOCK];
    struct volume_node *root, *node = NULL;
    int err = volume_node_get(v, VOLUME_ROOT_INO, &root);
    if (err < 0)
        return err;
    err = volume_create(root, "file", 4, S_IFREG | 0644, 0, (struct volume_owner){0, 0}, &node);
    for (uint64_t at = 0; err == 0 && at < FILE_BLOCKS; at += 256) {
        for (uint64_t i = 0; i < 256; i++)
            block_of(at + i, buf + i * BLOCK);
        ssize_t n = volume_write(node, at * BLOCK, buf, sizeof(buf));
        err = n < 0 ? (int)n : n == sizeof(buf) ? 0 : -EIO;
    }
    if (err == 0)
        err = volume_fsync(node);
    volume_node_put(node);
    volume_node_put(root);
    return err;
}

/* Blocks that were read and are right; what is wrong fails the test. */
static unsigned read_file(struct volume *v)
{
    static uint8_t buf[32 * BLOCK], expected[BLOCK];
    struct volume_node *root, *node;
    unsigned right = 0;
    if (volume_node_get(v, VOLUME_ROOT_INO, &root) < 0)
        return 0;
    if (volume_lookup(root, "file", 4, &node) == 0) {
        for (uint64_t at = 0; at < FILE_BLOCKS; at += 32) {
            ssize_t n = volume_read(node, at * BLOCK, buf, sizeof(buf));
            for (uint64_t i = 0; n > 0 && i < (uint64_t)n / BLOCK; i++, right++) {
                block_of(at + i, expected);
                assert_memory_equal(buf + i * BLOCK, expected, BLOCK);
            }
        }
        volume_node_put(node);
    }
    volume_node_put(root);
    return right;
}

static void test_liar(void **state)
{
    (void)state;
    for (unsigned which = LIE_NONE; which < LIE_COUNT; which++) {
        unsigned right = 0, opened = 0;
        for (unsigned round = 0; round < 12; round++) {
            disk_seed(100 * which + round);
            struct volume_disk *disk = disk_begin();
            struct volume *v = open_volume(disk, true);
            assert_non_null(v);
            run_queue.count = round % 2;
            lie_rate = round < 6 ? 30 : 3;
            if (which == LIE_LOST)
                lie = LIE_LOST; /* the rest lies about what is read */
            int err = write_file(v);
            assert_true(err == 0 || which == LIE_LOST);
            lie = (enum lie)which;
            for (unsigned i = 0; i < 3; i++)
                right += read_file(v);
            volume_abandon(v);
            v = open_volume(disk, false);
            opened += v != NULL;
            right += v ? read_file(v) : 0;
            volume_abandon(v);
        }
        print_message("%s: %u blocks right, %u of 12 opened\n", lie_names[which], right, opened);
        if (which == LIE_NONE || which == LIE_CHANGED) /* nothing is looked at twice */
            assert_int_equal(right, 12 * 4 * FILE_BLOCKS);
        else
            assert_true(right > 0 && right < 12 * 4 * FILE_BLOCKS);
    }
}

/* A write fails that nobody waited for: no sync after it succeeds. */
static void test_write_error(void **state)
{
    (void)state;
    unsigned failed = 0, k = 1;
    for (bool reached = true; reached; k++) {
        disk_seed(k);
        struct volume_disk *disk = disk_begin();
        struct volume *v = open_volume(disk, true);
        assert_non_null(v);
        run_queue.count = k % 2;
        writes = 0;
        fail_write_at = k;
        int err = write_file(v);
        reached = writes >= k;
        assert_true(reached ? err < 0 : err == 0);
        if (err < 0) {
            struct volume_node *root;
            assert_int_equal(volume_node_get(v, VOLUME_ROOT_INO, &root), 0);
            assert_true(volume_fsync(root) < 0);
            assert_true(volume_failed(v) < 0);
            volume_node_put(root);
            failed++;
        }
        volume_abandon(v);
        v = open_volume(disk_again(), false); /* what was durable before is */
        assert_non_null(v);
        volume_abandon(v);
    }
    assert_true(failed > 10);
}

static void test_result(void **state)
{
    (void)state;
    static uint8_t buf[BLOCK];
    static const int64_t results[] = {1, -4096, INT64_MIN};
    for (volatile unsigned i = 0; i < 2 * ARRAY_COUNT(results); i++) {
        struct volume_disk *disk = disk_begin();
        result_lie = results[i / 2];
        run_queue.count = 1;
        if (setjmp(lied) == 0) {
            if (i % 2)
                disk->io.read_ahead(disk, 7, 1);
            (void)!disk->io.read(disk, 7, 1, buf);
            fail_msg("a result of %ld was taken", (long)results[i / 2]);
        }
    }
}

/* Who sleeps for a durable write, and who leaves the enclave for it. */
static void test_now_or_later(void **state)
{
    (void)state;
    static uint8_t buf[BLOCK];
    struct volume_disk *disk = disk_begin();
    const unsigned counts[][3] = {
        {0, 0, 0}, {1, 0, 1}, {1, 1, 0}, {2, 1, 1}, {2, 2, 0}}; /* runnable, background, later */
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        run_queue.count = counts[i][0];
        run_queue.background = counts[i][1];
        later = 0;
        assert_int_equal(disk->io.write(disk, 7, 1, buf, true), 0);
        assert_int_equal(later, counts[i][2]);
    }
}

int main(void)
{
    area = aligned_alloc(BLOCK, VOLUME_BUFFERS_SIZE + BLOCK);
    crypto_init();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_liar),
                                       cmocka_unit_test(test_write_error), cmocka_unit_test(test_result),
                                       cmocka_unit_test(test_now_or_later)};
    return cmocka_run_group_tests_name("volume disk", tests, NULL, NULL);
}

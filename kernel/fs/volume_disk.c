/* Blocks of volumes in and out of the enclave (contract in volume_disk.h). */
#include "kernel/fs/volume_disk.h"

#include <linux/errno.h>

#include "kernel/arch/hostcall.h"
#include "kernel/arch/untrusted.h"
#include "kernel/arch/vcpu.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/sched/run_queue.h"
#include "kernel/sched/task.h"

_Static_assert(VOLUME_IO_BLOCK == VOLUME_BLOCK_SIZE, "abi/volume.h");

static struct volume_disk *disks[VOLUME_MAX];
static unsigned waiting_count;

#define SHARED(disk, member) host_ptr_add((disk)->shared, offsetof(struct volume_shared, member))
#define LANE(disk, n, member)                                                                                          \
    host_ptr_add(SHARED(disk, lanes), (n) * sizeof(struct volume_lane) + offsetof(struct volume_lane, member))
#define OWN_BUFFERS (VOLUME_BUFFERS / 4) /* the first ones; the others are for reading ahead */
#define STALE (VOLUME_BUFFERS + 8)       /* operations that began since */

static void wake_if_done(struct task **waiting, host_ptr done, uint32_t sequence)
{
    if (!*waiting || untrusted_load32(done) != sequence + 1)
        return;
    task_wake(*waiting);
    *waiting = NULL;
    waiting_count--;
}

void volume_disks_poll(void)
{
    for (unsigned i = 0; waiting_count > 0 && i < VOLUME_MAX; i++) {
        struct volume_disk *disk = disks[i];
        if (!disk)
            continue;
        wake_if_done(&disk->waiting, LANE(disk, disk->waited, done), disk->buffers[disk->waited].sequence);
        wake_if_done(&disk->anchor_waiting, SHARED(disk, anchor_done), disk->anchor_sequence);
    }
}

/*
 * Would somebody else have this vCPU, or need it? Only vCPU 0 moves what other tasks send and receive. A volume's
 * thread, which wants the lock that the caller has, is not worth the host's two wake-ups.
 */
static bool others_wait(void)
{
    if (run_queue.count > run_queue.background)
        return true;
    for (unsigned i = 1; vcpu_index() == 0 && i < vcpu_count(); i++)
        if (!vcpu_at(i)->parked)
            return true;
    return false;
}

/* The buffer's operation is over. */
static bool buffer_done(const struct volume_disk *disk, unsigned n)
{
    return untrusted_load32(LANE(disk, n, done)) == disk->buffers[n].sequence + 1;
}

static int submit(struct volume_disk *disk, unsigned n, uint64_t op, uint64_t file, uint64_t block, uint64_t count)
{
    struct volume_buffer *b = &disk->buffers[n];
    b->sequence++;
    b->order = ++disk->order;
    untrusted_store64(LANE(disk, n, sequence), b->sequence); /* done = 0, too */
    int error = hostcall_volume(op | VOLUME_OP_LATER | VOLUME_OP_BUFFER(n), file, block, count);
    if (error < 0)
        b->state = VOLUME_BUFFER_IDLE;
    return error;
}

static void sleep_until_done(struct volume_disk *disk, unsigned n)
{
    disk->waiting = task_current();
    disk->waited = n;
    waiting_count++;
    untrusted_store64(SHARED(disk, waited), 1);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before the look at `done` */
    for (;;) {
        task_prepare_sleep(false);
        if (!disk->waiting || buffer_done(disk, n))
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    waiting_count -= disk->waiting != NULL;
    disk->waiting = NULL;
    untrusted_store64(SHARED(disk, waited), 0);
}

/* Until the buffer's operation is over. Its result; the buffer is idle. */
static int buffer_wait(struct volume_disk *disk, unsigned n, bool sleep)
{
    while (!buffer_done(disk, n)) {
        if (sleep || others_wait())
            sleep_until_done(disk, n);
        else
            (void)!hostcall_volume(VOLUME_WAIT | VOLUME_OP_BUFFER(n), VOLUME_FILE(disk->number, false), 0, 0);
    }
    int64_t result = (int64_t)untrusted_load64(LANE(disk, n, result));
    if (result > 0 || result < -4095)
        host_lied("the result of a volume's operation");
    disk->buffers[n].state = VOLUME_BUFFER_IDLE;
    return (int)result;
}

static void note_error(struct volume_disk *disk, const char *what, int error)
{
    if (error >= 0 || disk->error)
        return;
    disk->error = error;
    printk(LOG_ERROR, "cofre: volume %s: the host failed to %s: error %d\n", disk->path, what, -error);
}

/* What became of a plain write that nobody waited for. */
static void write_over(struct volume_disk *disk, unsigned n)
{
    int error = buffer_wait(disk, n, false);
    note_error(disk, "write", error);
    if (error < 0 && !disk->write_error)
        disk->write_error = error;
}

/* All plain writes are over: the first error of any, ever. */
static int writes_over(struct volume_disk *disk)
{
    for (unsigned n = 0; n < VOLUME_BUFFERS; n++)
        if (disk->buffers[n].state == VOLUME_BUFFER_BEHIND)
            write_over(disk, n);
    return disk->write_error;
}

/* The buffer in this state, from `first` on, that was asked for first; VOLUME_BUFFERS: none is. */
static unsigned buffer_oldest(const struct volume_disk *disk, enum volume_buffer_state state, unsigned first)
{
    unsigned oldest = VOLUME_BUFFERS;
    for (unsigned n = first; n < VOLUME_BUFFERS; n++)
        if (disk->buffers[n].state == state &&
            (oldest == VOLUME_BUFFERS || disk->buffers[n].order < disk->buffers[oldest].order))
            oldest = n;
    return oldest;
}

/* A buffer for another operation than reading ahead, in turn: not the last one, which the host's CPU still has near. */
static unsigned buffer_take(struct volume_disk *disk)
{
    unsigned n = disk->turn++ % OWN_BUFFERS;
    for (unsigned i = 1; i < OWN_BUFFERS && disk->buffers[n].state == VOLUME_BUFFER_BUSY; i++)
        n = disk->turn++ % OWN_BUFFERS;
    if (disk->buffers[n].state == VOLUME_BUFFER_BEHIND)
        write_over(disk, n);
    ASSERT(disk->buffers[n].state == VOLUME_BUFFER_IDLE);
    disk->buffers[n].state = VOLUME_BUFFER_BUSY;
    disk->order++;
    return n;
}

static host_ptr buffer_data(const struct volume_disk *disk, unsigned n)
{
    return host_ptr_add(disk->data, (uint64_t)n * VOLUME_BUFFER_SIZE);
}

/* An operation whose end the caller waits for, with a buffer that it has taken. */
static int disk_op(struct volume_disk *disk, unsigned n, uint64_t op, bool anchor, uint64_t block, uint64_t count)
{
    uint64_t file = VOLUME_FILE(disk->number, anchor);
    int error;
    if (op == VOLUME_FLUSH || others_wait()) {
        error = submit(disk, n, op, file, block, count);
        if (error == 0)
            error = buffer_wait(disk, n, true);
    } else {
        error = hostcall_volume(op | VOLUME_OP_BUFFER(n), file, block, count);
        disk->buffers[n].state = VOLUME_BUFFER_IDLE;
    }
    note_error(disk, op == VOLUME_READ ? "read" : "write", error);
    return error;
}

static int disk_read_file(struct volume_disk *disk, bool anchor, uint64_t block, uint64_t count, void *buf)
{
    int error = 0;
    for (uint64_t done = 0, n; error == 0 && done < count; done += n) {
        unsigned buffer = buffer_take(disk);
        n = MIN(count - done, (uint64_t)VOLUME_IO_BLOCKS);
        error = disk_op(disk, buffer, VOLUME_READ, anchor, block + done, n);
        if (error == 0)
            untrusted_copy_in((char *)buf + done * VOLUME_IO_BLOCK, buffer_data(disk, buffer), n * VOLUME_IO_BLOCK);
    }
    return error;
}

/* The buffer that all these blocks are read ahead into; VOLUME_BUFFERS: none is. */
static unsigned buffer_ahead(const struct volume_disk *disk, uint64_t block, uint64_t count)
{
    for (unsigned n = 0; n < VOLUME_BUFFERS; n++) {
        const struct volume_buffer *b = &disk->buffers[n];
        if (b->state == VOLUME_BUFFER_AHEAD && block >= b->block && block + count <= b->block + b->count)
            return n;
    }
    return VOLUME_BUFFERS;
}

/* What the buffer has of these blocks, if the host could read them. */
static int take_ahead(struct volume_disk *disk, unsigned n, uint64_t block, uint64_t count, void *buf)
{
    struct volume_buffer *b = &disk->buffers[n];
    int error = buffer_wait(disk, n, false);
    if (error < 0)
        return error;
    if (block + count < b->block + b->count)
        b->state = VOLUME_BUFFER_AHEAD; /* somebody will come for the rest */
    untrusted_copy_in(buf, host_ptr_add(buffer_data(disk, n), (block - b->block) * VOLUME_IO_BLOCK),
                      count * VOLUME_IO_BLOCK);
    return 0;
}

static int disk_read(void *arg, uint64_t block, uint64_t count, void *buf)
{
    struct volume_disk *disk = arg;
    int error = 0;
    for (uint64_t n; error == 0 && count > 0; block += n, count -= n, buf = (char *)buf + n * VOLUME_IO_BLOCK) {
        unsigned ahead = buffer_ahead(disk, block, 1);
        n = count;
        if (ahead < VOLUME_BUFFERS)
            n = MIN(count, disk->buffers[ahead].block + disk->buffers[ahead].count - block);
        if (ahead == VOLUME_BUFFERS || take_ahead(disk, ahead, block, n, buf) < 0)
            error = disk_read_file(disk, false, block, n, buf);
    }
    return error;
}

static bool disk_read_ahead(void *arg, uint64_t block, uint64_t count)
{
    struct volume_disk *disk = arg;
    if (count == 0 || count > VOLUME_IO_BLOCKS || buffer_ahead(disk, block, 1) < VOLUME_BUFFERS)
        return true;
    unsigned n = buffer_oldest(disk, VOLUME_BUFFER_IDLE, OWN_BUFFERS);
    if (n == VOLUME_BUFFERS) {
        n = buffer_oldest(disk, VOLUME_BUFFER_AHEAD, OWN_BUFFERS);
        if (disk->buffers[n].order + STALE > disk->order || !buffer_done(disk, n))
            return false; /* somebody comes for it soon */
    }
    disk->buffers[n] = (struct volume_buffer){
        .state = VOLUME_BUFFER_AHEAD, .sequence = disk->buffers[n].sequence, .block = block, .count = count};
    return submit(disk, n, VOLUME_READ, VOLUME_FILE(disk->number, false), block, count) == 0;
}

/* What was read ahead of these blocks is not what they are any more. */
static void ahead_forget(struct volume_disk *disk, uint64_t block, uint64_t count)
{
    for (unsigned n = 0; n < VOLUME_BUFFERS; n++) {
        struct volume_buffer *b = &disk->buffers[n];
        if (b->state == VOLUME_BUFFER_AHEAD && block < b->block + b->count && b->block < block + count)
            b->count = 0;
    }
}

static int disk_write_some(struct volume_disk *disk, uint64_t block, uint64_t count, const void *buf, bool durable)
{
    unsigned n = buffer_take(disk);
    ahead_forget(disk, block, count);
    untrusted_copy_out(buffer_data(disk, n), buf, count * VOLUME_IO_BLOCK);
    if (durable)
        return disk_op(disk, n, VOLUME_WRITE_DURABLE, false, block, count);
    disk->buffers[n].state = VOLUME_BUFFER_BEHIND;
    int error = submit(disk, n, VOLUME_WRITE, VOLUME_FILE(disk->number, false), block, count);
    note_error(disk, "write", error);
    return error;
}

static int disk_write(void *arg, uint64_t block, uint64_t count, const void *buf, bool durable)
{
    struct volume_disk *disk = arg;
    int error = durable ? writes_over(disk) : disk->write_error;
    for (uint64_t done = 0, n; error == 0 && done < count; done += n) {
        n = MIN(count - done, (uint64_t)VOLUME_IO_BLOCKS);
        error = disk_write_some(disk, block + done, n, (const char *)buf + done * VOLUME_IO_BLOCK, durable);
    }
    return error;
}

static int disk_flush(void *arg)
{
    struct volume_disk *disk = arg;
    unsigned n = buffer_take(disk);
    int error = disk_op(disk, n, VOLUME_FLUSH, false, 0, 0), written = writes_over(disk);
    return error < 0 ? error : written;
}

static uint64_t disk_block_count(void *arg)
{
    return ((struct volume_disk *)arg)->block_count;
}

static void disk_random(void *arg, void *buf, size_t size)
{
    (void)arg;
    random_bytes(buf, size);
}

static struct timespec_ns disk_now(void *arg)
{
    (void)arg;
    return time_now();
}

int volume_disk_anchor_read(struct volume_disk *disk, void *buf)
{
    return disk_read_file(disk, true, 0, VOLUME_ANCHOR_BLOCKS, buf);
}

int volume_disk_anchor_write(struct volume_disk *disk, uint64_t block, const void *buf)
{
    unsigned n = buffer_take(disk);
    untrusted_copy_out(buffer_data(disk, n), buf, VOLUME_IO_BLOCK);
    return disk_op(disk, n, VOLUME_WRITE_DURABLE, true, block, 1);
}

/* The host has not answered yet what it was asked last. */
static bool anchor_busy(const struct volume_disk *disk)
{
    return disk->anchor_sequence > 0 && untrusted_load32(SHARED(disk, anchor_done)) != disk->anchor_sequence + 1;
}

static int anchor_wait(struct volume_disk *disk, uint64_t deadline_ns)
{
    int error = 0;
    disk->anchor_waiting = task_current();
    waiting_count++;
    while (error == 0) {
        task_prepare_sleep(false);
        if (!disk->anchor_waiting)
            break;
        error = task_sleep(deadline_ns);
    }
    task_cancel_sleep();
    if (!disk->anchor_waiting)
        return 0;
    disk->anchor_waiting = NULL;
    waiting_count--;
    return -ETIMEDOUT;
}

ssize_t volume_disk_anchor_exchange(struct volume_disk *disk, unsigned flags, const void *message, size_t size,
                                    void *ret_answer, size_t answer_max, uint64_t deadline_ns)
{
    ASSERT(size <= VOLUME_ANCHOR_MESSAGE && answer_max <= VOLUME_ANCHOR_MESSAGE && !disk->anchor_waiting);
    if (anchor_busy(disk))
        return -ETIMEDOUT; /* it still tries what was given up */
    disk->anchor_sequence++;
    untrusted_copy_out(SHARED(disk, anchor_message), message, size);
    untrusted_store64(SHARED(disk, anchor_sequence), disk->anchor_sequence); /* anchor_done = 0, too */
    int error = hostcall_volume(VOLUME_ANCHOR_EXCHANGE | VOLUME_OP_LATER, VOLUME_FILE(disk->number, true), size, flags);
    if (error == 0)
        error = anchor_wait(disk, deadline_ns);
    if (error < 0)
        return error;
    int64_t result = (int64_t)untrusted_load64(SHARED(disk, anchor_result));
    if (result > (int64_t)answer_max || result < -4095)
        host_lied("the size of an anchor's answer");
    if (result > 0)
        untrusted_copy_in(ret_answer, SHARED(disk, anchor_message), (size_t)result);
    return (ssize_t)result;
}

void volume_disk_init(struct volume_disk *disk, unsigned number, const struct boot_volume *boot, const char *path)
{
    host_ptr data = {boot->buffer};
    if (boot->buffer % PAGE_SIZE || !untrusted_range_ok(data, VOLUME_BUFFERS_SIZE + PAGE_SIZE))
        host_lied("a volume's buffer");
    *disk = (struct volume_disk){
        .io = {disk, disk_read, disk_write, disk_flush, disk_block_count, disk_random, disk_now, disk_read_ahead},
        .number = number,
        .block_count = boot->block_count,
        .data = data,
        .shared = host_ptr_add(data, VOLUME_BUFFERS_SIZE),
        .path = path,
    };
    disks[number] = disk;
}

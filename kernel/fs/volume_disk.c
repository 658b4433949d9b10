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
        wake_if_done(&disk->waiting, SHARED(disk, done), disk->sequence);
        wake_if_done(&disk->anchor_waiting, SHARED(disk, anchor_done), disk->anchor_sequence);
    }
}

/* Would somebody else have this vCPU, or need it? Only vCPU 0 moves what other tasks send and receive. */
static bool others_wait(void)
{
    if (run_queue.count > 0)
        return true;
    for (unsigned i = 1; vcpu_index() == 0 && i < vcpu_count(); i++)
        if (!vcpu_at(i)->parked)
            return true;
    return false;
}

static int do_later(struct volume_disk *disk, uint64_t op, uint64_t file, uint64_t block, uint64_t count)
{
    disk->sequence++;
    untrusted_store64(disk->shared, disk->sequence); /* done = 0, too */
    int error = hostcall_volume(op | VOLUME_OP_LATER, file, block, count);
    if (error < 0)
        return error;
    disk->waiting = task_current();
    waiting_count++;
    for (;;) {
        task_prepare_sleep(false);
        if (!disk->waiting)
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    int64_t result = (int64_t)untrusted_load64(SHARED(disk, result));
    if (result > 0 || result < -4095)
        host_lied("the result of a volume's operation");
    return (int)result;
}

static int disk_op(struct volume_disk *disk, uint64_t op, bool anchor, uint64_t block, uint64_t count)
{
    uint64_t file = VOLUME_FILE(disk->number, anchor);
    bool later = op == VOLUME_FLUSH || others_wait();
    int error = later ? do_later(disk, op, file, block, count) : hostcall_volume(op, file, block, count);
    if (error < 0 && !disk->error) {
        disk->error = error;
        printk(LOG_ERROR, "cofre: volume %s: the host failed to %s: error %d\n", disk->path,
               op == VOLUME_READ ? "read" : "write", -error);
    }
    return error;
}

static int disk_read_file(struct volume_disk *disk, bool anchor, uint64_t block, uint64_t count, void *buf)
{
    int error = 0;
    for (uint64_t done = 0, n; error == 0 && done < count; done += n) {
        n = MIN(count - done, (uint64_t)VOLUME_IO_BLOCKS);
        error = disk_op(disk, VOLUME_READ, anchor, block + done, n);
        if (error == 0)
            untrusted_copy_in((char *)buf + done * VOLUME_IO_BLOCK, disk->buffer, n * VOLUME_IO_BLOCK);
    }
    return error;
}

static int disk_read(void *arg, uint64_t block, uint64_t count, void *buf)
{
    return disk_read_file(arg, false, block, count, buf);
}

static int disk_write(void *arg, uint64_t block, uint64_t count, const void *buf, bool durable)
{
    struct volume_disk *disk = arg;
    int error = 0;
    for (uint64_t done = 0, n; error == 0 && done < count; done += n) {
        n = MIN(count - done, (uint64_t)VOLUME_IO_BLOCKS);
        untrusted_copy_out(disk->buffer, (const char *)buf + done * VOLUME_IO_BLOCK, n * VOLUME_IO_BLOCK);
        error = disk_op(disk, durable ? VOLUME_WRITE_DURABLE : VOLUME_WRITE, false, block + done, n);
    }
    return error;
}

static int disk_flush(void *arg)
{
    return disk_op(arg, VOLUME_FLUSH, false, 0, 0);
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
    untrusted_copy_out(disk->buffer, buf, VOLUME_IO_BLOCK);
    return disk_op(disk, VOLUME_WRITE_DURABLE, true, block, 1);
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

ssize_t volume_disk_anchor_exchange(struct volume_disk *disk, bool fresh, const void *message, size_t size,
                                    void *ret_answer, uint64_t deadline_ns)
{
    ASSERT(size <= VOLUME_ANCHOR_MESSAGE && !disk->anchor_waiting);
    if (anchor_busy(disk))
        return -ETIMEDOUT; /* it still tries what was given up */
    disk->anchor_sequence++;
    untrusted_copy_out(SHARED(disk, anchor_message), message, size);
    untrusted_store64(SHARED(disk, anchor_sequence), disk->anchor_sequence); /* anchor_done = 0, too */
    int error = hostcall_volume(VOLUME_ANCHOR_EXCHANGE | VOLUME_OP_LATER, VOLUME_FILE(disk->number, true), size, fresh);
    if (error == 0)
        error = anchor_wait(disk, deadline_ns);
    if (error < 0)
        return error;
    int64_t result = (int64_t)untrusted_load64(SHARED(disk, anchor_result));
    if (result > VOLUME_ANCHOR_MESSAGE || result < -4095)
        host_lied("the size of an anchor's answer");
    if (result > 0)
        untrusted_copy_in(ret_answer, SHARED(disk, anchor_message), (size_t)result);
    return (ssize_t)result;
}

void volume_disk_init(struct volume_disk *disk, unsigned number, const struct boot_volume *boot, const char *path)
{
    host_ptr buffer = {boot->buffer};
    if (boot->buffer % PAGE_SIZE || !untrusted_range_ok(buffer, VOLUME_BUFFER_SIZE + PAGE_SIZE))
        host_lied("a volume's buffer");
    *disk = (struct volume_disk){
        .io = {disk, disk_read, disk_write, disk_flush, disk_block_count, disk_random, disk_now},
        .number = number,
        .block_count = boot->block_count,
        .buffer = buffer,
        .shared = host_ptr_add(buffer, VOLUME_BUFFER_SIZE),
        .path = path,
    };
    disks[number] = disk;
}

/* poll, ppoll, select and pselect6: one engine over the files' poll operations. */
#include <asm/errno.h>
#include <asm/poll.h>
#include <linux/resource.h>
#include <linux/time_types.h>

#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/poll_time.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/net.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/syscall.h"

#define POLL_ALWAYS (EPOLLERR | EPOLLHUP)
#define SELECT_IN (EPOLLIN | EPOLLRDNORM | EPOLLRDBAND | EPOLLHUP | EPOLLERR)
#define SELECT_OUT (EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND | EPOLLERR)
#define SELECT_EX EPOLLPRI

#define NS_PER_SEC 1000000000ULL

uint32_t file_poll(struct file *file, struct poll_table *table)
{
    if (!file->ops->poll)
        return EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM;
    return file->ops->poll(file, table);
}

/* One descriptor of a call. */
struct poll_item {
    int fd;
    uint32_t wanted;
    uint32_t ready;
};

/* One registration on one queue; holds the file so that the queue outlives the sleep. */
struct poll_entry {
    struct wait_entry wait;
    struct file *file;
    uint32_t wanted;
};

struct poll_chunk {
    struct poll_chunk *next;
    size_t count;
    struct poll_entry entries[48];
};

struct poll_waiter {
    struct poll_table table;
    uint32_t wanted; /* of the descriptor being registered */
    int error;
    size_t count;
    struct poll_entry entries[6];
    struct poll_chunk *chunks;
};

static bool poll_wake(struct wait_entry *wait, uint32_t events)
{
    struct poll_entry *entry = container_of(wait, struct poll_entry, wait);
    if (events && !(events & entry->wanted))
        return false;
    task_wake(wait->task);
    return true;
}

static struct poll_entry *poll_entry_new(struct poll_waiter *waiter)
{
    if (waiter->count < ARRAY_COUNT(waiter->entries))
        return &waiter->entries[waiter->count++];
    struct poll_chunk *chunk = waiter->chunks;
    if (!chunk || chunk->count == ARRAY_COUNT(chunk->entries)) {
        chunk = kmalloc(sizeof(*chunk));
        if (!chunk)
            return NULL;
        chunk->count = 0;
        chunk->next = waiter->chunks;
        waiter->chunks = chunk;
    }
    return &chunk->entries[chunk->count++];
}

static void poll_queue(struct poll_table *table, struct file *file, struct wait_queue *queue)
{
    struct poll_waiter *waiter = container_of(table, struct poll_waiter, table);
    struct poll_entry *entry = poll_entry_new(waiter);
    if (!entry) {
        waiter->error = -ENOMEM;
        return;
    }
    wait_entry_init(&entry->wait, NULL);
    entry->wait.fn = poll_wake;
    entry->wanted = waiter->wanted;
    entry->file = file_get(file);
    wait_queue_add(queue, &entry->wait);
}

static void poll_entries_drop(struct poll_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        wait_queue_remove(&entries[i].wait);
        file_put(entries[i].file);
    }
}

static void poll_waiter_deinit(struct poll_waiter *waiter)
{
    poll_entries_drop(waiter->entries, waiter->count);
    while (waiter->chunks) {
        struct poll_chunk *chunk = waiter->chunks;
        waiter->chunks = chunk->next;
        poll_entries_drop(chunk->entries, chunk->count);
        kfree(chunk);
    }
}

/* Look at every descriptor; with a waiter, register on all of them until one is found ready. */
static size_t poll_scan(struct poll_item *items, size_t count, struct poll_waiter *waiter)
{
    size_t ready = 0;
    for (size_t i = 0; i < count; i++) {
        struct poll_item *item = &items[i];
        item->ready = 0;
        if (item->fd < 0)
            continue;
        struct file *file = fd_get(item->fd);
        if (!file) {
            item->ready = POLLNVAL;
            ready++;
            continue;
        }
        struct poll_table *table = NULL;
        if (waiter && !ready) {
            waiter->wanted = item->wanted;
            table = &waiter->table;
        }
        item->ready = file_poll(file, table) & item->wanted;
        file_put(file);
        ready += item->ready != 0;
    }
    return ready;
}

/* Number of ready items, or -EINTR, -ENOMEM. */
static int64_t poll_items(struct poll_item *items, size_t count, uint64_t deadline_ns)
{
    size_t ready = poll_scan(items, count, NULL);
    if (!ready && net_poll_ready())
        ready = poll_scan(items, count, NULL);
    if (ready)
        return (int64_t)ready;
    if (deadline_ns == 0) {
        net_poll_spinning();
        return 0;
    }

    struct poll_waiter waiter;
    waiter.table.queue_fn = poll_queue;
    waiter.error = 0;
    waiter.count = 0;
    waiter.chunks = NULL;
    int slept = 0;
    bool registered = false;
    for (;;) {
        task_prepare_sleep(true);
        ready = poll_scan(items, count, registered ? NULL : &waiter);
        registered = true;
        if (ready || waiter.error || slept) {
            task_cancel_sleep();
            break;
        }
        slept = task_sleep(deadline_ns);
    }
    poll_waiter_deinit(&waiter);
    if (ready)
        return (int64_t)ready;
    if (waiter.error)
        return waiter.error;
    return slept == -EINTR ? -EINTR : 0;
}

int deadline_from_user(uaddr_t timeout, uint64_t *ret_deadline_ns)
{
    if (!timeout) {
        *ret_deadline_ns = NO_DEADLINE;
        return 0;
    }
    struct __kernel_timespec ts;
    int r = copy_from_user(&ts, timeout, sizeof(ts));
    if (r < 0)
        return r;
    if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec >= (long long)NS_PER_SEC)
        return -EINVAL;
    *ret_deadline_ns = deadline_after((uint64_t)ts.tv_sec, (uint64_t)ts.tv_nsec);
    return 0;
}

uint64_t deadline_after(uint64_t seconds, uint64_t ns)
{
    if (!seconds && !ns)
        return 0;
    uint64_t now = time_monotonic_ns();
    if (seconds > (NO_DEADLINE - 1 - now) / NS_PER_SEC - 2)
        return NO_DEADLINE;
    return now + seconds * NS_PER_SEC + ns;
}

static uint64_t deadline_left(uint64_t deadline_ns)
{
    uint64_t now = time_monotonic_ns();
    return deadline_ns > now ? deadline_ns - now : 0;
}

void signal_mask_restore_unless_interrupted(int64_t result)
{
    struct task_signals *signals = &task_current()->signals;
    if (!signals->restore_blocked || result == -EINTR || result == -ERESTARTNOHAND || result == -ERESTART_RESTARTBLOCK)
        return;
    signals->blocked = signals->saved_blocked;
    signals->restore_blocked = false;
}

/* Write back what is left of the time, as Linux does for every caller but poll(2). */
void timeout_left_to_user(uaddr_t timeout, uint64_t deadline_ns)
{
    if (!timeout || deadline_ns == 0 || deadline_ns == NO_DEADLINE)
        return;
    uint64_t left = deadline_left(deadline_ns);
    struct __kernel_timespec ts = {.tv_sec = (long long)(left / NS_PER_SEC), .tv_nsec = (long long)(left % NS_PER_SEC)};
    int r = copy_to_user(timeout, &ts, sizeof(ts));
    (void)r; /* read-only memory is the caller's choice */
}

#define POLL_FAST 32

static int64_t poll_user(uaddr_t user_fds, uint32_t count, uint64_t deadline_ns)
{
    if (count > process_self()->limits[RLIMIT_NOFILE].rlim_cur)
        return -EINVAL;
    struct pollfd fast_fds[POLL_FAST];
    struct poll_item fast_items[POLL_FAST];
    struct pollfd *fds = fast_fds;
    struct poll_item *items = fast_items;
    void *heap = NULL;
    if (count > POLL_FAST) {
        heap = kmalloc((size_t)count * (sizeof(*fds) + sizeof(*items)));
        if (!heap)
            return -ENOMEM;
        fds = heap;
        items = (struct poll_item *)(fds + count);
    }
    int64_t result = copy_from_user(fds, user_fds, count * sizeof(*fds));
    if (result < 0)
        goto out;
    for (uint32_t i = 0; i < count; i++) {
        items[i].fd = fds[i].fd;
        items[i].wanted = (uint16_t)fds[i].events | POLL_ALWAYS;
    }
    result = poll_items(items, count, deadline_ns);
    for (uint32_t i = 0; i < count; i++)
        fds[i].revents = (short)items[i].ready;
    if (result >= 0 && copy_to_user(user_fds, fds, count * sizeof(*fds)) < 0)
        result = -EFAULT;
out:
    kfree(heap);
    return result;
}

static int64_t poll_restart(struct task *task)
{
    int64_t result = poll_user(task->restart_args[0], (uint32_t)task->restart_args[1], task->restart_args[2]);
    return result == -EINTR ? -ERESTART_RESTARTBLOCK : result;
}

SYSCALL_DEFINE3(poll, uaddr_t, fds, uint32_t, count, int, timeout_ms)
{
    uint64_t deadline = NO_DEADLINE;
    if (timeout_ms >= 0)
        deadline = deadline_after((unsigned)timeout_ms / 1000, (unsigned)timeout_ms % 1000 * 1000000ULL);
    int64_t result = poll_user(fds, count, deadline);
    if (result == -EINTR) {
        struct task *task = task_current();
        task->restart_fn = poll_restart;
        task->restart_args[0] = fds;
        task->restart_args[1] = count;
        task->restart_args[2] = deadline;
        return -ERESTART_RESTARTBLOCK;
    }
    return result;
}

SYSCALL_DEFINE5(ppoll, uaddr_t, fds, uint32_t, count, uaddr_t, timeout, uaddr_t, mask, size_t, mask_size)
{
    uint64_t deadline;
    int r = deadline_from_user(timeout, &deadline);
    if (r == 0)
        r = signal_mask_temporary_user(mask, mask_size);
    if (r < 0)
        return r;
    int64_t result = poll_user(fds, count, deadline);
    if (result == -EINTR)
        result = -ERESTARTNOHAND;
    signal_mask_restore_unless_interrupted(result);
    timeout_left_to_user(timeout, deadline);
    return result;
}

/* The three sets of a select call, then a poll item for each descriptor named in any of them. */
struct select_sets {
    size_t words;
    uint64_t *bits[3];
    uaddr_t user[3];
};

static const uint32_t select_events[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};

static size_t select_collect(const struct select_sets *sets, int fd_count, struct poll_item *items)
{
    size_t count = 0;
    for (size_t w = 0; w < sets->words; w++) {
        uint64_t any = sets->bits[0][w] | sets->bits[1][w] | sets->bits[2][w];
        for (; any; any &= any - 1) {
            unsigned bit = (unsigned)__builtin_ctzll(any);
            int fd = (int)(w * 64 + bit);
            if (fd >= fd_count)
                break;
            uint32_t wanted = 0;
            for (int s = 0; s < 3; s++)
                if (sets->bits[s][w] >> bit & 1)
                    wanted |= select_events[s];
            if (items)
                items[count] = (struct poll_item){.fd = fd, .wanted = wanted};
            count++;
        }
    }
    return count;
}

static int64_t select_spread(struct select_sets *sets, const struct poll_item *items, size_t count)
{
    int64_t set_bits = 0;
    for (size_t i = 0; i < count; i++) {
        size_t w = (size_t)items[i].fd / 64;
        unsigned bit = (unsigned)items[i].fd % 64;
        for (int s = 0; s < 3; s++) {
            if (!(sets->bits[s][w] >> bit & 1))
                continue;
            if (items[i].ready & select_events[s])
                set_bits++;
            else
                sets->bits[s][w] &= ~(1ULL << bit);
        }
    }
    return set_bits;
}

static int64_t select_run(struct select_sets *sets, int fd_count, uint64_t deadline_ns)
{
    size_t count = select_collect(sets, fd_count, NULL);
    struct poll_item fast[POLL_FAST];
    struct poll_item *items = fast;
    if (count > POLL_FAST) {
        items = kmalloc(count * sizeof(*items));
        if (!items)
            return -ENOMEM;
    }
    select_collect(sets, fd_count, items);
    int64_t result = poll_items(items, count, deadline_ns);
    for (size_t i = 0; result >= 0 && i < count; i++)
        if (items[i].ready & POLLNVAL)
            result = -EBADF;
    if (result >= 0)
        result = select_spread(sets, items, count);
    if (items != fast)
        kfree(items);
    return result;
}

static int64_t select_user(int fd_count, const uaddr_t user[3], uint64_t deadline_ns)
{
    if (fd_count < 0)
        return -EINVAL;
    uint64_t max = process_self()->limits[RLIMIT_NOFILE].rlim_max;
    if ((uint64_t)fd_count > max)
        fd_count = (int)max;
    struct select_sets sets = {.words = ((size_t)fd_count + 63) / 64};
    uint64_t fast[3 * 16];
    uint64_t *bits = fast;
    size_t set_size = sets.words * 8;
    if (sets.words > 16) {
        bits = kmalloc(3 * set_size);
        if (!bits)
            return -ENOMEM;
    }
    int64_t result = 0;
    for (int s = 0; s < 3 && result == 0; s++) {
        sets.bits[s] = bits + (size_t)s * sets.words;
        if (user[s])
            result = copy_from_user(sets.bits[s], user[s], set_size);
        else
            memset(sets.bits[s], 0, set_size);
    }
    if (result == 0)
        result = select_run(&sets, fd_count, deadline_ns);
    for (int s = 0; s < 3 && result >= 0; s++)
        if (user[s] && copy_to_user(user[s], sets.bits[s], set_size) < 0)
            result = -EFAULT;
    if (bits != fast)
        kfree(bits);
    return result == -EINTR ? -ERESTARTNOHAND : result;
}

SYSCALL_DEFINE5(select, int, fd_count, uaddr_t, in, uaddr_t, out, uaddr_t, except, uaddr_t, timeout)
{
    uint64_t deadline = NO_DEADLINE;
    struct __kernel_old_timeval tv;
    if (timeout) {
        int r = copy_from_user(&tv, timeout, sizeof(tv));
        if (r < 0)
            return r;
        if (tv.tv_sec < 0 || tv.tv_usec < 0)
            return -EINVAL;
        deadline =
            deadline_after((uint64_t)tv.tv_sec + (uint64_t)tv.tv_usec / 1000000, (uint64_t)tv.tv_usec % 1000000 * 1000);
    }
    int64_t result = select_user(fd_count, (const uaddr_t[3]){in, out, except}, deadline);
    if (timeout && deadline != 0 && deadline != NO_DEADLINE) {
        uint64_t left = deadline_left(deadline);
        tv.tv_sec = (long)(left / NS_PER_SEC);
        tv.tv_usec = (long)(left % NS_PER_SEC / 1000);
        int r = copy_to_user(timeout, &tv, sizeof(tv));
        (void)r; /* read-only memory is the caller's choice */
    }
    return result;
}

SYSCALL_DEFINE6(pselect6, int, fd_count, uaddr_t, in, uaddr_t, out, uaddr_t, except, uaddr_t, timeout, uaddr_t, sig)
{
    uint64_t deadline;
    int r = deadline_from_user(timeout, &deadline);
    if (r < 0)
        return r;
    struct {
        uint64_t mask, mask_size;
    } mask_arg = {0, 0};
    if (sig && copy_from_user(&mask_arg, sig, sizeof(mask_arg)) < 0)
        return -EFAULT;
    r = signal_mask_temporary_user(mask_arg.mask, mask_arg.mask_size);
    if (r < 0)
        return r;
    int64_t result = select_user(fd_count, (const uaddr_t[3]){in, out, except}, deadline);
    signal_mask_restore_unless_interrupted(result);
    timeout_left_to_user(timeout, deadline);
    return result;
}

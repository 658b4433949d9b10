/*
 * Reading files of the host, and reading ahead where it happens in order: up to two windows of a file, each a slot with
 * an answer that has come or is on its way.
 */
#include <linux/errno.h>

#include "kernel/arch/untrusted.h"
#include "kernel/fs/hostfs.h"
#include "kernel/sched/time.h"

#define AHEAD_MIN 0x10000U
#define FRESH_NS 1000000000ULL  /* what was read ahead is used so long */
#define END_FRESH_NS 1000000ULL /* and so long where it says that the file ends */

static TAILQ_HEAD(window_list, hostfs_window) windows = TAILQ_HEAD_INITIALIZER(windows);

static void window_forget(struct hostfs_window *w)
{
    TAILQ_REMOVE(&windows, w, link);
    *w = (struct hostfs_window){.used = false};
}

static void window_drop(struct hostfs_window *w)
{
    unsigned slot = w->slot;
    if (w->busy) {
        w->dropped = true;
        return;
    }
    window_forget(w);
    hostfs_slot_abandon(slot);
}

void hostfs_windows_drop(struct hostfs_inode *hi)
{
    for (unsigned i = 0; i < HOSTFS_WINDOWS; i++)
        if (hi->windows[i].used)
            window_drop(&hi->windows[i]);
    hi->ahead = 0;
}

bool hostfs_windows_reclaim(void)
{
    struct hostfs_window *w;
    TAILQ_FOREACH (w, &windows, link) {
        if (w->busy || !hostfs_answered(w->slot))
            continue;
        window_drop(w);
        return true;
    }
    return false;
}

static bool window_fresh(const struct hostfs_window *w)
{
    return !w->done || time_monotonic_ns() - w->time_ns < FRESH_NS;
}

static struct hostfs_window *window_at(struct hostfs_inode *hi, file_off_t pos)
{
    for (unsigned i = 0; i < HOSTFS_WINDOWS; i++) {
        struct hostfs_window *w = &hi->windows[i];
        if (!w->used || w->dropped || pos < w->pos || pos >= w->pos + (file_off_t)w->wanted)
            continue;
        if (w->busy || window_fresh(w))
            return w;
        window_drop(w);
    }
    return NULL;
}

static void submit_read(struct hostfs_inode *hi, unsigned slot, file_off_t pos, uint64_t size)
{
    struct hostfs_request request = hostfs_request(HOSTFS_READ, &hi->inode);
    request.offset = (uint64_t)pos;
    request.size = size;
    hostfs_submit(slot, &request);
}

/* Begin to read size bytes at pos into a window that is not in use; NULL if there is none, or no slot to spare. */
static struct hostfs_window *window_start(struct hostfs_inode *hi, file_off_t pos, uint64_t size)
{
    struct hostfs_window *w = NULL;
    unsigned slot;
    for (unsigned i = 0; i < HOSTFS_WINDOWS && !w; i++)
        if (!hi->windows[i].used)
            w = &hi->windows[i];
    if (!w || !hostfs_slot_try(&slot))
        return NULL;
    *w = (struct hostfs_window){.used = true, .slot = slot, .pos = pos, .wanted = size};
    TAILQ_INSERT_TAIL(&windows, w, link);
    submit_read(hi, slot, pos, size);
    return w;
}

/* An answer to READ that was short brings the attributes: where the file ends now. */
static int64_t wait_read(struct hostfs_inode *hi, unsigned slot)
{
    struct hostfs_reply reply;
    int64_t n = hostfs_wait(slot, &reply);
    if (n >= 0 && (reply.flags & HOSTFS_REPLY_ATTR) && hostfs_refresh(&hi->inode, &reply) < 0)
        n = -ESTALE; /* the slot is still ours, unlike after -EINTR */
    return n;
}

static ssize_t read_direct(struct hostfs_inode *hi, bool nested, file_off_t pos, size_t size, hostfs_take_fn take,
                           void *arg)
{
    unsigned slot;
    int error = hostfs_slot_get(nested, &slot);
    if (error < 0)
        return error;
    submit_read(hi, slot, pos, MIN(size, (size_t)HOSTFS_DATA_SIZE));
    int64_t n = wait_read(hi, slot);
    if (n == -EINTR)
        return n;
    if (n > 0) {
        size_t taken = take(arg, hostfs_slot_data(slot), (size_t)n);
        n = taken ? (int64_t)taken : -EFAULT;
    }
    hostfs_slot_put(slot);
    return n;
}

/* Wait until the window has its answer. 0, or why it is gone. */
static int window_wait(struct hostfs_inode *hi, struct hostfs_window *w)
{
    if (w->done)
        return 0;
    int64_t n = wait_read(hi, w->slot);
    if (n == -EINTR) {
        window_forget(w);
        return -EINTR;
    }
    w->done = true;
    w->size = n < 0 ? 0 : (uint64_t)n;
    w->time_ns = time_monotonic_ns();
    return n < 0 ? (int)n : 0;
}

static ssize_t window_take(struct hostfs_inode *hi, struct hostfs_window *w, file_off_t pos, size_t size,
                           hostfs_take_fn take, void *arg)
{
    ssize_t n = -EAGAIN; /* ask again */
    bool at_end = false;
    w->busy = true;
    int error = window_wait(hi, w);
    if (error == -EINTR)
        return error;
    uint64_t offset = (uint64_t)(pos - w->pos);
    if (error < 0) {
        n = error;
    } else if (offset < w->size) {
        size_t part = MIN(size, (size_t)(w->size - offset));
        size_t taken = take(arg, host_ptr_add(hostfs_slot_data(w->slot), offset), part);
        n = taken ? (ssize_t)taken : -EFAULT;
        at_end = offset + taken == w->wanted;
    } else if (time_monotonic_ns() - w->time_ns < END_FRESH_NS) {
        n = 0;
    }
    w->busy = false;
    if (n <= 0 || at_end || w->dropped)
        window_drop(w);
    return n;
}

/* How much to read at once where reading goes on in order; 0 where it does not. */
static uint64_t ahead_size(struct hostfs_inode *hi, file_off_t pos, size_t size)
{
    uint64_t most = HOSTFS_DATA_SIZE, least = MAX((uint64_t)AHEAD_MIN, hi->ahead * 2);
    if (pos != hi->next_pos)
        hi->ahead = 0;
    else
        hi->ahead = size > least ? MIN((uint64_t)size, most) : MIN(least, most);
    return hi->ahead;
}

ssize_t hostfs_read_some(struct hostfs_inode *hi, bool nested, file_off_t pos, size_t size, hostfs_take_fn take,
                         void *arg)
{
    struct hostfs_window *w = window_at(hi, pos);
    uint64_t ahead = w ? hi->ahead : ahead_size(hi, pos, size);
    ssize_t n = -EAGAIN;
    if (!w && ahead > 0) {
        hostfs_windows_drop(hi);
        hi->ahead = ahead;
        w = window_start(hi, pos, ahead);
    }
    if (w && !w->busy) {
        /* The next one is on its way while this one is read. */
        file_off_t next = w->pos + (file_off_t)w->wanted;
        if (hi->ahead >= HOSTFS_DATA_SIZE / 2 && next < hi->inode.size && !window_at(hi, next))
            (void)window_start(hi, next, HOSTFS_DATA_SIZE);
        n = window_take(hi, w, pos, size, take, arg);
    }
    if (n == -EAGAIN)
        n = read_direct(hi, nested, pos, size, take, arg);
    if (n > 0)
        hi->next_pos = pos + n;
    return n;
}

/*
 * When what was synced is told to a counter elsewhere, and who waits for it (docs/volumes.md, "Freshness"). The anchor
 * comes after the disk and is asked without the volume's lock, so that others go on meanwhile; one request says all
 * that became durable while the last one was under way.
 */
#include <linux/errno.h>
#include <linux/fs.h>

#include "abi/policy.h"
#include "kernel/boot/refuse.h"
#include "kernel/fs/volumefs.h"
#include "kernel/lib/printk.h"
#include "kernel/remote/spawn.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

#define LAG_NS 10000000ULL       /* `lag`: so long at most between two requests while there is something to say, ... */
#define REFUSED_NS 1000000000ULL /* a counter that refuses is asked again after so long */
#define LAG_RECORDS 256          /* ... and so many records may be ahead of the anchor when a sync returns */

static bool behind(const struct volumefs *fs)
{
    return volume_anchored(fs->volume) < volume_durable(fs->volume) && volume_failed(fs->volume) != -ESTALE;
}

/* Up to where it must be anchored before a sync of what is durable now may return. */
static uint64_t needed(const struct volumefs *fs)
{
    uint64_t durable = volume_durable(fs->volume);
    /* `output`: another kernel of this container does not know what has to be held. */
    if (fs->freshness == POLICY_FRESH_STRICT || (fs->freshness == POLICY_FRESH_OUTPUT && spawn_any_taken()))
        return durable;
    return durable > LAG_RECORDS ? durable - LAG_RECORDS : 0;
}

static bool urgent(const struct volumefs *fs)
{
    return fs->freshness != POLICY_FRESH_LAG || volume_anchored(fs->volume) < fs->anchor_needed;
}

void volumefs_anchor_kick(struct volumefs *fs)
{
    if (fs->remote)
        wake_up(&fs->anchor_work, 0);
}

/* Not interrupted: what was asked for is durable already, and only the answer is late. */
static int wait_anchored(struct volumefs *fs, uint64_t sequence, uint64_t deadline_ns)
{
    struct wait_entry entry;
    int error = 0;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&fs->anchor_moved, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (error < 0 || volume_anchored(fs->volume) >= sequence || volume_failed(fs->volume) == -ESTALE)
            break;
        error = task_sleep(deadline_ns);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
    if (volume_anchored(fs->volume) >= sequence)
        return 0;
    return -EIO;
}

int volumefs_anchor_wait(struct volumefs *fs)
{
    if (!fs->remote || (fs->sb.flags & MS_RDONLY))
        return 0;
    uint64_t sequence = needed(fs);
    fs->anchor_needed = MAX(fs->anchor_needed, sequence);
    if (fs->freshness == POLICY_FRESH_OUTPUT)
        output_acknowledged(&fs->hold, volume_durable(fs->volume));
    volumefs_anchor_kick(fs);
    if (volume_anchored(fs->volume) >= sequence)
        return 0;
    return wait_anchored(fs, sequence, time_monotonic_ns() + fs->remote->timeout_ns);
}

int volumefs_anchor_all(struct volumefs *fs)
{
    uint64_t sequence = volume_durable(fs->volume);
    if (!fs->remote || (fs->sb.flags & MS_RDONLY))
        return 0;
    fs->anchor_needed = MAX(fs->anchor_needed, sequence);
    volumefs_anchor_kick(fs);
    return wait_anchored(fs, sequence, time_monotonic_ns() + fs->remote->timeout_ns);
}

static int tell_anchor(struct volumefs *fs)
{
    struct volume_anchor *anchor = &fs->remote->anchor;
    struct volume_anchor_step step;
    uint64_t previous;
    if (!volume_anchor_next(fs->volume, &step))
        return 0;
    int error = anchor->raise(anchor->arg, &step.key, VOLUME_ANCHOR_ANY, step.value, &previous);
    return error < 0 ? error : volume_anchor_done(fs->volume, &step, previous);
}

/* Nothing of this container may be heard or believed any more: what it held back is not sent either. */
static noreturn_fn void taken_over(const struct volumefs *fs)
{
    refuse(STATUS_REFUSED,
           "the volume at %s was taken over by another container, or its anchor was set back: this container ends",
           fs->path);
}

static void anchor_main(void *arg)
{
    struct volumefs *fs = arg;
    task_current()->no_input = true; /* the host kicks when the counter has answered */
    for (;;) {
        uint64_t next_ns = time_monotonic_ns() + (fs->freshness == POLICY_FRESH_LAG ? LAG_NS : 0);
        int error = tell_anchor(fs);
        if (error == -ESTALE)
            taken_over(fs);
        if (error == -EACCES)
            (void)!wait_event_deadline(&fs->anchor_work, false, time_monotonic_ns() + REFUSED_NS);
        output_safe(&fs->hold, volume_anchored(fs->volume));
        wake_up_all(&fs->anchor_moved, 0);
        (void)!wait_event_deadline(&fs->anchor_work, urgent(fs) && behind(fs), next_ns);
        (void)!wait_event(&fs->anchor_work, behind(fs));
    }
}

int volumefs_anchor_start(struct volumefs *fs)
{
    if (!fs->remote || (fs->sb.flags & MS_RDONLY))
        return 0;
    output_hold_add(&fs->hold);
    return kernel_thread_start("anchor", anchor_main, fs) ? 0 : -ENOMEM;
}

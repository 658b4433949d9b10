/* The thread of a volume (volumefs.h): what must not sleep where it came up, and what is due every few seconds. */
#include <linux/errno.h>
#include <linux/fs.h>

#include "kernel/fs/volumefs.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

#define SYNC_INTERVAL_NS 5000000000ULL
#define REKEY_BLOCKS 64 /* in one go: others wait as long */

void volumefs_thread_wake(struct volumefs *fs)
{
    wake_up(&fs->work, 0);
}

/* The time of access that only the VFS knows, unless the file is gone. */
static void store_atime(struct volumefs_inode *vi)
{
    if (!vi->node)
        return;
    const struct volume_inode *node = volume_node_inode(vi->node);
    struct timespec_ns at = vi->inode.atime;
    if (node->nlink == 0 || (at.sec == node->atime.sec && at.nsec == node->atime.nsec))
        return;
    struct inode_attr attr = {
        .valid = ATTR_ATIME | ATTR_CTIME, .atime = at, .ctime = {node->ctime.sec, node->ctime.nsec}};
    (void)!volume_setattr(vi->node, &attr);
}

void volumefs_end_gone(struct volumefs *fs)
{
    struct volumefs_inode *vi;
    while ((vi = TAILQ_FIRST(&fs->gone)) != NULL) {
        TAILQ_REMOVE(&fs->gone, vi, gone_link);
        if (!(fs->sb.flags & MS_RDONLY))
            store_atime(vi);
        volume_node_put(vi->node);
        inode_put(vi->lower);
        if (vi->lower_parent)
            inode_put(&vi->lower_parent->inode);
        kfree(vi->lower_name);
        kfree(vi);
    }
}

/* Under the lock. What cannot be written is remembered for fsync. */
static void write_returned(struct volumefs *fs)
{
    struct volumefs_inode *vi;
    size_t count = 0;
    fs->urgent = false;
    TAILQ_FOREACH (vi, &fs->dirty, dirty_link)
        count++;
    for (; count > 0 && (vi = TAILQ_FIRST(&fs->dirty)) != NULL; count--) {
        inode_get(&vi->inode);
        (void)!volumefs_drain(fs, vi);
        if (vi->dirty_count > 0) { /* given back anew: the others first */
            TAILQ_REMOVE(&fs->dirty, vi, dirty_link);
            TAILQ_INSERT_TAIL(&fs->dirty, vi, dirty_link);
        }
        inode_put(&vi->inode);
    }
}

static bool work_waits(const struct volumefs *fs)
{
    return fs->stopping || fs->urgent;
}

static bool is_idle(const struct volumefs *fs)
{
    return !volume_pending(fs->volume) && !work_waits(fs) && TAILQ_EMPTY(&fs->gone) && TAILQ_EMPTY(&fs->dirty);
}

void volumefs_store_atimes(struct volumefs *fs)
{
    for (unsigned i = 0; i < VOLUMEFS_BUCKETS; i++) {
        struct volumefs_inode *vi, *held = NULL;
        LIST_FOREACH (vi, &fs->inodes[i], hash_link) {
            inode_get(&vi->inode);
            store_atime(vi);
            if (held)
                inode_put(&held->inode);
            held = vi;
        }
        if (held)
            inode_put(&held->inode);
    }
}

static void sync_due(struct volumefs *fs)
{
    if ((fs->sb.flags & MS_RDONLY) || volume_failed(fs->volume))
        return;
    volumefs_store_atimes(fs);
    int error = volume_checkpoint(fs->volume);
    if (error == 0 && !fs->remote)
        error = volume_anchor(fs->volume);
    volumefs_anchor_kick(fs);
    if (error < 0)
        printk(LOG_ERROR, "cofre: volume %s: nothing more is written: error %d\n", fs->path, -error);
}

/* Until something is due, which is never if nothing changes. */
static void rest(struct volumefs *fs, uint64_t *next_ns)
{
    if (is_idle(fs)) {
        fs->resting = true;
        (void)!wait_event(&fs->work, !is_idle(fs));
        fs->resting = false;
        *next_ns = time_monotonic_ns() + SYNC_INTERVAL_NS;
    }
    (void)!wait_event_deadline(&fs->work, work_waits(fs), *next_ns);
}

static void thread_main(void *arg)
{
    struct volumefs *fs = arg;
    uint64_t next_ns = time_monotonic_ns() + SYNC_INTERVAL_NS;
    task_current()->no_input = true; /* the host kicks when its disk has answered */
    task_current()->background = true;
    while (!fs->stopping) {
        rest(fs, &next_ns);
        volumefs_lock(fs);
        write_returned(fs);
        if (time_monotonic_ns() >= next_ns) {
            sync_due(fs);
            next_ns = time_monotonic_ns() + SYNC_INTERVAL_NS;
        }
        volumefs_unlock(fs);
    }
    fs->stopped = true;
    wake_up_all(&fs->work, 0);
}

int volumefs_thread_start(struct volumefs *fs)
{
    return kernel_thread_start("volume", thread_main, fs) ? 0 : -ENOMEM;
}

/* Everything still under the old master key is encrypted anew, a little at a time. */
static void rekey_main(void *arg)
{
    struct volumefs *fs = arg;
    int more = 1;
    task_current()->no_input = true; /* as above */
    task_current()->background = true;
    while (more == 1) {
        volumefs_lock(fs);
        more = volume_rekey_step(fs->volume, REKEY_BLOCKS);
        volumefs_unlock(fs);
    }
    if (more < 0)
        printk(LOG_ERROR, "cofre: volume %s: what is under its old key stays so until the next start: error %d\n",
               fs->path, -more);
}

int volumefs_rekey_start(struct volumefs *fs)
{
    struct volume_info info;
    volume_get_info(fs->volume, &info);
    if (!info.rekeying || (fs->sb.flags & MS_RDONLY))
        return 0;
    return kernel_thread_start("rekey", rekey_main, fs) ? 0 : -ENOMEM;
}

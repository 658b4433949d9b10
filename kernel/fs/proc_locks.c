/* /proc/locks, as lslocks reads it. */
#include "kernel/fs/internal.h"
#include "kernel/fs/proc.h"

#define LOCKS_AT_ONCE 128

static void lock_line(const struct lock_told *lock, void *arg)
{
    static const char *const kinds[] = {[LOCK_POSIX] = "POSIX ", [LOCK_OFD] = "OFDLCK", [LOCK_FLOCK] = "FLOCK "};
    const uint64_t dev = lock->inode->sb->dev;
    struct seq *seq = arg;

    seq_printf(seq, "%u: %s%s ADVISORY  %s %d %02x:%02x:%lu %ld ", lock->number, lock->waits ? "-> " : "",
               kinds[lock->kind], lock->exclusive ? "WRITE" : "READ", lock->pid, (unsigned)(dev >> 8 & 0xfff),
               (unsigned)((dev & 0xff) | (dev >> 12 & 0xfff00)), (unsigned long)lock->inode->ino, (long)lock->start);
    if (lock->end == END_OF_FILE)
        seq_printf(seq, "EOF\n");
    else
        seq_printf(seq, "%ld\n", (long)lock->end);
}

bool proc_lock_records(struct seq *seq, const struct pseudo_ctx *ctx, struct pseudo_cursor *cursor)
{
    unsigned count = locks_tell(cursor->count + 1, LOCKS_AT_ONCE, lock_line, seq);

    (void)ctx;
    cursor->count += LOCKS_AT_ONCE;
    return cursor->count >= count;
}

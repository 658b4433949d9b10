/* POSIX record locks (F_SETLK), open file description locks (F_OFD_SETLK) and flock(2). */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/internal.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/wait.h"
#include "kernel/syscalls/syscall.h"

struct file_lock {
    TAILQ_ENTRY(file_lock) link;
    enum lock_kind kind;
    const void *owner; /* struct fd_table for LOCK_POSIX, else struct file */
    int pid;
    bool exclusive;
    file_off_t start, end; /* end inclusive */
};

/* Whoever waits for a lock, on its stack. */
struct lock_waiter {
    TAILQ_ENTRY(lock_waiter) link;
    const struct file_lock *wanted;
    const struct file_lock *blocker; /* locks_tell() alone uses it */
};

struct inode_locks {
    TAILQ_ENTRY(inode_locks) link; /* of all there are */
    const struct inode *inode;
    TAILQ_HEAD(lock_list, file_lock) list;
    TAILQ_HEAD(waiter_list, lock_waiter) waiters;
    struct wait_queue wait;
};

static TAILQ_HEAD(, inode_locks) all = TAILQ_HEAD_INITIALIZER(all);

static struct inode_locks *locks_of(struct inode *inode)
{
    return inode->locks;
}

static struct inode_locks *locks_make(struct inode *inode)
{
    if (!inode->locks) {
        struct inode_locks *locks = kzalloc(sizeof(*locks));
        if (!locks)
            return NULL;
        locks->inode = inode;
        TAILQ_INIT(&locks->list);
        TAILQ_INIT(&locks->waiters);
        TAILQ_INSERT_TAIL(&all, locks, link);
        wait_queue_init(&locks->wait);
        inode->locks = locks;
    }
    return inode->locks;
}

static void locks_free_if_idle(struct inode *inode)
{
    struct inode_locks *locks = inode->locks;
    if (locks && TAILQ_EMPTY(&locks->list) && TAILQ_EMPTY(&locks->waiters)) {
        TAILQ_REMOVE(&all, locks, link);
        inode->locks = NULL;
        kfree(locks);
    }
}

static struct file_lock *find_conflict(struct inode_locks *locks, const struct file_lock *wanted)
{
    struct file_lock *l;
    TAILQ_FOREACH (l, &locks->list, link) {
        if ((l->kind == LOCK_FLOCK) != (wanted->kind == LOCK_FLOCK) || l->owner == wanted->owner)
            continue;
        if (l->end >= wanted->start && l->start <= wanted->end && (l->exclusive || wanted->exclusive))
            return l;
    }
    return NULL;
}

/* Cut [start, end] out of the owner's locks. *spare is used if one must be split in two. */
static void cut(struct inode_locks *locks, const struct file_lock *range, struct file_lock **spare)
{
    struct file_lock *l, *next;
    TAILQ_FOREACH_SAFE (l, &locks->list, link, next) {
        if (l->owner != range->owner || l->kind != range->kind || l->end < range->start || l->start > range->end)
            continue;
        bool left = l->start<range->start, right = l->end> range->end;
        if (left && right && *spare) {
            struct file_lock *rest = *spare;
            *spare = NULL;
            *rest = *l;
            rest->start = range->end + 1;
            l->end = range->start - 1;
            TAILQ_INSERT_AFTER(&locks->list, l, rest, link);
        } else if (left) {
            l->end = range->start - 1;
        } else if (right) {
            l->start = range->end + 1;
        } else {
            TAILQ_REMOVE(&locks->list, l, link);
            kfree(l);
        }
    }
}

/* Take in neighbours of the same owner and type. */
static void merge(struct inode_locks *locks, struct file_lock *lock)
{
    struct file_lock *l, *next;
    TAILQ_FOREACH_SAFE (l, &locks->list, link, next) {
        if (l == lock || l->owner != lock->owner || l->kind != lock->kind || l->exclusive != lock->exclusive)
            continue;
        if (l->end != END_OF_FILE && l->end + 1 == lock->start)
            lock->start = l->start;
        else if (lock->end != END_OF_FILE && lock->end + 1 == l->start)
            lock->end = l->end;
        else
            continue;
        TAILQ_REMOVE(&locks->list, l, link);
        kfree(l);
    }
}

/* The record lock that keeps `owner` from another one, for which it waits; NULL if it waits for none. */
static const struct file_lock *blocker_of(const void *owner)
{
    struct inode_locks *locks;
    const struct lock_waiter *waiter;
    TAILQ_FOREACH (locks, &all, link) {
        TAILQ_FOREACH (waiter, &locks->waiters, link) {
            if (waiter->wanted->kind == LOCK_POSIX && waiter->wanted->owner == owner)
                return find_conflict(locks, waiter->wanted);
        }
    }
    return NULL;
}

/* Would waiting for `blocker` close a circle of processes that wait for each other? Only record locks make one, and at
 * most ten steps are looked at: as Linux. */
static bool deadlock(const struct file_lock *wanted, const struct file_lock *blocker)
{
    if (wanted->kind != LOCK_POSIX)
        return false;
    for (int step = 0; step < 10 && blocker && blocker->kind == LOCK_POSIX; step++) {
        blocker = blocker_of(blocker->owner);
        if (blocker && blocker->owner == wanted->owner)
            return true;
    }
    return false;
}

static int wait_for_conflicts(struct inode *inode, const struct file_lock *wanted, bool wait)
{
    struct inode_locks *locks = locks_of(inode);
    const struct file_lock *conflict = find_conflict(locks, wanted);
    if (!conflict)
        return 0;
    if (!wait)
        return -EAGAIN;
    if (deadlock(wanted, conflict))
        return -EDEADLK;
    struct lock_waiter waiter = {.wanted = wanted};
    TAILQ_INSERT_TAIL(&locks->waiters, &waiter, link);
    int error = wait_event(&locks->wait, !find_conflict(locks, wanted));
    TAILQ_REMOVE(&locks->waiters, &waiter, link);
    return error;
}

/* type: F_RDLCK, F_WRLCK or F_UNLCK. */
static int apply_lock(struct inode *inode, const struct file_lock *wanted, bool unlock, bool wait)
{
    if (unlock && !inode->locks)
        return 0;
    struct inode_locks *locks = locks_make(inode);
    if (!locks)
        return -ENOLCK;
    int error = unlock ? 0 : wait_for_conflicts(inode, wanted, wait);
    struct file_lock *lock = NULL, *spare = NULL;
    if (!error) {
        lock = unlock ? NULL : kmalloc(sizeof(*lock));
        spare = kmalloc(sizeof(*spare));
        if (!spare || (!unlock && !lock))
            error = -ENOLCK;
    }
    if (!error) {
        cut(locks, wanted, &spare);
        if (lock) {
            *lock = *wanted;
            TAILQ_INSERT_TAIL(&locks->list, lock, link);
            merge(locks, lock);
            lock = NULL;
        }
        wake_up_all(&locks->wait, 0);
    }
    kfree(lock);
    kfree(spare);
    locks_free_if_idle(inode);
    return error;
}

static void release(struct inode *inode, const void *owner, bool posix)
{
    struct inode_locks *locks = locks_of(inode);
    struct file_lock *l, *next;
    if (!locks)
        return;
    TAILQ_FOREACH_SAFE (l, &locks->list, link, next) {
        if (l->owner == owner && (l->kind == LOCK_POSIX) == posix) {
            TAILQ_REMOVE(&locks->list, l, link);
            kfree(l);
        }
    }
    wake_up_all(&locks->wait, 0);
    locks_free_if_idle(inode);
}

static void tell(const struct inode_locks *locks, const struct file_lock *l, unsigned number, bool waits,
                 void (*fn)(const struct lock_told *, void *), void *arg)
{
    const struct lock_told told = {
        .kind = l->kind,
        .number = number,
        .waits = waits,
        .exclusive = l->exclusive,
        .pid = l->kind == LOCK_OFD ? -1 : l->pid,
        .inode = locks->inode,
        .start = l->start,
        .end = l->end,
    };
    fn(&told, arg);
}

/* Each waits for the first in its way. */
static void find_blockers(struct inode_locks *locks)
{
    struct lock_waiter *waiter;
    TAILQ_FOREACH (waiter, &locks->waiters, link)
        waiter->blocker = find_conflict(locks, waiter->wanted);
}

static void tell_with_waiters(struct inode_locks *locks, const struct file_lock *l, unsigned number,
                              void (*fn)(const struct lock_told *, void *), void *arg)
{
    const struct lock_waiter *waiter;
    tell(locks, l, number, false, fn, arg);
    TAILQ_FOREACH (waiter, &locks->waiters, link)
        if (waiter->blocker == l)
            tell(locks, waiter->wanted, number, true, fn, arg);
}

unsigned locks_tell(unsigned first, unsigned count, void (*fn)(const struct lock_told *, void *), void *arg)
{
    struct inode_locks *locks;
    const struct file_lock *l;
    unsigned number = 0;
    TAILQ_FOREACH (locks, &all, link) {
        find_blockers(locks);
        TAILQ_FOREACH (l, &locks->list, link)
            if (++number >= first && number - first < count)
                tell_with_waiters(locks, l, number, fn, arg);
    }
    return number;
}

void locks_release_file(struct file *file)
{
    release(file->inode, file, false);
}

void locks_release_owner(struct inode *inode, const void *owner)
{
    release(inode, owner, true);
}

static int range_from_user(struct file *file, const struct flock *fl, struct file_lock *ret)
{
    file_off_t base = 0, start, end;
    switch (fl->l_whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = file->pos;
        break;
    case SEEK_END:
        base = file->inode->size;
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, (file_off_t)fl->l_start, &start))
        return -EOVERFLOW;
    if (start < 0)
        return -EINVAL;
    if (fl->l_len > 0) {
        if (__builtin_add_overflow(start, (file_off_t)fl->l_len - 1, &end))
            return -EOVERFLOW;
    } else if (fl->l_len < 0) {
        end = start - 1;
        start += fl->l_len;
        if (start < 0)
            return -EINVAL;
    } else {
        end = END_OF_FILE;
    }
    ret->start = start;
    ret->end = end;
    return 0;
}

static void describe(struct flock *fl, const struct file_lock *l)
{
    fl->l_type = l->exclusive ? F_WRLCK : F_RDLCK;
    fl->l_whence = SEEK_SET;
    fl->l_start = l->start;
    fl->l_len = l->end == END_OF_FILE ? 0 : l->end - l->start + 1;
    fl->l_pid = l->kind == LOCK_POSIX ? l->pid : -1;
}

int64_t locks_fcntl(struct file *file, unsigned command, uint64_t arg)
{
    struct flock fl;
    bool ofd = command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
    bool get = command == F_GETLK || command == F_OFD_GETLK;
    if (copy_from_user(&fl, arg, sizeof(fl)) < 0)
        return -EFAULT;
    if ((ofd && fl.l_pid != 0) || (fl.l_type != F_RDLCK && fl.l_type != F_WRLCK && fl.l_type != F_UNLCK) ||
        (get && fl.l_type == F_UNLCK && !ofd))
        return -EINVAL;
    struct file_lock wanted = {
        .kind = ofd ? LOCK_OFD : LOCK_POSIX,
        .owner = ofd ? (const void *)file : process_self()->files,
        .pid = process_self()->pid,
        .exclusive = fl.l_type == F_WRLCK,
    };
    int error = range_from_user(file, &fl, &wanted);
    if (error)
        return error;
    if (get) {
        struct file_lock *conflict = locks_of(file->inode) ? find_conflict(locks_of(file->inode), &wanted) : NULL;
        if (conflict)
            describe(&fl, conflict);
        else
            fl.l_type = F_UNLCK;
        return copy_to_user(arg, &fl, sizeof(fl));
    }
    if ((fl.l_type == F_RDLCK && !file_readable(file)) || (fl.l_type == F_WRLCK && !file_writable(file)))
        return -EBADF;
    if (ofd)
        file->has_locks = true;
    return apply_lock(file->inode, &wanted, fl.l_type == F_UNLCK, command == F_SETLKW || command == F_OFD_SETLKW);
}

#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8

SYSCALL_DEFINE2(flock, int, fd, unsigned, operation)
{
    unsigned what = operation & ~(unsigned)LOCK_NB;
    if (what != LOCK_SH && what != LOCK_EX && what != LOCK_UN)
        return -EINVAL;
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    struct file_lock wanted = {
        .kind = LOCK_FLOCK,
        .owner = file,
        .pid = process_self()->pid,
        .exclusive = what == LOCK_EX,
        .end = END_OF_FILE,
    };
    file->has_locks = true;
    int error = apply_lock(file->inode, &wanted, what == LOCK_UN, !(operation & LOCK_NB));
    file_put(file);
    return error;
}

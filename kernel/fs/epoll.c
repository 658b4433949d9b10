/*
 * epoll. An item stands for one (descriptor, file) in one set; it hangs on the file's wait queues and enters the set's
 * ready list when one of them is woken with events it wants. epoll_wait asks only the files on that list.
 *
 * Invariants: an item is on the ready list iff item->ready; a level-triggered item goes back to the end of the list
 * when it was reported, and leaves it when its file has nothing any more. Sets form no cycle and chains of sets are at
 * most EPOLL_DEPTH_MAX long, so wake-ups that climb from set to set end.
 */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/eventpoll.h>

#include "kernel/fs/epoll.h"
#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/poll_time.h"
#include "kernel/lib/list.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/net.h"
#include "kernel/process/signal.h"
#include "kernel/sched/task.h"
#include "kernel/sched/wait.h"
#include "kernel/syscalls/syscall.h"

#define EPOLL_DEPTH_MAX 4
#define EPOLL_PRIVATE (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EPOLL_EXCLUSIVE_OK (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
#define EPOLL_MAX_EVENTS (INT32_MAX / (int)sizeof(struct epoll_event))

struct epoll;

/* One registration on one wait queue of the file. Most files have one queue, so the first is inside the item. */
struct epoll_wait {
    struct wait_entry wait;
    struct epoll_item *item;
    struct epoll_wait *next;
};

/* In the order of a wake-up and a report. */
struct epoll_item {
    struct epoll_wait first_wait;
    struct epoll *ep;
    TAILQ_ENTRY(epoll_item) ready_link;
    struct file *file; /* not referenced: epoll_file_released() removes the item in time */
    uint64_t data;
    uint32_t events; /* wanted, with EPOLL_PRIVATE bits */
    int fd;
    bool ready;
    bool first_wait_used;
    RB_ENTRY(epoll_item) node;
    LIST_ENTRY(epoll_item) file_link;
    struct epoll_wait *more_waits;
};

TAILQ_HEAD(epoll_ready_list, epoll_item);
LIST_HEAD(epoll_watcher_list, epoll_item);
RB_HEAD(epoll_item_tree, epoll_item);

struct epoll {
    struct wait_queue wait;      /* tasks in epoll_wait */
    struct wait_queue poll_wait; /* whoever polls the set itself */
    struct epoll_ready_list ready;
    size_t ready_count;
    struct epoll_item_tree items;
    struct file *file;
};

static int item_compare(const struct epoll_item *a, const struct epoll_item *b)
{
    if (a->fd != b->fd)
        return a->fd < b->fd ? -1 : 1;
    return a->file == b->file ? 0 : (uintptr_t)a->file < (uintptr_t)b->file ? -1 : 1;
}
RB_GENERATE_INTERNAL(epoll_item_tree, epoll_item, node, item_compare, __attribute__((unused)) static)

static const struct file_ops epoll_file_ops;

static struct epoll_watcher_list *file_watchers(struct file *file)
{
    return (struct epoll_watcher_list *)&file->epoll_watchers;
}

static void item_ready_add(struct epoll_item *item)
{
    if (item->ready)
        return;
    item->ready = true;
    TAILQ_INSERT_TAIL(&item->ep->ready, item, ready_link);
    item->ep->ready_count++;
}

static void item_ready_remove(struct epoll_item *item)
{
    if (!item->ready)
        return;
    item->ready = false;
    TAILQ_REMOVE(&item->ep->ready, item, ready_link);
    item->ep->ready_count--;
}

static bool epoll_wake(struct epoll *ep)
{
    bool waiting = wait_queue_active(&ep->wait), polled = wait_queue_active(&ep->poll_wait);
    if (waiting)
        wake_up(&ep->wait, EPOLLIN);
    if (polled)
        wake_up(&ep->poll_wait, EPOLLIN | EPOLLRDNORM);
    return waiting || polled;
}

static bool epoll_callback(struct wait_entry *wait, uint32_t events)
{
    struct epoll_item *item = container_of(wait, struct epoll_wait, wait)->item;
    uint32_t wanted = item->events & ~EPOLL_PRIVATE;
    if (!wanted || (events && !(events & wanted)))
        return false;
    item_ready_add(item);
    bool woken = epoll_wake(item->ep);
    return woken || !(item->events & EPOLLEXCLUSIVE);
}

struct epoll_poll_table {
    struct poll_table table;
    struct epoll_item *item;
    int error;
};

static void epoll_queue(struct poll_table *table, struct file *file, struct wait_queue *queue)
{
    struct epoll_poll_table *t = container_of(table, struct epoll_poll_table, table);
    struct epoll_item *item = t->item;
    struct epoll_wait *w = &item->first_wait;
    (void)file;
    if (item->first_wait_used) {
        w = kzalloc(sizeof(*w));
        if (!w) {
            t->error = -ENOMEM;
            return;
        }
        w->next = item->more_waits;
        item->more_waits = w;
    }
    item->first_wait_used = true;
    w->item = item;
    wait_entry_init(&w->wait, NULL);
    w->wait.fn = epoll_callback;
    if (item->events & EPOLLEXCLUSIVE)
        wait_queue_add_exclusive(queue, &w->wait);
    else
        wait_queue_add(queue, &w->wait);
}

static void item_waits_drop(struct epoll_item *item)
{
    if (item->first_wait_used)
        wait_queue_remove(&item->first_wait.wait);
    while (item->more_waits) {
        struct epoll_wait *w = item->more_waits;
        item->more_waits = w->next;
        wait_queue_remove(&w->wait);
        kfree(w);
    }
}

static void item_free(struct epoll_item *item)
{
    item_waits_drop(item);
    item_ready_remove(item);
    RB_REMOVE(epoll_item_tree, &item->ep->items, item);
    LIST_REMOVE(item, file_link);
    kfree(item);
}

void epoll_file_released(struct file *file)
{
    struct epoll_item *item;
    while ((item = LIST_FIRST(file_watchers(file))) != NULL)
        item_free(item);
}

/* Fills events[] with up to max ready items in one pass over the ready list. */
static size_t epoll_collect(struct epoll *ep, struct epoll_event *events, size_t max)
{
    size_t count = 0;
    for (size_t left = ep->ready_count; left > 0 && count < max; left--) {
        struct epoll_item *item = TAILQ_FIRST(&ep->ready);
        if (!item)
            break;
        item_ready_remove(item);
        uint32_t revents = file_poll(item->file, NULL) & item->events & ~EPOLL_PRIVATE;
        if (!revents)
            continue;
        events[count].events = revents;
        events[count].data = item->data;
        count++;
        if (item->events & EPOLLONESHOT)
            item->events &= EPOLL_PRIVATE;
        else if (!(item->events & EPOLLET))
            item_ready_add(item);
    }
    return count;
}

/* Is any item really ready? Drops from the list those that are not. */
static bool epoll_any_ready(struct epoll *ep)
{
    struct epoll_item *item, *next;
    TAILQ_FOREACH_SAFE (item, &ep->ready, ready_link, next) {
        if (file_poll(item->file, NULL) & item->events & ~EPOLL_PRIVATE)
            return true;
        item_ready_remove(item);
    }
    return false;
}

static uint32_t epoll_poll(struct file *file, struct poll_table *table)
{
    struct epoll *ep = file->private;
    poll_wait(table, file, &ep->poll_wait);
    return epoll_any_ready(ep) ? EPOLLIN | EPOLLRDNORM : 0;
}

static void epoll_release(struct file *file)
{
    struct epoll *ep = file->private;
    struct epoll_item *item;
    while ((item = RB_ROOT(&ep->items)) != NULL)
        item_free(item);
    ASSERT(!wait_queue_active(&ep->wait));
    kfree(ep);
}

static void epoll_show_fdinfo(struct file *file, char *buf, size_t size)
{
    struct epoll *ep = file->private;
    struct epoll_item *item;
    size_t used = 0;
    buf[0] = 0;
    RB_FOREACH (item, epoll_item_tree, &ep->items) {
        int n = snprintf(buf + used, size - used, "tfd: %8d events: %8x data: %16llx  pos:%lli ino:%lx sdev:%x\n",
                         item->fd, item->events, (unsigned long long)item->data, (long long)item->file->pos,
                         item->file->inode ? (unsigned long)item->file->inode->ino : 0UL, 0U);
        if (n < 0 || (size_t)n >= size - used)
            break;
        used += (size_t)n;
    }
}

/* Seeking changes nothing and is not refused, as on Linux. */
static file_off_t epoll_llseek(struct file *file, file_off_t offset, int whence)
{
    (void)offset, (void)whence;
    return file->pos;
}

static const struct file_ops epoll_file_ops = {
    .llseek = epoll_llseek,
    .poll = epoll_poll,
    .release = epoll_release,
    .show_fdinfo = epoll_show_fdinfo,
};

static struct epoll *epoll_of(struct file *file)
{
    return file->ops == &epoll_file_ops ? file->private : NULL;
}

static struct epoll *epoll_alloc(unsigned flags)
{
    struct epoll *ep = kzalloc(sizeof(*ep));
    if (!ep)
        return NULL;
    wait_queue_init(&ep->wait);
    wait_queue_init(&ep->poll_wait);
    TAILQ_INIT(&ep->ready);
    RB_INIT(&ep->items);
    ep->file = file_new_anon("anon_inode:[eventpoll]", &epoll_file_ops, ep, flags);
    if (ep->file)
        return ep;
    kfree(ep);
    return NULL;
}

static int64_t epoll_new(int flags)
{
    if (flags & ~O_CLOEXEC)
        return -EINVAL;
    struct epoll *ep = epoll_alloc(O_RDWR);
    if (!ep)
        return -ENOMEM;
    int fd = fd_install(ep->file, 0, (flags & O_CLOEXEC) != 0);
    if (fd < 0)
        file_put(ep->file);
    return fd;
}

SYSCALL_DEFINE1(epoll_create, int, size)
{
    return size <= 0 ? -EINVAL : epoll_new(0);
}

SYSCALL_DEFINE1(epoll_create1, int, flags)
{
    return epoll_new(flags);
}

/* Longest chain of sets below (down) a set; more than limit, or a path to `avoid`, gives limit + 1. */
static int epoll_depth_down(struct epoll *ep, const struct epoll *avoid, int limit)
{
    struct epoll_item *item;
    int deepest = 0;
    if (ep == avoid || limit < 0)
        return limit + 1;
    RB_FOREACH (item, epoll_item_tree, &ep->items) {
        struct epoll *inner = epoll_of(item->file);
        if (!inner)
            continue;
        int depth = 1 + epoll_depth_down(inner, avoid, limit - 1);
        if (depth > limit)
            return limit + 1;
        deepest = MAX(deepest, depth);
    }
    return deepest;
}

static int epoll_depth_up(struct epoll *ep, int limit)
{
    struct epoll_item *item;
    int highest = 0;
    if (limit < 0)
        return 1;
    LIST_FOREACH (item, file_watchers(ep->file), file_link) {
        int height = 1 + epoll_depth_up(item->ep, limit - 1);
        highest = MAX(highest, height);
    }
    return highest;
}

static int epoll_check_nesting(struct epoll *ep, struct epoll *inner)
{
    int down = epoll_depth_down(inner, ep, EPOLL_DEPTH_MAX);
    if (down > EPOLL_DEPTH_MAX)
        return -ELOOP;
    if (down + epoll_depth_up(ep, EPOLL_DEPTH_MAX) + 1 > EPOLL_DEPTH_MAX)
        return -ELOOP;
    return 0;
}

static int epoll_add(struct epoll *ep, struct file *file, int fd, const struct epoll_event *event)
{
    struct epoll *inner = epoll_of(file);
    if (inner) {
        int r = epoll_check_nesting(ep, inner);
        if (r < 0)
            return r;
    }
    struct epoll_item *item = kzalloc(sizeof(*item));
    if (!item)
        return -ENOMEM;
    item->ep = ep;
    item->file = file;
    item->fd = fd;
    item->events = event->events | EPOLLERR | EPOLLHUP;
    item->data = event->data;
    RB_INSERT(epoll_item_tree, &ep->items, item);
    LIST_INSERT_HEAD(file_watchers(file), item, file_link);

    struct epoll_poll_table t = {.table.queue_fn = epoll_queue, .item = item};
    uint32_t ready = file_poll(file, &t.table);
    if (t.error) {
        item_free(item);
        return t.error;
    }
    if (ready & item->events & ~EPOLL_PRIVATE) {
        item_ready_add(item);
        epoll_wake(ep);
    }
    return 0;
}

static void epoll_modify(struct epoll_item *item, const struct epoll_event *event)
{
    item->events = event->events | EPOLLERR | EPOLLHUP;
    item->data = event->data;
    if (file_poll(item->file, NULL) & item->events & ~EPOLL_PRIVATE) {
        item_ready_add(item);
        epoll_wake(item->ep);
    }
}

static int epoll_control(struct file *ep_file, int op, int fd, struct file *file, struct epoll_event *event)
{
    struct epoll *ep = epoll_of(ep_file);
    if (!file->ops->poll)
        return -EPERM;
    if (!ep || ep_file == file)
        return -EINVAL;
    if (op != EPOLL_CTL_DEL && (event->events & EPOLLEXCLUSIVE)) {
        if (op == EPOLL_CTL_MOD)
            return -EINVAL;
        if (op == EPOLL_CTL_ADD && (epoll_of(file) || (event->events & ~EPOLL_EXCLUSIVE_OK)))
            return -EINVAL;
    }
    struct epoll_item *item = RB_FIND(epoll_item_tree, &ep->items, &((struct epoll_item){.fd = fd, .file = file}));
    switch (op) {
    case EPOLL_CTL_ADD:
        return item ? -EEXIST : epoll_add(ep, file, fd, event);
    case EPOLL_CTL_DEL:
        if (!item)
            return -ENOENT;
        item_free(item);
        return 0;
    case EPOLL_CTL_MOD:
        if (!item)
            return -ENOENT;
        if (item->events & EPOLLEXCLUSIVE)
            return -EINVAL;
        epoll_modify(item, event);
        return 0;
    default:
        return -EINVAL;
    }
}

/* ---- for kernel/remote: a set of which another enclave has a part ---- */

struct file *epoll_file_new(void)
{
    struct epoll *ep = epoll_alloc(O_RDWR);
    return ep ? ep->file : NULL;
}

int epoll_file_control(struct file *ep_file, int op, int fd, struct file *file, struct epoll_event *event)
{
    return epoll_of(ep_file) ? epoll_control(ep_file, op, fd, file, event) : -EINVAL;
}

int epoll_file_adopt(struct file *ep_file, int fd, struct file *file, const struct epoll_event *event)
{
    struct epoll *ep = epoll_of(ep_file);
    if (!ep || ep_file == file || !file->ops->poll)
        return -EINVAL;
    const struct epoll_item key = {.fd = fd, .file = file};
    if (RB_FIND(epoll_item_tree, &ep->items, (struct epoll_item *)&key))
        return -EEXIST;
    int r = epoll_add(ep, file, fd, event);
    struct epoll_item *item = r == 0 ? RB_FIND(epoll_item_tree, &ep->items, (struct epoll_item *)&key) : NULL;
    if (item)
        item->events = event->events; /* one that was reported once and is off has no more than that */
    return r;
}

void epoll_file_watches(struct file *file, void (*fn)(struct file *ep_file, int fd, const struct epoll_event *, void *),
                        void *arg)
{
    struct epoll_item *item;
    LIST_FOREACH (item, file_watchers(file), file_link)
        fn(item->ep->file, item->fd, &(struct epoll_event){item->events, item->data}, arg);
}

uint32_t epoll_file_flags(struct file *file)
{
    const struct epoll_item *item;
    uint32_t flags = 0;
    LIST_FOREACH (item, file_watchers(file), file_link)
        flags |= (item->events & EPOLL_PRIVATE) | epoll_file_flags(item->ep->file);
    return flags;
}

size_t epoll_file_collect(struct file *ep_file, struct epoll_event *events, size_t max)
{
    return epoll_collect(epoll_of(ep_file), events, max);
}

struct wait_queue *epoll_file_queue(struct file *ep_file)
{
    return &epoll_of(ep_file)->wait;
}

bool epoll_file_ready(struct file *ep_file)
{
    return epoll_of(ep_file)->ready_count > 0;
}

/* ---- */

SYSCALL_DEFINE4(epoll_ctl, int, epfd, int, op, int, fd, uaddr_t, user_event)
{
    struct epoll_event event = {0};
    if (op != EPOLL_CTL_DEL) {
        int r = copy_from_user(&event, user_event, sizeof(event));
        if (r < 0)
            return r;
    }
    struct file *ep_file = fd_get(epfd);
    if (!ep_file)
        return -EBADF;
    struct file *file = fd_get(fd);
    int result = -EBADF;
    if (file) {
        if (op != EPOLL_CTL_DEL && S_ISFIFO(file->inode->mode) && file->ops->settle)
            file->ops->settle(file); /* what is lent says what it is when it is here again: not to be missed */
        result = epoll_control(ep_file, op, fd, file, &event);
        file_put(file);
    }
    file_put(ep_file);
    return result;
}

/* Sleep until something may be ready: 0, -EINTR or -ETIMEDOUT. */
static int epoll_sleep(struct epoll *ep, uint64_t deadline_ns)
{
    struct wait_entry wait;
    int r = 0;
    wait_entry_init(&wait, NULL);
    wait_queue_add_exclusive(&ep->wait, &wait);
    task_prepare_sleep(true);
    if (ep->ready_count)
        task_cancel_sleep();
    else
        r = task_sleep(deadline_ns);
    wait_queue_remove(&wait);
    return r;
}

#define EPOLL_FAST 64

static int64_t epoll_wait_events(struct epoll *ep, uaddr_t user_events, size_t max, uint64_t deadline_ns)
{
    struct epoll_event fast[EPOLL_FAST];
    struct epoll_event *events = fast;
    size_t room = EPOLL_FAST;
    int slept = 0;
    size_t count = 0;
    bool asked_host = false;

    for (;;) {
        size_t wanted = MIN(max, ep->ready_count);
        if (wanted > room) {
            void *bigger = kmalloc(wanted * sizeof(*events));
            if (bigger) {
                if (events != fast)
                    kfree(events);
                events = bigger;
                room = wanted;
            }
        }
        if (wanted)
            count = epoll_collect(ep, events, MIN(max, room));
        if (count || slept)
            break;
        if (!asked_host) {
            asked_host = true;
            if (net_poll_ready())
                continue;
        }
        if (deadline_ns == 0) {
            net_poll_spinning();
            break;
        }
        slept = epoll_sleep(ep, deadline_ns);
    }
    int64_t result = (int64_t)count;
    if (count && copy_to_user(user_events, events, count * sizeof(*events)) < 0)
        result = -EFAULT;
    else if (!count && slept == -EINTR)
        result = -EINTR;
    if (events != fast)
        kfree(events);
    return result;
}

static int64_t epoll_wait_user(int epfd, uaddr_t events, int max, uint64_t deadline_ns)
{
    if (max <= 0 || max > EPOLL_MAX_EVENTS)
        return -EINVAL;
    struct file *file = fd_get(epfd);
    if (!file)
        return -EBADF;
    struct epoll *ep = epoll_of(file);
    int64_t result = ep ? epoll_wait_events(ep, events, (size_t)max, deadline_ns) : -EINVAL;
    file_put(file);
    return result;
}

static uint64_t deadline_from_ms(int timeout_ms)
{
    if (timeout_ms < 0)
        return NO_DEADLINE;
    return deadline_after((unsigned)timeout_ms / 1000, (unsigned)timeout_ms % 1000 * 1000000ULL);
}

SYSCALL_DEFINE4(epoll_wait, int, epfd, uaddr_t, events, int, max, int, timeout_ms)
{
    return epoll_wait_user(epfd, events, max, deadline_from_ms(timeout_ms));
}

static int64_t epoll_pwait_user(int epfd, uaddr_t events, int max, uint64_t deadline_ns, uaddr_t mask, size_t mask_size)
{
    int r = signal_mask_temporary_user(mask, mask_size);
    if (r < 0)
        return r;
    int64_t result = epoll_wait_user(epfd, events, max, deadline_ns);
    signal_mask_restore_unless_interrupted(result);
    return result;
}

SYSCALL_DEFINE6(epoll_pwait, int, epfd, uaddr_t, events, int, max, int, timeout_ms, uaddr_t, mask, size_t, mask_size)
{
    return epoll_pwait_user(epfd, events, max, deadline_from_ms(timeout_ms), mask, mask_size);
}

SYSCALL_DEFINE6(epoll_pwait2, int, epfd, uaddr_t, events, int, max, uaddr_t, timeout, uaddr_t, mask, size_t, mask_size)
{
    uint64_t deadline;
    int r = deadline_from_user(timeout, &deadline);
    if (r < 0)
        return r;
    return epoll_pwait_user(epfd, events, max, deadline, mask, mask_size);
}

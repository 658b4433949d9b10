/*
 * inotify. A watch belongs to one instance (a descriptor) and one inode, which it keeps; it is on both their lists and
 * goes with whichever goes first.
 */
#include <asm/ioctls.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/inotify.h>

#include "kernel/fs/poll.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

#define EVENTS_MAX 16384
#define WATCHES_MAX 65536
#define MASK_CONTROL (IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ONESHOT)

struct event {
    TAILQ_ENTRY(event) link;
    int wd;
    uint32_t mask, cookie;
    size_t name_size; /* padded, 0 = none */
    char name[];
};

struct inotify {
    TAILQ_HEAD(event_list, event) events;
    LIST_HEAD(instance_watches, watch) watches;
    size_t event_count, event_bytes, watch_count;
    int last_wd;
    struct wait_queue wait;
};

struct watch {
    LIST_ENTRY(watch) of_inode, of_instance;
    struct inotify *instance;
    struct inode *inode;
    int wd;
    uint32_t mask;
};

/* inode->watches */
LIST_HEAD(inode_watches, watch);

static void event_add(struct inotify *in, int wd, uint32_t mask, uint32_t cookie, const char *name)
{
    const struct event *last = TAILQ_LAST(&in->events, event_list);
    if (last && last->wd == wd && last->mask == mask && last->cookie == cookie &&
        (name ? last->name_size && strcmp(last->name, name) == 0 : last->name_size == 0))
        return;
    if (in->event_count > EVENTS_MAX)
        return;
    if (in->event_count == EVENTS_MAX) {
        wd = -1;
        mask = IN_Q_OVERFLOW;
        cookie = 0;
        name = NULL;
    }
    size_t length = name ? strlen(name) : 0;
    size_t padded = name ? ALIGN_UP(length + 1, sizeof(struct inotify_event)) : 0;
    struct event *event = kzalloc(sizeof *event + padded);
    if (!event)
        return;
    event->wd = wd;
    event->mask = mask;
    event->cookie = cookie;
    event->name_size = padded;
    memcpy(event->name, name ? name : "", length);
    TAILQ_INSERT_TAIL(&in->events, event, link);
    in->event_count++;
    in->event_bytes += sizeof(struct inotify_event) + padded;
    wake_up_all(&in->wait, EPOLLIN);
}

/* Drops the watch and its hold on the inode. */
static void watch_remove(struct watch *watch, bool tell)
{
    struct inotify *in = watch->instance;
    struct inode *inode = watch->inode;
    struct inode_watches *list = inode->watches;
    LIST_REMOVE(watch, of_inode);
    LIST_REMOVE(watch, of_instance);
    in->watch_count--;
    if (LIST_EMPTY(list)) {
        inode->watches = NULL;
        kfree(list);
    }
    if (tell)
        event_add(in, watch->wd, IN_IGNORED, 0, NULL);
    kfree(watch);
    inode_put(inode);
}

void fsnotify(struct inode *inode, uint32_t mask, const char *name, struct inode *child, uint32_t cookie)
{
    struct inode_watches *list = inode->watches;
    struct watch *watch, *next;
    bool gone = mask & (IN_DELETE_SELF | IN_UNMOUNT);
    if (!list)
        return;
    inode_get(inode); /* the watches may be all that keeps it */
    LIST_FOREACH_SAFE (watch, list, of_inode, next) {
        bool wanted = watch->mask & mask & (IN_ALL_EVENTS | IN_UNMOUNT);
        if (child && child->nlink == 0 && (watch->mask & IN_EXCL_UNLINK) && !(mask & (IN_DELETE | IN_MOVE)))
            wanted = false;
        if (wanted)
            event_add(watch->instance, watch->wd, mask & ~(uint32_t)MASK_CONTROL, cookie, name);
        if (gone || (wanted && (watch->mask & IN_ONESHOT)))
            watch_remove(watch, true);
        if (inode->watches == NULL)
            break;
    }
    inode_put(inode);
}

static ssize_t inotify_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct inotify *in = file->private;
    ssize_t total = 0;
    if (TAILQ_EMPTY(&in->events)) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int r = wait_event(&in->wait, !TAILQ_EMPTY(&in->events));
        if (r < 0)
            return r;
    }
    struct event *event;
    while ((event = TAILQ_FIRST(&in->events)) != NULL) {
        struct inotify_event head = {event->wd, event->mask, event->cookie, (uint32_t)event->name_size};
        size_t size = sizeof head + event->name_size;
        if (to->count < size)
            return total ? total : -EINVAL;
        if (copy_to_iter(to, &head, sizeof head) != sizeof head ||
            copy_to_iter(to, event->name, event->name_size) != event->name_size)
            return total ? total : -EFAULT;
        total += (ssize_t)size;
        TAILQ_REMOVE(&in->events, event, link);
        in->event_count--;
        in->event_bytes -= size;
        kfree(event);
    }
    return total;
}

static uint32_t inotify_poll(struct file *file, struct poll_table *table)
{
    struct inotify *in = file->private;
    poll_wait(table, file, &in->wait);
    return TAILQ_EMPTY(&in->events) ? 0 : EPOLLIN | EPOLLRDNORM;
}

static int64_t inotify_ioctl(struct file *file, unsigned command, uint64_t arg)
{
    const struct inotify *in = file->private;
    return command == FIONREAD ? put_user32(arg, (uint32_t)in->event_bytes) : -ENOTTY;
}

static void inotify_release(struct file *file)
{
    struct inotify *in = file->private;
    struct watch *watch;
    while ((watch = LIST_FIRST(&in->watches)) != NULL)
        watch_remove(watch, false);
    struct event *event;
    while ((event = TAILQ_FIRST(&in->events)) != NULL) {
        TAILQ_REMOVE(&in->events, event, link);
        kfree(event);
    }
    kfree(in);
}

static const struct file_ops inotify_ops = {
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
};

static int64_t inotify_create(int flags)
{
    if (flags & ~(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    struct inotify *in = kzalloc(sizeof *in);
    if (!in)
        return -ENOMEM;
    TAILQ_INIT(&in->events);
    LIST_INIT(&in->watches);
    wait_queue_init(&in->wait);
    struct file *file =
        file_new_anon("anon_inode:inotify", &inotify_ops, in, O_RDONLY | ((unsigned)flags & O_NONBLOCK));
    if (!file) {
        kfree(in);
        return -ENOMEM;
    }
    int fd = fd_install(file, 0, flags & O_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

SYSCALL_DEFINE1(inotify_init1, int, flags)
{
    return inotify_create(flags);
}

SYSCALL_DEFINE0(inotify_init)
{
    return inotify_create(0);
}

static int watch_new(struct inotify *in, struct inode *inode, uint32_t mask)
{
    if (in->watch_count >= WATCHES_MAX || in->last_wd == INT32_MAX)
        return -ENOSPC;
    struct watch *watch = kzalloc(sizeof *watch);
    struct inode_watches *list = inode->watches ? inode->watches : kzalloc(sizeof *list);
    if (!watch || !list) {
        kfree(watch);
        if (!inode->watches)
            kfree(list);
        return -ENOMEM;
    }
    inode->watches = list;
    watch->instance = in;
    watch->inode = inode_get(inode);
    watch->wd = ++in->last_wd;
    watch->mask = mask;
    LIST_INSERT_HEAD(list, watch, of_inode);
    LIST_INSERT_HEAD(&in->watches, watch, of_instance);
    in->watch_count++;
    return watch->wd;
}

static int watch_set(struct inotify *in, struct inode *inode, uint32_t mask)
{
    struct watch *watch = NULL;
    if (inode->watches) {
        LIST_FOREACH (watch, (struct inode_watches *)inode->watches, of_inode)
            if (watch->instance == in)
                break;
    }
    if (!watch)
        return watch_new(in, inode, mask & ~(uint32_t)(IN_MASK_ADD | IN_MASK_CREATE));
    if (mask & IN_MASK_CREATE)
        return -EEXIST;
    watch->mask = mask & IN_MASK_ADD ? watch->mask | (mask & ~(uint32_t)IN_MASK_ADD) : mask;
    return watch->wd;
}

static int instance_get(int fd, struct file **ret_file)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    if (file->ops != &inotify_ops) {
        file_put(file);
        return -EINVAL;
    }
    *ret_file = file;
    return 0;
}

SYSCALL_DEFINE3(inotify_add_watch, int, fd, uaddr_t, user_path, uint32_t, mask)
{
    if (!(mask & (IN_ALL_EVENTS | IN_UNMOUNT)) || (mask & ~(uint32_t)(IN_ALL_EVENTS | IN_UNMOUNT | MASK_CONTROL)))
        return -EINVAL;
    struct file *file;
    int r = instance_get(fd, &file);
    if (r < 0)
        return r;
    char *path = NULL;
    struct dentry *dentry;
    if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE))
        r = -EINVAL;
    if (r == 0)
        r = path_from_user(user_path, false, &path);
    if (r == 0)
        r = vfs_lookup(AT_FDCWD_, path,
                       (mask & IN_DONT_FOLLOW ? 0 : LOOKUP_FOLLOW) | (mask & IN_ONLYDIR ? LOOKUP_DIRECTORY : 0),
                       &dentry);
    kfree(path);
    if (r == 0) {
        struct inode *inode = dentry_inode(dentry);
        r = inode ? inode_permission(inode, 4) : -ENOENT;
        if (r == 0)
            r = watch_set(file->private, inode, mask & ~(uint32_t)(IN_ONLYDIR | IN_DONT_FOLLOW));
        dentry_put(dentry);
    }
    file_put(file);
    return r;
}

SYSCALL_DEFINE2(inotify_rm_watch, int, fd, int, wd)
{
    struct file *file;
    int r = instance_get(fd, &file);
    if (r < 0)
        return r;
    struct inotify *in = file->private;
    struct watch *watch;
    LIST_FOREACH (watch, &in->watches, of_instance)
        if (watch->wd == wd)
            break;
    if (watch)
        watch_remove(watch, true);
    file_put(file);
    return watch ? 0 : -EINVAL;
}

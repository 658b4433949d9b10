/* POSIX message queues: named queues of messages by priority, whose descriptors are files. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mqueue.h>
#include <linux/signal.h>

#include "kernel/fs/dentry.h"
#include "kernel/fs/file.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/credentials.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

/* Linux's: the defaults of /proc/sys/fs/mqueue, and what CAP_SYS_RESOURCE cannot go beyond either. */
#define QUEUES_MAX 256
#define COUNT_MAX 10
#define SIZE_MAX_EACH 8192
#define COUNT_MAX_HARD 65536
#define SIZE_MAX_HARD (16UL << 20)
/* What Linux counts towards RLIMIT_MSGQUEUE besides the text: for each message, and for each priority. */
#define COST_EACH 96UL
#define NAME_SIZE_MAX 255

struct post {
    TAILQ_ENTRY(post) entry;
    unsigned priority;
    size_t size;
    uint8_t text[];
};

struct queue {
    struct inode inode;
    TAILQ_ENTRY(queue) entry;
    TAILQ_HEAD(, post) posts; /* highest priority first */
    struct mq_attr attr;      /* flags are the file's */
    size_t bytes;
    unsigned receivers; /* that sleep */
    struct wait_queue wait;
    int notify_pid; /* 0: nobody is to be told */
    const struct fd_table
        *notify_table; /* whose end, or that of a descriptor for this queue in it, is the end of that */
    struct sigevent notify;
    char name[NAME_SIZE_MAX + 2]; /* "/name" */
};

/* Those without a name, too, as long as they are open: they count. */
static TAILQ_HEAD(, queue) queues = TAILQ_HEAD_INITIALIZER(queues);
static unsigned queue_count;

static struct queue *queue_of(const struct file *file)
{
    return container_of(file->inode, struct queue, inode);
}

static void queue_evict(struct inode *inode)
{
    struct queue *q = container_of(inode, struct queue, inode);
    struct post *post;
    while ((post = TAILQ_FIRST(&q->posts)) != NULL) {
        TAILQ_REMOVE(&q->posts, post, entry);
        kfree(post);
    }
    TAILQ_REMOVE(&queues, q, entry);
    queue_count--;
    kfree(q);
}

/* ---- as a file ---- */

static ssize_t queue_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    const struct queue *q = queue_of(file);
    char text[80];
    int signal = q->notify_pid && q->notify.sigev_notify == SIGEV_SIGNAL ? q->notify.sigev_signo : 0;
    size_t size = (size_t)snprintf(text, sizeof(text), "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
                                   q->bytes, q->notify_pid ? q->notify.sigev_notify : 0, signal, q->notify_pid);
    if (*pos < 0 || (size_t)*pos >= size)
        return *pos < 0 ? -EINVAL : 0;
    size_t wanted = MIN(size - (size_t)*pos, to->count);
    size_t done = copy_to_iter(to, text + *pos, wanted);
    *pos += (file_off_t)done;
    return done == 0 && wanted > 0 ? -EFAULT : (ssize_t)done;
}

static uint32_t queue_poll(struct file *file, struct poll_table *table)
{
    struct queue *q = queue_of(file);
    poll_wait(table, file, &q->wait);
    return (q->attr.mq_curmsgs > 0 ? EPOLLIN | EPOLLRDNORM : 0) |
           (q->attr.mq_curmsgs < q->attr.mq_maxmsg ? EPOLLOUT | EPOLLWRNORM : 0);
}

static void forget_notify(struct queue *q)
{
    q->notify_pid = 0;
    wake_up_all(&q->wait, 0);
}

/* Whoever closes them: the descriptors of a process that was killed are not closed by itself. */
static void queue_flush(struct file *file, const struct fd_table *table)
{
    struct queue *q = queue_of(file);
    if (q->notify_pid && q->notify_table == table)
        forget_notify(q);
}

static const struct file_ops queue_file_ops = {
    .read = queue_read, .llseek = file_llseek_size, .poll = queue_poll, .flush = queue_flush};
static const struct inode_ops queue_inode_ops = {.evict = queue_evict};
static struct super_block queue_sb = {.type = "mqueue", .magic = 0x19800202};

/* ---- names ---- */

static int name_from_user(char ret_name[NAME_SIZE_MAX + 2], uaddr_t user)
{
    char path[4096];
    ssize_t size = strncpy_from_user(path, user, sizeof(path));
    if (size <= 0)
        return size < 0 ? (int)size : -ENOENT;
    if (strchr(path, '/') || strcmp(path, ".") == 0 || strcmp(path, "..") == 0)
        return -EACCES;
    if (size > NAME_SIZE_MAX)
        return -ENAMETOOLONG;
    ret_name[0] = '/';
    memcpy(ret_name + 1, path, (size_t)size + 1);
    return 0;
}

static struct queue *queue_find(const char *name)
{
    struct queue *q = NULL;
    TAILQ_FOREACH (q, &queues, entry)
        if (q->inode.nlink > 0 && strcmp(q->name, name) == 0)
            return q;
    return NULL;
}

static uint64_t cost(const struct mq_attr *attr)
{
    return (uint64_t)attr->mq_maxmsg * ((uint64_t)attr->mq_msgsize + COST_EACH);
}

static int check_limits(const struct mq_attr *attr, uint32_t uid)
{
    bool may = process_capable(CAP_SYS_RESOURCE);
    const struct queue *q;
    uint64_t used = 0;
    if (attr->mq_maxmsg <= 0 || attr->mq_msgsize <= 0 || attr->mq_maxmsg > (may ? COUNT_MAX_HARD : COUNT_MAX) ||
        (uint64_t)attr->mq_msgsize > (may ? SIZE_MAX_HARD : SIZE_MAX_EACH))
        return -EINVAL;
    TAILQ_FOREACH (q, &queues, entry)
        if (q->inode.uid == uid)
            used += cost(&q->attr);
    return used + cost(attr) > process_self()->limits[RLIMIT_MSGQUEUE].rlim_cur ? -EMFILE : 0;
}

static int queue_new(const char *name, uint32_t mode, const struct mq_attr *attr, struct queue **ret_queue)
{
    struct mq_attr fallback = {.mq_maxmsg = COUNT_MAX, .mq_msgsize = SIZE_MAX_EACH};
    if (queue_count >= QUEUES_MAX && !process_capable(CAP_SYS_RESOURCE))
        return -ENOSPC;
    attr = attr ? attr : &fallback;
    int r = check_limits(attr, process_self()->credentials.euid);
    if (r < 0)
        return r;
    struct queue *q = kzalloc(sizeof(*q));
    if (!q)
        return -ENOMEM;
    if (queue_sb.dev == 0)
        queue_sb.dev = super_dev_next();
    inode_init(&q->inode, &queue_sb, &queue_inode_ops, S_IFREG | (mode & 07777 & ~process_self()->fs->umask));
    q->inode.file_ops = &queue_file_ops;
    q->inode.size = 80;
    q->attr.mq_maxmsg = attr->mq_maxmsg;
    q->attr.mq_msgsize = attr->mq_msgsize;
    string_copy(q->name, name, sizeof(q->name));
    TAILQ_INIT(&q->posts);
    wait_queue_init(&q->wait);
    TAILQ_INSERT_TAIL(&queues, q, entry);
    queue_count++;
    *ret_queue = q;
    return 0;
}

static int find_or_make(const char *name, unsigned flags, uint32_t mode, const struct mq_attr *attr,
                        struct queue **ret_queue)
{
    static const unsigned access[] = {4, 2, 6}; /* as inode_permission() has it */
    struct queue *q = queue_find(name);
    if (!q)
        return flags & O_CREAT ? queue_new(name, mode, attr, ret_queue) : -ENOENT;
    if ((flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    if ((flags & O_ACCMODE) == O_ACCMODE)
        return -EINVAL;
    *ret_queue = q;
    return inode_permission(&q->inode, access[flags & O_ACCMODE]);
}

static struct file *queue_open(struct queue *q, unsigned flags)
{
    struct dentry *dentry = dentry_new_detached(&q->inode, q->name);
    struct file *file =
        dentry ? file_new_inode(&q->inode, &queue_file_ops, NULL, flags & (O_ACCMODE | O_NONBLOCK)) : NULL;
    if (file)
        file->dentry = dentry;
    else if (dentry)
        dentry_put(dentry);
    return file;
}

SYSCALL_DEFINE4(mq_open, uaddr_t, user_name, int, flags, uint32_t, mode, uaddr_t, user_attr)
{
    char name[NAME_SIZE_MAX + 2];
    struct mq_attr attr;
    struct queue *q = NULL;
    if (user_attr && copy_from_user(&attr, user_attr, sizeof(attr)) < 0)
        return -EFAULT;
    int r = name_from_user(name, user_name);
    if (r == 0)
        r = find_or_make(name, (unsigned)flags, mode, user_attr ? &attr : NULL, &q);
    if (r < 0)
        return r;
    struct file *file = queue_open(q, (unsigned)flags);
    if (!file)
        return -ENOMEM;
    int fd = fd_install(file, 0, O_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

SYSCALL_DEFINE1(mq_unlink, uaddr_t, user_name)
{
    char name[NAME_SIZE_MAX + 2];
    int r = name_from_user(name, user_name);
    struct queue *q = r == 0 ? queue_find(name) : NULL;
    if (r < 0 || !q)
        return r < 0 ? r : -ENOENT;
    if (q->inode.uid != process_self()->credentials.fsuid && !process_capable(CAP_FOWNER))
        return -EPERM;
    q->inode.nlink = 0;
    inode_put(&q->inode);
    return 0;
}

/* ---- messages ---- */

/* The queue behind a descriptor: its file, referenced; or NULL. */
static struct file *queue_file(int fd, unsigned unwanted_mode)
{
    struct file *file = fd_get(fd);
    if (file && file->ops == &queue_file_ops && (file->flags & O_ACCMODE) != unwanted_mode)
        return file;
    file_put(file);
    return NULL;
}

static int deadline_from_user(uint64_t *ret_deadline, uaddr_t user)
{
    uint64_t ns;
    *ret_deadline = NO_DEADLINE;
    if (!user)
        return 0;
    int r = timespec_from_user(&ns, user);
    if (r == 0)
        *ret_deadline = clock_deadline_at(CLOCK_REALTIME, ns);
    return r;
}

/* The first message after a time without: whoever wanted to know is told, once. */
static void notify(struct queue *q)
{
    const struct process *self = process_self();
    struct process *process = q->notify_pid ? process_find(q->notify_pid) : NULL;
    struct signal_source source = {.signal = q->notify.sigev_signo,
                                   .code = SI_MESGQ,
                                   .pid = self->pid,
                                   .uid = self->credentials.uid,
                                   .value = (uint64_t)q->notify.sigev_value.sival_ptr};
    if (!q->notify_pid)
        return;
    if (process && q->notify.sigev_notify == SIGEV_SIGNAL && source.signal != 0)
        (void)!signal_send_process(process, &source);
    forget_notify(q);
}

static int insert(struct queue *q, struct post *post, bool may_wait, uint64_t deadline)
{
    struct post *other;
    if (q->attr.mq_curmsgs >= q->attr.mq_maxmsg) {
        int r = may_wait ? wait_event_deadline(&q->wait, q->attr.mq_curmsgs < q->attr.mq_maxmsg, deadline) : -EAGAIN;
        if (r < 0)
            return r;
    }
    TAILQ_FOREACH (other, &q->posts, entry)
        if (other->priority < post->priority)
            break;
    if (other)
        TAILQ_INSERT_BEFORE(other, post, entry);
    else
        TAILQ_INSERT_TAIL(&q->posts, post, entry);
    q->attr.mq_curmsgs++;
    q->bytes += post->size;
    if (q->attr.mq_curmsgs == 1 && q->receivers == 0)
        notify(q);
    wake_up_all(&q->wait, EPOLLIN | EPOLLRDNORM);
    return 0;
}

static int64_t send(struct file *file, uaddr_t text, size_t size, unsigned priority, uint64_t deadline)
{
    struct queue *q = queue_of(file);
    if (size > (size_t)q->attr.mq_msgsize)
        return -EMSGSIZE;
    struct post *post = kmalloc(sizeof(*post) + size);
    if (!post)
        return -ENOMEM;
    post->priority = priority;
    post->size = size;
    int r =
        copy_from_user(post->text, text, size) < 0 ? -EFAULT : insert(q, post, !(file->flags & O_NONBLOCK), deadline);
    if (r < 0)
        kfree(post);
    return r;
}

SYSCALL_DEFINE5(mq_timedsend, int, fd, uaddr_t, text, size_t, size, unsigned, priority, uaddr_t, timeout)
{
    uint64_t deadline;
    int r = deadline_from_user(&deadline, timeout);
    if (r < 0 || priority >= MQ_PRIO_MAX)
        return r < 0 ? r : -EINVAL;
    struct file *file = queue_file(fd, O_RDONLY);
    if (!file)
        return -EBADF;
    int64_t result = send(file, text, size, priority, deadline);
    file_put(file);
    return result;
}

static int64_t receive(struct file *file, uaddr_t text, size_t size, uaddr_t priority, uint64_t deadline)
{
    struct queue *q = queue_of(file);
    if (size < (size_t)q->attr.mq_msgsize)
        return -EMSGSIZE;
    if (q->attr.mq_curmsgs == 0) {
        q->receivers++;
        int r = file->flags & O_NONBLOCK ? -EAGAIN : wait_event_deadline(&q->wait, q->attr.mq_curmsgs > 0, deadline);
        q->receivers--;
        if (r < 0)
            return r;
    }
    struct post *post = TAILQ_FIRST(&q->posts);
    TAILQ_REMOVE(&q->posts, post, entry);
    q->attr.mq_curmsgs--;
    q->bytes -= post->size;
    wake_up_all(&q->wait, EPOLLOUT | EPOLLWRNORM);
    int64_t result = (int64_t)post->size;
    if ((priority && copy_to_user(priority, &post->priority, sizeof(post->priority)) < 0) ||
        copy_to_user(text, post->text, post->size) < 0)
        result = -EFAULT;
    kfree(post);
    return result;
}

SYSCALL_DEFINE5(mq_timedreceive, int, fd, uaddr_t, text, size_t, size, uaddr_t, priority, uaddr_t, timeout)
{
    uint64_t deadline;
    int r = deadline_from_user(&deadline, timeout);
    if (r < 0)
        return r;
    struct file *file = queue_file(fd, O_WRONLY);
    if (!file)
        return -EBADF;
    int64_t result = receive(file, text, size, priority, deadline);
    file_put(file);
    return result;
}

/* ---- the rest ---- */

static int set_notify(struct queue *q, const struct sigevent *event)
{
    int pid = process_self()->pid;
    if (!event) {
        if (q->notify_pid == pid)
            forget_notify(q);
        return 0;
    }
    if (q->notify_pid)
        return -EBUSY;
    q->notify_pid = pid;
    q->notify_table = process_self()->files;
    q->notify = *event;
    return 0;
}

/* SIGEV_THREAD is a message over netlink, for which the C library has a thread wait. */
SYSCALL_DEFINE2(mq_notify, int, fd, uaddr_t, user_event)
{
    struct sigevent event;
    if (user_event && copy_from_user(&event, user_event, sizeof(event)) < 0)
        return -EFAULT;
    if (user_event && event.sigev_notify == SIGEV_THREAD)
        return -ENOSYS;
    if (user_event && event.sigev_notify != SIGEV_NONE &&
        (event.sigev_notify != SIGEV_SIGNAL || (unsigned)event.sigev_signo > SIGNAL_MAX))
        return -EINVAL;
    struct file *file = queue_file(fd, O_ACCMODE);
    if (!file)
        return -EBADF;
    int r = set_notify(queue_of(file), user_event ? &event : NULL);
    file_put(file);
    return r;
}

SYSCALL_DEFINE3(mq_getsetattr, int, fd, uaddr_t, user_new, uaddr_t, user_old)
{
    struct mq_attr new = {0}, old;
    if (user_new && copy_from_user(&new, user_new, sizeof(new)) < 0)
        return -EFAULT;
    if (new.mq_flags & ~(int64_t)O_NONBLOCK)
        return -EINVAL;
    struct file *file = queue_file(fd, O_ACCMODE);
    if (!file)
        return -EBADF;
    old = queue_of(file)->attr;
    old.mq_flags = file->flags & O_NONBLOCK;
    if (user_new)
        file->flags = (file->flags & ~(unsigned)O_NONBLOCK) | (unsigned)new.mq_flags;
    file_put(file);
    return user_old && copy_to_user(user_old, &old, sizeof(old)) < 0 ? -EFAULT : 0;
}

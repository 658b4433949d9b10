/* System V message queues. */
#include <linux/errno.h>
#include <linux/msg.h>

#include "kernel/fs/pseudofs.h"
#include "kernel/ipc/ipc.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/process.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

/* Linux's defaults: MSGMAX, MSGMNB, MSGMNI. */
#define MESSAGE_SIZE_MAX 8192
#define QUEUE_BYTES 16384
#define QUEUES_MAX 32000

struct letter {
    TAILQ_ENTRY(letter) entry;
    int64_t type;
    size_t size;
    uint8_t text[];
};

struct msg_queue {
    struct ipc_object object; /* first */
    TAILQ_HEAD(, letter) letters;
    size_t count, bytes, bytes_max;
    int64_t changed, sent, received;
    int sender, receiver;
    struct wait_queue wait;
};

static struct msg_queue *queue_of(struct ipc_object *object)
{
    return container_of(object, struct msg_queue, object);
}

static int queue_make(uint64_t size, struct ipc_object **ret_object)
{
    struct msg_queue *q = kzalloc(sizeof(*q));
    (void)size;
    if (!q)
        return -ENOMEM;
    TAILQ_INIT(&q->letters);
    wait_queue_init(&q->wait);
    q->bytes_max = QUEUE_BYTES;
    q->changed = ipc_now();
    *ret_object = &q->object;
    return 0;
}

static int queue_check(const struct ipc_object *object, uint64_t size)
{
    (void)object;
    (void)size;
    return 0;
}

static void queue_free(struct ipc_object *object)
{
    struct msg_queue *q = queue_of(object);
    struct letter *letter;
    while ((letter = TAILQ_FIRST(&q->letters)) != NULL) {
        TAILQ_REMOVE(&q->letters, letter, entry);
        kfree(letter);
    }
    kfree(q);
}

static struct ipc_table queues = {.objects = TAILQ_HEAD_INITIALIZER(queues.objects),
                                  .max = QUEUES_MAX,
                                  .make = queue_make,
                                  .check = queue_check,
                                  .free = queue_free};

SYSCALL_DEFINE2(msgget, int, key, int, flags)
{
    return ipc_get(&queues, key, 0, flags);
}

/* Until something changes in the queue. 0, -EINTR or -EIDRM. */
static int sleep_on(struct msg_queue *q)
{
    struct wait_entry entry;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&q->wait, &entry);
    task_prepare_sleep(true);
    int r = task_sleep(NO_DEADLINE);
    wait_queue_remove(&entry);
    return q->object.removed ? -EIDRM : r;
}

static int send(struct msg_queue *q, struct letter *letter, int flags)
{
    while (q->bytes + letter->size > q->bytes_max || q->count + 1 > q->bytes_max) {
        int r = flags & IPC_NOWAIT ? -EAGAIN : sleep_on(q);
        if (r < 0)
            return r;
    }
    TAILQ_INSERT_TAIL(&q->letters, letter, entry);
    q->count++;
    q->bytes += letter->size;
    q->sender = process_self()->pid;
    q->sent = ipc_now();
    wake_up_all(&q->wait, 0);
    return 0;
}

SYSCALL_DEFINE4(msgsnd, int, id, uaddr_t, user, size_t, size, int, flags)
{
    struct ipc_object *object;
    uint64_t type;
    if (get_user64(&type, user) < 0)
        return -EFAULT;
    if (size > MESSAGE_SIZE_MAX || id < 0 || (int64_t)type < 1)
        return -EINVAL;
    struct letter *letter = kmalloc(sizeof(*letter) + size);
    if (!letter)
        return -ENOMEM;
    letter->type = (int64_t)type;
    letter->size = size;
    int r = copy_from_user(letter->text, user + 8, size);
    if (r == 0)
        r = ipc_access(&queues, id, 0222, &object);
    if (r == 0) {
        object->refcount++;
        r = send(queue_of(object), letter, flags);
        ipc_put(&queues, object);
    }
    if (r < 0)
        kfree(letter);
    return r;
}

/* The letter that msgrcv's type asks for; NULL. */
static struct letter *choose(const struct msg_queue *q, int64_t type, int flags)
{
    struct letter *letter, *best = NULL;
    TAILQ_FOREACH (letter, &q->letters, entry) {
        if (type == 0 || (type > 0 && (letter->type == type) == !(flags & MSG_EXCEPT)))
            return letter;
        if (type < 0 && letter->type <= -type && (!best || letter->type < best->type))
            best = letter;
    }
    return best;
}

static int receive(struct msg_queue *q, size_t size, int64_t type, int flags, struct letter **ret_letter)
{
    struct letter *letter;
    while ((letter = choose(q, type, flags)) == NULL) {
        int r = flags & IPC_NOWAIT ? -ENOMSG : sleep_on(q);
        if (r < 0)
            return r;
    }
    if (letter->size > size && !(flags & MSG_NOERROR))
        return -E2BIG;
    TAILQ_REMOVE(&q->letters, letter, entry);
    q->count--;
    q->bytes -= letter->size;
    q->receiver = process_self()->pid;
    q->received = ipc_now();
    wake_up_all(&q->wait, 0);
    *ret_letter = letter;
    return 0;
}

SYSCALL_DEFINE5(msgrcv, int, id, uaddr_t, user, size_t, size, int64_t, type, int, flags)
{
    struct ipc_object *object;
    struct letter *letter;
    if (id < 0 || (int64_t)size < 0)
        return -EINVAL;
    if (flags & MSG_COPY)
        return -ENOSYS;
    int r = ipc_access(&queues, id, 0444, &object);
    if (r < 0)
        return r;
    object->refcount++;
    r = receive(queue_of(object), size, type == INT64_MIN ? INT64_MAX * -1 : type, flags, &letter);
    ipc_put(&queues, object);
    if (r < 0)
        return r;
    size = MIN(size, letter->size);
    if (put_user64(user, (uint64_t)letter->type) < 0 || copy_to_user(user + 8, letter->text, size) < 0)
        r = -EFAULT;
    kfree(letter);
    return r < 0 ? r : (int64_t)size;
}

static int64_t info(int command, uaddr_t arg)
{
    struct msginfo mi = {.msgmax = MESSAGE_SIZE_MAX,
                         .msgmnb = QUEUE_BYTES,
                         .msgmni = QUEUES_MAX,
                         .msgpool = MSGPOOL,
                         .msgmap = MSGMAP,
                         .msgssz = MSGSSZ,
                         .msgtql = MSGTQL,
                         .msgseg = MSGSEG};
    struct ipc_object *object;
    if (command == MSG_INFO) {
        mi.msgpool = queues.count;
        mi.msgmap = mi.msgtql = 0;
        TAILQ_FOREACH (object, &queues.objects, entry) {
            mi.msgmap += (int)queue_of(object)->count;
            mi.msgtql += (int)queue_of(object)->bytes;
        }
    }
    return copy_to_user(arg, &mi, sizeof(mi)) < 0 ? -EFAULT : MAX(0, queues.last_id - 1);
}

static int64_t change(struct msg_queue *q, int command, uaddr_t arg)
{
    struct msqid64_ds ds;
    if (command == IPC_SET && copy_from_user(&ds, arg, sizeof(ds)) < 0)
        return -EFAULT;
    if (!ipc_is_owner(&q->object))
        return -EPERM;
    if (command == IPC_RMID) {
        wake_up_all(&q->wait, 0);
        ipc_remove(&queues, &q->object);
        return 0;
    }
    if (ds.msg_qbytes > QUEUE_BYTES && !process_capable(24 /* CAP_SYS_RESOURCE */))
        return -EPERM;
    ipc_set(&q->object, &ds.msg_perm);
    q->bytes_max = ds.msg_qbytes;
    q->changed = ipc_now();
    wake_up_all(&q->wait, 0);
    return 0;
}

SYSCALL_DEFINE3(msgctl, int, id, int, command, uaddr_t, arg)
{
    struct ipc_object *object;
    command &= ~0x100; /* IPC_64 */
    if (command == IPC_INFO || command == MSG_INFO)
        return info(command, arg);
    if (id < 0)
        return -EINVAL;
    if (command == IPC_SET || command == IPC_RMID)
        return (object = ipc_find(&queues, id)) ? change(queue_of(object), command, arg) : -EINVAL;
    if (command != IPC_STAT && command != MSG_STAT && command != MSG_STAT_ANY)
        return -EINVAL;
    int r = ipc_access(&queues, id, command == MSG_STAT_ANY ? 0 : 0444, &object);
    if (r < 0)
        return r;
    const struct msg_queue *q = queue_of(object);
    struct msqid64_ds ds = {.msg_perm = object->perm,
                            .msg_stime = q->sent,
                            .msg_rtime = q->received,
                            .msg_ctime = q->changed,
                            .msg_cbytes = q->bytes,
                            .msg_qnum = q->count,
                            .msg_qbytes = q->bytes_max,
                            .msg_lspid = q->sender,
                            .msg_lrpid = q->receiver};
    int stat_id = command == IPC_STAT ? 0 : object->id;
    return copy_to_user(arg, &ds, sizeof(ds)) < 0 ? -EFAULT : stat_id;
}

void msg_show(struct seq *seq)
{
    struct ipc_object *object;
    seq_printf(seq,
               "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      "
               "rtime      ctime\n");
    TAILQ_FOREACH (object, &queues.objects, entry) {
        const struct msg_queue *q = queue_of(object);
        const struct ipc64_perm *p = &object->perm;
        seq_printf(seq, "%10d %10d  %4o  %10lu %10lu %5d %5d %5u %5u %5u %5u %10ld %10ld %10ld\n", p->key, object->id,
                   p->mode, (unsigned long)q->bytes, (unsigned long)q->count, q->sender, q->receiver, p->uid, p->gid,
                   p->cuid, p->cgid, (long)q->sent, (long)q->received, (long)q->changed);
    }
}

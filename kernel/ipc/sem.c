/* System V semaphores. An operation on a set is tried whole, under the kernel lock; who cannot go on waits for a
 * change. */
#include <linux/errno.h>
#include <linux/sem.h>

#include "kernel/fs/pseudofs.h"
#include "kernel/ipc/ipc.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/clock.h"
#include "kernel/process/process.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

/* Linux's defaults: SEMMSL, SEMMNI, SEMOPM, SEMVMX. */
#define SET_SIZE_MAX 32000
#define SETS_MAX 32000
#define OPS_MAX 500
#define VALUE_MAX 32767

struct semaphore {
    int value, pid;
    unsigned waiting_more, waiting_zero;
};

struct sem_set {
    struct ipc_object object; /* first */
    size_t count;
    int64_t changed, operated;
    struct wait_queue wait;
    struct semaphore sems[];
};

/* What a process has to undo in one set. */
struct undo {
    LIST_ENTRY(undo) entry;
    int pid, set;
    size_t count;
    int adjust[];
};

static LIST_HEAD(, undo) undos = LIST_HEAD_INITIALIZER(undos);

static struct sem_set *set_of(struct ipc_object *object)
{
    return container_of(object, struct sem_set, object);
}

static int set_make(uint64_t size, struct ipc_object **ret_object)
{
    struct sem_set *set = size ? kzalloc(sizeof(*set) + size * sizeof(set->sems[0])) : NULL;
    if (!set)
        return size ? -ENOMEM : -EINVAL;
    set->count = size;
    set->changed = ipc_now();
    wait_queue_init(&set->wait);
    *ret_object = &set->object;
    return 0;
}

static int set_check(const struct ipc_object *object, uint64_t size)
{
    return size > container_of(object, const struct sem_set, object)->count ? -EINVAL : 0;
}

static void set_free(struct ipc_object *object)
{
    kfree(set_of(object));
}

static struct ipc_table sets = {.objects = TAILQ_HEAD_INITIALIZER(sets.objects),
                                .max = SETS_MAX,
                                .make = set_make,
                                .check = set_check,
                                .free = set_free};

SYSCALL_DEFINE3(semget, int, key, int, count, int, flags)
{
    if (count < 0 || count > SET_SIZE_MAX)
        return -EINVAL;
    return ipc_get(&sets, key, (uint64_t)count, flags);
}

/* ---- undoing ---- */

static struct undo *undo_find(int pid, const struct sem_set *set)
{
    struct undo *undo;
    LIST_FOREACH (undo, &undos, entry)
        if (undo->pid == pid && undo->set == set->object.id)
            return undo;
    return NULL;
}

static int undo_make(int pid, const struct sem_set *set, struct undo **ret_undo)
{
    *ret_undo = undo_find(pid, set);
    if (*ret_undo)
        return 0;
    *ret_undo = kzalloc(sizeof(**ret_undo) + set->count * sizeof(int));
    if (!*ret_undo)
        return -ENOMEM;
    (*ret_undo)->pid = pid;
    (*ret_undo)->set = set->object.id;
    (*ret_undo)->count = set->count;
    LIST_INSERT_HEAD(&undos, *ret_undo, entry);
    return 0;
}

static void undo_forget_value(const struct sem_set *set, size_t i)
{
    struct undo *undo;
    LIST_FOREACH (undo, &undos, entry)
        if (undo->set == set->object.id)
            undo->adjust[i] = 0;
}

void ipc_process_ended(const struct process *process)
{
    struct undo *undo, *next;
    LIST_FOREACH_SAFE (undo, &undos, entry, next) {
        if (undo->pid != process->pid)
            continue;
        struct ipc_object *object = ipc_find(&sets, undo->set);
        struct sem_set *set = object ? set_of(object) : NULL;
        for (size_t i = 0; set && i < set->count; i++) {
            if (!undo->adjust[i])
                continue;
            set->sems[i].value = MAX(0, MIN(set->sems[i].value + undo->adjust[i], VALUE_MAX));
            set->sems[i].pid = undo->pid;
        }
        if (set)
            wake_up_all(&set->wait, 0);
        LIST_REMOVE(undo, entry);
        kfree(undo);
    }
}

/* ---- operations ---- */

/* 0: done. 1: *ret_blocker must wait. Or -errno. Nothing has changed unless 0. */
static int try_ops(struct sem_set *set, const struct sembuf *ops, size_t count, struct undo *undo,
                   const struct sembuf **ret_blocker)
{
    size_t done = 0;
    int r = 0;
    for (; done < count; done++) {
        const struct sembuf *op = &ops[done];
        struct semaphore *sem = &set->sems[op->sem_num];
        int value = sem->value + op->sem_op,
            adjust = (op->sem_flg & SEM_UNDO) ? undo->adjust[op->sem_num] - op->sem_op : 0;
        if ((op->sem_op == 0 && sem->value != 0) || value < 0) {
            *ret_blocker = op;
            r = op->sem_flg & IPC_NOWAIT ? -EAGAIN : 1;
            break;
        }
        if (value > VALUE_MAX || adjust < -VALUE_MAX - 1 || adjust > VALUE_MAX) {
            r = -ERANGE;
            break;
        }
        sem->value = value;
        if (op->sem_flg & SEM_UNDO)
            undo->adjust[op->sem_num] = adjust;
    }
    while (r != 0 && done-- > 0) {
        set->sems[ops[done].sem_num].value -= ops[done].sem_op;
        if (ops[done].sem_flg & SEM_UNDO)
            undo->adjust[ops[done].sem_num] += ops[done].sem_op;
    }
    return r;
}

static int sleep_on(struct sem_set *set, const struct sembuf *blocker, uint64_t deadline)
{
    struct semaphore *sem = &set->sems[blocker->sem_num];
    unsigned *waiting = blocker->sem_op ? &sem->waiting_more : &sem->waiting_zero;
    struct wait_entry entry;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&set->wait, &entry);
    ++*waiting;
    task_prepare_sleep(true);
    int r = task_sleep(deadline);
    --*waiting;
    wait_queue_remove(&entry);
    return r == -ETIMEDOUT ? -EAGAIN : r;
}

static int operate(struct sem_set *set, const struct sembuf *ops, size_t count, uint64_t deadline, bool undoes)
{
    int pid = process_self()->pid;
    const struct sembuf *blocker;
    struct undo *undo = NULL;
    for (;;) {
        int r = undoes ? undo_make(pid, set, &undo) : 0;
        if (r == 0)
            r = try_ops(set, ops, count, undo, &blocker);
        if (r == 1)
            r = sleep_on(set, blocker, deadline);
        else if (r == 0)
            break;
        if (set->object.removed)
            return -EIDRM;
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < count; i++)
        set->sems[ops[i].sem_num].pid = pid;
    set->operated = ipc_now();
    wake_up_all(&set->wait, 0);
    return 0;
}

static int64_t semop_until(int id, uaddr_t user_ops, size_t count, uint64_t deadline)
{
    struct ipc_object *object;
    bool alters = false, undoes = false;
    size_t largest = 0;
    if (count == 0 || id < 0)
        return -EINVAL;
    if (count > OPS_MAX)
        return -E2BIG;
    struct sembuf *ops = kmalloc(count * sizeof(*ops));
    if (!ops)
        return -ENOMEM;
    int r = copy_from_user(ops, user_ops, count * sizeof(*ops));
    for (size_t i = 0; r == 0 && i < count; i++) {
        alters |= ops[i].sem_op != 0;
        undoes |= ops[i].sem_op != 0 && (ops[i].sem_flg & SEM_UNDO);
        if (ops[i].sem_op == 0)
            ops[i].sem_flg &= ~SEM_UNDO;
        largest = MAX(largest, (size_t)ops[i].sem_num);
    }
    if (r == 0)
        r = ipc_find(&sets, id) ? 0 : -EINVAL;
    if (r == 0 && largest >= set_of(ipc_find(&sets, id))->count)
        r = -EFBIG;
    if (r == 0)
        r = ipc_access(&sets, id, alters ? 0222 : 0444, &object);
    if (r == 0) {
        object->refcount++;
        r = operate(set_of(object), ops, count, deadline, undoes);
        ipc_put(&sets, object);
    }
    kfree(ops);
    return r;
}

SYSCALL_DEFINE3(semop, int, id, uaddr_t, ops, size_t, count)
{
    return semop_until(id, ops, count, NO_DEADLINE);
}

SYSCALL_DEFINE4(semtimedop, int, id, uaddr_t, ops, size_t, count, uaddr_t, timeout)
{
    uint64_t ns;
    int r = timeout ? timespec_from_user(&ns, timeout) : 0;
    return r < 0 ? r : semop_until(id, ops, count, timeout ? clock_deadline_after(ns) : NO_DEADLINE);
}

/* ---- control ---- */

static int64_t info(int command, uaddr_t arg)
{
    struct seminfo si = {.semmap = SEMMAP,
                         .semmni = SETS_MAX,
                         .semmns = SEMMNS,
                         .semmnu = SEMMNU,
                         .semmsl = SET_SIZE_MAX,
                         .semopm = OPS_MAX,
                         .semume = SEMUME,
                         .semusz = SEMUSZ,
                         .semvmx = VALUE_MAX,
                         .semaem = SEMAEM};
    const struct ipc_object *object;
    int total = 0;
    TAILQ_FOREACH (object, &sets.objects, entry)
        total += (int)container_of(object, const struct sem_set, object)->count;
    if (command == SEM_INFO) {
        si.semusz = sets.count;
        si.semaem = total;
    }
    return copy_to_user(arg, &si, sizeof(si)) < 0 ? -EFAULT : MAX(0, sets.last_id - 1);
}

static int64_t stat(const struct sem_set *set, uaddr_t arg)
{
    struct semid64_ds ds = {
        .sem_perm = set->object.perm, .sem_otime = set->operated, .sem_ctime = set->changed, .sem_nsems = set->count};
    return copy_to_user(arg, &ds, sizeof(ds));
}

static int64_t all_values(struct sem_set *set, bool setting, uaddr_t arg)
{
    uint16_t *values = kmalloc(set->count * sizeof(*values));
    size_t count = set->count;
    int64_t r = values ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && !setting && i < count; i++)
        values[i] = (uint16_t)set->sems[i].value;
    if (r == 0)
        r = setting ? copy_from_user(values, arg, count * sizeof(*values))
                    : copy_to_user(arg, values, count * sizeof(*values));
    for (size_t i = 0; r == 0 && setting && i < count; i++)
        r = values[i] > VALUE_MAX ? -ERANGE : 0;
    if (r == 0 && setting && set->object.removed)
        r = -EIDRM;
    for (size_t i = 0; r == 0 && setting && i < count; i++) {
        set->sems[i].value = values[i];
        set->sems[i].pid = process_self()->pid;
        undo_forget_value(set, i);
    }
    kfree(values);
    if (r == 0 && setting) {
        set->changed = ipc_now();
        wake_up_all(&set->wait, 0);
    }
    return r;
}

static int64_t one_value(struct sem_set *set, int number, int command, uint64_t arg)
{
    if (number < 0 || (size_t)number >= set->count)
        return -EINVAL;
    struct semaphore *sem = &set->sems[number];
    switch (command) {
    case GETVAL:
        return sem->value;
    case GETPID:
        return sem->pid;
    case GETNCNT:
        return sem->waiting_more;
    case GETZCNT:
        return sem->waiting_zero;
    default:
        if ((int)arg < 0 || (int)arg > VALUE_MAX)
            return -ERANGE;
        sem->value = (int)arg;
        sem->pid = process_self()->pid;
        set->changed = ipc_now();
        undo_forget_value(set, (size_t)number);
        wake_up_all(&set->wait, 0);
        return 0;
    }
}

static int64_t change(struct sem_set *set, int command, uaddr_t arg)
{
    struct semid64_ds ds;
    if (command == IPC_SET && copy_from_user(&ds, arg, sizeof(ds)) < 0)
        return -EFAULT;
    if (!ipc_is_owner(&set->object))
        return -EPERM;
    if (command == IPC_SET) {
        ipc_set(&set->object, &ds.sem_perm);
        set->changed = ipc_now();
        return 0;
    }
    wake_up_all(&set->wait, 0);
    ipc_remove(&sets, &set->object);
    return 0;
}

static int64_t control(struct sem_set *set, int number, int command, uint64_t arg)
{
    switch (command) {
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY: {
        int64_t r = stat(set, arg);
        return r < 0 || command == IPC_STAT ? r : set->object.id;
    }
    case GETALL:
    case SETALL:
        return all_values(set, command == SETALL, arg);
    default:
        return one_value(set, number, command, arg);
    }
}

SYSCALL_DEFINE4(semctl, int, id, int, number, int, command, uint64_t, arg)
{
    struct ipc_object *object;
    command &= ~0x100; /* IPC_64 */
    if (command == IPC_INFO || command == SEM_INFO)
        return info(command, arg);
    if (id < 0 || command < 0 || (command > SEM_STAT_ANY) || (command > IPC_INFO && command < GETPID))
        return -EINVAL;
    if (command == IPC_SET || command == IPC_RMID)
        return (object = ipc_find(&sets, id)) ? change(set_of(object), command, arg) : -EINVAL;
    int r = ipc_access(&sets, id,
                       command == SETVAL || command == SETALL ? 0222
                       : command == SEM_STAT_ANY              ? 0
                                                              : 0444,
                       &object);
    if (r < 0)
        return r;
    object->refcount++;
    int64_t result = control(set_of(object), number, command, arg);
    ipc_put(&sets, object);
    return result;
}

void sem_show(struct seq *seq)
{
    const struct ipc_object *object;
    seq_printf(seq, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    TAILQ_FOREACH (object, &sets.objects, entry) {
        const struct sem_set *set = container_of(object, const struct sem_set, object);
        const struct ipc64_perm *p = &object->perm;
        seq_printf(seq, "%10d %10d  %4o %10lu %5u %5u %5u %5u %10ld %10ld\n", p->key, object->id, p->mode,
                   (unsigned long)set->count, p->uid, p->gid, p->cuid, p->cgid, (long)set->operated,
                   (long)set->changed);
    }
}

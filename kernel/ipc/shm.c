/* System V shared memory: a segment is a nameless file; each attach opens it anew, so that attaches can be counted. */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/shm.h>

#include "kernel/fs/file.h"
#include "kernel/fs/pseudofs.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/fs/vfs.h"
#include "kernel/ipc/ipc.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/process.h"
#include "kernel/process/remote_ops.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/syscall.h"

#define SHM_DEST 01000 /* in shm_perm.mode: goes with its last attach */
#define SEGMENTS_MAX 4096
#define SEGMENT_SIZE_MAX (1ULL << 40)

struct segment {
    struct ipc_object object; /* first */
    struct file *file;        /* what attaches open again */
    uint64_t size;
    int64_t attached, detached, changed;
    int creator, last;
};

static struct segment *segment_of(struct ipc_object *object)
{
    return container_of(object, struct segment, object);
}

static int segment_make(uint64_t size, struct ipc_object **ret_object)
{
    if (size == 0 || size > SEGMENT_SIZE_MAX)
        return -EINVAL;
    struct segment *s = kzalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    int r = memfd_new("/SYSV (deleted)", (file_off_t)size, &s->file);
    if (r < 0) {
        kfree(s);
        return r;
    }
    s->size = size;
    s->creator = process_self()->pid;
    s->changed = ipc_now();
    *ret_object = &s->object;
    return 0;
}

static int segment_check(const struct ipc_object *object, uint64_t size)
{
    return size > container_of(object, const struct segment, object)->size ? -EINVAL : 0;
}

static void segment_free(struct ipc_object *object)
{
    file_put(segment_of(object)->file);
    kfree(segment_of(object));
}

static struct ipc_table segments = {.objects = TAILQ_HEAD_INITIALIZER(segments.objects),
                                    .max = SEGMENTS_MAX,
                                    .make = segment_make,
                                    .check = segment_check,
                                    .free = segment_free};

/* Attaches of this enclave's process are mappings; of others', handles. */
static size_t attaches(const struct segment *s)
{
    const struct inode *inode = s->file->inode;
    const struct file *last = NULL;
    size_t count = shm_attached_elsewhere(inode);
    for (const struct vma *vma = mm_find_vma_above(0); vma; vma = mm_find_vma_above(vma->end)) {
        count += vma->file && vma->file->inode == inode && vma->file != last;
        last = vma->file;
    }
    return count;
}

void shm_detached(const struct inode *inode, int pid)
{
    struct ipc_object *object;
    TAILQ_FOREACH (object, &segments.objects, entry) {
        struct segment *s = segment_of(object);
        if (s->file->inode != inode)
            continue;
        s->detached = ipc_now();
        s->last = pid;
    }
}

/* Segments that were removed go when nobody has them any more. */
static void purge(void)
{
    struct ipc_object *object, *next;
    TAILQ_FOREACH_SAFE (object, &segments.objects, entry, next)
        if ((object->perm.mode & SHM_DEST) && attaches(segment_of(object)) == 0)
            ipc_remove(&segments, object);
}

SYSCALL_DEFINE3(shmget, int, key, size_t, size, int, flags)
{
    if (flags & SHM_HUGETLB)
        return -ENOMEM; /* as a machine with no huge pages */
    purge();
    return ipc_get(&segments, key, size, flags);
}

int shm_open_segment(int id, int flags, struct file **ret_file)
{
    struct ipc_object *object;
    if (id < 0)
        return -EINVAL;
    purge();
    int r = ipc_access(&segments, id, flags & SHM_RDONLY ? 0444 : 0666, &object);
    if (r < 0)
        return r;
    struct segment *s = segment_of(object);
    r = vfs_open_dentry(s->file->dentry, flags & SHM_RDONLY ? O_RDONLY : O_RDWR, ret_file);
    if (r == 0) {
        s->attached = ipc_now();
        s->last = process_self()->pid;
    }
    return r;
}

int64_t shm_map(struct file *file, uaddr_t addr, int flags)
{
    int prot = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
    uint64_t size = ALIGN_UP((uint64_t)file->inode->size, PAGE_SIZE);
    if (flags & SHM_RND)
        addr = ALIGN_DOWN(addr, PAGE_SIZE);
    if ((addr & (PAGE_SIZE - 1)) || (!addr && (flags & SHM_REMAP)))
        return -EINVAL;
    mm_wait_thaw();
    int how = !addr ? 0 : flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    int64_t r = mm_map(addr, size, prot, MAP_SHARED | how, file, 0);
    if (r < 0)
        return r == -EEXIST ? -EINVAL : r;
    struct vma *vma = mm_find_vma((uaddr_t)r);
    vma->extra |= VMA_SHM;
    return r;
}

/* For a member: a descriptor, of which it makes a mapping (kernel/remote/mixed.c). */
SYSCALL_DEFINE3(shmat, int, id, uaddr_t, addr, int, flags)
{
    struct file *file;
    int r = shm_open_segment(id, flags, &file);
    if (r < 0)
        return r;
    if (task_current()->agent) {
        r = fd_install(file, 0, true);
        if (r < 0)
            file_put(file);
        return r;
    }
    int64_t result = shm_map(file, addr, flags);
    file_put(file);
    return result;
}

SYSCALL_DEFINE1(shmdt, uaddr_t, addr)
{
    struct vma *vma;
    struct file *file = NULL;
    uaddr_t at = addr;
    if (addr & (PAGE_SIZE - 1))
        return -EINVAL;
    mm_wait_thaw();
    /* What is left of the attach at addr: parts may have been unmapped. */
    while ((vma = mm_find_vma_above(at)) != NULL) {
        at = vma->end;
        if (!(vma->extra & VMA_SHM) || vma->start - (uint64_t)vma->offset != addr || (file && vma->file != file))
            continue;
        if (!file)
            file = file_get(vma->file);
        int r = mm_unmap(vma->start, vma->end - vma->start);
        if (r < 0) {
            file_put(file);
            return r;
        }
    }
    if (!file)
        return -EINVAL;
    shm_detached(file->inode, process_self()->pid); /* a member's is told by its handle */
    file_put(file);
    return 0;
}

static int64_t info(int command, uaddr_t arg)
{
    struct shminfo64 limits = {.shmmax = SEGMENT_SIZE_MAX,
                               .shmmin = 1,
                               .shmmni = SEGMENTS_MAX,
                               .shmseg = SEGMENTS_MAX,
                               .shmall = SEGMENT_SIZE_MAX / PAGE_SIZE};
    struct shm_info use = {.used_ids = segments.count};
    struct ipc_object *object;
    TAILQ_FOREACH (object, &segments.objects, entry)
        use.shm_tot += ALIGN_UP(segment_of(object)->size, PAGE_SIZE) / PAGE_SIZE;
    int r = command == IPC_INFO ? copy_to_user(arg, &limits, sizeof(limits)) : copy_to_user(arg, &use, sizeof(use));
    return r < 0 ? r : MAX(0, segments.last_id - 1);
}

static int64_t stat(struct segment *s, int command, uaddr_t arg)
{
    struct shmid64_ds ds = {.shm_perm = s->object.perm,
                            .shm_segsz = s->size,
                            .shm_atime = s->attached,
                            .shm_dtime = s->detached,
                            .shm_ctime = s->changed,
                            .shm_cpid = s->creator,
                            .shm_lpid = s->last,
                            .shm_nattch = attaches(s)};
    int id = command == IPC_STAT ? 0 : s->object.id;
    return copy_to_user(arg, &ds, sizeof(ds)) < 0 ? -EFAULT : id;
}

static int64_t change(struct segment *s, int command, uaddr_t arg)
{
    struct shmid64_ds ds;
    if (command == IPC_SET && copy_from_user(&ds, arg, sizeof(ds)) < 0)
        return -EFAULT;
    if (!ipc_is_owner(&s->object))
        return -EPERM;
    if (command == IPC_SET) {
        ipc_set(&s->object, &ds.shm_perm);
        s->changed = ipc_now();
        return 0;
    }
    s->object.perm.mode |= SHM_DEST;
    s->object.perm.key = IPC_PRIVATE;
    purge();
    return 0;
}

SYSCALL_DEFINE3(shmctl, int, id, int, command, uaddr_t, arg)
{
    struct ipc_object *object;
    command &= ~0x100; /* IPC_64 */
    if (id < 0)
        return -EINVAL;
    purge();
    switch (command) {
    case IPC_INFO:
    case SHM_INFO:
        return info(command, arg);
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY: {
        int r = ipc_access(&segments, id, command == SHM_STAT_ANY ? 0 : 0444, &object);
        return r < 0 ? r : stat(segment_of(object), command, arg);
    }
    case IPC_SET:
    case IPC_RMID:
        return (object = ipc_find(&segments, id)) ? change(segment_of(object), command, arg) : -EINVAL;
    case SHM_LOCK: /* memory of an enclave is never swapped by us */
    case SHM_UNLOCK:
        object = ipc_find(&segments, id);
        return !object ? -EINVAL : ipc_is_owner(object) ? 0 : -EPERM;
    default:
        return -EINVAL;
    }
}

void shm_show(struct seq *seq)
{
    struct ipc_object *object;
    purge();
    seq_printf(seq,
               "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime"
               "      dtime      ctime                   rss                  swap\n");
    TAILQ_FOREACH (object, &segments.objects, entry) {
        const struct segment *s = segment_of(object);
        const struct ipc64_perm *p = &object->perm;
        struct statx st = {0};
        s->file->inode->ops->getattr(s->file->inode, &st);
        seq_printf(seq, "%10d %10d  %4o %21lu %5d %5d  %5lu %5u %5u %5u %5u %10ld %10ld %10ld %21lu %21lu\n", p->key,
                   object->id, p->mode, (unsigned long)s->size, s->creator, s->last, (unsigned long)attaches(s), p->uid,
                   p->gid, p->cuid, p->cgid, (long)s->attached, (long)s->detached, (long)s->changed,
                   (unsigned long)st.stx_blocks * 512, 0UL);
    }
}

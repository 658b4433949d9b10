/* Files that are leased to this enclave (contract in leased.h). */
#include "kernel/remote/leased.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/file.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/list.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/process.h"
#include "kernel/process/table.h"
#include "kernel/remote/assured.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/calls.h"
#include "kernel/remote/client.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/lease_message.h"
#include "kernel/remote/member.h"
#include "kernel/remote/mixed.h"
#include "kernel/remote/posted.h"
#include "kernel/remote/waiting.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/syscall.h"

#define ASK_AFTER 3                 /* opens of a path, none of another one with its slot between */
#define ASK_AGAIN 128               /* if it was not granted */
#define EXPIRES_NS 1800000000000ULL /* until then, reading it leaves its attributes as they are */

/* The path and the contents follow. */
struct lease {
    struct inode inode; /* each open file has it */
    uint64_t id, expires_ns;
    uint64_t used; /* when: a number of all uses */
    size_t have;   /* of the contents */
    struct statx stat;
    const char *path;
    uint8_t *contents;
    uint8_t bytes[];
};

/* A path has one place, by its hash. */
struct slot {
    struct lease *lease; /* referenced by its inode */
    uint32_t candidate;  /* hash of the last path that had no lease */
    int opens;           /* of that */
};

static struct slot slots[LEASE_COUNT_MAX];
static struct lease *partial; /* whose contents are not all here; in no slot */
static size_t contents_bytes; /* of all leases that there are */
static uint64_t last_use;
static uint64_t era = 1;         /* what was asked for in an earlier one is of no use */
static size_t open_count;        /* files that the init enclave does not know of */
static const struct task *asker; /* its openat is to ask */

/* ---- the files ---- */

static void get_attributes(struct inode *inode, struct statx *stat)
{
    *stat = container_of(inode, struct lease, inode)->stat;
}

static void evict(struct inode *inode)
{
    struct lease *lease = container_of(inode, struct lease, inode);
    contents_bytes -= (size_t)inode->size;
    kfree(lease);
}

static ssize_t leased_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    const struct lease *lease = container_of(file->inode, struct lease, inode);
    if (*pos >= file->inode->size || to->count == 0)
        return 0;
    size_t done = copy_to_iter(to, lease->contents + *pos, MIN(to->count, (size_t)(file->inode->size - *pos)));
    if (done == 0)
        return -EFAULT;
    *pos += (file_off_t)done;
    return (ssize_t)done;
}

const void *leased_bytes(const struct file *file, uint64_t pos, size_t *ret_size)
{
    const struct lease *lease = container_of(file->inode, struct lease, inode);
    uint64_t size = (uint64_t)file->inode->size;
    *ret_size = pos < size ? size - pos : 0;
    return lease->contents + MIN(pos, size);
}

static void leased_release(struct file *file)
{
    (void)file;
    open_count--;
}

static const struct inode_ops leased_inode_ops = {.getattr = get_attributes, .evict = evict};
static const struct file_ops leased_file_ops = {
    .read = leased_read, .llseek = file_llseek_size, .release = leased_release};
static struct super_block leased_super = {.type = "leased"};

struct file *leased_at(uint64_t fd)
{
    struct fd_table *files = process_self()->files;
    struct file *file = open_count > 0 && files ? fd_table_file(files, (int)fd, NULL) : NULL;
    if (file && file->ops != &leased_file_ops) {
        file_put(file);
        return NULL;
    }
    return file;
}

/* ---- making them known ---- */

static void tell(void *message, size_t size)
{
    if (client_post_quietly(message, size) < 0)
        member_end("no memory to tell the init enclave of a file");
}

static int settle_file(int fd, struct file *file, void *arg)
{
    struct process *process = arg;
    bool cloexec;
    if (file->ops != &leased_file_ops)
        return 0;
    struct lease_opened_message m = {.message = {MESSAGE_LEASE_OPENED, 0, process->pid, 0},
                                     .id = container_of(file->inode, struct lease, inode)->id,
                                     .pos = file->pos,
                                     .fd = fd,
                                     .flags = file->flags & O_NONBLOCK};
    file_put(fd_table_file(process->files, fd, &cloexec));
    m.cloexec = cloexec;
    tell(&m, sizeof(m));
    (void)!fd_table_close(process->files, fd);
    return 0;
}

void leased_settle(void)
{
    struct process *process = process_first();
    borrower_tell_begun();
    if (open_count > 0 && process && process->files)
        (void)!fd_for_each(process->files, settle_file, process);
}

/* ---- leases ---- */

static uint32_t path_hash(const char *path)
{
    uint32_t h = 2166136261U;
    for (; *path; path++)
        h = (h ^ (uint8_t)*path) * 16777619U;
    return h ^ h >> 15;
}

static struct slot *slot_of(uint32_t hash)
{
    return &slots[hash % LEASE_COUNT_MAX];
}

static void drop(uint64_t id)
{
    struct lease_number_message m = {{.type = MESSAGE_LEASE_DROP}, .number = id};
    tell(&m, sizeof(m));
}

/* It ends. A file that was opened with it is one of the init enclave's first. */
static void lease_end(struct lease *lease)
{
    if (lease->inode.refcount > 1)
        leased_settle();
    drop(lease->id);
    inode_put(&lease->inode);
}

static void slot_end(struct slot *slot)
{
    struct lease *lease = slot->lease;
    slot->lease = NULL;
    if (lease)
        lease_end(lease);
}

static void partial_end(void)
{
    struct lease *lease = partial;
    partial = NULL;
    if (lease)
        lease_end(lease);
}

static void forget_all(void)
{
    leased_settle();
    era++;
    for (size_t i = 0; i < LEASE_COUNT_MAX; i++) {
        struct lease *lease = slots[i].lease;
        slots[i] = (struct slot){.lease = NULL};
        if (lease)
            inode_put(&lease->inode);
    }
    if (partial)
        inode_put(&partial->inode);
    partial = NULL;
}

void leased_end(void)
{
    bool any = partial != NULL;
    any |= assured_clear();
    for (size_t i = 0; i < LEASE_COUNT_MAX; i++)
        any |= slots[i].lease != NULL;
    forget_all();
    if (any)
        drop(0);
}

void leased_reset(void)
{
    (void)assured_clear();
    forget_all();
    open_count = 0;
    asker = NULL;
}

static bool may_open(const struct process *process)
{
    return process == process_first() && process_count() == 1 && !process->exiting && process->leader;
}

static struct slot *least_used(void)
{
    struct slot *least = NULL;
    for (size_t i = 0; i < LEASE_COUNT_MAX; i++)
        if (slots[i].lease && (!least || slots[i].lease->used < least->lease->used))
            least = &slots[i];
    return least;
}

/* What was not used for longest goes, and will not come back soon: who reads a little of many files must not wait for
 * all of each. */
static bool make_room(size_t size)
{
    struct slot *slot;
    while (contents_bytes + size > LEASE_BYTES_MAX && (slot = least_used()) != NULL) {
        slot->candidate = path_hash(slot->lease->path);
        slot->opens = ASK_AFTER - ASK_AGAIN;
        slot_end(slot);
    }
    return contents_bytes + size <= LEASE_BYTES_MAX;
}

static struct lease *lease_new(const struct lease_message *m)
{
    struct lease *lease = make_room(m->size) ? kmalloc(sizeof(*lease) + m->path_size + m->size) : NULL;
    if (!lease)
        return NULL;
    memset(lease, 0, sizeof(*lease));
    lease->have = MIN(m->size, LEASE_PIECE_MAX);
    memcpy(lease->bytes, m->bytes, m->path_size + lease->have);
    contents_bytes += m->size;
    lease->id = m->id;
    lease->expires_ns = time_monotonic_ns() + EXPIRES_NS;
    lease->used = ++last_use;
    lease->stat = m->stat;
    lease->path = (const char *)lease->bytes;
    lease->contents = lease->bytes + m->path_size;
    lease->inode.sb = &leased_super;
    lease->inode.ops = &leased_inode_ops;
    lease->inode.file_ops = &leased_file_ops;
    lease->inode.mode = m->stat.stx_mode;
    lease->inode.size = m->size;
    lease->inode.refcount = 1;
    return lease;
}

static bool lease_ok(const struct lease_message *m, size_t size)
{
    return size >= sizeof(*m) && m->size <= LEASE_SIZE_MAX && m->path_size > 1 && m->path_size <= LEASE_PATH_MAX &&
           size - sizeof(*m) == m->path_size + MIN(m->size, LEASE_PIECE_MAX) && m->bytes[m->path_size - 1] == 0 &&
           strlen((const char *)m->bytes) + 1 == m->path_size && S_ISREG(m->stat.stx_mode) &&
           m->stat.stx_size == m->size;
}

/* All of it is here. */
static void lease_begin(struct lease *lease)
{
    struct slot *slot = slot_of(path_hash(lease->path));
    slot_end(slot);
    *slot = (struct slot){.lease = lease};
}

static void receive_lease(struct record *record)
{
    const struct lease_message *m = (const struct lease_message *)record->data;
    if (!lease_ok(m, record->size))
        panic("a lease of the init enclave");
    partial_end();
    const struct process *process = process_first();
    bool wanted = m->era == era && process && process->pid == m->message.pid;
    struct lease *lease = wanted ? lease_new(m) : NULL;
    if (!lease)
        drop(m->id);
    else if (lease->have == m->size)
        lease_begin(lease);
    else
        partial = lease;
    kfree(record);
}

/* Of one that was not wanted, or is not any more, nothing is. */
static void receive_more(struct record *record)
{
    const struct lease_more_message *m = (const struct lease_more_message *)record->data;
    if (record->size < sizeof(*m))
        panic("more of a lease of the init enclave");
    struct lease *lease = partial && partial->id == m->id ? partial : NULL;
    if (lease) {
        size_t n = record->size - sizeof(*m), left = (size_t)lease->inode.size - lease->have;
        if (m->offset != lease->have || n != MIN(left, LEASE_PIECE_MAX))
            panic("more of a lease of the init enclave");
        memcpy(lease->contents + lease->have, m->bytes, n);
        lease->have += n;
        if (n == left) {
            partial = NULL;
            lease_begin(lease);
        }
    }
    kfree(record);
}

static void receive_break(struct record *record)
{
    struct lease_number_message *m = (struct lease_number_message *)record->data;
    if (record->size < sizeof(*m))
        panic("the end of the init enclave's leases");
    (void)assured_clear();
    forget_all();
    struct lease_number_message answer = {{.type = MESSAGE_LEASE_BROKEN}, .number = m->number};
    if (client_post(&answer.message, sizeof(answer)) < 0)
        member_end("no memory to give a lease back");
    kfree(record);
}

/* ---- calls ---- */

static bool is_plain(unsigned flags)
{
    return !(flags & ~(unsigned)(O_NONBLOCK | O_CLOEXEC | O_LARGEFILE | O_NOCTTY));
}

static bool open_here(struct process *process, struct lease *lease, unsigned flags, int64_t *ret_result)
{
    int fd;
    if (!may_open(process) || !descriptors_next(&fd) || (uint64_t)fd >= process->limits[RLIMIT_NOFILE].rlim_cur)
        return false;
    if (!process->files && !(process->files = fd_table_new()))
        return false;
    struct file *file =
        file_new_inode(&lease->inode, &leased_file_ops, NULL, O_RDONLY | O_LARGEFILE | (flags & O_NONBLOCK));
    if (!file)
        return false;
    open_count++;
    if (fd_table_set(process->files, fd, file, flags & O_CLOEXEC) < 0) {
        file_put(file);
        return false;
    }
    descriptors_opened(fd);
    *ret_result = fd;
    return true;
}

/* The lease of a path in its slot; or NULL. */
static struct lease *lease_of(struct slot *slot, const char *path)
{
    if (slot->lease && slot->lease->expires_ns <= time_monotonic_ns())
        slot_end(slot);
    if (!slot->lease || strcmp(slot->lease->path, path) != 0)
        return NULL;
    slot->lease->used = ++last_use;
    return slot->lease;
}

/* Only absolute ones: what a lease says holds for one root, whatever the working directory. */
static bool get_path(uint64_t user_path, char path[LEASE_PATH_MAX])
{
    return strncpy_from_user(path, user_path, LEASE_PATH_MAX) > 0 && path[0] == '/';
}

static bool try_open(const uint64_t args[6], int64_t *ret_result)
{
    char path[LEASE_PATH_MAX];
    struct process *process = process_self();
    unsigned flags = (unsigned)args[2];
    if (!is_plain(flags) || !get_path(args[1], path))
        return false;
    uint32_t hash = path_hash(path);
    struct slot *slot = slot_of(hash);
    struct lease *lease = lease_of(slot, path);
    if (lease) {
        slot->opens = 0;
        return open_here(process, lease, flags, ret_result);
    }
    if (slot->candidate != hash)
        slot->opens = 0;
    slot->candidate = hash;
    if (++slot->opens >= ASK_AFTER && may_open(process)) {
        slot->opens = ASK_AFTER - ASK_AGAIN;
        asker = task_current();
    }
    return false;
}

/* stat, as the C library spells it. */
static bool try_stat(const uint64_t args[6], int64_t *ret_result)
{
    char path[LEASE_PATH_MAX];
    if (args[3] != 0 || !get_path(args[1], path) || !may_open(process_self()))
        return false;
    struct lease *lease = lease_of(slot_of(path_hash(path)), path);
    if (!lease)
        return false;
    inode_get(&lease->inode);
    *ret_result = inode_stat_to_user(&lease->inode, args[2]);
    inode_put(&lease->inode);
    return true;
}

uint64_t leased_era(void)
{
    return era;
}

uint64_t leased_ask(void)
{
    if (asker != task_current())
        return 0;
    asker = NULL;
    return era;
}

static bool is_empty(uint64_t user_path)
{
    char first;
    return copy_from_user(&first, user_path, 1) == 0 && first == 0;
}

/* Calls of a leased file that run here. */
static bool runs_here(uint64_t nr, const uint64_t args[6])
{
    switch (nr) {
    case __NR_read:
    case __NR_readv:
    case __NR_pread64:
    case __NR_preadv:
    case __NR_fstat:
        return true;
    case __NR_lseek:
        return (unsigned)args[2] <= SEEK_END;
    case __NR_newfstatat: /* fstat, as the C library spells it */
        return args[3] == AT_EMPTY_PATH && is_empty(args[1]);
    case __NR_fcntl:
        return (unsigned)args[1] == F_GETFL || (unsigned)args[1] == F_GETFD;
    default:
        return false;
    }
}

static int64_t run_here(uint64_t nr, struct trap_frame *frame, const uint64_t args[6])
{
    struct trap_frame fstat = {.rdi = args[0], .rsi = args[2]};
    return nr == __NR_newfstatat ? remote_local(__NR_fstat, &fstat) : remote_local(nr, frame);
}

bool leased_is_at(const struct file *file, uint64_t fd)
{
    struct file *now = leased_at(fd);
    if (now)
        file_put(now);
    return now == file;
}

/* It became one of the init enclave's while reading slept: what was read counts there. */
static void moved_meanwhile(uint64_t nr, const struct file *file, const uint64_t args[6], int64_t result)
{
    if (leased_is_at(file, args[0]) || result <= 0 || (nr != __NR_read && nr != __NR_readv))
        return;
    (void)!remote_call(__NR_lseek, (const uint64_t[6]){args[0], (uint64_t)result, SEEK_CUR});
}

void leased_set_offset(struct file *file, uint64_t fd, uint64_t pos)
{
    if (leased_is_at(file, fd))
        file->pos = (file_off_t)pos;
    else
        (void)!remote_call(__NR_lseek, (const uint64_t[6]){fd, pos, SEEK_SET});
}

static bool on_file(uint64_t nr, struct trap_frame *frame, struct file *file, const uint64_t args[6],
                    int64_t *ret_result)
{
    if (nr == __NR_close) {
        struct process *process = process_self();
        (void)!fd_table_close(process->files, (int)args[0]);
        descriptors_closed((int)args[0]);
        *ret_result = 0;
        return true;
    }
    if (!runs_here(nr, args) || !leased_is_at(file, args[0])) /* the first may sleep */
        return false;
    *ret_result = run_here(nr, frame, args);
    moved_meanwhile(nr, file, args, *ret_result);
    return true;
}

/* What rights the process has, what its root is: leases were for others. */
static bool ends_leases(uint64_t nr)
{
    return remote_call_describe(nr)->place == CALL_BOTH || nr == __NR_prctl || nr == __NR_chroot || nr == __NR_execve ||
           nr == __NR_execveat;
}

bool leased_call(uint64_t nr, struct trap_frame *frame, const uint64_t args[6], int64_t *ret_result)
{
    struct file *file = leased_at(args[0]);
    if (file) {
        bool done = on_file(nr, frame, file, args, ret_result);
        file_put(file);
        if (done)
            return true;
        leased_settle();
    }
    if ((nr == __NR_openat && try_open(args, ret_result)) || (nr == __NR_newfstatat && try_stat(args, ret_result)))
        return true;
    if (ends_leases(nr))
        leased_end();
    return false;
}

void leased_after(uint64_t nr)
{
    if (ends_leases(nr))
        leased_end(); /* also those that came meanwhile */
}

int leased_request(struct message *message, size_t size, struct record **ret_answer)
{
    leased_settle();
    assured_forget();
    posted_forget();
    waiting_forget();
    descriptors_begin(DESCRIPTORS_CHANGED);
    int r = client_request(message, size, ret_answer);
    descriptors_end(DESCRIPTORS_CHANGED, NULL, 0);
    return r;
}

void leased_init(void)
{
    client_on_message(MESSAGE_LEASE, receive_lease);
    client_on_message(MESSAGE_LEASE_MORE, receive_more);
    client_on_message(MESSAGE_LEASE_BREAK, receive_break);
    assured_init();
}

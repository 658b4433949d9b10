/* Leases and posts (contract in lease_world.h). */
#include "lease_world.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>

#include "hosted_libc.h"
#include "input.h"
#include "kernel/fs/console.h"
#include "kernel/fs/file.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/loan.h"
#include "kernel/net/net.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/table.h"
#include "kernel/remote/assured.h"
#include "kernel/remote/calls.h"
#include "kernel/remote/client.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/lease_message.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/leases.h"
#include "kernel/remote/member.h"
#include "kernel/remote/mixed.h"
#include "kernel/remote/post_message.h"
#include "kernel/remote/posted.h"
#include "kernel/remote/posts.h"
#include "kernel/remote/server.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/work.h"
#include "kernel/sched/output.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/table.h"

#define FAIL(text) hosted_abort("leases: " text)
#define FDS 24
#define PATHS 5
#define CONTENTS 48
#define OUTPUT_FD 1
#define RING_RESERVABLE 12288U

struct lease_world_counts lease_world_counts;

/* ---- memory, time, tasks ---- */

static long allocations;
static bool hostile;
static jmp_buf over; /* the member's kernel gave up, as it may in a hostile world */
static uint64_t now;

void *kmalloc(size_t size)
{
    allocations++;
    return hosted_malloc(size);
}

void *kzalloc(size_t size)
{
    return memset(kmalloc(size), 0, size);
}

void kfree(void *p)
{
    allocations -= p != NULL;
    hosted_free(p);
}

noreturn_fn void panic_at(const char *file, int line, const char *format, ...)
{
    if (!hostile)
        FAIL("panic");
    longjmp(over, 1);
}

noreturn_fn void member_end(const char *why)
{
    FAIL("the member ends");
    __builtin_unreachable();
}

uint64_t time_monotonic_ns(void)
{
    return now;
}

static struct task the_task;

struct task *task_current(void)
{
    return &the_task;
}

/* ---- the two processes, and the members they are in ---- */

struct remote_member {
    uint32_t number;
    struct link link;
    bool dead;
};

struct fd_table {
    struct file *files[FDS];
    bool cloexec[FDS];
};

static struct remote_member members[2] = {{.number = 1}, {.number = 2}};
static struct fd_table there[2], here; /* the init enclave's tables, and the first member's own */
static struct remote_process remotes[2] = {{.member = &members[0]}, {.member = &members[1]}};
static struct process init_side[2], member_side;

struct process *process_self(void)
{
    return &member_side;
}

struct process *process_first(void)
{
    return &member_side;
}

size_t process_count(void)
{
    return 1;
}

uint32_t remote_member_number(const struct remote_member *member)
{
    return member->number;
}

struct remote_member *remote_member_find(uint32_t number)
{
    return &members[number - 1];
}

struct link *remote_member_link(struct remote_member *member)
{
    return &member->link;
}

struct process *remote_process_of(const struct remote_member *member, const struct message *message)
{
    size_t i = member->number - 1;
    return message->pid == init_side[i].pid && !member->dead ? &init_side[i] : NULL;
}

void spawn_kill(struct remote_member *member)
{
    if (member == &members[0])
        FAIL("a member that keeps to the rules is killed");
    lease_world_counts.killed++;
    member->dead = true;
    leases_member_lost(member);
    posts_member_lost(member);
}

/* ---- files ---- */

struct dentry {
    unsigned refcount;
    struct inode *inode;
};

/* Of each file it can be asked how the socket is called that it is, too. */
struct world_file {
    struct inode inode;
    struct dentry dentry;
    uint8_t contents[CONTENTS];
    uint8_t socket_name;
    bool listening;
    uint32_t mode; /* as the member's process last set it */
};

static struct world_file *names[PATHS];
static struct inode directory = {.refcount = 1, .mode = S_IFDIR | 0755};
static struct super_block root_super, other_super;
static struct mount root_mount = {.sb = &root_super};
struct mount_list mounts = TAILQ_HEAD_INITIALIZER(mounts);

static void evict(struct inode *inode)
{
    kfree(container_of(inode, struct world_file, inode));
}

static const struct inode_ops world_inode_ops = {.evict = evict};

static ssize_t world_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    FAIL("not by this way");
    return 0;
}

static const struct file_ops world_file_ops = {.read = world_read, .llseek = file_llseek_size};

struct inode *inode_get(struct inode *inode)
{
    inode->refcount++;
    return inode;
}

void inode_put(struct inode *inode)
{
    if (inode && --inode->refcount == 0)
        inode->ops->evict(inode);
}

struct dentry *dentry_get(struct dentry *dentry)
{
    inode_get(dentry->inode);
    return dentry;
}

void dentry_put(struct dentry *dentry)
{
    inode_put(dentry->inode);
}

struct inode *dentry_parent_inode(const struct dentry *dentry)
{
    return &directory;
}

/* No two pieces of it are the same. */
static void set_contents(struct world_file *f, uint8_t seed)
{
    for (size_t i = 0; i < CONTENTS; i++)
        f->contents[i] = (uint8_t)(seed + i);
}

static struct world_file *world_file_new(uint8_t seed, bool elsewhere)
{
    struct world_file *f = kzalloc(sizeof(*f));
    f->inode.ops = &world_inode_ops;
    f->inode.file_ops = &world_file_ops;
    f->inode.sb = elsewhere ? &other_super : &root_super;
    f->inode.mode = S_IFREG | 0644;
    f->mode = f->inode.mode;
    f->listening = seed % 4 > 0;
    f->inode.nlink = 1;
    f->inode.refcount = 1;
    f->inode.size = seed % CONTENTS;
    f->dentry.inode = &f->inode;
    set_contents(f, seed);
    return f;
}

static struct world_file *world_of(const struct file *file)
{
    return container_of(file->inode, struct world_file, inode);
}

int tcp_listening_name(struct file *file, void *ret_addr)
{
    const struct world_file *f = world_of(file);
    memset(ret_addr, f->socket_name, ASSURANCE_NAME_MAX);
    return f->listening ? 1 + f->socket_name % ASSURANCE_NAME_MAX : 0;
}

/* Root's files are not this process's to change. */
bool file_mode_assured(const struct file *file)
{
    return file->inode->nlink == 0 && file->inode->uid % 2 == 0;
}

void file_mode_set(struct file *file, uint32_t mode)
{
    if (!file_mode_assured(file) || (mode & ~0777U))
        FAIL("a mode that may not be set");
    file->inode->mode = (file->inode->mode & S_IFMT) | mode;
}

static uint64_t stat_uid, stat_size; /* as told by path */

void inode_stat(struct inode *inode, struct statx *stat)
{
    *stat = (struct statx){.stx_mode = inode->mode, .stx_size = (uint64_t)inode->size, .stx_uid = inode->uid};
}

int inode_stat_to_user(struct inode *inode, uaddr_t buf)
{
    struct statx stat;
    inode->ops->getattr(inode, &stat);
    stat_uid = stat.stx_uid;
    stat_size = stat.stx_size;
    return 0;
}

bool inode_reads_leave_times(struct inode *inode)
{
    return true;
}

struct file *file_new_inode(struct inode *inode, const struct file_ops *ops, void *private, unsigned flags)
{
    struct file *file = kzalloc(sizeof(*file));
    *file = (struct file){.ops = ops, .inode = inode_get(inode), .flags = flags, .refcount = 1};
    return file;
}

struct file *file_get(struct file *file)
{
    file->refcount++;
    return file;
}

void file_put(struct file *file)
{
    if (--file->refcount > 0)
        return;
    if (file->ops->release)
        file->ops->release(file);
    if (file->dentry)
        dentry_put(file->dentry);
    inode_put(file->inode);
    kfree(file);
}

file_off_t file_llseek_size(struct file *file, file_off_t offset, int whence)
{
    return file->pos = whence == SEEK_CUR ? file->pos + offset : offset;
}

struct fd_table *fd_table_new(void)
{
    return &here;
}

bool fd_table_shared(const struct fd_table *table)
{
    return false;
}

struct file *fd_table_file(struct fd_table *table, int fd, bool *ret_cloexec)
{
    if (fd < 0 || fd >= FDS || !table->files[fd])
        return NULL;
    if (ret_cloexec)
        *ret_cloexec = table->cloexec[fd];
    return file_get(table->files[fd]);
}

int fd_table_set(struct fd_table *table, int fd, struct file *file, bool cloexec)
{
    if (fd < 0 || fd >= FDS)
        return -EBADF;
    if (table->files[fd])
        FAIL("a descriptor that is in use is set");
    table->files[fd] = file;
    table->cloexec[fd] = cloexec;
    return 0;
}

int fd_table_close(struct fd_table *table, int fd)
{
    struct file *file = fd >= 0 && fd < FDS ? table->files[fd] : NULL;
    if (!file)
        return -EBADF;
    table->files[fd] = NULL;
    file_put(file);
    return 0;
}

int fd_for_each(struct fd_table *table, int (*fn)(int fd, struct file *file, void *arg), void *arg)
{
    int r = 0;
    for (int fd = 0; r == 0 && fd < FDS; fd++)
        if (table->files[fd])
            r = fn(fd, table->files[fd], arg);
    return r;
}

static int lowest(const struct fd_table *table)
{
    for (int fd = 0; fd < FDS; fd++)
        if (!table->files[fd])
            return fd;
    return -1;
}

/* ---- user memory: an address is a path's number, or 1000 for the empty one, or a byte of output from 2000 on ---- */

static void path_text(uint64_t number, char *text)
{
    memcpy(text, "/a", 3);
    text[1] = (char)('a' + number % PATHS);
}

ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size)
{
    path_text(src, dst);
    return 2;
}

int path_from_user(uaddr_t addr, bool allow_empty, char **ret_path)
{
    *ret_path = kmalloc(3);
    path_text(addr, *ret_path);
    return 0;
}

int copy_from_user(void *dst, uaddr_t src, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)dst)[i] = src == 1000 ? 0 : (uint8_t)(src + i);
    return 0;
}

static uint8_t name_read;

int address_to_user(const void *addr, uint32_t size, uaddr_t user_addr, uaddr_t user_size)
{
    name_read = *(const uint8_t *)addr;
    if (size > ASSURANCE_NAME_MAX || (!hostile && size != 1U + name_read % ASSURANCE_NAME_MAX))
        FAIL("a name's size");
    return 0;
}

static uint8_t was_read[CONTENTS];

size_t copy_to_iter(struct iov_iter *to, const void *src, size_t size)
{
    memcpy(was_read, src, size);
    to->count -= size;
    return size;
}

int vfs_lookup_on_root(const char *path, struct dentry **ret_dentry)
{
    const struct world_file *f = names[path[1] - 'a'];
    if (!f)
        return -ENOENT;
    *ret_dentry = dentry_get((struct dentry *)&f->dentry);
    return 0;
}

ssize_t vfs_read_kernel(struct file *file, void *buf, size_t size, file_off_t pos)
{
    memcpy(buf, container_of(file->inode, struct world_file, inode)->contents + pos, size);
    return (ssize_t)size;
}

/* ---- the input ---- */

static struct input in;

static uint8_t byte(void)
{
    return (uint8_t)input_number(&in, 1);
}

/* ---- the link: what was sent and has not arrived ---- */

static struct record_list to_init = TAILQ_HEAD_INITIALIZER(to_init), to_member = TAILQ_HEAD_INITIALIZER(to_member);
static void (*init_handlers[MESSAGE_TYPE_MAX])(struct remote_member *member, struct record *record);
static void (*member_handlers[MESSAGE_TYPE_MAX])(struct record *record);

static struct record *record_new(const void *message, size_t size)
{
    struct record *record = kmalloc(sizeof(*record) + size);
    record->size = size;
    memcpy(record->data, message, size);
    return record;
}

static void put(struct record_list *list, const void *message, size_t size)
{
    struct record *record = record_new(message, size);
    TAILQ_INSERT_TAIL(list, record, entry);
}

void remote_member_on_message(uint32_t type, void (*fn)(struct remote_member *member, struct record *record))
{
    init_handlers[type] = fn;
}

void client_on_message(uint32_t type, void (*fn)(struct record *record))
{
    member_handlers[type] = fn;
}

int link_send(struct link *link, const void *message, size_t size)
{
    uint32_t type = ((const struct message *)message)->type;
    if (link != &members[0].link)
        return 0;
    if ((type == MESSAGE_LEASE || type == MESSAGE_LEASE_MORE) && byte() % 16 == 1)
        return -ENOMEM;
    lease_world_counts.more += type == MESSAGE_LEASE_MORE;
    put(&to_member, message, size);
    return 0;
}

bool link_backlogged(const struct link *link)
{
    return link == &members[0].link && byte() % 16 == 1;
}

void link_cork(void)
{
}

void link_uncork(void)
{
}

/* What the member has, so far as it was told and has told. */
static struct {
    uint64_t id;
    size_t size;
} had[LEASE_COUNT_MAX];

/* 0: all. */
static void has_no_more(uint64_t id)
{
    for (size_t i = 0; i < LEASE_COUNT_MAX; i++)
        if (id == 0 || had[i].id == id)
            had[i].id = had[i].size = 0;
}

static void has(const struct lease_message *m)
{
    size_t i = 0;
    while (had[i].id != 0)
        if (++i == LEASE_COUNT_MAX)
            FAIL("more leases than a member may have");
    had[i].id = m->id;
    had[i].size = m->size;
}

static void check_room(void)
{
    size_t all = 0;
    for (size_t i = 0; i < LEASE_COUNT_MAX; i++)
        all += had[i].size;
    if (all > LEASE_BYTES_MAX)
        FAIL("a member keeps too much");
}

int client_post_quietly(struct message *message, size_t size)
{
    posted_flush();
    if (message->type == MESSAGE_LEASE_DROP)
        has_no_more(((struct lease_number_message *)message)->number);
    put(&to_init, message, size);
    return 0;
}

int client_post(struct message *message, size_t size)
{
    return client_post_quietly(message, size);
}

int client_request(struct message *message, size_t size, struct record **ret_answer)
{
    FAIL("a request");
    return -EPIPE;
}

static void arrive_in_init(void)
{
    struct record *record;
    while ((record = TAILQ_FIRST(&to_init)) != NULL) {
        const struct message *m = (const struct message *)record->data;
        TAILQ_REMOVE(&to_init, record, entry);
        lease_world_counts.told += m->type == MESSAGE_LEASE_OPENED;
        lease_world_counts.dropped += m->type == MESSAGE_LEASE_DROP;
        init_handlers[m->type](&members[0], record);
    }
}

static void arrive_in_member(void)
{
    struct record *record;
    while ((record = TAILQ_FIRST(&to_member)) != NULL) {
        const struct message *m = (const struct message *)record->data;
        TAILQ_REMOVE(&to_member, record, entry);
        lease_world_counts.breaks += m->type == MESSAGE_LEASE_BREAK;
        if (m->type == MESSAGE_LEASE_MORE && byte() % 16 == 1)
            leased_end(); /* another thread's call */
        if (m->type == MESSAGE_LEASE)
            has((const struct lease_message *)m);
        if (m->type == MESSAGE_LEASE_BREAK)
            has_no_more(0);
        member_handlers[m->type](record);
        check_room();
    }
}

/* Who waits here waits for members: the good one answers, the other does not, until it is made to. */
static bool second_has_leases;

void task_prepare_sleep(bool interruptible)
{
}

void task_cancel_sleep(void)
{
}

int task_sleep(uint64_t deadline_ns)
{
    arrive_in_member();
    arrive_in_init();
    if (second_has_leases) {
        leases_member_lost(&members[1]);
        second_has_leases = false;
    }
    return 0;
}

void wait_entry_init(struct wait_entry *entry, struct task *task)
{
}

void wait_queue_add(struct wait_queue *queue, struct wait_entry *entry)
{
}

void wait_queue_remove(struct wait_entry *entry)
{
}

void wake_up_all(struct wait_queue *queue, uint32_t events)
{
}

/* ---- output ---- */

static uint8_t output_expected, output_came; /* bytes count up */
static size_t output_reserved;
static bool output_broken;

int console_output_channel(const struct file *file)
{
    return file->flags & O_DIRECT ? 1 : -1; /* the mark of the stream's file */
}

bool output_may_be_held(void)
{
    return false;
}

bool channel_reserve(unsigned channel, size_t size)
{
    if (output_broken || output_reserved + size > RING_RESERVABLE)
        return false;
    output_reserved += size;
    return true;
}

void channel_unreserve(unsigned channel, size_t size)
{
    if (size > output_reserved)
        FAIL("room is given back twice");
    output_reserved -= size;
}

static void output(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != output_came++)
            FAIL("output is lost or out of order");
}

int channel_write_reserved(unsigned channel, const void *buf, size_t size)
{
    channel_unreserve(channel, size);
    if (output_broken)
        return -EPIPE;
    output(buf, size);
    return 0;
}

/* ---- system calls ---- */

static const syscall_fn *used;
static syscall_fn functions[512];

const syscall_fn *syscall_functions(void)
{
    return functions;
}

void syscall_use(const syscall_fn *table)
{
    used = table;
}

const struct call *remote_call_describe(uint64_t nr)
{
    static const struct call call = {.place = CALL_THERE};
    return &call;
}

static size_t caller; /* which process */
static uint8_t change_seed;

static int64_t fake_openat(struct trap_frame *frame)
{
    struct world_file *f = names[frame->rsi % PATHS];
    struct fd_table *table = &there[caller];
    int fd = lowest(table);
    if (!f)
        return -ENOENT;
    if ((frame->rdx & O_ACCMODE) != O_RDONLY) {
        f->inode.write_count++; /* stays open elsewhere */
        return 0;
    }
    if (fd < 0)
        return -EMFILE;
    struct file *file = file_new_inode(&f->inode, &world_file_ops, NULL, 0);
    file->dentry = dentry_get(&f->dentry);
    table->files[fd] = file;
    table->cloexec[fd] = frame->rdx & O_CLOEXEC;
    return fd;
}

static int64_t fake_unlink(struct trap_frame *frame)
{
    struct world_file *f = names[frame->rdi % PATHS];
    names[frame->rdi % PATHS] = NULL;
    if (f) {
        f->inode.nlink = 0;
        inode_put(&f->inode);
    }
    return f ? 0 : -ENOENT;
}

static int64_t fake_rename(struct trap_frame *frame)
{
    (void)fake_unlink(frame);
    names[frame->rdi % PATHS] = world_file_new(change_seed, change_seed % 16 == 15);
    return 0;
}

static int64_t fake_chown(struct trap_frame *frame)
{
    if (names[frame->rdi % PATHS])
        names[frame->rdi % PATHS]->inode.uid = change_seed;
    return 0;
}

/* By a descriptor. */
struct file *fd_get(int fd)
{
    return fd_table_file(&there[caller], fd, NULL);
}

static struct world_file *file_at(uint64_t fd)
{
    struct file *file = fd < FDS ? there[caller].files[fd] : NULL;
    return file ? world_of(file) : NULL;
}

static int64_t fake_fchown(struct trap_frame *frame)
{
    struct world_file *f = file_at(frame->rdi);
    if (f)
        f->inode.uid = change_seed;
    return 0;
}

/* What listens ends that, or begins. */
static int64_t fake_shutdown(struct trap_frame *frame)
{
    struct world_file *f = file_at(frame->rdi);
    if (f) {
        f->socket_name = change_seed;
        f->listening = change_seed % 4;
    }
    return 0;
}

static int64_t fake_getsockname(struct trap_frame *frame)
{
    const struct world_file *f = file_at(frame->rdi);
    if (f)
        name_read = f->socket_name;
    return 0;
}

static int64_t fake_getppid(struct trap_frame *frame)
{
    return 1;
}

static int64_t fake_fchmod(struct trap_frame *frame)
{
    struct world_file *f = file_at(frame->rdi);
    if (f)
        f->inode.mode = (f->inode.mode & S_IFMT) | (uint32_t)frame->rsi;
    return 0;
}

static int64_t call_there(size_t process, uint64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
    struct trap_frame frame = {.rdi = a, .rsi = b, .rdx = c, .orig_rax = (int64_t)nr};
    caller = process;
    return used[nr](&frame);
}

/* A delegated call, its reply, and what goes before that. */
static int64_t delegate(uint64_t nr, const uint64_t args[6])
{
    struct call_head head = {.nr = nr,
                             .lease_era = nr == __NR_openat ? leased_ask()
                                          : assured_ask()   ? leased_era()
                                                            : 0};
    uint64_t told = assured_told();
    memcpy(head.args, args, sizeof(head.args));
    posted_flush();
    arrive_in_init();
    uint64_t changes = leases_changes();
    int64_t result = call_there(0, nr, args[0], args[1], args[2]);
    leases_offer(&members[0], &init_side[0], &head, result, changes);
    arrive_in_member();
    assured_heard(told);
    return result;
}

int64_t remote_call(uint64_t nr, const uint64_t args[6])
{
    if (nr == __NR_getppid)
        return delegate(nr, args);
    FAIL("a position that moved");
    return -ENOSYS;
}

int64_t remote_local(uint64_t nr, struct trap_frame *frame)
{
    struct file *file = here.files[frame->rdi];
    struct iov_iter it = {.count = CONTENTS};
    struct statx stat;
    if (!file)
        FAIL("a call here of a file that is not here");
    if (nr == __NR_read)
        return file->ops->read(file, &it, &file->pos);
    if (nr != __NR_fstat)
        FAIL("a call that does not run here");
    file->inode->ops->getattr(file->inode, &stat);
    memcpy(was_read, &stat.stx_uid, 4);
    return 0;
}

/* ---- what the member's process does, and what it must see ---- */

struct open_file {
    struct world_file *file; /* NULL: the descriptor is free; referenced by its inode */
    file_off_t pos;
    bool read_all; /* what it shows was complete when it was opened, and is held in was_at_open */
};

static struct open_file model[FDS];

static int model_lowest(void)
{
    for (int fd = 0; fd < FDS; fd++)
        if (!model[fd].file && fd != OUTPUT_FD)
            return fd;
    return -1;
}

static void do_open(uint64_t path, unsigned flags)
{
    const uint64_t args[6] = {0, path, flags};
    struct world_file *f = names[path % PATHS];
    int64_t result;
    int expected = f ? model_lowest() : -ENOENT;
    if (f && expected < 0)
        return;
    if (leased_call(__NR_openat, NULL, args, &result)) {
        lease_world_counts.opened_here++;
    } else {
        leased_settle();
        descriptors_begin(DESCRIPTORS_ADDED);
        result = delegate(__NR_openat, args);
        descriptors_end(DESCRIPTORS_ADDED, args, result);
        lease_world_counts.opened_there++;
    }
    if (result != expected)
        FAIL("another descriptor, or none");
    if (result >= 0)
        model[result] = (struct open_file){.file = container_of(inode_get(&f->inode), struct world_file, inode)};
}

static void do_stat(uint64_t path)
{
    const uint64_t args[6] = {0, path};
    const struct world_file *f = names[path % PATHS];
    int64_t result;
    if (leased_call(__NR_newfstatat, NULL, args, &result) &&
        (!f || stat_uid != f->inode.uid || stat_size != (uint64_t)f->inode.size))
        FAIL("other attributes by path");
}

/* Leased files show what is there: it cannot have changed. */
static void do_read(int fd)
{
    const uint64_t args[6] = {(uint64_t)fd, 0, CONTENTS};
    struct open_file *o = &model[fd];
    struct trap_frame frame = {.rdi = (uint64_t)fd};
    int64_t result, expected = o->file->inode.size - o->pos;
    if (!leased_call(__NR_read, &frame, args, &result)) {
        arrive_in_init();
        struct file *file = there[0].files[fd];
        if (!file || file->inode != &o->file->inode || file->pos != o->pos)
            FAIL("a descriptor is not what it was");
        file->pos = o->pos = MAX(o->pos, o->file->inode.size);
        return;
    }
    if (result != MAX(expected, 0L))
        FAIL("another size");
    if (memcmp(was_read, o->file->contents + o->pos, (size_t)result) != 0)
        FAIL("other contents");
    o->pos += result;
    const uint64_t stat_args[6] = {(uint64_t)fd};
    if (leased_call(__NR_fstat, &frame, stat_args, &result) && memcmp(was_read, &o->file->inode.uid, 4) != 0)
        FAIL("other attributes");
}

static void do_close(int fd)
{
    const uint64_t args[6] = {(uint64_t)fd};
    int64_t result;
    if (!leased_call(__NR_close, NULL, args, &result)) {
        assured_closed(fd);
        posted_closed(fd);
        descriptors_begin(DESCRIPTORS_CLOSED);
        posted_flush();
        arrive_in_init();
        result = fd_table_close(&there[0], fd);
        descriptors_end(DESCRIPTORS_CLOSED, args, result);
    }
    if (result != 0)
        FAIL("a descriptor cannot be closed");
    inode_put(&model[fd].file->inode);
    model[fd].file = NULL;
}

/* A call that makes a descriptor in a way that nobody follows. */
static void do_dup(int fd)
{
    int to = model_lowest();
    if (to < 0)
        return;
    leased_settle();
    assured_forget();
    posted_forget();
    descriptors_begin(DESCRIPTORS_CHANGED);
    arrive_in_init();
    there[0].files[to] = file_get(there[0].files[fd]);
    descriptors_end(DESCRIPTORS_CHANGED, NULL, 0);
    model[to] = model[fd];
    inode_get(&model[to].file->inode);
    do_close(to); /* its position would be shared, which the model has not */
}

/* Calls that ask nobody once something was said of the descriptor. */
static void do_assured(uint64_t nr, int fd, uint32_t mode)
{
    const uint64_t args[6] = {(uint64_t)fd, mode};
    struct world_file *f = model[fd].file;
    int64_t result;
    if (leased_call(nr, NULL, args, &result))
        FAIL("a call that no lease is for");
    if (assured_call(nr, args, &result))
        lease_world_counts.assured++;
    else
        result = delegate(nr, args);
    if (result != 0)
        FAIL("a call that succeeds");
    if (nr == __NR_getsockname && name_read != f->socket_name)
        FAIL("another name");
    if (nr == __NR_fchmod)
        f->mode = (f->mode & S_IFMT) | mode;
}

static void check_modes(void)
{
    for (int fd = 0; fd < FDS; fd++)
        if (model[fd].file && model[fd].file->inode.mode != model[fd].file->mode)
            FAIL("a mode is not what it must be");
}

static void do_assured_some(int fd)
{
    uint8_t what = byte();
    for (int i = 0; i < 1 + what / 8 % 6; i++) {
        do_assured(what % 2 ? __NR_getsockname : __NR_fchmod, fd, what % 64 == 0 ? 04755 : 0600 + what % 8);
        if (byte() % 8)
            continue;
        change_seed = byte();
        lease_world_counts.changes++;
        (void)call_there(0, what % 2 ? __NR_shutdown : __NR_fchown, (uint64_t)fd, 0, 0);
    }
    if (byte() % 4)
        return;
    assured_settle(); /* before something goes outside */
    check_modes();
}

static void do_write(size_t size)
{
    const uint64_t args[6] = {OUTPUT_FD, output_expected, size};
    struct call_head head = {.nr = __NR_write, .args = {OUTPUT_FD}};
    int64_t result;
    output_expected += (uint8_t)size;
    if (posted_write(args, &result)) {
        lease_world_counts.posted++;
        if (result != (int64_t)size)
            FAIL("a part of it is written");
        return;
    }
    head.wants_post = posted_ask();
    posted_flush();
    const uint64_t other[6] = {OUTPUT_FD, output_expected, 5}; /* another thread's, behind this one */
    if (byte() % 4 == 0 && posted_write(other, &result))
        output_expected += 5;
    arrive_in_init();
    uint8_t bytes[POST_WRITE_MAX + 64];
    if (copy_from_user(bytes, args[1], size) < 0)
        FAIL("user memory");
    if (!output_broken)
        output(bytes, size);
    posts_offer(&members[0], &init_side[0], &head, output_broken ? -EPIPE : (int64_t)size);
    arrive_in_member();
}

static void check(void)
{
    leased_settle();
    posted_flush();
    arrive_in_init();
    for (int fd = 0; fd < FDS; fd++) {
        const struct file *file = there[0].files[fd];
        if (fd == OUTPUT_FD)
            continue;
        if ((file != NULL) != (model[fd].file != NULL) || here.files[fd])
            FAIL("a descriptor is not where it must be");
        if (file && (file->inode != &model[fd].file->inode || file->pos != model[fd].pos))
            FAIL("a descriptor is not what it must be");
    }
    check_modes();
    if (!output_broken && output_came != output_expected)
        FAIL("output is missing");
}

/* The second member, or its host process, or whoever it lets speak. */
static void say_anything(struct remote_member *as)
{
    static const uint32_t types[] = {MESSAGE_LEASE_OPENED, MESSAGE_LEASE_DROP, MESSAGE_LEASE_BROKEN,
                                     MESSAGE_LEASE_MODE,   MESSAGE_POST,       MESSAGE_POST_DROP};
    union {
        struct message message;
        struct lease_opened_message opened;
        struct lease_number_message number;
        struct lease_mode_message mode;
        struct post_message post;
    } m;
    memset(&m, 0, sizeof(m));
    m.message.type = types[byte() % ARRAY_COUNT(types)];
    m.message.pid = byte() % 4 ? init_side[as->number - 1].pid : byte();
    m.number.number = byte() % 16;
    size_t size = sizeof(m.number);
    if (m.message.type == MESSAGE_LEASE_OPENED) {
        m.opened.fd = (int8_t)byte();
        m.opened.pos = (int8_t)byte();
        m.opened.flags = byte() % 4 ? 0 : byte();
        size = sizeof(m.opened);
    } else if (m.message.type == MESSAGE_LEASE_MODE) {
        m.mode.mode = byte() % 4 ? 0600 : byte() * 64U;
        size = sizeof(m.mode);
    } else if (m.message.type == MESSAGE_POST) {
        size = POST_SIZE(byte() * 17UL % (POST_CREDIT + 1)); /* to nobody: it has no grant */
    }
    if (byte() % 8 == 0)
        size = sizeof(m.message) + byte() % 16;
    lease_world_counts.refused += as->dead;
    if (!as->dead)
        init_handlers[m.message.type](as, record_new(&m, size));
}

static void second_opens(void)
{
    struct call_head head = {.nr = __NR_openat, .lease_era = 1};
    head.args[1] = byte();
    if (members[1].dead || lowest(&there[1]) < 0)
        return;
    uint64_t changes = leases_changes();
    int64_t result = call_there(1, __NR_openat, 0, head.args[1], 0);
    if (result < 0)
        return;
    leases_offer(&members[1], &init_side[1], &head, result, changes);
    second_has_leases = true;
}

static void change(void)
{
    static const uint16_t calls[] = {__NR_unlink, __NR_rename, __NR_chown, __NR_openat, __NR_fchown, __NR_shutdown};
    uint64_t nr = calls[byte() % ARRAY_COUNT(calls)], path = byte() % (2 * FDS);
    change_seed = byte();
    lease_world_counts.changes++;
    (void)call_there(0, nr, path, path, nr == __NR_openat ? O_WRONLY : 0);
}

/* By a descriptor that is open for writing: no call that anybody looks at. */
static void write_to_file(void)
{
    struct world_file *f = names[byte() % PATHS];
    if (!f || f->inode.write_count == 0)
        return;
    set_contents(f, byte());
    f->inode.size = byte() % CONTENTS;
    f->inode.write_count -= byte() % 2;
}

static int some_fd(void)
{
    uint8_t n = byte();
    for (int i = 0; i < FDS; i++)
        if (model[(i + n) % FDS].file)
            return (i + n) % FDS;
    return -1;
}

static void step(void)
{
    int fd;
    switch (byte() % 27) {
    case 0:
        if (byte() % 2)
            change();
        break;
    case 1:
        write_to_file();
        break;
    case 2:
        now += 1ULL << (20 + byte() % 20);
        break;
    case 3:
        say_anything(&members[1]);
        break;
    case 4:
        second_opens();
        break;
    case 5:
        if ((fd = some_fd()) >= 0)
            do_dup(fd);
        break;
    case 6:
        check();
        break;
    case 7:
        if (byte() % 4 == 0) {
            posted_forget();
            assured_forget();
        }
        leased_end();
        break;
    case 8:
    case 9:
        do_write(1 + byte() * 4UL);
        break;
    case 10:
        arrive_in_init();
        break;
    case 11:
        leases_settle(&init_side[0]);
        break;
    case 12:
    case 13:
    case 14:
        now += 30000000;
        if ((fd = some_fd()) >= 0)
            do_assured_some(fd);
        break;
    default: /* opened, read, closed: most often the same one */
        now += 30000000;
        do_open(byte() % 3 ? 0 : byte(), byte() % 4 ? 0 : O_CLOEXEC | O_NONBLOCK);
        do_stat(byte() % 3 ? 0 : byte());
        if ((fd = some_fd()) >= 0)
            do_read(fd);
        if ((fd = some_fd()) >= 0 && byte() % 8)
            do_close(fd);
    }
}

static void begin(const uint8_t *data, size_t size)
{
    in = (struct input){data, size};
    functions[__NR_openat] = fake_openat;
    functions[__NR_unlink] = fake_unlink;
    functions[__NR_rename] = fake_rename;
    functions[__NR_chown] = fake_chown;
    functions[__NR_fchown] = fake_fchown;
    functions[__NR_fchmod] = fake_fchmod;
    functions[__NR_shutdown] = fake_shutdown;
    functions[__NR_getsockname] = fake_getsockname;
    functions[__NR_getppid] = fake_getppid;
    TAILQ_INIT(&mounts);
    TAILQ_INSERT_TAIL(&mounts, &root_mount, link);
    for (int i = 0; i < 2; i++) {
        init_side[i] = (struct process){.pid = 5 + i, .files = &there[i], .remote = &remotes[i]};
        members[i].dead = false;
    }
    member_side = (struct process){.pid = 5, .leader = &the_task};
    member_side.limits[RLIMIT_NOFILE].rlim_cur = FDS - 2;
    now += 1ULL << 40;
    has_no_more(0);
    output_broken = false;
    output_came = output_expected = 0;
    leases_init();
    posts_init();
    leased_init();
    posted_init();
    for (unsigned i = 0; i < PATHS; i++)
        names[i] = world_file_new((uint8_t)(30 + i), i == 4);
    /* The stream is somewhere in the table, and stays there. */
    there[0].files[OUTPUT_FD] = file_new_inode(&names[4]->inode, &world_file_ops, NULL, O_DIRECT);
    descriptors_forget();
}

static void drop_queue(struct record_list *list)
{
    struct record *record;
    while ((record = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, record, entry);
        kfree(record);
    }
}

static void end(void)
{
    arrive_in_member();
    leased_end();
    posted_forget();
    arrive_in_init();
    drop_queue(&to_member);
    for (int i = 0; i < 2; i++) {
        leases_member_lost(&members[i]);
        posts_member_lost(&members[i]);
        for (int fd = 0; fd < FDS; fd++)
            (void)fd_table_close(&there[i], fd);
    }
    second_has_leases = false;
    for (int fd = 0; fd < FDS; fd++) {
        if (model[fd].file)
            inode_put(&model[fd].file->inode);
        model[fd].file = NULL;
    }
    for (unsigned i = 0; i < PATHS; i++) {
        if (names[i])
            inode_put(&names[i]->inode);
        names[i] = NULL;
    }
    if (output_reserved != 0)
        FAIL("room is never given back");
    if (allocations != 0)
        FAIL("memory is left");
}

void lease_world_run(const uint8_t *data, size_t size)
{
    begin(data, size);
    while (in.left > 0)
        step();
    check();
    end();
}

/* A piece of the contents of a file: the first one, with its path, or one of those that follow. */
static void send_piece(uint64_t id, const struct world_file *f, size_t offset)
{
    static uint8_t bytes[sizeof(struct lease_message) + LEASE_PATH_MAX + LEASE_PIECE_MAX];
    struct lease_message *m = (struct lease_message *)bytes;
    struct lease_more_message *more = (struct lease_more_message *)bytes;
    size_t size = (size_t)f->inode.size, n = MIN(size - offset, LEASE_PIECE_MAX);
    memset(bytes, 0, sizeof(bytes));
    if (offset == 0) {
        m->message = (struct message){.type = MESSAGE_LEASE, .pid = member_side.pid};
        m->id = id;
        m->era = leased_era();
        m->size = (uint32_t)size;
        m->path_size = 3;
        inode_stat((struct inode *)&f->inode, &m->stat);
        path_text(0, (char *)m->bytes);
        memcpy(m->bytes + m->path_size, f->contents, n);
        n += sizeof(*m) + m->path_size;
    } else {
        *more = (struct lease_more_message){{.type = MESSAGE_LEASE_MORE, .pid = member_side.pid}, id, offset};
        memcpy(more->bytes, f->contents + offset, n);
        n += sizeof(*more);
    }
    member_handlers[m->message.type](record_new(bytes, n));
}

void lease_world_run_mixed(void)
{
    begin(NULL, 0);
    do_open(1, 0); /* which descriptors there are is known after that */
    do_close(some_fd());
    unsigned long opened_here = lease_world_counts.opened_here;
    send_piece(1, names[0], 0);
    send_piece(2, names[1], LEASE_PIECE_MAX);
    send_piece(1, names[0], LEASE_PIECE_MAX);
    do_open(0, 0);
    if (lease_world_counts.opened_here != opened_here + 1)
        FAIL("a lease that is whole is not there");
    do_read(some_fd());
    do_close(some_fd());
    end();
}

static size_t more_offset, more_left; /* of what was said last */

/* Messages that only a kernel that is not the measured one would send: what is wrong with them ends the member. */
static void say_to_member(void)
{
    static uint8_t bytes[sizeof(struct lease_message) + LEASE_SIZE_MAX + LEASE_PATH_MAX];
    static const uint32_t types[] = {MESSAGE_LEASE,       MESSAGE_LEASE_MORE,      MESSAGE_LEASE_MORE,
                                     MESSAGE_LEASE_BREAK, MESSAGE_LEASE_ASSURANCE, MESSAGE_POST_GRANT};
    struct lease_message *m = (struct lease_message *)bytes;
    struct lease_more_message *more = (struct lease_more_message *)bytes;
    struct post_grant_message *g = (struct post_grant_message *)bytes;
    struct lease_assurance_message *a = (struct lease_assurance_message *)bytes;
    size_t size = sizeof(struct lease_number_message);
    memset(bytes, 0, sizeof(*m) + 2 * CONTENTS);
    m->message = (struct message){.type = types[byte() % ARRAY_COUNT(types)], .pid = byte() % 4 ? 5 : byte()};
    if (m->message.type == MESSAGE_LEASE) {
        m->id = byte() % 4;
        m->era = byte() % 4 ? leased_ask() : byte();
        m->path_size = byte() % 8 ? 3 : byte();
        m->size = byte() % (LEASE_SIZE_MAX + 2);
        m->stat.stx_mode = byte() % 16 ? S_IFREG : byte();
        m->stat.stx_size = m->size;
        path_text(byte(), (char *)m->bytes);
        size = sizeof(*m) + m->path_size + MIN(m->size, LEASE_PIECE_MAX) + (byte() % 16 == 0);
        more_offset = MIN(m->size, LEASE_PIECE_MAX);
        more_left = m->size - more_offset;
    } else if (m->message.type == MESSAGE_LEASE_MORE) {
        size_t n = MIN(more_left, LEASE_PIECE_MAX);
        *more = (struct lease_more_message){.message = m->message, .id = byte() % 4, .offset = more_offset};
        more_offset += n;
        more_left -= n;
        if (byte() % 16 == 0)
            more->offset = byte();
        size = sizeof(*more) + (byte() % 16 ? n : byte() % (2 * LEASE_PIECE_MAX));
    } else if (m->message.type == MESSAGE_LEASE_ASSURANCE) {
        *a = (struct lease_assurance_message){.message = m->message, .id = byte() % 4, .fd = byte() % 4};
        a->era = byte() % 4 ? leased_era() : byte();
        a->kind = byte() % 4;
        a->size = byte() % 16 ? 1 : byte();
        size = sizeof(*a);
    } else if (m->message.type == MESSAGE_POST_GRANT) {
        *g = (struct post_grant_message){.message = m->message, .id = byte(), .fd = byte() % 4, .credit = byte() * 16U};
        size = sizeof(*g);
    }
    if (byte() % 16 == 0)
        size = sizeof(m->message) + byte() % sizeof(*m);
    struct record *record = record_new(bytes, size);
    if (setjmp(over) == 0)
        member_handlers[m->message.type](record);
    else
        kfree(record);
}

void lease_world_run_hostile(const uint8_t *data, size_t size)
{
    int64_t result;
    begin(data, size);
    hostile = true;
    while (in.left > 0) {
        const uint64_t open_args[6] = {0, byte(), 0}, write_args[6] = {byte() % 4, 0, byte()};
        struct trap_frame frame = {.rdi = byte() % FDS};
        const uint64_t fd_args[6] = {frame.rdi};
        int fd = byte() % FDS;
        if (!here.files[fd])
            descriptors_closed(fd);
        say_to_member();
        (void)leased_call(__NR_openat, NULL, open_args, &result);
        (void)leased_call(__NR_read, &frame, fd_args, &result);
        (void)posted_write(write_args, &result);
        (void)assured_call(byte() % 2 ? __NR_fchmod : __NR_getsockname, write_args, &result);
        if (byte() % 4 == 0)
            (void)leased_call(__NR_close, NULL, fd_args, &result);
        drop_queue(&to_init);
    }
    assured_forget();
    leased_end();
    posted_forget();
    drop_queue(&to_init);
    hostile = false;
    end();
}

/* Tasks, the link, output and system calls of leases' world (contract in lease_kernel.h). */
#include "lease_kernel.h"
#include "lease_world.h"

#include <asm/ioctls.h>
#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/fs/console.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/net.h"
#include "kernel/remote/assured.h"
#include "kernel/remote/calls.h"
#include "kernel/remote/client.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/leases.h"
#include "kernel/remote/member.h"
#include "kernel/remote/mixed.h"
#include "kernel/remote/posted.h"
#include "kernel/sched/output.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/table.h"

#define RING_RESERVABLE 12288U

/* ---- ends, time, tasks ---- */

bool hostile;
jmp_buf over;
uint64_t now;

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

struct task the_task;

struct task *task_current(void)
{
    return &the_task;
}

/* ---- the input ---- */

struct input in;

uint8_t byte(void)
{
    return (uint8_t)input_number(&in, 1);
}

/* ---- the link: what was sent and has not arrived ---- */

struct record_list to_init = TAILQ_HEAD_INITIALIZER(to_init), to_member = TAILQ_HEAD_INITIALIZER(to_member);
void (*init_handlers[MESSAGE_TYPE_MAX])(struct remote_member *member, struct record *record);
void (*member_handlers[MESSAGE_TYPE_MAX])(struct record *record);

struct record *record_new(const void *message, size_t size)
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

void drop_queue(struct record_list *list)
{
    struct record *record;
    while ((record = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, record, entry);
        kfree(record);
    }
}

void remote_member_on_message(uint32_t type, void (*fn)(struct remote_member *member, struct record *record))
{
    init_handlers[type] = fn;
}

void client_on_message(uint32_t type, void (*fn)(struct record *record))
{
    member_handlers[type] = fn;
}

static unsigned asked_meanwhile; /* SYNCs that were sent during a call */

int link_send(struct link *link, const void *message, size_t size)
{
    uint32_t type = ((const struct message *)message)->type;
    bool syncs = type == MESSAGE_LEASE_SYNC;
    if (syncs && runs_for->remote && remote_member_link(runs_for->remote->member) == link)
        FAIL("who looks is asked for what came before");
    lease_world_counts.syncs += syncs;
    if (link != &members[0].link)
        return byte() % 16 == 1 ? -ENOMEM : 0;
    if (syncs && asked_meanwhile++ > 0)
        FAIL("one call asks twice");
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
void has_no_more(uint64_t id)
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

void arrive_in_init(void)
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

void arrive_in_member(void)
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
bool second_has_leases;

void task_prepare_sleep(bool interruptible)
{
}

void task_cancel_sleep(void)
{
}

/* The host may hold records back, which changes nothing but how long it takes. */
int task_sleep(uint64_t deadline_ns)
{
    struct process *caller = runs_for;
    if (byte() % 4 == 1)
        return 0;
    runs_for = &member_side;
    arrive_in_member();
    if (byte() % 4 != 1)
        arrive_in_init();
    runs_for = caller;
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

uint8_t output_expected, output_came;
size_t output_reserved;
bool output_broken;

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

void output(const uint8_t *bytes, size_t size)
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
uint8_t change_seed;

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
        f->option++;
    }
    return 0;
}

/* Of these, connections have something else from then on. */
static int64_t fake_setting(struct trap_frame *frame)
{
    struct world_file *f = file_at(frame->rdi);
    if (f)
        f->option++;
    return 0;
}

static int64_t fake_accept(struct trap_frame *frame)
{
    const struct world_file *f = file_at(frame->rdi);
    if (!f || !f->listening)
        return -EINVAL;
    accepted_option = f->option;
    return 0;
}

static int64_t fake_getsockname(struct trap_frame *frame)
{
    const struct world_file *f = file_at(frame->rdi);
    if (f)
        name_read = f->socket_name;
    return 0;
}

uint32_t mode_seen;

static int64_t fake_fstat(struct trap_frame *frame)
{
    struct world_file *f = file_at(frame->rdi);
    if (!f)
        return -EBADF;
    inode_settle(&f->inode);
    mode_seen = f->inode.mode;
    return 0;
}

static int64_t fake_fchmod(struct trap_frame *frame)
{
    struct world_file *f = file_at(frame->rdi);
    if (!f)
        return -EBADF;
    inode_settle(&f->inode);
    f->inode.mode = (f->inode.mode & S_IFMT) | (uint32_t)frame->rsi;
    return 0;
}

void calls_begin(void)
{
    functions[__NR_openat] = fake_openat;
    functions[__NR_unlink] = fake_unlink;
    functions[__NR_rename] = fake_rename;
    functions[__NR_chown] = fake_chown;
    functions[__NR_fchown] = fake_fchown;
    functions[__NR_fchmod] = fake_fchmod;
    functions[__NR_shutdown] = fake_shutdown;
    functions[__NR_getsockname] = fake_getsockname;
    functions[__NR_fstat] = fake_fstat;
    functions[__NR_accept] = fake_accept;
    functions[__NR_setsockopt] = fake_setting;
    functions[__NR_listen] = fake_setting;
    functions[__NR_fcntl] = fake_setting;
    functions[__NR_ioctl] = fake_setting;
}

static int64_t call_for(struct process *process, uint64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
    struct trap_frame frame = {.rdi = a, .rsi = b, .rdx = c, .orig_rax = (int64_t)nr};
    asked_meanwhile = 0;
    runs_for = process;
    int64_t result = used[nr](&frame);
    runs_for = &member_side;
    return result;
}

int64_t call_there(size_t process, uint64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
    caller = process;
    return call_for(&init_side[process], nr, a, b, c);
}

int64_t call_of_pid1(uint64_t nr, struct world_file *f, uint64_t b)
{
    caller = 2;
    there[2].files[0] = file_new_inode(&f->inode, &world_file_ops, NULL, 0);
    int64_t result = call_for(&pid1, nr, 0, b, 0);
    (void)fd_table_close(&there[2], 0);
    return result;
}

int64_t delegate(uint64_t nr, const uint64_t args[6])
{
    struct call_head head = {.nr = nr,
                             .lease_era = nr == __NR_openat       ? leased_ask()
                                          : assured_ask(nr, args) ? leased_era()
                                                                  : 0};
    memcpy(head.args, args, sizeof(head.args));
    posted_flush();
    assured_tell();
    arrive_in_init();
    uint64_t changes = leases_changes();
    int64_t result = call_there(0, nr, args[0], args[1], args[2]);
    leases_offer(&members[0], &init_side[0], &head, result, changes);
    arrive_in_member();
    return result;
}

int64_t remote_call(uint64_t nr, const uint64_t args[6])
{
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

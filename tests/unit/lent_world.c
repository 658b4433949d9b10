/* A pipe lent to two members (contract in lent_world.h). */
#include "lent_world.h"

#include <asm/ioctls.h>
#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <setjmp.h>

#include "hosted_heap.h"
#include "hosted_libc.h"
#include "input.h"
#include "kernel/fs/console.h"
#include "kernel/fs/file.h"
#include "kernel/fs/inode.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/mm/uio.h"
#include "kernel/net/loan.h"
#include "kernel/process/process.h"
#include "kernel/process/table.h"
#include "kernel/remote/check.h"
#include "kernel/remote/member.h"
#include "kernel/remote/pipe_lender.h"
#include "kernel/remote/pipe_message.h"
#include "kernel/remote/posted.h"
#include "kernel/remote/remote.h"
#include "kernel/remote/server.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/task.h"

#define FAIL(text) hosted_abort("lent pipes: " text)
#define FDS 4
#define BUFFER 0x12000

struct lent_world_counts *lent_world_counts;
#define count(what) (lent_world_counts->what++)

enum { WRITER, READER, ENDS };

/* The two kernels (lent_writer.c, lent_reader.c). */
void writer_ends_init(void), reader_ends_init(void), writer_ends_poll(void), reader_ends_poll(void);
bool writer_ends_call(uint64_t nr, uint64_t args[6], int64_t *ret_result);
bool reader_ends_call(uint64_t nr, uint64_t args[6], int64_t *ret_result);
void writer_ends_exited(const struct process *process), reader_ends_exited(const struct process *process);
void writer_ends_drain(void), reader_ends_drain(void);
int writer_post(struct message *message, size_t size), reader_post(struct message *message, size_t size);
void writer_on_message(uint32_t type, void (*fn)(struct record *)),
    reader_on_message(uint32_t type, void (*fn)(struct record *));
struct process *writer_self(void), *reader_self(void);

struct fd_table {
    struct file *files[FDS];
};

struct remote_member {
    uint32_t number;
    unsigned references;
    bool killed; /* its host process is to go */
    bool dead;   /* and is gone */
    bool rung;   /* by the other end */
    struct link link;
    struct record_list to_init, to_member;
};

static struct remote_member members[ENDS];
static struct remote_process remotes[ENDS];
static struct fd_table tables[ENDS];
static struct process processes[ENDS];
static struct record_list between[ENDS]; /* what that end has sent to the other */
static int liar = -1;                    /* a member that says anything */
static int running = -1;                 /* whose kernel runs; -1: init */
static bool nested;
static uint64_t last_id; /* of a loan */
static jmp_buf over;

/* ---- the input ---- */

static struct input in;

static uint32_t choose(uint32_t limit)
{
    return input_choose(&in, limit);
}

static uint64_t word(void)
{
    switch (choose(5)) {
    case 0:
        return UINT64_MAX - choose(3);
    case 1:
        return 1ULL << choose(64);
    case 2:
        return PIPE_LENT_SIZE + choose(3) - 1;
    default:
        return choose(70000);
    }
}

/* ---- files ---- */

struct inode *inode_get(struct inode *inode)
{
    inode->refcount++;
    return inode;
}

void inode_put(struct inode *inode)
{
    if (--inode->refcount > 0)
        return;
    if (inode->pipe)
        FAIL("an inode ends before its pipe");
    kfree(inode);
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
    file->ops->release(file);
    inode_put(file->inode);
    kfree(file);
}

struct file *file_new_inode(struct inode *inode, const struct file_ops *ops, void *private, unsigned flags)
{
    struct file *file = kzalloc(sizeof(*file));
    *file = (struct file){.ops = ops, .inode = inode_get(inode), .flags = flags, .refcount = 1};
    (void)private;
    return file;
}

struct file *file_new_anon(const char *name, const struct file_ops *ops, void *private, unsigned flags)
{
    struct inode *inode = kzalloc(sizeof(*inode));
    struct file *file = file_new_inode(inode, ops, private, flags);
    (void)name;
    return file;
}

struct file *fd_table_file(struct fd_table *table, int fd, bool *ret_cloexec)
{
    (void)ret_cloexec;
    return fd >= 0 && fd < FDS && table->files[fd] ? file_get(table->files[fd]) : NULL;
}

bool fd_table_shared(const struct fd_table *table)
{
    (void)table;
    return false;
}

int fd_install(struct file *file, int min, bool cloexec)
{
    (void)file, (void)min, (void)cloexec;
    return -EMFILE;
}

int fd_close(int fd)
{
    (void)fd;
    return -EBADF;
}

int console_reopen(struct inode *inode, struct file *file)
{
    (void)inode, (void)file;
    return -ENOENT;
}

int copy_to_user(uaddr_t dst, const void *src, size_t size)
{
    memcpy((void *)dst, src, size);
    return 0;
}

int put_user32(uaddr_t dst, uint32_t value)
{
    return copy_to_user(dst, &value, sizeof(value));
}

size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t size)
{
    memcpy((void *)dst, src, size);
    return size;
}

size_t copy_from_user_partial(void *dst, uaddr_t src, size_t size)
{
    memcpy(dst, (const void *)src, size);
    return size;
}

static bool sleep_a_little(void);

size_t user_prepare(uaddr_t addr, size_t size, bool write)
{
    (void)addr, (void)write;
    if (choose(8) == 1)
        (void)sleep_a_little();
    return choose(8) == 1 && size > 1 ? 1 + choose((uint32_t)size) : size;
}

static size_t advance(struct iov_iter *it, size_t size)
{
    it->single.base += size;
    it->count -= size;
    return size;
}

size_t copy_to_iter(struct iov_iter *it, const void *src, size_t size)
{
    memcpy((void *)it->single.base, src, size);
    return advance(it, size);
}

size_t copy_from_iter(struct iov_iter *it, void *dst, size_t size)
{
    memcpy(dst, (const void *)it->single.base, size);
    return advance(it, size);
}

bool iov_iter_take_sealed(struct iov_iter *it, struct sealed_page *ret_page)
{
    (void)it, (void)ret_page;
    return false;
}

bool iov_iter_give_sealed(struct iov_iter *it, const struct sealed_page *page)
{
    (void)it, (void)page;
    return false;
}

void sealed_open(const struct sealed_page *page, uint8_t *ret_plain)
{
    (void)page, (void)ret_plain;
}

void frame_drop(uint32_t frame)
{
    (void)frame;
}

/* ---- processes ---- */

struct process *process_self(void)
{
    return &processes[WRITER];
}

struct process *writer_self(void)
{
    return &processes[WRITER];
}

struct process *reader_self(void)
{
    return &processes[READER];
}

struct process *process_find(int pid)
{
    for (int i = 0; i < ENDS; i++)
        if (processes[i].pid == pid)
            return &processes[i];
    return NULL;
}

bool process_capable(int capability)
{
    (void)capability;
    return true;
}

int signal_send_task(struct task *task, const struct signal_source *source)
{
    (void)task, (void)source;
    return 0;
}

/* ---- links ---- */

static void other_runs(void);

static struct record *record_new(const void *message, size_t size)
{
    struct record *record = hosted_malloc(sizeof(*record) + size); /* freed by kfree() */
    memset(record, 0, sizeof(*record));
    record->size = size;
    memcpy(record->data, message, size);
    return record;
}

static void put(struct record_list *list, const void *message, size_t size)
{
    struct record *record = record_new(message, size);
    TAILQ_INSERT_TAIL(list, record, entry);
}

static struct record *take(struct record_list *list)
{
    struct record *record = TAILQ_FIRST(list);
    if (record)
        TAILQ_REMOVE(list, record, entry);
    return record;
}

static void drop(struct record_list *list)
{
    struct record *record;
    while ((record = take(list)) != NULL)
        hosted_free(record);
}

static struct remote_member *member_of(const struct link *link)
{
    for (int i = 0; i < ENDS; i++)
        if (link == &members[i].link)
            return &members[i];
    return NULL;
}

void link_reset(uint32_t number)
{
    (void)number;
    for (int i = 0; i < ENDS; i++)
        drop(&between[i]);
}

void link_open(struct link *link, uint32_t number, unsigned side, uint32_t peer, const uint8_t base_key[LINK_KEY_SIZE])
{
    (void)base_key, (void)peer;
    *link = (struct link){.state = LINK_OPEN, .number = number, .side = side};
}

void link_close(struct link *link)
{
    link->state = LINK_CLOSED;
}

void link_poll(struct link *link)
{
    (void)link;
}

#define RING 0x20000UL

static size_t ring_used(unsigned side)
{
    const struct record *record;
    size_t used = 0;
    TAILQ_FOREACH (record, &between[side], entry)
        used += record->size + 32; /* so that small records fill it, too */
    return used;
}

bool link_has_room(const struct link *link, size_t size)
{
    return ring_used(link->side) + size + 32 <= RING;
}

bool link_has_message(const struct link *link)
{
    return !TAILQ_EMPTY(&between[!link->side]);
}

bool link_drained(const struct link *link)
{
    return TAILQ_EMPTY(&between[link->side]);
}

int link_receive(struct link *link, struct record **ret_record)
{
    if (liar >= 0 && choose(400) == 1) {
        link->state = LINK_DEAD;
        link->failure = "the host";
        return -EBADMSG;
    }
    size_t used = ring_used(!link->side);
    *ret_record = take(&between[!link->side]);
    if (used > RING / 2 && ring_used(!link->side) <= RING / 2) /* as link.c */
        members[!link->side].rung = true;
    return *ret_record ? 0 : -EAGAIN;
}

void link_ring(struct link *link)
{
    if (!member_of(link))
        members[!link->side].rung = true;
}

int link_send(struct link *link, const void *message, size_t size)
{
    struct remote_member *member = member_of(link);
    if (member->killed || member->dead)
        return -EPIPE;
    if (choose(500) == 1)
        return -ENOMEM;
    if (((const struct message *)message)->type == MESSAGE_PIPE_LEND) {
        count(loans);
        last_id = ((const struct pipe_lend_message *)message)->id;
    }
    put(&member->to_member, message, size);
    return 0;
}

int link_send_quietly(struct link *link, const void *message, size_t size)
{
    if (member_of(link))
        return link_send(link, message, size);
    put(&between[link->side], message, size);
    other_runs(); /* and has it already, perhaps */
    return 0;
}

bool stream_place_ok(const struct stream_place *place)
{
    return place->number == 9;
}

uint32_t stream_number_new(void)
{
    return 9;
}

void stream_number_free(uint32_t number)
{
    if (number != 9)
        FAIL("a link that is none");
}

void stream_number_retire(uint32_t number, uint32_t member)
{
    (void)member;
    stream_number_free(number);
}

void random_bytes(void *buf, size_t size)
{
    memset(buf, 7, size);
}

/* ---- members ---- */

static void (*init_handlers[MESSAGE_TYPE_MAX])(struct remote_member *member, struct record *record);
static void (*handlers[ENDS][MESSAGE_TYPE_MAX])(struct record *record);

void remote_member_on_message(uint32_t type, void (*fn)(struct remote_member *member, struct record *record))
{
    init_handlers[type] = fn;
}

void writer_on_message(uint32_t type, void (*fn)(struct record *))
{
    handlers[WRITER][type] = fn;
}

void reader_on_message(uint32_t type, void (*fn)(struct record *))
{
    handlers[READER][type] = fn;
}

int writer_post(struct message *message, size_t size)
{
    put(&members[WRITER].to_init, message, size);
    return 0;
}

int reader_post(struct message *message, size_t size)
{
    put(&members[READER].to_init, message, size);
    return 0;
}

struct remote_member *remote_member_get(struct remote_member *member)
{
    member->references++;
    return member;
}

void remote_member_put(struct remote_member *member)
{
    if (member->references-- == 0)
        FAIL("a reference too many given back");
}

struct link *remote_member_link(struct remote_member *member)
{
    return &member->link;
}

uint32_t remote_member_number(const struct remote_member *member)
{
    return member->number;
}

struct remote_member *remote_member_find(uint32_t number)
{
    return number >= 1 && number <= ENDS && !members[number - 1].dead ? &members[number - 1] : NULL;
}

static void close_fd(int side)
{
    struct file *file = tables[side].files[side];
    tables[side].files[side] = NULL;
    if (!file)
        return;
    file->ops->flush(file, NULL);
    file_put(file);
}

/* As spawn_lost(). */
static void lose(struct remote_member *member)
{
    int side = (int)(member - members);
    if (member->dead)
        return;
    count(lost);
    member->killed = member->dead = true;
    pipe_lender_member_lost(member);
    drop(&member->to_init);
    drop(&member->to_member);
    processes[side].ended = true;
    close_fd(side);
}

void spawn_kill(struct remote_member *member)
{
    count(killed);
    lose(member);
}

/* Where a member's kernel gives up, all of it is over; only liars may bring one to that. */
noreturn_fn void member_end(const char *why)
{
    if (liar < 0)
        hosted_abort(why);
    count(ended);
    longjmp(over, 1);
}

/* ---- messages arrive ---- */

static bool arrive_in_init(int side)
{
    struct record *record = take(&members[side].to_init);
    int before = running;
    if (!record)
        return false;
    running = -1;
    if (members[side].dead)
        hosted_free(record);
    else
        init_handlers[((struct message *)record->data)->type](&members[side], record);
    running = before;
    return true;
}

static bool arrive_in_member(int side)
{
    struct record *record = take(&members[side].to_member);
    const struct message *message = record ? (const struct message *)record->data : NULL;
    int before = running;
    if (!record)
        return false;
    running = side;
    count(recalls);
    if (members[side].dead || side == liar)
        hosted_free(record);
    else
        handlers[side][message->type](record);
    running = before;
    return true;
}

static bool poll_member(int side)
{
    if (!members[side].rung || side == liar || members[side].dead)
        return false;
    members[side].rung = false;
    if (side == WRITER)
        writer_ends_poll();
    else
        reader_ends_poll();
    return true;
}

static bool something_arrives(void)
{
    bool some = false;
    for (int side = 0; side < ENDS; side++)
        some |= arrive_in_init(side) || arrive_in_member(side) || poll_member(side);
    return some;
}

/* ---- sleeping ---- */

/* One that sleeps, and one that runs meanwhile. */
static struct task tasks[2];
static bool woken[2], interruptible[2];

struct task *task_current(void)
{
    return &tasks[nested];
}

void task_wake(struct task *task)
{
    woken[task - tasks] = true;
}

void task_prepare_sleep(bool is_interruptible)
{
    interruptible[nested] = is_interruptible;
    woken[nested] = false;
}

void task_cancel_sleep(void)
{
}

void task_yield(void)
{
}

void remote_busy_begin(void)
{
}

void remote_linger_end(void)
{
}

void remote_poll(void)
{
}

void posted_settle(void)
{
}

bool remote_look_out(bool (*there)(const void *arg), const void *arg)
{
    if (choose(3) == 1)
        (void)sleep_a_little();
    return there(arg);
}

static void program_acts(int side);

/* On another processor. */
static void other_runs(void)
{
    int side = running;
    if (nested || side < 0 || members[!side].dead || choose(3))
        return;
    nested = true;
    program_acts(!side);
    nested = false;
    running = side;
}

/* Others run: the other program, and whatever has been sent arrives. */
static bool sleep_a_little(void)
{
    int side = running;
    bool was = nested;
    if (!nested && side >= 0 && !members[!side].dead && choose(3)) {
        nested = true;
        program_acts(!side);
        nested = was;
        running = side;
    }
    bool some = something_arrives();
    running = side;
    return some;
}

/* Has the other end sent what this one, asleep, waits for? Then it was rung. */
static void check_rung(int side)
{
    const struct record *record;
    if (liar >= 0 || members[side].rung || members[!side].dead)
        return;
    TAILQ_FOREACH (record, &between[!side], entry)
        if (side == WRITER || record->size > sizeof(struct pipe_data))
            FAIL("an end sleeps though the other has said something");
}

int task_sleep(uint64_t deadline_ns)
{
    int side = running;
    bool can_be_interrupted = interruptible[nested];
    const bool *up = &woken[nested];
    (void)deadline_ns;
    count(slept);
    for (int i = 0; i < 4 && !*up; i++) {
        (void)sleep_a_little();
        if (side >= 0 && !*up && can_be_interrupted)
            check_rung(side);
    }
    if (*up || can_be_interrupted)
        return *up ? 0 : -EINTR;
    while (something_arrives() && !*up)
        ;
    if (*up)
        return 0;
    if (side >= 0 && members[side].dead) /* it was this one's */
        longjmp(over, 1);
    if (liar < 0 && !members[WRITER].dead && !members[READER].dead)
        FAIL("somebody waits for ever");
    if (liar >= 0)
        lose(&members[liar]); /* who says nothing is ended by the host at last */
    else
        FAIL("what a member that is lost had does not come back");
    return 0;
}

/* ---- programs: bytes count up ---- */

static uint8_t bytes[ENDS][BUFFER];
static uint64_t written, was_read;
static bool gap; /* the pipe is broken */

static bool local(int side, uint64_t nr, uint64_t args[6], int64_t *ret_result)
{
    running = side;
    bool done = side == WRITER ? writer_ends_call(nr, args, ret_result) : reader_ends_call(nr, args, ret_result);
    running = -1;
    return done;
}

/* The call is the init enclave's; here it does not wait there. */
static int64_t elsewhere(int side, uint64_t nr, const uint64_t args[6])
{
    struct remote_member *member = &members[side];
    struct process *process = &processes[side];
    struct iov_iter it = {.kernel = true, .single = {args[1], args[2]}, .count = args[2]};
    int64_t result = -ERECALLED;
    while (arrive_in_init(side))
        ;
    if (member->dead)
        return -EIO;
    struct file *file = fd_table_file(process->files, (int)args[0], NULL);
    if (!file)
        return -EBADF;
    if (!pipe_lender_crossed(member, process, nr, args[0])) {
        uint32_t events = file->ops->poll(file, NULL);
        const struct pipe *pipe = pipe_of(file);
        size_t room = (size_t)(pipe->ring_size - (pipe->head - pipe->tail)) * PAGE_SIZE;
        result = -EAGAIN;
        it.count = side == WRITER && it.count > room ? room & ~(size_t)(PAGE_SIZE - 1) : it.count;
        if (side == WRITER && (events & (EPOLLOUT | EPOLLERR)) && it.count > 0)
            result = file->ops->write(file, &it, NULL);
        else if (side == READER && (events & (EPOLLIN | EPOLLHUP)))
            result = file->ops->read(file, &it, NULL);
        if (result > 0)
            lent_world_counts->bytes_there += (unsigned long)result;
    }
    file_put(file);
    if (!member->dead)
        (void)pipe_lender_offer(member, process, nr, args[0], result);
    while (!nested && arrive_in_member(side))
        ;
    return result;
}

static int64_t call(int side, uint64_t nr, size_t size)
{
    uint64_t args[6] = {(uint64_t)side, (uint64_t)bytes[side], size};
    int64_t before = 0, done = 0, result;
    do {
        bool whole = side != liar && local(side, nr, args, &done);
        if (done > 0)
            lent_world_counts->bytes += (unsigned long)done;
        if (whole)
            return before + done > 0 ? before + MAX(done, 0) : done;
        before += done;
        result = elsewhere(side, nr, args);
        while (result == -ERECALLED && arrive_in_member(side))
            ;
    } while (result == -ERECALLED && side != liar);
    return before > 0 ? before + MAX(result, 0) : result;
}

static size_t some_size(void)
{
    static const size_t sizes[] = {65536, 65536, 65536, 16384, 4096, 100};
    return choose(3) ? sizes[choose(6)] : 1 + choose(60000);
}

static void program_acts(int side)
{
    static bool in_call[ENDS];
    if (members[side].dead || in_call[side] || !tables[side].files[side])
        return;
    in_call[side] = true;
    size_t size = some_size();
    for (size_t i = 0; side == WRITER && i < size; i++)
        bytes[WRITER][i] = (uint8_t)((written + i) * 7 + ((written + i) >> 8) * 3);
    int64_t r = call(side, side == WRITER ? __NR_write : __NR_read, size);
    for (int64_t i = 0; side == READER && liar < 0 && !gap && i < r; i++)
        if (bytes[READER][i] != (uint8_t)((was_read + (uint64_t)i) * 7 + ((was_read + (uint64_t)i) >> 8) * 3))
            FAIL("bytes that were not written there");
    if (side == READER && r == -EIO) {
        gap = true;
        count(broken);
    }
    if (r > 0 && side == WRITER)
        written += (uint64_t)r;
    else if (r > 0)
        was_read += (uint64_t)r;
    in_call[side] = false;
}

/* ---- what else may happen ---- */

static void new_pipe(void)
{
    struct file *files[2];
    for (int side = 0; side < ENDS; side++)
        close_fd(side);
    while (something_arrives())
        ;
    if (pipe_files_new(0, files) < 0)
        FAIL("no pipe");
    tables[READER].files[READER] = files[0];
    tables[WRITER].files[WRITER] = files[1];
    written = was_read = 0;
    gap = false;
}

static void init_looks(void)
{
    int side = (int)choose(ENDS);
    struct file *file = tables[side].files[side];
    uint32_t there = 0;
    if (!file)
        return;
    file_get(file);
    switch (choose(4)) {
    case 0:
        (void)file->ops->poll(file, NULL);
        break;
    case 1:
        (void)file->ops->ioctl(file, FIONREAD, (uint64_t)&there);
        if (liar < 0 && !gap && !pipe_of(file)->broken && there != written - was_read)
            FAIL("bytes got lost");
        break;
    case 2:
        file->ops->settle(file);
        break;
    default:
        file->ops->flush(file, NULL); /* a duplicate of its descriptor is closed */
    }
    file_put(file);
}

/* Its end goes back, and the next process there has the same pipe. */
static void process_ends(int side)
{
    if (members[side].dead || side == liar || nested)
        return;
    running = side;
    processes[side].exiting = true;
    if (side == WRITER)
        writer_ends_exited(&processes[side]);
    else
        reader_ends_exited(&processes[side]);
    if (side == WRITER)
        writer_ends_drain();
    else
        reader_ends_drain();
    running = -1;
    while (arrive_in_init(side))
        ;
    processes[side].pid += ENDS;
    processes[side].exiting = false;
}

static void lie(void)
{
    struct {
        struct pipe_id_message m;
        uint8_t more[PIPE_LENT_SIZE + 16];
    } *said = (void *)hosted_malloc(sizeof(*said));
    uint8_t record[200] = {0};
    static const uint32_t types[] = {MESSAGE_PIPE_RETURN, MESSAGE_PIPE_RETURN, MESSAGE_PIPE_UNWANTED};
    size_t size = sizeof(said->m) + (choose(3) ? choose(2) * choose(5000) : choose(sizeof(said->more)));
    memset(said, 0, sizeof(*said));
    said->m.message.type = types[choose(3)];
    said->m.id = choose(8) ? last_id : word();
    said->m.sent = word();
    if (choose(20) == 1)
        size = sizeof(struct message) + choose(sizeof(said->m) - sizeof(struct message));
    if (choose(3) == 1) {
        put(&members[liar].to_init, said, size);
    } else if (link_has_room(&(struct link){.side = (unsigned)liar}, sizeof(record))) {
        for (int i = 0; i < 4; i++)
            memcpy(record + i * 4, &(uint32_t){(uint32_t)word()}, 4);
        put(&between[liar], record, choose(2) ? 16 : choose(sizeof(record)));
        members[!liar].rung = true;
    }
    hosted_free(said);
}

static void step(void)
{
    switch (choose(24)) {
    case 0:
        init_looks();
        break;
    case 1:
        if (choose(4) == 0)
            process_ends((int)choose(ENDS));
        break;
    case 2:
        if (choose(6) == 0)
            new_pipe();
        break;
    case 3:
        if (choose(40) == 0)
            lose(&members[choose(ENDS)]);
        break;
    case 4:
    case 5:
    case 6:
        (void)something_arrives();
        break;
    default:
        if (liar >= 0 && choose(3) == 0)
            lie();
        else
            program_acts((int)choose(ENDS));
    }
    running = -1;
}

/* Nobody has the pipe, and nobody is known any more who is gone. */
static void end(void)
{
    running = -1;
    if (tables[WRITER].files[WRITER])
        pipe_settle(pipe_of(tables[WRITER].files[WRITER]));
    if (liar >= 0)
        lose(&members[liar]);
    for (int side = 0; side < ENDS; side++)
        close_fd(side);
    while (something_arrives())
        ;
    for (int side = 0; side < ENDS; side++)
        if (members[side].references > 0)
            FAIL("a loan stays");
}

static void begin(void)
{
    pipe_lender_init();
    writer_ends_init();
    reader_ends_init();
    for (int i = 0; i < ENDS; i++) {
        members[i].number = (uint32_t)i + 1;
        TAILQ_INIT(&members[i].to_init);
        TAILQ_INIT(&members[i].to_member);
        TAILQ_INIT(&between[i]);
        remotes[i].member = &members[i];
        processes[i].pid = 10 + i;
        processes[i].remote = &remotes[i];
        processes[i].files = &tables[i];
    }
    new_pipe();
}

void lent_world_run(const uint8_t *data, size_t size)
{
    in = (struct input){data, size};
    begin();
    switch (choose(4)) {
    case 0:
        liar = WRITER;
        break;
    case 1:
        liar = READER;
        break;
    default:
        break;
    }
    if (setjmp(over) == 0) {
        while (in.left > 0)
            step();
        end();
    }
}

/* Sharing pages: the init enclave's side (contract in shared_home.h). */
#include "kernel/remote/shared_home.h"

#include <linux/errno.h>

#include "kernel/fs/tmpfs.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/process/process.h"
#include "kernel/remote/directory.h"
#include "kernel/remote/server.h"
#include "kernel/remote/shared_futex.h"
#include "kernel/remote/shared_message.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/turn.h"
#include "kernel/remote/work.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

/* As a member holds what it got (kernel/mm/shared.c). */
#define HOLD_NS 20000ULL
#define HOLD_UNUSED_NS 2000000ULL
#define OBJECT_BUCKETS 256

struct object {
    LIST_ENTRY(object) entry;
    uint64_t id;
    struct inode *inode; /* not referenced: it goes with it */
    struct directory directory;
    struct turn turn;
};

/* What this kernel acquired, and holds for a moment. */
struct hold {
    TAILQ_ENTRY(hold) entry;
    struct inode *inode; /* referenced */
    uint64_t index, until_ns;
};

/* Why a member gets a page: it asked, it asked for one nearby, or it is its turn and it used it before. */
enum reason { ASKED, NEARBY, EXPECTED };

struct request {
    struct directory_request request;
    /* a member's */
    struct inode *inode; /* referenced */
    uint32_t count;
    enum reason reason;
    /* this kernel's */
    struct task *task;
    struct hold *hold; /* not yet on the list */
    bool done;
};

static LIST_HEAD(object_list, object) objects[OBJECT_BUCKETS];
static uint64_t last_id;
static TAILQ_HEAD(, hold) holds = TAILQ_HEAD_INITIALIZER(holds);
static struct timer hold_timer, lost_timer;
static struct holder_set lost_holders;
static unsigned working; /* a directory is being changed */

static const struct directory_ops directory_ops;

/* ---- objects ---- */

static struct object *object_of(struct inode *inode)
{
    struct object *object = inode->shared;
    if (object)
        return object;
    object = kzalloc(sizeof(*object));
    if (!object)
        return NULL;
    object->id = ++last_id;
    object->inode = inode;
    directory_init(&object->directory, &directory_ops);
    turn_init(&object->turn);
    LIST_INSERT_HEAD(&objects[object->id % OBJECT_BUCKETS], object, entry);
    inode->shared = object;
    return object;
}

static struct object *object_find(uint64_t id)
{
    struct object *object;
    LIST_FOREACH (object, &objects[id % OBJECT_BUCKETS], entry)
        if (object->id == id)
            return object;
    return NULL;
}

static bool coherent(const struct inode *inode)
{
    return inode->ops == &mem_regular_ops || (inode->ops && inode->ops->hold_page);
}

/* Before a request for the page is made (inode_ops.hold_page). 0 or -errno. */
static int hold_page(struct inode *inode, uint64_t index, bool write, bool sleep)
{
    return inode->ops->hold_page ? inode->ops->hold_page(inode, index, write, sleep) : 0;
}

/* None was made. */
static void release_page(const struct object *object, uint64_t index)
{
    if (object->inode->ops->release_page && !directory_lent(&object->directory, index))
        object->inode->ops->release_page(object->inode, index);
}

uint64_t shared_home_name(struct inode *inode)
{
    const struct object *object = pages_edmm() && coherent(inode) ? object_of(inode) : NULL;
    return object ? object->id : 0;
}

static void evict(struct inode *inode)
{
    struct object *object = inode->shared;
    if (!object)
        return;
    LIST_REMOVE(object, entry);
    turn_deinit(&object->turn);
    directory_deinit(&object->directory);
    inode->shared = NULL;
    kfree(object);
}

/* What changes a directory may end a member, its processes and with them the file: not before the end of the change. */
static void begin(const struct object *object)
{
    inode_get(object->inode);
    working++;
}

static void end(struct inode *inode)
{
    working--;
    inode_put(inode);
    if (working == 0 && lost_holders.count > 0)
        timer_arm(&lost_timer, time_monotonic_ns());
}

/* ---- what this kernel holds ---- */

static void hold_arm(void)
{
    const struct hold *hold;
    uint64_t next = NO_DEADLINE;
    TAILQ_FOREACH (hold, &holds, entry)
        next = MIN(next, hold->until_ns);
    if (next != NO_DEADLINE)
        timer_arm_urgent(&hold_timer, next);
    else
        timer_cancel(&hold_timer);
}

static struct hold *hold_due(uint64_t now)
{
    struct hold *hold;
    TAILQ_FOREACH (hold, &holds, entry)
        if (hold->until_ns <= now)
            return hold;
    return NULL;
}

static void release_holds(struct timer *timer)
{
    uint64_t now = time_monotonic_ns();
    struct hold *hold;
    (void)timer;
    while ((hold = hold_due(now)) != NULL) {
        struct object *object = hold->inode->shared;
        TAILQ_REMOVE(&holds, hold, entry);
        begin(object);
        directory_release(&object->directory, hold->index);
        end(hold->inode);
        inode_put(hold->inode);
        kfree(hold);
    }
    hold_arm();
}

static void used(struct inode *inode, uint64_t index)
{
    struct hold *hold;
    TAILQ_FOREACH (hold, &holds, entry) {
        if (hold->inode != inode || hold->index != index)
            continue;
        hold->until_ns = MIN(hold->until_ns, time_monotonic_ns() + HOLD_NS);
        hold_arm();
        return;
    }
}

/* ---- what the directory does ---- */

static uint8_t outgoing[sizeof(struct shared_page_message) + PAGE_SIZE] __attribute__((aligned(16)));
static struct shared_page_message *const outgoing_head = (struct shared_page_message *)outgoing;
static uint8_t *const outgoing_page = outgoing + sizeof(struct shared_page_message);
_Static_assert(offsetof(struct shared_page_message, page) == sizeof(struct shared_page_message), "the page follows");

static void send(uint32_t number, size_t size)
{
    struct remote_member *member = remote_member_find(number);
    if (member && link_send(remote_member_link(member), outgoing, size) == -ENOMEM)
        spawn_kill(member);
}

static void send_take(const struct object *object, uint64_t index, uint32_t holder, bool to_read)
{
    *outgoing_head = (struct shared_page_message){.message = {.type = MESSAGE_SHARED_TAKE},
                                                  .object = object->id,
                                                  .index = index,
                                                  .flags = to_read ? SHARED_READ : 0};
    send(holder, sizeof(*outgoing_head));
}

static void take(struct directory *directory, struct directory_page *page, uint32_t holder, bool to_read)
{
    struct object *object = container_of(directory, struct object, directory);
    const struct directory_request *request = TAILQ_FIRST(&page->requests);
    uint32_t waiter = request ? request->holder : TURN_NOBODY;
    if (!turn_put_off(&object->turn, page->index, holder, waiter, to_read))
        send_take(object, page->index, holder, to_read);
}

static void turn_take(struct turn *turn, uint64_t index, uint32_t holder, bool to_read)
{
    send_take(container_of(turn, struct object, turn), index, holder, to_read);
}

/* What a turn's end sends, to whom had it and to whom has it next, it sends in one go. */
static void turn_hold(struct turn *turn)
{
    link_cork();
    begin(container_of(turn, struct object, turn));
}

static void turn_release(struct turn *turn)
{
    end(container_of(turn, struct object, turn)->inode);
    link_uncork();
}

static void refuse(uint32_t number, uint64_t id, uint64_t index, int error)
{
    *outgoing_head = (struct shared_page_message){
        .message = {.type = MESSAGE_SHARED_GRANT}, .object = id, .index = index, .result = error};
    send(number, sizeof(*outgoing_head));
}

static void free_request(struct directory_request *r)
{
    struct request *request = container_of(r, struct request, request);
    inode_put(request->inode);
    kfree(request);
}

static bool in_file(const struct inode *inode, uint64_t index)
{
    return index < ((uint64_t)inode->size + PAGE_SIZE - 1) / PAGE_SIZE;
}

/* like: holder, and what it wants and may. */
static int request_new(struct object *object, uint64_t index, const struct directory_request *like, uint32_t count,
                       enum reason reason)
{
    struct request *request = kzalloc(sizeof(*request));
    if (!request)
        return -ENOMEM;
    *request = (struct request){.request = *like, .inode = inode_get(object->inode), .count = count, .reason = reason};
    int r = directory_request(&object->directory, index, &request->request);
    if (r < 0)
        free_request(&request->request);
    return r;
}

/*
 * Pages after the one asked for that nobody has go along, ahead of it; to be read, those that others read too. Not
 * where they would soon be wanted back.
 */
static void grant_more(struct object *object, uint64_t index, const struct request *request)
{
    struct directory_request like = {.holder = request->request.holder, .write = request->request.write};
    if (!page_use_neighbours_stay(&object->directory.use, index))
        return;
    for (uint64_t i = index + 1; i < index + request->count && in_file(object->inode, i); i++) {
        const struct directory_page *page = directory_find(&object->directory, i);
        if (page ? like.write || !directory_readable(page, like.holder) : shared_page_here(object->inode, i))
            continue;
        if (hold_page(object->inode, i, like.write, false) < 0)
            continue;
        if (request_new(object, i, &like, 1, NEARBY) < 0) {
            release_page(object, i);
            return;
        }
    }
}

static void grant_member(struct object *object, struct directory_page *page, struct request *request, bool had)
{
    uint32_t holder = request->request.holder;
    bool write = request->request.write;
    grant_more(object, page->index, request);
    int r = in_file(object->inode, page->index) ? 0 : -EIO; /* not any more: it was cut while the request waited */
    if (r == 0 && (!had || write))
        r = shared_page_yield(object->inode, page->index, !write, outgoing_page);
    if (r < 0) {
        bool there = directory_answered(&object->directory, page->index, holder, ANSWER_GAVE, false);
        ASSERT(there);
        refuse(holder, object->id, page->index, r == -ENOMEM ? r : -EIO);
    } else {
        *outgoing_head =
            (struct shared_page_message){.message = {.type = MESSAGE_SHARED_GRANT},
                                         .object = object->id,
                                         .index = page->index,
                                         .flags = (write ? SHARED_WRITE : 0) | (had ? 0 : SHARED_CONTENTS)};
        send(holder, sizeof(*outgoing_head) + (had ? 0 : PAGE_SIZE));
    }
    if (request->reason != NEARBY)
        turn_granted(&object->turn, holder, page->index, write, request->reason == EXPECTED);
    free_request(&request->request);
}

static void grant(struct directory *directory, struct directory_page *page, struct directory_request *r, bool had)
{
    struct object *object = container_of(directory, struct object, directory);
    struct request *request = container_of(r, struct request, request);
    if (r->holder != 0) {
        grant_member(object, page, request, had);
        return;
    }
    *request->hold = (struct hold){
        .inode = inode_get(object->inode), .index = page->index, .until_ns = time_monotonic_ns() + HOLD_UNUSED_NS};
    TAILQ_INSERT_TAIL(&holds, request->hold, entry);
    hold_arm();
    request->hold = NULL;
    request->done = true;
    task_wake(request->task);
}

static void settled(struct directory *directory, uint64_t index)
{
    release_page(container_of(directory, struct object, directory), index);
}

static const struct directory_ops directory_ops = {.take = take, .grant = grant, .settled = settled};

/* ---- shared_ops ---- */

static bool may(const struct inode *inode, uint64_t index, bool write)
{
    const struct object *object = inode->shared;
    return !object || directory_home_may(&object->directory, index, write);
}

static bool next(const struct inode *inode, uint64_t index, uint64_t *ret_index)
{
    const struct object *object = inode->shared;
    return object && page_map_next(&object->directory.pages, index, ret_index);
}

static void call(struct inode *inode, uint64_t index)
{
    struct object *object = inode->shared;
    const struct directory_page *page = directory_find(&object->directory, index);
    if (!page || page->owner == DIRECTORY_NOBODY)
        return;
    begin(object);
    directory_recall(&object->directory, index, page->owner, true);
    end(inode);
}

static bool lent(const struct inode *inode, uint64_t index)
{
    const struct object *object = inode->shared;
    return object && directory_lent(&object->directory, index);
}

static bool close(struct inode *inode)
{
    struct object *object = inode->shared;
    if (object)
        directory_close(&object->directory);
    return object;
}

static void open(struct inode *inode)
{
    struct object *object = inode->shared;
    begin(object);
    directory_open(&object->directory);
    end(inode);
}

/* An ending thread still has locks to give up (robust.c); others need not wait to die. */
static int wait_done(const struct request *request)
{
    const struct task *task = task_current();
    int r = 0;
    while (!request->done && r == 0) {
        if (task->exiting || task->agent || !task->process)
            task_prepare_sleep(false);
        else
            task_prepare_sleep_killable();
        if (request->done) {
            task_cancel_sleep();
            break;
        }
        r = task_sleep(NO_DEADLINE);
    }
    return request->done ? 0 : r;
}

static int acquire(struct file *file, uint64_t index, uaddr_t page, bool write)
{
    struct inode *inode = file->inode;
    struct object *object = inode->shared;
    struct request request = {
        .request = {.write = write}, .task = task_current(), .hold = kzalloc(sizeof(struct hold))};
    (void)page;
    if (!request.hold)
        return -ENOMEM;
    inode_get(inode);
    begin(object);
    int r = directory_request(&object->directory, index, &request.request);
    end(inode);
    if (r == 0)
        r = wait_done(&request);
    if (r < 0) {
        begin(object);
        directory_forget(&object->directory, index, &request.request);
        end(inode);
    }
    kfree(request.hold);
    inode_put(inode);
    return r;
}

static int anonymous(size_t size, struct file **ret_file)
{
    return memfd_new("/dev/zero (deleted)", (file_off_t)size, ret_file);
}

/* ---- what members send ---- */

static bool already_asked(const struct object *object, uint64_t index, uint32_t holder)
{
    const struct directory_page *page = directory_find(&object->directory, index);
    const struct directory_request *request;
    if (!page)
        return false;
    TAILQ_FOREACH (request, &page->requests, entry)
        if (request->holder == holder)
            return true;
    return false;
}

static bool still_asks(const struct remote_member *member, const struct file *file, const struct shared_get *m)
{
    const struct process *process = remote_process_of(member, &m->message);
    return process && handle_file(&process->remote->handles, m->handle) == file && !spawn_renewing(member);
}

static void ask(struct remote_member *member, struct object *object, const struct shared_get *m, bool may_write)
{
    uint32_t number = remote_member_number(member);
    begin(object);
    turn_asks(&object->turn, number, m->message.pid, m->handle);
    struct directory_request like = {
        .holder = number, .write = m->write != 0, .first = turn_is_of(&object->turn, number), .may_write = may_write};
    int r = request_new(object, m->index, &like, m->count, ASKED);
    turn_waits(&object->turn, number, m->index);
    if (r < 0) {
        release_page(object, m->index);
        refuse(number, object->id, m->index, r);
    }
    end(object->inode);
}

/* Pages after the one asked for that nobody has, for grant_more(). Sleeps. */
static void hold_more(const struct object *object, const struct shared_get *m)
{
    for (uint64_t i = m->index + 1; i < m->index + m->count && in_file(object->inode, i); i++)
        if (!directory_find(&object->directory, i) && hold_page(object->inode, i, m->write, true) < 0)
            return;
}

static void release_more(const struct object *object, const struct shared_get *m)
{
    for (uint64_t i = m->index + 1; i < m->index + m->count; i++)
        release_page(object, i);
}

/* False: it would have to sleep, and nothing has happened. */
static bool serve_get(struct remote_member *member, struct file *file, const struct shared_get *m, bool sleep)
{
    uint32_t number = remote_member_number(member);
    struct inode *inode = file->inode;
    struct object *object = coherent(inode) ? object_of(inode) : NULL;
    if (!object || m->count == 0 || m->count > SHARED_GET_MAX || m->index > UINT64_MAX / PAGE_SIZE - SHARED_GET_MAX ||
        number >= DIRECTORY_HOLDERS) {
        spawn_kill(member); /* it knows better */
        return true;
    }
    bool may_write = file_writable(file) && !inode_write_sealed(inode);
    bool may_have = in_file(inode, m->index) && (may_write || !m->write);
    if (sleep && may_have)
        hold_more(object, m);
    int r = may_have ? hold_page(inode, m->index, m->write, sleep) : -EIO;
    if (r == -EAGAIN)
        return false;
    if (sleep && !still_asks(member, file, m))
        release_page(object, m->index);
    else if (r < 0)
        refuse(number, object->id, m->index, r);
    else if (!already_asked(object, m->index, number)) /* else the answer to the first will do */
        ask(member, object, m, may_write);
    if (sleep)
        release_more(object, m);
    return true;
}

/* ---- those for which something must be read first ---- */

struct waiting_get {
    TAILQ_ENTRY(waiting_get) entry;
    struct remote_member *member; /* referenced */
    struct file *file;            /* referenced */
    struct record *record;
};

static TAILQ_HEAD(, waiting_get) waiting_gets = TAILQ_HEAD_INITIALIZER(waiting_gets);
static bool serving;

/* One after the other, as file systems that sleep read. */
static void serve_waiting(void *arg)
{
    struct waiting_get *w;
    (void)arg;
    while ((w = TAILQ_FIRST(&waiting_gets)) != NULL) {
        TAILQ_REMOVE(&waiting_gets, w, entry);
        (void)serve_get(w->member, w->file, (const struct shared_get *)w->record->data, true);
        file_put(w->file);
        remote_member_put(w->member);
        kfree(w->record);
        kfree(w);
    }
    serving = false;
}

static bool put_off(struct remote_member *member, struct file *file, struct record *record)
{
    struct waiting_get *w = kzalloc(sizeof(*w));
    if (w && !serving)
        serving = kernel_thread_start("share", serve_waiting, NULL) != NULL;
    if (!w || !serving) {
        kfree(w);
        return false;
    }
    *w = (struct waiting_get){.member = remote_member_get(member), .file = file_get(file), .record = record};
    TAILQ_INSERT_TAIL(&waiting_gets, w, entry);
    return true;
}

static void receive_get(struct remote_member *member, struct record *record)
{
    const struct shared_get *m = (const struct shared_get *)record->data;
    const struct process *process = record->size >= sizeof(*m) ? remote_process_of(member, &m->message) : NULL;
    struct file *file = process ? handle_file(&process->remote->handles, m->handle) : NULL;
    if (file && !serve_get(member, file, m, false)) {
        if (put_off(member, file, record))
            return;
        refuse(remote_member_number(member), object_of(file->inode)->id, m->index, -ENOMEM);
    }
    if (!file && (process || record->size < sizeof(*m)))
        spawn_kill(member);
    kfree(record);
}

/* As it is at home: what the holder did, if anything, it undid. */
static bool differs(const struct object *object, uint64_t index, const uint8_t *contents)
{
    static uint8_t old[PAGE_SIZE] __attribute__((aligned(8)));
    return object->inode->ops->read_page(object->inode, index, old) < 0 || memcmp(old, contents, PAGE_SIZE) != 0;
}

static bool take_back(struct object *object, uint32_t number, const struct shared_page_message *m, size_t size)
{
    enum directory_answer answer = m->flags & SHARED_NOTHING ? ANSWER_NOTHING
                                   : m->flags & SHARED_READ  ? ANSWER_READS
                                                             : ANSWER_GAVE;
    bool changed = false;
    if (m->flags & SHARED_CONTENTS) {
        if (size < sizeof(*m) + PAGE_SIZE || !directory_owns(&object->directory, m->index, number))
            return false;
        changed = differs(object, m->index, m->page);
        if (changed && object->inode->ops->write_page(object->inode, m->index, m->page) < 0)
            printk(LOG_ERROR, "a page that processes share is lost for lack of memory\n");
    }
    if (answer != ANSWER_NOTHING)
        turn_returned(&object->turn, number, m->index, changed);
    return directory_answered(&object->directory, m->index, number, answer, m->flags & SHARED_ASKED);
}

/* A file that is gone takes nothing back. */
static void receive_back(struct remote_member *member, struct record *record)
{
    const struct shared_page_message *m = (const struct shared_page_message *)record->data;
    struct object *object = record->size >= sizeof(*m) ? object_find(m->object) : NULL;
    uint32_t number = remote_member_number(member);
    if (object && number < DIRECTORY_HOLDERS && !spawn_renewing(member)) {
        struct inode *inode = object->inode;
        begin(object);
        if (!take_back(object, number, m, record->size))
            spawn_kill(member);
        end(inode);
    }
    kfree(record);
}

static void work_new(struct remote_member *member, struct process *process, const struct message *message, size_t size)
{
    const struct number_message *m = (const struct number_message *)message;
    struct file_answer answer = {.message = *message, .result = -EPROTO};
    struct file *file;
    if (size >= sizeof(*m) && m->number > 0)
        answer.result = memfd_new("/dev/zero (deleted)", m->number, &file);
    if (answer.result == 0) {
        answer.result = handle_add(&process->remote->handles, file, &answer.info);
        file_put(file);
    }
    remote_answer(member, &answer.message, sizeof(answer));
}

static void receive_new(struct remote_member *member, struct record *record)
{
    remote_work(member, record, work_new);
}

/* ---- members that are gone ---- */

static void forget(uint32_t holder)
{
    for (size_t i = 0; i < OBJECT_BUCKETS; i++) {
        struct object *object, *following;
        LIST_FOREACH_SAFE (object, &objects[i], entry, following) {
            struct inode *inode = object->inode;
            begin(object);
            turn_lost(&object->turn, holder);
            directory_lost(&object->directory, holder, free_request);
            if (following)
                inode_get(following->inode);
            end(inode);
            if (following)
                inode_put(following->inode);
        }
    }
}

static void forget_lost(struct timer *timer)
{
    (void)timer;
    for (uint32_t holder = 1; holder < DIRECTORY_HOLDERS && lost_holders.count > 0; holder++) {
        if (!(lost_holders.bits[holder / 64] >> holder % 64 & 1))
            continue;
        lost_holders.bits[holder / 64] &= ~(1ULL << holder % 64);
        lost_holders.count--;
        forget(holder);
    }
}

void shared_home_lost(uint32_t member)
{
    futex_home_lost(member);
    if (member >= DIRECTORY_HOLDERS || last_id == 0 || (lost_holders.bits[member / 64] >> member % 64 & 1))
        return;
    lost_holders.bits[member / 64] |= 1ULL << member % 64;
    lost_holders.count++;
    if (working == 0)
        forget_lost(NULL);
}

static void recall(struct turn *turn, uint32_t enclave, uint64_t index)
{
    directory_recall(&container_of(turn, struct object, turn)->directory, index, enclave, false);
}

static bool reached(struct turn *turn, uint32_t enclave)
{
    struct remote_member *member = remote_member_find(enclave);
    (void)turn;
    return !member || link_drained(remote_member_link(member));
}

/* As if it had asked; but it may have closed the file meanwhile. */
static void expect(struct turn *turn, uint32_t enclave, int pid, uint64_t handle, uint64_t index, bool write)
{
    struct object *object = container_of(turn, struct object, turn);
    const struct remote_member *member = remote_member_find(enclave);
    const struct process *process = member ? remote_process_of(member, &(struct message){.pid = pid}) : NULL;
    const struct file *file = process ? handle_file(&process->remote->handles, handle) : NULL;
    const struct directory_page *page = directory_find(&object->directory, index);
    if (!file || file->inode != object->inode || !in_file(object->inode, index))
        return;
    write &= file_writable(file) && !inode_write_sealed(object->inode);
    if ((page && directory_keeps(page, enclave, write)) || already_asked(object, index, enclave))
        return;
    struct directory_request like = {.holder = enclave, .write = write, .first = true};
    if (hold_page(object->inode, index, write, false) < 0)
        return; /* it will have to ask, as without memory */
    if (request_new(object, index, &like, 1, EXPECTED) < 0)
        release_page(object, index);
}

/* What says whether a member gets on with its work. */
static void heard(uint32_t number, uint32_t type)
{
    if (type == MESSAGE_CALL)
        turn_heard(number, TURN_CALLED);
    else if (type == MESSAGE_FUTEX_WAKE)
        turn_heard(number, TURN_WAKES);
    else if (type == MESSAGE_REPLY)
        turn_heard(number, TURN_ANSWERED);
    else if (type == MESSAGE_FUTEX_WAIT)
        turn_heard(number, TURN_SLEEPS);
}

void shared_home_init(void)
{
    static const struct shared_ops ops = {
        .coherent = coherent,
        .may = may,
        .acquire = acquire,
        .next = next,
        .call = call,
        .lent = lent,
        .close = close,
        .open = open,
        .evict = evict,
        .used = used,
        .anonymous = anonymous,
        .name = shared_home_name,
    };
    static const struct turn_ops turns = {.take = turn_take,
                                          .expect = expect,
                                          .reached = reached,
                                          .recall = recall,
                                          .hold = turn_hold,
                                          .release = turn_release};
    turn_start(&turns);
    timer_init(&hold_timer, release_holds);
    timer_init(&lost_timer, forget_lost);
    if (!pages_edmm())
        return;
    shared_ops_set(&ops);
    futex_home_init();
    remote_member_on_heard(heard);
    remote_member_on_message(MESSAGE_SHARED_GET, receive_get);
    remote_member_on_message(MESSAGE_SHARED_BACK, receive_back);
    remote_member_on_message(MESSAGE_SHARED_NEW, receive_new);
}

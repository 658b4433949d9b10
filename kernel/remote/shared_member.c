/* Sharing pages: a member's side (contract in shared_member.h). */
#include "kernel/remote/shared_member.h"

#include <linux/errno.h>

#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/shared.h"
#include "kernel/process/process.h"
#include "kernel/remote/client.h"
#include "kernel/remote/member.h"
#include "kernel/remote/remote.h"
#include "kernel/remote/remote_file.h"
#include "kernel/remote/shared_futex.h"
#include "kernel/remote/shared_message.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"

#define USED_NS 20000ULL /* as kernel/mm/shared.c holds a page */

/*
 * A page that was asked for, and those who wait for it. What comes need not be what they want: whoever wakes looks
 * again.
 */
struct pending {
    LIST_ENTRY(pending) entry;
    struct inode *inode; /* referenced */
    uint64_t index;
    uaddr_t page; /* where it is wanted */
    bool done;
    int result;
    unsigned waiters;
    struct wait_queue wait;
};

static LIST_HEAD(, pending) pendings = LIST_HEAD_INITIALIZER(pendings);
static struct timer take_timer;
static struct linger linger;

static uint8_t outgoing[sizeof(struct shared_page_message) + PAGE_SIZE] __attribute__((aligned(16)));
static struct shared_page_message *const outgoing_head = (struct shared_page_message *)outgoing;
static uint8_t *const outgoing_page = outgoing + sizeof(struct shared_page_message);

static struct pending *pending_find(const struct inode *inode, uint64_t index)
{
    struct pending *p;
    LIST_FOREACH (p, &pendings, entry)
        if (p->inode == inode && p->index == index)
            return p;
    return NULL;
}

static void post(struct message *message, size_t size)
{
    if (client_post(message, size) < 0)
        member_end("no memory to share memory");
}

/* With SHARED_CONTENTS, of outgoing_page. */
static void send_back(uint64_t object, uint64_t index, uint32_t flags)
{
    *outgoing_head = (struct shared_page_message){
        .message = {.type = MESSAGE_SHARED_BACK}, .object = object, .index = index, .flags = flags};
    post(&outgoing_head->message, sizeof(*outgoing_head) + (flags & SHARED_CONTENTS ? PAGE_SIZE : 0));
}

/* ---- asking ---- */

static void pending_put(struct pending *p)
{
    if (p->waiters > 0 || !p->done)
        return;
    inode_put(p->inode);
    kfree(p);
}

static int wait_done(struct pending *p)
{
    const struct task *task = task_current();
    struct wait_entry entry;
    int r = 0;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&p->wait, &entry);
    p->waiters++;
    while (!p->done && r == 0) {
        if (remote_linger(&linger, client_peer_awake()))
            continue;
        if (task->exiting)
            task_prepare_sleep(false);
        else
            task_prepare_sleep_killable();
        if (p->done) {
            task_cancel_sleep();
            break;
        }
        r = task_sleep(NO_DEADLINE);
    }
    wait_queue_remove(&entry);
    p->waiters--;
    r = p->done ? p->result : r;
    pending_put(p);
    return r;
}

static int acquire(struct file *file, uint64_t index, uaddr_t page, bool write)
{
    struct pending *p = pending_find(file->inode, index);
    if (p)
        return wait_done(p);
    p = kzalloc(sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->inode = inode_get(file->inode);
    p->index = index;
    p->page = page;
    wait_queue_init(&p->wait);
    LIST_INSERT_HEAD(&pendings, p, entry);
    struct shared_get m = {.message = {MESSAGE_SHARED_GET, 0, process_self()->pid, task_current()->tid},
                           .handle = remote_file_info(file)->handle,
                           .index = index,
                           .count = SHARED_GET_MAX,
                           .write = write};
    (void)remote_linger_begin(&linger);
    post(&m.message, sizeof(m));
    int r = wait_done(p);
    remote_linger_end();
    return r;
}

/* Where a page that came with another one belongs; or one that was not asked for at all. */
static uaddr_t place_of(const struct inode *inode, uint64_t index)
{
    const struct pending *p;
    LIST_FOREACH (p, &pendings, entry)
        if (p->inode == inode && index > p->index && index - p->index < SHARED_GET_MAX)
            return p->page + (index - p->index) * PAGE_SIZE;
    return shared_place_of(inode, index);
}

static int install(struct inode *inode, const struct pending *p, const struct shared_page_message *m)
{
    static uint8_t contents[PAGE_SIZE] __attribute__((aligned(4096))); /* as EACCEPTCOPY wants it */
    uaddr_t page = p ? p->page : place_of(inode, m->index);
    memcpy(contents, m->page, PAGE_SIZE);
    int r = page ? shared_page_install(inode, m->index, page, contents, m->flags & SHARED_WRITE, p) : -ENOENT;
    if (r < 0)
        send_back(m->object, m->index, 0);
    return r == -ENOMEM ? r : 0;
}

static int receive(struct inode *inode, const struct pending *p, const struct shared_page_message *m)
{
    if (m->result < 0)
        return m->result;
    if (m->flags & SHARED_CONTENTS)
        return install(inode, p, m);
    if (!shared_page_here(inode, m->index))
        send_back(m->object, m->index, 0);
    else if (m->flags & SHARED_WRITE)
        shared_page_promote(inode, m->index, p);
    return 0;
}

static void on_grant(struct record *record)
{
    const struct shared_page_message *m = (const struct shared_page_message *)record->data;
    if (record->size < sizeof(*m) || ((m->flags & SHARED_CONTENTS) && record->size < sizeof(*m) + PAGE_SIZE))
        panic("a page of the init enclave");
    struct inode *inode = remote_file_inode(m->object);
    struct pending *p = inode ? pending_find(inode, m->index) : NULL;
    int r = 0;
    if (inode)
        r = receive(inode, p, m);
    else if (m->result == 0)
        send_back(m->object, m->index, 0);
    if (p) {
        p->result = r;
        p->done = true;
        LIST_REMOVE(p, entry);
        wake_up_all(&p->wait, 0);
        pending_put(p);
    }
    kfree(record);
}

/* ---- giving back ---- */

static void give(struct inode *inode, uint64_t index, const void *contents, bool asked)
{
    if (contents)
        memcpy(outgoing_page, contents, PAGE_SIZE);
    send_back(remote_file_object(inode), index, (contents ? SHARED_CONTENTS : 0) | (asked ? SHARED_ASKED : 0));
}

/* What the init enclave asks for is done when all that came has been read: pages that lie together go together. */
#define ASKED_MAX 128
static struct asked {
    struct inode *inode; /* referenced */
    uint64_t index;
    bool to_read;
} asked[ASKED_MAX];
static size_t asked_count;

static bool before(const struct asked *a, const struct asked *b)
{
    if (a->inode != b->inode)
        return a->inode < b->inode;
    return a->to_read != b->to_read ? a->to_read : a->index < b->index;
}

static void sort_asked(void)
{
    for (size_t i = 1, at; i < asked_count; i++) {
        struct asked a = asked[i];
        for (at = i; at > 0 && before(&a, &asked[at - 1]); at--)
            asked[at] = asked[at - 1];
        asked[at] = a;
    }
}

/* How many from a on are neighbours. */
static size_t neighbours(const struct asked *a)
{
    size_t n = 1, left = asked_count - (size_t)(a - asked);
    while (n < left && a[n].inode == a->inode && a[n].to_read == a->to_read && a[n].index == a->index + n)
        n++;
    return n;
}

static void arm(uint64_t deadline_ns)
{
    if (!take_timer.armed || deadline_ns < take_timer.deadline_ns)
        timer_arm_urgent(&take_timer, deadline_ns);
}

/* Some of `count` pages from index on: how many is returned. */
static size_t take(struct inode *inode, uint64_t index, size_t count, bool to_read)
{
    static uint8_t contents[SHARED_TAKE_MAX][PAGE_SIZE] __attribute__((aligned(16)));
    uint64_t later = 0, object = remote_file_object(inode);
    uint32_t dirty = 0, flags = SHARED_ASKED | (to_read ? SHARED_READ : 0);
    enum shared_take result;
    size_t n = shared_pages_take(inode, index, count, to_read, contents, &result, &dirty, &later);
    if (result == SHARED_LATER)
        arm(later);
    else if (result == SHARED_NOT_HERE)
        send_back(object, index, SHARED_ASKED | SHARED_NOTHING);
    for (size_t i = 0; result == SHARED_TAKEN && i < n; i++) {
        if (dirty >> i & 1)
            memcpy(outgoing_page, contents[i], PAGE_SIZE);
        send_back(object, index + i, flags | (dirty >> i & 1 ? SHARED_CONTENTS : 0));
    }
    return n;
}

static void take_asked(void)
{
    sort_asked();
    for (size_t i = 0; i < asked_count;)
        i += take(asked[i].inode, asked[i].index, neighbours(&asked[i]), asked[i].to_read);
    for (size_t i = 0; i < asked_count; i++)
        inode_put(asked[i].inode);
    asked_count = 0;
}

static void take_due(struct timer *timer)
{
    struct inode *inode;
    uint64_t index, later;
    bool to_read;
    while (shared_page_due(&inode, &index, &to_read, &later))
        (void)take(inode, index, 1, to_read);
    if (later != NO_DEADLINE)
        timer_arm_urgent(timer, later);
}

/* It was to stay until its thread runs: that is now. */
static void used(struct inode *inode, uint64_t index)
{
    (void)inode;
    (void)index;
    arm(time_monotonic_ns() + USED_NS);
}

static void on_take(struct record *record)
{
    const struct shared_page_message *m = (const struct shared_page_message *)record->data;
    if (record->size < sizeof(*m))
        panic("a request of the init enclave");
    struct inode *inode = remote_file_inode(m->object);
    if (!inode) {
        send_back(m->object, m->index, SHARED_ASKED | SHARED_NOTHING);
    } else {
        if (asked_count == ASKED_MAX)
            take_asked();
        asked[asked_count++] = (struct asked){inode_get(inode), m->index, m->flags & SHARED_READ};
    }
    kfree(record);
}

/* ---- */

static int anonymous(size_t size, struct file **ret_file)
{
    struct number_message m = {{MESSAGE_SHARED_NEW, 0, process_self()->pid, task_current()->tid}, (int64_t)size};
    return remote_file_request(&m.message, sizeof(m), ret_file);
}

static bool coherent(const struct inode *inode)
{
    return remote_file_object(inode) != 0;
}

static uint64_t name(struct inode *inode)
{
    return remote_file_object(inode);
}

void shared_member_reset(void)
{
    struct pending *p, *next;
    LIST_FOREACH_SAFE (p, &pendings, entry, next) {
        ASSERT(p->waiters == 0);
        LIST_REMOVE(p, entry);
        inode_put(p->inode);
        kfree(p);
    }
}

void shared_member_init(void)
{
    static const struct shared_ops ops = {
        .member = true,
        .coherent = coherent,
        .acquire = acquire,
        .give = give,
        .used = used,
        .wait = client_drain,
        .anonymous = anonymous,
        .name = name,
    };
    timer_init(&take_timer, take_due);
    if (!pages_edmm())
        return;
    shared_ops_set(&ops);
    futex_member_init();
    client_on_message(MESSAGE_SHARED_GRANT, on_grant);
    client_on_message(MESSAGE_SHARED_TAKE, on_take);
    client_on_polled(take_asked);
}

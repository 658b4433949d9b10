/* Futexes in memory that enclaves share (contract in shared_futex.h), both sides. */
#include "kernel/remote/shared_futex.h"

#include <linux/errno.h>

#include "kernel/mm/kmalloc.h"
#include "kernel/process/futex.h"
#include "kernel/process/process.h"
#include "kernel/remote/client.h"
#include "kernel/remote/member.h"
#include "kernel/remote/server.h"
#include "kernel/remote/shared_message.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/work.h"
#include "kernel/sched/task.h"

#define WAITERS_MAX 32768 /* of all members: as many as threads */

/* ---- the init enclave ---- */

struct distant {
    LIST_ENTRY(distant) entry;
    struct futex_waiter waiter;
    uint32_t member, id;
};

static LIST_HEAD(, distant) distants = LIST_HEAD_INITIALIZER(distants);
static size_t distant_count;

static void distant_free(struct distant *d)
{
    futex_unqueue(&d->waiter);
    LIST_REMOVE(d, entry);
    distant_count--;
    kfree(d);
}

static void tell(uint32_t number, uint32_t id, int result)
{
    struct futex_message m = {.message = {.type = MESSAGE_FUTEX_WOKEN}, .id = id, .result = result};
    struct remote_member *member = remote_member_find(number);
    if (member && link_send(remote_member_link(member), &m, sizeof(m)) == -ENOMEM)
        spawn_kill(member);
}

/* Not freed by spawn_kill() meanwhile: it is off the list before. */
static void woken(struct futex_waiter *waiter)
{
    struct distant *d = container_of(waiter, struct distant, waiter);
    uint32_t member = d->member, id = d->id;
    distant_free(d);
    tell(member, id, 0);
}

static void receive_wait(struct remote_member *member, struct record *record)
{
    const struct futex_message *m = (const struct futex_message *)record->data;
    bool good = record->size >= sizeof(*m) && m->file != 0 && m->bitset != 0 && distant_count < WAITERS_MAX;
    struct distant *d = good ? kzalloc(sizeof(*d)) : NULL;
    if (d) {
        *d = (struct distant){.waiter = {.woken = woken}, .member = remote_member_number(member), .id = m->id};
        LIST_INSERT_HEAD(&distants, d, entry);
        distant_count++;
        futex_queue(&d->waiter, &(struct futex_key){m->file, m->at}, m->bitset);
    } else {
        spawn_kill(member);
    }
    kfree(record);
}

static void receive_cancel(struct remote_member *member, struct record *record)
{
    const struct futex_message *m = (const struct futex_message *)record->data;
    uint32_t number = remote_member_number(member);
    struct distant *d;
    LIST_FOREACH (d, &distants, entry)
        if (record->size >= sizeof(*m) && d->member == number && d->id == m->id)
            break;
    if (d) {
        uint32_t id = d->id;
        distant_free(d);
        tell(number, id, 1);
    }
    kfree(record);
}

static void receive_wake(struct remote_member *member, struct record *record)
{
    const struct futex_message *m = (const struct futex_message *)record->data;
    if (record->size >= sizeof(*m) && m->file != 0) {
        int n = futex_wake_key(&(struct futex_key){m->file, m->at}, m->count, m->bitset);
        if (m->message.request)
            remote_answer_number(member, &m->message, n);
    } else {
        spawn_kill(member);
    }
    kfree(record);
}

static void receive_requeue(struct remote_member *member, struct record *record)
{
    const struct futex_message *m = (const struct futex_message *)record->data;
    if (record->size >= sizeof(*m) && m->file != 0 && m->to_file != 0)
        remote_answer_number(member, &m->message,
                             futex_requeue_key(&(struct futex_key){m->file, m->at},
                                               &(struct futex_key){m->to_file, m->to_at}, m->count, m->requeue_count));
    else
        spawn_kill(member);
    kfree(record);
}

void futex_home_lost(uint32_t member)
{
    struct distant *d, *next;
    LIST_FOREACH_SAFE (d, &distants, entry, next)
        if (d->member == member)
            distant_free(d);
}

void futex_home_init(void)
{
    remote_member_on_message(MESSAGE_FUTEX_WAIT, receive_wait);
    remote_member_on_message(MESSAGE_FUTEX_CANCEL, receive_cancel);
    remote_member_on_message(MESSAGE_FUTEX_WAKE, receive_wake);
    remote_member_on_message(MESSAGE_FUTEX_REQUEUE, receive_requeue);
}

/* ---- a member ---- */

/* On the waiting task's stack. */
struct sleeper {
    LIST_ENTRY(sleeper) entry;
    struct task *task;
    uint32_t id;
    bool done;
    int result; /* struct futex_message */
};

static LIST_HEAD(, sleeper) sleepers = LIST_HEAD_INITIALIZER(sleepers);
static uint32_t last_id;

static void on_woken(struct record *record)
{
    const struct futex_message *m = (const struct futex_message *)record->data;
    struct sleeper *s;
    LIST_FOREACH (s, &sleepers, entry) {
        if (record->size < sizeof(*m) || s->id != m->id)
            continue;
        s->done = true;
        s->result = m->result;
        task_wake(s->task);
        break;
    }
    kfree(record);
}

static struct futex_message message(uint32_t type, const struct futex_key *key)
{
    return (struct futex_message){
        .message = {type, 0, process_self()->pid, task_current()->tid}, .file = key->file, .at = key->at};
}

static void cancel(const struct sleeper *s, const struct futex_key *key)
{
    struct futex_message m = message(MESSAGE_FUTEX_CANCEL, key);
    m.id = s->id;
    if (client_post(&m.message, sizeof(m)) < 0)
        member_end("no memory to interrupt a futex");
}

/* The queue is the init enclave's: what it says last counts. */
static int wait(const struct futex_key *key, uint32_t bitset, uint64_t deadline)
{
    struct sleeper s = {.task = task_current(), .id = ++last_id};
    struct futex_message m = message(MESSAGE_FUTEX_WAIT, key);
    int r = 0;
    m.id = s.id;
    m.bitset = bitset;
    if (client_post(&m.message, sizeof(m)) < 0)
        return -ENOMEM;
    LIST_INSERT_HEAD(&sleepers, &s, entry);
    while (!s.done) {
        task_prepare_sleep(r == 0);
        if (s.done) {
            task_cancel_sleep();
            break;
        }
        int slept = task_sleep(r == 0 ? deadline : NO_DEADLINE);
        if (r == 0 && slept < 0 && !s.done) {
            r = slept;
            cancel(&s, key);
        }
    }
    LIST_REMOVE(&s, entry);
    return s.result == 0 ? 0 : r;
}

static int ask(struct futex_message *m)
{
    struct record *record;
    int r = client_request(&m->message, sizeof(*m), &record);
    if (r < 0)
        return r;
    const struct number_message *answer = (const struct number_message *)record->data;
    r = record->size >= sizeof(*answer) ? (int)answer->number : -EPROTO;
    kfree(record);
    return r;
}

static int wake(const struct futex_key *key, int count, uint32_t bitset, bool quiet)
{
    struct futex_message m = message(MESSAGE_FUTEX_WAKE, key);
    m.count = count;
    m.bitset = bitset;
    if (!quiet)
        return ask(&m);
    if (client_post(&m.message, sizeof(m)) < 0)
        member_end("no memory to wake a futex");
    return 0;
}

static int requeue(const struct futex_key *from, const struct futex_key *to, int wake_count, int requeue_count)
{
    struct futex_message m = message(MESSAGE_FUTEX_REQUEUE, from);
    m.to_file = to->file;
    m.to_at = to->at;
    m.count = wake_count;
    m.requeue_count = requeue_count;
    return ask(&m);
}

void futex_member_init(void)
{
    static const struct futex_remote remote = {wait, wake, requeue};
    futex_remote_set(&remote);
    client_on_message(MESSAGE_FUTEX_WOKEN, on_woken);
}

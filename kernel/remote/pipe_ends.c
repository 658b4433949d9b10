/* Ends of lent pipes (contract in pipe_ends.h). */
#include "kernel/remote/pipe_ends.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/limits.h>

#include "kernel/crypto/secret.h"
#include "kernel/fs/pipe.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/loan.h"
#include "kernel/process/process.h"
#include "kernel/process/table.h"
#include "kernel/remote/check.h"
#include "kernel/remote/client.h"
#include "kernel/remote/member.h"
#include "kernel/remote/pipe_message.h"
#include "kernel/remote/posted.h"
#include "kernel/remote/remote.h"
#include "kernel/sched/task.h"

#define PIECE 0x8000UL        /* bytes of a record: the reader opens one while the writer seals the next */
#define CREDIT_MIN 0x1000UL   /* is told of at once */
#define MOVE_MAX 0x7ffff000UL /* as Linux's MAX_RW_COUNT */
#define MISSES_MAX 8          /* to look out in vain so often does not pay */
#define TRY_EVERY 16          /* but now and then it is tried */

struct pipe_end {
    TAILQ_ENTRY(pipe_end) entry;
    uint64_t id;
    int pid, fd;
    bool writer;
    bool held;      /* called back, but not to be given back yet: nothing is to be done with it here */
    bool back;      /* given back: off the list, freed by who uses it last */
    unsigned users; /* calls */
    struct link link;
    struct wait_queue wait;
    uint64_t sent;     /* or received, bytes in all */
    uint64_t consumed; /* by the reader, as far as it is known here */
    uint64_t told;     /* the reader: of that */
    bool peer_waits;   /* and is to be rung */
    bool said;         /* that we wait, and heard nothing since */
    unsigned heard;    /* so often */
    unsigned misses, skipped;
    struct record_list records; /* the reader's, not empty ones */
    size_t at;                  /* in the first of them */
};

static TAILQ_HEAD(, pipe_end) ends = TAILQ_HEAD_INITIALIZER(ends);
static struct wait_queue drained = {TAILQ_HEAD_INITIALIZER(drained.entries)};
static struct {
    struct pipe_data head;
    uint8_t bytes[PIECE];
} piece; /* filled and sent without a sleep between */

/* The init enclave would wait for ever. */
static void post(void *message, size_t size)
{
    if (client_post(message, size) < 0)
        member_end("no memory to give a pipe back");
}

/* ---- the link between the two ends ---- */

static bool can_send(const struct pipe_end *e, size_t size)
{
    return e->link.state == LINK_OPEN && link_has_room(&e->link, size);
}

static int receive_or_end(struct pipe_end *e);

/*
 * The other side is rung if it has said that it waits. That is looked for once more after this was sent; but what it
 * says only then it may have said after it had read this, and then it still waits.
 */
static void send(struct pipe_end *e, const void *message, size_t size)
{
    bool waited = e->peer_waits;
    e->peer_waits = false;
    if (link_send_quietly(&e->link, message, size) < 0)
        member_end("a pipe's link");
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!waited && link_has_message(&e->link))
        (void)receive_or_end(e);
    bool waits_now = !waited && e->peer_waits && !link_drained(&e->link);
    if (waits_now)
        e->peer_waits = false;
    if (waited || waits_now)
        link_ring(&e->link);
}

static void tell_consumed(struct pipe_end *e, bool waits)
{
    struct pipe_credit credit = {.consumed = e->consumed, .waits = waits};
    if (!can_send(e, sizeof(credit)))
        return;
    e->told = e->consumed;
    send(e, &credit, sizeof(credit));
}

/* To the writer. */
static void take_credit(struct pipe_end *e, const struct record *record)
{
    const struct pipe_credit *credit = (const struct pipe_credit *)record->data;
    if (record->size != sizeof(*credit) || credit->consumed < e->consumed || credit->consumed > e->sent)
        member_end("what was read of a pipe, in another enclave");
    e->consumed = credit->consumed;
    e->peer_waits |= credit->waits != 0;
}

/* To the reader, who keeps the record. */
static bool take_data(struct pipe_end *e, struct record *record)
{
    const struct pipe_data *data = (const struct pipe_data *)record->data;
    if (record->size < sizeof(*data) || record->size - sizeof(*data) > PIPE_LENT_SIZE - (e->sent - e->consumed))
        member_end("what was written to a pipe, in another enclave");
    e->peer_waits |= data->waits != 0;
    if (record->size == sizeof(*data))
        return false;
    if (TAILQ_EMPTY(&e->records))
        e->at = sizeof(*data);
    TAILQ_INSERT_TAIL(&e->records, record, entry);
    e->sent += record->size - sizeof(*data);
    return true;
}

/* Take what has come. 0, -ENOMEM (some is still there), or -EPIPE if the link is dead. */
static int receive(struct pipe_end *e)
{
    struct record *record;
    bool some = false;
    int r;
    link_poll(&e->link);
    while ((r = link_receive(&e->link, &record)) == 0) {
        some = true;
        if (!e->writer && take_data(e, record))
            continue;
        if (e->writer)
            take_credit(e, record);
        kfree(record);
    }
    if (some) {
        e->heard++;
        e->said = false;
        wake_up_all(&e->wait, 0);
    }
    return r == -EAGAIN ? 0 : r == -ENOMEM ? r : -EPIPE;
}

static int receive_or_end(struct pipe_end *e)
{
    int r = receive(e);
    if (r == -EPIPE)
        member_end(e->link.failure ? e->link.failure : "a pipe's link");
    return r;
}

/*
 * By a call: memory may come. What the init enclave sent before the other end did, as the signal of a process that then
 * wrote, is heard of, too.
 */
static void receive_patiently(struct pipe_end *e, bool wanted)
{
    if (wanted && receive_or_end(e) < 0)
        task_yield();
    remote_poll();
}

/* ---- waiting for the other end ---- */

static bool is_over(const struct pipe_end *e)
{
    return __atomic_load_n(&e->back, __ATOMIC_RELAXED) || __atomic_load_n(&e->held, __ATOMIC_RELAXED);
}

static bool has_news(const void *arg)
{
    const struct pipe_end *e = arg;
    return is_over(e) || link_has_message(&e->link);
}

/* Does that pay, as it went of late? */
static bool look_out(struct pipe_end *e)
{
    if (e->misses >= MISSES_MAX && ++e->skipped % TRY_EVERY)
        return has_news(e);
    bool found = remote_look_out(has_news, e);
    e->misses = found ? 0 : e->misses + 1;
    return found;
}

static uint64_t room(const struct pipe_end *e)
{
    return PIPE_LENT_SIZE - (e->sent - e->consumed);
}

/*
 * The reader need not hear of it before it reads on, which frees a page. But if what it has read and not told of would
 * do, it is rung.
 */
static void say_that_we_wait(struct pipe_end *e, uint64_t wanted)
{
    struct pipe_data data = {.waits = 1};
    if (e->said || !can_send(e, MAX(sizeof(data), sizeof(struct pipe_credit))))
        return;
    e->said = true;
    if (e->writer)
        send(e, &data, sizeof(data));
    else
        tell_consumed(e, true);
    if (e->writer && (room(e) > 0 || wanted < PIPE_BUF))
        link_ring(&e->link);
}

/* Sleep until the other end has said something, or this one is back. 0 or -ERESTARTSYS. */
static int wait(struct pipe_end *e, uint64_t wanted)
{
    enum link_state state = e->link.state;
    unsigned heard = e->heard;
    if (look_out(e))
        return 0;
    say_that_we_wait(e, wanted);
    return wait_event(&e->wait, has_news(e) || e->heard != heard || e->link.state != state);
}

/* ---- reading ---- */

static uint64_t read_kept(struct pipe_end *e, uint64_t addr, uint64_t size)
{
    uint64_t done = 0;
    struct record *record;
    while (done < size && (record = TAILQ_FIRST(&e->records)) != NULL) {
        size_t n = MIN(size - done, record->size - e->at);
        size_t got = copy_to_user_partial(addr + done, record->data + e->at, n);
        done += got;
        e->at += got;
        if (e->at == record->size) {
            TAILQ_REMOVE(&e->records, record, entry);
            e->at = sizeof(struct pipe_data);
            kfree(record);
        }
        if (got < n)
            break;
    }
    return done;
}

/* Bytes, or -EFAULT, -ERESTARTSYS, or -ERECALLED: nothing was read, and it is the init enclave's now. */
static int64_t read_end(struct pipe_end *e, uint64_t addr, uint64_t size)
{
    while (!is_over(e)) {
        receive_patiently(e, TAILQ_EMPTY(&e->records));
        if (is_over(e))
            break;
        if (TAILQ_EMPTY(&e->records)) {
            int r = wait(e, 0);
            if (r < 0)
                return r;
            continue;
        }
        /* This may sleep; then nothing does. */
        uint64_t good = user_prepare(addr, MIN(size, e->sent - e->consumed), true);
        if (good == 0)
            return -EFAULT;
        if (is_over(e) || TAILQ_EMPTY(&e->records))
            continue;
        uint64_t done = read_kept(e, addr, good);
        e->consumed += done;
        if (done > 0 && (e->consumed - e->told >= CREDIT_MIN || e->consumed == e->sent || e->peer_waits))
            tell_consumed(e, false);
        return done > 0 ? (int64_t)done : -EFAULT;
    }
    return -ERECALLED;
}

/* ---- writing ---- */

/*
 * There is room in the pipe, but not in the ring of the link: it is full of many small records. The reader need not
 * read them now, and the pipe would have taken them all, so it is given back.
 */
static void give_up(const struct pipe_end *e)
{
    struct pipe_id_message m = {.message = {MESSAGE_PIPE_UNWANTED, 0, e->pid, 0}, .id = e->id};
    post(&m, sizeof(m));
}

/* Until `wanted` bytes may be written, or the end is back: 0 or -ERESTARTSYS. */
static int wait_room(struct pipe_end *e, uint64_t wanted)
{
    bool given_up = false;
    int r = 0;
    while (r == 0) {
        receive_patiently(e, true);
        if (is_over(e))
            break;
        bool fits = room(e) >= wanted;
        if (fits && can_send(e, sizeof(piece.head) + wanted))
            break;
        if (fits && e->link.state == LINK_OPEN && !given_up) {
            given_up = true;
            give_up(e);
        }
        r = wait(e, wanted);
    }
    return r;
}

/*
 * As Linux: what is no longer than PIPE_BUF goes as one, and no write returns a part unless something is wrong. Bytes;
 * *ret_error says why they are not all: -EFAULT, -ERESTARTSYS, or -ERECALLED.
 */
static uint64_t write_end(struct pipe_end *e, uint64_t addr, uint64_t size, int *ret_error)
{
    uint64_t done = 0;
    *ret_error = 0;
    while (done < size && *ret_error == 0) {
        uint64_t wanted = MIN(size - done, (uint64_t)PIPE_BUF), n;
        *ret_error = wait_room(e, wanted);
        if (*ret_error < 0)
            break;
        n = user_prepare(addr + done, MIN(size - done, PIECE), false); /* may sleep; then nothing does */
        if (is_over(e))
            *ret_error = -ERECALLED;
        else if (n == 0)
            *ret_error = -EFAULT;
        if (*ret_error < 0 || room(e) < MIN(wanted, n))
            continue;
        n = MIN(n, room(e));
        if (!can_send(e, sizeof(piece.head) + n))
            n = MIN(n, wanted);
        if (!can_send(e, sizeof(piece.head) + n))
            continue;
        n = copy_from_user_partial(piece.bytes, addr + done, n);
        e->sent += n;
        done += n;
        send(e, &piece, sizeof(piece.head) + n);
    }
    return done;
}

/* ---- calls ---- */

static struct pipe_end *find(int pid, int fd, bool writer)
{
    struct pipe_end *e;
    TAILQ_FOREACH (e, &ends, entry)
        if (e->pid == pid && e->fd == fd && e->writer == writer && !e->held)
            return e;
    return NULL;
}

static void end_free(struct pipe_end *e)
{
    struct record *record;
    link_close(&e->link);
    while ((record = TAILQ_FIRST(&e->records)) != NULL) {
        TAILQ_REMOVE(&e->records, record, entry);
        kfree(record);
    }
    kfree(e);
}

static void put(struct pipe_end *e)
{
    if (--e->users == 0 && e->back)
        end_free(e);
}

static bool call_read(struct pipe_end *e, const uint64_t args[6], int64_t *ret_result)
{
    *ret_result = read_end(e, args[1], args[2]);
    if (*ret_result != -ERECALLED)
        return true;
    *ret_result = 0;
    return false;
}

static bool call_write(struct pipe_end *e, uint64_t args[6], int64_t *ret_result)
{
    int error;
    uint64_t done = write_end(e, args[1], MIN(args[2], MOVE_MAX), &error);
    *ret_result = (int64_t)done;
    if (error == -ERECALLED) {
        args[1] += done;
        args[2] = MIN(args[2], MOVE_MAX) - done;
        return false;
    }
    if (done == 0)
        *ret_result = error;
    return true;
}

bool pipe_ends_call(uint64_t nr, uint64_t args[6], int64_t *ret_result)
{
    *ret_result = 0;
    if (likely(TAILQ_EMPTY(&ends)) || (nr != __NR_read && nr != __NR_write))
        return false;
    struct pipe_end *e = find(process_self()->pid, (int)args[0], nr == __NR_write);
    if (!e || (int64_t)args[2] <= 0)
        return false;
    e->users++;
    posted_settle();
    bool done = e->writer ? call_write(e, args, ret_result) : call_read(e, args, ret_result);
    put(e);
    return done;
}

/* ---- giving back ---- */

/* Nothing moves any more. */
static void now_back(struct pipe_end *e)
{
    e->back = true;
    TAILQ_REMOVE(&ends, e, entry);
    wake_up_all(&e->wait, 0);
    if (TAILQ_EMPTY(&ends))
        wake_up_all(&drained, 0);
    if (e->users == 0)
        end_free(e);
}

static void return_writer(struct pipe_end *e)
{
    struct pipe_id_message m = {.message = {MESSAGE_PIPE_RETURN, 0, e->pid, 0}, .id = e->id, .sent = e->sent};
    post(&m, sizeof(m));
    now_back(e);
}

/* The writer has sent `sent` bytes, the last of them before it said so. */
static void return_reader(struct pipe_end *e, uint64_t sent)
{
    int r = receive(e);
    if (r == -ENOMEM)
        member_end("no memory to give a pipe back");
    if (sent != PIPE_SENT_UNKNOWN && (r < 0 || e->sent != sent))
        member_end("bytes of a pipe are missing");
    struct pipe_id_message *m = kmalloc(sizeof(*m) + (e->sent - e->consumed));
    if (!m)
        member_end("no memory to give a pipe back");
    *m = (struct pipe_id_message){.message = {MESSAGE_PIPE_RETURN, 0, e->pid, 0}, .id = e->id};
    uint8_t *to = (uint8_t *)(m + 1);
    const struct record *record;
    size_t at = e->at;
    TAILQ_FOREACH (record, &e->records, entry) {
        memcpy(to, record->data + at, record->size - at);
        to += record->size - at;
        at = sizeof(struct pipe_data);
    }
    post(m, sizeof(*m) + (e->sent - e->consumed));
    kfree(m);
    now_back(e);
}

void pipe_ends_exited(const struct process *process)
{
    struct pipe_end *e, *next;
    TAILQ_FOREACH_SAFE (e, &ends, entry, next) {
        if (e->pid != process->pid)
            continue;
        if (e->writer)
            return_writer(e);
        else
            give_up(e);
    }
}

void pipe_ends_drain(void)
{
    struct wait_entry entry;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&drained, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (TAILQ_EMPTY(&ends))
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
}

/* ---- messages ---- */

/* A record as the writer would have sent it. */
static struct record *first_record(const struct pipe_lend_message *m)
{
    struct record *record = kmalloc(sizeof(*record) + sizeof(struct pipe_data) + m->size);
    if (!record)
        member_end("no memory for a pipe");
    record->size = sizeof(struct pipe_data) + m->size;
    memset(record->data, 0, sizeof(struct pipe_data));
    memcpy(record->data + sizeof(struct pipe_data), m + 1, m->size);
    return record;
}

static bool lend_ok(const struct pipe_lend_message *m, size_t size)
{
    return size >= sizeof(*m) && m->size <= PIPE_LENT_SIZE && m->writer <= 1 &&
           size - sizeof(*m) >= (m->writer ? 0 : m->size) && stream_place_ok(&m->place);
}

static void receive_lend(struct record *record)
{
    const struct pipe_lend_message *m = (const struct pipe_lend_message *)record->data;
    if (!lend_ok(m, record->size))
        member_end("a pipe of the init enclave");
    struct pipe_end *e = kzalloc(sizeof(*e));
    if (!e)
        member_end("no memory for a pipe");
    *e = (struct pipe_end){.id = m->id, .pid = m->message.pid, .fd = m->fd, .writer = m->writer != 0};
    wait_queue_init(&e->wait);
    TAILQ_INIT(&e->records);
    if (e->writer)
        e->sent = m->size;
    else if (m->size > 0)
        (void)take_data(e, first_record(m));
    link_open(&e->link, m->place.number, e->writer ? 0 : 1, m->place.peer, m->place.key);
    TAILQ_INSERT_TAIL(&ends, e, entry);
    const struct process *process = process_find(e->pid);
    if (!process || process->exiting)
        give_up(e);
    memory_wipe(record->data, record->size);
    kfree(record);
}

static void receive_recall(struct record *record)
{
    const struct pipe_id_message *m = (const struct pipe_id_message *)record->data;
    struct pipe_end *e;
    if (record->size < sizeof(*m))
        member_end("a pipe that the init enclave calls back");
    TAILQ_FOREACH (e, &ends, entry)
        if (e->id == m->id)
            break;
    if (e && e->writer) {
        return_writer(e);
    } else if (e && m->sent == PIPE_SENT_PENDING) {
        e->held = true;
        wake_up_all(&e->wait, 0);
    } else if (e) {
        return_reader(e, m->sent);
    }
    kfree(record);
}

void pipe_ends_poll(void)
{
    struct pipe_end *e;
    TAILQ_FOREACH (e, &ends, entry) {
        link_poll(&e->link);
        wake_up_all(&e->wait, 0);
        if (e->writer || receive(e) < 0)
            continue;
        if (e->peer_waits && e->consumed != e->told)
            tell_consumed(e, false);
    }
}

void pipe_ends_init(void)
{
    client_on_message(MESSAGE_PIPE_LEND, receive_lend);
    client_on_message(MESSAGE_PIPE_RECALL, receive_recall);
}

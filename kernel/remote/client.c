/*
 * Delegated system calls (contract in client.h).
 *
 * A waiting task has a struct pending on its stack, found by request number. client_poll(), in the idle loop or at a
 * tick, hands it the records that come; the task itself writes its memory, which may sleep.
 */
#include "kernel/remote/client.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>

#include "abi/stats.h"
#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/mm/uio.h"
#include "kernel/net/loan.h"
#include "kernel/net/net.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/remote/area.h"
#include "kernel/remote/assured.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/calls.h"
#include "kernel/remote/descriptors.h"
#include "kernel/remote/frames.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/local.h"
#include "kernel/remote/mixed.h"
#include "kernel/remote/pipe_ends.h"
#include "kernel/remote/posted.h"
#include "kernel/remote/remote.h"
#include "kernel/remote/sealed_member.h"
#include "kernel/remote/waiting.h"
#include "kernel/remote/windows.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/table.h"

#include "kernel/crypto/secret.h"

struct pending {
    LIST_ENTRY(pending) entry;
    uint32_t request;
    struct task *task;
    struct linger *linger;
    struct record_list records;
    uint8_t *into; /* where what is written from INTO_KERNEL on goes */
    size_t into_size;
};

#define BUCKETS 64
static LIST_HEAD(pending_list, pending) waiting[BUCKETS];
static uint32_t last_request;
static struct link init_link;
#define DISK_NS 250000 /* a write and flush that is worth waiting for awake: to be woken after it takes 40 us */
/* By system call: some sleep, some never do. */
static struct linger lingers[STATS_SYSCALL_MAX] = {
    [__NR_fsync] = {.work_ns = DISK_NS},
    [__NR_fdatasync] = {.work_ns = DISK_NS},
};
static void (*handlers[MESSAGE_TYPE_MAX])(struct record *record);
static void (*on_polled)(void);

/* Where the iovec of a piece of a readv or writev is said to be: no address of an application. */
#define PIECE_IOV (1ULL << 63)
#define INTO_KERNEL (3ULL << 62) /* of remote_call_into() */

/* ---- messages ---- */

void client_init(void)
{
    uint8_t key[LINK_KEY_SIZE];
    remote_base_key(key);
    link_open(&init_link, link_area_self(), 1, 0, key);
    memory_wipe(key, sizeof(key));
    mixed_init();
    sealed_member_init();
    pipe_ends_init();
}

void client_on_message(uint32_t type, void (*fn)(struct record *record))
{
    ASSERT(type >= MESSAGE_HANDLED && type < MESSAGE_TYPE_MAX);
    handlers[type] = fn;
}

void client_on_polled(void (*fn)(void))
{
    on_polled = fn;
}

int client_post(struct message *message, size_t size)
{
    posted_flush();
    message->request = 0;
    return link_send(&init_link, message, size);
}

int client_post_quietly(struct message *message, size_t size)
{
    posted_flush();
    message->request = 0;
    return link_send_quietly(&init_link, message, size);
}

bool client_unrung(void)
{
    return posted_pending() || link_unrung(&init_link);
}

void client_ring(void)
{
    posted_flush();
    link_ring(&init_link);
}

/* Much is queued only when the init enclave is slow: then wait rather than fill memory. */
static int send(const void *message, size_t size)
{
    int r = link_backlogged(&init_link) ? link_wait(&init_link) : 0;
    posted_flush();
    return r < 0 ? r : link_send(&init_link, message, size);
}

int client_send(struct message *message, size_t size)
{
    message->request = 0;
    return send(message, size);
}

bool client_peer_awake(void)
{
    return init_link.peer_awake;
}

void client_drain(void)
{
    (void)!link_wait(&init_link);
}

static void pending_add(struct pending *p, struct linger *linger)
{
    if (++last_request == 0)
        last_request = 1;
    p->request = last_request;
    p->task = task_current();
    p->linger = linger;
    TAILQ_INIT(&p->records);
    LIST_INSERT_HEAD(&waiting[p->request % BUCKETS], p, entry);
}

static void pending_remove(struct pending *p)
{
    struct record *record;
    LIST_REMOVE(p, entry);
    while ((record = TAILQ_FIRST(&p->records))) {
        TAILQ_REMOVE(&p->records, record, entry);
        kfree(record);
    }
}

static void dispatch(struct record *record)
{
    const struct message *message = (const struct message *)record->data;
    struct pending *p;
    if (record->size < sizeof(*message) || message->type >= MESSAGE_TYPE_MAX)
        panic("a message of the init enclave");
    if (message->request == 0 && handlers[message->type]) {
        handlers[message->type](record);
        return;
    }
    LIST_FOREACH (p, &waiting[message->request % BUCKETS], entry) {
        if (p->request == message->request) {
            TAILQ_INSERT_TAIL(&p->records, record, entry);
            task_wake(p->task);
            return;
        }
    }
    kfree(record);
}

bool client_poll(void)
{
    struct record *record;
    int r;
    link_poll(&init_link);
    link_cork();
    while ((r = link_receive(&init_link, &record)) == 0)
        dispatch(record);
    if (on_polled)
        on_polled();
    link_uncork();
    if (init_link.state == LINK_DEAD)
        host_lied(init_link.failure);
    return r != -ENOMEM;
}

/* The next record for p. Interruptible: NULL if a signal came. */
static struct record *pending_wait(struct pending *p, bool interruptible)
{
    struct record *record;
    int r = 0;
    for (;;) {
        while (r == 0 && TAILQ_EMPTY(&p->records) && remote_linger(p->linger, init_link.peer_awake))
            ;
        task_prepare_sleep(interruptible);
        record = TAILQ_FIRST(&p->records);
        if (record || r == -EINTR)
            break;
        r = task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    if (record)
        TAILQ_REMOVE(&p->records, record, entry);
    return record;
}

int client_request(struct message *message, size_t size, struct record **ret_answer)
{
    static struct linger linger;
    struct pending p;
    pending_add(&p, &linger);
    message->request = p.request;
    (void)remote_linger_begin(&linger);
    int r = send(message, size);
    if (r == 0)
        *ret_answer = pending_wait(&p, false);
    remote_linger_end();
    pending_remove(&p);
    return r;
}

/* ---- sending a call ---- */

static void copy_window(void *dst, struct gathered *g, size_t offset, size_t size)
{
    if (g->kernel) {
        memcpy(dst, (const uint8_t *)g->kernel + offset, size);
        return;
    }
    size_t got = copy_from_user_partial(dst, g->window.addr + offset, size);
    if (got < size) { /* unmapped meanwhile: there is no right answer, but no secret either */
        memset((uint8_t *)dst + got, 0, size - got);
        g->window.size = (uint32_t)(offset + got);
    }
}

static size_t sealed_count(const struct gathered *g)
{
    return g->window.flags >> WINDOW_SEALED_SHIFT;
}

/* Send a window's bytes ahead, as DATA. */
static int send_data(const struct message *like, struct gathered *g, uint32_t *count)
{
    const size_t most = ALIGN_DOWN(LINK_MESSAGE_MAX - sizeof(struct message) - sizeof(struct store), PAGE_SIZE);
    size_t head = sizeof(struct message) + sizeof(struct store);
    int r = 0;
    size_t sealed = sealed_count(g) * PAGE_SIZE;
    uint8_t *buffer = kmalloc_transient(head + MIN(most, (size_t)g->window.size - sealed));
    if (!buffer)
        return -ENOMEM;
    for (size_t done = sealed, n; r == 0 && done < g->window.size; done += n) {
        n = MIN(most, g->window.size - done);
        *(struct message *)buffer = *like;
        ((struct message *)buffer)->type = MESSAGE_DATA;
        *(struct store *)(buffer + sizeof(struct message)) = (struct store){g->window.addr + done, n};
        copy_window(buffer + head, g, done, n);
        r = send(buffer, head + n);
        *count += r == 0;
    }
    kfree(buffer);
    return r;
}

/* Which windows' bytes do not fit in the CALL: sent ahead. *ret_size: of the CALL. */
static int send_ahead(const struct message *like, struct windows *w, uint32_t *ret_count, size_t *ret_size)
{
    size_t size = sizeof(struct message) + sizeof(struct call_head) + w->count * sizeof(struct window);
    for (size_t i = 0; i < w->count; i++) {
        struct gathered *g = &w->list[i];
        if (!(g->window.flags & WINDOW_IN))
            continue;
        size += sealed_count(g) * sizeof(struct sealed_page);
        size_t padded = ALIGN_UP((size_t)g->window.size - sealed_count(g) * PAGE_SIZE, 8UL);
        if (size + padded <= LINK_MESSAGE_MAX) {
            size += padded;
            continue;
        }
        int r = send_data(like, g, ret_count);
        if (r < 0)
            return r;
        g->window.flags |= WINDOW_DATA;
    }
    *ret_size = size;
    return 0;
}

static size_t build_call(uint8_t *buffer, const struct message *message, const struct call_head *head,
                         struct windows *w)
{
    struct window *table = (struct window *)(buffer + sizeof(*message) + sizeof(*head));
    uint8_t *at = (uint8_t *)(table + w->count);
    memcpy(buffer, message, sizeof(*message));
    memcpy(buffer + sizeof(*message), head, sizeof(*head));
    for (size_t i = 0; i < w->count; i++) {
        struct gathered *g = &w->list[i];
        size_t sealed = sealed_count(g);
        if (sealed > 0) {
            memcpy(at, g->sealed, sealed * sizeof(*g->sealed));
            at += sealed * sizeof(*g->sealed);
        }
        if ((g->window.flags & (WINDOW_IN | WINDOW_DATA)) == WINDOW_IN && g->window.size > sealed * PAGE_SIZE) {
            copy_window(at, g, sealed * PAGE_SIZE, g->window.size - sealed * PAGE_SIZE);
            size_t rest = g->window.size - sealed * PAGE_SIZE, padded = ALIGN_UP(rest, 8UL);
            memset(at + rest, 0, padded - rest);
            at += padded;
        }
        table[i] = g->window;
    }
    return (size_t)(at - buffer);
}

#define CALL_SMALL 1024

static sigset64_t ignored_of_terminals(const struct process *process)
{
    sigset64_t set = 0;
    for (int signal = SIGTTIN; signal <= SIGTTOU; signal++)
        set |= process->actions[signal - 1].handler == (uint64_t)SIG_IGN ? SIGNAL_BIT(signal) : 0;
    return set;
}

static int send_call(const struct pending *p, uint64_t nr, const uint64_t args[6], struct windows *w)
{
    struct message message = {MESSAGE_CALL, p->request, process_self()->pid, p->task->tid};
    struct call_head head = {.nr = nr,
                             .blocked = p->task->signals.blocked,
                             .pending = p->task->signals.pending.set,
                             .ignored = ignored_of_terminals(process_self()),
                             .window_count = (uint32_t)w->count};
    uint64_t small[CALL_SMALL / 8];
    uint8_t *buffer = (uint8_t *)small;
    size_t size;
    memcpy(head.args, args, sizeof(head.args));
    if (nr == __NR_openat)
        head.lease_era = leased_ask();
    else if (assured_ask(nr, args))
        head.lease_era = leased_era();
    if (nr == __NR_write)
        head.wants_post = posted_ask();
    int r = send_ahead(&message, w, &head.data_count, &size);
    if (r < 0)
        return r;
    if (size > sizeof(small) && !(buffer = kmalloc_transient(size)))
        return -ENOMEM;
    size = build_call(buffer, &message, &head, w);
    (void)remote_linger_begin(p->linger);
    r = send(buffer, size);
    if (buffer != (uint8_t *)small)
        kfree(buffer);
    return r;
}

/* ---- answers ---- */

/* Pages that the call read from a pipe. Bytes of the record that they take; *good becomes false if one did not fit. */
static size_t deliver_pages(const struct store *store, size_t left, bool *good)
{
    const struct sealed_page *pages = (const struct sealed_page *)(store + 1);
    size_t count = (store->size & ~STORE_SEALED) / PAGE_SIZE;
    if (count > (left - sizeof(*store)) / sizeof(*pages))
        panic("a reply of the init enclave");
    for (size_t i = 0; i < count; i++)
        *good &= sealed_deliver(&pages[i], store->addr + i * PAGE_SIZE);
    return sizeof(*store) + count * sizeof(*pages);
}

/* Write what the call wrote. False: some of it could not be. */
static bool apply_stores(const struct pending *p, const struct record *record)
{
    const uint8_t *at = record->data + sizeof(struct message) + sizeof(struct reply_head);
    size_t left = record->size - sizeof(struct message) - sizeof(struct reply_head);
    bool good = true;
    while (left >= sizeof(struct store)) {
        const struct store *store = (const struct store *)at;
        if (store->size & STORE_SEALED) {
            size_t taken = deliver_pages(store, left, &good);
            at += taken;
            left -= taken;
            continue;
        }
        if (store->size > left - sizeof(*store))
            panic("a reply of the init enclave");
        uint64_t at_into = store->addr - INTO_KERNEL;
        if (p->into && at_into <= p->into_size && store->size <= p->into_size - at_into)
            memcpy(p->into + at_into, store + 1, store->size);
        else
            good &= copy_to_user(store->addr, store + 1, store->size) == 0;
        size_t step = MIN(sizeof(*store) + ALIGN_UP(store->size, 8UL), left);
        at += step;
        left -= step;
    }
    return good;
}

static int answer_fetch(const struct pending *p, const struct record *record)
{
    const struct window *wanted = (const struct window *)(record->data + sizeof(struct message));
    if (record->size < sizeof(struct message) + sizeof(*wanted))
        panic("a request of the init enclave");
    size_t size = MIN((size_t)wanted->size, 0x10000UL);
    struct message *answer = kmalloc_transient(sizeof(*answer) + size);
    if (!answer)
        return -ENOMEM;
    *answer = (struct message){MESSAGE_FETCHED, p->request, process_self()->pid, p->task->tid};
    size = copy_from_user_partial(answer + 1, wanted->addr, size);
    int r = send(answer, sizeof(*answer) + size);
    kfree(answer);
    return r;
}

static void send_cancel(const struct pending *p)
{
    struct message message = {MESSAGE_CANCEL, p->request, process_self()->pid, p->task->tid};
    if (send(&message, sizeof(message)) < 0)
        printk(LOG_WARNING, "no memory to interrupt a system call\n");
}

/* A FETCH that could not be answered for want of memory is answered with "it faults", which needs none to speak of. */
static void answer_nothing(const struct pending *p)
{
    struct message message = {MESSAGE_FETCHED, p->request, process_self()->pid, p->task->tid};
    while (send(&message, sizeof(message)) == -ENOMEM)
        task_yield();
}

/* A call is always waited for to its end; a signal only asks the agent to make it short. */
static int64_t wait_reply(struct pending *p, struct reply_head *ret_reply)
{
    bool cancelled = false, good = true;
    for (;;) {
        struct record *record = pending_wait(p, !cancelled);
        if (!record) {
            cancelled = true;
            send_cancel(p);
            continue;
        }
        const struct message *message = (const struct message *)record->data;
        const struct reply_head *head = (const struct reply_head *)(message + 1);
        if (message->type == MESSAGE_FETCH) {
            if (answer_fetch(p, record) < 0)
                answer_nothing(p);
        } else if (record->size >= sizeof(*message) + sizeof(*head)) {
            good &= apply_stores(p, record);
        }
        bool done = message->type == MESSAGE_REPLY && record->size >= sizeof(*message) + sizeof(*head);
        if (done)
            *ret_reply = *head;
        kfree(record);
        if (done)
            return ret_reply->result >= 0 && !good ? -EFAULT : ret_reply->result;
    }
}

static int64_t call_pending(struct pending *p, uint64_t nr, const uint64_t args[6], struct windows *w,
                            struct reply_head *ret_reply)
{
    pending_add(p, &lingers[nr % STATS_SYSCALL_MAX]);
    p->linger->prompt = true;
    borrower_tell_dirty(); /* by the same ring of the bell */
    sealed_tell_read();
    assured_tell();
    int64_t result = send_call(p, nr, args, w);
    if (result == 0) {
        uint64_t posts = posted_told();
        result = wait_reply(p, ret_reply);
        posted_heard(posts);
    }
    remote_linger_end();
    pending_remove(p);
    return result;
}

static int64_t call_once(uint64_t nr, const uint64_t args[6], struct windows *w, struct reply_head *ret_reply)
{
    struct pending p = {.into = NULL};
    return call_pending(&p, nr, args, w, ret_reply);
}

int64_t remote_call_into(uint64_t nr, const uint64_t args[6], unsigned arg, void *buf, size_t size)
{
    struct pending p = {.into = buf, .into_size = size};
    struct windows w;
    uint64_t there[6];
    struct reply_head reply;
    memcpy(there, args, sizeof(there));
    there[arg] = INTO_KERNEL;
    windows_init(&w);
    int64_t result = windows_out_kernel(&w, INTO_KERNEL, size);
    if (result == 0)
        result = call_pending(&p, nr, there, &w, &reply);
    windows_free(&w);
    return result;
}

/* ---- long reads and writes, in pieces ---- */

struct transfer {
    uint64_t nr, args[6];
    unsigned moves;
    struct io_segment fast[8], *segments; /* of a vector */
    size_t segment_count;
    uint64_t wanted; /* bytes in all */
};

static int64_t move_piece(struct transfer *t, uint64_t *ret_moved_most, struct reply_head *ret_reply)
{
    struct sealed_page sealed[FRAMES_MEMBER_MAX];
    struct windows w;
    int r = 0;
    windows_init(&w);
    if (t->moves & MOVES_VECTOR) {
        t->args[1] = PIECE_IOV;
        t->args[2] = t->segment_count;
        r = windows_in_kernel(&w, PIECE_IOV, t->segments, t->segment_count * sizeof(*t->segments));
    }
    for (size_t i = 0; r == 0 && i < t->segment_count; i++)
        r = t->moves & MOVES_OUT ? windows_in(&w, t->segments[i].base, t->segments[i].size)
                                 : windows_out(&w, t->segments[i].base, t->segments[i].size);
    if (r == 0 && t->nr == __NR_write && w.count == 1)
        (void)sealed_window(&w.list[0], (int)t->args[0], sealed, ARRAY_COUNT(sealed));
    *ret_moved_most = w.in_bytes + w.out_bytes;
    int64_t result = r < 0 ? r : call_once(t->nr, t->args, &w, ret_reply);
    windows_free(&w);
    return result;
}

static void advance(struct transfer *t, uint64_t moved)
{
    if (t->moves & MOVES_AT_OFFSET && (int64_t)t->args[3] != -1)
        t->args[3] += moved;
    if (!(t->moves & MOVES_VECTOR)) {
        t->args[1] += moved;
        t->args[2] -= moved;
    }
    while (t->segment_count > 0 && moved >= t->segments->size) {
        moved -= t->segments->size;
        t->segments++;
        t->segment_count--;
    }
    if (t->segment_count > 0) {
        t->segments->base += moved;
        t->segments->size -= moved;
    }
}

/* What is over when a piece was moved in part, or may not be followed by another, is the caller's to ask for again.
 * *ret_before: what was moved before -ERECALLED, after which the rest goes another way. */
static int64_t move_all(struct transfer *t, uint64_t *ret_before)
{
    uint64_t total = 0, most;
    struct reply_head reply;
    for (;;) {
        int64_t r = move_piece(t, &most, &reply);
        if (r == -ERECALLED) {
            *ret_before = total;
            return r;
        }
        if (r <= 0)
            return total > 0 ? (int64_t)total : r;
        total += (uint64_t)r;
        if ((uint64_t)r < most || total >= t->wanted || !(reply.flags & REPLY_CONTINUE))
            return (int64_t)total;
        advance(t, (uint64_t)r);
    }
}

/* As Linux's MAX_RW_COUNT. */
#define MOVE_MAX 0x7ffff000UL

static int64_t move(uint64_t nr, const uint64_t args[6], unsigned moves, uint64_t *ret_before)
{
    struct transfer t = {.nr = nr, .moves = moves};
    memcpy(t.args, args, sizeof(t.args));
    if (!(moves & MOVES_VECTOR)) {
        t.segments = t.fast;
        t.segment_count = args[2] > 0;
        t.wanted = MIN(args[2], MOVE_MAX);
        t.fast[0] = (struct io_segment){args[1], args[2]};
        return move_all(&t, ret_before);
    }
    struct io_segment *segments;
    if (iov_import(args[1], args[2], t.fast, &segments) < 0)
        return remote_call(nr, args); /* which error it is depends on the descriptor, too */
    t.segments = segments;
    t.segment_count = args[2];
    for (size_t i = 0; i < t.segment_count; i++)
        t.wanted += MIN(segments[i].size, MOVE_MAX - t.wanted);
    int64_t r = move_all(&t, ret_before);
    iov_release(t.fast, segments);
    return r;
}

int64_t remote_call(uint64_t nr, const uint64_t call_args[6])
{
    struct windows w;
    struct reply_head reply = {.free_from = 0};
    uint64_t args[6];
    memcpy(args, call_args, sizeof(args));
    windows_init(&w);
    int64_t result = windows_gather(&w, remote_call_describe(nr), args);
    if (result == 0)
        result = call_once(nr, args, &w, &reply);
    if (reply.free_from > 0)
        descriptors_free_from(reply.free_from);
    windows_free(&w);
    return result;
}

/* Who waits for room in a connection for the rest of a leased file has it still leased. */
static void settle_watched(int fd)
{
    struct file *file = leased_at((uint64_t)fd);
    if (file) {
        file_put(file);
        leased_settle();
    }
}

/* *ret_before: bytes moved before -ERECALLED. */
static int64_t run_elsewhere(uint64_t nr, struct trap_frame *frame, const uint64_t args[6], uint64_t *ret_before)
{
    const struct call *call = remote_call_describe(nr);
    int64_t result;
    if (nr == __NR_epoll_ctl)
        settle_watched((int)args[2]);
    if (process_self()->files && local_call(nr, frame, args, &result))
        return result;
    if (assured_call(nr, args, &result))
        return result;
    if (nr == __NR_sendfile)
        leased_settle();
    if (call->place == CALL_MIXED)
        result = remote_mixed(nr, frame, args);
    else if (call->moves)
        result = move(nr, args, call->moves, ret_before);
    else if (args[2] > CALL_DATA_MAX && remote_call_streams(nr, args))
        result = move(nr, args, nr == __NR_sendto ? MOVES_OUT : MOVES_IN, ret_before);
    else
        result = remote_call(nr, args);
    if (nr == __NR_pselect6)
        waiting_answered();
    if (result >= 0 && call->place == CALL_BOTH)
        result = remote_local(nr, frame);
    return result;
}

/* What was lent while the call was on its way is for this enclave to do. */
static int64_t run(uint64_t nr, struct trap_frame *frame, const uint64_t call_args[6])
{
    uint64_t args[6];
    int64_t result, before = 0, done;
    memcpy(args, call_args, sizeof(args));
    do {
        uint64_t moved = 0;
        bool whole = pipe_ends_call(nr, args, &done);
        result = whole ? done : run_elsewhere(nr, frame, args, &moved);
        before += whole ? 0 : done;
        if (moved > 0) { /* the first pieces of a write */
            before += (int64_t)moved;
            args[1] += moved;
            args[2] -= moved;
        }
    } while (result == -ERECALLED);
    return before > 0 ? before + MAX(result, 0) : result;
}

/* Keep track of what the call does to the process's descriptors. */
static int64_t run_tracked(uint64_t nr, struct trap_frame *frame, const uint64_t args[6])
{
    /* exec of a child on this one's memory does not come back, and is the init enclave's affair. */
    bool followed = process_self() == process_first() || nr == __NR_execve || nr == __NR_execveat;
    enum descriptor_use use = followed ? descriptors_use(nr, args) : DESCRIPTORS_CHANGED;
    /* The last two look at no other descriptor. */
    if (use != DESCRIPTORS_IGNORED && use != DESCRIPTORS_CLOSED && !(use == DESCRIPTORS_SEEN && local_is(nr, args)))
        leased_settle();
    if (use == DESCRIPTORS_IGNORED || use == DESCRIPTORS_SEEN)
        return run(nr, frame, args);
    if (use == DESCRIPTORS_CHANGED) {
        assured_forget();
        posted_forget();
        waiting_forget();
    } else if (use == DESCRIPTORS_CLOSED) {
        assured_closed((int)args[0]);
        posted_closed((int)args[0]);
        waiting_closed((int)args[0]);
    }
    descriptors_begin(use);
    int64_t result = run(nr, frame, args);
    descriptors_end(use, args, result);
    return result;
}

int64_t remote_syscall(struct trap_frame *frame)
{
    uint64_t nr = (uint32_t)frame->orig_rax;
    const uint64_t args[6] = {frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8, frame->r9};
    bool held = kernel_lock_held(); /* not in a lockless system call */
    int64_t result;
    if (!held)
        kernel_lock();
    if (!leased_call(nr, frame, args, &result) && !assured_accept(nr, args, &result) &&
        !waiting_call(nr, args, &result) && !(nr == __NR_write && posted_write(args, &result))) {
        result = run_tracked(nr, frame, args);
        leased_after(nr);
    }
    if (!held)
        kernel_unlock();
    return result;
}

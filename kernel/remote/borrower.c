/* Connections that this enclave has borrowed (contract in borrower.h). */
#include "kernel/remote/borrower.h"

#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/fs/epoll.h"
#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/net.h"
#include "kernel/process/table.h"
#include "kernel/remote/client.h"
#include "kernel/remote/loan_message.h"
#include "kernel/remote/local_epoll.h"
#include "kernel/remote/member.h"
#include "kernel/remote/remote.h"
#include "kernel/sched/task.h"

struct borrowed {
    uint64_t id;
    int fd, pid;
    bool own;    /* it began here: this enclave's pump serves it */
    bool untold; /* and the init enclave has not heard of it */
};

uint64_t borrower_returns;
static bool has_news; /* since it was cleared */
static uint64_t last_begun;
static size_t untold_count;

/* Nothing can be put off: the init enclave would wait for ever. */
static void post(void *message, size_t size)
{
    if (client_post(message, size) < 0)
        member_end("no memory to give a connection back");
}

/* What other messages, or a tick, will see to in time. */
static void post_quietly(void *message, size_t size)
{
    if (client_post_quietly(message, size) < 0)
        member_end("no memory to tell of a connection");
}

/* ---- the host is to look at channels ---- */

void borrower_tell_dirty(void)
{
    struct loan_channels_message m = {.message = {.type = MESSAGE_LOAN_DIRTY}};
    while ((m.count = (uint32_t)chan_borrowed_dirty(m.channels, LOAN_CHANNELS_MAX)) > 0)
        post_quietly(&m, sizeof(m));
}

static void flush(void)
{
    borrower_tell_dirty();
    if (client_unrung())
        client_ring();
}

static bool poll(bool found)
{
    (void)found;
    has_news = false;
    remote_poll();
    return has_news;
}

/* ---- giving back ---- */

static void collect(struct file *ep_file, int fd, const struct epoll_event *event, void *arg)
{
    struct loan_return_message *m = arg;
    int epfd = local_epoll_descriptor(ep_file);
    if (epfd < 0 || m->watch_count == LOAN_WATCHES_MAX)
        return;
    m->watches[m->watch_count++] =
        (struct loan_watch){.epfd = epfd, .fd = fd, .data = event->data, .events = event->events};
}

/* It is nothing of this enclave's any more; file: NULL if its last reference is going. */
static void forget(struct borrowed *b, struct file *file)
{
    if (file) {
        const struct process *process = process_find(b->pid);
        file_get(file);
        epoll_file_released(file);
        struct file *at = process && process->files ? fd_table_file(process->files, b->fd, NULL) : NULL;
        if (at == file)
            (void)!fd_table_close(process->files, b->fd);
        if (at)
            file_put(at);
        file_put(file);
    }
    kfree(b);
}

static void tell_begun(struct tcp_socket *t, struct borrowed *b)
{
    struct loan_message m = {.message = {MESSAGE_LOAN_BEGUN, 0, b->pid, 0}, .id = b->id, .fd = b->fd};
    const struct process *process = process_find(b->pid);
    bool cloexec = false;
    struct file *at = process && process->files ? fd_table_file(process->files, b->fd, &cloexec) : NULL;
    if (at)
        file_put(at);
    m.cloexec = cloexec;
    tcp_loan_now(t, &m.loan);
    b->untold = false;
    untold_count--;
    post_quietly(&m, sizeof(m));
}

static int tell_begun_file(int fd, struct file *file, void *arg)
{
    struct tcp_socket *t = tcp_borrowed(file);
    struct borrowed *b = t ? tcp_loan_of(t) : NULL;
    (void)fd;
    (void)arg;
    if (b && b->untold)
        tell_begun(t, b);
    return 0;
}

void borrower_tell_begun(void)
{
    struct process *process = process_first();
    if (untold_count > 0 && process && process->files)
        (void)!fd_for_each(process->files, tell_begun_file, NULL);
}

/* Nobody else has ever had it. */
static void close_untold(struct tcp_socket *t)
{
    struct borrowed *b = tcp_loan_of(t);
    struct file *file = tcp_file(t);
    untold_count--;
    tcp_leave(t);
    forget(b, file);
}

static void give_back(struct tcp_socket *t, int close_fd)
{
    static struct loan_return_message m; /* nothing below sleeps */
    struct borrowed *b = tcp_loan_of(t);
    struct file *file = tcp_file(t); /* NULL: its last reference is going */
    if (b->untold)
        tell_begun(t, b);
    if (b->own)
        tcp_give(t);
    borrower_tell_dirty();
    memset(&m, 0, sizeof(m));
    m.message = (struct message){MESSAGE_LOAN_RETURN, 0, b->pid, 0};
    m.id = b->id;
    m.close_fd = close_fd;
    if (file)
        epoll_file_watches(file, collect, &m);
    tcp_give_back(t, &m.loan);
    if (close_fd < 0)
        post(&m, LOAN_RETURN_SIZE(m.watch_count)); /* it is waited for */
    else
        post_quietly(&m, LOAN_RETURN_SIZE(m.watch_count));
    borrower_returns++;
    forget(b, file);
}

/* At once, or when whoever is moving bytes has done so: nothing may move any more after that. */
static void call_back(struct tcp_socket *t)
{
    if (tcp_in_use(t))
        tcp_ask_back(t);
    else
        give_back(t, -1);
}

bool borrower_settle(struct tcp_socket *t)
{
    if (tcp_recalled(t) && tcp_loan_of(t) && !tcp_in_use(t))
        give_back(t, -1);
    return tcp_recalled(t);
}

bool borrower_close(struct tcp_socket *t)
{
    const struct borrowed *b = tcp_loan_of(t);
    if (tcp_in_use(t) || tcp_recalled(t)) {
        borrower_tell_begun();
        return false;
    }
    if (b->untold)
        close_untold(t);
    else
        give_back(t, b->fd);
    return true;
}

static void closed(struct tcp_socket *t)
{
    const struct borrowed *b = tcp_loan_of(t);
    if (b->untold)
        close_untold(t);
    else
        give_back(t, -1);
}

static int call_back_file(int fd, struct file *file, void *arg)
{
    struct tcp_socket *t = tcp_borrowed(file);
    size_t *used = arg;
    (void)fd;
    if (!t)
        return 0;
    *used += tcp_in_use(t);
    call_back(t);
    return 0;
}

size_t borrower_end(struct process *process)
{
    size_t used = 0;
    borrower_tell_begun(); /* of what is in use as well: other calls of it are the init enclave's from now on */
    if (process->files)
        (void)fd_for_each(process->files, call_back_file, &used);
    return used;
}

/* ---- messages ---- */

/* It is not for us: the process is another, or no more. */
static void refuse(const struct loan_message *m)
{
    struct loan_return_message answer = {
        .message = {MESSAGE_LOAN_RETURN, 0, m->message.pid, 0}, .id = m->id, .close_fd = -1, .loan = m->loan};
    post(&answer, LOAN_RETURN_SIZE(0));
    borrower_returns++;
}

static bool may_borrow(const struct process *process)
{
    return process && process == process_first() && !process->exiting && process->leader;
}

static int borrow(struct process *process, const struct loan_message *m)
{
    struct borrowed *b = kmalloc(sizeof(*b));
    struct file *file;
    if (!b)
        return -ENOMEM;
    if (!process->files && !(process->files = fd_table_new())) {
        kfree(b);
        return -ENOMEM;
    }
    *b = (struct borrowed){.id = m->id, .fd = m->fd, .pid = process->pid};
    int r = tcp_borrow(&m->loan, b, &file);
    if (r < 0) {
        kfree(b);
        return r;
    }
    if (fd_table_set(process->files, m->fd, file, m->cloexec != 0) < 0)
        file_put(file); /* which gives it back */
    return 0;
}

int borrower_begin(struct tcp_socket *accepted, int fd, unsigned flags)
{
    struct process *process = process_self();
    struct borrowed *b = kmalloc(sizeof(*b));
    if (!b || (!process->files && !(process->files = fd_table_new()))) {
        kfree(b);
        tcp_drop(accepted);
        return -ENOMEM;
    }
    *b = (struct borrowed){
        .id = LOAN_BEGUN_ID | ++last_begun, .fd = fd, .pid = process->pid, .own = true, .untold = true};
    untold_count++;
    struct file *file = tcp_begin(accepted, b, flags);
    if (!file)
        return -ENFILE;
    int r = fd_table_set(process->files, fd, file, flags & O_CLOEXEC);
    if (r < 0)
        file_put(file);
    return r;
}

static void receive_loan(struct record *record)
{
    const struct loan_message *m = (const struct loan_message *)record->data;
    struct process *process = record->size >= sizeof(*m) ? process_find(m->message.pid) : NULL;
    if (record->size < sizeof(*m))
        member_end("a loan of the init enclave that is cut short");
    if (!may_borrow(process) || borrow(process, m) < 0)
        refuse(m);
    kfree(record);
}

static void receive_recall(struct record *record)
{
    const struct loan_id_message *m = (const struct loan_id_message *)record->data;
    struct tcp_socket *t = record->size >= sizeof(*m) ? tcp_borrowed_channel(m->channel) : NULL;
    const struct borrowed *b = t ? tcp_loan_of(t) : NULL;
    if (b && b->id == m->id)
        call_back(t);
    kfree(record);
}

static void receive_news(struct record *record)
{
    const struct loan_channels_message *m = (const struct loan_channels_message *)record->data;
    uint32_t count = record->size >= sizeof(*m) ? MIN(m->count, (uint32_t)LOAN_CHANNELS_MAX) : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct tcp_socket *t = tcp_borrowed_channel(m->channels[i]);
        if (t)
            tcp_borrowed_news(t);
    }
    has_news = true;
    kfree(record);
}

/* ---- for the calls of local.c ---- */

struct tcp_socket *borrower_find(int fd, struct file **ret_file)
{
    struct fd_table *files = process_self()->files;
    struct file *file = files ? fd_table_file(files, fd, NULL) : NULL;
    if (!file)
        return NULL;
    struct tcp_socket *t = tcp_borrowed(file);
    if (t && !tcp_recalled(t)) {
        *ret_file = file;
        return t;
    }
    file_put(file);
    return NULL;
}

void borrower_flags_changed(struct tcp_socket *t)
{
    const struct borrowed *b = tcp_loan_of(t);
    if (b->untold)
        return;
    struct loan_id_message m = {.message = {MESSAGE_LOAN_FLAGS, 0, b->pid, 0},
                                .id = b->id,
                                .channel = tcp_channel(t),
                                .flags = tcp_file(t)->flags};
    post(&m, sizeof(m));
}

void borrower_init(void)
{
    static const struct tcp_loan_ops ops = {.closed = closed};
    static const struct net_loan_ops net_ops = {.poll = poll, .flush = flush, .wanted = client_unrung};
    net_init_borrower();
    tcp_loan_ops_set(&ops);
    net_loan_ops = &net_ops;
    client_on_message(MESSAGE_LOAN, receive_loan);
    client_on_message(MESSAGE_LOAN_RECALL, receive_recall);
    client_on_message(MESSAGE_LOAN_NEWS, receive_news);
    local_epoll_init();
}

/* Connections that members have borrowed (contract in lender.h). */
#include "kernel/remote/lender.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/fs/epoll.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/net.h"
#include "kernel/process/table.h"
#include "kernel/remote/leases.h"
#include "kernel/remote/loan_message.h"
#include "kernel/remote/process_link.h"
#include "kernel/remote/server.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/work.h"
#include "kernel/sched/output.h"

#define RECALLS_MAX 4 /* who is called back so often is used by several: it stays */

struct loan {
    TAILQ_ENTRY(loan) entry, news_entry;
    struct tcp_socket *socket;
    struct remote_member *member; /* referenced */
    uint64_t id;
    int pid;
    bool recall_wanted, recalled;
    bool has_news;
};

struct watch {
    TAILQ_ENTRY(watch) entry;
    struct wait_entry wait;
    struct remote_member *member; /* referenced */
    struct file *file;            /* referenced */
    uint64_t id;
    int pid, fd;
    bool fired, told, several;
};

static TAILQ_HEAD(, loan) loans = TAILQ_HEAD_INITIALIZER(loans);
static TAILQ_HEAD(, loan) with_news = TAILQ_HEAD_INITIALIZER(with_news);
static TAILQ_HEAD(, watch) watches = TAILQ_HEAD_INITIALIZER(watches);
static uint64_t last_id;
static bool again; /* something could not be sent */

/* ---- lending ---- */

static void forget(struct loan *loan)
{
    TAILQ_REMOVE(&loans, loan, entry);
    if (loan->has_news)
        TAILQ_REMOVE(&with_news, loan, news_entry);
    remote_member_put(loan->member);
    kfree(loan);
}

static void lend(struct remote_member *member, const struct process *process, int fd, struct tcp_socket *t,
                 bool cloexec)
{
    struct loan_message *m = kzalloc(sizeof(*m));
    struct loan *loan = m ? kzalloc(sizeof(*loan)) : NULL;
    if (!loan) {
        kfree(m);
        return;
    }
    *loan = (struct loan){.socket = t, .member = remote_member_get(member), .id = ++last_id, .pid = process->pid};
    TAILQ_INSERT_TAIL(&loans, loan, entry);
    *m = (struct loan_message){
        .message = {MESSAGE_LOAN, 0, process->pid, 0}, .id = loan->id, .fd = fd, .cloexec = cloexec};
    tcp_lend(t, loan, &m->loan);
    if (link_send(remote_member_link(member), m, sizeof(*m)) < 0) {
        tcp_loan_end(t, &m->loan);
        forget(loan);
    }
    kfree(m);
}

static int fd_used(uint64_t nr, uint64_t arg0, int64_t result)
{
    switch (nr) {
    case __NR_accept:
    case __NR_accept4:
        return result >= 0 ? (int)result : -1;
    case __NR_read:
    case __NR_readv:
    case __NR_recvfrom:
    case __NR_recvmsg:
    case __NR_write:
    case __NR_writev:
    case __NR_sendto:
    case __NR_sendmsg:
    case __NR_setsockopt:
    case __NR_getsockname:
    case __NR_getpeername:
        return result >= 0 || result == -EAGAIN ? (int)arg0 : -1;
    default:
        return -1;
    }
}

void lender_offer(struct remote_member *member, struct process *process, uint64_t nr, uint64_t arg0, int64_t result)
{
    int fd = fd_used(nr, arg0, result);
    bool cloexec;
    if (fd < 0 || output_may_be_held() || !process->files || fd_table_shared(process->files) || process->ended ||
        !process->remote || process->remote->member != member || process->remote->stream)
        return;
    struct file *file = fd_table_file(process->files, fd, &cloexec);
    if (!file)
        return;
    if (tcp_lendable(file, 2)) { /* the table's and ours */
        struct tcp_socket *t = tcp_of_file(file);
        if (tcp_recalls(t) < RECALLS_MAX)
            lend(member, process, fd, t, cloexec);
    }
    file_put(file);
}

/* ---- news and recalls ---- */

static void on_news(struct tcp_socket *t)
{
    struct loan *loan = tcp_loan_of(t);
    if (loan->has_news)
        return;
    loan->has_news = true;
    TAILQ_INSERT_TAIL(&with_news, loan, news_entry);
}

/* One message for each member, or several. */
static void send_news(void)
{
    struct loan *first, *loan, *next;
    while ((first = TAILQ_FIRST(&with_news)) != NULL) {
        struct loan_channels_message m = {.message = {.type = MESSAGE_LOAN_NEWS}};
        struct remote_member *member = first->member;
        TAILQ_FOREACH_SAFE (loan, &with_news, news_entry, next) {
            if (loan->member != member || m.count == LOAN_CHANNELS_MAX)
                continue;
            m.channels[m.count++] = tcp_channel(loan->socket);
            TAILQ_REMOVE(&with_news, loan, news_entry);
            loan->has_news = false;
        }
        if (link_send(remote_member_link(member), &m, sizeof(m)) == -ENOMEM) {
            again = true; /* news of all of them, since we forgot of which */
            return;
        }
    }
}

static bool poll(bool found)
{
    if (found)
        send_news();
    return false;
}

static void send_recall(struct loan *loan)
{
    struct loan_id_message m = {
        .message = {MESSAGE_LOAN_RECALL, 0, loan->pid, 0}, .id = loan->id, .channel = tcp_channel(loan->socket)};
    loan->recalled = link_send(remote_member_link(loan->member), &m, sizeof(m)) != -ENOMEM;
    again |= !loan->recalled;
}

static void recall(struct tcp_socket *t)
{
    struct loan *loan = tcp_loan_of(t);
    if (loan->recall_wanted)
        return;
    loan->recall_wanted = true;
    send_recall(loan);
}

/* ---- what members say ---- */

/* The loan that a member means, if it is still one. */
static struct loan *loan_of(const struct remote_member *member, uint32_t channel, uint64_t id)
{
    struct tcp_socket *t = tcp_lent(channel);
    struct loan *loan = t ? tcp_loan_of(t) : NULL;
    return loan && loan->member == member && (id == 0 || loan->id == id) ? loan : NULL;
}

static bool is_file_of(const struct file *file, const struct tcp_socket *t)
{
    return file && file == tcp_file(t);
}

static void watch_again(struct process *process, struct tcp_socket *t, const struct loan_watch *w)
{
    struct file *ep_file = fd_table_file(process->files, w->epfd, NULL);
    struct file *file = fd_table_file(process->files, w->fd, NULL);
    const struct epoll_event event = {.events = w->events, .data = w->data};
    if (ep_file && is_file_of(file, t))
        (void)!epoll_file_adopt(ep_file, w->fd, file, &event); /* without memory it is watched no more */
    if (ep_file)
        file_put(ep_file);
    if (file)
        file_put(file);
}

static void receive_return(struct remote_member *member, struct record *record)
{
    const struct loan_return_message *m = (const struct loan_return_message *)record->data;
    if (record->size < LOAN_RETURN_SIZE(0) || m->watch_count > LOAN_WATCHES_MAX ||
        record->size < LOAN_RETURN_SIZE(m->watch_count) || !tcp_loan_ok(&m->loan)) {
        kfree(record);
        spawn_kill(member);
        return;
    }
    struct loan *loan = loan_of(member, m->loan.chan.number, m->id);
    struct process *process = remote_process_of(member, &m->message);
    if (loan) {
        struct tcp_socket *t = loan->socket;
        tcp_loan_end(t, &m->loan);
        forget(loan);
        for (uint32_t i = 0; process && process->files && i < m->watch_count; i++)
            watch_again(process, t, &m->watches[i]);
        bool closes = process && process->files && m->close_fd >= 0;
        struct file *file = closes ? fd_table_file(process->files, m->close_fd, NULL) : NULL;
        closes = closes && is_file_of(file, t);
        if (!closes)
            tcp_release_closed(t);
        if (file)
            file_put(file);
        if (closes)
            (void)!fd_table_close(process->files, m->close_fd);
    }
    kfree(record);
}

/* A connection that the member has accepted by itself. */
static bool begin(struct remote_member *member, const struct loan_message *m)
{
    struct process *process = remote_process_of(member, &m->message);
    struct file *file = process && process->files ? fd_table_file(process->files, m->fd, NULL) : NULL;
    struct loan *loan = !file && process && process->files && (m->id & LOAN_BEGUN_ID) ? kzalloc(sizeof(*loan)) : NULL;
    if (file)
        file_put(file);
    if (!loan)
        return false;
    if (tcp_foreign(&m->loan, loan, &file) < 0) {
        kfree(loan);
        return false;
    }
    *loan = (struct loan){
        .socket = tcp_of_file(file), .member = remote_member_get(member), .id = m->id, .pid = process->pid};
    TAILQ_INSERT_TAIL(&loans, loan, entry);
    if (fd_table_set(process->files, m->fd, file, m->cloexec != 0) == 0)
        return true;
    file_put(file);
    return false;
}

/* The application has its descriptor: if that cannot be, for want of memory, its enclave ends. */
static void receive_begun(struct remote_member *member, struct record *record)
{
    const struct loan_message *m = (const struct loan_message *)record->data;
    if (record->size < sizeof(*m) || !begin(member, m))
        spawn_kill(member);
    kfree(record);
}

static void receive_flags(struct remote_member *member, struct record *record)
{
    const struct loan_id_message *m = (const struct loan_id_message *)record->data;
    struct loan *loan = record->size >= sizeof(*m) ? loan_of(member, m->channel, m->id) : NULL;
    if (loan && tcp_file(loan->socket))
        tcp_set_file_flags(loan->socket, m->flags);
    kfree(record);
}

static void receive_dirty(struct remote_member *member, struct record *record)
{
    const struct loan_channels_message *m = (const struct loan_channels_message *)record->data;
    uint32_t count = record->size >= sizeof(*m) ? MIN(m->count, (uint32_t)LOAN_CHANNELS_MAX) : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct loan *loan = loan_of(member, m->channels[i], 0);
        if (loan)
            tcp_lent_dirty(loan->socket);
    }
    kfree(record);
}

/* ---- watches ---- */

struct watch_table {
    struct poll_table table;
    struct watch *watch;
};

static void watch_free(struct watch *watch)
{
    TAILQ_REMOVE(&watches, watch, entry);
    wait_queue_remove(&watch->wait);
    if (watch->file)
        file_put(watch->file);
    remote_member_put(watch->member);
    kfree(watch);
}

static void watch_tell(struct watch *watch)
{
    struct watch_message m = {
        .message = {MESSAGE_WATCH_FIRED, 0, watch->pid, 0}, .id = watch->id, .fd = watch->fd, .on = 1};
    watch->told = link_send(remote_member_link(watch->member), &m, sizeof(m)) != -ENOMEM;
    again |= !watch->told;
}

static bool watch_fire(struct wait_entry *wait, uint32_t events)
{
    struct watch *watch = container_of(wait, struct watch, wait);
    (void)events;
    wait_queue_remove(wait);
    watch->fired = true;
    watch_tell(watch);
    return true;
}

static void watch_queue(struct poll_table *table, struct file *file, struct wait_queue *queue)
{
    struct watch *watch = container_of(table, struct watch_table, table)->watch;
    (void)file;
    if (watch->wait.queue) { /* what has several can say things that the first one does not hear */
        watch->several = true;
        return;
    }
    wait_entry_init(&watch->wait, NULL);
    watch->wait.fn = watch_fire;
    wait_queue_add(queue, &watch->wait);
}

static struct watch *watch_find(const struct remote_member *member, int pid, int fd)
{
    struct watch *watch;
    TAILQ_FOREACH (watch, &watches, entry)
        if (watch->member == member && watch->pid == pid && watch->fd == fd)
            return watch;
    return NULL;
}

static void watch_begin(struct remote_member *member, const struct process *process, const struct watch_message *m)
{
    struct watch *watch = kzalloc(sizeof(*watch));
    if (!watch) {
        spawn_kill(member); /* it would wait for ever */
        return;
    }
    *watch = (struct watch){.member = remote_member_get(member), .id = m->id, .pid = process->pid, .fd = m->fd};
    TAILQ_INSERT_TAIL(&watches, watch, entry);
    watch->file = process->files ? fd_table_file(process->files, m->fd, NULL) : NULL;
    struct watch_table t = {.table.queue_fn = watch_queue, .watch = watch};
    uint32_t ready = watch->file ? file_poll(watch->file, &t.table) : EPOLLIN;
    if (!(ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) && watch->wait.queue && !watch->several)
        return;
    if (!watch->fired) {
        wait_queue_remove(&watch->wait);
        watch->fired = true;
        watch_tell(watch);
    }
}

static void receive_watch(struct remote_member *member, struct record *record)
{
    const struct watch_message *m = (const struct watch_message *)record->data;
    struct process *process = record->size >= sizeof(*m) ? remote_process_of(member, &m->message) : NULL;
    struct watch *old = process ? watch_find(member, process->pid, m->fd) : NULL;
    if (old)
        watch_free(old);
    if (process && m->on)
        watch_begin(member, process, m);
    kfree(record);
}

/* ---- ends ---- */

void lender_member_lost(struct remote_member *member)
{
    struct loan *loan, *next;
    struct watch *watch, *next_watch;
    TAILQ_FOREACH_SAFE (loan, &loans, entry, next) {
        struct tcp_socket *t = loan->socket;
        if (loan->member != member)
            continue;
        tcp_loan_lost(t);
        forget(loan);
        tcp_release_closed(t);
    }
    TAILQ_FOREACH_SAFE (watch, &watches, entry, next_watch)
        if (watch->member == member)
            watch_free(watch);
}

void lender_process_ended(const struct process *process)
{
    struct watch *watch, *next;
    TAILQ_FOREACH_SAFE (watch, &watches, entry, next)
        if (watch->pid == process->pid)
            watch_free(watch);
}

bool lender_poll(void)
{
    struct loan *loan;
    struct watch *watch;
    if (likely(!again))
        return true;
    again = false;
    TAILQ_FOREACH (loan, &loans, entry) {
        if (loan->recall_wanted && !loan->recalled)
            send_recall(loan);
        on_news(loan->socket);
    }
    send_news();
    TAILQ_FOREACH (watch, &watches, entry)
        if (watch->fired && !watch->told)
            watch_tell(watch);
    return !again;
}

void lender_init(void)
{
    static const struct tcp_loan_ops ops = {.news = on_news, .recall = recall, .unshare = leases_end_soon};
    static const struct net_loan_ops net_ops = {.poll = poll};
    tcp_loan_ops_set(&ops);
    net_loan_ops = &net_ops;
    remote_member_on_message(MESSAGE_LOAN_RETURN, receive_return);
    remote_member_on_message(MESSAGE_LOAN_BEGUN, receive_begun);
    remote_member_on_message(MESSAGE_LOAN_FLAGS, receive_flags);
    remote_member_on_message(MESSAGE_LOAN_DIRTY, receive_dirty);
    remote_member_on_message(MESSAGE_WATCH, receive_watch);
}

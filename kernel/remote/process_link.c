/* Processes in members, as the init enclave sees them (contract in process_link.h). */
#include "kernel/remote/process_link.h"

#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/signal.h>

#include "kernel/boot/image_key.h"
#include "kernel/crypto/secret.h"
#include "kernel/fs/pidfd.h"
#include "kernel/fs/vfs.h"
#include "kernel/ipc/ipc.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/shared.h"
#include "kernel/mm/touched.h"
#include "kernel/process/limits.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/table.h"
#include "kernel/remote/area.h"
#include "kernel/remote/check.h"
#include "kernel/remote/frames.h"
#include "kernel/remote/leases.h"
#include "kernel/remote/lender.h"
#include "kernel/remote/pending.h"
#include "kernel/remote/pipe_lender.h"
#include "kernel/remote/posts.h"
#include "kernel/remote/programs.h"
#include "kernel/remote/server.h"
#include "kernel/remote/shared_home.h"
#include "kernel/remote/show.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/stream.h"
#include "kernel/remote/work.h"
#include "kernel/sched/task.h"

int remote_process_new(struct process *process, struct remote_member *member)
{
    struct remote_process *remote = kzalloc(sizeof(*remote));
    if (!remote)
        return -ENOMEM;
    remote->member = remote_member_get(member);
    handle_table_init(&remote->handles, process->pid);
    process->remote = remote;
    return 0;
}

static struct wait_queue starts = {TAILQ_HEAD_INITIALIZER(starts.entries)};

/* It has ended, or goes elsewhere: who waits for an answer of its kernel waits no more. */
static void end_questions(struct process *process)
{
    remote_show_end(process);
    remote_take_end(process);
    process->pending.set = 0;
}

/* It runs, or never will. */
static void tell_waiter(struct remote_process *remote)
{
    struct remote_member *waiter = remote->waiter;
    remote->waiter = NULL;
    wake_up_all(&starts, 0);
    if (!waiter)
        return;
    remote_answer_number(waiter, &remote->wait_message, 0);
    remote_member_put(waiter);
}

/* Whoever sends by it need not wait for room any more. If the process claimed to run, only this enclave may doubt it.
 */
static void cut_stream(struct remote_process *remote)
{
    struct number_message m = {{.type = MESSAGE_CUT}, (int64_t)remote->stream_id};
    struct remote_member *sender = remote_member_find(remote->stream_from);
    if (!remote->stream_id)
        return;
    remote->stream_id = 0;
    link_stream_cut((uint64_t)m.number);
    if (sender && remote->stream && link_send(remote_member_link(sender), &m, sizeof(m)) == -ENOMEM)
        spawn_kill(sender);
}

static void remote_free(struct remote_process *remote)
{
    tell_waiter(remote);
    handle_table_free(&remote->handles);
    cut_stream(remote);
    if (remote->stream && remote_member_find(remote->stream_from))
        stream_number_retire(remote->stream, remote->stream_from);
    else
        stream_number_free(remote->stream);
    remote_member_put(remote->member);
    kfree(remote);
}

void remote_process_exited(struct process *process, int wait_status, const struct process_usage *usage)
{
    struct remote_process *remote = process->remote;
    handle_table_free(&remote->handles);
    cut_stream(remote);
    process_get(process);
    end_questions(process);
    lender_process_ended(process);
    process_exited(process, wait_status, usage);
    tell_waiter(remote);
    process_put(process);
}

void remote_start_wait(const struct process *process)
{
    struct wait_entry entry;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&starts, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (process->ended || process->end_reported || !process->remote->stream)
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
}

size_t shm_attached_elsewhere(const struct inode *inode)
{
    const struct process *process;
    size_t count = 0;
    TAILQ_FOREACH (process, &process_list, table_link)
        if (process->remote && !process->ended)
            count += handle_count(&process->remote->handles, inode);
    return count;
}

/* ---- remote_ops ---- */

static int send_signal(struct process *process, int tid, const struct signal_source *source)
{
    struct signal_message m = {{MESSAGE_SIGNAL, 0, process->pid, tid}, *source};
    process->remote->killed |= source->signal == SIGKILL;
    int r = link_send(remote_member_link(process->remote->member), &m, sizeof(m));
    return r == -ENOMEM ? -EAGAIN : 0; /* with a dead link, the process is about to end anyway */
}

/* By the order of the link it is known there before anything that comes of the caller's going on. */
static void send_limit(const struct process *process, unsigned resource)
{
    struct limit_message m = {
        {MESSAGE_LIMIT, 0, process->pid, 0}, .resource = resource, .limit = process->limits[resource]};
    (void)!link_send(remote_member_link(process->remote->member), &m, sizeof(m));
}

static void release(struct process *process)
{
    remote_free(process->remote);
    process->remote = NULL;
}

static const struct remote_ops ops = {.signal = send_signal,
                                      .limit = send_limit,
                                      .signal_take = remote_signal_take,
                                      .proc_show = remote_show,
                                      .settle = leases_settle,
                                      .release = release};

/* ---- beginnings ---- */

static int send_adopt(struct process *process, enum adopt_how how, const struct stream_place *stream)
{
    struct adopt_message *m = kzalloc(sizeof(*m));
    if (!m)
        return -ENOMEM;
    *m = (struct adopt_message){
        .message = {MESSAGE_ADOPT, 0, process->pid, process->pid},
        .how = how,
        .stream = *stream,
        .ppid = process->ppid,
        .pgid = process->pgid,
        .sid = process->sid,
        .exit_signal = process->exit_signal,
        .dumpable = process->dumpable,
        .no_new_privs = process->no_new_privs,
        .oom_score_adj = process->oom_score_adj,
        .nice = process->nice,
        .personality = process->personality,
        .start_ns = process->start_ns,
        .credentials = process->credentials,
    };
    memcpy(m->comm, process->comm, sizeof(m->comm));
    memcpy(m->limits, process->limits, sizeof(m->limits));
    memcpy(m->actions, process->actions, sizeof(m->actions));
    memcpy(m->hostname, container_hostname, sizeof(m->hostname));
    int r = link_send(remote_member_link(process->remote->member), m, sizeof(*m));
    memory_wipe(m, sizeof(*m));
    kfree(m);
    return r;
}

/* A stream between enclaves a (side 0) and b: both ends' places. */
static int make_stream(uint32_t a, uint32_t b, struct stream_place *ret_a, struct stream_place *ret_b)
{
    static uint64_t last_id;
    uint32_t number = stream_number_new();
    if (!number)
        return -EAGAIN;
    link_reset(number);
    *ret_a = (struct stream_place){.number = number, .peer = b, .id = ++last_id};
    random_bytes(ret_a->key, sizeof(ret_a->key));
    *ret_b = *ret_a;
    ret_b->peer = a;
    return 0;
}

/* process->remote is there: its enclave is told what to be. */
static int begin(struct process *process, enum adopt_how how, uint32_t from, struct stream_place *ret_stream)
{
    struct remote_process *remote = process->remote;
    struct stream_place theirs;
    int r = make_stream(from, remote_member_number(remote->member), ret_stream, &theirs);
    if (r < 0)
        return r;
    remote->stream = ret_stream->number;
    remote->stream_from = from;
    remote->sent = false;
    remote->stream_id = ret_stream->id;
    r = send_adopt(process, how, &theirs);
    memory_wipe(&theirs, sizeof(theirs));
    return r < 0 ? -EAGAIN : 0;
}

/*
 * Who has been killed makes no child and goes nowhere any more: else kill(-1, SIGKILL) would never be done with those
 * that make others all the time. Nor does one whose enclave is gone: nobody would send what the child waits for.
 */
static bool is_killed(const struct process *process)
{
    if (!process->remote)
        return process->exiting || signal_fatal_pending(task_current());
    return process->remote->killed || process->ended || process->end_reported;
}

int remote_fork(struct process *parent, int tid, uint32_t parent_member, uint64_t flags, int exit_signal,
                const struct signal_action actions[64], struct process **ret_child, struct stream_place *ret_stream)
{
    struct remote_member *member;
    struct process *child;
    int r = process_check_limit(parent);
    if (r == 0 && process_count() >= process_limit())
        r = -EAGAIN;
    if (r == 0)
        r = is_killed(parent) ? -EINTR : spawn_take(&member);
    if (r < 0)
        return r;
    if (is_killed(parent)) {
        spawn_give_back(member);
        return -EINTR;
    }
    if (parent->actions != actions) /* the child has them too */
        memcpy(parent->actions, actions, sizeof(parent->actions));
    r = process_new_child(parent, tid, flags, exit_signal, 0, &child);
    if (r == 0) {
        r = remote_process_new(child, member);
        if (r == 0 && parent->remote)
            r = handle_table_copy(&child->remote->handles, &parent->remote->handles);
        if (r == 0)
            r = begin(child, ADOPT_FORK, parent_member, ret_stream);
        if (r < 0)
            process_discard(child);
    }
    if (r < 0)
        spawn_kill(member);
    else
        *ret_child = process_get(child);
    remote_member_put(member);
    return r;
}

/* Does it still run where it ran before the sleep, and wholly? */
static bool is_at(const struct process *process, uint32_t from)
{
    const struct remote_process *remote = process->remote;
    return !process->ended && !is_killed(process) &&
           (remote ? remote_member_number(remote->member) == from && !remote->stream : from == 0);
}

int remote_exec_away(struct process *process, uint32_t from, struct stream_place *ret_stream)
{
    struct remote_member *member;
    int r = spawn_take(&member);
    if (r < 0)
        return r;
    struct remote_process *old = process->remote;
    r = is_at(process, from) ? remote_process_new(process, member) : -ESRCH;
    if (r == 0 && old)
        r = handle_table_copy(&process->remote->handles, &old->handles);
    if (r == 0)
        r = begin(process, ADOPT_EXEC, from, ret_stream);
    if (r < 0) {
        if (process->remote != old)
            remote_free(process->remote);
        process->remote = old;
        spawn_kill(member);
    } else if (old) {
        end_questions(process);
        remote_free(old);
    }
    remote_member_put(member);
    return r;
}

/* ---- what members report ---- */

/* The process that a message is about, if it runs in the enclave that sent it; NULL. */
struct process *remote_process_of(const struct remote_member *member, const struct message *message)
{
    struct process *process = process_find(message->pid);
    return process && process->remote && process->remote->member == member && !process->ended ? process : NULL;
}

void remote_answer_number(struct remote_member *member, const struct message *message, int64_t number)
{
    struct number_message answer = {*message, number};
    remote_answer(member, &answer.message, sizeof(answer));
}

void remote_answer(struct remote_member *member, const struct message *answer, size_t size)
{
    /* Without memory for it the caller would wait for ever: its enclave ends. */
    if (link_send(remote_member_link(member), answer, size) < 0)
        spawn_kill(member);
}

#define HANDLER(name)                                                                                                  \
    static void on_##name(struct remote_member *member, struct process *process, const struct message *message,        \
                          size_t size)

HANDLER(started)
{
    (void)member;
    (void)message;
    (void)size;
    stream_number_free(process->remote->stream);
    process->remote->stream = 0;
    tell_waiter(process->remote);
}

/* What has already done something is no longer undone: it ends. */
HANDLER(drop_child)
{
    const struct number_message *m = (const struct number_message *)message;
    struct process *child = size >= sizeof(*m) ? process_find((int)m->number) : NULL;
    if (!child || !child->remote || child->remote->member != member || child->parent != process || child->ended)
        return;
    end_questions(child);
    if (TAILQ_EMPTY(&child->agents) && TAILQ_EMPTY(&child->children) && !child->session_leader)
        process_discard(child);
    else
        remote_process_exited(child, SIGKILL, &(struct process_usage){0});
}

HANDLER(exited)
{
    const struct exited_message *m = (const struct exited_message *)message;
    if (size >= sizeof(*m) && wait_status_ok(m->wait_status))
        remote_process_exited(process, (int)m->wait_status, &m->usage);
    else
        spawn_kill(member);
}

HANDLER(stopped)
{
    const struct number_message *m = (const struct number_message *)message;
    (void)member;
    if (size >= sizeof(*m) && stop_signal_ok(m->number))
        process_stopped(process, (int)m->number);
}

HANDLER(continued)
{
    (void)member;
    (void)message;
    (void)size;
    process_continued(process);
}

HANDLER(tid_put)
{
    const struct number_message *m = (const struct number_message *)message;
    (void)member;
    if (size < sizeof(*m))
        return;
    tid_release(process, (int)m->number);
    process_thread_ended(process, (int)m->number);
}

HANDLER(handle_put)
{
    const struct handle_message *m = (const struct handle_message *)message;
    (void)member;
    if (size >= sizeof(*m))
        handle_drop(&process->remote->handles, m->handle, m->count);
}

/* To the enclave of its parent, for the next fork. */
HANDLER(touched)
{
    const struct touched_message *m = (const struct touched_message *)message;
    const struct process *parent = process->parent;
    (void)member;
    if (!touched_message_ok(m, size) || !parent || parent->ended)
        return;
    if (!parent->remote) {
        touched_want(m->pages, m->count);
        return;
    }
    struct touched_message *copy = kmalloc(size);
    if (!copy)
        return;
    memcpy(copy, m, size);
    copy->message = (struct message){MESSAGE_TOUCHED, 0, parent->pid, parent->pid};
    (void)!link_send(remote_member_link(parent->remote->member), copy, size); /* a guess that got lost does no harm */
    kfree(copy);
}

HANDLER(expected)
{
    const struct expected_message *m = (const struct expected_message *)message;
    (void)member;
    if (size >= sizeof(*m) && process->exe)
        programs_learn(process->exe->inode, &m->expected);
}

#define TIDS_MAX 32768 /* threads of a process, as Linux's default threads-max is about */

HANDLER(tids_get)
{
    struct tids_answer answer = {.message = *message};
    (void)size;
    while (answer.count < TIDS_BLOCK && process->reserved_tids < TIDS_MAX) {
        int tid = tid_reserve(process);
        if (tid < 0)
            break;
        answer.tids[answer.count++] = tid;
    }
    if (answer.count == 0)
        answer.count = -EAGAIN;
    remote_answer(member, &answer.message, sizeof(answer));
}

HANDLER(group_orphaned)
{
    (void)size;
    remote_answer_number(member, message, group_orphaned(process->pgid));
}

HANDLER(handle_get)
{
    const struct number_message *m = (const struct number_message *)message;
    struct file_answer answer = {.message = *message, .result = -EBADF};
    struct file *file =
        size >= sizeof(*m) && process->files ? fd_table_file(process->files, (int)m->number, NULL) : NULL;
    if (file) {
        answer.result =
            (file->flags & 010000000 /* O_PATH */) ? -EBADF : handle_add(&process->remote->handles, file, &answer.info);
        file_put(file);
    }
    remote_answer(member, &answer.message, sizeof(answer));
}

/* May sleep if it is run as work. */
static void read_pages(struct remote_member *member, struct process *process, const struct message *message,
                       size_t size)
{
    const struct handle_message *m = (const struct handle_message *)message;
    struct file *file = size >= sizeof(*m) ? handle_file(&process->remote->handles, m->handle) : NULL;
    size_t count = file ? MIN((size_t)m->count, (size_t)HANDLE_READ_MAX) : 0, done = 0;
    struct read_answer *answer = kmalloc(sizeof(*answer) + count * PAGE_SIZE);
    if (!answer) {
        remote_answer_number(member, message, -ENOMEM);
        return;
    }
    answer->message = *message;
    if (file)
        file_get(file);
    answer->result = file ? 0 : -EBADF;
    for (; done < count && file->inode->ops && file->inode->ops->read_page; done++) {
        if (m->index + done > (uint64_t)INT64_MAX >> PAGE_SHIFT ||
            ((m->index + done) << PAGE_SHIFT) >= (uint64_t)file->inode->size)
            break;
        if (shared_acquire(file->inode, m->index + done, false) < 0 ||
            file->inode->ops->read_page(file->inode, m->index + done, answer->pages + done * PAGE_SIZE) < 0)
            break;
    }
    if (file)
        answer->result = done ? (int64_t)done : -EIO;
    remote_answer(member, &answer->message, sizeof(*answer) + done * PAGE_SIZE);
    if (file)
        file_put(file);
    kfree(answer);
}

static void work_sync(struct remote_member *member, struct process *process, const struct message *message, size_t size)
{
    const struct handle_message *m = (const struct handle_message *)message;
    struct file *file = size >= sizeof(*m) ? handle_file(&process->remote->handles, m->handle) : NULL;
    int error = file ? 0 : -EBADF;
    if (file && file->ops && file->ops->fsync) {
        file_get(file);
        error = file->ops->fsync(file, false);
        file_put(file);
    }
    remote_answer_number(member, message, error);
}

static void on_message(struct remote_member *member, struct record *record,
                       void (*fn)(struct remote_member *, struct process *, const struct message *, size_t))
{
    const struct message *message = (const struct message *)record->data;
    struct process *process = remote_process_of(member, message);
    if (process)
        fn(member, process, message, record->size);
    else if (message->request)
        remote_answer_number(member, message, -ESRCH);
    kfree(record);
}

#define RECEIVER(name)                                                                                                 \
    static void receive_##name(struct remote_member *member, struct record *record)                                    \
    {                                                                                                                  \
        on_message(member, record, on_##name);                                                                         \
    }
RECEIVER(started)
RECEIVER(drop_child)
RECEIVER(exited)
RECEIVER(stopped)
RECEIVER(continued)
RECEIVER(tid_put)
RECEIVER(handle_put)
RECEIVER(touched)
RECEIVER(expected)
RECEIVER(tids_get)
RECEIVER(group_orphaned)
RECEIVER(handle_get)

/* A page of a file that enclaves share, or whose file system sleeps: can it be read without sleeping? Then it is held.
 */
static bool is_ready(struct inode *inode, const struct handle_message *m)
{
    return m->count == 1 && m->index < ((uint64_t)inode->size + PAGE_SIZE - 1) / PAGE_SIZE && inode->ops->hold_page &&
           shared_readable(inode, m->index) && inode->ops->hold_page(inode, m->index, false, false) == 0;
}

static void receive_handle_read(struct remote_member *member, struct record *record)
{
    const struct handle_message *m = (const struct handle_message *)record->data;
    const struct process *process = record->size >= sizeof(*m) ? remote_process_of(member, &m->message) : NULL;
    struct file *file = process ? handle_file(&process->remote->handles, m->handle) : NULL;
    struct inode *inode = file ? file->inode : NULL;
    uint64_t index = file ? m->index : 0;
    bool may_sleep = inode && (inode->shared || (inode->sb && inode->sb->ops));
    if (may_sleep && !is_ready(inode, m)) {
        remote_work(member, record, read_pages);
        return;
    }
    if (may_sleep)
        inode_get(inode);
    on_message(member, record, read_pages);
    if (!may_sleep)
        return;
    inode->ops->release_page(inode, index);
    inode_put(inode);
}

/* Who sends a beginning cannot go on with it. */
static void receive_abandon(struct remote_member *member, struct record *record)
{
    const struct number_message *m = (const struct number_message *)record->data;
    const struct process *process = record->size >= sizeof(*m) ? process_find((int)m->number) : NULL;
    if (process && process->remote && process->remote->stream && !process->ended &&
        process->remote->stream_from == remote_member_number(member))
        spawn_kill(process->remote->member);
    kfree(record);
}

static void receive_sent(struct remote_member *member, struct record *record)
{
    const struct number_message *m = (const struct number_message *)record->data;
    const struct process *process = record->size >= sizeof(*m) ? process_find((int)m->number) : NULL;
    if (process && process->remote && process->remote->stream &&
        process->remote->stream_from == remote_member_number(member))
        process->remote->sent = true;
    spawn_refill();
    kfree(record);
}

static void receive_start_wait(struct remote_member *member, struct record *record)
{
    const struct number_message *m = (const struct number_message *)record->data;
    const struct process *process = record->size >= sizeof(*m) ? process_find((int)m->number) : NULL;
    struct remote_process *remote = process && !process->ended ? process->remote : NULL;
    if (remote && remote->stream && remote->stream_from == remote_member_number(member) && !remote->waiter) {
        remote->waiter = remote_member_get(member);
        remote->wait_message = m->message;
    } else {
        remote_answer_number(member, &m->message, 0);
    }
    kfree(record);
}

static void receive_hello(struct remote_member *member, struct record *record)
{
    kfree(record);
    spawn_ready(member);
}

static void receive_renew(struct remote_member *member, struct record *record)
{
    const struct message message = *(const struct message *)record->data;
    kfree(record);
    remote_answer_number(member, &message, spawn_renew(member));
}

/* Members are started by processes, so the image was mounted before: the key is here, if there is one. */
static void receive_image_key(struct remote_member *member, struct record *record)
{
    const struct message *message = (const struct message *)record->data;
    const uint8_t *key = image_key_released();
    struct image_key_message answer = {.message = *message};
    if (key) {
        memcpy(answer.key, key, sizeof(answer.key));
        remote_answer(member, &answer.message, sizeof(answer));
        memory_wipe(&answer, sizeof(answer));
    } else {
        remote_answer_number(member, message, -ENOKEY);
    }
    kfree(record);
}

/* ---- what members ask for that sleeps: in a task that acts for the process ---- */

static void work_fork(struct remote_member *member, struct process *process, const struct message *message, size_t size)
{
    const struct fork_message *m = (const struct fork_message *)message;
    struct fork_answer answer = {.message = *message, .pidfd = -1};
    struct process *child = NULL;
    if (size < sizeof(*m) || !fork_message_ok(m)) {
        answer.result = -EPROTO;
    } else {
        answer.result = remote_fork(process, message->tid, remote_member_number(member), m->flags, m->exit_signal,
                                    m->actions, &child, &answer.stream);
    }
    if (answer.result == 0) {
        answer.result = child->pid;
        if (m->flags & CLONE_PIDFD)
            answer.pidfd = pidfd_install(child, 0);
        process_put(child);
    }
    remote_answer(member, &answer.message, sizeof(answer));
    memory_wipe(&answer, sizeof(answer));
}

static void work_new_child(struct remote_member *member, struct process *process, const struct message *message,
                           size_t size)
{
    const struct fork_message *m = (const struct fork_message *)message;
    struct fork_answer answer = {.message = *message, .result = -EPROTO, .pidfd = -1};
    struct process *child;
    if (is_killed(process)) {
        answer.result = -EINTR;
    } else if (size >= sizeof(*m) && fork_message_ok(m)) {
        memcpy(process->actions, m->actions, sizeof(process->actions));
        answer.result = process_new_child(process, message->tid, m->flags, m->exit_signal, 0, &child);
    }
    if (answer.result == 0) {
        int r = remote_process_new(child, member);
        if (r == 0)
            r = handle_table_copy(&child->remote->handles, &process->remote->handles);
        if (r == 0 && (m->flags & CLONE_PIDFD))
            r = answer.pidfd = pidfd_install(child, 0);
        answer.result = r < 0 ? r : child->pid;
        if (r < 0)
            process_discard(child);
    }
    remote_answer(member, &answer.message, sizeof(answer));
}

static void work_exec_away(struct remote_member *member, struct process *process, const struct message *message,
                           size_t size)
{
    struct fork_answer answer = {.message = *message, .pidfd = -1};
    (void)size;
    answer.result = remote_exec_away(process, remote_member_number(member), &answer.stream);
    remote_answer(member, &answer.message, sizeof(answer));
    memory_wipe(&answer, sizeof(answer));
}

static void receive_fork(struct remote_member *member, struct record *record)
{
    remote_work(member, record, work_fork);
}

static void receive_new_child(struct remote_member *member, struct record *record)
{
    remote_work(member, record, work_new_child);
}

static void receive_handle_sync(struct remote_member *member, struct record *record)
{
    remote_work(member, record, work_sync);
}

static void receive_exec_away(struct remote_member *member, struct record *record)
{
    remote_work(member, record, work_exec_away);
}

void process_link_init(void)
{
    static const struct {
        uint32_t type;
        void (*fn)(struct remote_member *member, struct record *record);
    } receivers[] = {
        {MESSAGE_HELLO, receive_hello},
        {MESSAGE_RENEW, receive_renew},
        {MESSAGE_IMAGE_KEY, receive_image_key},
        {MESSAGE_ABANDON, receive_abandon},
        {MESSAGE_SENT, receive_sent},
        {MESSAGE_START_WAIT, receive_start_wait},
        {MESSAGE_STARTED, receive_started},
        {MESSAGE_DROP_CHILD, receive_drop_child},
        {MESSAGE_EXITED, receive_exited},
        {MESSAGE_STOPPED, receive_stopped},
        {MESSAGE_CONTINUED, receive_continued},
        {MESSAGE_TID_PUT, receive_tid_put},
        {MESSAGE_HANDLE_PUT, receive_handle_put},
        {MESSAGE_TOUCHED, receive_touched},
        {MESSAGE_EXPECTED, receive_expected},
        {MESSAGE_TIDS_GET, receive_tids_get},
        {MESSAGE_GROUP_ORPHANED, receive_group_orphaned},
        {MESSAGE_HANDLE_GET, receive_handle_get},
        {MESSAGE_HANDLE_READ, receive_handle_read},
        {MESSAGE_HANDLE_SYNC, receive_handle_sync},
        {MESSAGE_FORK, receive_fork},
        {MESSAGE_NEW_CHILD, receive_new_child},
        {MESSAGE_EXEC_AWAY, receive_exec_away},
        {MESSAGE_EXEC_OPEN, receive_exec_open},
        {MESSAGE_EXECED, receive_execed},
        {MESSAGE_SHOWN, receive_shown},
        {MESSAGE_PENDING, receive_pending},
        {MESSAGE_SIGNAL_TAKEN, receive_signal_taken},
        {MESSAGE_CHILD_ACTION, receive_child_action},
    };
    for (size_t i = 0; i < ARRAY_COUNT(receivers); i++)
        remote_member_on_message(receivers[i].type, receivers[i].fn);
    shared_home_init();
    lender_init();
    pipe_lender_init();
    leases_init();
    posts_init();
    frames_init();
    remote_member_on_lost(spawn_lost);
    remote_ops_set(&ops);
}

/*
 * A member's kernel besides delegated calls (client.c): the processes that run here, as far as the init enclave must
 * hear of them, and the signals that come for them. After its last process it is nobody again (renew.h) or ends.
 */
#include "kernel/remote/member.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>

#include "kernel/arch/hostcall.h"
#include "kernel/boot/boot.h"
#include "kernel/boot/image_key.h"
#include "kernel/crypto/secret.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/list.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/touched.h"
#include "kernel/net/net.h"
#include "kernel/process/itimer.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/table.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/check.h"
#include "kernel/remote/client.h"
#include "kernel/remote/exec_client.h"
#include "kernel/remote/fork.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/local_epoll.h"
#include "kernel/remote/mixed.h"
#include "kernel/remote/pending.h"
#include "kernel/remote/pipe_ends.h"
#include "kernel/remote/posted.h"
#include "kernel/remote/remote_file.h"
#include "kernel/remote/renew.h"
#include "kernel/remote/shared_member.h"
#include "kernel/remote/show.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/table.h"

static struct message message_of(uint32_t type, const struct process *process)
{
    return (struct message){type, 0, process->pid, task_current()->tid};
}

/* A request whose answer is a number. */
static int64_t ask_number(uint32_t type, const struct process *process)
{
    struct message m = message_of(type, process);
    struct record *record;
    int64_t result = client_request(&m, sizeof(m), &record);
    if (result < 0)
        return result;
    const struct number_message *answer = (const struct number_message *)record->data;
    result = record->size >= sizeof(*answer) ? answer->number : -EPROTO;
    kfree(record);
    return result;
}

/* Without memory to say it, the init enclave sees that something is wrong when we are gone. */
static void post(struct message *message, size_t size)
{
    if (client_post(message, size) < 0)
        member_end("no memory to tell the init enclave what happened");
}

/* ---- ids of threads: asked for in blocks ---- */

struct spare_tid {
    TAILQ_ENTRY(spare_tid) entry;
    int tid, pid;
};

static TAILQ_HEAD(, spare_tid) spare_tids = TAILQ_HEAD_INITIALIZER(spare_tids);

static int take_spare(const struct process *process)
{
    struct spare_tid *spare;
    TAILQ_FOREACH (spare, &spare_tids, entry) {
        if (spare->pid != process->pid)
            continue;
        int tid = spare->tid;
        TAILQ_REMOVE(&spare_tids, spare, entry);
        kfree(spare);
        return tid;
    }
    return -ENOENT;
}

static void tid_put(struct process *process, int tid)
{
    struct number_message m = {message_of(MESSAGE_TID_PUT, process), tid};
    post(&m.message, sizeof(m));
}

static void add_spare(struct process *process, int tid)
{
    struct spare_tid *spare = kmalloc(sizeof(*spare));
    if (!spare) {
        tid_put(process, tid);
        return;
    }
    *spare = (struct spare_tid){.tid = tid, .pid = process->pid};
    TAILQ_INSERT_TAIL(&spare_tids, spare, entry);
}

static int tid_get(struct process *process)
{
    int tid = take_spare(process);
    if (tid > 0)
        return tid;
    struct message m = message_of(MESSAGE_TIDS_GET, process);
    struct record *record;
    int r = client_request(&m, sizeof(m), &record);
    if (r < 0)
        return -EAGAIN;
    const struct tids_answer *answer = (const struct tids_answer *)record->data;
    tid = -EAGAIN;
    if (record->size >= sizeof(*answer) && answer->count > 0 && answer->count <= TIDS_BLOCK) {
        tid = answer->tids[0];
        for (int i = 1; i < answer->count; i++)
            add_spare(process, answer->tids[i]);
    }
    kfree(record);
    return tid;
}

/* ---- what becomes of processes ---- */

static int new_child(struct process *parent, uint64_t flags, int exit_signal, int *ret_pidfd)
{
    struct fork_message *m = kzalloc(sizeof(*m));
    struct record *record;
    if (!m)
        return -ENOMEM;
    *m = (struct fork_message){
        .message = message_of(MESSAGE_NEW_CHILD, parent), .flags = flags, .exit_signal = exit_signal};
    memcpy(m->actions, parent->actions, sizeof(m->actions));
    int r = leased_request(&m->message, sizeof(*m), &record);
    kfree(m);
    if (r < 0)
        return -EAGAIN;
    const struct fork_answer *answer = (const struct fork_answer *)record->data;
    const struct number_message *error = (const struct number_message *)record->data;
    if (record->size >= sizeof(*answer)) {
        r = answer->result;
        *ret_pidfd = answer->pidfd;
    } else {
        r = record->size >= sizeof(*error) ? answer_error(error->number) : -EPROTO;
    }
    kfree(record);
    return r;
}

static void drop_child(int pid)
{
    struct number_message m = {message_of(MESSAGE_DROP_CHILD, process_self()), pid};
    post(&m.message, sizeof(m));
}

static void stopped(struct process *process, int signal)
{
    struct number_message m = {message_of(MESSAGE_STOPPED, process), signal};
    post(&m.message, sizeof(m));
}

static void continued(struct process *process)
{
    struct message m = message_of(MESSAGE_CONTINUED, process);
    post(&m, sizeof(m));
}

static bool orphaned(struct process *process)
{
    return ask_number(MESSAGE_GROUP_ORPHANED, process) == 1;
}

static void end_thread(void *arg)
{
    (void)arg;
    pipe_ends_drain();
    client_drain();
    if (process_count() == 0)
        member_renew();
}

/* A guess that got lost does no harm. */
void member_tell_touched(const struct process *process)
{
    struct touched_message *m = kmalloc(sizeof(*m) + TOUCHED_MAX * sizeof(m->pages[0]));
    if (!m)
        return;
    m->message = message_of(MESSAGE_TOUCHED, process);
    m->count = (uint32_t)touched_take(m->pages);
    if (m->count > 0)
        (void)!client_post(&m->message, sizeof(*m) + m->count * sizeof(m->pages[0]));
    kfree(m);
}

void member_tell_expected(const struct process *process)
{
    struct expected_message *m = kzalloc(sizeof(*m));
    if (!m)
        return;
    m->message = message_of(MESSAGE_EXPECTED, process);
    expected_take(&m->expected);
    if (m->expected.count > 0)
        (void)!client_post(&m->message, sizeof(*m));
    kfree(m);
}

static void receive_touched(struct record *record)
{
    const struct touched_message *m = (const struct touched_message *)record->data;
    if (touched_message_ok(m, record->size) && process_find(m->message.pid))
        touched_want(m->pages, m->count);
    kfree(record);
}

static void exited(struct process *process, int wait_status, const struct process_usage *usage)
{
    struct exited_message m = {message_of(MESSAGE_EXITED, process), wait_status, *usage};
    struct spare_tid *spare, *next;
    if (process == process_first())
        local_epoll_end();
    if (process == process_first())
        leased_end();
    if (process == process_first())
        net_pump_end();
    pipe_ends_exited(process);
    TAILQ_FOREACH_SAFE (spare, &spare_tids, entry, next) {
        if (spare->pid != process->pid)
            continue;
        TAILQ_REMOVE(&spare_tids, spare, entry);
        kfree(spare);
    }
    if (process == process_first()) {
        member_tell_touched(process);
        member_tell_expected(process);
    }
    post(&m.message, sizeof(m));
    if (process_count() == 1 && !kernel_thread_start("end", end_thread, NULL))
        member_end("no memory to end");
}

static void child_action(const struct process *process)
{
    const struct signal_action *action = &process->actions[SIGCHLD - 1];
    struct number_message m = {message_of(MESSAGE_CHILD_ACTION, process),
                               (action->handler == (uint64_t)SIG_IGN ? CHILD_ACTION_IGNORE : 0) |
                                   (action->flags & SA_NOCLDWAIT ? CHILD_ACTION_NO_ZOMBIES : 0) |
                                   (action->flags & SA_NOCLDSTOP ? CHILD_ACTION_NO_STOPS : 0)};
    post(&m.message, sizeof(m));
}

static const struct member_ops ops = {
    .new_child = new_child,
    .drop_child = drop_child,
    .tid_get = tid_get,
    .tid_put = tid_put,
    .stopped = stopped,
    .continued = continued,
    .pending = member_pending,
    .child_action = child_action,
    .group_orphaned = orphaned,
    .exited = exited,
    .exec_open = remote_exec_open,
    .execed = remote_execed,
    .file_get = remote_file_get,
};

/* ---- signals ---- */

static void receive_signal(struct record *record)
{
    const struct signal_message *m = (const struct signal_message *)record->data;
    bool good = record->size >= sizeof(*m) && signal_source_ok(&m->source);
    struct process *process = good ? process_find(m->message.pid) : NULL;
    if (process && m->message.tid) {
        struct task *task = task_find(m->message.tid);
        if (task && task->process == process)
            signal_send_task(task, &m->source);
    } else if (process) {
        signal_send_process(process, &m->source);
    }
    kfree(record);
}

static void receive_limit(struct record *record)
{
    const struct limit_message *m = (const struct limit_message *)record->data;
    bool good = record->size >= sizeof(*m) && m->resource < RLIM_NLIMITS;
    struct process *process = good ? process_find(m->message.pid) : NULL;
    if (process)
        process->limits[m->resource] = m->limit;
    if (process && m->resource == RLIMIT_CPU)
        itimers_limit(process);
    kfree(record);
}

static void receive_cut(struct record *record)
{
    const struct number_message *m = (const struct number_message *)record->data;
    if (record->size >= sizeof(*m))
        link_stream_cut((uint64_t)m->number);
    kfree(record);
}

void member_end(const char *why)
{
    printk(LOG_WARNING, "a process of the container ends: %s\n", why);
    hostcall_exit(1);
}

/* What the init enclave had from a key server. Answers come in while this task sleeps, as to any request. */
static void get_image_key(void)
{
    struct message m = {.type = MESSAGE_IMAGE_KEY};
    struct record *record;
    if (policy()->root_key_release != POLICY_KEY_SERVER)
        return;
    if (client_request(&m, sizeof(m), &record) < 0)
        member_end("the init enclave is not there");
    if (record->size != sizeof(struct image_key_message))
        member_end("the init enclave has no key of the root image");
    image_key_receive(((const struct image_key_message *)record->data)->key);
    memory_wipe(record->data, record->size);
    kfree(record);
}

void member_init(void)
{
    struct message hello = {.type = MESSAGE_HELLO};
    pages_keep_text();
    mm_keep_layout();
    client_init();
    get_image_key();
    fs_init_member();
    member_ops_set(&ops);
    static const uint64_t own[] = {__NR_execve, __NR_execveat, __NR_mmap};
    for (size_t i = 0; i < ARRAY_COUNT(own); i++)
        remote_mixed_set(own[i], syscall_functions()[own[i]]);
    client_on_message(MESSAGE_ADOPT, adopt);
    client_on_message(MESSAGE_SIGNAL, receive_signal);
    client_on_message(MESSAGE_LIMIT, receive_limit);
    client_on_message(MESSAGE_SIGNAL_TAKE, receive_signal_take);
    client_on_message(MESSAGE_CUT, receive_cut);
    client_on_message(MESSAGE_SHOW, receive_show);
    client_on_message(MESSAGE_TOUCHED, receive_touched);
    shared_member_init();
    borrower_init();
    leased_init();
    posted_init();
    if (client_send(&hello, sizeof(hello)) < 0)
        member_end("the init enclave is not there");
}

/* The init enclave's view of signals that wait in members (contract in pending.h). */
#include "kernel/remote/pending.h"

#include "kernel/lib/list.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/table.h"
#include "kernel/remote/check.h"
#include "kernel/remote/process_message.h"
#include "kernel/remote/server.h"
#include "kernel/sched/task.h"

struct take {
    LIST_ENTRY(take) entry;
    const struct process *process;
    uint64_t number;
    bool done;
    struct signal_source source;
    struct wait_queue wait;
};

static LIST_HEAD(, take) takes = LIST_HEAD_INITIALIZER(takes);

/* Not interruptibly: a signal that the member has taken must not be lost. */
static void wait_for(struct take *take)
{
    struct wait_entry entry;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&take->wait, &entry);
    for (;;) {
        task_prepare_sleep(false);
        if (take->done)
            break;
        (void)!task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
}

int remote_signal_take(struct process *process, int tid, sigset64_t set, struct signal_source *ret_source)
{
    static uint64_t last_number;
    struct take take = {.process = process, .number = ++last_number};
    struct signal_take_message m = {{MESSAGE_SIGNAL_TAKE, 0, process->pid, tid}, take.number, set};
    wait_queue_init(&take.wait);
    if (process->ended || link_send(remote_member_link(process->remote->member), &m, sizeof(m)) < 0)
        return 0;
    LIST_INSERT_HEAD(&takes, &take, entry);
    wait_for(&take);
    LIST_REMOVE(&take, entry);
    if (take.source.signal == 0 || !(SIGNAL_BIT(take.source.signal) & set))
        return 0;
    *ret_source = take.source;
    return take.source.signal;
}

static void finish(struct take *take)
{
    take->done = true;
    wake_up_all(&take->wait, 0);
}

void remote_take_end(const struct process *process)
{
    struct take *take;
    LIST_FOREACH (take, &takes, entry)
        if (take->process == process)
            finish(take);
}

void receive_signal_taken(struct remote_member *member, struct record *record)
{
    const struct signal_taken_message *m = (const struct signal_taken_message *)record->data;
    const struct process *process = record->size >= sizeof(*m) ? remote_process_of(member, &m->message) : NULL;
    struct take *take;
    LIST_FOREACH (take, &takes, entry) {
        if (!process || take->process != process || take->number != m->number || take->done)
            continue;
        if (signal_source_ok(&m->source))
            take->source = m->source;
        finish(take);
        break;
    }
    kfree(record);
}

void receive_pending(struct remote_member *member, struct record *record)
{
    const struct number_message *m = (const struct number_message *)record->data;
    struct process *process = record->size >= sizeof(*m) ? remote_process_of(member, &m->message) : NULL;
    struct task *agent;
    if (process && m->message.tid == 0)
        process->pending.set = (sigset64_t)m->number;
    else if (process)
        TAILQ_FOREACH (agent, &process->agents, thread_link)
            if (agent->tid == m->message.tid)
                agent->signals.pending.set = (sigset64_t)m->number;
    if (process && m->number)
        wake_up_all(signal_wait_queue(), 0x001 /* EPOLLIN */);
    kfree(record);
}

void receive_child_action(struct remote_member *member, struct record *record)
{
    const struct number_message *m = (const struct number_message *)record->data;
    struct process *process = record->size >= sizeof(*m) ? remote_process_of(member, &m->message) : NULL;
    if (process)
        process->actions[SIGCHLD - 1] =
            (struct signal_action){.handler = (uint64_t)(m->number & CHILD_ACTION_IGNORE ? SIG_IGN : SIG_DFL),
                                   .flags = (m->number & CHILD_ACTION_NO_ZOMBIES ? SA_NOCLDWAIT : 0U) |
                                            (m->number & CHILD_ACTION_NO_STOPS ? SA_NOCLDSTOP : 0U)};
    kfree(record);
}

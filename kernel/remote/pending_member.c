/* A member's signals that wait, and those that the init enclave takes (contract in pending.h). */
#include "kernel/mm/kmalloc.h"
#include "kernel/process/table.h"
#include "kernel/remote/client.h"
#include "kernel/remote/member.h"
#include "kernel/remote/pending.h"
#include "kernel/remote/process_message.h"
#include "kernel/sched/task.h"

static void post(struct message *message, size_t size)
{
    if (client_post(message, size) < 0)
        member_end("no memory to tell the init enclave of signals");
}

void member_pending(struct process *process, int tid, sigset64_t set)
{
    struct number_message m = {{MESSAGE_PENDING, 0, process->pid, tid}, (int64_t)set};
    post(&m.message, sizeof(m));
}

void receive_signal_take(struct record *record)
{
    const struct signal_take_message *m = (const struct signal_take_message *)record->data;
    if (record->size >= sizeof(*m)) {
        struct signal_taken_message answer = {{MESSAGE_SIGNAL_TAKEN, 0, m->message.pid, m->message.tid},
                                              .number = m->number};
        struct task *task = task_find(m->message.tid);
        if (task && task->process && task->process->pid == m->message.pid)
            (void)signal_dequeue(task, m->set & ~SIGNAL_UNBLOCKABLE, &answer.source);
        post(&answer.message, sizeof(answer));
    }
    kfree(record);
}

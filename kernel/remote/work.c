/* Tasks of the init enclave for requests that sleep (contract in work.h). */
#include "kernel/remote/work.h"

#include <linux/errno.h>

#include "kernel/mm/kmalloc.h"
#include "kernel/process/remote_ops.h"
#include "kernel/remote/agent.h"
#include "kernel/remote/server.h"
#include "kernel/sched/task.h"

struct work {
    struct remote_member *member; /* referenced */
    struct record *record;
    remote_work_fn *fn;
    struct agent agent; /* none of the caller's memory is touched */
};

static void run(void *arg)
{
    struct work *work = arg;
    const struct message *message = (const struct message *)work->record->data;
    struct process *process = remote_process_of(work->member, message);
    if (process && agent_enter(process, message->tid, ~0ULL, &work->agent)) {
        work->fn(work->member, process, message, work->record->size);
        agent_leave();
    } else {
        remote_answer_number(work->member, message, -ESRCH);
    }
    remote_member_put(work->member);
    kfree(work->record);
    kfree(work);
}

void remote_work(struct remote_member *member, struct record *record, remote_work_fn *fn)
{
    struct work *work = kzalloc(sizeof(*work));
    if (work) {
        *work = (struct work){.member = remote_member_get(member), .record = record, .fn = fn};
        if (kernel_thread_start("request", run, work))
            return;
        remote_member_put(member);
        kfree(work);
    }
    remote_answer_number(member, (const struct message *)record->data, -ENOMEM);
    kfree(record);
}

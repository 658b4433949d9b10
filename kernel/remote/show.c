/* The init enclave asks members for text of /proc (contract in show.h). */
#include "kernel/remote/show.h"

#include <linux/errno.h>

#include "kernel/fs/pseudofs.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/table.h"
#include "kernel/remote/process_message.h"
#include "kernel/remote/server.h"
#include "kernel/sched/task.h"

#define TEXT_MAX (16UL << 20) /* of one file */

struct show {
    LIST_ENTRY(show) entry;
    const struct process *process;
    uint64_t number;
    struct seq *seq;
    bool done;
    int result;
    struct wait_queue wait;
};

static LIST_HEAD(, show) shows = LIST_HEAD_INITIALIZER(shows);

static int wait_for(struct show *show)
{
    struct wait_entry entry;
    int r = 0;
    wait_entry_init(&entry, NULL);
    wait_queue_add(&show->wait, &entry);
    for (;;) {
        task_prepare_sleep_killable();
        if (show->done || r < 0)
            break;
        r = task_sleep(NO_DEADLINE);
    }
    task_cancel_sleep();
    wait_queue_remove(&entry);
    return show->done ? show->result : r;
}

int remote_show(struct process *process, int tid, const char *name, struct seq *seq)
{
    static uint64_t last_number;
    struct show show = {.process = process, .number = ++last_number, .seq = seq};
    struct show_message m = {.message = {MESSAGE_SHOW, 0, process->pid, tid}, .number = show.number};
    if (process->remote->stream)
        return 0; /* it is not there yet */
    string_copy(m.name, name, sizeof(m.name));
    wait_queue_init(&show.wait);
    int r = link_send(remote_member_link(process->remote->member), &m, sizeof(m));
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    LIST_INSERT_HEAD(&shows, &show, entry);
    process_get(process);
    r = wait_for(&show);
    LIST_REMOVE(&show, entry);
    process_put(process);
    return r;
}

static void finish(struct show *show, int result)
{
    show->done = true;
    show->result = result;
    wake_up_all(&show->wait, 0);
}

void remote_show_end(const struct process *process)
{
    struct show *show;
    LIST_FOREACH (show, &shows, entry)
        if (show->process == process)
            finish(show, 0); /* as Linux: a process without memory has nothing to show */
}

void receive_shown(struct remote_member *member, struct record *record)
{
    const struct shown_message *m = (const struct shown_message *)record->data;
    bool good = record->size >= sizeof(*m) && m->size <= record->size - sizeof(*m);
    const struct process *process = good ? remote_process_of(member, &m->message) : NULL;
    struct show *show;
    LIST_FOREACH (show, &shows, entry) {
        if (!process || show->process != process || show->number != m->number || show->done)
            continue;
        seq_write(show->seq, m->text, m->size);
        if (m->result <= 0)
            finish(show, m->result < -4095 ? -EIO : m->result);
        else if (show->seq->used > TEXT_MAX)
            finish(show, -EFBIG);
        break;
    }
    kfree(record);
}

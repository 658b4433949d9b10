/* A member tells what /proc says of its processes (contract in show.h). */
#include "kernel/remote/show.h"

#include <linux/errno.h>

#include "kernel/fs/proc_text.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/table.h"
#include "kernel/remote/client.h"
#include "kernel/remote/process_message.h"
#include "kernel/sched/task.h"

#define PIECE_SIZE 0x8000U

static int send_piece(const struct show_message *question, int result, const void *text, size_t size)
{
    struct shown_message *m = kmalloc(sizeof(*m) + size);
    if (!m)
        return -ENOMEM;
    *m = (struct shown_message){.message = {MESSAGE_SHOWN, 0, question->message.pid, question->message.tid},
                                .number = question->number,
                                .result = result,
                                .size = (uint32_t)size};
    if (size > 0)
        memcpy(m->text, text, size);
    int r = client_send(&m->message, sizeof(*m) + size);
    kfree(m);
    return r;
}

/* In a task of its own, because the program's memory may have to be brought in. */
static void answer(void *arg)
{
    struct record *record = arg;
    struct show_message *m = (struct show_message *)record->data;
    struct seq seq = {0};
    m->name[sizeof(m->name) - 1] = '\0';
    int result = process_find(m->message.pid) ? proc_text(m->message.pid, m->message.tid, m->name, &seq) : -ESRCH;
    if (seq.failed)
        result = -ENOMEM;
    size_t done = 0;
    int r = 0;
    for (; r == 0 && result == 0 && seq.used - done > PIECE_SIZE; done += PIECE_SIZE)
        r = send_piece(m, 1, seq.text + done, PIECE_SIZE);
    if (r == 0)
        r = send_piece(m, result, result == 0 ? seq.text + done : NULL, result == 0 ? seq.used - done : 0);
    if (r == -ENOMEM && send_piece(m, -ENOMEM, NULL, 0) < 0)
        printk(LOG_WARNING, "no memory to tell of process %d\n", m->message.pid);
    kfree(seq.text);
    kfree(record);
}

void receive_show(struct record *record)
{
    const struct show_message *m = (const struct show_message *)record->data;
    if (record->size < sizeof(*m)) {
        kfree(record);
        return;
    }
    if (kernel_thread_start("show", answer, record))
        return;
    if (send_piece(m, -ENOMEM, NULL, 0) < 0)
        printk(LOG_WARNING, "no memory to tell of process %d\n", m->message.pid);
    kfree(record);
}

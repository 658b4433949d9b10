/* A blank member becomes a process: the other end of fork.c. */
#include <linux/errno.h>

#include "kernel/crypto/secret.h"
#include "kernel/fs/file.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/image.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/pages.h"
#include "kernel/mm/touched.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/exec.h"
#include "kernel/process/itimer.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/table.h"
#include "kernel/remote/check.h"
#include "kernel/remote/client.h"
#include "kernel/remote/exec_client.h"
#include "kernel/remote/fork.h"
#include "kernel/remote/member.h"
#include "kernel/remote/remote_file.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/task.h"

#define STRINGS_MAX (16UL << 20)

/* ---- the first thread ---- */

static void tell_started(const struct process *process)
{
    struct message m = {MESSAGE_STARTED, 0, process->pid, process->pid};
    if (client_send(&m, sizeof(m)) < 0)
        member_end("the init enclave is not there");
}

/* Signals may have come before there was a thread. */
static void start(struct process *process, struct task *task)
{
    task->tid = process->pid;
    task->nice = process->nice;
    thread_add(process, task);
    task->exiting = process->exiting;
    task->work_pending = true;
    task_start(task);
}

/* ---- fork ---- */

static int open_file(struct image_files *files, const void *buf, size_t size, struct file **ret_file)
{
    struct file_info info;
    (void)files;
    if (size != sizeof(info))
        return -EPROTO;
    memcpy(&info, buf, size);
    return remote_file_open(&info, ret_file);
}

static struct task *make_thread(struct process *process, const struct thread_image *image, const void *vector)
{
    struct task *task = task_new(process, &image->frame, false);
    if (!task)
        return NULL;
    memcpy(task->vector_state, vector, xsave_size);
    task->fs_base = image->fs_base;
    task->signals.blocked = image->blocked;
    task->signals.altstack_base = image->altstack_base;
    task->signals.altstack_size = image->altstack_size;
    task->signals.altstack_flags = image->altstack_flags;
    pending_signals_init(&task->signals.pending);
    task->policy = image->policy;
    task->clear_child_tid = image->clear_child_tid;
    task->timer_slack_ns = image->timer_slack_ns;
    task->affinity_mask = image->affinity_mask;
    memcpy(task->comm, image->comm, sizeof(task->comm));
    task->comm[sizeof(task->comm) - 1] = '\0';
    return task;
}

static int receive_fork(struct process *process, struct stream *stream, struct task **ret_task)
{
    struct image_files files = {.open = open_file};
    struct thread_image image;
    void *vector = page_alloc();
    int r = vector ? stream_read(stream, &image, sizeof(image)) : -ENOMEM;
    if (r == 0)
        r = thread_image_ok(&image) ? stream_read(stream, vector, xsave_size) : -EPROTO;
    if (r == 0)
        r = vector_image_ok(vector) ? 0 : -EPROTO;
    if (r == 0)
        r = image_load(stream, &files);
    if (r == 0) {
        pages_close_idle(); /* exec_commit() does it for a program */
        touched_start();
        *ret_task = make_thread(process, &image, vector);
        r = *ret_task ? 0 : -ENOMEM;
    }
    if (r == 0 && image.set_child_tid && put_user32(image.set_child_tid, (uint32_t)process->pid) < 0)
        (void)0; /* as Linux: a bad address is no error */
    if (vector)
        page_free(vector);
    return r;
}

/* ---- exec ---- */

static int read_text(struct stream *stream, char **text, uint64_t size)
{
    if (size > STRINGS_MAX)
        return -EPROTO;
    *text = kmalloc(size + 1);
    if (!*text)
        return -ENOMEM;
    (*text)[size] = '\0';
    return stream_read(stream, *text, size);
}

static int read_strings(struct stream *stream, struct exec_strings *strings, uint64_t size, uint64_t count)
{
    strings->size = strings->capacity = size;
    strings->count = count;
    int r = read_text(stream, &strings->text, size);
    return r == 0 && !strings_ok(strings->text, size, count) ? -EPROTO : r;
}

static int read_program(struct stream *stream, struct exec *exec, struct exec_image *image)
{
    int r = stream_read(stream, image, sizeof(*image));
    if (r == 0 && !exec_image_ok(image))
        r = -EPROTO;
    if (r == 0)
        expected_set(&image->expected);
    if (r == 0)
        r = read_strings(stream, &exec->argv, image->argv_size, image->argv_count);
    if (r == 0)
        r = read_strings(stream, &exec->envp, image->envp_size, image->envp_count);
    if (r == 0)
        r = read_text(stream, &exec->name, image->name_size);
    if (r < 0)
        return r;
    return exec_program_set(exec, &image->file, image->has_interp ? &image->interp_file : NULL, &image->image,
                            &image->interp,
                            &(struct exec_rights){image->set_mode, image->set_uid, image->set_gid, image->unreadable});
}

static int start_program(struct process *process, struct exec *exec, const struct exec_image *image,
                         struct task **ret_task)
{
    struct trap_frame frame;
    int r = exec_commit(exec, &frame);
    if (r == 0)
        r = remote_execed(exec);
    if (r < 0)
        return r;
    struct task *task = task_new(process, &frame, false);
    if (!task)
        return -ENOMEM;
    task->signals.blocked = image->blocked;
    task->signals.altstack_flags = 2 /* SS_DISABLE */;
    pending_signals_init(&task->signals.pending);
    task->timer_slack_ns = image->timer_slack_ns;
    task->affinity_mask = image->affinity_mask;
    string_copy(task->comm, image->comm, sizeof(task->comm));
    signals_ignore_only(process, image->ignored);
    itimers_put(process, &image->timers);
    *ret_task = task;
    return 0;
}

/* What waited for the process where it was; the last one has number 0. */
static int read_pending(struct process *process, struct stream *stream)
{
    for (;;) {
        struct signal_source source;
        int r = stream_read(stream, &source, sizeof(source));
        if (r < 0 || source.signal == 0)
            return r;
        if (!signal_source_ok(&source))
            return -EPROTO;
        (void)!signal_send_process(process, &source);
    }
}

static int receive_exec(struct process *process, struct stream *stream, struct task **ret_task)
{
    struct exec_image *image = kzalloc(sizeof(*image));
    struct exec *exec = kzalloc(sizeof(*exec));
    int r = -ENOMEM;
    if (image && exec) {
        exec_init(exec);
        r = read_program(stream, exec, image);
        if (r == 0)
            r = start_program(process, exec, image, ret_task);
        if (r == 0)
            r = read_pending(process, stream);
        exec_free(exec);
    }
    kfree(image);
    kfree(exec);
    return r;
}

/* ---- adopting ---- */

static void run(void *arg)
{
    struct record *record = arg;
    const struct adopt_message *m = (const struct adopt_message *)record->data;
    struct process *process = process_first();
    struct link_stream *s = link_stream_open(&m->stream, 1);
    struct task *task = NULL;
    int r = -ENOMEM;
    if (s && m->how == ADOPT_FORK)
        r = receive_fork(process, link_stream_bytes(s), &task);
    else if (s)
        r = receive_exec(process, link_stream_bytes(s), &task);
    link_stream_close(s);
    memory_wipe(record->data, record->size);
    kfree(record);
    if (r < 0) {
        printk(LOG_WARNING, "starting process %d failed: error %d\n", process->pid, -r);
        member_end("it could not be started");
    }
    tell_started(process);
    start(process, task);
}

static void set_up(struct process *process, const struct adopt_message *m)
{
    process_struct_init(process);
    process->refcount = 1; /* static */
    process->ppid = m->ppid;
    process->pgid = m->pgid;
    process->sid = m->sid;
    process->exit_signal = m->exit_signal;
    process->dumpable = m->dumpable;
    process->no_new_privs = m->no_new_privs;
    process->oom_score_adj = m->oom_score_adj;
    process->nice = m->nice;
    process->personality = m->personality;
    process->start_ns = m->start_ns;
    process->credentials = m->credentials;
    memcpy(process->limits, m->limits, sizeof(process->limits));
    memcpy(process->actions, m->actions, sizeof(process->actions));
    memcpy(process->comm, m->comm, sizeof(process->comm));
    memcpy(container_hostname, m->hostname, sizeof(container_hostname));
    process_table_add(process, m->message.pid);
    itimers_limit(process);
}

/* The enclave is nobody. The process exists from here on, so that signals find it; its thread comes later. */
void adopt(struct record *record)
{
    const struct adopt_message *m = (const struct adopt_message *)record->data;
    if (record->size < sizeof(*m) || process_first()->pid != 0 || !adopt_message_ok(m))
        member_end("what the init enclave wants of it");
    set_up(process_first(), m);
    if (!kernel_thread_start("adopt", run, record))
        member_end("no memory to start");
}

/*
 * Sending a process to an enclave of its own: fork, and exec of a child that vfork made. The same for a process of the
 * init enclave and for one of a member; only how the other enclave is come by differs.
 */
#include "kernel/remote/fork.h"
#include "kernel/remote/leased.h"

#include <linux/errno.h>
#include <linux/sched.h>

#include "kernel/arch/rewrite.h"
#include "kernel/crypto/secret.h"
#include "kernel/fs/pidfd.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/image.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/exec.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/table.h"
#include "kernel/remote/check.h"
#include "kernel/remote/client.h"
#include "kernel/remote/process_link.h"
#include "kernel/remote/programs.h"
#include "kernel/remote/remote.h"
#include "kernel/remote/remote_file.h"
#include "kernel/remote/spawn.h"
#include "kernel/remote/stream.h"
#include "kernel/sched/task.h"

/* Where a new process is to be sent. */
struct destination {
    struct stream_place stream;
    int pid, pidfd;
    struct process *child; /* in the init enclave; referenced */
};

static int ask(struct message *message, size_t size, struct destination *ret_destination)
{
    struct record *record;
    int r = leased_request(message, size, &record);
    if (r < 0)
        return -EAGAIN;
    const struct fork_answer *answer = (const struct fork_answer *)record->data;
    if (record->size >= sizeof(*answer)) {
        *ret_destination = (struct destination){answer->stream, answer->result, answer->pidfd, NULL};
        r = answer->result;
    } else {
        const struct number_message *error = (const struct number_message *)record->data;
        r = record->size >= sizeof(*error) ? answer_error(error->number) : -EPROTO;
    }
    memory_wipe(record->data, record->size);
    kfree(record);
    return r < 0 ? r : 0;
}

static int ask_fork(const struct clone_args *args, struct destination *ret_destination)
{
    const struct process *process = process_self();
    struct fork_message *m = kzalloc(sizeof(*m));
    if (!m)
        return -ENOMEM;
    *m = (struct fork_message){.message = {MESSAGE_FORK, 0, process->pid, task_current()->tid},
                               .flags = args->flags,
                               .exit_signal = (int32_t)args->exit_signal};
    memcpy(m->actions, process->actions, sizeof(m->actions));
    int r = ask(&m->message, sizeof(*m), ret_destination);
    kfree(m);
    return r;
}

static int make_fork(const struct clone_args *args, struct destination *d)
{
    struct process *process = process_self();
    int r = remote_fork(process, task_current()->tid, 0, args->flags, (int)args->exit_signal, process->actions,
                        &d->child, &d->stream);
    if (r < 0)
        return r;
    d->pid = d->child->pid;
    d->pidfd = args->flags & CLONE_PIDFD ? pidfd_install(d->child, 0) : -1;
    return 0;
}

/* ---- files of mappings ---- */

struct fork_files {
    struct image_files files;
    struct process *child; /* NULL in a member */
};

static ssize_t describe(struct image_files *files, struct file *file, void *buf, bool *ret_own)
{
    const struct fork_files *f = container_of(files, struct fork_files, files);
    struct file_info info;
    _Static_assert(sizeof(info) <= IMAGE_FILE_MAX, "fits");
    if (f->child) {
        int r = f->child->remote ? handle_add(&f->child->remote->handles, file, &info) : -EPIPE;
        if (r < 0)
            return r;
    } else {
        info = *remote_file_info(file);
        info.size = file->inode->size;
    }
    memcpy(buf, &info, sizeof(info));
    *ret_own = info.nid != 0;
    return sizeof(info);
}

/* ---- the stream ---- */

static int send_thread(struct stream *stream, const struct clone_args *args, const struct trap_frame *frame)
{
    const struct task *task = task_current();
    struct thread_image image = {
        .frame = *frame,
        .fs_base = args->flags & CLONE_SETTLS ? args->tls : fs_base_get(),
        .blocked = task->signals.blocked,
        .altstack_base = task->signals.altstack_base,
        .altstack_size = task->signals.altstack_size,
        .altstack_flags = task->signals.altstack_flags,
        .policy = task->policy,
        .clear_child_tid = args->flags & CLONE_CHILD_CLEARTID ? args->child_tid : 0,
        .set_child_tid = args->flags & CLONE_CHILD_SETTID ? args->child_tid : 0,
        .timer_slack_ns = task->timer_slack_ns,
        .affinity_mask = task->affinity_mask,
        .vector_size = xsave_size,
    };
    void *vector = page_alloc();
    if (!vector)
        return -ENOMEM;
    image.frame.rax = 0;
    image.frame.orig_rax = -1;
    rewrite_leave_stub(&image.frame); /* the child need not have these stubs */
    if (args->stack)
        image.frame.rsp = args->stack + args->stack_size;
    memcpy(image.comm, task->comm, sizeof(image.comm));
    memset(vector, 0, PAGE_SIZE);
    vector_state_save(vector);
    int r = stream_write(stream, &image, sizeof(image));
    if (r == 0)
        r = stream_write(stream, vector, xsave_size);
    memory_wipe(vector, PAGE_SIZE);
    page_free(vector);
    return r;
}

static int send_process(const struct destination *d, const struct clone_args *args, const struct trap_frame *frame)
{
    struct fork_files files = {{.describe = describe}, d->child};
    struct link_stream *s = link_stream_open(&d->stream, 0);
    if (!s)
        return -ENOMEM;
    int r = send_thread(link_stream_bytes(s), args, frame);
    if (r == 0)
        r = image_save(link_stream_bytes(s), &files.files);
    if (r == 0)
        r = link_stream_flush(s);
    link_stream_close(s);
    return r;
}

static void tell(uint32_t type, int pid)
{
    struct number_message m = {{type, 0, process_self()->pid, task_current()->tid}, pid};
    (void)!client_send(&m.message, sizeof(m));
}

static void give_up(const struct destination *d)
{
    if (!d->child)
        tell(MESSAGE_ABANDON, d->pid);
    else if (d->child->remote && !d->child->ended)
        spawn_kill(d->child->remote->member);
}

int64_t process_fork_elsewhere(const struct clone_args *args, const struct trap_frame *frame)
{
    struct destination d = {0};
    if (!spawn_possible())
        return -ENOSYS;
    int r = remote_is_member() ? ask_fork(args, &d) : make_fork(args, &d);
    if (r < 0)
        return r;
    /* If it fails now the child is one that was killed. */
    if (send_process(&d, args, frame) < 0)
        give_up(&d);
    else if (!d.child)
        tell(MESSAGE_SENT, d.pid);
    memory_wipe(&d.stream, sizeof(d.stream));
    if (d.child)
        spawn_refill();
    if ((args->flags & CLONE_PIDFD) && put_user32(args->pidfd, (uint32_t)d.pidfd) < 0)
        (void)0;
    if ((args->flags & CLONE_PARENT_SETTID) && put_user32(args->parent_tid, (uint32_t)d.pid) < 0)
        (void)0;
    if (d.child)
        process_put(d.child);
    return d.pid;
}

/* ---- exec of a vfork child ---- */

static int describe_program(struct file *file, struct file_info *ret_info)
{
    struct process *process = process_self();
    if (!remote_is_member())
        return handle_add(&process->remote->handles, file, ret_info);
    *ret_info = *remote_file_info(file);
    return 0;
}

/* Signals that wait outlast an exec; those that come from now on are sent to where the process is. */
static int send_pending(struct stream *stream)
{
    struct signal_source source;
    int signal, r;
    do {
        memset(&source, 0, sizeof(source));
        signal = signal_dequeue(task_current(), ~0ULL, &source);
        source.signal = signal;
        r = stream_write(stream, &source, sizeof(source));
    } while (r == 0 && signal > 0);
    return r;
}

static int send_program(struct stream *stream, const struct exec *exec, struct exec_image *image)
{
    const struct task *task = task_current();
    int r = describe_program(exec->file, &image->file);
    if (r == 0 && exec->interp_file)
        r = describe_program(exec->interp_file, &image->interp_file);
    if (r < 0)
        return r;
    image->argv_size = exec->argv.size;
    image->argv_count = exec->argv.count;
    image->envp_size = exec->envp.size;
    image->envp_count = exec->envp.count;
    image->name_size = strlen(exec->name) + 1;
    image->has_interp = exec->interp_file != NULL;
    image->set_mode = exec->set_mode;
    image->set_uid = exec->set_uid;
    image->set_gid = exec->set_gid;
    image->unreadable = exec->unreadable;
    image->blocked = task->signals.blocked;
    image->ignored = signals_ignored(task->process);
    image->timer_slack_ns = task->timer_slack_ns;
    image->affinity_mask = task->affinity_mask;
    itimers_take(task->process, &image->timers);
    string_copy(image->comm, exec_comm(exec), sizeof(image->comm));
    if (remote_is_member())
        expected_get(&image->expected);
    else
        programs_recall(exec->file->inode, &image->expected);
    memcpy(&image->image, exec->image, sizeof(image->image));
    if (exec->interp)
        memcpy(&image->interp, exec->interp, sizeof(image->interp));
    r = stream_write(stream, image, sizeof(*image));
    if (r == 0)
        r = stream_write(stream, exec->argv.text, exec->argv.size);
    if (r == 0)
        r = stream_write(stream, exec->envp.text, exec->envp.size);
    if (r == 0)
        r = stream_write(stream, exec->name, image->name_size);
    return r < 0 ? r : send_pending(stream);
}

/* The parent goes on when the program runs, not before: then what exec does is done. */
static void start_wait(const struct destination *d)
{
    struct number_message m = {{MESSAGE_START_WAIT, 0, d->pid, d->pid}, d->pid};
    struct record *record;
    if (client_request(&m.message, sizeof(m), &record) == 0)
        kfree(record);
}

int process_exec_elsewhere(struct exec *exec)
{
    struct process *process = process_self();
    struct destination d = {0};
    if (!spawn_possible())
        return -ENOSYS;
    struct exec_image *image = kzalloc(sizeof(*image));
    if (!image)
        return -ENOMEM;
    int r;
    if (remote_is_member()) {
        struct message m = {MESSAGE_EXEC_AWAY, 0, process->pid, task_current()->tid};
        r = ask(&m, sizeof(m), &d);
    } else {
        r = remote_exec_away(process, 0, &d.stream);
    }
    if (r < 0) {
        kfree(image);
        return r;
    }
    d.pid = process->pid;
    struct link_stream *s = link_stream_open(&d.stream, 0);
    r = s ? send_program(link_stream_bytes(s), exec, image) : -ENOMEM;
    if (r == 0)
        r = link_stream_flush(s);
    link_stream_close(s);
    /* There is no way back: the process is there already, and ends. */
    if (r < 0 && !remote_is_member())
        spawn_kill(process->remote->member);
    else if (r < 0)
        give_up(&d);
    else if (remote_is_member())
        tell(MESSAGE_SENT, d.pid);
    memory_wipe(&d.stream, sizeof(d.stream));
    kfree(image);
    if (remote_is_member()) {
        start_wait(&d);
    } else {
        spawn_refill();
        remote_start_wait(process);
    }
    return 0;
}

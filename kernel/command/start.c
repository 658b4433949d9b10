/* The process of a command that the host asked for (contract in command.h). */
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/boot/boot.h"
#include "kernel/boot/refuse.h"
#include "kernel/command/command.h"
#include "kernel/command/request.h"
#include "kernel/fs/dev.h"
#include "kernel/fs/fs_context.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/tty.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/credentials.h"
#include "kernel/process/exec.h"
#include "kernel/process/limits.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/start.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"

/* ---- standard streams ---- */

static int install(struct file *file, int fd)
{
    int r = fd_install_at(file, fd, false);
    if (r < 0)
        file_put(file);
    return r < 0 ? r : 0;
}

static int open_path(const char *path, unsigned flags, int fd)
{
    struct file *file;
    int r = vfs_open(AT_FDCWD_, path, flags, 0, &file);
    return r < 0 ? r : install(file, fd);
}

/* The process, leader of a session, gets it as its controlling terminal by opening it. */
static int open_terminal(struct command_session *session, const struct command_request *request)
{
    struct file *master, *slave;
    char path[24];
    unsigned number;
    int r = pty_new(O_NONBLOCK, &master, &number);
    if (r < 0)
        return r;
    session->output[0] = master;
    session->input = file_get(master);
    session->tty = tty_get(pty_slave(number));
    session->tty->termios.c_iflag |= IUTF8;
    tty_set_winsize(session->tty, request->window.rows, request->window.columns, 0, 0);
    snprintf(path, sizeof(path), "/dev/pts/%u", number);
    r = vfs_open(AT_FDCWD_, path, O_RDWR, 0, &slave);
    for (int fd = 0; fd < 3 && r == 0; fd++)
        r = install(file_get(slave), fd);
    if (r == 0)
        file_put(slave);
    return r;
}

/* One end for the process, one, which never waits, for the session. */
static int open_pipe(int fd, struct file **ret_own)
{
    struct file *ends[2];
    int r = pipe_files_new(0, ends);
    if (r < 0)
        return r;
    int own = fd == 0 ? 1 : 0;
    ends[own]->flags |= O_NONBLOCK;
    *ret_own = ends[own];
    return install(ends[!own], fd);
}

static int open_streams(struct command_session *session, const struct command_request *request)
{
    if (request->terminal)
        return open_terminal(session, request);
    int r = request->has_input ? open_pipe(0, &session->input) : open_path("/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = open_pipe(1, &session->output[0]);
    return r < 0 ? r : open_pipe(2, &session->output[1]);
}

/* ---- the program ---- */

static int refused(char *text, size_t size, const char *what, int error)
{
    snprintf(text, size, "%s failed: %s", what, start_reason(error));
    return STATUS_NOT_EXECUTABLE;
}

/* Acts for the process. 0, or a status and why. */
static int prepare(struct command_session *session, const struct command_request *request, struct exec *exec,
                   char *text, size_t size)
{
    struct process *process = process_self();
    char home[256];
    if (!start_set_user(&process->credentials, request->user, home, text, size))
        return STATUS_NOT_EXECUTABLE;
    int r = open_streams(session, request);
    if (r < 0)
        return refused(text, size, "opening the standard streams", r);
    process->fs->umask = policy()->umask ? policy()->umask : 022;
    const char *folder = request->folder[0] ? request->folder : policy_string_at(policy()->workdir_offset);
    r = fs_chdir(folder[0] ? folder : "/");
    if (r < 0) {
        snprintf(text, size, "changing to the working directory %.200s failed: %s", folder, start_reason(r));
        return STATUS_NOT_EXECUTABLE;
    }
    r = start_build_env(exec, request->environment, request->environment_size, request->terminal, home);
    const char *end = request->arguments + request->arguments_size;
    for (const char *p = request->arguments; r == 0 && p < end; p += strlen(p) + 1)
        r = exec_add(exec, &exec->argv, p);
    if (r == 0)
        r = start_open(exec);
    return r < 0 ? start_failure(request->arguments, r, text, size) : 0;
}

/* Another process may have killed it by its number, before there was a program. */
static int go(const struct command_request *request, struct exec *exec, char *text, size_t size)
{
    if (process_self()->exiting) {
        snprintf(text, size, "starting %.256s failed: it was killed", request->arguments);
        return STATUS_NOT_EXECUTABLE;
    }
    task_current()->timer_slack_ns = START_TIMER_SLACK_NS;
    int r = process_exec_elsewhere(exec);
    return r < 0 ? start_failure(request->arguments, r, text, size) : 0;
}

/* A process that no other made and nobody waits for: root, in a session of its own, with the container's limits. */
static int make_process(struct process **ret_process)
{
    if (process_count() >= process_limit())
        return -EAGAIN;
    struct process *process = kzalloc(sizeof *process);
    if (!process)
        return -ENOMEM;
    process_struct_init(process);
    process->files = fd_table_new();
    process->fs = fs_context_new();
    if (!process->files || !process->fs) {
        process_release(process);
        kfree(process);
        return -ENOMEM;
    }
    limits_init(process);
    credentials_init(&process->credentials, 0, 0);
    process->dumpable = 1;
    process_table_add(process, tid_alloc());
    process->pgid = process->sid = process->pid;
    process->session_leader = true;
    *ret_process = process;
    return 0;
}

int command_start(struct command_session *session, const struct command_request *request, char *text, size_t size)
{
    struct process *process;
    struct exec *exec = kzalloc(sizeof(*exec));
    int r = exec ? make_process(&process) : -ENOMEM;
    if (r < 0) {
        kfree(exec);
        return refused(text, size, "making a process", r);
    }
    session->process = process_get(process);
    bool entered = agent_enter(process, process->pid, 0, &session->agent);
    ASSERT(entered);
    exec_init(exec);
    int status = prepare(session, request, exec, text, size);
    if (status == 0)
        status = go(request, exec, text, size);
    exec_free(exec);
    kfree(exec);
    agent_leave();
    if (status)
        process_discard(process);
    return status;
}

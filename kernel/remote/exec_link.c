/*
 * exec for processes in members: the init enclave finds and checks the program, whose process then starts it.
 * Close-on-exec and what else the init enclave holds for the process follows once that has gone through.
 */
#include <linux/errno.h>

#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/credentials.h"
#include "kernel/process/exec.h"
#include "kernel/process/remote_ops.h"
#include "kernel/process/table.h"
#include "kernel/remote/check.h"
#include "kernel/remote/exec_message.h"
#include "kernel/remote/process_link.h"
#include "kernel/remote/programs.h"
#include "kernel/remote/server.h"
#include "kernel/remote/work.h"

/* The arguments count only as far as #! lines replace the first; so one stands for them all. */
static int open_program(const struct exec_open_message *m, struct exec *exec)
{
    int r = exec_add(exec, &exec->argv, "");
    if (r < 0)
        return r;
    exec->name = kstrdup(m->name);
    if (!exec->name)
        return -ENOMEM;
    exec->nameless = m->path[0] == '\0';
    exec->cloexec_fd = m->dfd != AT_FDCWD_ && m->path[0] != '/' && fd_get_flags(m->dfd) > 0;
    return exec_open(exec, m->dfd, m->path, m->lookup_flags);
}

/* With count 0: no script. */
static int describe(struct process *process, const struct exec *exec, struct exec_answer *answer)
{
    struct handle_table *handles = &process->remote->handles;
    bool script = exec->argv.count > 1 || exec->argv.text[0] != '\0';
    int r = handle_add(handles, exec->file, &answer->file);
    if (r == 0 && exec->interp_file)
        r = handle_add(handles, exec->interp_file, &answer->interp_file);
    if (r < 0)
        return r;
    answer->has_interp = exec->interp_file != NULL;
    answer->set_mode = exec->set_mode;
    answer->set_uid = exec->set_uid;
    answer->set_gid = exec->set_gid;
    answer->unreadable = exec->unreadable;
    programs_recall(exec->file->inode, &answer->expected);
    memcpy(&answer->image, exec->image, sizeof(answer->image));
    if (exec->interp)
        memcpy(&answer->interp, exec->interp, sizeof(answer->interp));
    if (!script)
        return 0;
    if (exec->argv.size > sizeof(answer->arguments))
        return -E2BIG;
    answer->argument_count = (uint32_t)exec->argv.count;
    answer->argument_size = (uint32_t)exec->argv.size;
    memcpy(answer->arguments, exec->argv.text, exec->argv.size);
    return 0;
}

static void work_open(struct remote_member *member, struct process *process, const struct message *message, size_t size)
{
    const struct exec_open_message *m = (const struct exec_open_message *)message;
    struct exec_answer *answer = kzalloc(sizeof(*answer));
    struct exec *exec = kzalloc(sizeof(*exec));
    if (!answer || !exec || size < sizeof(*m) || !exec_open_message_ok(m)) {
        remote_answer_number(member, message, answer && exec ? -EPROTO : -ENOMEM);
    } else {
        exec_init(exec);
        answer->message = *message;
        answer->result = open_program(m, exec);
        if (answer->result == 0)
            answer->result = describe(process, exec, answer);
        remote_answer(member, &answer->message, sizeof(*answer));
        exec_free(exec);
    }
    kfree(exec);
    kfree(answer);
}

/* The program runs: as exec of a process of this enclave would have done. */
static void work_execed(struct remote_member *member, struct process *process, const struct message *message,
                        size_t size)
{
    const struct execed_message *m = (const struct execed_message *)message;
    struct file *program = size >= sizeof(*m) ? handle_file(&process->remote->handles, m->program) : NULL;
    bool secure = false;
    if (!program || m->size > size - sizeof(*m) || !memchr(m->comm, '\0', sizeof(m->comm))) {
        remote_answer_number(member, message, -EPROTO);
        return;
    }
    file_get(program);
    int r = fd_unshare();
    if (r == 0) {
        bool nosuid = program->dentry && (dentry_super(program->dentry)->flags & 2 /* MS_NOSUID */);
        bool unreadable = inode_permission(program->inode, 4) < 0;
        credentials_exec(&process->credentials, nosuid ? 0 : program->inode->mode, program->inode->uid,
                         program->inode->gid, process->no_new_privs, &secure);
        process_did_exec(process, program, m->comm, (const char *)m->command_line, m->size);
        if (secure || unreadable)
            process->dumpable = 0;
        if (secure)
            process->pdeath_signal = 0;
    }
    file_put(program);
    remote_answer_number(member, message, r);
}

void receive_exec_open(struct remote_member *member, struct record *record)
{
    remote_work(member, record, work_open);
}

void receive_execed(struct remote_member *member, struct record *record)
{
    remote_work(member, record, work_execed);
}

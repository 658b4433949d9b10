/* exec in a member (contract in exec_client.h). */
#include "kernel/remote/exec_client.h"

#include <linux/errno.h>

#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/process/exec.h"
#include "kernel/remote/check.h"
#include "kernel/remote/client.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/local_epoll.h"
#include "kernel/remote/member.h"
#include "kernel/remote/remote_file.h"
#include "kernel/sched/task.h"

static int open_file(const struct file_info *info, struct file **ret_file)
{
    int r = remote_file_open(info, ret_file);
    if (r == 0)
        (*ret_file)->inode->deny_write++; /* exec_free() takes it back */
    return r;
}

static int copy_image(const struct elf_image *image, struct elf_image **ret_image)
{
    if (!elf_image_ok(image))
        return -EPROTO;
    *ret_image = kmalloc(sizeof(**ret_image));
    if (!*ret_image)
        return -ENOMEM;
    memcpy(*ret_image, image, sizeof(**ret_image));
    return 0;
}

int exec_program_set(struct exec *exec, const struct file_info *file, const struct file_info *interp_file,
                     const struct elf_image *image, const struct elf_image *interp, const struct exec_rights *rights)
{
    int r = open_file(file, &exec->file);
    if (r == 0)
        r = copy_image(image, &exec->image);
    if (r == 0 && interp_file)
        r = open_file(interp_file, &exec->interp_file);
    if (r == 0 && interp_file)
        r = copy_image(interp, &exec->interp);
    exec->set_mode = rights->mode;
    exec->set_uid = rights->uid;
    exec->set_gid = rights->gid;
    exec->unreadable = rights->unreadable;
    const char *slash = strrchr(file->path, '/');
    string_copy(exec->file_name, slash ? slash + 1 : file->path, sizeof(exec->file_name));
    return r;
}

/* What #! lines put in place of the first argument: last to first. */
static int replace_first(struct exec *exec, const struct exec_answer *answer)
{
    const char *text = answer->arguments, *end = text + answer->argument_size;
    if (answer->argument_size > sizeof(answer->arguments) ||
        !strings_ok(text, answer->argument_size, answer->argument_count))
        return -EPROTO;
    exec_drop_first(&exec->argv);
    while (end > text) {
        const char *string = end - 1;
        while (string > text && string[-1] != '\0')
            string--;
        int r = exec_prepend(exec, &exec->argv, string);
        if (r < 0)
            return r;
        end = string;
    }
    return 0;
}

static int take_answer(struct exec *exec, const struct exec_answer *answer)
{
    const struct exec_rights rights = {answer->set_mode, answer->set_uid, answer->set_gid, answer->unreadable};
    int r = exec_program_set(exec, &answer->file, answer->has_interp ? &answer->interp_file : NULL, &answer->image,
                             &answer->interp, &rights);
    if (r == 0 && answer->argument_count)
        r = replace_first(exec, answer);
    if (r == 0) {
        if (process_self() == process_first())
            member_tell_expected(process_self());
        expected_set(&answer->expected);
    }
    return r;
}

int remote_exec_open(struct exec *exec, int dfd, const char *path, unsigned lookup_flags)
{
    struct exec_open_message *m = kzalloc(sizeof(*m));
    struct record *record;
    if (!m)
        return -ENOMEM;
    m->message = (struct message){MESSAGE_EXEC_OPEN, 0, process_self()->pid, task_current()->tid};
    m->dfd = dfd;
    m->lookup_flags = lookup_flags;
    string_copy(m->path, path, sizeof(m->path));
    string_copy(m->name, exec->name, sizeof(m->name));
    int r = leased_request(&m->message, sizeof(*m), &record);
    kfree(m);
    if (r < 0)
        return -EAGAIN;
    const struct exec_answer *answer = (const struct exec_answer *)record->data;
    if (record->size < sizeof(struct number_message))
        r = -EPROTO;
    else if (answer->result < 0 || record->size < sizeof(*answer))
        r = answer_error(answer->result);
    else
        r = take_answer(exec, answer);
    kfree(record);
    return r;
}

int remote_execed(const struct exec *exec)
{
    size_t size = MIN(exec->argv.size, (size_t)COMMAND_LINE_MAX);
    if (process_self() == process_first())
        member_tell_touched(process_self());
    struct execed_message *m = kzalloc(sizeof(*m) + size);
    struct record *record;
    if (!m)
        return -ENOMEM;
    if (process_self() == process_first())
        local_epoll_end();
    m->message = (struct message){MESSAGE_EXECED, 0, process_self()->pid, process_self()->pid};
    m->program = remote_file_info(exec->file)->handle;
    m->size = (uint32_t)size;
    string_copy(m->comm, exec_comm(exec), sizeof(m->comm));
    memcpy(m->command_line, exec->argv.text, size);
    int r = leased_request(&m->message, sizeof(*m) + size, &record);
    kfree(m);
    if (process_self() == process_first())
        leased_end();
    if (r < 0)
        return r;
    const struct number_message *answer = (const struct number_message *)record->data;
    if (record->size < sizeof(*answer) || answer->number != 0)
        r = record->size < sizeof(*answer) ? -EPROTO : answer_error(answer->number);
    kfree(record);
    return r;
}

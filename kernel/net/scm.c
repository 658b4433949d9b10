/* Ancillary data of unix sockets: see scm.h. Counting files in flight and finding dead cycles: unix_gc.c. */
#include <asm/errno.h>
#include <asm/socket.h>
#include <linux/capability.h>
#include <linux/fcntl.h>

#include "kernel/fs/file.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/scm.h"
#include "kernel/net/unix.h"
#include "kernel/process/process.h"

struct ucred cred_self(void)
{
    const struct process *p = process_self();
    return (struct ucred){p->pid, p->credentials.uid, p->credentials.gid};
}

static struct scm *scm_new(size_t file_count)
{
    return kzalloc(sizeof(struct scm) + file_count * sizeof(struct file *));
}

static void scm_drop_files(struct scm *scm)
{
    if (scm->in_flight)
        scm_dequeued(scm);
    while (scm->file_count > 0)
        file_put(scm->files[--scm->file_count]);
}

void scm_free(struct scm *scm)
{
    if (!scm)
        return;
    scm_drop_files(scm);
    kfree(scm);
}

static int parse_rights(const int *fds, size_t count, struct scm *scm)
{
    if (scm->file_count + count > SCM_FILES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        struct file *file = fd_get(fds[i]);
        if (!file || (file->flags & O_PATH)) {
            file_put(file);
            return -EBADF;
        }
        scm->files[scm->file_count++] = file;
    }
    return 0;
}

static int parse_credentials(const struct ucred *cred, struct scm *scm)
{
    const struct process *p = process_self();
    const struct credentials *c = &p->credentials;
    bool uid_ok = cred->uid == c->uid || cred->uid == c->euid || cred->uid == c->suid;
    bool gid_ok = cred->gid == c->gid || cred->gid == c->egid || cred->gid == c->sgid;
    if ((cred->pid != p->pid && !process_capable(CAP_SYS_ADMIN)) || (!uid_ok && !process_capable(CAP_SETUID)) ||
        (!gid_ok && !process_capable(CAP_SETGID)))
        return -EPERM;
    scm->cred = *cred;
    scm->has_cred = true;
    return 0;
}

int scm_parse(const void *control, size_t size, struct scm **ret_scm)
{
    struct scm *scm = NULL;
    int r = 0;
    *ret_scm = NULL;
    for (size_t at = 0; size - at >= sizeof(struct cmsg_header);) {
        struct cmsg_header header;
        const char *data = (const char *)control + at + sizeof(header);
        memcpy(&header, (const char *)control + at, sizeof(header));
        r = -EINVAL;
        if (header.size < sizeof(header) || header.size > size - at)
            goto fail;
        size_t data_size = header.size - sizeof(header);
        if (header.level == SOL_SOCKET) {
            if (!scm)
                scm = scm_new(SCM_FILES_MAX);
            if (!scm) {
                r = -ENOMEM;
                goto fail;
            }
            if (header.type == SCM_RIGHTS)
                r = parse_rights((const int *)data, data_size / sizeof(int), scm);
            else if (header.type == SCM_CREDENTIALS && data_size == sizeof(struct ucred))
                r = parse_credentials((const struct ucred *)data, scm);
            if (r < 0)
                goto fail;
        }
        size_t step = CMSG_ALIGN(header.size);
        if (step >= size - at)
            break;
        at += step;
    }
    *ret_scm = scm;
    return 0;
fail:
    scm_free(scm);
    return r;
}

struct scm *scm_copy(const struct scm *scm)
{
    struct scm *copy = scm_new(scm->file_count);
    if (!copy)
        return NULL;
    copy->cred = scm->cred;
    copy->has_cred = scm->has_cred;
    copy->file_count = scm->file_count;
    for (uint32_t i = 0; i < scm->file_count; i++)
        copy->files[i] = file_get(scm->files[i]);
    return copy;
}

int scm_queued(struct scm *scm)
{
    if (!scm || !scm->file_count)
        return 0;
    int r = unix_flight_check(scm);
    if (r < 0)
        return r;
    unix_flight_begin(scm);
    scm->in_flight = true;
    return 0;
}

void scm_dequeued(struct scm *scm)
{
    if (!scm || !scm->in_flight)
        return;
    scm->in_flight = false;
    unix_flight_end(scm);
}

void message_put_control(struct message *msg, int level, int type, const void *data, size_t size)
{
    struct cmsg_header header = {.size = sizeof(header) + size, .level = level, .type = type};
    if (!msg->has_control)
        return;
    if (msg->control_left < sizeof(header)) {
        msg->out_flags |= MSG_CTRUNC;
        return;
    }
    if (header.size > msg->control_left) {
        msg->out_flags |= MSG_CTRUNC;
        header.size = msg->control_left;
        size = header.size - sizeof(header);
    }
    if (copy_to_user(msg->control, &header, sizeof(header)) < 0 ||
        copy_to_user(msg->control + sizeof(header), data, size) < 0)
        return;
    size_t step = MIN(CMSG_ALIGN(header.size), msg->control_left);
    msg->control += step;
    msg->control_left -= step;
}

void scm_deliver_files(struct message *msg, struct scm *scm)
{
    scm_dequeued(scm);
    if (!scm->file_count)
        return;
    size_t room = msg->control_left > sizeof(struct cmsg_header)
                      ? (msg->control_left - sizeof(struct cmsg_header)) / sizeof(int)
                      : 0;
    if (!msg->has_control)
        room = 0;
    size_t count = 0;
    int fds[SCM_FILES_MAX];
    while (count < scm->file_count && count < room) {
        int fd = fd_install(scm->files[count], 0, (msg->flags & MSG_CMSG_CLOEXEC) != 0);
        if (fd < 0)
            break;
        fds[count++] = fd;
    }
    if (count < scm->file_count)
        msg->out_flags |= MSG_CTRUNC;
    if (count > 0)
        message_put_control(msg, SOL_SOCKET, SCM_RIGHTS, fds, count * sizeof(int));
    for (size_t i = count; i < scm->file_count; i++)
        file_put(scm->files[i]);
    scm->file_count = 0;
}

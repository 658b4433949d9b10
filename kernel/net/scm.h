/* Ancillary data: open files and credentials that travel with unix messages, and cmsgs on the way out. */
#ifndef COFRE_KERNEL_NET_SCM_H
#define COFRE_KERNEL_NET_SCM_H

#include "kernel/lib/types.h"
#include "kernel/net/socket.h"

struct scm {
    struct ucred cred;
    bool has_cred;
    bool in_flight; /* files are counted as such (scm_queued) */
    uint32_t file_count;
    struct file *files[];
};

/* Reads SOL_SOCKET cmsgs of a unix socket from kernel memory: 0 or -errno; *ret_scm may come out NULL. */
int scm_parse(const void *control, size_t size, struct scm **ret_scm) must_check;
struct scm *scm_copy(const struct scm *scm) must_check; /* for MSG_PEEK: its own file references; never in flight */
void scm_free(struct scm *scm);                         /* NULL is fine */
/* The message that carries scm was queued at a unix socket: its files are in flight from now on. */
int scm_queued(struct scm *scm) must_check; /* -ETOOMANYREFS */
void scm_dequeued(struct scm *scm);
/* Gives the files to the receiver as SCM_RIGHTS, as far as they fit; consumes scm's file references. */
void scm_deliver_files(struct message *msg, struct scm *scm);

/* Appends one cmsg for recvmsg; cut or dropped (MSG_CTRUNC) when it does not fit. */
void message_put_control(struct message *msg, int level, int type, const void *data, size_t size);

struct ucred cred_self(void);

#endif

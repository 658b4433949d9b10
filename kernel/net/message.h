/* What the socket files share with the send and receive calls (kernel/net/message.c). */
#ifndef COFRE_KERNEL_NET_MESSAGE_H
#define COFRE_KERNEL_NET_MESSAGE_H

#include "kernel/net/net.h"
#include "kernel/net/socket.h"

static inline void message_init(struct message *msg, unsigned flags)
{
    msg->flags = flags;
    msg->out_flags = 0;
    msg->want_name = false;
    msg->has_control = false;
    msg->name_size = 0;
    msg->hops[0] = msg->hops[1] = msg->tclass[0] = msg->tclass[1] = -1;
    msg->scm = NULL;
    msg->control = 0;
    msg->control_left = 0;
}

/* The family's send, with SIGPIPE where Linux sends it. */
ssize_t socket_send(struct socket *sock, struct message *msg, bool nonblock);
/* The socket behind a descriptor; *ret_file is referenced. -EBADF, -ENOTSOCK. */
int socket_get(int fd, struct file **ret_file, struct socket **ret_sock) must_check;

#endif

/* Sending and receiving: the system calls around a family's send and recv. */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/signal.h>
#include <asm/socket.h>
#include <linux/time_types.h>

#include "kernel/fs/file.h"
#include "kernel/fs/poll_time.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/ip_control.h"
#include "kernel/net/message.h"
#include "kernel/net/scm.h"
#include "kernel/net/socket.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/syscall.h"

#define MMSG_MAX 1024

static void send_sigpipe(void)
{
    const struct process *p = process_self();
    struct signal_source source = {.signal = SIGPIPE, .pid = p->pid, .uid = p->credentials.uid};
    int r = signal_send_task(task_current(), &source);
    (void)r; /* EPIPE is still returned */
}

ssize_t socket_send(struct socket *sock, struct message *msg, bool nonblock)
{
    ssize_t n = sock->ops->send(sock, msg, nonblock);
    if (unlikely(n == -EPIPE) && sock->type == SOCK_STREAM && !(msg->flags & MSG_NOSIGNAL))
        send_sigpipe();
    return n;
}

static bool call_nonblock(const struct file *file, unsigned flags)
{
    return (file->flags & O_NONBLOCK) || (flags & MSG_DONTWAIT);
}

static ssize_t receive(struct socket *sock, struct message *msg, bool nonblock)
{
    if (msg->flags & MSG_ERRQUEUE)
        return -EAGAIN; /* nothing is ever queued there */
    return sock->ops->recv(sock, msg, nonblock);
}

SYSCALL_DEFINE6(sendto, int, fd, uaddr_t, buf, size_t, size, unsigned, flags, uaddr_t, addr, int, addr_size)
{
    struct file *file;
    struct socket *sock;
    struct message msg;
    ssize_t r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    message_init(&msg, flags);
    size = MIN(size, (size_t)INT32_MAX & PAGE_MASK);
    if (addr) {
        if (addr_size < 0 || addr_size > MSG_NAME_MAX) {
            r = -EINVAL;
            goto out;
        }
        r = copy_from_user(msg.name, addr, (size_t)addr_size);
        if (r < 0)
            goto out;
        msg.name_size = (uint32_t)addr_size;
    }
    iov_iter_user(&msg.iter, buf, size);
    r = socket_send(sock, &msg, call_nonblock(file, flags));
out:
    file_put(file);
    return r;
}

SYSCALL_DEFINE6(recvfrom, int, fd, uaddr_t, buf, size_t, size, unsigned, flags, uaddr_t, addr, uaddr_t, addr_size)
{
    struct file *file;
    struct socket *sock;
    struct message msg;
    ssize_t r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    message_init(&msg, flags);
    size = MIN(size, (size_t)INT32_MAX & PAGE_MASK);
    msg.want_name = addr != 0;
    iov_iter_user(&msg.iter, buf, size);
    r = receive(sock, &msg, call_nonblock(file, flags));
    if (r >= 0 && addr) {
        int e = address_to_user(msg.name, msg.name_size, addr, addr_size);
        if (e < 0)
            r = e;
    }
    file_put(file);
    return r;
}

/* sendmsg and recvmsg: the header and iovecs of one message in kernel memory. */
struct message_import {
    struct user_msghdr header;
    struct io_segment fast[8];
    struct io_segment *segments;
};

static int message_import(struct message_import *in, struct message *msg, uaddr_t user_header)
{
    int r = copy_from_user(&in->header, user_header, sizeof(in->header));
    if (r < 0)
        return r;
    if (in->header.name_size < 0)
        return -EINVAL;
    if (in->header.iov_count > 1024)
        return -EMSGSIZE;
    in->header.name_size = MIN(in->header.name_size, MSG_NAME_MAX);
    r = iov_import(in->header.iov, in->header.iov_count, in->fast, &in->segments);
    if (r < 0)
        return r;
    iov_iter_segments(&msg->iter, in->segments, in->header.iov_count);
    return 0;
}

static int control_import(const struct user_msghdr *header, const struct socket *sock, struct message *msg)
{
    if (!header->control || !header->control_size)
        return 0;
    if (header->control_size > INT32_MAX)
        return -ENOBUFS;
    if (header->control_size > MSG_CONTROL_MAX)
        return -ENOBUFS;
    void *control = kmalloc(header->control_size);
    if (!control)
        return -ENOBUFS;
    int r = copy_from_user(control, header->control, header->control_size);
    if (r == 0 && sock->family == AF_UNIX)
        r = scm_parse(control, header->control_size, &msg->scm);
    else if (r == 0 && sock->type == SOCK_DGRAM && (sock->family == AF_INET || sock->family == AF_INET6))
        r = ip_control_parse(control, header->control_size, sock->family == AF_INET6, msg);
    kfree(control);
    return r;
}

static ssize_t sendmsg_one(struct file *file, struct socket *sock, uaddr_t user_header, unsigned flags)
{
    struct message_import in;
    struct message msg;
    message_init(&msg, flags);
    ssize_t r = message_import(&in, &msg, user_header);
    if (r < 0)
        return r;
    if (in.header.name && in.header.name_size) {
        r = copy_from_user(msg.name, in.header.name, (size_t)in.header.name_size);
        msg.name_size = (uint32_t)in.header.name_size;
    }
    if (r == 0)
        r = control_import(&in.header, sock, &msg);
    if (r == 0)
        r = socket_send(sock, &msg, call_nonblock(file, flags));
    scm_free(msg.scm);
    iov_release(in.fast, in.segments);
    return r;
}

SYSCALL_DEFINE3(sendmsg, int, fd, uaddr_t, header, unsigned, flags)
{
    struct file *file;
    struct socket *sock;
    ssize_t r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    r = sendmsg_one(file, sock, header, flags);
    file_put(file);
    return r;
}

static int recvmsg_report(const struct message_import *in, const struct message *msg, uaddr_t user_header)
{
    const struct user_msghdr *h = &in->header;
    if (h->name) {
        size_t size = MIN((size_t)h->name_size, (size_t)msg->name_size);
        if (size && copy_to_user(h->name, msg->name, size) < 0)
            return -EFAULT;
        if (put_user32(user_header + offsetof(struct user_msghdr, name_size), msg->name_size) < 0)
            return -EFAULT;
    }
    uint32_t out = msg->out_flags | (msg->flags & MSG_CMSG_CLOEXEC);
    if (put_user32(user_header + offsetof(struct user_msghdr, flags), out) < 0)
        return -EFAULT;
    uint64_t used = h->control ? h->control_size - msg->control_left : 0;
    return put_user64(user_header + offsetof(struct user_msghdr, control_size), used);
}

static ssize_t recvmsg_one(struct file *file, struct socket *sock, uaddr_t user_header, unsigned flags, bool nonblock)
{
    struct message_import in;
    struct message msg;
    message_init(&msg, flags);
    ssize_t r = message_import(&in, &msg, user_header);
    if (r < 0)
        return r;
    msg.want_name = in.header.name != 0;
    msg.has_control = true;
    msg.control = in.header.control;
    msg.control_left = in.header.control ? in.header.control_size : 0;
    r = receive(sock, &msg, nonblock || call_nonblock(file, flags));
    if (r >= 0) {
        int e = recvmsg_report(&in, &msg, user_header);
        if (e < 0)
            r = e;
    }
    iov_release(in.fast, in.segments);
    return r;
}

SYSCALL_DEFINE3(recvmsg, int, fd, uaddr_t, header, unsigned, flags)
{
    struct file *file;
    struct socket *sock;
    ssize_t r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    r = recvmsg_one(file, sock, header, flags, false);
    file_put(file);
    return r;
}

SYSCALL_DEFINE4(sendmmsg, int, fd, uaddr_t, messages, unsigned, count, unsigned, flags)
{
    struct file *file;
    struct socket *sock;
    ssize_t r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    count = MIN(count, (unsigned)MMSG_MAX);
    unsigned done = 0;
    for (; done < count; done++) {
        uaddr_t m = messages + done * sizeof(struct user_mmsghdr);
        r = sendmsg_one(file, sock, m, flags);
        if (r < 0)
            break;
        r = put_user32(m + offsetof(struct user_mmsghdr, size), (uint32_t)r);
        if (r < 0)
            break;
    }
    file_put(file);
    return done ? (int64_t)done : r;
}

SYSCALL_DEFINE5(recvmmsg, int, fd, uaddr_t, messages, unsigned, count, unsigned, flags, uaddr_t, timeout)
{
    struct file *file;
    struct socket *sock;
    uint64_t deadline;
    ssize_t r = deadline_from_user(timeout, &deadline);
    if (r < 0)
        return r;
    r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    r = socket_take_error(sock);
    count = MIN(count, (unsigned)MMSG_MAX);
    unsigned done = 0;
    while (r >= 0 && done < count) {
        uaddr_t m = messages + done * sizeof(struct user_mmsghdr);
        bool nonblock = done > 0 && (flags & MSG_WAITFORONE);
        r = recvmsg_one(file, sock, m, flags & ~(unsigned)MSG_WAITFORONE, nonblock);
        if (r < 0)
            break;
        r = put_user32(m + offsetof(struct user_mmsghdr, size), (uint32_t)r);
        if (r < 0)
            break;
        done++;
        /* As on Linux, the time is looked at only between messages. */
        if (deadline != NO_DEADLINE && time_monotonic_ns() >= deadline)
            break;
    }
    if (done && r < 0 && r != -EAGAIN && r != -ERESTARTSYS && r != -EINTR)
        sock->error = (int)-r; /* told at the next call */
    file_put(file);
    return done ? (int64_t)done : r;
}

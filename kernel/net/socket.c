/* Socket files, and the system calls that make, name, join and end sockets. Sending and receiving: message.c. */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <linux/in.h>
#include <linux/sockios.h>
#include <linux/stat.h>

#include "kernel/fs/file.h"
#include "kernel/lib/list.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/message.h"
#include "kernel/net/socket.h"
#include "kernel/process/process.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/syscall.h"

#define SOCKET_BUFFER_DEFAULT 212992

static const struct file_ops socket_file_ops;

TAILQ_HEAD(socket_list, socket);
static struct socket_list lists[SOCKETS_LISTED] = {TAILQ_HEAD_INITIALIZER(lists[SOCKETS_TCP]),
                                                   TAILQ_HEAD_INITIALIZER(lists[SOCKETS_UDP]),
                                                   TAILQ_HEAD_INITIALIZER(lists[SOCKETS_UNIX])};

static struct socket_list *list_of(const struct socket *sock)
{
    switch (sock->family) {
    case AF_UNIX:
        return &lists[SOCKETS_UNIX];
    case AF_INET:
    case AF_INET6:
        if (sock->protocol == IPPROTO_UDPLITE)
            return NULL;
        return &lists[sock->type == SOCK_STREAM ? SOCKETS_TCP : SOCKETS_UDP];
    default:
        return NULL;
    }
}

struct socket *socket_after(enum socket_kind kind, uint64_t serial)
{
    struct socket *sock;
    TAILQ_FOREACH (sock, &lists[kind], link)
        if (sock->serial > serial)
            return sock;
    return NULL;
}

void socket_forget(struct socket *sock)
{
    if (list_of(sock))
        TAILQ_REMOVE(list_of(sock), sock, link);
}

void socket_setup(struct socket *sock, const struct socket_ops *ops, int family, int type, int protocol)
{
    sock->ops = ops;
    sock->family = (uint16_t)family;
    sock->type = (uint16_t)type;
    sock->protocol = (uint16_t)protocol;
    sock->rcvbuf = sock->sndbuf = SOCKET_BUFFER_DEFAULT;
    sock->rcvlowat = 1;
    sock->peek_off = -1;
    wait_queue_init(&sock->wait);
    static uint64_t serial;
    sock->serial = ++serial;
    if (list_of(sock))
        TAILQ_INSERT_TAIL(list_of(sock), sock, link);
}

struct socket *socket_of_file(struct file *file)
{
    return file->ops == &socket_file_ops ? file->private : NULL;
}

struct file *socket_file_new(struct socket *sock, unsigned flags)
{
    struct file *file =
        file_new_anon("socket", &socket_file_ops, sock, O_RDWR | (flags & SOCK_NONBLOCK ? O_NONBLOCK : 0));
    if (!file) {
        sock->ops->release(sock);
        return NULL;
    }
    file->inode->mode = S_IFSOCK | 0777;
    file->messages = sock->type != SOCK_STREAM;
    sock->file = file;
    return file;
}

uint64_t socket_deadline(uint64_t timeout_ns)
{
    return timeout_ns ? time_monotonic_ns() + timeout_ns : NO_DEADLINE;
}

int socket_wait_result(int result, uint64_t deadline_ns)
{
    if (result == -ETIMEDOUT)
        return -EAGAIN;
    if (result == -ERESTARTSYS && deadline_ns != NO_DEADLINE)
        return -EINTR;
    return result;
}

void socket_turn_take(struct socket *sock, bool *turn)
{
    while (unlikely(*turn)) {
        struct wait_entry wait;
        wait_entry_init(&wait, NULL);
        wait_queue_add(&sock->wait, &wait);
        sock->turn_wanted = true;
        task_prepare_sleep(false);
        if (*turn) {
            int r = task_sleep(NO_DEADLINE);
            (void)r; /* not interruptible */
        } else {
            task_cancel_sleep();
        }
        wait_queue_remove(&wait);
    }
    *turn = true;
}

void socket_turn_give(struct socket *sock, bool *turn)
{
    *turn = false;
    if (unlikely(sock->turn_wanted)) {
        sock->turn_wanted = false;
        wake_up_all(&sock->wait, 0);
    }
}

/* File operations */

static ssize_t socket_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    (void)pos;
    struct socket *sock = file->private;
    struct message msg;
    message_init(&msg, 0);
    msg.iter = *to;
    if (to->count == 0)
        return 0;
    socket_settle(sock);
    ssize_t n = sock->ops->recv(sock, &msg, (file->flags & O_NONBLOCK) != 0);
    *to = msg.iter;
    return n;
}

static ssize_t socket_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    (void)pos;
    struct socket *sock = file->private;
    struct message msg;
    message_init(&msg, 0);
    msg.iter = *from;
    socket_settle(sock);
    ssize_t n = socket_send(sock, &msg, (file->flags & O_NONBLOCK) != 0);
    *from = msg.iter;
    return n;
}

static uint32_t socket_poll(struct file *file, struct poll_table *table)
{
    struct socket *sock = file->private;
    return sock->ops->poll(sock, file, table);
}

static int64_t socket_ioctl(struct file *file, unsigned command, uint64_t arg)
{
    struct socket *sock = file->private;
    socket_settle(sock);
    int64_t r = sock->ops->ioctl ? sock->ops->ioctl(sock, command, arg) : -ENOTTY;
    return r == -ENOTTY ? interface_ioctl(command, arg) : r;
}

static void socket_release(struct file *file)
{
    struct socket *sock = file->private;
    sock->file = NULL;
    sock->ops->release(sock);
}

/* Its flags are the borrower's, too. */
static void socket_file_settle(struct file *file)
{
    socket_settle(file->private);
}

static const struct file_ops socket_file_ops = {
    .settle = socket_file_settle,
    .read = socket_read,
    .write = socket_write,
    .poll = socket_poll,
    .ioctl = socket_ioctl,
    .release = socket_release,
};

void socket_init(void)
{
}

/* System calls */

int socket_get(int fd, struct file **ret_file, struct socket **ret_sock)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    struct socket *sock = socket_of_file(file);
    if (!sock) {
        file_put(file);
        return -ENOTSOCK;
    }
    socket_settle(sock);
    *ret_file = file;
    *ret_sock = sock;
    return 0;
}

static int socket_new(int family, int type, int protocol, struct socket **ret_sock)
{
    switch (family) {
    case AF_UNIX:
        return unix_socket_new(type, protocol, ret_sock);
    case AF_INET:
    case AF_INET6:
        return inet_socket_new(family, type, protocol, ret_sock);
    case AF_NETLINK:
        return netlink_socket_new(type, protocol, ret_sock);
    case AF_PACKET:
        return -EPERM;
    default:
        return -EAFNOSUPPORT;
    }
}

/* The file goes to the lowest free descriptor, or is dropped. */
static int socket_install(struct file *file, int flags)
{
    int fd = fd_install(file, 0, (flags & SOCK_CLOEXEC) != 0);
    if (fd < 0)
        file_put(file);
    return fd;
}

static int type_flags_split(int *type, int *ret_flags)
{
    *ret_flags = *type & ~SOCK_TYPE_MASK;
    *type &= SOCK_TYPE_MASK;
    return *ret_flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK) ? -EINVAL : 0;
}

SYSCALL_DEFINE3(socket, int, family, int, type, int, protocol)
{
    int flags;
    struct socket *sock;
    int r = type_flags_split(&type, &flags);
    if (r < 0)
        return r;
    if (family < 0 || family >= AF_MAX)
        return -EAFNOSUPPORT;
    if (type < SOCK_STREAM || type > 10)
        return -EINVAL;
    r = socket_new(family, type, protocol, &sock);
    if (r < 0)
        return r;
    struct file *file = socket_file_new(sock, (unsigned)flags);
    return file ? socket_install(file, flags) : -ENFILE;
}

SYSCALL_DEFINE4(socketpair, int, family, int, type, int, protocol, uaddr_t, user_fds)
{
    int flags;
    struct socket *pair[2];
    struct file *files[2];
    int fds[2];
    int r = type_flags_split(&type, &flags);
    if (r < 0)
        return r;
    if (family != AF_UNIX) {
        r = socket_new(family, type, protocol, &pair[0]);
        if (r < 0)
            return r;
        pair[0]->ops->release(pair[0]);
        return -EOPNOTSUPP;
    }
    r = unix_socket_pair(type, protocol, pair);
    if (r < 0)
        return r;
    files[0] = socket_file_new(pair[0], (unsigned)flags);
    if (!files[0]) {
        pair[1]->ops->release(pair[1]);
        return -ENFILE;
    }
    files[1] = socket_file_new(pair[1], (unsigned)flags);
    if (!files[1]) {
        file_put(files[0]);
        return -ENFILE;
    }
    fds[0] = socket_install(files[0], flags);
    if (fds[0] < 0) {
        file_put(files[1]);
        return fds[0];
    }
    fds[1] = socket_install(files[1], flags);
    r = fds[1] < 0 ? fds[1] : copy_to_user(user_fds, fds, sizeof(fds));
    if (r < 0) {
        fd_close(fds[0]);
        if (fds[1] >= 0)
            fd_close(fds[1]);
    }
    return r;
}

static int address_from_user(uint8_t addr[MSG_NAME_MAX], uaddr_t user_addr, int size)
{
    if (size < 0 || size > MSG_NAME_MAX)
        return -EINVAL;
    return copy_from_user(addr, user_addr, (size_t)size);
}

int address_to_user(const void *addr, uint32_t size, uaddr_t user_addr, uaddr_t user_size)
{
    uint32_t room;
    int r = get_user32(&room, user_size);
    if (r < 0)
        return r;
    if ((int32_t)room < 0)
        return -EINVAL;
    if (room && copy_to_user(user_addr, addr, MIN(room, size)) < 0)
        return -EFAULT;
    return put_user32(user_size, size);
}

SYSCALL_DEFINE3(bind, int, fd, uaddr_t, user_addr, int, size)
{
    struct file *file;
    struct socket *sock;
    uint8_t addr[MSG_NAME_MAX];
    int r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    r = address_from_user(addr, user_addr, size);
    if (r == 0)
        r = sock->ops->bind(sock, addr, (size_t)size);
    file_put(file);
    return r;
}

SYSCALL_DEFINE3(connect, int, fd, uaddr_t, user_addr, int, size)
{
    struct file *file;
    struct socket *sock;
    uint8_t addr[MSG_NAME_MAX];
    int r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    r = address_from_user(addr, user_addr, size);
    if (r == 0)
        r = sock->ops->connect(sock, addr, (size_t)size, (file->flags & O_NONBLOCK) != 0);
    file_put(file);
    return r;
}

SYSCALL_DEFINE2(listen, int, fd, int, backlog)
{
    struct file *file;
    struct socket *sock;
    int r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    if ((unsigned)backlog > SOMAXCONN)
        backlog = SOMAXCONN;
    r = sock->ops->listen ? sock->ops->listen(sock, backlog) : -EOPNOTSUPP;
    file_put(file);
    return r;
}

static int64_t socket_accept(struct file *file, struct socket *sock, uaddr_t user_addr, uaddr_t user_size, int flags)
{
    struct socket *accepted;
    if (!sock->ops->accept)
        return -EOPNOTSUPP;
    int r = sock->ops->accept(sock, (file->flags & O_NONBLOCK) != 0, &accepted);
    if (r < 0)
        return r;
    struct file *new_file = socket_file_new(accepted, (unsigned)flags);
    if (!new_file)
        return -ENFILE;
    if (user_addr) {
        uint8_t addr[MSG_NAME_MAX];
        r = accepted->ops->getname(accepted, true, addr);
        if (r < 0)
            r = -ECONNABORTED;
        else
            r = address_to_user(addr, (uint32_t)r, user_addr, user_size);
        if (r < 0) {
            file_put(new_file);
            return r;
        }
    }
    return socket_install(new_file, flags);
}

static int64_t accept_user(int fd, uaddr_t user_addr, uaddr_t user_size, int flags)
{
    struct file *file;
    struct socket *sock;
    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    int64_t r = socket_get(fd, &file, &sock);
    if (r == 0 || r == -ENOTSOCK) {
        int room = fd_room(); /* else the connection stays in the backlog */
        if (room < 0) {
            if (r == 0)
                file_put(file);
            return room;
        }
    }
    if (r < 0)
        return r;
    r = socket_accept(file, sock, user_addr, user_size, flags);
    file_put(file);
    return r;
}

SYSCALL_DEFINE3(accept, int, fd, uaddr_t, user_addr, uaddr_t, user_size)
{
    return accept_user(fd, user_addr, user_size, 0);
}

SYSCALL_DEFINE4(accept4, int, fd, uaddr_t, user_addr, uaddr_t, user_size, int, flags)
{
    return accept_user(fd, user_addr, user_size, flags);
}

SYSCALL_DEFINE2(shutdown, int, fd, int, how)
{
    struct file *file;
    struct socket *sock;
    int r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    if (how < SHUT_RD || how > SHUT_RDWR)
        r = -EINVAL;
    else
        r = sock->ops->shutdown ? sock->ops->shutdown(sock, how) : -EOPNOTSUPP;
    file_put(file);
    return r;
}

static int64_t name_user(int fd, bool peer, uaddr_t user_addr, uaddr_t user_size)
{
    struct file *file;
    struct socket *sock;
    uint8_t addr[MSG_NAME_MAX];
    int r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    r = sock->ops->getname(sock, peer, addr);
    if (r >= 0)
        r = address_to_user(addr, (uint32_t)r, user_addr, user_size);
    file_put(file);
    return r;
}

SYSCALL_DEFINE3(getsockname, int, fd, uaddr_t, user_addr, uaddr_t, user_size)
{
    return name_user(fd, false, user_addr, user_size);
}

SYSCALL_DEFINE3(getpeername, int, fd, uaddr_t, user_addr, uaddr_t, user_size)
{
    return name_user(fd, true, user_addr, user_size);
}

#define OPTION_SIZE_MAX 256

SYSCALL_DEFINE5(setsockopt, int, fd, int, level, int, name, uaddr_t, user_value, int, size)
{
    struct file *file;
    struct socket *sock;
    uint8_t value[OPTION_SIZE_MAX] __attribute__((aligned(8)));
    if (size < 0)
        return -EINVAL;
    int r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    size_t copied = MIN((size_t)size, sizeof(value));
    memset(value, 0, 8);
    r = copy_from_user(value, user_value, copied);
    if (r == 0)
        r = socket_setsockopt(sock, level, name, value, copied);
    file_put(file);
    return r;
}

SYSCALL_DEFINE5(getsockopt, int, fd, int, level, int, name, uaddr_t, user_value, uaddr_t, user_size)
{
    struct file *file;
    struct socket *sock;
    uint8_t value[OPTION_SIZE_MAX] __attribute__((aligned(8)));
    uint32_t room;
    int r = socket_get(fd, &file, &sock);
    if (r < 0)
        return r;
    r = get_user32(&room, user_size);
    if (r == 0 && (int32_t)room < 0)
        r = -EINVAL;
    if (r == 0) {
        size_t size = MIN((size_t)room, sizeof(value));
        r = socket_getsockopt(sock, level, name, value, &size);
        if (r == 0)
            r = copy_to_user(user_value, value, size);
        if (r == 0)
            r = put_user32(user_size, (uint32_t)size);
    }
    file_put(file);
    return r;
}

/* Accepting here (contract in accepting.h). */
#include "kernel/remote/accepting.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "kernel/fs/file.h"
#include "kernel/net/loan.h"
#include "kernel/net/net.h"
#include "kernel/net/socket_types.h"
#include "kernel/process/process.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/descriptors.h"

static bool next_descriptor(int *ret_fd)
{
    const struct process *process = process_self();
    return !process->exiting && process->leader && descriptors_next(ret_fd) &&
           (uint64_t)*ret_fd < process->limits[RLIMIT_NOFILE].rlim_cur;
}

/* The peer's address, as accept(2) gives it; what cannot be given it is closed. */
static int64_t tell_peer(int fd, const uint64_t args[6])
{
    uint8_t addr[TCP_NAME_MAX];
    struct file *file;
    struct tcp_socket *t = args[1] ? borrower_find(fd, &file) : NULL;
    if (!t)
        return fd;
    int64_t r = tcp_peer_name(t, addr);
    r = r < 0 ? -ECONNABORTED : address_to_user(addr, (uint32_t)r, args[1], args[2]);
    if (r < 0 && borrower_close(t)) /* others may have told of it meanwhile */
        descriptors_closed(fd);
    file_put(file);
    return r < 0 ? r : fd;
}

bool accepting_call(struct file *listener, uint64_t nr, const uint64_t args[6], int64_t *ret_result)
{
    unsigned flags = nr == __NR_accept4 ? (unsigned)args[3] : 0;
    struct tcp_socket *accepted;
    int fd, r;
    if (flags & ~(unsigned)(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return false;
    for (;;) {
        /* What others do while this sleeps may end either. */
        if (tcp_share_closed(listener) || !next_descriptor(&fd))
            return false;
        r = tcp_share_accept(listener, &accepted);
        if (r != -EAGAIN || (listener->flags & O_NONBLOCK))
            break;
        r = tcp_share_wait(listener);
        if (r < 0)
            break;
    }
    if (r == 0) {
        r = borrower_begin(accepted, fd, flags);
        if (r == 0)
            descriptors_opened(fd);
        *ret_result = r == 0 ? tell_peer(fd, args) : r;
    } else {
        *ret_result = r;
    }
    return true;
}

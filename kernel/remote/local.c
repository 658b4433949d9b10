/*
 * Calls that run here (contract in local.h). What is not here is the init enclave's, which calls the connection back
 * if it touches it: that is slower, and as right. So this has only what servers do all the time.
 */
#include "kernel/remote/local.h"

#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/socket.h>
#include <asm/unistd_64.h>
#include <linux/close_range.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/sockios.h>

#include "kernel/fs/file.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/poll_time.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/list.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/loan.h"
#include "kernel/process/process.h"
#include "kernel/remote/borrower.h"
#include "kernel/remote/client.h"
#include "kernel/remote/leased.h"
#include "kernel/remote/local_epoll.h"
#include "kernel/remote/member.h"
#include "kernel/remote/mixed.h"
#include "kernel/sched/time.h"

/* ---- one connection ---- */

enum how { ELSEWHERE, MOVES, ASKS, SETS_FLAGS };

static bool is_cloexec(int fd)
{
    bool cloexec = false;
    struct file *file = fd_table_file(process_self()->files, fd, &cloexec);
    if (file)
        file_put(file);
    return cloexec;
}

static enum how socket_how(uint64_t nr, const struct tcp_socket *t, const uint64_t args[6])
{
    switch (nr) {
    case __NR_read:
    case __NR_write:
    case __NR_readv:
    case __NR_writev:
    case __NR_recvfrom:
    case __NR_sendto:
    case __NR_recvmsg:
    case __NR_sendmsg:
        return MOVES;
    case __NR_getsockname:
    case __NR_getpeername:
    case __NR_shutdown:
        return ASKS;
    case __NR_getsockopt:
        return (int)args[1] == SOL_SOCKET && (int)args[2] == SO_COOKIE ? ELSEWHERE : ASKS;
    case __NR_setsockopt:
        return tcp_borrowed_option(t, (int)args[1], (int)args[2]) ? ASKS : ELSEWHERE;
    case __NR_ioctl:
        if ((uint32_t)args[1] == FIONBIO)
            return SETS_FLAGS;
        return (uint32_t)args[1] == SIOCINQ || (uint32_t)args[1] == SIOCOUTQ ? ASKS : ELSEWHERE;
    case __NR_fcntl:
        if ((uint32_t)args[1] == F_SETFD)
            return is_cloexec((int)args[0]) == !!(args[2] & FD_CLOEXEC) ? ASKS : ELSEWHERE;
        return (uint32_t)args[1] == F_SETFL                                   ? SETS_FLAGS
               : (uint32_t)args[1] == F_GETFL || (uint32_t)args[1] == F_GETFD ? ASKS
                                                                              : ELSEWHERE;
    default:
        return ELSEWHERE;
    }
}

/* Close-on-exec is kept in both enclaves. */
static void follow_cloexec(uint64_t nr, const uint64_t args[6])
{
    int fd = (int)args[0];
    if (nr == __NR_fcntl && (uint32_t)args[1] == F_SETFD)
        (void)!fd_set_flags(fd, (unsigned)args[2]);
    else if (nr == __NR_ioctl && ((uint32_t)args[1] == FIOCLEX || (uint32_t)args[1] == FIONCLEX))
        (void)!fd_set_flags(fd, (uint32_t)args[1] == FIOCLEX ? FD_CLOEXEC : 0);
}

bool local_is(uint64_t nr, const uint64_t args[6])
{
    struct file *file;
    struct tcp_socket *t = process_self()->files ? borrower_find((int)args[0], &file) : NULL;
    bool here = t && socket_how(nr, t, args) != ELSEWHERE;
    if (t)
        file_put(file);
    return here;
}

static bool on_socket(uint64_t nr, struct trap_frame *frame, struct tcp_socket *t, const uint64_t args[6],
                      int64_t *ret_result)
{
    enum how how = socket_how(nr, t, args);
    unsigned flags = tcp_file(t)->flags;
    if (how == ELSEWHERE) {
        borrower_tell_begun();
        follow_cloexec(nr, args);
        return false;
    }
    *ret_result = remote_local(nr, frame);
    bool gone = borrower_settle(t);
    if (!gone && how == SETS_FLAGS && tcp_file(t)->flags != flags)
        borrower_flags_changed(t);
    /* What moved bytes has done so; what asked or set something did that with what is not in force any more. */
    return how == MOVES ? *ret_result != -ERECALLED : !gone;
}

static bool close_socket(int fd, int64_t *ret_result)
{
    struct file *file;
    struct tcp_socket *t = borrower_find(fd, &file);
    if (!t)
        return false;
    bool done = borrower_close(t);
    file_put(file);
    *ret_result = 0;
    return done;
}

/* ---- poll ---- */

#define POLL_LOCAL_MAX 16

/* Are they all borrowed, or none? An epoll set in two parts becomes one. */
static bool poll_is_local(uaddr_t user_fds, uint64_t count)
{
    struct pollfd fds[POLL_LOCAL_MAX];
    struct file *file;
    bool all = count <= POLL_LOCAL_MAX;
    size_t borrowed = 0;
    for (uint64_t done = 0, n; done < count; done += n) {
        n = MIN(count - done, (uint64_t)POLL_LOCAL_MAX);
        if (count > 1UL << 20 || copy_from_user(fds, user_fds + done * sizeof(fds[0]), n * sizeof(fds[0])) < 0)
            return false;
        for (uint64_t i = 0; i < n; i++) {
            if (fds[i].fd >= 0 && local_epoll_has(fds[i].fd))
                local_epoll_dissolve();
            if (fds[i].fd >= 0 && borrower_find(fds[i].fd, &file)) {
                file_put(file);
                borrowed++;
            } else {
                all &= fds[i].fd < 0;
            }
        }
    }
    return all && borrowed > 0;
}

static bool poll_sockets(uint64_t nr, struct trap_frame *frame, const uint64_t args[6], int64_t *ret_result)
{
    uint64_t returns = borrower_returns, rest[6];
    uint64_t deadline = NO_DEADLINE;
    if (!poll_is_local(args[0], (uint32_t)args[1]))
        return false;
    if ((int)args[2] >= 0)
        deadline = deadline_after((unsigned)args[2] / 1000, (unsigned)args[2] % 1000 * 1000000ULL);
    *ret_result = remote_local(nr, frame);
    if (*ret_result < 0 || returns == borrower_returns || poll_is_local(args[0], (uint32_t)args[1]))
        return true;
    /* One of them went back meanwhile. ppoll has written what is left of the time itself. */
    memcpy(rest, args, sizeof(rest));
    if (nr == __NR_poll && deadline != NO_DEADLINE) {
        uint64_t now = time_monotonic_ns();
        rest[2] = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
    }
    *ret_result = remote_mixed(nr, frame, rest);
    return true;
}

static void select_looks(const uint64_t args[6])
{
    uint64_t word;
    for (unsigned s = 1; s <= 3; s++)
        for (uint64_t w = 0; args[s] && w * 64 < MIN(args[0], (uint64_t)INT32_MAX) && local_epoll_any(); w++) {
            if (get_user64(&word, args[s] + w * 8) < 0)
                return;
            for (; word; word &= word - 1)
                if (local_epoll_has((int)(w * 64) + __builtin_ctzll(word)))
                    local_epoll_dissolve();
        }
}

/* ---- sendfile ---- */

#define SENDFILE_PIECE 0x10000UL

struct sendfile {
    struct file *out, *leased; /* NULL: it is the init enclave's */
    uint64_t in_fd, pos, left;
    void *buf; /* of what is not leased; made when it is needed */
};

/*
 * Up to size bytes of the file, where they lie; 0 at its end. Of a leased one those that are there now: as long as it
 * is one. Who sleeps while a piece is sent looks again before the next.
 */
static int64_t get_piece(struct sendfile *s, size_t size, void **ret_bytes)
{
    const uint64_t from[6] = {s->in_fd, 0, size, s->pos};
    size_t there;
    if (s->leased && leased_is_at(s->leased, s->in_fd)) {
        *ret_bytes = (void *)(uintptr_t)leased_bytes(s->leased, s->pos, &there);
        return (int64_t)MIN(size, there);
    }
    if (!s->buf && !(s->buf = kzalloc(MIN(s->left, SENDFILE_PIECE))))
        return -ENOMEM;
    *ret_bytes = s->buf;
    return remote_call_into(__NR_pread64, from, 1, s->buf, size);
}

/* Bytes of the file, sent; 0 at its end. *ret_stop: no more may follow. */
static int64_t send_piece(struct sendfile *s, bool *ret_stop)
{
    size_t size = MIN(s->left, SENDFILE_PIECE), done = 0;
    struct iov_iter it;
    void *bytes = NULL;
    bool nonblock = s->out->flags & O_NONBLOCK;
    *ret_stop = true;
    if (nonblock && !(file_poll(s->out, NULL) & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
        return -EAGAIN;
    int64_t got = get_piece(s, size, &bytes);
    if (got > (int64_t)size)
        member_end("more bytes of the init enclave than were asked for");
    while (got > 0 && done < (size_t)got) {
        iov_iter_kernel(&it, (char *)bytes + done, (size_t)got - done);
        int64_t n = s->out->ops->write(s->out, &it, NULL);
        if (n <= 0)
            return done > 0 ? (int64_t)done : n;
        done += (size_t)n;
        if (nonblock)
            break;
    }
    *ret_stop = got <= 0 || done < (size_t)got;
    return got < 0 ? got : (int64_t)done;
}

static int64_t send_pieces(struct sendfile *s)
{
    uint64_t done = 0;
    bool stop = false;
    int64_t n = 0;
    while (!stop && s->left > 0) {
        n = send_piece(s, &stop);
        if (n < 0)
            break;
        done += (uint64_t)n;
        s->pos += (uint64_t)n;
        s->left -= (uint64_t)n;
    }
    return done > 0 ? (int64_t)done : n;
}

/*
 * With the caller's offset, or of a leased file: what is the init enclave's has an offset that could not be left where
 * it was if less is sent than was read.
 */
static bool sendfile_begin(struct sendfile *s, struct file *out, const uint64_t args[6])
{
    *s = (struct sendfile){.out = out, .in_fd = args[1], .left = MIN(args[3], 0x7ffff000UL)};
    if (s->left == 0 || (args[2] && get_user64(&s->pos, args[2]) < 0))
        return false;
    s->leased = leased_at(args[1]); /* nothing from here on sleeps */
    if (s->leased && !args[2])
        s->pos = (uint64_t)s->leased->pos;
    return (int64_t)s->pos >= 0 && (s->leased || args[2]);
}

static void sendfile_end(struct sendfile *s, uint64_t user_offset, int64_t *result)
{
    if (*result > 0 && !user_offset)
        leased_set_offset(s->leased, s->in_fd, s->pos);
    else if (*result > 0 && put_user64(user_offset, s->pos) < 0)
        *result = -EFAULT;
}

static bool send_file(struct file *out, struct tcp_socket *t, const uint64_t args[6], int64_t *ret_result)
{
    struct file *in;
    struct sendfile s;
    if (borrower_find((int)args[1], &in)) {
        file_put(in);
        return false;
    }
    bool here = sendfile_begin(&s, out, args);
    if (here) {
        *ret_result = send_pieces(&s);
        (void)borrower_settle(t);
        sendfile_end(&s, args[2], ret_result);
    }
    if (s.leased)
        file_put(s.leased);
    kfree(s.buf);
    /* Which error it is, the init enclave knows better; nothing has happened yet. */
    return here && (*ret_result >= 0 || *ret_result == -EAGAIN || *ret_result == -EPIPE || *ret_result == -EFAULT);
}

/* ---- */

static bool on_descriptor(uint64_t nr, struct trap_frame *frame, const uint64_t args[6], int64_t *ret_result)
{
    struct file *file;
    struct tcp_socket *t = borrower_find((int)args[0], &file);
    if (!t)
        return false;
    bool done = nr == __NR_sendfile ? send_file(file, t, args, ret_result) : on_socket(nr, frame, t, args, ret_result);
    file_put(file);
    return done;
}

static int cloexec_in_range(int fd, struct file *file, void *arg)
{
    const uint64_t *args = arg;
    (void)file;
    return (unsigned)fd >= (unsigned)args[0] && (unsigned)fd <= (unsigned)args[1] ? fd_set_flags(fd, FD_CLOEXEC) : 0;
}

/* Descriptors of epoll sets in two parts come and go. */
static void sets_change(uint64_t nr, const uint64_t args[6])
{
    bool copies = nr == __NR_dup || nr == __NR_dup2 || nr == __NR_dup3 ||
                  (nr == __NR_fcntl && ((uint32_t)args[1] == F_DUPFD || (uint32_t)args[1] == F_DUPFD_CLOEXEC));
    if (copies && local_epoll_has((int)args[0]))
        local_epoll_dissolve();
    if (nr == __NR_close)
        local_epoll_close((int)args[0]);
    else if ((nr == __NR_dup2 && args[0] != args[1]) || nr == __NR_dup3)
        local_epoll_close((int)args[1]);
    else if (nr == __NR_close_range && !(args[2] & CLOSE_RANGE_CLOEXEC))
        local_epoll_close_range((unsigned)args[0], (unsigned)args[1]);
}

bool local_call(uint64_t nr, struct trap_frame *frame, const uint64_t args[6], int64_t *ret_result)
{
    switch (nr) {
    case __NR_close:
        if (close_socket((int)args[0], ret_result))
            return true;
        break;
    case __NR_epoll_ctl:
        return local_epoll_ctl(args, ret_result);
    case __NR_epoll_wait:
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2:
        return local_epoll_wait(nr, args, ret_result);
    case __NR_poll:
    case __NR_ppoll:
        return poll_sockets(nr, frame, args, ret_result);
    case __NR_select:
    case __NR_pselect6:
        select_looks(args);
        return false;
    case __NR_close_range:
        if (args[2] & CLOSE_RANGE_CLOEXEC)
            (void)fd_for_each(process_self()->files, cloexec_in_range, (void *)args);
        break;
    default:
        if (on_descriptor(nr, frame, args, ret_result))
            return true;
    }
    if (local_epoll_any())
        sets_change(nr, args);
    return false;
}

/* What the borrower of borrower_world.h asks of the rest of a member's kernel. */
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/unistd_64.h>
#include <linux/eventpoll.h>

#include "borrower_parts.h"
#include "kernel/fs/file.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"
#include "kernel/net/socket_types.h"
#include "kernel/process/process.h"
#include "kernel/process/table.h"
#include "kernel/remote/client.h"
#include "kernel/remote/local.h"
#include "kernel/remote/mixed.h"
#include "kernel/remote/waiting.h"
#include "kernel/sched/task.h"

void remote_poll(void); /* its header has another struct linger than sockets */
void remote_poll(void)
{
    meanwhile();
}

void task_yield(void)
{
    FAIL("somebody else uses it");
}

static struct fd_table {
    int unused;
} the_table;

struct fd_table *fd_table_new(void)
{
    return &the_table;
}

static bool cloexec_of[WORLD_FDS];

int fd_table_set(struct fd_table *table, int fd, struct file *file, bool cloexec)
{
    (void)table;
    int r = world_fd_set(fd, file);
    if (r == 0)
        cloexec_of[fd] = cloexec;
    return r;
}

struct file *fd_table_file(struct fd_table *table, int fd, bool *ret_cloexec)
{
    struct file *file = fd_get(fd);
    (void)table;
    if (file && ret_cloexec)
        *ret_cloexec = cloexec_of[fd];
    return file;
}

int fd_table_close(struct fd_table *table, int fd)
{
    (void)table;
    return fd_close(fd);
}

int fd_for_each(struct fd_table *table, int (*fn)(int fd, struct file *file, void *arg), void *arg)
{
    int r = 0;
    (void)table;
    for (int fd = 0; r == 0 && fd < WORLD_FDS; fd++) {
        struct file *file = fd_get(fd);
        if (!file)
            continue;
        r = fn(fd, file, arg);
        file_put(file);
    }
    return r;
}

int fd_set_flags(int fd, unsigned flags)
{
    (void)fd, (void)flags;
    return 0;
}

struct process *process_first(void)
{
    return process_self();
}

struct process *process_find(int pid)
{
    return pid == process_self()->pid ? process_self() : NULL;
}

int get_user64(uint64_t *dst, uaddr_t src)
{
    return copy_from_user(dst, src, 8);
}

static int64_t local_fcntl(int fd, unsigned command, uint64_t arg)
{
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    if (command == F_SETFL)
        file->flags = (file->flags & ~(unsigned)(O_NONBLOCK | O_APPEND)) | ((unsigned)arg & (O_NONBLOCK | O_APPEND));
    int64_t r = command == F_GETFL ? file->flags : 0;
    file_put(file);
    return r;
}

int64_t remote_local(uint64_t nr, struct trap_frame *frame)
{
    int fd = (int)frame->rdi;
    switch (nr) {
    case __NR_read:
        return world_read(fd, (void *)frame->rsi, frame->rdx);
    case __NR_write:
        return world_write(fd, (const void *)frame->rsi, frame->rdx);
    case __NR_ioctl:
        return (unsigned)frame->rsi == FIONBIO ? local_fcntl(fd, F_SETFL, *(const int *)frame->rdx ? O_NONBLOCK : 0)
                                               : world_ioctl(fd, (unsigned)frame->rsi, (void *)frame->rdx);
    case __NR_fcntl:
        return local_fcntl(fd, (unsigned)frame->rsi, frame->rdx);
#define LOCAL(name)                                                                                                    \
    case __NR_##name: {                                                                                                \
        SYSCALL_PROLOGUE_(name)                                                                                        \
        return sys_##name(frame);                                                                                      \
    }
        LOCAL(recvfrom)
        LOCAL(sendto)
        LOCAL(recvmsg)
        LOCAL(sendmsg)
        LOCAL(getsockname)
        LOCAL(getpeername)
        LOCAL(shutdown)
        LOCAL(getsockopt)
        LOCAL(setsockopt)
        LOCAL(poll)
        LOCAL(ppoll)
    default:
        FAIL("a call that is not for here");
        return -ENOSYS;
    }
}

/* A call that the init enclave runs; what happens while it does so. */
int64_t remote_call(uint64_t nr, const uint64_t args[6])
{
    meanwhile();
    if (nr != __NR_epoll_ctl)
        FAIL("a call that is not for there");
    if (is_untold(connection_of_fd((int)args[2])))
        FAIL("a call there of what nobody knows of there");
    if (who == INIT_LIES && choose(4) == 0)
        return -(int64_t)choose(134);
    return -ENOENT;
}

int64_t remote_call_into(uint64_t nr, const uint64_t args[6], unsigned arg, void *buf, size_t size)
{
    size_t unit = nr == __NR_epoll_wait ? sizeof(struct epoll_event) : 1;
    size_t n = choose(4) ? 0 : MIN((size_t)choose(nr == __NR_epoll_wait ? 4 : 3000), size / unit);
    if (arg != 1 || (nr == __NR_epoll_wait ? args[2] * unit : args[2]) > size)
        FAIL("where an answer goes");
    meanwhile();
    for (size_t i = 0; nr == __NR_epoll_wait && i < n; i++)
        ((struct epoll_event *)buf)[i] = (struct epoll_event){.events = EPOLLIN, .data = DATA_THERE};
    if (nr == __NR_pread64) {
        struct connection *c = connection_of_fd((int)args[0] - FIRST_FILE + FIRST_FD);
        fill(c, buf, n, (uint32_t)args[3], true);
    }
    if (who == INIT_LIES && choose(6) == 0)
        return choose(2) ? (int64_t)word() : -(int64_t)choose(134);
    return (int64_t)n;
}

int64_t remote_mixed(uint64_t nr, struct trap_frame *frame, const uint64_t args[6])
{
    (void)nr, (void)frame, (void)args;
    meanwhile();
    return 0;
}

/* Nothing but epoll sets is watched here. */
bool waiting_fired(const struct watch_message *m)
{
    (void)m;
    return false;
}

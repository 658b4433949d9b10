/* The next descriptor (contract in descriptors.h). */
#include "kernel/remote/descriptors.h"

#include <asm/ioctls.h>
#include <asm/unistd_64.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

#include "kernel/lib/string.h"

#define KNOWN_MAX 1024

static unsigned used_below;                 /* none below is free */
static uint64_t known_free[KNOWN_MAX / 64]; /* these are */
static unsigned running;                    /* calls between begin and end */
static unsigned changing;                   /* of these, those that do not only add one */
static bool overlapped;                     /* two at once: who came first is not known */

enum descriptor_use descriptors_use(uint64_t nr, const uint64_t args[6])
{
    switch (nr) {
    case __NR_read:
    case __NR_write:
    case __NR_readv:
    case __NR_writev:
    case __NR_pread64:
    case __NR_pwrite64:
    case __NR_preadv:
    case __NR_pwritev:
    case __NR_sendto:
    case __NR_recvfrom:
    case __NR_getsockname:
    case __NR_getpeername:
    case __NR_getsockopt:
    case __NR_setsockopt:
    case __NR_shutdown:
    case __NR_epoll_wait:
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2:
    case __NR_fsync:
    case __NR_fdatasync:
    case __NR_fchmod:
    case __NR_ftruncate:
    case __NR_getppid:
    case __NR_getpgid:
    case __NR_getpgrp:
    case __NR_getsid:
    case __NR_uname:
    case __NR_sysinfo:
    case __NR_times:
    case __NR_clock_gettime:
    case __NR_clock_getres:
    case __NR_getrusage:
    case __NR_kill:
    case __NR_tkill:
    case __NR_tgkill:
    case __NR_getpriority:
    case __NR_sched_getaffinity:
    case __NR_wait4:
    case __NR_waitid:
    case __NR_flock:
    case __NR_semop:
    case __NR_semtimedop:
    case __NR_msgsnd:
    case __NR_msgrcv:
    case __NR_mq_timedsend:
    case __NR_mq_timedreceive:
    case __NR_sendfile: /* their other one is client.c's affair */
    case __NR_epoll_ctl:
        return DESCRIPTORS_IGNORED;
    case __NR_mmap:
        return args[3] & MAP_ANONYMOUS ? DESCRIPTORS_IGNORED : DESCRIPTORS_SEEN;
    case __NR_sendmsg:
    case __NR_sendmmsg:
    case __NR_execve: /* what it does at its end is tracked by leased_request() */
    case __NR_execveat:
    case __NR_splice:
    case __NR_poll:
    case __NR_ppoll:
    case __NR_select:
    case __NR_pselect6:
    case __NR_connect:
    case __NR_bind:
    case __NR_listen:
    case __NR_lseek:
    case __NR_fstat:
    case __NR_stat:
    case __NR_lstat:
    case __NR_newfstatat:
    case __NR_statx:
    case __NR_access:
    case __NR_faccessat:
    case __NR_faccessat2:
    case __NR_readlink:
    case __NR_readlinkat:
    case __NR_getdents64:
    case __NR_getcwd:
    case __NR_mkdir:
    case __NR_mkdirat:
    case __NR_rmdir:
    case __NR_unlink:
    case __NR_unlinkat:
    case __NR_rename:
    case __NR_renameat:
    case __NR_renameat2:
    case __NR_utimensat:
        return DESCRIPTORS_SEEN;
    case __NR_fcntl:
        switch ((unsigned)args[1]) {
        case F_GETFD:
        case F_SETFD:
        case F_GETFL:
        case F_SETFL:
            return DESCRIPTORS_SEEN;
        default:
            return DESCRIPTORS_CHANGED;
        }
    case __NR_ioctl:
        switch ((unsigned)args[1]) {
        case FIONBIO:
        case FIONREAD:
        case FIOCLEX:
        case FIONCLEX:
        case TCGETS:
            return DESCRIPTORS_SEEN;
        default:
            return DESCRIPTORS_CHANGED;
        }
    case __NR_open:
    case __NR_openat:
    case __NR_accept:
    case __NR_accept4:
    case __NR_socket:
        return DESCRIPTORS_ADDED;
    case __NR_close:
        return DESCRIPTORS_CLOSED;
    default:
        return DESCRIPTORS_CHANGED;
    }
}

static void set_free(unsigned fd, bool is_free)
{
    uint64_t bit = 1ULL << (fd % 64);
    if (fd >= KNOWN_MAX)
        return;
    if (is_free)
        known_free[fd / 64] |= bit;
    else
        known_free[fd / 64] &= ~bit;
}

void descriptors_forget(void)
{
    used_below = 0;
    memset(known_free, 0, sizeof(known_free));
}

void descriptors_reset(void)
{
    descriptors_forget();
    running = changing = 0;
    overlapped = false;
}

void descriptors_begin(enum descriptor_use use)
{
    overlapped |= running++ > 0;
    changing += use != DESCRIPTORS_ADDED;
}

void descriptors_end(enum descriptor_use use, const uint64_t args[6], int64_t result)
{
    bool alone = !overlapped;
    changing -= use != DESCRIPTORS_ADDED;
    if (--running == 0)
        overlapped = false;
    if (!alone || use == DESCRIPTORS_CHANGED)
        descriptors_forget();
    else if (use == DESCRIPTORS_ADDED && result >= 0)
        descriptors_opened((int)result);
    else if (use == DESCRIPTORS_CLOSED && result == 0)
        descriptors_closed((int)args[0]);
    else if (use == DESCRIPTORS_CLOSED)
        descriptors_forget();
}

bool descriptors_changing(void)
{
    return changing > 0;
}

bool descriptors_next(int *ret_fd)
{
    if (running > 0 || used_below >= KNOWN_MAX || !(known_free[used_below / 64] >> (used_below % 64) & 1))
        return false;
    *ret_fd = (int)used_below;
    return true;
}

void descriptors_opened(int fd)
{
    set_free((unsigned)fd, false);
    used_below = (unsigned)fd + 1;
}

void descriptors_closed(int fd)
{
    overlapped |= running > 0;
    set_free((unsigned)fd, true);
    if ((unsigned)fd < used_below)
        used_below = (unsigned)fd;
}

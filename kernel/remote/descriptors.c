/* The next descriptor (contract in descriptors.h). */
#include "kernel/remote/descriptors.h"

#include <asm/ioctls.h>
#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>

#include "abi/stats.h"
#include "kernel/lib/string.h"

#define KNOWN_MAX 1024

static unsigned used_below;                 /* none below is free */
static uint64_t known_used[KNOWN_MAX / 64]; /* nor are these */
static uint64_t known_free[KNOWN_MAX / 64]; /* these are */
static unsigned free_from = UINT32_MAX;     /* and all from here on */
static unsigned told_free_from;             /* by the answer to the call that runs; 0: nothing */
static unsigned running;                    /* calls between begin and end */
static unsigned changing;                   /* of these, those that do not only add one */
static bool overlapped;                     /* two at once: who came first is not known */

#define IGNORED(name) [__NR_##name] = DESCRIPTORS_IGNORED
#define SEEN(name) [__NR_##name] = DESCRIPTORS_SEEN
#define ADDED(name) [__NR_##name] = DESCRIPTORS_ADDED

/* What does not depend on the arguments. */
static const uint8_t uses[STATS_SYSCALL_MAX] = {
    IGNORED(read),
    IGNORED(write),
    IGNORED(readv),
    IGNORED(writev),
    IGNORED(pread64),
    IGNORED(pwrite64),
    IGNORED(preadv),
    IGNORED(pwritev),
    IGNORED(sendto),
    IGNORED(recvfrom),
    IGNORED(getsockname),
    IGNORED(getpeername),
    IGNORED(getsockopt),
    IGNORED(setsockopt),
    IGNORED(shutdown),
    IGNORED(epoll_wait),
    IGNORED(epoll_pwait),
    IGNORED(epoll_pwait2),
    IGNORED(fsync),
    IGNORED(fdatasync),
    IGNORED(fchmod),
    IGNORED(ftruncate),
    IGNORED(getppid),
    IGNORED(getpgid),
    IGNORED(getpgrp),
    IGNORED(getsid),
    IGNORED(uname),
    IGNORED(sysinfo),
    IGNORED(times),
    IGNORED(clock_gettime),
    IGNORED(clock_getres),
    IGNORED(getrusage),
    IGNORED(kill),
    IGNORED(tkill),
    IGNORED(tgkill),
    IGNORED(getpriority),
    IGNORED(sched_getaffinity),
    IGNORED(wait4),
    IGNORED(waitid),
    IGNORED(flock),
    IGNORED(semop),
    IGNORED(semtimedop),
    IGNORED(msgsnd),
    IGNORED(msgrcv),
    IGNORED(mq_timedsend),
    IGNORED(mq_timedreceive),

    /* their other one is client.c's affair */
    IGNORED(sendfile),
    IGNORED(epoll_ctl),

    SEEN(sendmsg),
    SEEN(sendmmsg),
    SEEN(splice),
    SEEN(poll),
    SEEN(ppoll),
    SEEN(select),
    SEEN(pselect6),
    SEEN(connect),
    SEEN(bind),
    SEEN(listen),
    SEEN(lseek),
    SEEN(fstat),
    SEEN(stat),
    SEEN(lstat),
    SEEN(newfstatat),
    SEEN(statx),
    SEEN(access),
    SEEN(faccessat),
    SEEN(faccessat2),
    SEEN(readlink),
    SEEN(readlinkat),
    SEEN(getdents64),
    SEEN(getcwd),
    SEEN(mkdir),
    SEEN(mkdirat),
    SEEN(rmdir),
    SEEN(unlink),
    SEEN(unlinkat),
    SEEN(rename),
    SEEN(renameat),
    SEEN(renameat2),
    SEEN(utimensat),

    /* what they do at their end is tracked by leased_request() */
    SEEN(execve),
    SEEN(execveat),

    ADDED(open),
    ADDED(openat),
    ADDED(accept),
    ADDED(accept4),
    ADDED(socket),

    [__NR_close] = DESCRIPTORS_CLOSED,
};

static enum descriptor_use fcntl_use(unsigned command)
{
    switch (command) {
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
        return DESCRIPTORS_SEEN;
    default:
        return DESCRIPTORS_CHANGED;
    }
}

static enum descriptor_use ioctl_use(unsigned request)
{
    switch (request) {
    case FIONBIO:
    case FIONREAD:
    case FIOCLEX:
    case FIONCLEX:
    case TCGETS:
        return DESCRIPTORS_SEEN;
    default:
        return DESCRIPTORS_CHANGED;
    }
}

enum descriptor_use descriptors_use(uint64_t nr, const uint64_t args[6])
{
    switch (nr) {
    case __NR_mmap:
        return args[3] & MAP_ANONYMOUS ? DESCRIPTORS_IGNORED : DESCRIPTORS_SEEN;
    case __NR_fcntl:
        return fcntl_use((unsigned)args[1]);
    case __NR_ioctl:
        return ioctl_use((unsigned)args[1]);
    default:
        return nr < ARRAY_COUNT(uses) ? uses[nr] : DESCRIPTORS_CHANGED;
    }
}

static void set(unsigned fd, bool is_free)
{
    uint64_t bit = 1ULL << (fd % 64);
    if (fd >= KNOWN_MAX)
        return;
    known_free[fd / 64] &= ~bit;
    known_used[fd / 64] &= ~bit;
    (is_free ? known_free : known_used)[fd / 64] |= bit;
}

static bool is_in(const uint64_t known[KNOWN_MAX / 64], unsigned fd)
{
    return fd < KNOWN_MAX && (known[fd / 64] >> (fd % 64) & 1);
}

void descriptors_forget(void)
{
    used_below = 0;
    free_from = UINT32_MAX;
    memset(known_used, 0, sizeof(known_used));
    memset(known_free, 0, sizeof(known_free));
}

void descriptors_reset(void)
{
    descriptors_forget();
    running = changing = told_free_from = 0;
    overlapped = false;
}

void descriptors_begin(enum descriptor_use use)
{
    overlapped |= running++ > 0;
    told_free_from = 0;
    changing += use != DESCRIPTORS_ADDED;
}

/* By a call of the init enclave, which may have said more. */
static void note_added(int fd)
{
    if (told_free_from > (unsigned)fd)
        free_from = told_free_from;
    descriptors_opened(fd);
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
        note_added((int)result);
    else if (use == DESCRIPTORS_ADDED && (result == -EFAULT || result == -ENOMEM))
        descriptors_forget(); /* that may be of the answer only */
    else if (use == DESCRIPTORS_CLOSED && result == 0)
        descriptors_closed((int)args[0]);
    else if (use == DESCRIPTORS_CLOSED)
        descriptors_forget();
    told_free_from = 0;
}

void descriptors_free_from(unsigned fd)
{
    told_free_from = running == 1 ? fd : 0;
}

bool descriptors_changing(void)
{
    return changing > 0;
}

bool descriptors_next(int *ret_fd)
{
    if (running > 0 || (used_below < free_from && !is_in(known_free, used_below)))
        return false;
    *ret_fd = (int)used_below;
    return true;
}

void descriptors_opened(int fd)
{
    while (used_below <= (unsigned)fd)
        set(used_below++, false); /* the lowest free one was taken */
    free_from = MAX(free_from, used_below);
    while (is_in(known_used, used_below))
        used_below++;
}

void descriptors_closed(int fd)
{
    overlapped |= running > 0;
    set((unsigned)fd, true);
    if ((unsigned)fd < used_below)
        used_below = (unsigned)fd;
}

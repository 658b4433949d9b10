/* Where system calls run (contract in calls.h). What is not in the table is not implemented. */
#include "kernel/remote/calls.h"

#include <asm/unistd_64.h>

#include "abi/stats.h"
#include "kernel/net/socket_types.h"

#define WINDOW(kind, arg, size_arg, size)                                                                              \
    {                                                                                                                  \
        kind, arg, size_arg, size                                                                                      \
    }
#define STRING(arg) WINDOW(ARG_STRING, arg, NO_ARG, 4096)
#define IN(arg, size) WINDOW(ARG_IN, arg, NO_ARG, size)
#define OUT(arg, size) WINDOW(ARG_OUT, arg, NO_ARG, size)
#define INOUT(arg, size) WINDOW(ARG_INOUT, arg, NO_ARG, size)
#define IN_N(arg, size_arg, unit) WINDOW(ARG_IN, arg, size_arg, unit)
#define OUT_N(arg, size_arg, unit) WINDOW(ARG_OUT, arg, size_arg, unit)
#define INOUT_N(arg, size_arg, unit) WINDOW(ARG_INOUT, arg, size_arg, unit)
#define SPECIAL(kind, arg, size_arg) WINDOW(kind, arg, size_arg, 0)

#define HERE(name) [__NR_##name] = {.place = CALL_HERE}
#define PLACED(where, name, ...) [__NR_##name] = {.place = where, .windows = {__VA_ARGS__}}
#define THERE(name, ...) PLACED(CALL_THERE, name, __VA_ARGS__)
#define BOTH(name, ...) PLACED(CALL_BOTH, name, __VA_ARGS__)
#define MIXED(name, ...) PLACED(CALL_MIXED, name, __VA_ARGS__)
#define MOVES(name, how, ...) [__NR_##name] = {.place = CALL_THERE, .moves = (how), .windows = {__VA_ARGS__}}
#define EMPTY WINDOW(ARG_NONE, 0, 0, 0)

static const struct call calls[STATS_SYSCALL_MAX] = {
    /* memory */
    HERE(brk),
    HERE(munmap),
    HERE(mprotect),
    HERE(mremap),
    HERE(madvise),
    HERE(msync),
    HERE(mincore),
    HERE(mlock),
    HERE(mlock2),
    HERE(mlockall),
    HERE(munlock),
    HERE(munlockall),
    HERE(membarrier),
    HERE(mbind),
    HERE(get_mempolicy),
    HERE(set_mempolicy),
    HERE(process_vm_readv),
    HERE(process_vm_writev),
    HERE(userfaultfd),
    MIXED(mmap, EMPTY),

    /* threads and their synchronisation; what starts processes asks the init enclave by messages of its own */
    HERE(clone),
    HERE(clone3),
    HERE(fork),
    HERE(vfork),
    HERE(exit),
    HERE(exit_group),
    HERE(futex),
    HERE(futex_waitv),
    HERE(gettid),
    HERE(getpid),
    HERE(set_tid_address),
    HERE(set_robust_list),
    HERE(get_robust_list),
    HERE(arch_prctl),
    HERE(sched_yield),
    HERE(getcpu),
    HERE(unshare),
    MIXED(execve, EMPTY),
    MIXED(execveat, EMPTY),
    MIXED(sched_getaffinity, OUT_N(2, 1, 1)),
    MIXED(sched_setaffinity, IN_N(2, 1, 1)),
    MIXED(sched_getattr, OUT_N(1, 2, 1)),
    MIXED(sched_setattr, IN(1, 56)),
    MIXED(sched_getparam, OUT(1, 4)),
    MIXED(sched_setparam, IN(1, 4)),
    MIXED(sched_getscheduler, EMPTY),
    MIXED(sched_setscheduler, IN(2, 4)),
    MIXED(sched_rr_get_interval, OUT(1, 16)),
    HERE(sched_get_priority_max),
    HERE(sched_get_priority_min),
    MIXED(ioprio_get, EMPTY),
    MIXED(ioprio_set, EMPTY),

    /* signals and time */
    HERE(rt_sigaction),
    HERE(rt_sigpending),
    HERE(rt_sigprocmask),
    HERE(rt_sigreturn),
    HERE(rt_sigsuspend),
    HERE(rt_sigtimedwait),
    HERE(sigaltstack),
    HERE(pause),
    HERE(restart_syscall),
    HERE(alarm),
    HERE(getitimer),
    HERE(setitimer),
    HERE(timer_create),
    HERE(timer_delete),
    HERE(timer_getoverrun),
    HERE(timer_gettime),
    HERE(timer_settime),
    HERE(nanosleep),
    HERE(clock_nanosleep),
    MIXED(clock_gettime, OUT(1, 16)),
    MIXED(clock_getres, OUT(1, 16)),
    HERE(clock_settime),
    HERE(clock_adjtime),
    HERE(adjtimex),
    HERE(gettimeofday),
    HERE(settimeofday),
    HERE(time),
    MIXED(kill, EMPTY),
    MIXED(tkill, EMPTY),
    MIXED(tgkill, EMPTY),
    MIXED(rt_sigqueueinfo, IN(2, 128)),
    MIXED(rt_tgsigqueueinfo, IN(3, 128)),

    /* System V IPC: kernel/ipc */
    THERE(shmget, EMPTY),
    MIXED(shmat, EMPTY),
    HERE(shmdt),
    THERE(shmctl, INOUT(2, 112)),
    THERE(semget, EMPTY),
    THERE(semop, IN_N(1, 2, 6)),
    THERE(semtimedop, IN_N(1, 2, 6), IN(3, 16)),
    THERE(semctl, INOUT(3, 512)),
    THERE(msgget, EMPTY),
    THERE(msgsnd, IN_N(1, 2, 1)),
    THERE(msgrcv, OUT_N(1, 2, 1)),
    THERE(msgctl, INOUT(2, 120)),
    THERE(mq_open, STRING(0), IN(3, 64)),
    THERE(mq_unlink, STRING(0)),
    THERE(mq_timedsend, IN_N(1, 2, 1), IN(4, 16)),
    THERE(mq_timedreceive, OUT_N(1, 2, 1), OUT(3, 4), IN(4, 16)),
    THERE(mq_notify, IN(1, 64)),
    THERE(mq_getsetattr, IN(1, 64), OUT(2, 64)),

    /* ids, rights, limits */
    HERE(getuid),
    HERE(geteuid),
    HERE(getgid),
    HERE(getegid),
    HERE(getresuid),
    HERE(getresgid),
    HERE(getgroups),
    HERE(getrlimit),
    BOTH(setuid, EMPTY),
    BOTH(setgid, EMPTY),
    BOTH(setreuid, EMPTY),
    BOTH(setregid, EMPTY),
    BOTH(setresuid, EMPTY),
    BOTH(setresgid, EMPTY),
    BOTH(setfsuid, EMPTY),
    BOTH(setfsgid, EMPTY),
    BOTH(setgroups, IN_N(1, 0, 4)),
    BOTH(setrlimit, IN(1, 16)),
    BOTH(capset, IN(0, 8), IN(1, 24)),
    BOTH(personality, EMPTY),
    MIXED(capget, INOUT(0, 8), OUT(1, 24)),
    MIXED(prlimit64, IN(2, 16), OUT(3, 16)),
    MIXED(prctl, STRING(1)),
    MIXED(getrusage, OUT(1, 144)),
    MIXED(times, OUT(0, 32)),
    MIXED(getpriority, EMPTY),
    MIXED(setpriority, EMPTY),
    THERE(getppid, EMPTY),
    THERE(getpgid, EMPTY),
    THERE(getpgrp, EMPTY),
    THERE(getsid, EMPTY),
    THERE(setpgid, EMPTY),
    THERE(setsid, EMPTY),
    THERE(wait4, OUT(1, 4), OUT(3, 144)),
    THERE(waitid, OUT(2, 128), OUT(4, 144)),
    THERE(pidfd_open, EMPTY),
    THERE(pidfd_getfd, EMPTY),
    THERE(pidfd_send_signal, IN(2, 128)),
    THERE(kcmp, EMPTY),

    /* the system */
    HERE(getrandom),
    HERE(seccomp),
    HERE(ptrace),
    HERE(acct),
    HERE(add_key),
    HERE(bpf),
    HERE(delete_module),
    HERE(finit_module),
    HERE(init_module),
    HERE(ioperm),
    HERE(iopl),
    HERE(kexec_file_load),
    HERE(kexec_load),
    HERE(keyctl),
    HERE(perf_event_open),
    HERE(quotactl),
    HERE(reboot),
    HERE(request_key),
    HERE(setns),
    HERE(vhangup),
    HERE(syslog),
    HERE(fanotify_init),
    HERE(fsopen),
    HERE(fspick),
    HERE(move_mount),
    HERE(open_tree),
    HERE(swapoff),
    HERE(swapon),
    THERE(uname, OUT(0, 390)),
    THERE(sysinfo, OUT(0, 112)),
    THERE(sethostname, IN_N(0, 1, 1)),
    THERE(setdomainname, IN_N(0, 1, 1)),

    /* reading and writing */
    MOVES(read, MOVES_IN, OUT_N(1, 2, 1)),
    MOVES(write, MOVES_OUT, IN_N(1, 2, 1)),
    MOVES(pread64, MOVES_IN | MOVES_AT_OFFSET, OUT_N(1, 2, 1)),
    MOVES(pwrite64, MOVES_OUT | MOVES_AT_OFFSET, IN_N(1, 2, 1)),
    MOVES(readv, MOVES_IN | MOVES_VECTOR, SPECIAL(ARG_IOV_OUT, 1, 2)),
    MOVES(writev, MOVES_OUT | MOVES_VECTOR, SPECIAL(ARG_IOV_IN, 1, 2)),
    MOVES(preadv, MOVES_IN | MOVES_VECTOR | MOVES_AT_OFFSET, SPECIAL(ARG_IOV_OUT, 1, 2)),
    MOVES(pwritev, MOVES_OUT | MOVES_VECTOR | MOVES_AT_OFFSET, SPECIAL(ARG_IOV_IN, 1, 2)),
    MOVES(preadv2, MOVES_IN | MOVES_VECTOR | MOVES_AT_OFFSET, SPECIAL(ARG_IOV_OUT, 1, 2)),
    MOVES(pwritev2, MOVES_OUT | MOVES_VECTOR | MOVES_AT_OFFSET, SPECIAL(ARG_IOV_IN, 1, 2)),
    THERE(lseek, EMPTY),
    THERE(sendfile, INOUT(2, 8)),
    THERE(splice, INOUT(1, 8), INOUT(3, 8)),
    THERE(tee, EMPTY),
    THERE(vmsplice, SPECIAL(ARG_IOV_IN, 1, 2)),
    THERE(copy_file_range, INOUT(1, 8), INOUT(3, 8)),
    THERE(readahead, EMPTY),
    THERE(fadvise64, EMPTY),
    THERE(fallocate, EMPTY),
    THERE(ftruncate, EMPTY),
    THERE(truncate, STRING(0)),
    THERE(fsync, EMPTY),
    THERE(fdatasync, EMPTY),
    THERE(sync, EMPTY),
    THERE(syncfs, EMPTY),
    THERE(sync_file_range, EMPTY),
    THERE(getdents, OUT_N(1, 2, 1)),
    THERE(getdents64, OUT_N(1, 2, 1)),

    /* descriptors */
    THERE(close, EMPTY),
    THERE(close_range, EMPTY),
    THERE(dup, EMPTY),
    THERE(dup2, EMPTY),
    THERE(dup3, EMPTY),
    THERE(fcntl, INOUT(2, 32)),
    THERE(ioctl, INOUT(2, 64)),
    THERE(flock, EMPTY),
    THERE(pipe, OUT(0, 8)),
    THERE(pipe2, OUT(0, 8)),
    THERE(eventfd, EMPTY),
    THERE(eventfd2, EMPTY),
    THERE(signalfd, IN(1, 8)),
    THERE(signalfd4, IN(1, 8)),
    THERE(timerfd_create, EMPTY),
    THERE(timerfd_settime, IN(2, 32), OUT(3, 32)),
    THERE(timerfd_gettime, OUT(1, 32)),
    THERE(memfd_create, STRING(0)),
    THERE(inotify_init, EMPTY),
    THERE(inotify_init1, EMPTY),
    THERE(inotify_add_watch, STRING(1)),
    THERE(inotify_rm_watch, EMPTY),
    THERE(epoll_create, EMPTY),
    THERE(epoll_create1, EMPTY),
    THERE(epoll_ctl, IN(3, 12)),
    THERE(epoll_wait, OUT_N(1, 2, 12)),
    MIXED(epoll_pwait, OUT_N(1, 2, 12)),
    MIXED(epoll_pwait2, OUT_N(1, 2, 12), IN(3, 16)),
    MIXED(poll, INOUT_N(0, 1, 8)),
    MIXED(ppoll, INOUT_N(0, 1, 8), INOUT(2, 16)),
    THERE(select, SPECIAL(ARG_FD_SETS, 1, 0), INOUT(4, 16)),
    MIXED(pselect6, SPECIAL(ARG_FD_SETS, 1, 0), INOUT(4, 16)),

    /* names */
    THERE(open, STRING(0)),
    THERE(openat, STRING(1)),
    THERE(openat2, STRING(1), IN(2, 24)),
    THERE(creat, STRING(0)),
    THERE(access, STRING(0)),
    THERE(faccessat, STRING(1)),
    THERE(faccessat2, STRING(1)),
    THERE(stat, STRING(0), OUT(1, 144)),
    THERE(lstat, STRING(0), OUT(1, 144)),
    THERE(fstat, OUT(1, 144)),
    THERE(newfstatat, STRING(1), OUT(2, 144)),
    THERE(statx, STRING(1), OUT(4, 256)),
    THERE(statfs, STRING(0), OUT(1, 120)),
    THERE(fstatfs, OUT(1, 120)),
    THERE(ustat, OUT(1, 32)),
    THERE(readlink, STRING(0), OUT_N(1, 2, 1)),
    THERE(readlinkat, STRING(1), OUT_N(2, 3, 1)),
    THERE(getcwd, OUT_N(0, 1, 1)),
    THERE(chdir, STRING(0)),
    THERE(fchdir, EMPTY),
    THERE(chroot, STRING(0)),
    THERE(umask, EMPTY),
    THERE(mkdir, STRING(0)),
    THERE(mkdirat, STRING(1)),
    THERE(mknod, STRING(0)),
    THERE(mknodat, STRING(1)),
    THERE(rmdir, STRING(0)),
    THERE(unlink, STRING(0)),
    THERE(unlinkat, STRING(1)),
    THERE(rename, STRING(0), STRING(1)),
    THERE(renameat, STRING(1), STRING(3)),
    THERE(renameat2, STRING(1), STRING(3)),
    THERE(link, STRING(0), STRING(1)),
    THERE(linkat, STRING(1), STRING(3)),
    THERE(symlink, STRING(0), STRING(1)),
    THERE(symlinkat, STRING(0), STRING(2)),
    THERE(chmod, STRING(0)),
    THERE(fchmod, EMPTY),
    THERE(fchmodat, STRING(1)),
    THERE(chown, STRING(0)),
    THERE(lchown, STRING(0)),
    THERE(fchown, EMPTY),
    THERE(fchownat, STRING(1)),
    THERE(utime, STRING(0), IN(1, 16)),
    THERE(utimes, STRING(0), IN(1, 32)),
    THERE(futimesat, STRING(1), IN(2, 32)),
    THERE(utimensat, STRING(1), IN(2, 32)),
    THERE(mount, STRING(0), STRING(1), STRING(2)),
    THERE(umount2, STRING(0)),
    THERE(pivot_root, STRING(0), STRING(1)),
    THERE(name_to_handle_at, STRING(1), INOUT(2, 136), OUT(3, 4)),
    THERE(open_by_handle_at, IN(1, 136)),
    THERE(getxattr, STRING(0), STRING(1), OUT_N(2, 3, 1)),
    THERE(lgetxattr, STRING(0), STRING(1), OUT_N(2, 3, 1)),
    THERE(fgetxattr, STRING(1), OUT_N(2, 3, 1)),
    THERE(setxattr, STRING(0), STRING(1), IN_N(2, 3, 1)),
    THERE(lsetxattr, STRING(0), STRING(1), IN_N(2, 3, 1)),
    THERE(fsetxattr, STRING(1), IN_N(2, 3, 1)),
    THERE(listxattr, STRING(0), OUT_N(1, 2, 1)),
    THERE(llistxattr, STRING(0), OUT_N(1, 2, 1)),
    THERE(flistxattr, OUT_N(1, 2, 1)),
    THERE(removexattr, STRING(0), STRING(1)),
    THERE(lremovexattr, STRING(0), STRING(1)),
    THERE(fremovexattr, STRING(1)),

    /* sockets */
    THERE(socket, EMPTY),
    THERE(socketpair, OUT(3, 8)),
    THERE(bind, IN_N(1, 2, 1)),
    THERE(listen, EMPTY),
    THERE(connect, IN_N(1, 2, 1)),
    THERE(accept, SPECIAL(ARG_SOCKADDR_OUT, 1, 2)),
    THERE(accept4, SPECIAL(ARG_SOCKADDR_OUT, 1, 2)),
    THERE(getsockname, SPECIAL(ARG_SOCKADDR_OUT, 1, 2)),
    THERE(getpeername, SPECIAL(ARG_SOCKADDR_OUT, 1, 2)),
    THERE(shutdown, EMPTY),
    THERE(setsockopt, IN_N(3, 4, 1)),
    THERE(getsockopt, SPECIAL(ARG_SOCKADDR_OUT, 3, 4)),
    THERE(sendto, IN_N(1, 2, 1), IN_N(4, 5, 1)),
    THERE(recvfrom, OUT_N(1, 2, 1), SPECIAL(ARG_SOCKADDR_OUT, 4, 5)),
    THERE(sendmsg, SPECIAL(ARG_MSG_IN, 1, NO_ARG)),
    THERE(recvmsg, SPECIAL(ARG_MSG_OUT, 1, NO_ARG)),
    THERE(sendmmsg, SPECIAL(ARG_MMSG_IN, 1, 2)),
    THERE(recvmmsg, SPECIAL(ARG_MMSG_OUT, 1, 2), IN(4, 16)),
};

const struct call *remote_call_describe(uint64_t nr)
{
    static const struct call none;
    return nr < STATS_SYSCALL_MAX ? &calls[nr] : &none;
}

bool remote_call_allowed(uint64_t nr)
{
    switch (remote_call_describe(nr)->place) {
    case CALL_THERE:
    case CALL_BOTH:
        return true;
    case CALL_MIXED:
        return nr != __NR_mmap && nr != __NR_execve && nr != __NR_execveat;
    default:
        return false;
    }
}

bool remote_call_moves(uint64_t nr)
{
    return remote_call_describe(nr)->moves != MOVES_NOTHING;
}

bool remote_call_reads(uint64_t nr)
{
    return remote_call_describe(nr)->moves & MOVES_IN;
}

bool remote_call_streams(uint64_t nr, const uint64_t args[6])
{
    if (args[4])
        return false;
    if (nr == __NR_sendto)
        return (args[3] & ~(uint64_t)(MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE)) == 0;
    return nr == __NR_recvfrom && (args[3] & ~(uint64_t)MSG_NOSIGNAL) == MSG_WAITALL;
}

/* wait4 and waitid: which children, which news, what they leave behind; SIGCHLD and its siginfo. */
#include "family.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/times.h>

static volatile int taken_count;
static siginfo_t taken[16];

static void take(int signal, siginfo_t *info, void *context)
{
    int i = taken_count;
    if (i < 16)
        taken[i] = *info;
    taken_count = i + 1;
}

/* What came, or so much as is sure to come. */
static void show_taken(const char *what, int pid, int expected)
{
    for (int i = 0; i < 1000 && taken_count < expected; i++)
        raw_sleep_ms(1);
    printf("%s: %d", what, taken_count);
    for (int i = 0; i < taken_count && i < 16; i++)
        printf(", signal %d code %d status %d uid %d from it %d", taken[i].si_signo, taken[i].si_code,
               taken[i].si_status, taken[i].si_uid, taken[i].si_pid == pid);
    printf("\n");
    fflush(stdout);
    taken_count = 0;
}

static void show_waitid(const char *what, int which, int id, int options, int pid)
{
    siginfo_t info;
    memset(&info, 0x55, sizeof info);
    errno = 0;
    int r = waitid(which, id, &info, options);
    if (r < 0)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: signo %d code %d status %d uid %d pid %s\n", what, info.si_signo, info.si_code, info.si_status,
               info.si_uid,
               info.si_pid == pid ? "its"
               : info.si_pid == 0 ? "none"
                                  : "another's");
    fflush(stdout);
}

static void errors(void)
{
    int status;
    SHOW(waitpid(-1, &status, 0));
    SHOW(waitpid(-1, &status, WNOHANG));
    SHOW(waitpid(99999, &status, 0));
    SHOW(waitpid(getpid(), &status, 0));
    SHOW(waitpid(-99999, &status, 0));
    SHOW(syscall(SYS_wait4, (int)0x80000000, &status, 0, NULL));
    SHOW(waitpid(-1, &status, 0x100));
    SHOW(waitid(P_ALL, 0, NULL, WNOHANG));
    SHOW(waitid(P_ALL, 0, NULL, WEXITED | 0x100));
    SHOW(waitid(P_ALL, 0, NULL, WEXITED));
    SHOW(waitid(P_PID, 0, NULL, WEXITED));
    SHOW(waitid(P_PID, -5, NULL, WEXITED));
    SHOW(waitid(P_PGID, -5, NULL, WEXITED));
    SHOW(waitid(7, 1, NULL, WEXITED));
    SHOW(waitid(P_PIDFD, 99, NULL, WEXITED));
    SHOW(waitid(P_PIDFD, -1, NULL, WEXITED));
    SHOW(waitid(P_PIDFD, 0, NULL, WEXITED));
}

static void exits(void)
{
    int pid = start(linger, 21);
    show_wait("not yet", pid, WNOHANG);
    show_waitid("not yet", P_PID, pid, WEXITED | WNOHANG, pid);
    shared.go = 1;
    show_waitid("left waiting", P_PID, pid, WEXITED | WNOWAIT, pid);
    show_waitid("not stopped", P_PID, pid, WSTOPPED | WCONTINUED | WNOHANG, pid);
    SHOW(kill(pid, 0));
    SHOW(getpgid(pid) == getpgrp());
    show_waitid("taken", P_ALL, 0, WEXITED, pid);
    show_waitid("gone", P_PID, pid, WEXITED, pid);
    SHOW(kill(pid, 0));
    SHOW(getpgid(pid));

    /* By group. */
    pid = start(linger, 22);
    shared.go = 1;
    show_waitid("group", P_PGID, getpgrp(), WEXITED, pid);
    pid = start(linger, 23);
    shared.go = 1;
    show_waitid("own group", P_PGID, 0, WEXITED, pid);
    pid = start(linger, 24);
    setpgid(pid, pid);
    show_waitid("left the group", P_PGID, 0, WEXITED, pid);
    shared.go = 1;
    show_wait("its group", -pid, 0);

    /* Statuses nobody can store. */
    pid = start(linger, 25);
    shared.go = 1;
    SHOW(waitpid(-1, (int *)8, 0));
    show_wait("lost", pid, 0);
}

static void stops(void)
{
    int pid = start(pause_for_ever, 0);
    SHOW(kill(pid, SIGSTOP));
    show_waitid("stopped, not taken", P_PID, pid, WSTOPPED | WNOWAIT, pid);
    show_wait("stopped", pid, WUNTRACED);
    show_wait("once", pid, WUNTRACED | WNOHANG);
    show_wait("not continued", pid, WCONTINUED | WNOHANG);
    SHOW(kill(pid, SIGCONT));
    show_waitid("continued, not taken", P_PID, pid, WCONTINUED | WNOWAIT, pid);
    show_wait("continued", pid, WCONTINUED);
    show_wait("once", pid, WCONTINUED | WNOHANG);
    setpgid(pid, pid); /* or there would be nobody to make it go on, and it would not stop */
    SHOW(kill(pid, SIGTSTP));
    show_waitid("by terminal", P_PID, pid, WSTOPPED, pid);
    SHOW(kill(pid, SIGTERM)); /* waits until it goes on */
    show_wait("still stopped", pid, WNOHANG);
    SHOW(kill(pid, SIGCONT));
    show_wait("SIGTERM after all", pid, 0);

    pid = start(pause_for_ever, 0);
    kill(pid, SIGSTOP);
    show_wait("stopped", pid, WUNTRACED);
    SHOW(kill(pid, SIGKILL));
    show_wait("killed", pid, 0);
}

/* Children without SIGCHLD are "clone" children. */
static void clone_children(void)
{
    int pid = instead_with(0, exit_with, (void *)31);
    show_wait("plain", -1, WNOHANG);
    show_wait("plain by pid", pid, WNOHANG);
    show_wait("__WCLONE", -1, __WCLONE);
    pid = instead_with(SIGUSR1, exit_with, (void *)32);
    show_taken("SIGUSR1", pid, 1);
    show_wait("__WALL", pid, __WALL);
    pid = instead(exit_with, (void *)33);
    show_wait("__WCLONE", pid, __WCLONE | WNOHANG);
    show_wait("__WNOTHREAD", pid, __WNOTHREAD);
    show_taken("SIGCHLD", pid, 1);
}

static void notifications(void)
{
    taken_count = 0;
    int pid = start(linger, 41);
    shared.go = 1;
    show_wait("exit", pid, 0);
    show_taken("exit", pid, 1);
    pid = start(pause_for_ever, 0);
    kill(pid, SIGKILL);
    show_wait("kill", pid, 0);
    show_taken("kill", pid, 1);

    pid = start(pause_for_ever, 0);
    kill(pid, SIGSTOP);
    show_wait("stop", pid, WUNTRACED);
    show_taken("stop", pid, 1);
    kill(pid, SIGCONT);
    show_wait("continue", pid, WCONTINUED);
    show_taken("continue", pid, 1);
    struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP};
    sigaction(SIGCHLD, &action, NULL);
    kill(pid, SIGSTOP);
    show_wait("stop", pid, WUNTRACED);
    show_taken("SA_NOCLDSTOP", pid, 0);
    kill(pid, SIGKILL);
    show_wait("kill", pid, 0);
    show_taken("kill", pid, 1);

    action.sa_flags |= SA_NOCLDWAIT;
    sigaction(SIGCHLD, &action, NULL);
    pid = start(linger, 42);
    shared.go = 1;
    show_wait("SA_NOCLDWAIT", pid, 0);
    show_taken("SA_NOCLDWAIT", pid, 1);
    signal(SIGCHLD, SIG_IGN);
    pid = start(linger, 43);
    shared.go = 1;
    show_wait("ignored", -1, 0);
    SHOW(kill(pid, 0));
    signal(SIGCHLD, SIG_DFL);
    pid = start(linger, 44);
    shared.go = 1;
    show_wait("default", pid, 0);
}

static int burn(void *arg)
{
    struct timespec ts;
    for (int i = 0; i < 64; i++) /* enough memory for the kernel's counters to show */
        memset((char *)new_stack() - STACK_SIZE, 1, STACK_SIZE);
    do
        raw(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, (long)&ts, 0, 0);
    while (ts.tv_nsec < 60000000);
    raw_exit(0);
}

static long ms(struct timeval tv)
{
    return tv.tv_sec * 1000 + tv.tv_usec / 1000;
}

static void usage(void)
{
    struct rusage before, after, own;
    struct tms tms;
    getrusage(RUSAGE_CHILDREN, &before);
    int status, pid = beside(burn, NULL);
    SHOW(wait4(pid, &status, 0, &own) == pid);
    getrusage(RUSAGE_CHILDREN, &after);
    times(&tms);
    long used = ms(own.ru_utime) + ms(own.ru_stime);
    long counted = ms(after.ru_utime) + ms(after.ru_stime) - ms(before.ru_utime) - ms(before.ru_stime);
    printf("used %d, counted %d, times %d, resident %d\n", used >= 55, counted >= used - 2 && counted <= used + 2,
           tms.tms_cutime + tms.tms_cstime >= 5, own.ru_maxrss > 0);
    /* Another's clock. */
    pid = start(pause_for_ever, 0);
    clockid_t clock;
    struct timespec ts;
    SHOW(clock_getcpuclockid(pid, &clock));
    SHOW(clock_gettime(clock, &ts));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    SHOW(clock_gettime(clock, &ts));
}

static void by_pidfd(void)
{
    int pid = start(linger, 51);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), nonblock = (int)syscall(SYS_pidfd_open, pid, O_NONBLOCK);
    SHOW(fd >= 0 && nonblock >= 0);
    SHOW(syscall(SYS_pidfd_open, pid, 1));
    SHOW(syscall(SYS_pidfd_open, 99999, 0));
    show_waitid("not yet", P_PIDFD, fd, WEXITED | WNOHANG, pid);
    show_waitid("O_NONBLOCK", P_PIDFD, nonblock, WEXITED, pid);
    show_waitid("O_NONBLOCK, WNOHANG", P_PIDFD, nonblock, WEXITED | WNOHANG, pid);
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGUSR2, NULL, 0));
    show_waitid("signalled", P_PIDFD, fd, WEXITED, pid);
    show_waitid("gone", P_PIDFD, fd, WEXITED, pid);
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGUSR2, NULL, 0));
    close(fd);
    close(nonblock);
}

static void on_alarm(int signal)
{
}

static void interrupted(void)
{
    int pid = start(pause_for_ever, 0), status;
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    ualarm(20000, 0);
    SHOW(waitpid(pid, &status, 0));
    kill(pid, SIGKILL);
    show_wait("killed", pid, 0);
}

static int session(void *arg)
{
    setsid();
    errors();
    exits();
    stops();
    struct sigaction action = {.sa_sigaction = take, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    clone_children();
    notifications();
    usage();
    by_pidfd();
    interrupted();
    show_wait("nobody left", -1, 0);
    fflush(stdout);
    raw_exit(0);
}

int main(void)
{
    return run_in_session(session);
}

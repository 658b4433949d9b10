/* Groups, sessions, who may signal whom, orphans and subreapers, controlling terminals. */
#include "family.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>

static int try_setsid(void *arg)
{
    shared.result = (int)raw(SYS_setsid, 0, 0, 0, 0);
    shared.result = shared.result == getpid() && raw(SYS_getsid, 0, 0, 0, 0) == shared.result &&
                    raw(SYS_getpgrp, 0, 0, 0, 0) == shared.result;
    raw_exit((int)-raw(SYS_setsid, 0, 0, 0, 0));
}

static void groups(void)
{
    int self = getpid();
    SHOW(getsid(0) == self && getpgrp() == self);
    SHOW(setsid());
    SHOW(setpgid(0, 0));
    SHOW(setpgid(0, 12345));
    SHOW(setpgid(12345, 0));
    SHOW(setpgid(1, 0));
    SHOW(setpgid(0, -1));
    SHOW(getpgid(12345));
    SHOW(getsid(12345));
    SHOW(getpgid(-1));
    int a = start(pause_for_ever, 0), b = start(pause_for_ever, 0);
    SHOW(getpgid(a) == self && getsid(a) == self);
    SHOW(setpgid(a, b)); /* no such group */
    SHOW(setpgid(a, a));
    SHOW(setpgid(b, a));
    SHOW(getpgid(a) == a && getpgid(b) == a);
    SHOW(setpgid(b, 0));
    SHOW(getpgid(b) == b);
    SHOW(setpgid(b, self));
    SHOW(setpgid(b, a));
    SHOW(kill(-a, 0));
    SHOW(kill(-a, SIGUSR1));
    show_wait("one of the group", -a, 0);
    show_wait("other of the group", -a, 0);
    show_wait("nobody of the group", -a, 0);
    SHOW(kill(-a, 0));

    show_wait("setsid twice", instead(try_setsid, NULL), 0);
    printf("setsid once: %d\n", shared.result);
}

static int lead_session(void *arg)
{
    raw(SYS_setsid, 0, 0, 0, 0);
    return pause_for_ever(NULL);
}

static void other_session(void)
{
    int pid = start(lead_session, 0);
    SHOW(getsid(pid) == pid);
    SHOW(setpgid(pid, 0));
    SHOW(setpgid(pid, getpgrp()));
    SHOW(setpgid(0, pid));
    int other = start(pause_for_ever, 0);
    SHOW(setpgid(other, pid));
    end(other);
    end(pid);
}

/* ---- rights ---- */

static int as_user(void *arg)
{
    int target = (int)(long)arg;
    raw(SYS_setresuid, 1000, 1000, 1000, 0);
    shared.results[0] = (int)raw(SYS_kill, target, 0, 0, 0);
    shared.results[1] = (int)raw(SYS_kill, target, SIGTERM, 0, 0);
    shared.results[2] = (int)raw(SYS_kill, target, SIGCONT, 0, 0); /* of the same session */
    shared.results[3] = (int)raw(SYS_kill, 1, 0, 0, 0);
    shared.results[4] = (int)raw(SYS_kill, 1, SIGCONT, 0, 0);
    shared.results[5] = (int)raw(SYS_tgkill, target, target, SIGTERM, 0);
    shared.results[6] = (int)raw(SYS_kill, -1, SIGUSR1, 0, 0);
    shared.results[7] = (int)raw(SYS_setpriority, PRIO_PROCESS, target, 5, 0);
    raw_exit(0);
}

static int set_ids(void *arg)
{
    raw(SYS_setresuid, 1000, 1000, 1000, 0);
    return pause_for_ever(NULL);
}

static void show_results(const char *what, int count)
{
    printf("%s:", what);
    for (int i = 0; i < count; i++)
        printf(" %d", shared.results[i]);
    printf("\n");
    fflush(stdout);
}

static void rights(void)
{
    int target = start(pause_for_ever, 0);
    show_wait("user", instead(as_user, (void *)(long)target), 0);
    show_results("on root's", 8);
    show_wait("root's lives", target, WNOHANG);
    end(target);
    target = start(set_ids, 0);
    show_wait("user", instead(as_user, (void *)(long)target), 0);
    show_results("on its own", 8);
    show_wait("own", target, 0);
    SHOW(kill(12345, 0));
    SHOW(kill(0x80000000, 0));
    SHOW(kill(getpid(), 65));
    SHOW(kill(12345, 65));
    SHOW(kill(-12345, SIGTERM));
    SHOW(syscall(SYS_tgkill, getpid(), 1, 0));
    SHOW(syscall(SYS_tgkill, 1, 1, 0));
    SHOW(syscall(SYS_tkill, 1, 0));
    siginfo_t info = {.si_code = SI_USER};
    target = start(pause_for_ever, 0);
    SHOW(syscall(SYS_rt_sigqueueinfo, target, SIGUSR1, &info));
    info.si_code = SI_QUEUE;
    SHOW(syscall(SYS_rt_sigqueueinfo, target, SIGUSR1, &info));
    show_wait("queued", target, 0);
    target = start(pause_for_ever, 0);
    SHOW(setpriority(PRIO_PROCESS, target, getpriority(PRIO_PROCESS, 0) + 3));
    SHOW(getpriority(PRIO_PROCESS, target) - getpriority(PRIO_PROCESS, 0));
    struct rlimit limit = {5, 6}, old;
    SHOW(prlimit(target, RLIMIT_CPU, &limit, NULL));
    SHOW(prlimit(target, RLIMIT_CPU, NULL, &old));
    printf("its limit %ld %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
    SHOW(sched_getaffinity(target, 0, NULL) == -1 && errno == EINVAL);
    end(target);
}

/* ---- orphans ---- */

static int make_orphan(void *arg)
{
    int pid = (int)raw(SYS_clone, CHILD_FLAGS | SIGCHLD, (long)CHILD_STACK, 0, 0);
    if (pid == 0) {
        int parent = (int)raw(SYS_getppid, 0, 0, 0, 0), now;
        shared.ready = 1;
        for (int i = 0; i < 1000; i++) {
            now = (int)raw(SYS_getppid, 0, 0, 0, 0);
            if (now != parent)
                break;
            raw_sleep_ms(1);
        }
        shared.result = now;
        raw_exit(61);
    }
    shared.grandchild = pid;
    while (!shared.ready)
        raw_sleep_ms(1);
    raw_exit(62);
}

static int on_parent_death(void *arg)
{
    int pid = (int)raw(SYS_clone, CHILD_FLAGS | SIGCHLD, (long)CHILD_STACK, 0, 0);
    if (pid == 0) {
        raw(SYS_prctl, PR_SET_PDEATHSIG, SIGUSR2, 0, 0);
        shared.ready = 1;
        for (;;)
            raw(SYS_pause, 0, 0, 0, 0);
    }
    shared.grandchild = pid;
    while (!shared.ready)
        raw_sleep_ms(1);
    raw_exit(63);
}

static void orphans(void)
{
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1));
    shared.ready = 0;
    show_wait("maker", instead(make_orphan, NULL), 0);
    show_wait("orphan", shared.grandchild, 0);
    printf("came to me: %d\n", shared.result == getpid());
    shared.ready = 0;
    show_wait("maker", instead(on_parent_death, NULL), 0);
    show_wait("told of its death", shared.grandchild, 0);
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 0));
    shared.ready = 0;
    show_wait("maker", instead(make_orphan, NULL), 0);
    show_wait("orphan", shared.grandchild, 0);
    for (int i = 0; i < 1000 && shared.result == getpid(); i++)
        raw_sleep_ms(1);
    printf("came to PID 1: %d\n", shared.result == 1);
}

/* ---- terminals ---- */

static int master, slave;
static char slave_name[64];
static volatile sig_atomic_t caught[65];

static void count(int signal)
{
    caught[signal]++;
}

static int background_read(void *arg)
{
    char byte;
    raw(SYS_setpgid, 0, 0, 0, 0);
    shared.ready = 1;
    shared.result = (int)raw(SYS_read, slave, (long)&byte, 1, 0);
    raw_exit(shared.result == 1 ? byte : 1);
}

static int background_write(void *arg)
{
    raw(SYS_setpgid, 0, 0, 0, 0);
    shared.ready = 1;
    shared.result = (int)raw(SYS_write, slave, (long)"x", 1, 0);
    raw_exit(shared.result == 1 ? 0 : 1);
}

static int background_ioctl(void *arg)
{
    int group = (int)raw(SYS_getpid, 0, 0, 0, 0);
    raw(SYS_setpgid, 0, 0, 0, 0);
    if (arg)
        signal(SIGTTOU, SIG_IGN);
    shared.ready = 1;
    shared.result = (int)raw(SYS_ioctl, slave, TIOCSPGRP, (long)&group, 0);
    raw_exit(shared.result == 0 ? 0 : 1);
}

static int in_foreground(void *arg)
{
    raw(SYS_setpgid, 0, 0, 0, 0);
    return pause_for_ever(NULL);
}

static int leader_with_terminal(void *arg)
{
    raw(SYS_setsid, 0, 0, 0, 0);
    int fd = open(slave_name, O_RDWR);
    int group = getpgrp(), got = -1, sid = -1;
    SHOW(fd >= 0);
    SHOW(ioctl(fd, TIOCGPGRP, &got));
    SHOW(got == group);
    SHOW(ioctl(fd, TIOCGSID, &sid));
    SHOW(sid == getsid(0));
    SHOW(open("/dev/tty", O_RDWR) >= 0);
    SHOW(ioctl(fd, TIOCSCTTY, 0));
    slave = fd;
    struct sigaction action = {.sa_handler = count};
    sigaction(SIGINT, &action, NULL);
    write(master, "\003", 1);
    for (int i = 0; i < 1000 && !caught[SIGINT]; i++)
        raw_sleep_ms(1);
    printf("SIGINT %d\n", caught[SIGINT]);

    int pid = start(background_read, 0);
    show_wait("background read", pid, WUNTRACED);
    SHOW(ioctl(fd, TIOCSPGRP, &pid));
    SHOW(ioctl(fd, TIOCGPGRP, &got));
    SHOW(got == pid);
    kill(pid, SIGCONT);
    write(master, "A\n", 2);
    show_wait("foreground read", pid, 0);
    signal(SIGTTOU, SIG_IGN);
    SHOW(ioctl(fd, TIOCSPGRP, &group));
    signal(SIGTTOU, SIG_DFL);

    show_wait("background write", start(background_write, 0), 0);
    struct termios termios;
    tcgetattr(fd, &termios);
    termios.c_lflag |= TOSTOP;
    SHOW(tcsetattr(fd, TCSANOW, &termios));
    pid = start(background_write, 0);
    show_wait("background write, TOSTOP", pid, WUNTRACED);
    end(pid);
    pid = start(background_ioctl, 0);
    show_wait("background TIOCSPGRP", pid, WUNTRACED);
    end(pid);
    pid = start(background_ioctl, 1);
    show_wait("background TIOCSPGRP, ignoring", pid, 0);
    signal(SIGTTOU, SIG_IGN);
    SHOW(ioctl(fd, TIOCSPGRP, &group));
    signal(SIGTTOU, SIG_DFL);

    int bad = 12345;
    SHOW(ioctl(fd, TIOCSPGRP, &bad));
    bad = -1;
    SHOW(ioctl(fd, TIOCSPGRP, &bad));
    bad = 1;
    SHOW(ioctl(fd, TIOCSPGRP, &bad));

    /* The foreground job is told when its session's leader ends. */
    pid = start(in_foreground, 0);
    SHOW(ioctl(fd, TIOCSPGRP, &pid));
    shared.grandchild = pid;
    fflush(stdout);
    raw_exit(0);
}

static int notty(void *arg)
{
    setsid();
    int fd = open(slave_name, O_RDWR | O_NOCTTY);
    SHOW(open("/dev/tty", O_RDWR));
    SHOW(ioctl(fd, TIOCSCTTY, 0));
    SHOW(close(open("/dev/tty", O_RDWR)));
    struct sigaction action = {.sa_handler = count};
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
    SHOW(ioctl(fd, TIOCNOTTY));
    printf("SIGHUP %d SIGCONT %d\n", caught[SIGHUP], caught[SIGCONT]);
    SHOW(ioctl(fd, TIOCNOTTY));
    SHOW(open("/dev/tty", O_RDWR));
    SHOW(ioctl(fd, TIOCSCTTY, 0));
    caught[SIGHUP] = caught[SIGCONT] = 0;
    close(master);
    printf("hung up: SIGHUP %d SIGCONT %d\n", caught[SIGHUP], caught[SIGCONT]);
    SHOW(open("/dev/tty", O_RDWR));
    fflush(stdout);
    raw_exit(0);
}

static void open_pty(void)
{
    master = posix_openpt(O_RDWR | O_NOCTTY);
    grantpt(master);
    unlockpt(master);
    ptsname_r(master, slave_name, sizeof slave_name);
}

static int with_files(int (*fn)(void *))
{
    return instead_with(CLONE_FILES | SIGCHLD, fn, NULL);
}

static void terminals(void)
{
    SHOW(open("/dev/tty", O_RDWR));
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    open_pty();
    show_wait("leader", with_files(leader_with_terminal), 0);
    show_wait("its foreground job", shared.grandchild, 0);
    close(master);
    open_pty();
    show_wait("notty", with_files(notty), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* A stopped job whose last tie to the session goes. */
static int leave_stopped_job(void *arg)
{
    raw(SYS_setpgid, 0, 0, 0, 0);
    int pid = (int)raw(SYS_clone, CHILD_FLAGS | SIGCHLD, (long)CHILD_STACK, 0, 0);
    if (pid == 0) {
        raw(SYS_setpgid, 0, 0, 0, 0);
        shared.ready = 1;
        raw(SYS_kill, raw(SYS_getpid, 0, 0, 0, 0), SIGSTOP, 0, 0);
        for (;;)
            raw(SYS_pause, 0, 0, 0, 0);
    }
    shared.grandchild = pid;
    siginfo_t info;
    raw(SYS_waitid, P_PID, pid, (long)&info, WSTOPPED);
    raw_exit(64);
}

static int holder(void *arg)
{
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    show_wait("left a stopped job", instead(leave_stopped_job, NULL), 0);
    fflush(stdout);
    raw_exit(0);
}

static int session(void *arg)
{
    setsid();
    groups();
    other_session();
    rights();
    orphans();
    terminals();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    show_wait("holder", instead(holder, NULL), 0);
    show_wait("the job", shared.grandchild, 0);
    fflush(stdout);
    raw_exit(0);
}

int main(void)
{
    return run_in_session(session);
}

/* What is between processes that fork made, more of it: exit signals, CLONE_PARENT, threads, limits, pidfds, exec,
 * /proc. */
#define NEEDS_EDMM
#define CHILDREN_FORK
#include "family.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>

static int again(const char *how)
{
    execl("/proc/self/exe", "again", how, NULL);
    raw_exit(99);
}

static int exec_exit(void *arg)
{
    return again("exit");
}

/* ---- exit signals ---- */

static void exit_signals(void)
{
    hear(SIGUSR1, SA_RESTART);
    int pid = beside_with(SIGUSR1, exit_with, (void *)3L);
    show_wait("not for those who do not ask", pid, 0);
    show_wait("with __WALL", pid, __WALL);
    wait_word(&shared.heard[SIGUSR1], 1);
    printf("SIGUSR1 %d, code %d status %d\n", shared.heard[SIGUSR1], shared.info.si_code, shared.info.si_status);
    shared.heard[SIGUSR1] = 0;
    pid = beside_with(SIGUSR1, exec_exit, NULL);
    siginfo_t info;
    SHOW(waitid(P_PID, pid, &info, WEXITED | __WALL | WNOWAIT));
    show_wait("after exec", pid, 0);
    SHOW(shared.heard[SIGUSR1]);
    pid = beside_with(0, exit_with, (void *)4L);
    show_wait("without a signal", pid, __WCLONE);
    signal(SIGUSR1, SIG_DFL);
}

static int makes_sibling(void *arg)
{
    shared.ids[0] = beside_with(CLONE_PARENT | SIGUSR1, pause_for_ever, NULL);
    wait_word(&shared.ready, 1);
    SHOW(waitpid(shared.ids[0], NULL, WNOHANG | __WALL));
    raw_exit(0);
}

static void siblings(void)
{
    shared.ready = 0;
    show_wait("makes a sibling", instead(makes_sibling, NULL), 0);
    SHOW(waitpid(shared.ids[0], NULL, WNOHANG));
    kill(shared.ids[0], SIGTERM);
    show_wait("sibling", shared.ids[0], 0);
}

/* ---- threads that fork, and end ---- */

static int told(void *arg)
{
    prctl(PR_SET_PDEATHSIG, SIGUSR2);
    return pause_for_ever(NULL);
}

static void *forks(void *arg)
{
    shared.ids[0] = start(told, 0);
    SHOW(waitpid(shared.ids[0], NULL, WNOHANG | __WNOTHREAD));
    shared.ids[1] = 1;
    while (arg && !shared.go)
        raw_sleep_ms(1);
    return NULL;
}

static int thread_makes_child(void *arg)
{
    pthread_t thread;
    shared.ids[1] = 0;
    pthread_create(&thread, NULL, forks, arg);
    if (arg) {
        while (!shared.ids[1])
            raw_sleep_ms(1);
        SHOW(waitpid(shared.ids[0], NULL, WNOHANG | __WNOTHREAD));
        SHOW(waitpid(shared.ids[0], NULL, WNOHANG));
        shared.go = 1;
    }
    pthread_join(thread, NULL);
    show_wait("told when the thread ended", shared.ids[0], 0);
    raw_exit(0);
}

/* ---- threads of others ---- */

static void *one_thread(void *arg)
{
    shared.ids[1] = gettid();
    return (void *)(long)pause_for_ever(NULL);
}

static int threaded(void *arg)
{
    pthread_t thread;
    hear(SIGUSR1, 0);
    pthread_create(&thread, NULL, one_thread, NULL);
    return pause_for_ever(NULL);
}

static int entries(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static void others_threads(void)
{
    char path[64];
    shared.ready = 0;
    int pid = beside(threaded, NULL);
    wait_word(&shared.ready, 2);
    int tid = shared.ids[1];
    SHOW(getpgid(tid) == getpgrp() && getsid(tid) == getsid(0));
    SHOW(syscall(SYS_tgkill, pid, tid, SIGUSR1));
    wait_word(&shared.heard[SIGUSR1], 1);
    SHOW(syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
    SHOW(syscall(SYS_tkill, tid, SIGUSR1));
    wait_word(&shared.heard[SIGUSR1], 2);
    SHOW(kill(tid, SIGUSR1));
    wait_word(&shared.heard[SIGUSR1], 3);
    SHOW(shared.heard[SIGUSR1]);
    SHOW(setpgid(tid, tid));
    SHOW(waitpid(tid, NULL, WNOHANG | __WALL));
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    SHOW(entries(path));
    kill(pid, SIGSTOP);
    show_wait("stopped", pid, WUNTRACED);
    kill(pid, SIGCONT);
    show_wait("continued", pid, WCONTINUED);
    end(pid);
    shared.heard[SIGUSR1] = 0;
}

/* ---- limits and priorities of others ---- */

static int opens(void *arg)
{
    shared.ready = 1;
    while (!shared.go)
        raw_sleep_ms(1);
    int fd = open("/dev/null", O_RDONLY);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("opened %d %s, limit %ld\n", fd >= 0, fd < 0 ? strerrorname_np(errno) : "", (long)limit.rlim_cur);
    fflush(stdout);
    raw_exit(0);
}

static int forks_as_user(void *arg)
{
    struct rlimit limit = {2, 2};
    setrlimit(RLIMIT_NPROC, &limit);
    raw(SYS_setresuid, 1234, 1234, 1234, 0);
    int a = fork();
    if (a == 0)
        pause_for_ever(NULL);
    errno = 0;
    int b = fork();
    if (b == 0)
        raw_exit(0);
    printf("first %d, second %d %s\n", a > 0, b > 0, b < 0 ? strerrorname_np(errno) : "");
    fflush(stdout);
    end(a);
    a = fork();
    if (a == 0)
        raw_exit(7);
    show_wait("again", a, 0);
    raw_exit(0);
}

static void limits(void)
{
    struct rlimit limit = {3, 100};
    int pid = start(opens, 0);
    SHOW(prlimit(pid, RLIMIT_NOFILE, &limit, NULL));
    shared.go = 1;
    show_wait("opens", pid, 0);
    show_wait("forks", instead(forks_as_user, NULL), 0);
    pid = start(pause_for_ever, 0);
    setpgid(pid, pid);
    int before = getpriority(PRIO_PROCESS, 0);
    SHOW(setpriority(PRIO_PGRP, pid, before + 4));
    SHOW(getpriority(PRIO_PGRP, pid) - before);
    SHOW(getpriority(PRIO_PROCESS, pid) - before);
    SHOW(getpriority(PRIO_PROCESS, 0) - before);
    end(pid);
}

/* ---- pidfds ---- */

static int ends_later(void *arg)
{
    shared.ready = 1;
    while (!shared.go)
        raw_sleep_ms(1);
    raw_exit(5);
}

static int parent_of_ends_later(void *arg)
{
    shared.ids[0] = beside(ends_later, NULL);
    int status = 0;
    waitpid(shared.ids[0], &status, 0);
    raw_exit(WEXITSTATUS(status));
}

static void pidfds(void)
{
    shared.ready = shared.go = 0;
    int fd = -1, pid = (int)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0);
    if (pid == 0)
        raw_exit(6);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    SHOW(poll(&poll_fd, 1, 5000));
    siginfo_t info;
    SHOW(waitid(P_PIDFD, fd, &info, WEXITED));
    SHOW(info.si_pid == pid && info.si_status == 6);
    close(fd);

    pid = beside(parent_of_ends_later, NULL);
    wait_word(&shared.ready, 1);
    while (!shared.ids[0])
        raw_sleep_ms(1);
    fd = (int)syscall(SYS_pidfd_open, shared.ids[0], 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    SHOW(epoll_wait(epoll, &event, 1, 0));
    int null = (int)syscall(SYS_pidfd_getfd, fd, 0, 0);
    SHOW(null >= 0);
    close(null);
    siginfo_t value = {.si_code = SI_QUEUE, .si_int = 5, .si_signo = SIGUSR1};
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGUSR2, &value, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    shared.go = 1;
    SHOW(epoll_wait(epoll, &event, 1, 5000));
    show_wait("its parent", pid, 0);
    SHOW(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    close(fd), close(epoll);
}

/* ---- zombies and groups ---- */

static void groups(void)
{
    siginfo_t info;
    int leader = start(pause_for_ever, 0), other = start(pause_for_ever, 0), third = start(pause_for_ever, 0);
    setpgid(leader, leader);
    kill(leader, SIGTERM);
    waitid(P_PID, leader, &info, WEXITED | WNOWAIT);
    SHOW(kill(leader, SIGTERM));
    SHOW(kill(-leader, SIGTERM));
    SHOW(setpgid(other, leader)); /* its leader is a zombie */
    SHOW(waitid(P_PGID, leader, &info, WEXITED | WNOWAIT));
    SHOW(info.si_pid == leader);
    show_wait("leader", leader, 0);
    SHOW(setpgid(third, leader)); /* and now gone */
    SHOW(getpgid(other) == leader);
    SHOW(setpgid(other, getpgrp()));
    SHOW(setpgid(other, leader));
    kill(third, SIGSTOP);
    waitid(P_PID, third, &info, WSTOPPED | WNOWAIT);
    printf("code %d status %d uid %d\n", info.si_code, info.si_status, info.si_uid);
    SHOW(waitid(P_PGID, getpgrp(), &info, WEXITED | WSTOPPED | WNOHANG));
    SHOW(info.si_signo);
    SHOW(info.si_pid);
    memset(&info, 0x55, sizeof info);
    SHOW(waitid(P_ALL, 0, &info, 0));
    SHOW(info.si_pid);
    kill(third, SIGCONT);
    SHOW(waitid(P_ALL, 0, &info, WCONTINUED | WNOWAIT));
    SHOW(waitid(P_ALL, 0, &info, WCONTINUED));
    SHOW(waitid(P_ALL, 0, &info, WCONTINUED | WNOHANG));
    SHOW(info.si_pid);
    end(other), end(third);
}

static int as_other(void *arg)
{
    raw(SYS_setresuid, 1001, 1002, 1003, 0);
    raw_exit(8);
}

static void uids(void)
{
    siginfo_t info;
    hear(SIGCHLD, SA_RESTART);
    int pid = beside(as_other, NULL);
    SHOW(waitid(P_PID, pid, &info, WEXITED));
    wait_word(&shared.heard[SIGCHLD], 1);
    printf("uid %d and %d\n", info.si_uid, shared.info.si_uid);
    signal(SIGCHLD, SIG_DFL);
}

/* ---- what ends PR_SET_PDEATHSIG ---- */

static int changes(void *arg)
{
    int signal_number = -1;
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (arg == (void *)0L)
        setfsuid(1000);
    else if (arg == (void *)1L)
        setfsgid(1000);
    else if (arg == (void *)2L)
        raw(SYS_setresuid, 0, 0, 1000, 0);
    else if (arg == (void *)3L)
        raw(SYS_setresgid, 0, 1000, 0, 0);
    prctl(PR_GET_PDEATHSIG, &signal_number);
    printf("%ld: %d, dumpable %d\n", (long)arg, signal_number, prctl(PR_GET_DUMPABLE));
    fflush(stdout);
    raw_exit(0);
}

/* ---- what exec keeps ---- */

static int alarm_and_exec(void *arg)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR2);
    signal(SIGTERM, SIG_IGN);
    struct itimerval value = {.it_value = {0, 150000}};
    if (arg) {
        int pid = vfork();
        if (pid == 0) {
            setitimer(ITIMER_REAL, &value, NULL);
            kill(getpid(), SIGUSR2);
            execl("/proc/self/exe", "again", "kept", NULL);
            _exit(1);
        }
        show_wait("vfork", pid, 0);
        raw_exit(0);
    }
    setitimer(ITIMER_REAL, &value, NULL);
    return again("kept");
}

static int burns(void *arg)
{
    struct rlimit limit = {1, 2};
    setrlimit(RLIMIT_CPU, &limit);
    hear(SIGXCPU, 0);
    while (!shared.heard[SIGXCPU])
        ;
    printf("code %d\n", shared.info.si_code);
    fflush(stdout);
    for (;;)
        ;
}

static int child_of_limited(void *arg)
{
    struct rlimit limit = {1, 1};
    setrlimit(RLIMIT_CPU, &limit);
    int pid = fork();
    if (pid == 0)
        for (;;)
            ;
    show_wait("inherits the limit", pid, 0);
    pid = vfork();
    if (pid == 0) {
        execl("/proc/self/exe", "again", "burn", NULL);
        _exit(1);
    }
    show_wait("after vfork and exec", pid, 0);
    raw_exit(0);
}

/* ---- /proc ---- */

static int with_signals(void *arg)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    hear(SIGUSR1, 0);
    signal(SIGPIPE, SIG_IGN);
    raw(SYS_setresgid, 10, 11, 12, 0);
    raw(SYS_setresuid, 20, 21, 22, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    chdir("/");
    umask(077);
    return pause_for_ever(NULL);
}

static int parent_of_with_signals(void *arg)
{
    shared.ids[0] = beside(with_signals, NULL);
    return pause_for_ever(NULL);
}

static void proc(void)
{
    static const char *const lines[] = {"Name:",   "Umask:",  "Uid:",    "Gid:",    "Threads:",    "SigPnd:", "ShdPnd:",
                                        "SigBlk:", "SigIgn:", "SigCgt:", "CapEff:", "NoNewPrivs:", "State:"};
    char path[64], text[64] = "";
    shared.ready = 0;
    int pid = beside(parent_of_with_signals, NULL);
    wait_word(&shared.ready, 2);
    int grandchild = shared.ids[0];
    kill(grandchild, SIGUSR2);
    raw_sleep_ms(30);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        show_status(grandchild, lines[i]);
    snprintf(path, sizeof path, "/proc/%d/cwd", grandchild);
    readlink(path, text, sizeof text - 1);
    puts(text);
    end(pid);
    SHOW(waitpid(grandchild, NULL, 0));
    kill(grandchild, SIGKILL);
}

static int session(void *arg)
{
    setsid();
    exit_signals();
    siblings();
    for (long with = 0; with < 2; with++)
        show_wait("thread makes child", instead(thread_makes_child, (void *)with), 0);
    others_threads();
    limits();
    pidfds();
    groups();
    uids();
    for (long how = 0; how < 4; how++)
        show_wait("changes", instead(changes, (void *)how), 0);
    show_wait("exec keeps", instead(alarm_and_exec, NULL), 0);
    show_wait("exec keeps", instead(alarm_and_exec, (void *)1L), 0);
    proc();
    show_wait("CPU limits", instead(burns, NULL), 0);
    show_wait("CPU limit of parent", instead(child_of_limited, NULL), 0);
    show_wait("nobody left", -1, 0);
    raw_exit(0);
}

static int kept(void)
{
    sigset_t set;
    struct itimerval value;
    struct sigaction action;
    sigpending(&set);
    SHOW(sigismember(&set, SIGUSR2));
    sigprocmask(SIG_BLOCK, NULL, &set);
    SHOW(sigismember(&set, SIGUSR2));
    sigaction(SIGTERM, NULL, &action);
    SHOW(action.sa_handler == SIG_IGN);
    getitimer(ITIMER_REAL, &value);
    SHOW(value.it_value.tv_usec > 0);
    raw_sleep_ms(1000);
    return 44;
}

int main(int count, char **words)
{
    if (count == 1)
        return run_in_session(session);
    if (strcmp(words[1], "kept") == 0)
        return kept();
    while (strcmp(words[1], "burn") == 0)
        ;
    return 3;
}

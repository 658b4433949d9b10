/* Generations: what processes have to do with each other of which neither is PID 1, nor the other's parent always. */
#define NEEDS_EDMM
#define CHILDREN_FORK
#include "family.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

/* ---- what a parent is to its grandchildren ---- */

static int generation(void *arg)
{
    int depth = (int)(long)arg;
    shared.ids[depth] = getpid();
    if (depth == 3)
        return pause_for_ever(NULL);
    beside(generation, (void *)(long)(depth + 1));
    return pause_for_ever(NULL);
}

static int family(void)
{
    shared.ready = 0;
    int pid = beside(generation, (void *)1L);
    wait_word(&shared.ready, 3);
    return pid;
}

static int number_in(int pid, int field)
{
    char path[64], text[1024] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    read(fd, text, sizeof text - 1);
    close(fd);
    char *at = strrchr(text, ')');
    for (int i = 2; at && i < field; i++)
        at = strchr(at + 1, ' ');
    return at ? atoi(at + 1) : -1;
}

static void generations(void)
{
    int child = family(), grandchild = shared.ids[2], last = shared.ids[3], status;
    SHOW(number_in(grandchild, 4) == child && number_in(last, 4) == grandchild);
    SHOW(number_in(last, 5) == getpgrp() && number_in(last, 6) == getsid(0));
    SHOW(waitpid(grandchild, &status, 0));
    SHOW(waitid(P_PID, grandchild, NULL, WEXITED));
    SHOW(setpgid(grandchild, grandchild));
    SHOW(getpgid(grandchild) == getpgrp());
    SHOW(kill(last, 0));
    show_status(last, "Threads:");
    show_status(last, "SigBlk:");
    int fd = (int)syscall(SYS_pidfd_open, last, 0);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    SHOW(poll(&poll_fd, 1, 0));
    SHOW(waitid(P_PIDFD, fd, NULL, WEXITED));
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    SHOW(poll(&poll_fd, 1, 5000));
    SHOW(poll_fd.revents);
    show_status(last, "State:");
    show_status(last, "SigPnd:");
    SHOW(kill(last, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    /* Its children come to the subreaper, the zombie too. */
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1));
    kill(grandchild, SIGKILL);
    kill(child, SIGKILL);
    show_wait("child", child, 0);
    show_wait("grandchild", grandchild, 0);
    show_wait("the last", last, 0);
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    SHOW(poll(&poll_fd, 1, 0));
    close(fd);
    show_wait("nobody left", -1, 0);
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

/* ---- the nearest subreaper, and what parents are told ---- */

static int reaper(void *arg)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int flag = 0;
    int child = family(), grandchild = shared.ids[2], last = shared.ids[3];
    kill(grandchild, SIGKILL);
    for (int i = 0; i < 1000 && number_in(last, 4) != getpid(); i++)
        raw_sleep_ms(1);
    SHOW(number_in(last, 4) == getpid());
    kill(last, SIGTERM);
    show_wait("came to its reaper", last, 0);
    kill(child, SIGUSR2);
    show_wait("child", child, 0);
    show_wait("grandchild", grandchild, 0);
    prctl(PR_GET_CHILD_SUBREAPER, &flag);
    SHOW(flag);
    raw_exit(0);
}

static int other_signal(void *arg)
{
    beside_with(SIGUSR1, pause_for_ever, NULL);
    wait_word(&shared.ready, 1);
    raw_exit(0);
}

/* ---- signals from one to another ---- */

static void on_any(int signal, siginfo_t *info, void *context)
{
    on_info(1, info, context);
}

static int listen_to(void *arg)
{
    struct sigaction action = {.sa_sigaction = on_any, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    sigaction(SIGRTMIN, &action, NULL);
    if (arg)
        setpgid(0, arg == (void *)1L ? 0 : (int)(long)arg);
    return pause_for_ever(NULL);
}

static int sender(void *arg)
{
    int to = shared.ids[0], how = (int)(long)arg;
    siginfo_t info = {.si_code = SI_QUEUE, .si_pid = 4242, .si_uid = 77, .si_int = 99};
    if (how == 1)
        raw(SYS_setresuid, 0, 1000, 0, 0);
    if (how == 0 || how == 1)
        kill(to, SIGUSR1);
    else if (how == 2)
        raw(SYS_tgkill, to, to, SIGUSR2, 0);
    else if (how == 3)
        sigqueue(to, SIGRTMIN, (union sigval){.sival_int = 12});
    else if (how == 4)
        raw(SYS_rt_sigqueueinfo, to, SIGRTMIN, (long)&info, 0);
    else
        raw(SYS_rt_tgsigqueueinfo, to, to, SIGUSR1, (long)&info);
    shared.ids[1] = getpid();
    raw_exit(0);
}

static void siblings_signal(void)
{
    int to = shared.ids[0] = start(listen_to, 0);
    for (int how = 0; how < 6; how++) {
        shared.heard[1] = 0;
        waitpid(instead(sender, (void *)(long)how), NULL, 0);
        wait_word(&shared.heard[1], 1);
        siginfo_t info = *(siginfo_t *)&shared.info;
        printf("%d: signal %d code %d uid %d value %d from the sender %d, %d\n", how, info.si_signo, info.si_code,
               info.si_uid, how >= 3 ? info.si_int : 0, info.si_pid == shared.ids[1], info.si_pid == 4242);
    }
    end(to);
}

static int send_to(void *arg)
{
    setpgid(0, shared.ids[0]);
    signal(SIGUSR1, SIG_IGN);
    shared.result = kill((int)(long)arg, SIGUSR1);
    raw_exit(0);
}

static int send_to_all(void *arg)
{
    signal(SIGUSR1, SIG_IGN);
    if (arg)
        raw(SYS_setresuid, (long)arg, (long)arg, (long)arg, 0);
    shared.result = (int)raw(SYS_kill, -1, SIGUSR1, 0, 0);
    raw_exit(0);
}

static int listen_as_user(void *arg)
{
    raw(SYS_setresuid, (long)arg, (long)arg, (long)arg, 0);
    return listen_to(NULL);
}

static void heard(const char *what, int expected)
{
    wait_word(&shared.heard[1], expected);
    raw_sleep_ms(20);
    printf("%s: %d heard, %d\n", what, shared.heard[1], shared.result);
    fflush(stdout);
    shared.heard[1] = 0;
}

static void groups(void)
{
    int a = start(listen_to, 1), b = start(listen_to, a), c = start(listen_to, 0), user = start(listen_as_user, 1000);
    struct sigaction action = {.sa_sigaction = on_any, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    shared.ids[0] = a;
    shared.heard[1] = 0;
    show_wait("kill(0)", instead(send_to, (void *)0L), 0);
    heard("kill(0)", 2);
    show_wait("kill(-a)", instead(send_to, (void *)(long)-a), 0);
    heard("kill(-a)", 2);
    kill(0, SIGUSR1);
    heard("my group", 3);
    show_wait("user's kill(-1)", instead(send_to_all, (void *)1000L), 0);
    heard("user's kill(-1)", 1);
    show_wait("stranger's kill(-1)", instead(send_to_all, (void *)2000L), 0);
    heard("stranger's kill(-1)", 0);
    show_wait("kill(-1)", instead(send_to_all, NULL), 0);
    heard("kill(-1)", 5);
    kill(-a, SIGSTOP);
    show_wait("one", -a, WUNTRACED);
    show_wait("other", -a, WUNTRACED);
    show_wait("none", -a, WUNTRACED | WNOHANG);
    kill(-a, SIGUSR1);
    raw_sleep_ms(20);
    heard("stopped", 0);
    kill(-a, SIGCONT);
    heard("continued", 2);
    show_wait("one", -a, WCONTINUED);
    show_wait("other", -a, WCONTINUED);
    end(a), end(b), end(c), end(user);
    signal(SIGUSR1, SIG_DFL);
}

/* ---- another's group after exec ---- */

static int exec_and_pause(void *arg)
{
    execl("/proc/self/exe", "again", "pause", NULL);
    raw_exit(9);
}

static int reports[2];

static void after_exec(void)
{
    char byte;
    int pid = beside(exec_and_pause, NULL);
    read(reports[0], &byte, 1);
    SHOW(setpgid(pid, pid));
    SHOW(setpgid(pid, 0));
    show_status(pid, "Name:");
    end(pid);
}

/* ---- a parent's death ---- */

static int told(void *arg)
{
    int how = (int)(long)arg, signal_number = 0;
    prctl(PR_GET_PDEATHSIG, &signal_number);
    shared.result = signal_number;
    shared.ids[3] = getpid();
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (how == 1)
        raw(SYS_setresuid, 1000, 1000, 1000, 0); /* forgets it */
    if (how == 2)
        execl("/proc/self/exe", "again", "pause", NULL);
    return pause_for_ever(NULL);
}

static int parent_of_told(void *arg)
{
    char byte;
    prctl(PR_SET_PDEATHSIG, SIGUSR2);
    beside(told, arg);
    if (arg == (void *)2L)
        read(reports[0], &byte, 1);
    else
        wait_word(&shared.ready, 1);
    raw_exit(0);
}

static void deaths(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (long how = 0; how < 3; how++) {
        shared.ready = 0;
        show_wait("parent", instead(parent_of_told, (void *)how), 0);
        if (how == 1)
            raw_sleep_ms(30), kill(shared.ids[3], SIGTERM);
        show_wait("told of its death", shared.ids[3], 0);
        printf("inherited %d\n", shared.result);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* ---- stopped in the middle of a call ---- */

static int pipe_fds[2], listener;

static int in_call(void *arg)
{
    char bytes[8];
    struct timespec longer = {0, 300000000}, left = {0, 0};
    struct pollfd poll_fd = {.fd = pipe_fds[0], .events = POLLIN};
    struct epoll_event event = {.events = EPOLLIN};
    sigset_t set;
    int epoll, r = -1, how = (int)(long)arg, child = how == 7 ? shared.ids[4] = beside(pause_for_ever, NULL) : 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_fds[0], &event);
    shared.ready = 1;
    errno = 0;
    if (how == 0)
        r = read(pipe_fds[0], bytes, sizeof bytes);
    else if (how == 1)
        r = accept(listener, NULL, NULL) >= 0;
    else if (how == 2)
        r = syscall(SYS_futex, &shared.word, FUTEX_WAIT, 0, NULL, NULL, 0);
    else if (how == 3)
        r = nanosleep(&longer, &left);
    else if (how == 4)
        r = poll(&poll_fd, 1, 5000);
    else if (how == 5)
        r = epoll_wait(epoll, &event, 1, 5000);
    else if (how == 6)
        r = sigtimedwait(&set, NULL, &(struct timespec){5, 0});
    else if (how == 7)
        r = waitpid(child, NULL, 0) == child;
    else if (how == 8)
        r = syscall(SYS_futex, &shared.word, FUTEX_WAIT, 0, &(struct timespec){5, 0}, NULL, 0);
    shared.result = r < 0 ? -errno : r;
    while (!shared.go)
        raw_sleep_ms(1);
    raw_exit(0);
}

static void wake_call(int how, int pid)
{
    struct sockaddr_un address = {AF_UNIX, "\0chain"};
    if (how == 0 || how == 4 || how == 5)
        write(pipe_fds[1], "abc", 3);
    else if (how == 1)
        connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address);
    else if (how == 2 || how == 8)
        printf("woken %ld\n", syscall(SYS_futex, &shared.word, FUTEX_WAKE, 1, NULL, NULL, 0));
    else if (how == 6)
        kill(pid, SIGUSR1);
    else if (how == 7)
        kill(shared.ids[4], SIGKILL);
}

static void wait_while(volatile int *word, int value)
{
    for (int i = 0; i < 1000 && *word == value; i++)
        raw_sleep_ms(1);
}

static void stopped_calls(void)
{
    struct sockaddr_un address = {AF_UNIX, "\0chain"};
    pipe(pipe_fds);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, (struct sockaddr *)&address, sizeof address);
    listen(listener, 5);
    for (int how = 0; how < 9; how++) {
        shared.result = 77;
        int pid = start(in_call, how), waiting = -1;
        raw_sleep_ms(40);
        kill(pid, SIGSTOP);
        show_wait("stopped", pid, WUNTRACED);
        wake_call(how, pid);
        raw_sleep_ms(20);
        show_status(pid, "State:");
        ioctl(pipe_fds[0], FIONREAD, &waiting);
        printf("in the pipe: %d\n", waiting);
        kill(pid, SIGCONT);
        show_wait("continued", pid, WCONTINUED);
        if (how == 2 || how == 8) {
            raw_sleep_ms(40);
            wake_call(how, pid);
        }
        wait_while(&shared.result, 77);
        printf("call %d: %d\n", how, shared.result);
        shared.go = 1;
        show_wait("done", pid, 0);
        char bytes[8];
        if (how == 4 || how == 5)
            read(pipe_fds[0], bytes, sizeof bytes);
    }
    close(pipe_fds[0]), close(pipe_fds[1]), close(listener);
}

/* ---- threads, vfork ---- */

static void *thread_body(void *arg)
{
    if (arg)
        execl("/proc/self/exe", "again", "count", NULL);
    for (;;)
        pause();
}

static int exec_of_threads(void *arg)
{
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        pthread_create(&thread, NULL, thread_body, NULL);
    raw_sleep_ms(5);
    if (!arg)
        thread_body((void *)1L);
    pthread_create(&thread, NULL, thread_body, (void *)1L);
    for (;;)
        pause();
}

static int makes_vforks(void *arg)
{
    static volatile int word;
    int pid = vfork();
    if (pid == 0) {
        word = getppid();
        _exit(5);
    }
    SHOW(word == getpid());
    show_wait("vfork", pid, 0);
    pid = vfork();
    if (pid == 0) {
        execl("/proc/self/exe", "again", "count", NULL);
        _exit(6);
    }
    show_wait("vfork and exec", pid, 0);
    pid = vfork();
    if (pid == 0) {
        kill(getpid(), SIGKILL);
        _exit(6);
    }
    show_wait("vfork and kill", pid, 0);
    raw_exit(0);
}

/* ---- time ---- */

static void burn(long ms)
{
    struct timespec ts;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    while (ts.tv_sec * 1000 + ts.tv_nsec / 1000000 < ms);
}

static int timed(void *arg)
{
    int which = (int)(long)arg;
    struct itimerval value = {.it_value = {0, 20000}};
    struct rlimit limit = {1, 2};
    if (which == 3)
        setrlimit(RLIMIT_CPU, &limit);
    else
        setitimer(which, &value, NULL);
    burn(5000);
    raw_exit(0);
}

static int burner(void *arg)
{
    burn(60);
    raw_exit(0);
}

static long children_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static int parent_of_burner(void *arg)
{
    if (arg)
        signal(SIGCHLD, SIG_IGN);
    SHOW(children_ms() < 5);
    waitpid(beside(burner, NULL), NULL, 0);
    SHOW(children_ms() >= 55);
    raw_exit(0);
}

static void times(void)
{
    long before = children_ms(), after;
    show_wait("waits for its child", instead(parent_of_burner, NULL), 0);
    after = children_ms();
    SHOW(after - before >= 55);
    show_wait("ignores its child", instead(parent_of_burner, (void *)1L), 0);
    SHOW(children_ms() - after < 50);
    for (long which = 0; which < 4; which++)
        show_wait("timer", instead(timed, (void *)which), 0);
}

static int session(void *arg)
{
    setsid();
    generations();
    show_wait("reaper", instead(reaper, NULL), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    shared.ready = 0;
    show_wait("parent of another signal's", instead(other_signal, NULL), 0);
    kill(-1, SIGKILL);
    show_wait("orphan is an ordinary child", -1, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    siblings_signal();
    groups();
    pipe2(reports, 0);
    dup2(reports[1], 20);
    after_exec();
    deaths();
    stopped_calls();
    show_wait("exec of a leader", instead(exec_of_threads, NULL), 0);
    show_wait("exec of another thread", instead(exec_of_threads, (void *)1L), 0);
    show_wait("makes vforks", instead(makes_vforks, NULL), 0);
    times();
    show_wait("nobody left", -1, 0);
    raw_exit(0);
}

static int again(const char *what)
{
    if (strcmp(what, "count") == 0) {
        SHOW(gettid() == getpid());
        show_status(getpid(), "Threads:");
        return 11;
    }
    write(20, "x", 1);
    for (;;)
        pause();
}

int main(int count, char **words)
{
    return count > 1 ? again(words[1]) : run_in_session(session);
}

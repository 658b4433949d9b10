/* signalfd in processes that are not the first: polling, reading, whose signals they are. */
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static int make(const int *signals, int flags)
{
    sigset_t set;
    sigemptyset(&set);
    for (; *signals; signals++)
        sigaddset(&set, *signals);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, flags);
}

static int readable(int fd, int timeout)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout) < 0 ? -1 : p.revents;
}

static pid_t parent, self;

static void show_read(int fd)
{
    struct signalfd_siginfo info[4];
    errno = 0;
    ssize_t n = read(fd, info, sizeof info);
    if (n < 0) {
        printf("read: %s\n", strerrorname_np(errno));
        return;
    }
    for (int i = 0; i < n / (ssize_t)sizeof *info; i++)
        printf("read: signal %u, code %d, from %s, value %d\n", info[i].ssi_signo, info[i].ssi_code,
               info[i].ssi_pid == (uint32_t)self     ? "self"
               : info[i].ssi_pid == (uint32_t)parent ? "parent"
                                                     : "other",
               info[i].ssi_int);
}

static int handled;
static void handler(int signal)
{
    handled = signal;
}

static void own_signals(int fd)
{
    SHOW(readable(fd, 0));
    show_read(fd);
    kill(getpid(), SIGURG); /* whose default is to be ignored */
    SHOW(readable(fd, 0));
    raise(SIGUSR1); /* to the thread */
    SHOW(readable(fd, 0));
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5});
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 6});
    show_read(fd);
    SHOW(readable(fd, 0));
    show_read(fd);
}

/* What somebody else takes is gone from here. */
static void other_ways(int fd)
{
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    kill(getpid(), SIGUSR1);
    SHOW(readable(fd, 0));
    SHOW(sigwaitinfo(&set, &info));
    SHOW(readable(fd, 0));
    kill(getpid(), SIGUSR1);
    signal(SIGUSR1, handler);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    SHOW(handled);
    SHOW(readable(fd, 0));
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1);
    SHOW(readable(fd, 0));
    signal(SIGUSR1, SIG_IGN);
    SHOW(readable(fd, 0));
    kill(getpid(), SIGUSR1); /* blocked, so it stays though it is ignored */
    SHOW(readable(fd, 0));
    signal(SIGUSR1, SIG_DFL);
    show_read(fd);
}

static void from_parent(int fd, int ready)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 9};
    int ep = epoll_create1(0);
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
    SHOW(epoll_wait(ep, &event, 1, 0));
    for (int i = 0; i < 50; i++) {
        if (write(ready, "x", 1) != 1)
            _exit(9);
        if (epoll_wait(ep, &event, 1, 5000) != 1)
            printf("round %d: nothing\n", i);
        struct signalfd_siginfo info;
        if (read(fd, &info, sizeof info) != sizeof info || info.ssi_pid != (uint32_t)parent)
            printf("round %d: not read\n", i);
    }
    SHOW(epoll_wait(ep, &event, 1, 0));
    fcntl(fd, F_SETFL, 0); /* now the read waits */
    if (write(ready, "x", 1) != 1)
        _exit(9);
    show_read(fd);
    close(ep);
}

static void *send_to_main(void *arg)
{
    struct timespec ts = {0, 20000000};
    nanosleep(&ts, NULL);
    syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2);
    return arg;
}

static void threads(int fd)
{
    pthread_t thread;
    pthread_create(&thread, NULL, send_to_main, NULL);
    SHOW(readable(fd, 5000));
    show_read(fd);
    pthread_join(thread, NULL);
}

static void pending_line(void)
{
    char line[128];
    FILE *f = fopen("/proc/self/status", "r");
    kill(getpid(), SIGUSR1);
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, "ShdPnd", 6))
            fputs(line, stdout);
    fclose(f);
}

static int child(int ready)
{
    parent = getppid();
    self = getpid();
    int fd = make((int[]){SIGURG, SIGUSR1, SIGUSR2, SIGRTMIN, SIGCHLD, 0}, SFD_NONBLOCK);
    own_signals(fd);
    other_ways(fd);
    from_parent(fd, ready);
    threads(fd);
    int pid = fork();
    if (pid == 0) {
        SHOW(fcntl(fd, F_SETFL, O_NONBLOCK));
        parent = self;
        self = getpid();
        kill(parent, SIGUSR1);
        show_read(fd); /* its own signals, which are none */
        kill(self, SIGUSR2);
        show_read(fd);
        fflush(stdout);
        _exit(3);
    }
    waitpid(pid, NULL, 0);
    show_read(fd);
    pending_line();
    fflush(stdout);
    return 0;
}

int main(void)
{
    int ready[2], status;
    char byte;
    if (pipe(ready) < 0)
        return 1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(ready[0]);
        _exit(child(ready[1]));
    }
    close(ready[1]);
    while (read(ready[0], &byte, 1) == 1)
        kill(pid, SIGURG);
    waitpid(pid, &status, 0);
    printf("status %x\n", status);
    return 0;
}

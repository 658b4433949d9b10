/* eventfd, timerfd, signalfd and pidfd: reads, writes, polling, errors. */
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

static int events(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static void *feed(void *arg)
{
    struct timespec ts = {0, 20000000};
    uint64_t one = 3;
    nanosleep(&ts, NULL);
    if (write(*(int *)arg, &one, 8) != 8)
        perror("write");
    return NULL;
}

static void test_eventfd(void)
{
    uint64_t value;
    int fd = eventfd(5, EFD_NONBLOCK | EFD_CLOEXEC);
    SHOW(fcntl(fd, F_GETFL) & O_NONBLOCK);
    SHOW(fcntl(fd, F_GETFD));
    SHOW(events(fd));
    SHOW(read(fd, &value, 8));
    SHOW(value);
    SHOW(events(fd));
    SHOW(read(fd, &value, 8));
    SHOW(read(fd, &value, 7));
    SHOW(write(fd, &value, 7));
    value = UINT64_MAX;
    SHOW(write(fd, &value, 8));
    value = UINT64_MAX - 1;
    SHOW(write(fd, &value, 8));
    SHOW(events(fd));
    value = 1;
    SHOW(write(fd, &value, 8));
    SHOW(read(fd, (void *)8, 8));
    SHOW(pread(fd, &value, 8, 0));
    struct stat st;
    fstat(fd, &st);
    printf("type %o\n", st.st_mode & S_IFMT);
    close(fd);

    fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    for (int i = 0; i < 3; i++)
        SHOW(read(fd, &value, 8));
    SHOW(value);
    close(fd);

    fd = eventfd(0, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, feed, &fd);
    SHOW(read(fd, &value, 8));
    SHOW(value);
    pthread_join(thread, NULL);
    int ep = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = 7};
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
    SHOW(epoll_wait(ep, &event, 1, 0));
    value = 1;
    for (int i = 0; i < 2; i++) {
        SHOW(write(fd, &value, 8));
        SHOW(epoll_wait(ep, &event, 1, 0));
    }
    SHOW(epoll_wait(ep, &event, 1, 0));
    close(ep);
    close(fd);
    SHOW(eventfd(0, 1 << 20));
}

static void test_timerfd(void)
{
    uint64_t ticks;
    struct itimerspec its = {{0, 0}, {0, 10000000}}, now;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    SHOW(read(fd, &ticks, 8));
    SHOW(events(fd));
    SHOW(timerfd_gettime(fd, &now));
    SHOW(now.it_value.tv_nsec);
    SHOW(timerfd_settime(fd, 0, &its, NULL));
    struct pollfd p = {.fd = fd, .events = POLLIN};
    SHOW(poll(&p, 1, 1000));
    SHOW(read(fd, &ticks, 8));
    SHOW(ticks);
    SHOW(read(fd, &ticks, 8));
    its.it_interval.tv_nsec = 1000000;
    its.it_value.tv_nsec = 1;
    SHOW(timerfd_settime(fd, 0, &its, NULL));
    struct timespec ts = {0, 30000000};
    nanosleep(&ts, NULL);
    SHOW(read(fd, &ticks, 8));
    printf("many ticks %d\n", ticks >= 20);
    SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, &now));
    SHOW(now.it_interval.tv_nsec);
    SHOW(events(fd) & POLLIN);
    its.it_value.tv_nsec = 0;
    SHOW(timerfd_settime(fd, 0, &its, NULL));
    SHOW(read(fd, &ticks, 8));
    its.it_value.tv_nsec = -1;
    SHOW(timerfd_settime(fd, 0, &its, NULL));
    SHOW(timerfd_settime(fd, 99, &its, NULL));
    SHOW(timerfd_settime(0, 0, &(struct itimerspec){0}, NULL));
    SHOW(timerfd_create(2, 0));
    SHOW(timerfd_create(CLOCK_REALTIME, 1));
    SHOW(write(fd, &ticks, 8));
    close(fd);
}

static void test_signalfd(void)
{
    sigset_t mask;
    struct signalfd_siginfo info[4];
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    int fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    SHOW(read(fd, info, sizeof info));
    SHOW(events(fd));
    kill(getpid(), SIGUSR1);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 12});
    SHOW(events(fd));
    SHOW(read(fd, info, sizeof info) / sizeof info[0]);
    for (int i = 0; i < 2; i++)
        printf("signal %d code %d int %d pid %d\n", info[i].ssi_signo == SIGRTMIN ? 100 : (int)info[i].ssi_signo,
               info[i].ssi_code, info[i].ssi_int, info[i].ssi_pid == getpid());
    SHOW(read(fd, info, 10));
    sigdelset(&mask, SIGUSR1);
    SHOW(signalfd(fd, &mask, 0) == fd);
    kill(getpid(), SIGUSR1);
    SHOW(events(fd));
    signal(SIGUSR1, SIG_IGN);
    SHOW(signalfd(0, &mask, 0));
    SHOW(signalfd(77, &mask, 0));
    SHOW(signalfd(-1, &mask, 1));
    close(fd);
}

static void test_pidfd(void)
{
    int fd = syscall(SYS_pidfd_open, getpid(), 0);
    SHOW(fd >= 0);
    SHOW(fcntl(fd, F_GETFD));
    struct pollfd p = {.fd = fd, .events = POLLIN};
    SHOW(poll(&p, 1, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGRTMIN, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, 99, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, 99, 0, NULL, 0));
    int dir = open("/proc/self", O_RDONLY | O_DIRECTORY);
    SHOW(syscall(SYS_pidfd_send_signal, dir, 0, NULL, 0));
    close(dir);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGRTMIN);
    SHOW(sigwaitinfo(&mask, NULL) == SIGRTMIN);
    SHOW(syscall(SYS_pidfd_open, 0, 0));
    SHOW(syscall(SYS_pidfd_open, 4000000, 0));
    SHOW(syscall(SYS_pidfd_open, getpid(), 1));
}

int main(void)
{
    test_eventfd();
    test_timerfd();
    test_signalfd();
    test_pidfd();
    return 0;
}

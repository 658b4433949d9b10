/* What signals do to calls that wait: EINTR, restarts, remaining times. */
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t hits;
static pthread_t main_thread;
static int pipe_fds[2];

static void handler(int signal)
{
    hits++;
}

static void *poke(void *arg)
{
    struct timespec ts = {0, 30000000};
    nanosleep(&ts, NULL);
    pthread_kill(main_thread, SIGUSR1);
    nanosleep(&ts, NULL);
    if (arg && write(pipe_fds[1], "x", 1) != 1)
        perror("write");
    return NULL;
}

static void with_signal(const char *what, int flags, int feed, long (*call)(void))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(SIGUSR1, &action, NULL);
    hits = 0;
    pthread_t thread;
    pthread_create(&thread, NULL, poke, feed ? &hits : NULL);
    errno = 0;
    long r = call();
    printf("%s flags %s: %ld %s, hits %d\n", what, flags ? "restart" : "none", r, r < 0 ? strerrorname_np(errno) : "-",
           hits);
    fflush(stdout);
    pthread_join(thread, NULL);
}

static long call_read(void)
{
    char c;
    return read(pipe_fds[0], &c, 1);
}

static long call_nanosleep(void)
{
    struct timespec ts = {0, 200000000}, left = {9, 9};
    long r = nanosleep(&ts, &left);
    printf("remaining plausible: %d\n", r == 0 ? left.tv_sec == 9 : left.tv_sec == 0 && left.tv_nsec > 50000000);
    return r;
}

static long call_clock_nanosleep(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_nsec += 100000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
    return errno ? -1 : 0;
}

static long call_poll(void)
{
    struct pollfd p = {.fd = pipe_fds[0], .events = POLLIN};
    return poll(&p, 1, 1000);
}

static long call_ppoll(void)
{
    struct pollfd p = {.fd = pipe_fds[0], .events = POLLIN};
    struct timespec ts = {1, 0};
    sigset_t none;
    sigemptyset(&none);
    return ppoll(&p, 1, &ts, &none);
}

static long call_select(void)
{
    fd_set set;
    struct timeval tv = {1, 0};
    FD_ZERO(&set);
    FD_SET(pipe_fds[0], &set);
    return select(pipe_fds[0] + 1, &set, NULL, NULL, &tv);
}

static long call_epoll(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = epoll_create1(0);
    epoll_ctl(fd, EPOLL_CTL_ADD, pipe_fds[0], &event);
    long r = epoll_wait(fd, &event, 1, 1000);
    int saved = errno;
    close(fd);
    errno = saved;
    return r;
}

static long call_pause(void)
{
    return pause();
}

static long call_sem(void)
{
    static sem_t sem;
    sem_init(&sem, 0, 0);
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += 1;
    return sem_timedwait(&sem, &ts);
}

static long call_sigtimedwait(void)
{
    sigset_t set;
    struct timespec ts = {1, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigtimedwait(&set, NULL, &ts);
}

int main(void)
{
    main_thread = pthread_self();
    if (pipe(pipe_fds) < 0)
        return 1;
    for (int i = 0; i < 2; i++) {
        int flags = i ? SA_RESTART : 0;
        with_signal("nanosleep", flags, 0, call_nanosleep);
        with_signal("clock_nanosleep", flags, 0, call_clock_nanosleep);
        with_signal("poll", flags, 0, call_poll);
        with_signal("ppoll", flags, 0, call_ppoll);
        with_signal("select", flags, 0, call_select);
        with_signal("epoll_wait", flags, 0, call_epoll);
        with_signal("pause", flags, 0, call_pause);
        with_signal("sigtimedwait", flags, 0, call_sigtimedwait);
        with_signal("sem_timedwait", flags, 0, call_sem);
    }
    with_signal("read", 0, 0, call_read);
    with_signal("read", SA_RESTART, 1, call_read);
    return 0;
}

/* poll, ppoll, select and pselect: readiness, timeouts, signals and masks, bad descriptors, sets of many. */
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

static volatile sig_atomic_t handled;
static void handler(int s)
{
    (void)s;
    handled++;
}

static void polls(void)
{
    int p[2], file = open("/tmp/poll_file", O_RDWR | O_CREAT, 0600);
    SHOW(pipe(p));
    struct pollfd f[6] = {
        {.fd = p[0], .events = POLLIN}, {.fd = p[1], .events = POLLOUT},          {.fd = -1, .events = POLLIN},
        {.fd = 99, .events = POLLIN},   {.fd = file, .events = POLLIN | POLLOUT}, {.fd = p[0], .events = 0}};
    SHOW(poll(f, 6, 0));
    for (int i = 0; i < 6; i++)
        printf("  %d: %x\n", i, f[i].revents);
    SHOW(write(p[1], "x", 1));
    SHOW(poll(f, 1, -1));
    SHOW(f[0].revents);
    SHOW(close(p[1]));
    SHOW(poll(f, 1, -1));
    SHOW(f[0].revents);
    char c;
    SHOW(read(p[0], &c, 1));
    SHOW(poll(f, 1, -1));
    SHOW(f[0].revents);
    SHOW(poll(NULL, 0, 5));
    SHOW(poll((void *)8, 1, 0));
    struct rlimit rl;
    getrlimit(RLIMIT_NOFILE, &rl);
    SHOW(poll(f, (nfds_t)rl.rlim_cur + 1, 0));
    close(p[0]), close(file);
    unlink("/tmp/poll_file");
    SHOW(pipe(p));
    SHOW(close(p[0]));
    f[0] = (struct pollfd){.fd = p[1], .events = POLLOUT};
    SHOW(poll(f, 1, 0));
    SHOW(f[0].revents);
    close(p[1]);
}

static void selects(void)
{
    int p[2], q[2];
    fd_set r, w, x;
    SHOW(pipe(p));
    SHOW(pipe(q));
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_ZERO(&x);
    FD_SET(p[0], &r);
    FD_SET(q[0], &r);
    FD_SET(p[1], &w);
    FD_SET(q[1], &w);
    FD_SET(p[0], &x);
    SHOW(write(q[1], "x", 1));
    struct timeval tv = {0, 0};
    SHOW(select(q[1] + 1, &r, &w, &x, &tv));
    printf("r %d %d w %d %d x %d\n", FD_ISSET(p[0], &r), FD_ISSET(q[0], &r), FD_ISSET(p[1], &w), FD_ISSET(q[1], &w),
           FD_ISSET(p[0], &x));
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    tv = (struct timeval){0, 20000};
    SHOW(select(p[0] + 1, &r, NULL, NULL, &tv));
    printf("left %ld %ld set %d\n", (long)tv.tv_sec, (long)tv.tv_usec, FD_ISSET(p[0], &r));
    FD_ZERO(&r);
    FD_SET(q[0], &r);
    tv = (struct timeval){100, 0};
    SHOW(select(q[0] + 1, &r, NULL, NULL, &tv));
    SHOW(tv.tv_sec == 99 || tv.tv_sec == 100);
    FD_ZERO(&r);
    FD_SET(50, &r); /* below the size of any descriptor table: Linux clamps the count to that */
    SHOW(select(51, &r, NULL, NULL, &tv));
    SHOW(select(-1, NULL, NULL, NULL, NULL));
    tv.tv_sec = -1;
    SHOW(select(0, NULL, NULL, NULL, &tv));
    tv = (struct timeval){0, 2000000};
    FD_ZERO(&r);
    FD_SET(q[0], &r);
    SHOW(select(q[0] + 1, &r, NULL, NULL, &tv));
    SHOW(close(q[1]));
    FD_ZERO(&x);
    FD_SET(q[0], &x);
    tv = (struct timeval){0, 1000};
    SHOW(select(q[0] + 1, NULL, NULL, &x, &tv));
    struct timespec bad = {0, 1000000000};
    SHOW(pselect(0, NULL, NULL, NULL, &bad, NULL));
    SHOW(ppoll(NULL, 0, &bad, NULL));
    close(p[0]), close(p[1]), close(q[0]);
}

static pthread_t main_thread;
static void *interrupt(void *arg)
{
    struct timespec t = {0, 20000000};
    nanosleep(&t, NULL);
    pthread_kill(main_thread, SIGUSR1);
    return arg;
}

static void *feed(void *arg)
{
    struct timespec t = {0, 20000000};
    nanosleep(&t, NULL);
    if (write(*(int *)arg, "z", 1) != 1)
        perror("write");
    return NULL;
}

static void signals(void)
{
    pthread_t t;
    sigset_t set, old;
    struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &sa, NULL);
    main_thread = pthread_self();
    pthread_create(&t, NULL, interrupt, NULL);
    SHOW(poll(NULL, 0, 5000));
    pthread_join(t, NULL);
    pthread_create(&t, NULL, interrupt, NULL);
    struct timeval tv = {5, 0};
    SHOW(select(0, NULL, NULL, NULL, &tv));
    pthread_join(t, NULL);
    SHOW(handled);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    SHOW(handled);
    struct timespec ts = {2, 0};
    SHOW(ppoll(NULL, 0, &ts, &old));
    SHOW(handled);
    raise(SIGUSR1);
    SHOW(pselect(0, NULL, NULL, NULL, &ts, &old));
    SHOW(handled);
    /* an event and a signal at once: the event is reported; the signal stays blocked */
    int p[2];
    SHOW(pipe(p));
    SHOW(write(p[1], "x", 1));
    struct pollfd f = {.fd = p[0], .events = POLLIN};
    SHOW(ppoll(&f, 1, &ts, &set));
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    SHOW(sigismember(&now, SIGUSR1));
    SHOW(syscall(SYS_ppoll, &f, 1, &ts, &old, 4));
    sigprocmask(SIG_SETMASK, &old, NULL);
    SHOW(handled);
    char c;
    SHOW(read(p[0], &c, 1));
    pthread_create(&t, NULL, feed, &p[1]);
    SHOW(poll(&f, 1, 5000));
    SHOW(f.revents);
    pthread_join(t, NULL);
    close(p[0]), close(p[1]);
}

static void many(void)
{
    struct pollfd f[300];
    int p[150][2];
    for (int i = 0; i < 150; i++) {
        if (pipe(p[i]))
            break;
        f[2 * i] = (struct pollfd){.fd = p[i][0], .events = POLLIN};
        f[2 * i + 1] = (struct pollfd){.fd = p[i][1], .events = 0};
    }
    SHOW(poll(f, 300, 10));
    SHOW(write(p[149][1], "x", 1));
    SHOW(poll(f, 300, 1000));
    SHOW(f[298].revents);
    pthread_t t;
    char c;
    SHOW(read(p[149][0], &c, 1));
    pthread_create(&t, NULL, feed, &p[120][1]);
    SHOW(poll(f, 300, 5000));
    SHOW(f[240].revents);
    pthread_join(t, NULL);
}

int main(void)
{
    polls();
    selects();
    signals();
    many();
    return 0;
}

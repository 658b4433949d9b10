/* POSIX message queues: names, attributes, order, waiting, notification, descriptors, other processes. */
#include "show.h"
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static char buf[9000];

static void show_attr(mqd_t q)
{
    struct mq_attr a;
    SHOW(mq_getattr(q, &a));
    printf("flags %lx, at most %ld of %ld, now %ld\n", a.mq_flags, a.mq_maxmsg, a.mq_msgsize, a.mq_curmsgs);
}

static mqd_t make(const char *name, int flags, long count, long size)
{
    struct mq_attr a = {.mq_maxmsg = count, .mq_msgsize = size, .mq_flags = O_NONBLOCK, .mq_curmsgs = 5};
    return mq_open(name, O_CREAT | flags, 0640, &a);
}

static void names(void)
{
    char longest[300] = "/";
    memset(longest + 1, 'n', 255);
    SHOW(mq_open("/none", O_RDWR));
    SHOW(mq_unlink("/none"));
    SHOW(syscall(SYS_mq_open, "/slash", O_RDWR | O_CREAT, 0600, NULL));
    SHOW(syscall(SYS_mq_open, "", O_RDWR | O_CREAT, 0600, NULL));
    SHOW(syscall(SYS_mq_open, "..", O_RDWR | O_CREAT, 0600, NULL));
    SHOW(syscall(SYS_mq_open, (char *)8, O_RDWR | O_CREAT, 0600, NULL));
    mqd_t q = mq_open(longest, O_RDWR | O_CREAT, 0600, NULL);
    SHOW(q >= 0);
    show_attr(q);
    mq_close(q);
    SHOW(mq_unlink(longest));
    longest[256] = 'n';
    SHOW(mq_open(longest, O_RDWR | O_CREAT, 0600, NULL));
    SHOW(make("/a", O_RDWR, 0, 10));
    SHOW(make("/a", O_RDWR, 10, -1));
    SHOW(make("/a", O_RDWR, 1000000, 10));
    SHOW(make("/a", O_RDWR, 10, 1L << 30));
    SHOW(mq_open("/a", O_RDWR | O_CREAT, 0600, (struct mq_attr *)8));
    q = make("/a", O_RDWR, 3, 16);
    SHOW(fcntl(q, F_GETFD));
    SHOW(fcntl(q, F_GETFL));
    SHOW(make("/a", O_RDWR | O_EXCL, 3, 16));
    SHOW(mq_open("/a", 3));
    show_attr(q);
    struct stat st;
    SHOW(fstat(q, &st));
    printf("mode %o, size %ld, links %ld, mine %d\n", st.st_mode, (long)st.st_size, (long)st.st_nlink,
           st.st_uid == geteuid());
    mq_close(q);
}

static void order(void)
{
    unsigned prio;
    mqd_t q = mq_open("/a", O_RDWR | O_NONBLOCK), r = mq_open("/a", O_RDONLY), w = mq_open("/a", O_WRONLY);
    show_attr(q);
    show_attr(r);
    SHOW(mq_receive(q, buf, sizeof buf, &prio));
    SHOW(mq_send(q, "low", 3, 1));
    SHOW(mq_send(w, "high", 4, 9));
    SHOW(mq_send(q, "low again", 9, 1));
    SHOW(mq_send(q, "", 0, 0));
    SHOW(mq_send(r, "x", 1, 0));
    SHOW(mq_receive(w, buf, sizeof buf, NULL));
    SHOW(mq_send(q, buf, 17, 0));
    SHOW(mq_send(q, "x", 1, 32768));
    SHOW(mq_receive(q, buf, 15, NULL));
    SHOW(mq_send(0, "x", 1, 0));
    SHOW(mq_send(-1, "x", 1, 0));
    memset(buf, 0, sizeof buf);
    SHOW(read(q, buf, sizeof buf));
    printf("%s", buf);
    SHOW(write(q, "x", 1));
    for (int i = 0; i < 3; i++) {
        memset(buf, 0, 100);
        SHOW(mq_receive(q, buf, sizeof buf, &prio));
        printf("%s, %u\n", buf, prio);
    }
    SHOW(mq_send(q, (char *)8, 3, 0));
    SHOW(mq_send(q, "lost", 4, 2));
    SHOW(syscall(SYS_mq_timedreceive, q, 8L, 16L, NULL, NULL));
    show_attr(q);
    struct mq_attr a = {.mq_flags = 0}, old;
    SHOW(mq_setattr(q, &a, &old));
    SHOW(old.mq_flags == O_NONBLOCK);
    SHOW(fcntl(q, F_GETFL) & O_NONBLOCK);
    a.mq_flags = O_APPEND;
    SHOW(mq_setattr(q, &a, NULL));
    SHOW(mq_getattr(0, &a));
    mq_close(q), mq_close(r), mq_close(w);
}

static int events(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static void *later(void *arg)
{
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    return (void *)(long)mq_send(*(mqd_t *)arg, "woken", 5, 7);
}

static void waiting(void)
{
    struct timespec past = {1, 0}, bad = {1, 1000000000}, soon;
    pthread_t thread;
    unsigned prio;
    mqd_t q = mq_open("/a", O_RDWR);
    SHOW(events(q));
    SHOW(mq_timedreceive(q, buf, sizeof buf, NULL, &past));
    SHOW(mq_timedreceive(q, buf, sizeof buf, NULL, &bad));
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    SHOW(mq_timedreceive(q, buf, sizeof buf, NULL, &soon));
    pthread_create(&thread, NULL, later, &q);
    SHOW(mq_receive(q, buf, sizeof buf, &prio));
    void *sent;
    pthread_join(thread, &sent);
    printf("%.5s %u, sent %ld\n", buf, prio, (long)sent);
    for (int i = 0; i < 3; i++) {
        SHOW(mq_send(q, "full", 4, 0));
        SHOW(events(q));
    }
    SHOW(mq_timedsend(q, "x", 1, 0, &past));
    for (int i = 0; i < 3; i++)
        mq_receive(q, buf, sizeof buf, NULL);
    mq_close(q);
}

static volatile sig_atomic_t told;
static siginfo_t info;
static void on_signal(int signal, siginfo_t *si, void *context)
{
    info = *si;
    told++;
}

static void notification(void)
{
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 77};
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &sa, NULL);
    mqd_t q = mq_open("/a", O_RDWR), other = mq_open("/a", O_RDWR);
    SHOW(mq_notify(q, &e));
    SHOW(mq_notify(other, &e));
    SHOW(mq_send(q, "one", 3, 0));
    SHOW(told);
    printf("code %d, from me %d, value %d\n", info.si_code, info.si_pid == getpid(), info.si_value.sival_int);
    SHOW(mq_send(q, "two", 3, 0));
    SHOW(told);
    SHOW(mq_notify(q, &e)); /* not empty: no signal before it was */
    SHOW(mq_send(q, "three", 5, 0));
    SHOW(told);
    for (int i = 0; i < 3; i++)
        mq_receive(q, buf, sizeof buf, NULL);
    SHOW(mq_notify(q, NULL));
    SHOW(mq_send(q, "x", 1, 0));
    SHOW(told);
    mq_receive(q, buf, sizeof buf, NULL);
    e.sigev_notify = 99;
    SHOW(mq_notify(q, &e));
    e.sigev_notify = SIGEV_SIGNAL;
    e.sigev_signo = 1000;
    SHOW(mq_notify(q, &e));
    e.sigev_notify = SIGEV_NONE;
    SHOW(mq_notify(q, &e));
    mq_close(other); /* any descriptor of the process ends it */
    SHOW(mq_notify(q, &e));
    mq_close(q);
}

/* A hundred messages through a queue of three, from a process to another and back. */
static void processes(void)
{
    mqd_t there = mq_open("/a", O_RDWR), back = make("/b", O_RDWR, 2, 8);
    int sum = 0, n, status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        mqd_t mine = mq_open("/a", O_RDONLY);
        do {
            if (mq_receive(mine, buf, sizeof buf, NULL) != sizeof n)
                _exit(1);
            memcpy(&n, buf, sizeof n);
            if (mq_send(back, buf, sizeof n, (unsigned)n) < 0)
                _exit(2);
        } while (n != 0);
        SHOW(events(mine));
        struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        SHOW(mq_notify(mine, &e));
        if (mq_send(back, "ready", 5, 0) < 0)
            _exit(3);
        siginfo_t si;
        SHOW(sigwaitinfo(&set, &si) == SIGUSR1 && si.si_code == SI_MESGQ && si.si_pid == getppid());
        fflush(stdout);
        _exit(0);
    }
    for (int i = 99; i >= 0; i--) {
        mq_send(there, (char *)&i, sizeof i, 0);
        if (mq_receive(back, buf, sizeof buf, NULL) != sizeof n)
            break;
        memcpy(&n, buf, sizeof n);
        sum += n;
    }
    mq_receive(back, buf, sizeof buf, NULL);
    mq_send(there, "tell", 4, 0);
    waitpid(pid, &status, 0);
    SHOW(sum);
    SHOW(status);
    /* Who was to be told, and was killed, is not in the way. */
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct sigevent e = {.sigev_notify = SIGEV_NONE};
        mq_notify(there, &e);
        mq_send(back, "ready", 5, 0);
        pause();
    }
    mq_receive(back, buf, sizeof buf, NULL);
    struct sigevent e = {.sigev_notify = SIGEV_NONE};
    SHOW(mq_notify(there, &e));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    SHOW(mq_notify(there, &e));
    SHOW(mq_notify(there, NULL));
    SHOW(mq_unlink("/b"));
    SHOW(mq_open("/b", O_RDWR));
    SHOW(mq_send(back, "still", 5, 0));
    mq_close(back), mq_close(there);
}

static void rights(void)
{
    fflush(stdout);
    if (fork() == 0) {
        if (setgid(65534) || setuid(65534))
            _exit(1);
        SHOW(mq_open("/a", O_RDONLY));
        SHOW(mq_unlink("/a"));
        SHOW(make("/c", O_RDWR, 11, 10));
        SHOW(make("/c", O_RDWR, 10, 8193));
        for (int i = 0; i < 12; i++) {
            char name[10];
            sprintf(name, "/q%d", i);
            mqd_t q = make(name, O_RDWR, 10, 8192);
            if (q < 0)
                printf("%d: %s\n", i, strerrorname_np(errno));
        }
        for (int i = 0; i < 12; i++) {
            char name[10];
            sprintf(name, "/q%d", i);
            mq_unlink(name);
        }
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

int main(void)
{
    umask(022);
    names();
    order();
    waiting();
    notification();
    processes();
    rights();
    SHOW(mq_unlink("/a"));
    return 0;
}

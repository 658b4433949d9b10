/* Sleeping, interval timers, POSIX timers, clocks. Only what does not depend on speed is printed. */
#include "show.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <time.h>

static volatile sig_atomic_t hits, last_value, last_code, last_overrun;

static void handler(int signal, siginfo_t *info, void *context)
{
    hits++;
    last_value = info->si_value.sival_int;
    last_code = info->si_code;
    last_overrun = info->si_overrun;
}

static long ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void burn(long milliseconds)
{
    struct timespec ts;
    long start, now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    start = ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        now = ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    } while (now - start < milliseconds);
}

static void *thread_body(void *arg)
{
    printf("SIGEV_THREAD value %d\n", ((union sigval *)arg)->sival_int);
    return NULL;
}

static void notify(union sigval value)
{
    hits += value.sival_int;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGVTALRM, &action, NULL);
    sigaction(SIGPROF, &action, NULL);
    sigaction(SIGRTMIN, &action, NULL);

    struct timespec ts = {0, 20000000}, bad = {0, -1}, negative = {-1, 0};
    long start = ms();
    SHOW(nanosleep(&ts, NULL));
    printf("slept long enough: %d\n", ms() - start >= 19);
    SHOW(nanosleep(&bad, NULL));
    SHOW(nanosleep(&negative, NULL));
    SHOW(nanosleep((void *)8, NULL));
    SHOW(clock_nanosleep(CLOCK_REALTIME, 0, &ts, NULL));
    SHOW(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL));
    SHOW(clock_nanosleep(99, 0, &ts, NULL));
    SHOW(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL));
    SHOW(clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &ts, NULL));

    struct itimerval it = {{0, 10000}, {0, 10000}}, old;
    SHOW(setitimer(ITIMER_REAL, &it, NULL));
    while (hits < 3)
        pause();
    SHOW(getitimer(ITIMER_REAL, &old));
    printf("interval %ld armed %d\n", (long)old.it_interval.tv_usec, old.it_value.tv_usec > 0);
    memset(&it, 0, sizeof it);
    SHOW(setitimer(ITIMER_REAL, &it, &old));
    SHOW(last_code);
    it.it_value.tv_usec = 1000000;
    SHOW(setitimer(ITIMER_REAL, &it, NULL));
    SHOW(setitimer(3, &it, NULL));
    hits = 0;
    it.it_value.tv_usec = 20000;
    SHOW(setitimer(ITIMER_PROF, &it, NULL));
    burn(300);
    SHOW(hits);
    hits = 0;
    SHOW(setitimer(ITIMER_VIRTUAL, &it, NULL));
    burn(1);
    for (volatile long i = 0; i < 2000000000 && !hits; i++)
        ;
    SHOW(hits);
    SHOW(alarm(100));
    SHOW(alarm(0));
    SHOW(alarm(0));
    hits = 0;
    alarm(1);
    pause();
    SHOW(hits);

    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 42};
    struct itimerspec its = {{0, 0}, {0, 10000000}}, left;
    hits = 0;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    SHOW(timer_settime(timer, 0, &its, NULL));
    SHOW(timer_gettime(timer, &left));
    printf("running %d\n", left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 10000000);
    while (!hits)
        pause();
    printf("value %d code %d overrun %d\n", last_value, last_code, last_overrun);
    SHOW(timer_gettime(timer, &left));
    printf("left %ld.%09ld\n", (long)left.it_value.tv_sec, left.it_value.tv_nsec);
    /* overruns pile up while the signal is blocked */
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    its.it_interval.tv_nsec = its.it_value.tv_nsec = 1000000;
    SHOW(timer_settime(timer, 0, &its, NULL));
    ts.tv_nsec = 50000000;
    nanosleep(&ts, NULL);
    hits = 0;
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    its.it_interval.tv_nsec = its.it_value.tv_nsec = 0;
    SHOW(timer_settime(timer, 0, &its, NULL));
    printf("came %d, overruns counted %d\n", hits >= 1, last_overrun > 10 || timer_getoverrun(timer) > 0);
    SHOW(timer_delete(timer));
    SHOW(timer_delete(timer));
    SHOW(timer_gettime((timer_t)1234, &left));
    SHOW(timer_create(77, &event, &timer));
    event.sigev_signo = 99;
    SHOW(timer_create(CLOCK_REALTIME, &event, &timer));
    event.sigev_notify = SIGEV_NONE;
    SHOW(timer_create(CLOCK_REALTIME, &event, &timer));
    its.it_value.tv_nsec = 1000000000;
    SHOW(timer_settime(timer, 0, &its, NULL));
    SHOW(timer_delete(timer));
    struct sigevent threaded = {
        .sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_int = 3};
    hits = 0;
    SHOW(timer_create(CLOCK_REALTIME, &threaded, &timer));
    its.it_value.tv_nsec = 5000000;
    SHOW(timer_settime(timer, 0, &its, NULL));
    while (!hits) {
        ts.tv_nsec = 5000000;
        nanosleep(&ts, NULL);
    }
    SHOW(hits);
    SHOW(timer_delete(timer));

    struct timespec a, b;
    for (int clock = 0; clock < 13; clock++) {
        if (clock >= 8 && clock <= 10)
            continue; /* alarm clocks depend on the machine's RTC */
        int r = clock_gettime(clock, &a);
        int e = errno;
        int r2 = clock_gettime(clock, &b);
        int monotonic = b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec);
        printf("clock %d: %d %s\n", clock, r, r ? strerrorname_np(e) : monotonic ? "ok" : "backwards");
    }
    SHOW(clock_getres(CLOCK_MONOTONIC, &a));
    printf("resolution %ld\n", a.tv_nsec);
    clockid_t cpu;
    SHOW(clock_getcpuclockid(getpid(), &cpu));
    SHOW(clock_gettime(cpu, &a));
    pthread_getcpuclockid(pthread_self(), &cpu);
    SHOW(clock_gettime(cpu, &a));
    printf("cpu time used: %d\n", a.tv_sec > 0 || a.tv_nsec > 20000000);
    struct rusage usage;
    SHOW(getrusage(RUSAGE_SELF, &usage));
    printf("usage: %d\n", usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec > 20000);
    SHOW(getrusage(RUSAGE_THREAD, &usage));
    SHOW(getrusage(RUSAGE_CHILDREN, &usage));
    SHOW(getrusage(7, &usage));
    struct tms tms;
    printf("times %d\n", times(&tms) != -1);
    return 0;
}

/* CPU clocks and timers on them, of this thread, of another one, of the process. */
#include "show.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static _Atomic int hits, wrong_thread, stop, ready;
static pid_t target;

static void handler(int signal)
{
    hits++;
    if (syscall(SYS_gettid) != target)
        wrong_thread++;
}

static long ms(clockid_t clock)
{
    struct timespec ts;
    if (clock_gettime(clock, &ts))
        return -1;
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void *burner(void *arg)
{
    ready = 1;
    while (!stop)
        ;
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    target = (pid_t)syscall(SYS_gettid);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    event.sigev_notify_thread_id = target;
    struct itimerspec its = {{0, 5000000}, {0, 5000000}}, none = {0};
    SHOW(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer));
    SHOW(timer_settime(timer, 0, &its, NULL));
    long start = ms(CLOCK_THREAD_CPUTIME_ID);
    while (ms(CLOCK_THREAD_CPUTIME_ID) - start < 300)
        ;
    SHOW(timer_settime(timer, 0, &none, NULL));
    printf("hits %d, wrong thread %d\n", hits >= 2 && hits <= 61, wrong_thread);

    /* Asleep, no CPU time passes. */
    hits = 0;
    SHOW(timer_settime(timer, 0, &its, NULL));
    struct timespec ts = {0, 50000000};
    nanosleep(&ts, NULL);
    printf("asleep %d\n", hits <= 1);
    SHOW(timer_delete(timer));

    /* Another thread's CPU time counts for its own clock and for the process's. */
    pthread_t thread;
    clockid_t clock;
    long own = ms(CLOCK_THREAD_CPUTIME_ID), process = ms(CLOCK_PROCESS_CPUTIME_ID);
    pthread_create(&thread, NULL, burner, NULL);
    SHOW(pthread_getcpuclockid(thread, &clock));
    while (ms(clock) < 30) {
        ts.tv_nsec = 2000000;
        nanosleep(&ts, NULL);
    }
    printf("process %d, this thread %d\n", ms(CLOCK_PROCESS_CPUTIME_ID) - process >= 28,
           ms(CLOCK_THREAD_CPUTIME_ID) - own < 28);
    hits = 0;
    SHOW(timer_create(clock, &event, &timer));
    its.it_interval.tv_nsec = 0;
    SHOW(timer_settime(timer, 0, &its, NULL));
    while (!hits) {
        ts.tv_nsec = 2000000;
        nanosleep(&ts, NULL);
    }
    printf("told %d\n", hits);
    stop = 1;
    pthread_join(thread, NULL);
    SHOW(timer_delete(timer));
    SHOW(clock_gettime(clock, &ts));
    SHOW(clock_gettime(-1, &ts));
    return 0;
}

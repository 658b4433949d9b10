/* Signals and threads: who gets what, spinning threads, storms, alternate stacks of their own. */
#include "show.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

static _Atomic int hits, by_main, by_other;
static pthread_t main_thread;

static void who(int signal)
{
    if (pthread_equal(pthread_self(), main_thread))
        by_main++;
    else
        by_other++;
    hits++;
}

static void pause_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&ts, &ts) < 0)
        ;
}

static _Atomic int ready, stop;

static void *spinner(void *arg)
{
    ready++;
    while (!stop)
        ;
    return NULL;
}

static void *sleeper(void *arg)
{
    ready++;
    while (!stop)
        pause_ms(5);
    return NULL;
}

static void *blocker(void *arg)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    ready++;
    while (!stop)
        pause_ms(5);
    sigset_t pending;
    sigpending(&pending);
    printf("blocker sees pending %d\n", sigismember(&pending, SIGUSR2));
    return NULL;
}

static void *waiter(void *arg)
{
    sigset_t set;
    int signal;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    ready++;
    sigwait(&set, &signal);
    return (void *)(long)(signal - SIGRTMIN);
}

static char stacks[4][32768] __attribute__((aligned(64)));
static _Atomic int on_own_stack;

static void stack_handler(int signal, siginfo_t *info, void *context)
{
    int local, n = info->si_value.sival_int;
    if ((char *)&local >= stacks[n] && (char *)&local < stacks[n] + sizeof stacks[n])
        on_own_stack++;
    stack_t now;
    sigaltstack(NULL, &now);
    if (!(now.ss_flags & SS_ONSTACK))
        on_own_stack += 100;
}

static void *with_stack(void *arg)
{
    long n = (long)arg;
    stack_t stack = {.ss_sp = stacks[n], .ss_size = sizeof stacks[n]}, old;
    sigaltstack(NULL, &old);
    if (!(old.ss_flags & SS_DISABLE))
        printf("a new thread has a stack\n");
    sigaltstack(&stack, NULL);
    for (int i = 0; i < 100; i++)
        pthread_sigqueue(pthread_self(), SIGRTMIN + 1, (union sigval){.sival_int = (int)n});
    return NULL;
}

static void disarm_handler(int signal)
{
    stack_t now;
    int local;
    sigaltstack(NULL, &now);
    printf("autodisarm: inside disabled %d, on it %d\n", now.ss_flags & SS_DISABLE,
           (char *)&local >= stacks[0] && (char *)&local < stacks[0] + sizeof stacks[0]);
}

static _Atomic long work, storm;
static void count_storm(int signal)
{
    storm++;
}

static void *worker(void *arg)
{
    while (!stop)
        work++;
    return NULL;
}

int main(void)
{
    pthread_t t[4];
    sigset_t set, old;
    struct sigaction action = {.sa_handler = who, .sa_flags = SA_RESTART};
    main_thread = pthread_self();
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);

    /* A spinning thread is interrupted. */
    pthread_create(&t[0], NULL, spinner, NULL);
    while (ready < 1)
        sched_yield();
    SHOW(pthread_kill(t[0], SIGUSR1));
    for (int i = 0; i < 1000 && !hits; i++)
        pause_ms(1);
    printf("other %d main %d\n", by_other, by_main);
    stop = 1;
    pthread_join(t[0], NULL);

    /* To the process: the main thread takes it; if it has it blocked, another one does. */
    stop = ready = hits = by_other = by_main = 0;
    pthread_create(&t[0], NULL, sleeper, NULL);
    while (ready < 1)
        pause_ms(1);
    SHOW(kill(getpid(), SIGUSR1));
    printf("main %d\n", by_main);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    SHOW(kill(getpid(), SIGUSR1));
    for (int i = 0; i < 1000 && hits < 2; i++)
        pause_ms(1);
    printf("other %d\n", by_other);
    stop = 1;
    pthread_join(t[0], NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);

    /* Everybody has it blocked: it waits for the process, and for whoever unblocks it. */
    stop = ready = hits = by_other = by_main = 0;
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    pthread_create(&t[0], NULL, blocker, NULL);
    while (ready < 1)
        pause_ms(1);
    kill(getpid(), SIGUSR2);
    pause_ms(10);
    stop = 1;
    pthread_join(t[0], NULL);
    printf("before %d\n", hits);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    printf("after %d\n", hits);

    /* Each of several sigwait-ers gets one. */
    ready = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, waiter, NULL);
    while (ready < 4)
        pause_ms(1);
    pause_ms(10);
    for (int i = 0; i < 4; i++)
        kill(getpid(), SIGRTMIN);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    printf("four waited\n");

    struct sigaction stacked = {.sa_sigaction = stack_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGRTMIN + 1, &stacked, NULL);
    for (long i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, with_stack, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    SHOW(on_own_stack);

    stack_t stack = {.ss_sp = stacks[0], .ss_size = sizeof stacks[0], .ss_flags = (int)(1U << 31)};
    SHOW(sigaltstack(&stack, NULL));
    struct sigaction disarm = {.sa_handler = disarm_handler, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &disarm, NULL);
    raise(SIGUSR1);
    raise(SIGUSR1);
    stack_t now;
    sigaltstack(NULL, &now);
    printf("after: sp %d flags %x\n", now.ss_sp == stacks[0], now.ss_flags);

    /* A storm of signals at threads that compute: none is lost, nothing is corrupted. */
    stop = 0;
    struct sigaction counting = {.sa_handler = count_storm, .sa_flags = SA_RESTART};
    sigaction(SIGRTMIN + 2, &counting, NULL);
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, worker, NULL);
    int sent = 0;
    for (int i = 0; i < 900; i++)
        if (pthread_sigqueue(t[i % 3], SIGRTMIN + 2, (union sigval){0}) == 0)
            sent++;
    for (int i = 0; i < 2000 && storm < sent; i++)
        pause_ms(1);
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    printf("sent %d, came %ld\n", sent, (long)storm);
    SHOW(pthread_kill(main_thread, 0));
    return 0;
}

/* Threads: create, join, detach, exit, TLS, cleanup, cancellation, stacks, tids, names. */
#include "show.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#define THREADS 16

static __thread int tls = 5;
static __thread char tls_big[4096];
static pthread_key_t key;
static _Atomic int destroyed, tids_differ;
static pthread_barrier_t barrier;

static void destructor(void *p)
{
    destroyed++;
}

static void *body(void *arg)
{
    long n = (long)arg;
    if (tls != 5 || tls_big[100])
        return (void *)-1L;
    tls = (int)n;
    tls_big[100] = 1;
    pthread_setspecific(key, &tls);
    tids_differ += syscall(SYS_gettid) != getpid();
    pthread_barrier_wait(&barrier);
    return (void *)(long)(tls * 10);
}

static void cleanup(void *arg)
{
    *(int *)arg = 1;
}

static void *wait_forever(void *arg)
{
    pthread_cleanup_push(cleanup, arg);
    for (;;)
        pause();
    pthread_cleanup_pop(0);
    return NULL;
}

static volatile int spinning;
static void *spin(void *arg)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    spinning = 1;
    for (;;)
        ;
    return NULL;
}

static void *exits(void *arg)
{
    pthread_exit((void *)77L);
}

static void *names(void *arg)
{
    char name[32];
    pthread_setname_np(pthread_self(), "fifteen-letters");
    pthread_getname_np(pthread_self(), name, sizeof name);
    printf("name %s\n", name);
    SHOW(prctl(PR_SET_NAME, "a-name-that-is-much-too-long"));
    prctl(PR_GET_NAME, name);
    printf("cut %s\n", name);
    return NULL;
}

static void *big_stack(void *arg)
{
    volatile char room[900000];
    memset((char *)room, 1, sizeof room);
    return (void *)(long)room[899999];
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void *ping(void *arg)
{
    int me = (int)(long)arg;
    for (int i = 0; i < 5000; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != me)
            pthread_cond_wait(&cond, &mutex);
        turn = !me;
        pthread_cond_signal(&cond);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void run_once(void)
{
    printf("once\n");
}

int main(void)
{
    pthread_t threads[THREADS];
    void *result;
    long sum = 0;
    pthread_key_create(&key, destructor);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (long i = 0; i < THREADS; i++)
        SHOW(pthread_create(&threads[i], NULL, body, (void *)i));
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        sum += (long)result;
    }
    SHOW(sum);
    SHOW(destroyed);
    SHOW(tids_differ);
    SHOW(tls);

    pthread_create(&threads[0], NULL, exits, NULL);
    SHOW(pthread_join(threads[0], &result));
    SHOW(result);
    pthread_create(&threads[0], NULL, names, NULL);
    pthread_join(threads[0], NULL);
    pthread_create(&threads[0], NULL, big_stack, NULL);
    pthread_join(threads[0], &result);
    SHOW(result);

    int cleaned = 0;
    pthread_create(&threads[0], NULL, wait_forever, &cleaned);
    struct timespec ts = {0, 20000000};
    nanosleep(&ts, NULL);
    SHOW(pthread_cancel(threads[0]));
    SHOW(pthread_join(threads[0], &result));
    SHOW(result == PTHREAD_CANCELED);
    SHOW(cleaned);
    pthread_create(&threads[0], NULL, spin, NULL);
    while (!spinning)
        nanosleep(&ts, NULL);
    SHOW(pthread_cancel(threads[0]));
    SHOW(pthread_join(threads[0], &result));
    SHOW(result == PTHREAD_CANCELED);

    for (long i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, ping, (void *)i);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    SHOW(turn);
    for (int i = 0; i < 3; i++)
        pthread_once(&once, run_once);

    for (int i = 0; i < 500; i++) {
        pthread_create(&threads[0], NULL, (void *(*)(void *))exits, NULL);
        if (i % 2)
            pthread_join(threads[0], NULL);
        else
            pthread_detach(threads[0]);
    }
    SHOW(syscall(SYS_clone, 0x00010000 /* CLONE_THREAD alone */, 0, 0, 0, 0));
    SHOW(syscall(SYS_clone, 0x00000800 /* CLONE_SIGHAND alone */, 0, 0, 0, 0));
    SHOW(syscall(SYS_set_robust_list, 0, 12));
    SHOW(syscall(SYS_set_tid_address, 0) == getpid());
    return 0;
}

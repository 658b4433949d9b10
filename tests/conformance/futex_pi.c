/* PI and robust mutexes through pthreads and by system call. */
#include "show.h"
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

static pthread_mutex_t mutex;
static long shared_count;

static void *worker(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&mutex);
        shared_count++;
        pthread_mutex_unlock(&mutex);
        if (i % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void *die_holding(void *arg)
{
    pthread_mutex_lock(arg);
    return NULL;
}

static void *lock_then_unlock(void *arg)
{
    int r = pthread_mutex_lock(arg);
    pthread_mutex_unlock(arg);
    return (void *)(long)r;
}

static void init(pthread_mutex_t *m, int protocol, int robust, int type)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    SHOW(pthread_mutexattr_setprotocol(&attr, protocol));
    pthread_mutexattr_setrobust(&attr, robust);
    pthread_mutexattr_settype(&attr, type);
    SHOW(pthread_mutex_init(m, &attr));
}

static void *futex_owner_dies(void *arg)
{
    static uint32_t *word;
    word = arg;
    syscall(SYS_futex, word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    struct timespec ts = {0, 40000000};
    nanosleep(&ts, NULL);
    return NULL; /* ends without unlocking; not on its robust list */
}

int main(void)
{
    pthread_t threads[4];
    init(&mutex, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED, PTHREAD_MUTEX_NORMAL);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, worker, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    SHOW(shared_count);
    SHOW(pthread_mutex_lock(&mutex));
    SHOW(pthread_mutex_trylock(&mutex));
    struct timespec past = {1, 0};
    SHOW(pthread_mutex_timedlock(&mutex, &past));
    SHOW(pthread_mutex_unlock(&mutex));

    for (int pi = 0; pi < 2; pi++) {
        static pthread_mutex_t robust[2];
        pthread_mutex_t *m = &robust[pi];
        init(m, pi ? PTHREAD_PRIO_INHERIT : PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST, PTHREAD_MUTEX_ERRORCHECK);
        pthread_create(&threads[0], NULL, die_holding, m);
        pthread_join(threads[0], NULL);
        SHOW(pthread_mutex_lock(m));
        SHOW(pthread_mutex_consistent(m));
        SHOW(pthread_mutex_unlock(m));
        SHOW(pthread_mutex_lock(m));
        SHOW(pthread_mutex_lock(m));
        SHOW(pthread_mutex_unlock(m));
        pthread_create(&threads[0], NULL, die_holding, m);
        pthread_join(threads[0], NULL);
        SHOW(pthread_mutex_lock(m));
        SHOW(pthread_mutex_unlock(m));
        SHOW(pthread_mutex_lock(m));
    }

    /* A waiter is there when the owner dies. */
    static pthread_mutex_t held;
    void *result;
    init(&held, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST, PTHREAD_MUTEX_NORMAL);
    pthread_mutex_lock(&held);
    pthread_create(&threads[0], NULL, lock_then_unlock, &held);
    struct timespec ts = {0, 30000000};
    nanosleep(&ts, NULL);
    pthread_mutex_unlock(&held);
    pthread_join(threads[0], &result);
    SHOW(result);

    static uint32_t word;
    uint32_t self = (uint32_t)syscall(SYS_gettid);
    SHOW(syscall(SYS_futex, &word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    SHOW(word == self);
    SHOW(syscall(SYS_futex, &word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    SHOW(syscall(SYS_futex, &word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
    SHOW(syscall(SYS_futex, &word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
    SHOW(word);
    SHOW(syscall(SYS_futex, &word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
    word = 3999999;
    SHOW(syscall(SYS_futex, &word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    word = 0;
    pthread_create(&threads[0], NULL, futex_owner_dies, &word);
    struct timespec brief = {0, 10000000};
    nanosleep(&brief, NULL);
    SHOW(syscall(SYS_futex, &word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    printf("owner died %d, mine %d\n", (word & FUTEX_OWNER_DIED) != 0, (word & FUTEX_TID_MASK) == self);
    pthread_join(threads[0], NULL);
    return 0;
}

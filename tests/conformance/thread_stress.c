/* Many threads over every pthread primitive; the sums must come out right. */
#include "show.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#define THREADS 12
#define ROUNDS 400

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_barrier_t barrier;
static sem_t sem;
static long under_mutex, under_recursive, under_rwlock, under_spin, under_sem, serial;
static _Atomic long reads_bad;

/* A bounded queue */
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static int queue[8], head, tail;
static _Atomic long produced, consumed;

static void *everything(void *arg)
{
    double x = (double)(long)arg;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        under_mutex++;
        pthread_mutex_unlock(&mutex);
        pthread_mutex_lock(&recursive);
        pthread_mutex_lock(&recursive);
        under_recursive++;
        pthread_mutex_unlock(&recursive);
        pthread_mutex_unlock(&recursive);
        if (i % 4 == 0) {
            pthread_rwlock_wrlock(&rwlock);
            under_rwlock += 2;
            pthread_rwlock_unlock(&rwlock);
        } else {
            pthread_rwlock_rdlock(&rwlock);
            if (under_rwlock % 2)
                reads_bad++;
            pthread_rwlock_unlock(&rwlock);
        }
        pthread_spin_lock(&spin);
        under_spin++;
        pthread_spin_unlock(&spin);
        sem_wait(&sem);
        under_sem++;
        sem_post(&sem);
        if (i % 50 == 0 && pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            serial++;
        x = x * 1.5 + i;
        x = x / 1.5;
    }
    return x > 0 ? NULL : arg;
}

static void *producer(void *arg)
{
    for (int i = 1; i <= 1000; i++) {
        pthread_mutex_lock(&mutex);
        while (tail - head == 8)
            pthread_cond_wait(&not_full, &mutex);
        queue[tail++ % 8] = i;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&mutex);
        produced += i;
    }
    return NULL;
}

static void *consumer(void *arg)
{
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (tail == head)
            pthread_cond_wait(&not_empty, &mutex);
        int value = queue[head++ % 8];
        pthread_cond_broadcast(&not_full);
        pthread_mutex_unlock(&mutex);
        if (value == 0)
            return NULL;
        consumed += value;
    }
}

int main(void)
{
    pthread_t t[THREADS];
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&recursive, &attr);
    pthread_spin_init(&spin, 0);
    pthread_barrier_init(&barrier, NULL, THREADS);
    sem_init(&sem, 0, 1);
    for (long i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, everything, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    printf("%ld %ld %ld %ld %ld serial %ld bad %ld\n", under_mutex, under_recursive, under_rwlock, under_spin,
           under_sem, serial, (long)reads_bad);

    for (int i = 0; i < 8; i++)
        pthread_create(&t[i], NULL, i < 4 ? producer : consumer, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < 4; i++) {
        pthread_mutex_lock(&mutex);
        while (tail - head == 8)
            pthread_cond_wait(&not_full, &mutex);
        queue[tail++ % 8] = 0;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&mutex);
    }
    for (int i = 4; i < 8; i++)
        pthread_join(t[i], NULL);
    printf("%ld %ld\n", (long)produced, (long)consumed);

    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 10000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&mutex);
    SHOW(pthread_cond_timedwait(&not_empty, &mutex, &ts));
    SHOW(pthread_cond_clockwait(&not_empty, &mutex, CLOCK_MONOTONIC, &(struct timespec){0, 1}));
    pthread_mutex_unlock(&mutex);
    SHOW(sem_trywait(&sem));
    SHOW(sem_trywait(&sem));
    SHOW(sem_timedwait(&sem, &ts));
    SHOW(pthread_rwlock_tryrdlock(&rwlock));
    SHOW(pthread_rwlock_trywrlock(&rwlock));
    SHOW(pthread_mutex_trylock(&mutex));
    SHOW(pthread_mutex_trylock(&mutex));
    return 0;
}

/* Processes that wait for each other in shared memory: futexes, and what the C library makes of them. */
#define NEEDS_EDMM
#include "show.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static void *shared(size_t size)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static long futex(void *word, int op, unsigned value, const struct timespec *timeout, void *word2, unsigned value3)
{
    return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

static void wait_all(void)
{
    while (wait(NULL) > 0)
        ;
}

static void words(void)
{
    atomic_int *w = shared(4096);
    struct timespec soon = {0, 20000000};
    SHOW(futex(w, FUTEX_WAIT, 1, NULL, NULL, 0));
    SHOW(futex(w, FUTEX_WAIT, 0, &soon, NULL, 0));
    SHOW(futex(w, FUTEX_WAKE, 1, NULL, NULL, 0));
    int pid = fork();
    if (pid == 0) {
        SHOW(futex(w, FUTEX_WAIT, 1, NULL, NULL, 0));
        SHOW(futex(w, FUTEX_WAIT, 0, &soon, NULL, 0));
        atomic_store(w + 1, 1);
        long r = futex(w, FUTEX_WAIT, 0, NULL, NULL, 0);
        while (futex(w + 2, FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
            usleep(1000);
        _exit(r == 0 ? 5 : 6);
    }
    while (!atomic_load(w + 1))
        usleep(1000);
    while (futex(w, FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
        usleep(1000);
    int status;
    long r = futex(w + 2, FUTEX_WAIT, 0, NULL, NULL, 0);
    printf("woken: %ld\n", r);

    waitpid(pid, &status, 0);
    printf("words: %d\n", WEXITSTATUS(status));
    /* a wait that a signal ends */
    pid = fork();
    if (pid == 0) {
        atomic_store(w + 1, 2);
        futex(w, FUTEX_WAIT, 0, NULL, NULL, 0);
        _exit(0);
    }
    while (atomic_load(w + 1) != 2)
        usleep(1000);
    usleep(10000);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    printf("killed: %d\n", WTERMSIG(status));
    SHOW(futex(w, FUTEX_WAKE, 9, NULL, NULL, 0));
    /* two wait; one is woken, one moved */
    for (int i = 0; i < 2; i++) {
        if (fork() == 0) {
            atomic_fetch_add(w + 3, 1);
            futex(w, FUTEX_WAIT, 0, NULL, NULL, 0);
            _exit(0);
        }
    }
    while (atomic_load(w + 3) != 2)
        usleep(1000);
    usleep(50000);
    SHOW(futex(w, FUTEX_CMP_REQUEUE, 1, (void *)1, w + 5, 1));
    SHOW(futex(w, FUTEX_CMP_REQUEUE, 1, (void *)1, w + 5, 0));
    SHOW(futex(w, FUTEX_WAKE, 9, NULL, NULL, 0));
    SHOW(futex(w + 5, FUTEX_WAKE, 9, NULL, NULL, 0));
    wait_all();
}

static void mutexes(void)
{
    struct {
        pthread_mutex_t mutex;
        pthread_cond_t cond;
        int counter, turn;
    } *s = shared(4096);
    pthread_mutexattr_t ma;
    pthread_condattr_t ca;
    pthread_mutexattr_init(&ma);
    pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->mutex, &ma);
    pthread_condattr_init(&ca);
    pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&s->cond, &ca);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            for (int n = 0; n < 300; n++) {
                pthread_mutex_lock(&s->mutex);
                s->counter++;
                pthread_mutex_unlock(&s->mutex);
            }
            _exit(0);
        }
    }
    wait_all();
    printf("mutex: %d\n", s->counter);
    for (int i = 0; i < 3; i++) {
        if (fork() == 0) {
            for (int n = 0; n < 20; n++) {
                pthread_mutex_lock(&s->mutex);
                while (s->turn % 3 != i)
                    pthread_cond_wait(&s->cond, &s->mutex);
                s->turn++;
                pthread_cond_broadcast(&s->cond);
                pthread_mutex_unlock(&s->mutex);
            }
            _exit(0);
        }
    }
    wait_all();
    printf("cond: %d\n", s->turn);
}

static void robust(void)
{
    pthread_mutex_t *m = shared(4096);
    pthread_mutexattr_t ma;
    pthread_mutexattr_init(&ma);
    pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(m, &ma);
    atomic_int *held = (atomic_int *)(m + 1);
    int pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(m);
        atomic_store(held, 1);
        for (;;)
            pause();
    }
    while (!atomic_load(held))
        usleep(1000);
    int waiter = fork();
    if (waiter == 0) {
        int r = pthread_mutex_lock(m);
        int ok = r == EOWNERDEAD && pthread_mutex_consistent(m) == 0 && pthread_mutex_unlock(m) == 0;
        _exit(ok);
    }
    usleep(30000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    int status;
    waitpid(waiter, &status, 0);
    printf("robust: %d, then %d\n", WEXITSTATUS(status), pthread_mutex_lock(m));
}

/* A ring with two semaphores. */
static void ring(void)
{
    struct {
        sem_t full, empty;
        unsigned slot[8];
    } *r = shared(4096);
    sem_init(&r->full, 1, 0);
    sem_init(&r->empty, 1, 8);
    int pid = fork();
    if (pid == 0) {
        for (unsigned i = 0; i < 300; i++) {
            sem_wait(&r->empty);
            r->slot[i % 8] = i * i;
            sem_post(&r->full);
        }
        _exit(0);
    }
    unsigned bad = 0;
    for (unsigned i = 0; i < 300; i++) {
        sem_wait(&r->full);
        bad += r->slot[i % 8] != i * i;
        sem_post(&r->empty);
    }
    wait_all();
    printf("ring: bad %u\n", bad);
}

static void barrier(void)
{
    struct {
        pthread_barrier_t barrier;
        atomic_int before, wrong;
    } *b = shared(4096);
    pthread_barrierattr_t attr;
    pthread_barrierattr_init(&attr);
    pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&b->barrier, &attr, 3);
    for (int i = 0; i < 3; i++) {
        if (fork() == 0) {
            for (int round = 1; round <= 5; round++) {
                atomic_fetch_add(&b->before, 1);
                pthread_barrier_wait(&b->barrier);
                if (atomic_load(&b->before) < 3 * round)
                    atomic_fetch_add(&b->wrong, 1);
                pthread_barrier_wait(&b->barrier);
            }
            _exit(0);
        }
    }
    wait_all();
    printf("barrier: %d, wrong %d\n", atomic_load(&b->before), atomic_load(&b->wrong));
}

static void named(void)
{
    sem_t *s = sem_open("/conformance", O_CREAT | O_EXCL, 0600, 0);
    int pid = fork();
    if (pid == 0) {
        sem_t *mine = sem_open("/conformance", 0);
        sem_post(mine);
        _exit(0);
    }
    SHOW(sem_wait(s));
    SHOW(sem_trywait(s));
    wait_all();
    SHOW(sem_unlink("/conformance"));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    words();
    mutexes();
    robust();
    ring();
    barrier();
    named();
    return 0;
}

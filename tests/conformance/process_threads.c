/* Threads of a child that write to pages side by side, again and again new ones: nothing that was written is lost. */
#include "child.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#define THREADS 3
#define PAGES 24
#define ROUNDS 600

static char *area;
static atomic_int arrived, lost;

static void meet(int times)
{
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < times * THREADS)
        sched_yield();
}

static void *work(void *arg)
{
    long self = (long)arg;
    for (int round = 0; round < ROUNDS; round++) {
        if (self == 0)
            area = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        meet(3 * round + 1);
        for (long i = self; i < PAGES; i += THREADS)
            memset(area + i * 4096 + 100, (int)(round + i), 200);
        meet(3 * round + 2);
        for (long i = self; i < PAGES; i += THREADS)
            for (int j = 90; j < 310; j++)
                lost += area[i * 4096 + j] != (j >= 100 && j < 300 ? (char)(round + i) : 0);
        meet(3 * round + 3);
        if (self == 0)
            munmap(area, PAGES * 4096);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t t[THREADS];
    arrived = lost = 0;
    for (long i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, work, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    SHOW(lost);
}

int main(void)
{
    int status;
    for (int i = 0; i < 2; i++) {
        fflush(stdout);
        if (fork() == 0) {
            threads();
            fflush(stdout);
            _exit(0);
        }
        wait(&status);
        SHOW(status);
    }
    threads();
    return 0;
}

/* Priority-inheriting mutexes in memory that processes share: contention, holders that are killed, limits in time. */
#define NEEDS_EDMM
#include "show.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

static struct {
    pthread_mutex_t plain, robust, contended;
    volatile int held, over;
    long count;
} * shared;

static void make(pthread_mutex_t *mutex, int robust, int type)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutexattr_setrobust(&attr, robust);
    pthread_mutexattr_settype(&attr, type);
    SHOW(pthread_mutex_init(mutex, &attr));
}

static pid_t child(void (*fn)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        fn();
        fflush(stdout);
        _exit(0);
    }
    return pid;
}

static void end(pid_t pid)
{
    int status;
    waitpid(pid, &status, 0);
    printf("ended: %x\n", status);
}

static void count(void)
{
    for (int i = 0; i < 3000; i++) {
        pthread_mutex_lock(&shared->plain);
        shared->count++;
        pthread_mutex_unlock(&shared->plain);
    }
}

static void hold_for_a_while(void)
{
    pthread_mutex_lock(&shared->plain);
    shared->held = 1;
    usleep(200000);
    pthread_mutex_unlock(&shared->plain);
}

static void hold_for_ever(void)
{
    pthread_mutex_lock(&shared->robust);
    shared->held = 1;
    pause();
}

static void take_over(void)
{
    int locked = pthread_mutex_lock(&shared->robust);
    printf("after the holder was killed: %s, %d, %d\n", strerrorname_np(locked),
           pthread_mutex_consistent(&shared->robust), pthread_mutex_unlock(&shared->robust));
}

static void wait_until_held(void)
{
    for (int i = 0; i < 5000 && !shared->held; i++)
        usleep(1000);
    shared->held = 0;
}

static void contend(void)
{
    while (!shared->over) {
        if (pthread_mutex_lock(&shared->contended) == EOWNERDEAD)
            pthread_mutex_consistent(&shared->contended);
        for (int i = 0; i < 20; i++)
            shared->count++;
        pthread_mutex_unlock(&shared->contended);
    }
}

/* Killed wherever they are: who holds the mutex, waits, or was just woken. The others go on. */
static void kill_contenders(void)
{
    pid_t pids[4];
    struct timespec limit;
    for (int i = 0; i < 4; i++)
        pids[i] = child(contend);
    for (int i = 0; i < 40; i++) {
        usleep(1000 + i % 5 * 300);
        kill(pids[i % 4], SIGKILL);
        waitpid(pids[i % 4], NULL, 0);
        pids[i % 4] = child(contend);
    }
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 10;
    int locked = pthread_mutex_timedlock(&shared->contended, &limit);
    printf("still there: %d\n", locked == 0 || locked == EOWNERDEAD);
    pthread_mutex_consistent(&shared->contended);
    shared->over = 1;
    pthread_mutex_unlock(&shared->contended);
    for (int i = 0; i < 4; i++)
        end(pids[i]);
}

int main(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    make(&shared->plain, PTHREAD_MUTEX_STALLED, PTHREAD_MUTEX_ERRORCHECK);
    make(&shared->robust, PTHREAD_MUTEX_ROBUST, PTHREAD_MUTEX_NORMAL);
    make(&shared->contended, PTHREAD_MUTEX_ROBUST, PTHREAD_MUTEX_NORMAL);

    pid_t pids[3];
    for (int i = 0; i < 3; i++)
        pids[i] = child(count);
    count();
    for (int i = 0; i < 3; i++)
        end(pids[i]);
    printf("counted: %ld\n", shared->count);

    pid_t pid = child(hold_for_a_while);
    wait_until_held();
    SHOW(pthread_mutex_trylock(&shared->plain));
    SHOW(pthread_mutex_unlock(&shared->plain));
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    SHOW(pthread_mutex_timedlock(&shared->plain, &limit));
    SHOW(pthread_mutex_lock(&shared->plain));
    SHOW(pthread_mutex_lock(&shared->plain));
    SHOW(pthread_mutex_unlock(&shared->plain));
    end(pid);

    pid = child(hold_for_ever);
    wait_until_held();
    pid_t waiter = child(take_over);
    usleep(100000);
    kill(pid, SIGKILL);
    end(waiter);
    end(pid);
    pid = child(hold_for_ever);
    wait_until_held();
    kill(pid, SIGKILL);
    end(pid);
    SHOW(pthread_mutex_lock(&shared->robust));
    SHOW(pthread_mutex_unlock(&shared->robust)); /* not made consistent */
    SHOW(pthread_mutex_lock(&shared->robust));

    kill_contenders();
    return 0;
}

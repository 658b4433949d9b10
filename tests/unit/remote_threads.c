/* Threads (contract in remote_threads.h). */
#include "remote_threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t big = PTHREAD_MUTEX_INITIALIZER;

struct thread {
    pthread_t id;
    pthread_cond_t wake;
    void (*fn)(void *arg);
    void *arg;
    bool started;
};

static void *thread_main(void *arg)
{
    struct thread *thread = arg;
    thread->fn(thread->arg);
    return NULL;
}

struct thread *thread_new(void (*fn)(void *arg), void *arg)
{
    struct thread *thread = calloc(1, sizeof(*thread));
    if (!thread)
        abort();
    pthread_cond_init(&thread->wake, NULL);
    thread->fn = fn;
    thread->arg = arg;
    thread->started = fn != NULL;
    if (fn && pthread_create(&thread->id, NULL, thread_main, thread) != 0)
        abort();
    return thread;
}

void thread_join(struct thread *thread)
{
    pthread_join(thread->id, NULL);
    free(thread);
}

void thread_free(struct thread *thread)
{
    if (thread->started)
        pthread_detach(thread->id);
    free(thread);
}

void thread_wait(struct thread *thread)
{
    pthread_cond_wait(&thread->wake, &big);
}

void thread_wake(struct thread *thread)
{
    pthread_cond_signal(&thread->wake);
}

void thread_lock(void)
{
    pthread_mutex_lock(&big);
}

void thread_unlock(void)
{
    pthread_mutex_unlock(&big);
}

void thread_sleep_us(unsigned us)
{
    struct timespec ts = {.tv_nsec = us * 1000L};
    nanosleep(&ts, NULL);
}

void *shared_memory_new(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    return p;
}

void shared_memory_free(void *p, size_t size)
{
    munmap(p, size);
}

int process_start(int (*fn)(void))
{
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        alarm(60); /* never left behind by a test that failed */
        _exit(fn());
    }
    return pid;
}

int process_wait(int pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

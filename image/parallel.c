/* Threads that take pieces of a range until it is done (contract in parallel.h). */
#include "image/parallel.h"

#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "image/error.h"

#define THREAD_MAX 16

struct pass {
    const struct parallel *parallel;
    atomic_uint_fast64_t next; /* offset of the next piece */
    atomic_bool failed;
    pthread_mutex_t lock;
    char *error; /* the first, under lock */
};

static void *pass_thread(void *argument)
{
    struct pass *pass = argument;
    const struct parallel *parallel = pass->parallel;
    void *work = malloc(parallel->work_size);
    char *error = NULL;

    if (!work)
        err(1, "memory for a thread");
    while (!atomic_load(&pass->failed)) {
        uint64_t offset = atomic_fetch_add(&pass->next, parallel->job_size);
        if (offset >= parallel->size)
            break;
        uint64_t left = parallel->size - offset;
        size_t size = left < parallel->job_size ? (size_t)left : parallel->job_size;
        if (parallel->run(parallel->context, work, offset, size, &error) < 0)
            atomic_store(&pass->failed, true);
    }
    free(work);
    pthread_mutex_lock(&pass->lock);
    if (error && !pass->error) {
        pass->error = error;
        error = NULL;
    }
    pthread_mutex_unlock(&pass->lock);
    free(error);
    return NULL;
}

static unsigned thread_count(const struct parallel *parallel)
{
    cpu_set_t cpus;
    unsigned count = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
    uint64_t jobs = (parallel->size + parallel->job_size - 1) / parallel->job_size;

    if (count > THREAD_MAX)
        count = THREAD_MAX;
    return jobs < count ? (unsigned)jobs : count;
}

int parallel_run(const struct parallel *parallel, char **ret_error)
{
    struct pass pass = {.parallel = parallel, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[THREAD_MAX];
    unsigned count = thread_count(parallel), started = 0;

    /* This thread is one of them; if others cannot be had it does their work. */
    while (started + 1 < count && pthread_create(&threads[started], NULL, pass_thread, &pass) == 0)
        started++;
    pass_thread(&pass);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&pass.lock);
    if (!atomic_load(&pass.failed))
        return 0;
    error_set(ret_error, "%s", pass.error ? pass.error : "out of memory");
    free(pass.error);
    return -1;
}

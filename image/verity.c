/* Building dm-verity hash trees. */
#include "image/verity.h"

#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "image/digest.h"
#include "image/error.h"
#include "image/file_io.h"
#include "image/progress.h"

#define HASHES_PER_BLOCK (VERITY_BLOCK_SIZE / VERITY_HASH_SIZE)
#define LEVEL_MAX 8
#define THREAD_MAX 16
/* A job hashes this much and so fills whole hash blocks. */
#define JOB_SIZE (2ULL * HASHES_PER_BLOCK * VERITY_BLOCK_SIZE)

/* Blocks of one level being hashed into the level above it. */
struct level {
    int fd;
    uint64_t source, source_size; /* source_size is a multiple of the block size */
    uint64_t target;
    const uint8_t *salt;
    struct progress *progress; /* NULL above the data */
    atomic_uint_fast64_t next; /* offset of the next job */
    atomic_bool failed;
    pthread_mutex_t lock;
    char *error; /* the first, under lock */
};

static uint64_t level_size(uint64_t below_size)
{
    uint64_t blocks = below_size / VERITY_BLOCK_SIZE;

    return (blocks + HASHES_PER_BLOCK - 1) / HASHES_PER_BLOCK * VERITY_BLOCK_SIZE;
}

uint64_t verity_tree_size(uint64_t data_size)
{
    uint64_t total = 0;

    for (uint64_t size = data_size; size > VERITY_BLOCK_SIZE;) {
        size = level_size(size);
        total += size;
    }
    return total;
}

static void hash_block(struct sha256 *hash, const uint8_t *salt, const uint8_t *block, uint8_t *ret_hash)
{
    sha256_update(hash, salt, VERITY_SALT_SIZE);
    sha256_update(hash, block, VERITY_BLOCK_SIZE);
    sha256_final(hash, ret_hash);
}

struct job_buffers {
    struct sha256 *hash;
    uint8_t *source;
    uint8_t target[JOB_SIZE / HASHES_PER_BLOCK];
};

static int run_job(struct level *level, struct job_buffers *buffers, uint64_t offset, char **ret_error)
{
    uint64_t left = level->source_size - offset;
    size_t size = left < JOB_SIZE ? (size_t)left : (size_t)JOB_SIZE;

    if (file_read(level->fd, level->source + offset, buffers->source, size, "the output", ret_error) < 0)
        return -1;
    size_t count = size / VERITY_BLOCK_SIZE, target_size = (size_t)level_size(size);
    memset(buffers->target + count * VERITY_HASH_SIZE, 0, target_size - count * VERITY_HASH_SIZE);
    for (size_t i = 0; i < count; i++)
        hash_block(buffers->hash, level->salt, buffers->source + i * VERITY_BLOCK_SIZE,
                   buffers->target + i * VERITY_HASH_SIZE);
    if (file_write(level->fd, level->target + offset / HASHES_PER_BLOCK, buffers->target, target_size, "the output",
                   ret_error) < 0)
        return -1;
    return progress_add(level->progress, size) ? 0 : error_set(ret_error, "interrupted");
}

static void *level_thread(void *argument)
{
    struct level *level = argument;
    struct job_buffers *buffers = malloc(sizeof(*buffers));
    char *error = NULL;

    if (!buffers || !(buffers->source = malloc(JOB_SIZE)))
        err(1, "hash tree");
    buffers->hash = sha256_new();
    while (!atomic_load(&level->failed)) {
        uint64_t offset = atomic_fetch_add(&level->next, JOB_SIZE);
        if (offset >= level->source_size)
            break;
        if (run_job(level, buffers, offset, &error) < 0)
            atomic_store(&level->failed, true);
    }
    sha256_free(buffers->hash);
    free(buffers->source);
    free(buffers);
    pthread_mutex_lock(&level->lock);
    if (error && !level->error) {
        level->error = error;
        error = NULL;
    }
    pthread_mutex_unlock(&level->lock);
    free(error);
    return NULL;
}

static unsigned thread_count(uint64_t size)
{
    cpu_set_t cpus;
    unsigned count = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
    uint64_t jobs = (size + JOB_SIZE - 1) / JOB_SIZE;

    if (count > THREAD_MAX)
        count = THREAD_MAX;
    return jobs < count ? (unsigned)jobs : count;
}

static int hash_level(struct level *level, char **ret_error)
{
    pthread_t threads[THREAD_MAX];
    unsigned count = thread_count(level->source_size), started = 0;

    pthread_mutex_init(&level->lock, NULL);
    /* This thread is one of them; if others cannot be had it does their work. */
    while (started + 1 < count && pthread_create(&threads[started], NULL, level_thread, level) == 0)
        started++;
    level_thread(level);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&level->lock);
    if (!atomic_load(&level->failed))
        return 0;
    error_set(ret_error, "%s", level->error ? level->error : "out of memory");
    free(level->error);
    return -1;
}

int verity_build(int fd, uint64_t data_offset, uint64_t data_size, uint64_t tree_offset,
                 const uint8_t salt[VERITY_SALT_SIZE], struct progress *progress, uint8_t ret_root[VERITY_HASH_SIZE],
                 char **ret_error)
{
    uint64_t source = data_offset, size = data_size;
    uint64_t target = tree_offset + verity_tree_size(data_size);
    uint8_t block[VERITY_BLOCK_SIZE];

    /* The level nearest the root lies first in the tree, the one over the data last. */
    while (size > VERITY_BLOCK_SIZE) {
        struct level level = {.fd = fd, .source = source, .source_size = size, .salt = salt};
        level.progress = source == data_offset ? progress : NULL;
        target -= level_size(size);
        level.target = target;
        if (hash_level(&level, ret_error) < 0)
            return -1;
        source = target;
        size = level_size(size);
    }
    if (file_read(fd, source, block, sizeof(block), "the output", ret_error) < 0)
        return -1;
    struct sha256 *hash = sha256_new();
    hash_block(hash, salt, block, ret_root);
    sha256_free(hash);
    return 0;
}

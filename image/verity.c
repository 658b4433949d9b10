/* Building dm-verity hash trees. */
#include "image/verity.h"

#include <string.h>

#include "image/digest.h"
#include "image/error.h"
#include "image/file_io.h"
#include "image/parallel.h"
#include "image/progress.h"

#define HASHES_PER_BLOCK (VERITY_BLOCK_SIZE / VERITY_HASH_SIZE)
/* A job hashes this much and so fills whole hash blocks. */
#define JOB_SIZE (2ULL * HASHES_PER_BLOCK * VERITY_BLOCK_SIZE)

/* Blocks of one level being hashed into the level above it. */
struct level {
    int fd;
    uint64_t source, source_size; /* source_size is a multiple of the block size */
    uint64_t target;
    const uint8_t *salt;
    struct progress *progress; /* NULL above the data */
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

struct buffers { /* of a thread */
    uint8_t source[JOB_SIZE];
    uint8_t target[JOB_SIZE / HASHES_PER_BLOCK];
};

static int hash_piece(void *context, void *work, uint64_t offset, size_t size, char **ret_error)
{
    struct level *level = context;
    struct buffers *buffers = work;

    if (file_read(level->fd, level->source + offset, buffers->source, size, "the output", ret_error) < 0)
        return -1;
    size_t count = size / VERITY_BLOCK_SIZE, target_size = (size_t)level_size(size);
    memset(buffers->target + count * VERITY_HASH_SIZE, 0, target_size - count * VERITY_HASH_SIZE);
    struct sha256 *hash = sha256_new();
    for (size_t i = 0; i < count; i++)
        hash_block(hash, level->salt, buffers->source + i * VERITY_BLOCK_SIZE, buffers->target + i * VERITY_HASH_SIZE);
    sha256_free(hash);
    if (file_write(level->fd, level->target + offset / HASHES_PER_BLOCK, buffers->target, target_size, "the output",
                   ret_error) < 0)
        return -1;
    return progress_add(level->progress, size) ? 0 : error_set(ret_error, "interrupted");
}

static int hash_level(struct level *level, char **ret_error)
{
    const struct parallel parallel = {
        .size = level->source_size,
        .job_size = JOB_SIZE,
        .work_size = sizeof(struct buffers),
        .context = level,
        .run = hash_piece,
    };

    return parallel_run(&parallel, ret_error);
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

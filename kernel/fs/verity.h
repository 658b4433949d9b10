/*
 * The root image: blocks of 4096 bytes in untrusted memory, verified against the policy's dm-verity tree as they are
 * copied in (SHA-256, salted, hash type 1), then decrypted if they are encrypted: the tree is over what lies in
 * untrusted memory. Verified tree nodes are kept; verified data blocks are kept, decrypted, in a bounded cache.
 */
#ifndef COFRE_KERNEL_FS_VERITY_H
#define COFRE_KERNEL_FS_VERITY_H

#include "kernel/lib/types.h"

#define ROOT_BLOCK_SIZE 4096UL

struct aes_xts_key;

struct verity_params {
    host_ptr image; /* untrusted; image_size bytes: data blocks, ..., hash tree */
    uint64_t image_size;
    uint64_t data_size;   /* bytes of data, a multiple of the block size */
    uint64_t hash_offset; /* where the tree's top level is */
    uint8_t root_hash[32];
    uint8_t salt[32];
    const struct aes_xts_key *key; /* data blocks are decrypted once verified; NULL: they are not encrypted */
    size_t cache_blocks;           /* at most so many data blocks are kept; at least 1 */
    bool keep_read;                /* what verity_read() copies is kept as well: it will be read again */
};

struct verity;

/* 0, -EINVAL if the sizes do not fit each other, -ENOMEM. */
int verity_open(const struct verity_params *params, struct verity **ret_verity);
void verity_close(struct verity *verity);
uint64_t verity_block_count(const struct verity *verity);

/* Copy block number `block` to dst (ROOT_BLOCK_SIZE bytes), verified: 0, or -EIO with a message in the log. */
must_check int verity_read(struct verity *verity, uint64_t block, void *dst);
/* The same for count blocks in order: how many of them were good, at least one, or -errno. */
must_check ssize_t verity_read_many(struct verity *verity, uint64_t block, size_t count, void *dst);
/* The same for count blocks anywhere: how many were good before the first that was not, which nobody is told of. */
size_t verity_read_these(struct verity *verity, const uint64_t *blocks, size_t count, void *dst);
/*
 * The verified block in the cache, where it stays until verity_put(): copying to user memory may fault and read other
 * blocks meanwhile. NULL on an error, then *ret_error is -EIO or -ENOMEM.
 */
struct verity_block {
    const uint8_t *data;
};
const struct verity_block *verity_get(struct verity *verity, uint64_t block, int *ret_error) must_check;
void verity_put(const struct verity_block *block);
/* Blocks hashed so far, for statistics. */
uint64_t verity_blocks_verified(const struct verity *verity);

/* The root image, once fs_init() has opened it. */
extern struct verity *root_device;

#endif

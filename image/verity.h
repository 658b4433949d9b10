/* dm-verity hash trees: type 1, SHA-256, 4096-byte data and hash blocks, 32-byte salt, no superblock. */
#ifndef COFRE_IMAGE_VERITY_H
#define COFRE_IMAGE_VERITY_H

#include <stdint.h>

#define VERITY_BLOCK_SIZE 4096U
#define VERITY_SALT_SIZE 32
#define VERITY_HASH_SIZE 32

struct progress;

/* Bytes of the tree over data of this size (a multiple of the block size, at least two blocks). */
uint64_t verity_tree_size(uint64_t data_size);

/*
 * Hashes the data at [data_offset, + data_size) of fd and writes the tree at tree_offset, with as many threads as there
 * are CPUs. *ret_root is the root hash.
 */
int verity_build(int fd, uint64_t data_offset, uint64_t data_size, uint64_t tree_offset,
                 const uint8_t salt[VERITY_SALT_SIZE], struct progress *progress, uint8_t ret_root[VERITY_HASH_SIZE],
                 char **ret_error);

#endif

/*
 * Where file contents go while layers are applied: whole blocks straight to their place in the image's data area (so
 * each is written once), tails shorter than a block to an unlinked temporary file.
 */
#ifndef COFRE_IMAGE_SPOOL_H
#define COFRE_IMAGE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_BLOCK_SIZE 4096U

struct tree;
struct spool;

/*
 * Contents are written to fd at base + block * 4096, from block 1 on; fd stays the caller's. tail_fd is an empty
 * temporary file, which the spool closes. Never NULL.
 */
struct spool *spool_new(int fd, uint64_t base, int tail_fd);
void spool_free(struct spool *spool);

/* One file: its size is known first. With tail_inline, the bytes after the last whole block go to the tail file. */
int spool_begin(struct spool *spool, uint64_t size, bool tail_inline, char **ret_error);

/* offset never goes back within a file; gaps read as zeros. Bytes past the size are an error. */
int spool_write(struct spool *spool, uint64_t offset, const void *data, size_t size, char **ret_error);

struct spool_place {
    uint32_t block, block_count;
    uint64_t tail_offset;
};
int spool_end(struct spool *spool, struct spool_place *ret_place, char **ret_error);

/* Closes the gaps that files that are gone have left, and sets tree's inodes right. */
int spool_compact(struct spool *spool, struct tree *tree, char **ret_error);

/* The first block after the data; everything before is written when this has been called. */
int spool_finish(struct spool *spool, uint32_t *ret_block, char **ret_error);

/* After spool_finish(): the bytes of a tail. */
int spool_read_tail(struct spool *spool, uint64_t offset, void *buffer, size_t size, char **ret_error);

#endif

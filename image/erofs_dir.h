/* Directory blocks of an EROFS image. */
#ifndef COFRE_IMAGE_EROFS_DIR_H
#define COFRE_IMAGE_EROFS_DIR_H

#include <stddef.h>
#include <stdint.h>

#include "image/erofs_format.h"

struct inode;

/* Called for each block with the bytes in use (the rest is zero); negative stops the walk and is returned. */
typedef int (*erofs_dir_block_fn)(void *arg, const uint8_t block[EROFS_BLOCK_SIZE], size_t used);

/* Builds the blocks of a directory: all names with "." and ".." in byte order. Positions of inodes must be known. */
int erofs_dir_for_each_block(const struct inode *dir, erofs_dir_block_fn fn, void *arg);

/* Size of the directory in bytes: whole blocks, and what is in use of the last. Needs no positions. */
uint64_t erofs_dir_size(const struct inode *dir);

#endif

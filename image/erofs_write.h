/*
 * Writes the merged tree as one EROFS image: 4 KiB blocks, uncompressed, no feature that Linux 5.4 lacks. The same tree
 * gives the same bytes.
 *
 *   block 0            superblock, root inode
 *   block 1..          file contents, each file's blocks contiguous, in the order the layers brought them (the spool)
 *   then               blocks of large directories and long symbolic links
 *   then               the other inodes in the order of a depth-first walk, with attributes and inline tails, packed
 *                      best-fit into blocks
 *
 * meta_block is 0: an inode's number is its byte offset in the image / 32.
 */
#ifndef COFRE_IMAGE_EROFS_WRITE_H
#define COFRE_IMAGE_EROFS_WRITE_H

#include <stdbool.h>
#include <stdint.h>

struct progress;
struct spool;
struct tree;
struct xattrs;

/* True if the name's prefix is one that EROFS (and Linux) can store. */
bool erofs_xattr_supported(const char *name);

/* Bytes that the attributes take beside an inode; 0 for NULL. */
uint64_t erofs_xattrs_size(const struct xattrs *xattrs);
#define EROFS_XATTRS_SIZE_MAX (12 + 4 * 65534) /* what an inode can say */

/* True if a tail of this size can lie beside an inode with these attributes. */
bool erofs_tail_fits(const struct xattrs *xattrs, uint64_t tail_size);

/*
 * tree's contents are in spool (compacted by this call), which writes to fd at base. *ret_size is a multiple of the
 * block size, and at least two blocks.
 */
int erofs_write(struct tree *tree, struct spool *spool, int fd, uint64_t base, const uint8_t uuid[16],
                struct progress *progress, uint64_t *ret_size, char **ret_error);

#endif

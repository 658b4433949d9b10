/* Headers of a deterministic tar archive: ustar, with pax records where a number or the alignment needs one. */
#ifndef COFRE_IMAGE_TAR_WRITE_H
#define COFRE_IMAGE_TAR_WRITE_H

#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK_SIZE 512U
#define TAR_ALIGNMENT 4096U
#define TAR_HEADER_MAX (TAR_ALIGNMENT + 3 * TAR_BLOCK_SIZE)

struct tar_member {
    const char *name; /* at most 100 bytes; a folder's ends in a slash */
    uint32_t mode;
    uint64_t size;
};

/*
 * Writes the header(s) of a member that begin at archive offset `offset` (a multiple of 512); returns their size. The
 * data of files are aligned to TAR_ALIGNMENT by a pax comment before them. Owner root, time 0.
 */
size_t tar_header(uint8_t ret_header[TAR_HEADER_MAX], const struct tar_member *member, uint64_t offset);

static inline uint64_t tar_padding(uint64_t size)
{
    return -size % TAR_BLOCK_SIZE;
}

#endif

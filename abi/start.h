/*
 * Which pages of the root image the first program of a container touches at its start. The kernel notes them here; the
 * host keeps them and gives them to the next start of the same program, which brings those in when it maps the files,
 * many at a time, rather than by a fault each. Only a guess, whoever it comes from: memory is the same without.
 */
#ifndef COFRE_ABI_START_H
#define COFRE_ABI_START_H

#include <stdint.h>

#define START_PLACES_MAX 4096

/*
 * A place is one number: a block of the root image, in a mapping with these rights (R 1, W 2, X 4) that begins with
 * block `first`. A loader maps all of a file first, and then over it: what is touched in the one is not in the other.
 */
#define PLACE_RIGHTS_SHIFT 31
#define PLACE_FIRST_SHIFT 34
#define PLACE_FIRST_MAX (1ULL << (64 - PLACE_FIRST_SHIFT))
#define PLACE_BLOCK_MAX (1ULL << PLACE_RIGHTS_SHIFT)

static inline uint64_t place_make(uint64_t first, unsigned rights, uint64_t block)
{
    return first << PLACE_FIRST_SHIFT | (uint64_t)rights << PLACE_RIGHTS_SHIFT | block;
}

static inline uint64_t place_block(uint64_t place)
{
    return place & (PLACE_BLOCK_MAX - 1);
}

struct start_area {
    uint32_t known_count;             /* by the host, before the start */
    uint32_t noted_count;             /* by the kernel, as it goes on */
    uint64_t known[START_PLACES_MAX]; /* in order, each once */
    uint64_t noted[START_PLACES_MAX]; /* in the order of faults */
};

#endif

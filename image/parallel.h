/* One pass over a range of bytes, in pieces, by as many threads as there are CPUs. */
#ifndef COFRE_IMAGE_PARALLEL_H
#define COFRE_IMAGE_PARALLEL_H

#include <stddef.h>
#include <stdint.h>

struct parallel {
    uint64_t size;    /* of the range */
    size_t job_size;  /* of a piece; the last may be shorter */
    size_t work_size; /* bytes of memory that each thread has for itself */
    void *context;
    /* Does [offset, offset + size): 0, or -1 with *ret_error, after which no further piece is begun. */
    int (*run)(void *context, void *work, uint64_t offset, size_t size, char **ret_error);
};

/* 0, or -1 with the first error. */
int parallel_run(const struct parallel *parallel, char **ret_error);

#endif

/*
 * What an enclave consists of, page by page and in build order: the one description that the loader builds from and
 * that `measure` and `sign` predict MRENCLAVE from.
 */
#ifndef COFRE_IMAGE_ENCLAVE_LAYOUT_H
#define COFRE_IMAGE_ENCLAVE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "abi/policy.h"

struct enclave_parts {
    const void *kernel; /* the kernel's ELF file */
    size_t kernel_size;
    const void *policy; /* the compiled policy, struct policy first; checked by enclave_layout_check() */
    size_t policy_size;
};

/*
 * Called for each run of pages: page_count pages at address. data has page_count whole pages, or is NULL for zeros. If
 * measure is false the pages are added but not extended. A non-zero return stops the walk and is returned.
 */
typedef int (*enclave_page_fn)(void *arg, uint64_t address, const void *data, uint64_t page_count,
                               uint64_t secinfo_flags, int measure);

/*
 * Checks both parts, then walks them. Returns 0, fn's non-zero result, or -1 with *ret_error set (malloc'd, one line,
 * to be freed by the caller).
 */
int enclave_layout_for_each(const struct enclave_parts *parts, enclave_page_fn fn, void *arg, char **ret_error);

/* ELRANGE size the enclave is created with (policy.elrange_size); valid once enclave_layout_for_each() has succeeded.
 */
static inline uint64_t enclave_layout_size(const struct enclave_parts *parts)
{
    return ((const struct policy *)parts->policy)->elrange_size;
}

#endif

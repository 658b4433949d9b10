/* Memory that holds secrets. */
#ifndef COFRE_KERNEL_CRYPTO_SECRET_H
#define COFRE_KERNEL_CRYPTO_SECRET_H

#include "kernel/lib/string.h"
#include "kernel/lib/types.h"

/* Zero memory that nobody reads again: the compiler must not leave it out. */
static inline void memory_wipe(void *p, size_t size)
{
    memset(p, 0, size);
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Whether two buffers are equal, in a time that depends on size only. */
must_check static inline bool memory_equal_ct(const void *a, const void *b, size_t size)
{
    const uint8_t *p = a, *q = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < size; i++) {
        difference |= p[i] ^ q[i];
        __asm__ volatile("" : "+r"(difference)); /* no early end */
    }
    return difference == 0;
}

#endif

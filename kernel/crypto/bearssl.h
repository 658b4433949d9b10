/*
 * Calling BearSSL. The library is compiled for ordinary programs: it has vector moves, and its stack protector reads
 * the canary at FS:40, where the kernel has the application's FS. Both are lent to it.
 */
#ifndef COFRE_KERNEL_CRYPTO_BEARSSL_H
#define COFRE_KERNEL_CRYPTO_BEARSSL_H

#include "kernel/lib/types.h"

struct bearssl_loan {
    uint8_t thread[48] __attribute__((aligned(16)));
    uint64_t application;
};

/* Bracket calls of the library. Not nestable; no sleeping, and none of the kernel's own cryptography, inside. */
void bearssl_begin(struct bearssl_loan *loan);
void bearssl_end(const struct bearssl_loan *loan);

#endif

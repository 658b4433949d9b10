/* Random bytes from the CPU (RDRAND/RDSEED, mixed through a SHA-256 based generator); never from the host alone. */
#ifndef COFRE_KERNEL_LIB_RANDOM_H
#define COFRE_KERNEL_LIB_RANDOM_H
#include "kernel/lib/types.h"
void random_init(const uint64_t host_seed[4]);
void random_bytes(void *buf, size_t size);
uint64_t random_u64(void);
#endif

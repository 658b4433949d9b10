/* The expanded key that the AES modes keep (FIPS 197). No allocation anywhere; wipe keys with memory_wipe(). */
#ifndef COFRE_KERNEL_CRYPTO_AES_H
#define COFRE_KERNEL_CRYPTO_AES_H

#include "kernel/lib/types.h"

/* As libcrypto's assembly lays it out. */
struct aes_schedule {
    uint32_t words[60];
    int32_t rounds;
} __attribute__((aligned(16)));

#endif

/* What all of kernel/crypto/ shares: the CPU's features. */
#ifndef COFRE_KERNEL_CRYPTO_CRYPTO_H
#define COFRE_KERNEL_CRYPTO_CRYPTO_H

/* CPU features from cpuid_query(), self-tests. */
void crypto_init(void);

/* Panics, with what to do, on a CPU without AES instructions: those with SGX all have them. */
void crypto_need_aes(void);

#endif

/* Calling BearSSL (contract in bearssl.h), and what it wants of a C library that the kernel's own string.h has not. */
#include "kernel/crypto/bearssl.h"

#ifdef COFRE_HOSTED

void bearssl_begin(struct bearssl_loan *loan)
{
    (void)loan;
}

void bearssl_end(const struct bearssl_loan *loan)
{
    (void)loan;
}

#else

#include <bearssl/bearssl_rand.h>

#include "kernel/arch/trap.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"

void *__memcpy_chk(void *dst, const void *src, size_t size, size_t dst_size);
void *__memcpy_chk(void *dst, const void *src, size_t size, size_t dst_size)
{
    ASSERT(size <= dst_size);
    return memcpy(dst, src, size);
}

void *__memset_chk(void *dst, int byte, size_t size, size_t dst_size);
void *__memset_chk(void *dst, int byte, size_t size, size_t dst_size)
{
    ASSERT(size <= dst_size);
    return memset(dst, byte, size);
}

/* In place of the library's own, which opens a file: whoever needs random numbers injects them. */
br_prng_seeder br_prng_seeder_system(const char **name)
{
    if (name)
        *name = "none";
    return NULL;
}

void bearssl_begin(struct bearssl_loan *loan)
{
    random_bytes(loan->thread, sizeof(loan->thread));
    kernel_vector_begin();
    loan->application = fs_base_get();
    fs_base_set((uint64_t)loan->thread);
}

void bearssl_end(const struct bearssl_loan *loan)
{
    fs_base_set(loan->application);
    kernel_vector_end();
}

#endif

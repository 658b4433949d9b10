/*
 * X25519 (contract in x25519.h). The library is compiled for ordinary programs: it has a few vector moves, and its
 * stack protector reads the canary at FS:40, where the kernel has the application's FS. Both are lent to it.
 */
#include "kernel/crypto/x25519.h"

#include <bearssl/bearssl_ec.h>

#include "kernel/arch/trap.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/random.h"
#include "kernel/lib/string.h"

#ifndef COFRE_HOSTED
#define CANARY_AT 40
void *__memcpy_chk(void *dst, const void *src, size_t size, size_t dst_size);
void *__memcpy_chk(void *dst, const void *src, size_t size, size_t dst_size)
{
    ASSERT(size <= dst_size);
    return memcpy(dst, src, size);
}
#endif

static uint32_t multiply(uint8_t u[X25519_SIZE], const uint8_t scalar[X25519_SIZE])
{
#ifdef COFRE_HOSTED
    return br_ec_c25519_m31.mul(u, X25519_SIZE, scalar, X25519_SIZE, BR_EC_curve25519);
#else
    uint8_t thread[CANARY_AT + 8] __attribute__((aligned(16)));
    random_bytes(thread, sizeof(thread));
    kernel_vector_begin();
    uint64_t application = fs_base_get();
    fs_base_set((uint64_t)thread);
    uint32_t good = br_ec_c25519_m31.mul(u, X25519_SIZE, scalar, X25519_SIZE, BR_EC_curve25519);
    fs_base_set(application);
    kernel_vector_end();
    return good;
#endif
}

void x25519(const uint8_t scalar[X25519_SIZE], const uint8_t u[X25519_SIZE], uint8_t ret_u[X25519_SIZE])
{
    memmove(ret_u, u, X25519_SIZE);
    uint32_t good = multiply(ret_u, scalar);
    ASSERT(good == 1); /* it refuses lengths only */
}

void x25519_public(const uint8_t scalar[X25519_SIZE], uint8_t ret_u[X25519_SIZE])
{
    static const uint8_t base[X25519_SIZE] = {9};
    x25519(scalar, base, ret_u);
}

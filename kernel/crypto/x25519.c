/* X25519 (contract in x25519.h). */
#include "kernel/crypto/x25519.h"

#include <bearssl/bearssl_ec.h>

#include "kernel/crypto/bearssl.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"

void x25519(const uint8_t scalar[X25519_SIZE], const uint8_t u[X25519_SIZE], uint8_t ret_u[X25519_SIZE])
{
    struct bearssl_loan loan;
    memmove(ret_u, u, X25519_SIZE);
    bearssl_begin(&loan);
    uint32_t good = br_ec_c25519_m31.mul(ret_u, X25519_SIZE, scalar, X25519_SIZE, BR_EC_curve25519);
    bearssl_end(&loan);
    ASSERT(good == 1); /* it refuses lengths only */
}

void x25519_public(const uint8_t scalar[X25519_SIZE], uint8_t ret_u[X25519_SIZE])
{
    static const uint8_t base[X25519_SIZE] = {9};
    x25519(scalar, base, ret_u);
}

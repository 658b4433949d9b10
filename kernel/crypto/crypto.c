/*
 * The CPU features that libcrypto's assembly may use: CPUID as the enclave's XFRM leaves it. The host may lie here;
 * code then takes a path whose instructions fault, or a slow one, but computes nothing wrong.
 */
#include "kernel/crypto/crypto.h"

#include "kernel/boot/boot.h"
#include "kernel/crypto/aes_gcm.h"
#include "kernel/crypto/aes_xts.h"
#include "kernel/crypto/assembly.h"
#include "kernel/crypto/sha256.h"
#include "kernel/lib/printk.h"

#define FEATURES_AES (1u << 25 | 1u << 9 | 1u << 1) /* AES-NI, SSSE3, PCLMULQDQ */

uint32_t OPENSSL_ia32cap_P[4];

static bool have_aes(void)
{
    return (OPENSSL_ia32cap_P[1] & FEATURES_AES) == FEATURES_AES;
}

void crypto_need_aes(void)
{
    if (!have_aes())
        panic("this CPU has no AES instructions (AES-NI and PCLMULQDQ), which encryption needs");
}

void crypto_init(void)
{
    uint32_t leaf0[4], leaf1[4], leaf7[4] = {0};
    cpuid_query(0, 0, leaf0);
    cpuid_query(1, 0, leaf1);
    if (leaf0[0] >= 7)
        cpuid_query(7, 0, leaf7);
    OPENSSL_ia32cap_P[0] = leaf1[3] & ~(1u << 30);
    if (leaf0[1] == 0x756e6547 /* "Genu" */)
        OPENSSL_ia32cap_P[0] |= 1u << 30;          /* what libcrypto notes for Intel */
    OPENSSL_ia32cap_P[1] = leaf1[2] & ~(1u << 11); /* ... and bit 11 stands for AMD's XOP there */
    OPENSSL_ia32cap_P[2] = leaf7[1];
    OPENSSL_ia32cap_P[3] = leaf7[2];
    sha256_self_test();
    if (have_aes()) {
        aes_gcm_self_test();
        aes_xts_self_test();
    }
}

/* SGX architectural structures as image/ and host/ need them (SDM vol. 3D, chapter 38). Sizes asserted. */
#ifndef COFRE_IMAGE_SGX_ARCH_H
#define COFRE_IMAGE_SGX_ARCH_H

#include <stdint.h>

#define SGX_SECINFO_R 0x1UL
#define SGX_SECINFO_W 0x2UL
#define SGX_SECINFO_X 0x4UL
#define SGX_SECINFO_TCS 0x100UL
#define SGX_SECINFO_REG 0x200UL

#define SGX_ATTR_INIT 0x1UL
#define SGX_ATTR_DEBUG 0x2UL
#define SGX_ATTR_MODE64BIT 0x4UL
#define SGX_ATTR_PROVISIONKEY 0x10UL
#define SGX_ATTR_EINITTOKENKEY 0x20UL
#define SGX_ATTR_CET 0x40UL
#define SGX_ATTR_KSS 0x80UL
#define SGX_ATTR_AEXNOTIFY 0x400UL
#define SGX_MISC_EXINFO 0x1U

#define SGX_RSA_SIZE 384

struct sgx_tcs { /* its first 72 bytes; the rest of the page is zero */
    uint64_t state, flags, ossa;
    uint32_t cssa, nssa;
    uint64_t oentry, aep, ofsbase, ogsbase;
    uint32_t ofslimit, ogslimit;
};
_Static_assert(sizeof(struct sgx_tcs) == 72, "SDM 38.8");

struct sgx_sigstruct {
    uint8_t header1[16];
    uint32_t vendor;
    uint32_t date; /* 0xYYYYMMDD, BCD */
    uint8_t header2[16];
    uint32_t swdefined;
    uint8_t reserved1[84];
    uint8_t modulus[SGX_RSA_SIZE]; /* little-endian */
    uint32_t exponent;
    uint8_t signature[SGX_RSA_SIZE];
    uint32_t miscselect;
    uint32_t miscmask;
    uint8_t cet_attributes;
    uint8_t cet_attributes_mask;
    uint8_t reserved2[2];
    uint8_t isvfamilyid[16];
    uint64_t attributes_flags;
    uint64_t attributes_xfrm;
    uint64_t attributes_mask_flags;
    uint64_t attributes_mask_xfrm;
    uint8_t enclavehash[32];
    uint8_t reserved3[16];
    uint8_t isvextprodid[16];
    uint16_t isvprodid;
    uint16_t isvsvn;
    uint8_t reserved4[12];
    uint8_t q1[SGX_RSA_SIZE];
    uint8_t q2[SGX_RSA_SIZE];
} __attribute__((packed));
_Static_assert(sizeof(struct sgx_sigstruct) == 1808, "SDM 38.13");

#endif

/*
 * EINIT: SIGSTRUCT's signature as hardware checks it (RSA-3072, exponent 3, with the signer's Q1 and Q2, so that two
 * multiplications and subtractions replace division), then measurement and attributes.
 */
#include <errno.h>
#include <string.h>

#include "host/softsgx/softsgx.h"

#define RSA_SIZE 384
#define LIMBS (RSA_SIZE / 8)

/* Offsets in SIGSTRUCT (SDM 38.13). */
#define SIG_VENDOR 16
#define SIG_HEADER2 24
#define SIG_RESERVED1 44
#define SIG_MODULUS 128
#define SIG_EXPONENT 512
#define SIG_SIGNATURE 516
#define SIG_MISCSELECT 900
#define SIG_MISCMASK 904
#define SIG_CET 908
#define SIG_ISVFAMILYID 912
#define SIG_ATTRIBUTES 928
#define SIG_ATTRIBUTEMASK 944
#define SIG_ENCLAVEHASH 960
#define SIG_RESERVED3 992
#define SIG_ISVEXTPRODID 1008
#define SIG_ISVPRODID 1024
#define SIG_ISVSVN 1026
#define SIG_RESERVED4 1028
#define SIG_Q1 1040
#define SIG_Q2 1424

static const uint8_t header1[16] = {6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1};
static const uint8_t header2[16] = {1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1};

typedef uint64_t bignum[LIMBS];
typedef uint64_t product[2 * LIMBS];

static void load(bignum ret, const uint8_t *bytes)
{
    memcpy(ret, bytes, RSA_SIZE);
}

static void multiply(product ret, const bignum a, const bignum b)
{
    memset(ret, 0, sizeof(product));
    for (int i = 0; i < LIMBS; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < LIMBS; j++) {
            unsigned __int128 t = (unsigned __int128)a[i] * b[j] + ret[i + j] + carry;
            ret[i + j] = (uint64_t)t;
            carry = (uint64_t)(t >> 64);
        }
        ret[i + LIMBS] = carry;
    }
}

static int compare(const bignum a, const bignum b)
{
    for (int i = LIMBS - 1; i >= 0; i--) {
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    }
    return 0;
}

/* ret = a * b - q * m; false unless 0 <= ret < m. */
static bool multiply_reduce(bignum ret, const bignum a, const bignum b, const bignum q, const bignum m)
{
    product ab, qm;
    multiply(ab, a, b);
    multiply(qm, q, m);
    uint64_t borrow = 0, high = 0;
    for (int i = 0; i < 2 * LIMBS; i++) {
        unsigned __int128 t = (unsigned __int128)ab[i] - qm[i] - borrow;
        borrow = (uint64_t)(t >> 64) & 1;
        if (i < LIMBS)
            ret[i] = (uint64_t)t;
        else
            high |= (uint64_t)t;
    }
    return !borrow && !high && compare(ret, m) < 0;
}

/* s^3 mod m, or false if Q1 or Q2 do not fit. */
static bool cube(bignum ret, const uint8_t *sigstruct)
{
    bignum s, m, q1, q2, square;
    load(s, sigstruct + SIG_SIGNATURE);
    load(m, sigstruct + SIG_MODULUS);
    load(q1, sigstruct + SIG_Q1);
    load(q2, sigstruct + SIG_Q2);
    return compare(s, m) < 0 && multiply_reduce(square, s, s, q1, m) && multiply_reduce(ret, s, square, q2, m);
}

/* The padded hash (PKCS #1 v1.5, SHA-256), little-endian. */
static void padded_hash(bignum ret, const uint8_t *sigstruct)
{
    static const uint8_t digest_info[19] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                            0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    uint8_t big[RSA_SIZE];
    struct sha256_ctx sha;
    memset(big, 0xff, sizeof(big));
    big[0] = 0;
    big[1] = 1;
    big[RSA_SIZE - 52] = 0;
    memcpy(big + RSA_SIZE - 51, digest_info, sizeof(digest_info));
    sha256_init(&sha);
    sha256_update(&sha, 128, sigstruct);
    sha256_update(&sha, 128, sigstruct + SIG_MISCSELECT);
    sha256_digest(&sha, 32, big + RSA_SIZE - 32);
    uint8_t *little = (uint8_t *)ret;
    for (int i = 0; i < RSA_SIZE; i++)
        little[i] = big[RSA_SIZE - 1 - i];
}

static bool zero(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum |= bytes[i];
    return sum == 0;
}

static uint32_t u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

int softsgx_sigstruct_check(const void *sigstruct, uint8_t ret_mrsigner[32])
{
    const uint8_t *sig = sigstruct;
    uint32_t vendor = u32(sig + SIG_VENDOR);
    if (memcmp(sig, header1, 16) != 0 || memcmp(sig + SIG_HEADER2, header2, 16) != 0 ||
        (vendor != 0 && vendor != 0x8086) || !zero(sig + SIG_RESERVED1, 84) || u32(sig + SIG_EXPONENT) != 3 ||
        !zero(sig + SIG_CET + 2, 2) || !zero(sig + SIG_RESERVED3, 16) || !zero(sig + SIG_RESERVED4, 12))
        return SGX_INVALID_SIG_STRUCT;
    bignum message, expected;
    padded_hash(expected, sig);
    if (!cube(message, sig) || compare(message, expected) != 0)
        return SGX_INVALID_SIGNATURE;
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, RSA_SIZE, sig + SIG_MODULUS);
    sha256_digest(&sha, 32, ret_mrsigner);
    return SGX_SUCCESS;
}

static int check_attributes(const uint8_t *sig)
{
    const struct secs *secs = &softsgx.secs;
    uint64_t flags_mask = u64(sig + SIG_ATTRIBUTEMASK), xfrm_mask = u64(sig + SIG_ATTRIBUTEMASK + 8);
    uint32_t misc_mask = u32(sig + SIG_MISCMASK);
    if ((secs->attributes & flags_mask) != (u64(sig + SIG_ATTRIBUTES) & flags_mask) ||
        (secs->xfrm & xfrm_mask) != (u64(sig + SIG_ATTRIBUTES + 8) & xfrm_mask) ||
        (secs->miscselect & misc_mask) != (u32(sig + SIG_MISCSELECT) & misc_mask))
        return SGX_INVALID_ATTRIBUTE;
    return SGX_SUCCESS;
}

int softsgx_einit(const void *sigstruct)
{
    uint8_t sig[1808], mrsigner[32], mrenclave[32];
    memcpy(sig, sigstruct, sizeof(sig));
    uint32_t vendor = u32(sig + SIG_VENDOR);
    if (vendor != 0 && vendor != 0x8086)
        return -EINVAL;
    if (softsgx.secs.attributes & ~softsgx.attributes_mask)
        return -EACCES;
    struct sha256_ctx measurement = softsgx.measurement;
    sha256_digest(&measurement, 32, mrenclave);
    int e = softsgx_sigstruct_check(sig, mrsigner);
    if (e == 0 && memcmp(mrenclave, sig + SIG_ENCLAVEHASH, 32) != 0)
        e = SGX_INVALID_MEASUREMENT;
    if (e == 0)
        e = check_attributes(sig);
    if (e == 0 && !(softsgx.secs.attributes & SGX_ATTR_KSS) &&
        (!zero(sig + SIG_ISVFAMILYID, 16) || !zero(sig + SIG_ISVEXTPRODID, 16)))
        e = SGX_INVALID_SIG_STRUCT;
    softsgx.sgx_error = (uint32_t)e;
    if (e)
        return -EPERM;
    struct secs *secs = &softsgx.secs;
    memcpy(secs->mrenclave, mrenclave, 32);
    memcpy(secs->mrsigner, mrsigner, 32);
    memcpy(&secs->isvprodid, sig + SIG_ISVPRODID, 2);
    memcpy(&secs->isvsvn, sig + SIG_ISVSVN, 2);
    memcpy(softsgx.isvfamilyid, sig + SIG_ISVFAMILYID, 16);
    memcpy(softsgx.isvextprodid, sig + SIG_ISVEXTPRODID, 16);
    secs->attributes |= SGX_ATTR_INIT;
    return 0;
}

/*
 * libcrypto's assembly as the kernel calls it (OpenSSL 3: crypto/aes/asm, crypto/modes/asm). It reads the CPU's
 * features from OPENSSL_ia32cap_P, which crypto_init() fills with what the enclave's XFRM allows: CPUID.1:EDX,
 * CPUID.1:ECX, CPUID.7:EBX, CPUID.7:ECX. Callers hold kernel_vector_begin().
 */
#ifndef COFRE_KERNEL_CRYPTO_ASSEMBLY_H
#define COFRE_KERNEL_CRYPTO_ASSEMBLY_H

#include "kernel/crypto/aes.h"

extern uint32_t OPENSSL_ia32cap_P[4];

int aesni_set_encrypt_key(const uint8_t *bytes, int bits, struct aes_schedule *schedule);
int aesni_set_decrypt_key(const uint8_t *bytes, int bits, struct aes_schedule *schedule);
void aesni_encrypt(const uint8_t *in, uint8_t *out, const struct aes_schedule *schedule);
/* The last four bytes of the counter block count, big-endian; the block itself is left alone. */
void aesni_ctr32_encrypt_blocks(const uint8_t *in, uint8_t *out, size_t blocks, const struct aes_schedule *schedule,
                                const uint8_t counter[16]);
void aesni_xts_decrypt(const uint8_t *in, uint8_t *out, size_t size, const struct aes_schedule *data_key,
                       const struct aes_schedule *tweak_key, const uint8_t tweak[16]);

/* GHASH: h as two numbers, the more significant first; the table's layout is the implementation's own. */
void gcm_init_clmul(uint64_t table[32], const uint64_t h[2]);
void gcm_ghash_clmul(uint8_t hash[16], const uint64_t table[32], const uint8_t *data, size_t size);
void gcm_init_avx(uint64_t table[32], const uint64_t h[2]);
void gcm_ghash_avx(uint8_t hash[16], const uint64_t table[32], const uint8_t *data, size_t size);
/*
 * Both at once, six blocks at a time: returns the bytes done, 0 when there are too few (288, or 96 for decryption).
 * hash is followed in memory by 16 bytes and the table of gcm_init_avx(). The counter is moved on.
 */
size_t aesni_gcm_encrypt(const uint8_t *in, uint8_t *out, size_t size, const struct aes_schedule *schedule,
                         uint8_t counter[16], uint8_t *hash);
size_t aesni_gcm_decrypt(const uint8_t *in, uint8_t *out, size_t size, const struct aes_schedule *schedule,
                         uint8_t counter[16], uint8_t *hash);

/*
 * libgcrypt's counter mode (cipher/rijndael-vaes-avx2-amd64.S) for CPUs with VAES: two blocks in each register. It
 * takes the schedule as libcrypto lays it out, needs AVX of XFRM and no more, and counts in all 16 bytes of the
 * counter, big-endian, which is the same as in four while those do not overflow. The counter is moved on.
 */
void vaes_ctr_encrypt(const struct aes_schedule *schedule, uint8_t counter[16], void *out, const void *in,
                      size_t blocks, unsigned rounds) __asm__("_gcry_vaes_avx2_ctr_enc_amd64");

/* F, DQ, BW and VL. What uses it holds kernel_vector_begin_wide(). */
static inline bool have_avx512(void)
{
    const uint32_t bits = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;

    return (OPENSSL_ia32cap_P[2] & bits) == bits;
}

/*
 * libIPSec_MB's SHA-256 of sixteen messages, a 32-bit word of each in a register (avx512_t1/sha256_x16_avx512.asm):
 * word i of lane j is h[i][j]. All lanes are hashed, and their data moved on.
 */
struct wide_sha256 {
    uint32_t h[8][16];
    const void *data[16];
};
void wide_sha256(struct wide_sha256 *lanes, uint64_t blocks) __asm__("call_sha256_x16_avx512_from_c");

/*
 * libIPSec_MB's counter mode and GHASH with 512-bit registers (avx512_t2/aes_cntr_api_by16_vaes_avx512.asm and
 * aes128_gmac_by48_api_vaes_avx512.asm). They use and then clear all vector registers and opmasks: callers hold
 * kernel_vector_begin_wide(). Both take sizes that are no multiple of a block.
 *
 * The library's argument is its job structure, of which this function reads these. The counter block counts in its last
 * four bytes, big-endian, and is left alone; the schedule is laid out as libcrypto does.
 */
struct wide_ctr {
    const struct aes_schedule *schedule;
    uint64_t unused1[2];
    const void *in;
    void *out;
    uint64_t offset; /* added to in: 0 */
    uint64_t size;
    uint64_t unused2[2];
    const uint8_t *counter;
    uint64_t counter_size; /* 16 */
};
void *wide_ctr_encrypt(struct wide_ctr *job) __asm__("aes_cntr_256_submit_vaes_avx512");

/*
 * h as a block of bytes. The keys' structure has WIDE_GHASH_TABLE_AT bytes, which these do not touch, and then the
 * table. data of at least one byte; its last block is filled with zeros.
 */
#define WIDE_GHASH_TABLE_AT 240
void wide_ghash_init(const uint8_t h[16], void *keys) __asm__("ghash_pre_vaes_avx512");
void wide_ghash(const void *keys, const void *data, uint64_t size, uint8_t hash[16],
                uint64_t hash_size) __asm__("ghash_vaes_avx512");

/* Where the library notes what it finds wrong with pointers, of which nothing is: see its header. */
extern int imb_errno;
extern const int imb_errno_types[64];

#endif

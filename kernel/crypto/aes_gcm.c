/*
 * AES-256-GCM (contract in aes_gcm.h). With AVX-512 it is aes_gcm_wide.c. With VAES, counter mode and GHASH take turns
 * over pieces that stay in the nearest cache. Else most of a message goes through libcrypto's stitched assembly, which
 * needs AVX and MOVBE; what that leaves, and everything without AVX, through its CTR and GHASH one after the other.
 */
#include "kernel/crypto/aes_gcm.h"

#include <linux/errno.h>

#include "kernel/arch/trap.h"
#include "kernel/crypto/aes_gcm_wide.h"
#include "kernel/crypto/assembly.h"
#include "kernel/crypto/crypto.h"
#include "kernel/crypto/secret.h"
#include "kernel/lib/printk.h"

#define BLOCK 16UL
#define SIZE_MAX_GCM ((1ULL << 36) - 32)
#define BITS_AVX_MOVBE (1u << 28 | 1u << 22)
#define BIT_VAES (1u << 9)
#define ROUNDS 14
#define STITCHED_MIN 288 /* aesni_gcm_encrypt() does nothing below */
#define VAES_MIN 1024    /* below, stitched is as quick */
#define VAES_PIECE 4096UL

/* hash, h and table in the order that the stitched functions expect. */
struct operation {
    uint8_t hash[BLOCK];
    uint8_t h[BLOCK];
    uint64_t table[32];
    uint8_t counter[BLOCK];
    uint8_t tag_mask[BLOCK];
    const struct aes_schedule *aes;
    bool avx, vaes;
};

static bool have_avx(void)
{
    return (OPENSSL_ia32cap_P[1] & BITS_AVX_MOVBE) == BITS_AVX_MOVBE;
}

static bool have_vaes(void)
{
    return have_avx() && (OPENSSL_ia32cap_P[3] & BIT_VAES);
}

void aes_gcm_key_init(struct aes_gcm_key *key, const uint8_t bytes[AES_GCM_KEY_SIZE])
{
    uint8_t zero[BLOCK] = {0}, encrypted[BLOCK];
    uint64_t h[2];
    crypto_need_aes();
    if (aes_gcm_have_wide()) {
        aes_gcm_wide_key_init(key, bytes);
        return;
    }
    kernel_vector_begin();
    aesni_set_encrypt_key(bytes, 8 * AES_GCM_KEY_SIZE, &key->aes);
    aesni_encrypt(zero, encrypted, &key->aes);
    memcpy(h, encrypted, sizeof(h));
    h[0] = __builtin_bswap64(h[0]);
    h[1] = __builtin_bswap64(h[1]);
    (have_avx() ? gcm_init_avx : gcm_init_clmul)(key->ghash, h);
    kernel_vector_end();
    memory_wipe(encrypted, sizeof(encrypted));
    memory_wipe(h, sizeof(h));
}

static void counter_add(uint8_t counter[BLOCK], uint32_t blocks)
{
    uint32_t value;
    memcpy(&value, counter + 12, sizeof(value));
    value = __builtin_bswap32(__builtin_bswap32(value) + blocks);
    memcpy(counter + 12, &value, sizeof(value));
}

/* Hash data, the last block filled with zeros. */
static void hash_padded(struct operation *op, const uint8_t *data, size_t size)
{
    void (*ghash)(uint8_t *, const uint64_t *, const uint8_t *, size_t) = op->avx ? gcm_ghash_avx : gcm_ghash_clmul;
    size_t whole = ALIGN_DOWN(size, BLOCK);
    if (whole)
        ghash(op->hash, op->table, data, whole);
    if (whole < size) {
        uint8_t last[BLOCK] = {0};
        memcpy(last, data + whole, size - whole);
        ghash(op->hash, op->table, last, BLOCK);
    }
}

/* Counter mode over what is left of a message. */
static void crypt(struct operation *op, const uint8_t *in, uint8_t *out, size_t size)
{
    size_t whole = ALIGN_DOWN(size, BLOCK);
    if (whole) {
        aesni_ctr32_encrypt_blocks(in, out, whole / BLOCK, op->aes, op->counter);
        counter_add(op->counter, (uint32_t)(whole / BLOCK));
    }
    if (whole < size) {
        uint8_t stream[BLOCK];
        aesni_encrypt(op->counter, stream, op->aes);
        for (size_t i = whole; i < size; i++)
            out[i] = in[i] ^ stream[i - whole];
        memory_wipe(stream, sizeof(stream));
    }
}

static void begin(struct operation *op, const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE],
                  const void *aad, size_t aad_size, size_t size)
{
    ASSERT(size <= SIZE_MAX_GCM);
    op->aes = &key->aes;
    op->avx = have_avx();
    op->vaes = have_vaes() && size >= VAES_MIN;
    memset(op->hash, 0, sizeof(op->hash));
    memcpy(op->table, key->ghash, sizeof(op->table));
    memcpy(op->counter, nonce, AES_GCM_NONCE_SIZE);
    memset(op->counter + AES_GCM_NONCE_SIZE, 0, 4);
    counter_add(op->counter, 1);
    kernel_vector_begin();
    aesni_encrypt(op->counter, op->tag_mask, op->aes);
    counter_add(op->counter, 1);
    hash_padded(op, aad, aad_size);
}

static void end(struct operation *op, size_t aad_size, size_t size, uint8_t ret_tag[AES_GCM_TAG_SIZE])
{
    uint64_t lengths[2] = {__builtin_bswap64((uint64_t)aad_size * 8), __builtin_bswap64((uint64_t)size * 8)};
    hash_padded(op, (const uint8_t *)lengths, sizeof(lengths));
    kernel_vector_end();
    for (size_t i = 0; i < AES_GCM_TAG_SIZE; i++)
        ret_tag[i] = op->hash[i] ^ op->tag_mask[i];
    memory_wipe(op, sizeof(*op));
}

void aes_gcm_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                  size_t aad_size, const void *plain, size_t size, void *cipher, uint8_t ret_tag[AES_GCM_TAG_SIZE])
{
    struct operation op;
    uint8_t *out = cipher;
    if (aes_gcm_have_wide()) {
        ASSERT(size <= SIZE_MAX_GCM);
        aes_gcm_wide_seal(key, nonce, aad, aad_size, plain, size, cipher, ret_tag);
        return;
    }
    begin(&op, key, nonce, aad, aad_size, size);
    size_t done = 0;
    for (size_t n; op.vaes && (n = MIN(ALIGN_DOWN(size - done, BLOCK), VAES_PIECE)) > 0; done += n) {
        vaes_ctr_encrypt(op.aes, op.counter, out + done, (const uint8_t *)plain + done, n / BLOCK, ROUNDS);
        gcm_ghash_avx(op.hash, op.table, out + done, n);
    }
    if (!op.vaes && op.avx && size >= STITCHED_MIN)
        done = aesni_gcm_encrypt(plain, out, size, op.aes, op.counter, op.hash);
    crypt(&op, (const uint8_t *)plain + done, out + done, size - done);
    hash_padded(&op, out + done, size - done);
    end(&op, aad_size, size, ret_tag);
}

/* Decrypt, and say what the tag has to be. */
static void open_narrow(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                        size_t aad_size, const void *cipher, size_t size, void *plain,
                        uint8_t ret_tag[AES_GCM_TAG_SIZE])
{
    struct operation op;
    const uint8_t *in = cipher;
    uint8_t *out = plain;
    begin(&op, key, nonce, aad, aad_size, size);
    size_t done = 0;
    for (size_t n; op.vaes && (n = MIN(ALIGN_DOWN(size - done, BLOCK), VAES_PIECE)) > 0; done += n) {
        gcm_ghash_avx(op.hash, op.table, in + done, n);
        vaes_ctr_encrypt(op.aes, op.counter, out + done, in + done, n / BLOCK, ROUNDS);
    }
    if (!op.vaes && op.avx && size >= STITCHED_MIN)
        done = aesni_gcm_decrypt(in, out, size, op.aes, op.counter, op.hash);
    hash_padded(&op, in + done, size - done);
    crypt(&op, in + done, out + done, size - done);
    end(&op, aad_size, size, ret_tag);
}

int aes_gcm_open(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                 size_t aad_size, const void *cipher, size_t size, const uint8_t tag[AES_GCM_TAG_SIZE], void *plain)
{
    uint8_t computed[AES_GCM_TAG_SIZE];
    ASSERT(size <= SIZE_MAX_GCM);
    (aes_gcm_have_wide() ? aes_gcm_wide_open : open_narrow)(key, nonce, aad, aad_size, cipher, size, plain, computed);
    bool good = memory_equal_ct(computed, tag, AES_GCM_TAG_SIZE);
    memory_wipe(computed, sizeof(computed));
    if (likely(good))
        return 0;
    if (size > 0)
        memory_wipe(plain, size);
    return -EBADMSG;
}

/* What OpenSSL 3 makes of the same input; long enough for every path. */
void aes_gcm_self_test(void)
{
    static const uint8_t expected[AES_GCM_TAG_SIZE] = {0x87, 0x38, 0x16, 0x83, 0x82, 0x1d, 0xbb, 0x45,
                                                       0x85, 0xcf, 0x41, 0x7c, 0xfe, 0x0d, 0xa9, 0x13};
    uint8_t bytes[AES_GCM_KEY_SIZE], data[1100], tag[AES_GCM_TAG_SIZE];
    struct aes_gcm_key key;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    aes_gcm_key_init(&key, bytes);
    aes_gcm_seal(&key, bytes, bytes, 20, data, sizeof(data), data, tag);
    bool good = memcmp(tag, expected, sizeof(tag)) == 0 &&
                aes_gcm_open(&key, bytes, bytes, 20, data, sizeof(data), tag, data) == 0;
    for (size_t i = 0; i < sizeof(data); i++)
        good = good && data[i] == (uint8_t)(i * 7);
    tag[0] ^= 1;
    if (!good || aes_gcm_open(&key, bytes, bytes, 20, data, sizeof(data), tag, data) == 0)
        panic("AES-GCM self-test failed");
}

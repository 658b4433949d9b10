/*
 * SHA-256 over libcrypto's assembly compression function, which picks SHA-NI, AVX2, AVX, SSSE3 or plain code itself,
 * and libIPSec_MB's for many messages where there is AVX-512.
 */
#include "kernel/crypto/sha256.h"

#include "kernel/arch/trap.h"
#include "kernel/crypto/assembly.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"

#define SHA256_BLOCK 64
#define SALT_SIZE 32

/* crypto/sha/asm/sha512-x86_64.pl. Both pick their code by OPENSSL_ia32cap_P (kernel/crypto/assembly.h). */
void sha256_block_data_order(void *state, const void *data, size_t blocks);
/* crypto/sha/asm/sha256-mb-x86_64.pl: word i of lane j is h[i][j]; fours is how many groups of four lanes there are. */
#define NARROW_LANES 8
struct narrow_lanes {
    uint32_t h[8][NARROW_LANES];
};
struct lane_input {
    const void *data;
    int blocks; /* 0: the lane is idle */
};
void sha256_multi_block(struct narrow_lanes *lanes, const struct lane_input *inputs, int fours);

static const uint32_t initial_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static void compress(uint32_t state[8], const void *data, size_t blocks)
{
    if (blocks == 0)
        return;
    kernel_vector_begin();
    sha256_block_data_order(state, data, blocks);
    kernel_vector_end();
}

static void put_be32(uint8_t *p, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(p, &value, sizeof(value));
}

static void store_digest(const uint32_t state[8], uint8_t ret_digest[32])
{
    for (int i = 0; i < 8; i++)
        put_be32(ret_digest + 4 * i, state[i]);
}

/* block holds used bytes of the message's end: pad it into one or two blocks; returns how many. */
static size_t pad(uint8_t block[2 * SHA256_BLOCK], size_t used, uint64_t message_size)
{
    size_t total = used + 9 <= SHA256_BLOCK ? SHA256_BLOCK : 2 * SHA256_BLOCK;
    block[used] = 0x80;
    memset(block + used + 1, 0, total - used - 9);
    put_be32(block + total - 8, message_size >> 29);
    put_be32(block + total - 4, message_size << 3);
    return total / SHA256_BLOCK;
}

void sha256_init(struct sha256 *ctx)
{
    memcpy(ctx->state, initial_state, sizeof(ctx->state));
    ctx->size = 0;
}

void sha256_update(struct sha256 *ctx, const void *data, size_t size)
{
    const uint8_t *p = data;
    size_t used = ctx->size % SHA256_BLOCK;
    if (size == 0) /* data may be NULL */
        return;
    ctx->size += size;
    if (used) {
        size_t part = MIN(size, SHA256_BLOCK - used);
        memcpy(ctx->block + used, p, part);
        p += part;
        size -= part;
        if (used + part < SHA256_BLOCK)
            return;
        compress(ctx->state, ctx->block, 1);
    }
    compress(ctx->state, p, size / SHA256_BLOCK);
    memcpy(ctx->block, p + ALIGN_DOWN(size, SHA256_BLOCK), size % SHA256_BLOCK);
}

void sha256_final(struct sha256 *ctx, uint8_t ret_digest[32])
{
    uint8_t last[2 * SHA256_BLOCK];
    size_t used = ctx->size % SHA256_BLOCK;
    memcpy(last, ctx->block, used);
    compress(ctx->state, last, pad(last, used, ctx->size));
    store_digest(ctx->state, ret_digest);
}

/* One bracket around the whole: this runs for each block of the root image. */
void sha256_salted(const uint8_t salt[SALT_SIZE], const void *data, size_t size, uint8_t ret_digest[32])
{
    const uint8_t *p = data;
    uint32_t state[8];
    uint8_t edge[2 * SHA256_BLOCK];
    size_t head = MIN(size, (size_t)(SHA256_BLOCK - SALT_SIZE));
    memcpy(state, initial_state, sizeof(state));
    memcpy(edge, salt, SALT_SIZE);
    memcpy(edge + SALT_SIZE, p, head);
    size_t used = SALT_SIZE + head;

    kernel_vector_begin();
    if (used == SHA256_BLOCK) {
        sha256_block_data_order(state, edge, 1);
        size_t whole = (size - head) / SHA256_BLOCK;
        if (whole)
            sha256_block_data_order(state, p + head, whole);
        used = (size - head) % SHA256_BLOCK;
        memcpy(edge, p + size - used, used);
    }
    size_t last = pad(edge, used, SALT_SIZE + size);
    sha256_block_data_order(state, edge, last);
    kernel_vector_end();
    store_digest(state, ret_digest);
}

struct lanes {
    bool wide;
    union {
        struct narrow_lanes narrow;
        struct wide_sha256 wide_lanes;
    };
};

static uint32_t *word(struct lanes *lanes, size_t i, size_t lane)
{
    return lanes->wide ? &lanes->wide_lanes.h[i][lane] : &lanes->narrow.h[i][lane];
}

static void lanes_init(struct lanes *lanes, size_t count)
{
    lanes->wide = count > NARROW_LANES;
    for (size_t i = 0; i < 8; i++)
        for (size_t lane = 0; lane < (lanes->wide ? SHA256_LANES : NARROW_LANES); lane++)
            *word(lanes, i, lane) = initial_state[i];
}

static void compress_lanes(struct lanes *lanes, const uint8_t *const data[], size_t count, size_t blocks)
{
    struct lane_input inputs[NARROW_LANES] = {0};
    if (blocks == 0)
        return;
    if (lanes->wide) {
        for (size_t i = 0; i < SHA256_LANES; i++)
            lanes->wide_lanes.data[i] = data[i < count ? i : 0];
        wide_sha256(&lanes->wide_lanes, blocks);
        return;
    }
    for (size_t i = 0; i < count; i++)
        inputs[i] = (struct lane_input){data[i], (int)blocks};
    sha256_multi_block(&lanes->narrow, inputs, count > 4 ? 2 : 1);
}

/* size is at least a block. */
static void salted_lanes(const uint8_t salt[SALT_SIZE], const void *const data[], size_t count, size_t size,
                         uint8_t ret_digests[][32])
{
    struct lanes lanes;
    uint8_t edges[SHA256_LANES][2 * SHA256_BLOCK];
    const uint8_t *p[SHA256_LANES];
    const size_t head = SHA256_BLOCK - SALT_SIZE, tail = (size - head) % SHA256_BLOCK;
    lanes_init(&lanes, count);
    for (size_t i = 0; i < count; i++) {
        memcpy(edges[i], salt, SALT_SIZE);
        memcpy(edges[i] + SALT_SIZE, data[i], head);
        p[i] = edges[i];
    }
    if (lanes.wide)
        kernel_vector_begin_wide();
    else
        kernel_vector_begin();
    compress_lanes(&lanes, p, count, 1);
    for (size_t i = 0; i < count; i++)
        p[i] = (const uint8_t *)data[i] + head;
    compress_lanes(&lanes, p, count, (size - head) / SHA256_BLOCK);
    size_t last = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(edges[i], (const uint8_t *)data[i] + size - tail, tail);
        last = pad(edges[i], tail, SALT_SIZE + size);
        p[i] = edges[i];
    }
    compress_lanes(&lanes, p, count, last);
    kernel_vector_end();
    for (size_t lane = 0; lane < count; lane++)
        for (size_t i = 0; i < 8; i++)
            put_be32(ret_digests[lane] + 4 * i, *word(&lanes, i, lane));
}

void sha256_salted_many(const uint8_t salt[SALT_SIZE], const void *const data[], size_t count, size_t size,
                        uint8_t ret_digests[][32])
{
    const size_t most = have_avx512() ? SHA256_LANES : NARROW_LANES;
    if (count == 1 || size < SHA256_BLOCK) {
        for (size_t i = 0; i < count; i++)
            sha256_salted(salt, data[i], size, ret_digests[i]);
        return;
    }
    for (size_t i = 0; i < count; i += most)
        salted_lanes(salt, data + i, MIN(count - i, most), size, ret_digests + i);
}

/* FIPS 180-4's two-block example, and the salted form against the plain one. */
static void self_test_single(void)
{
    static const char message[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static const uint8_t expected[32] = {0x24, 0x8d, 0x6a, 0x61, 0xd2, 0x06, 0x38, 0xb8, 0xe5, 0xc0, 0x26,
                                         0x93, 0x0c, 0x3e, 0x60, 0x39, 0xa3, 0x3c, 0xe4, 0x59, 0x64, 0xff,
                                         0x21, 0x67, 0xf6, 0xec, 0xed, 0xd4, 0x19, 0xdb, 0x06, 0xc1};
    uint8_t digest[32], salted[32], data[300];
    struct sha256 ctx;
    sha256_init(&ctx);
    sha256_update(&ctx, message, sizeof(message) - 1);
    sha256_final(&ctx, digest);
    if (memcmp(digest, expected, sizeof(digest)) != 0)
        panic("SHA-256 self-test failed");
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = i * 7;
    for (size_t size = 0; size <= sizeof(data); size += 20) {
        sha256_init(&ctx);
        sha256_update(&ctx, expected, SALT_SIZE);
        sha256_update(&ctx, data, size);
        sha256_final(&ctx, digest);
        sha256_salted(expected, data, size, salted);
        if (memcmp(digest, salted, sizeof(digest)) != 0)
            panic("SHA-256 self-test failed");
    }
}

static void self_test_lanes(void)
{
    static uint8_t data[SHA256_LANES][200];
    const void *p[SHA256_LANES];
    uint8_t digests[SHA256_LANES][32], singles[SHA256_LANES][32];
    for (size_t i = 0; i < SHA256_LANES; i++) {
        for (size_t j = 0; j < sizeof(data[i]); j++)
            data[i][j] = (uint8_t)(i * 31 + j * 7);
        p[i] = data[i];
    }
    for (size_t size = 60; size <= sizeof(data[0]); size += 28) {
        for (size_t i = 0; i < SHA256_LANES; i++)
            sha256_salted(data[0], data[i], size, singles[i]);
        for (size_t count = 1; count <= SHA256_LANES; count += 3) {
            sha256_salted_many(data[0], p, count, size, digests);
            if (memcmp(singles, digests, count * sizeof(singles[0])) != 0)
                panic("SHA-256 self-test failed");
        }
    }
}

void sha256_self_test(void)
{
    self_test_single();
    self_test_lanes();
}

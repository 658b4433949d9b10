/*
 * Random bytes: a SHA-256 generator in the manner of Hash_DRBG, seeded and continually refreshed from RDSEED/RDRAND.
 * output block i = SHA-256(key || counter); the key is replaced after every request, so that a later disclosure of the
 * state does not reveal earlier output. The host's seed is mixed in and never relied on.
 */
#include "kernel/lib/random.h"

#include "kernel/arch/vcpu.h"
#include "kernel/crypto/sha256.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"

#define RESEED_BYTES (1u << 20)

static uint8_t key[32];
static uint64_t counter;
static uint64_t bytes_since_reseed;
static uint64_t pool[16];
static unsigned pool_left; /* small requests are served from a pool: one SHA-256 for four words */

static bool cpu_random(uint64_t *ret)
{
    for (int attempt = 0; attempt < 64; attempt++) {
        if (cpu_rdrand(ret))
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

static void rekey(const void *extra, size_t extra_size)
{
    struct sha256 hash;
    uint64_t cpu[4];
    for (unsigned i = 0; i < ARRAY_COUNT(cpu); i++)
        if (!cpu_random(&cpu[i]))
            panic("no randomness from the CPU");
    sha256_init(&hash);
    sha256_update(&hash, "cofre rekey", 11);
    sha256_update(&hash, key, sizeof(key));
    sha256_update(&hash, cpu, sizeof(cpu));
    sha256_update(&hash, extra, extra_size);
    sha256_final(&hash, key);
    bytes_since_reseed = 0;
}

static void next_block(uint8_t ret_block[32])
{
    struct sha256 hash;
    counter++;
    sha256_init(&hash);
    sha256_update(&hash, key, sizeof(key));
    sha256_update(&hash, &counter, sizeof(counter));
    sha256_final(&hash, ret_block);
}

static void advance_key(void)
{
    uint8_t next[32];
    next_block(next);
    memcpy(key, next, sizeof(key));
}

void random_init(const uint64_t host_seed[4])
{
    uint64_t tsc = tsc_read();
    rekey(host_seed, 4 * sizeof(uint64_t));
    rekey(&tsc, sizeof(tsc));
}

void random_bytes(void *buf, size_t size)
{
    uint8_t *out = buf, block[32];
    bytes_since_reseed += size;
    if (bytes_since_reseed >= RESEED_BYTES)
        rekey(NULL, 0);
    while (size) {
        size_t n = MIN(size, sizeof(block));
        next_block(block);
        memcpy(out, block, n);
        out += n;
        size -= n;
    }
    advance_key();
}

uint64_t random_u64(void)
{
    if (pool_left == 0) {
        random_bytes(pool, sizeof(pool));
        pool_left = ARRAY_COUNT(pool);
    }
    uint64_t value = pool[--pool_left];
    pool[pool_left] = 0;
    return value;
}

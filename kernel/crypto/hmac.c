/* HMAC-SHA-256 (contract in hmac.h). */
#include "kernel/crypto/hmac.h"

#include "kernel/crypto/secret.h"

#define BLOCK 64

void hmac_sha256_init(struct hmac_sha256 *ctx, const void *key, size_t key_size)
{
    uint8_t block[BLOCK] = {0};
    if (key_size > BLOCK) {
        sha256_init(&ctx->inner);
        sha256_update(&ctx->inner, key, key_size);
        sha256_final(&ctx->inner, block);
    } else if (key_size > 0) {
        memcpy(block, key, key_size);
    }
    for (size_t i = 0; i < BLOCK; i++)
        block[i] ^= 0x36;
    sha256_init(&ctx->inner);
    sha256_update(&ctx->inner, block, BLOCK);
    for (size_t i = 0; i < BLOCK; i++)
        block[i] ^= 0x36 ^ 0x5c;
    sha256_init(&ctx->outer);
    sha256_update(&ctx->outer, block, BLOCK);
    memory_wipe(block, sizeof(block));
}

void hmac_sha256_update(struct hmac_sha256 *ctx, const void *data, size_t size)
{
    sha256_update(&ctx->inner, data, size);
}

void hmac_sha256_final(struct hmac_sha256 *ctx, uint8_t ret_mac[HMAC_SHA256_SIZE])
{
    uint8_t digest[HMAC_SHA256_SIZE];
    sha256_final(&ctx->inner, digest);
    sha256_update(&ctx->outer, digest, sizeof(digest));
    sha256_final(&ctx->outer, ret_mac);
    memory_wipe(ctx, sizeof(*ctx));
}

void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, uint8_t ret_mac[HMAC_SHA256_SIZE])
{
    struct hmac_sha256 ctx;
    hmac_sha256_init(&ctx, key, key_size);
    hmac_sha256_update(&ctx, data, size);
    hmac_sha256_final(&ctx, ret_mac);
}

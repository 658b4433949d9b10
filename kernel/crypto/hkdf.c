/* HKDF-SHA-256 (contract in hkdf.h). */
#include "kernel/crypto/hkdf.h"

#include "kernel/crypto/hmac.h"
#include "kernel/crypto/secret.h"
#include "kernel/lib/printk.h"

void hkdf_sha256(const void *secret, size_t secret_size, const void *salt, size_t salt_size, const void *info,
                 size_t info_size, void *ret_out, size_t out_size)
{
    uint8_t extracted[HMAC_SHA256_SIZE], block[HMAC_SHA256_SIZE], *out = ret_out;
    struct hmac_sha256 keyed, ctx;
    ASSERT(out_size <= 255 * sizeof(block));
    hmac_sha256(salt, salt_size, secret, secret_size, extracted);
    hmac_sha256_init(&keyed, extracted, sizeof(extracted));
    for (uint8_t i = 1; out_size > 0; i++) {
        ctx = keyed;
        hmac_sha256_update(&ctx, block, i == 1 ? 0 : sizeof(block));
        hmac_sha256_update(&ctx, info, info_size);
        hmac_sha256_update(&ctx, &i, 1);
        hmac_sha256_final(&ctx, block);
        size_t part = MIN(out_size, sizeof(block));
        memcpy(out, block, part);
        out += part;
        out_size -= part;
    }
    memory_wipe(extracted, sizeof(extracted));
    memory_wipe(block, sizeof(block));
    memory_wipe(&keyed, sizeof(keyed));
}

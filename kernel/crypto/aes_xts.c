/* AES-256-XTS (contract in aes_xts.h) over libcrypto's assembly. */
#include "kernel/crypto/aes_xts.h"

#include <linux/errno.h>

#include "kernel/arch/trap.h"
#include "kernel/crypto/assembly.h"
#include "kernel/crypto/crypto.h"
#include "kernel/crypto/secret.h"
#include "kernel/lib/printk.h"

#define HALF (AES_XTS_KEY_SIZE / 2)

int aes_xts_key_init(struct aes_xts_key *key, const uint8_t bytes[AES_XTS_KEY_SIZE])
{
    if (memory_equal_ct(bytes, bytes + HALF, HALF))
        return -EINVAL;
    crypto_need_aes();
    kernel_vector_begin();
    aesni_set_decrypt_key(bytes, 8 * HALF, &key->data);
    aesni_set_encrypt_key(bytes + HALF, 8 * HALF, &key->tweak);
    kernel_vector_end();
    return 0;
}

void aes_xts_decrypt(const struct aes_xts_key *key, uint64_t unit, void *const sectors[], size_t count,
                     size_t sector_size)
{
    ASSERT(sector_size > 0 && sector_size % XTS_UNIT == 0);
    kernel_vector_begin();
    for (size_t i = 0; i < count; i++) {
        uint64_t tweak[2] = {unit + i * (sector_size / XTS_UNIT), 0};
        aesni_xts_decrypt(sectors[i], sectors[i], sector_size, &key->data, &key->tweak, (const uint8_t *)tweak);
    }
    kernel_vector_end();
}

/* What OpenSSL 3 makes of the same input. */
void aes_xts_self_test(void)
{
    static const uint8_t expected[16] = {0x56, 0xff, 0xe1, 0x30, 0xf4, 0xa4, 0xc9, 0x1e,
                                         0xc5, 0x9f, 0xbb, 0x6d, 0xd6, 0xef, 0x49, 0xc8};
    uint8_t bytes[AES_XTS_KEY_SIZE], data[512];
    void *sector = data;
    struct aes_xts_key key;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    int error = aes_xts_key_init(&key, bytes);
    if (!error)
        aes_xts_decrypt(&key, 8, &sector, 1, sizeof(data));
    if (error || memcmp(data + sizeof(data) - 16, expected, 16) != 0)
        panic("AES-XTS self-test failed");
}

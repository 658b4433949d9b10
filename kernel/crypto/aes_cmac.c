/* AES-128-CMAC (contract in aes_cmac.h). Messages are short: block by block. */
#include "kernel/crypto/aes_cmac.h"

#include "kernel/arch/trap.h"
#include "kernel/crypto/assembly.h"
#include "kernel/crypto/crypto.h"
#include "kernel/crypto/secret.h"

#define BLOCK 16UL

/* Multiply by x in GF(2^128). */
static void double_block(uint8_t block[BLOCK])
{
    uint8_t carry = block[0] >> 7;
    for (size_t i = 0; i + 1 < BLOCK; i++)
        block[i] = (uint8_t)(block[i] << 1 | block[i + 1] >> 7);
    block[BLOCK - 1] = (uint8_t)(block[BLOCK - 1] << 1 ^ (-carry & 0x87));
}

static void absorb(uint8_t mac[BLOCK], const uint8_t block[BLOCK], const struct aes_schedule *aes)
{
    for (size_t i = 0; i < BLOCK; i++)
        mac[i] ^= block[i];
    aesni_encrypt(mac, mac, aes);
}

void aes_cmac(const uint8_t key[16], const void *data, size_t size, uint8_t ret_mac[16])
{
    struct aes_schedule aes;
    const uint8_t *p = data;
    uint8_t subkey[BLOCK] = {0}, last[BLOCK] = {0}, mac[BLOCK] = {0};
    crypto_need_aes();
    kernel_vector_begin();
    aesni_set_encrypt_key(key, 128, &aes);
    aesni_encrypt(subkey, subkey, &aes);
    double_block(subkey);
    for (; size > BLOCK; p += BLOCK, size -= BLOCK)
        absorb(mac, p, &aes);
    if (size > 0)
        memcpy(last, p, size);
    if (size < BLOCK) {
        last[size] = 0x80;
        double_block(subkey);
    }
    for (size_t i = 0; i < BLOCK; i++)
        last[i] ^= subkey[i];
    absorb(mac, last, &aes);
    kernel_vector_end();
    memcpy(ret_mac, mac, BLOCK);
    memory_wipe(&aes, sizeof(aes));
    memory_wipe(subkey, sizeof(subkey));
}

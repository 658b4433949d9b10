/*
 * What a volume's counter, or whoever is on the line, answers: any bytes, with authentication that agrees (or nothing
 * would be reached) unless a tag begins with an odd byte. Requests go on over one channel until it fails.
 * Input: answers of {size u8, bytes}; size 255 is a line that broke.
 *
 * fuzz-sources: kernel/volume/counter.c kernel/crypto/noise.c kernel/lib/string.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include <linux/errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/sha256.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/volume/counter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void aes_gcm_key_init(struct aes_gcm_key *key, const uint8_t bytes[AES_GCM_KEY_SIZE])
{
    memset(key, bytes[0], sizeof(*key));
}
void aes_gcm_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                  size_t aad_size, const void *plain, size_t size, void *cipher, uint8_t ret_tag[AES_GCM_TAG_SIZE])
{
    memmove(cipher, plain, size);
    memset(ret_tag, 0, AES_GCM_TAG_SIZE);
}
int aes_gcm_open(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                 size_t aad_size, const void *cipher, size_t size, const uint8_t tag[AES_GCM_TAG_SIZE], void *plain)
{
    if (tag[0] % 2)
        return -EBADMSG;
    memmove(plain, cipher, size);
    return 0;
}
void hkdf_sha256(const void *secret, size_t secret_size, const void *salt, size_t salt_size, const void *info,
                 size_t info_size, void *ret_out, size_t out_size)
{
    memset(ret_out, 1, out_size);
}
void sha256_init(struct sha256 *ctx)
{
}
void sha256_update(struct sha256 *ctx, const void *data, size_t size)
{
}
void sha256_final(struct sha256 *ctx, uint8_t ret_digest[32])
{
    memset(ret_digest, 0, 32);
}
void x25519(const uint8_t scalar[X25519_SIZE], const uint8_t u[X25519_SIZE], uint8_t ret_u[X25519_SIZE])
{
    for (unsigned i = 0; i < X25519_SIZE; i++)
        ret_u[i] = scalar[i] ^ u[i];
}
void x25519_public(const uint8_t scalar[X25519_SIZE], uint8_t ret_u[X25519_SIZE])
{
    memcpy(ret_u, scalar, X25519_SIZE);
}
void panic_at(const char *file, int line, const char *format, ...)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, format);
    abort();
}

struct input {
    const uint8_t *data;
    size_t size;
    bool last_fresh;
    const uint8_t *last;
    size_t last_size;
};

static ssize_t exchange(void *arg, bool fresh, const void *message, size_t size, void *ret_answer)
{
    struct input *in = arg;
    if (size > COUNTER_MESSAGE_MAX)
        abort();
    if (in->size == 0 || in->data[0] == 255)
        return -ECONNRESET;
    in->last_size = MIN((size_t)in->data[0], in->size - 1);
    in->last = in->data + 1;
    in->last_fresh = fresh;
    memcpy(ret_answer, in->last, in->last_size);
    in->data += 1 + in->last_size;
    in->size -= 1 + in->last_size;
    return (ssize_t)in->last_size;
}

static void fill(void *arg, void *buf, size_t size)
{
    memset(buf, 3, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.data = data, .size = size};
    struct counter_client client = {.exchange = exchange, .random = fill, .arg = &in};
    struct volume_anchor_key key = {.uuid = {1}, .secret = {2}};
    for (unsigned i = 0; i < 100 && in.size > 0; i++) {
        uint64_t previous = 0, said;
        struct counter_answer answer;
        size_t before = in.size;
        int err = counter_raise(&client, &key, i % 2 ? VOLUME_ANCHOR_ANY : i, i, &previous);
        if (err == 0) { /* only what a whole, authentic answer says */
            if (in.last_fresh || in.last_size != sizeof(answer) + AES_GCM_TAG_SIZE)
                abort();
            memcpy(&answer, in.last, sizeof(answer));
            memcpy(&said, &answer.previous, sizeof(said));
            if (answer.type != COUNTER_RAISE || answer.status != 0 || said != previous || !client.open)
                abort();
        } else if (client.open) {
            abort();
        }
        if (in.size == before)
            break;
    }
    return 0;
}

/*
 * The chunks of `cofre volume send` (volume/stream.h), with cryptography that agrees with everything: read in pieces of
 * several sizes, nothing may come out that was not put in.
 *
 * fuzz-sources: volume/stream.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "volume/stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/crypto/hkdf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void aes_gcm_key_init(struct aes_gcm_key *key, const uint8_t bytes[AES_GCM_KEY_SIZE])
{
    memset(key, 0, sizeof(*key));
}
void aes_gcm_seal(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                  size_t aad_size, const void *plain, size_t size, void *cipher, uint8_t ret_tag[AES_GCM_TAG_SIZE])
{
    memmove(cipher, plain, size);
    memset(ret_tag, 'T', AES_GCM_TAG_SIZE);
}
int aes_gcm_open(const struct aes_gcm_key *key, const uint8_t nonce[AES_GCM_NONCE_SIZE], const void *aad,
                 size_t aad_size, const void *cipher, size_t size, const uint8_t tag[AES_GCM_TAG_SIZE], void *plain)
{
    memmove(plain, cipher, size);
    return tag[0] == 'T' ? 0 : -EBADMSG;
}
void hkdf_sha256(const void *secret, size_t secret_size, const void *salt, size_t salt_size, const void *info,
                 size_t info_size, void *ret_out, size_t out_size)
{
    memset(ret_out, 0, out_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stream s;
    static uint8_t out[3 * STREAM_CHUNK_MAX];
    static const size_t sizes[] = {1, 8, 4128, sizeof(out)};
    static const uint8_t key[32];
    FILE *file = size > 0 ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
    if (!file)
        return 0;
    int err = stream_read_begin(&s, file, key);
    size_t total = 0;
    for (unsigned i = 0; err == 0; i++) {
        size_t n = sizes[i % 4 == 3 && i < 20 ? 2 : i % 4];
        err = stream_read(&s, out, n);
        total += err == 0 ? n : 0;
    }
    if (total > size)
        abort();
    stream_deinit(&s);
    fclose(file);
    return 0;
}

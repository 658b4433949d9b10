/* The carrier of `cofre volume send` and `receive` (stream.h). */
#include "volume/stream.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "kernel/crypto/hkdf.h"
#include "kernel/crypto/secret.h"

struct chunk_aad {
    struct stream_header header; /* zeros but for the first chunk */
    uint32_t size, last;
};

static void key_init(struct stream *s, const uint8_t key[32])
{
    static const char info[] = "cofre volume stream";
    uint8_t bytes[32];
    hkdf_sha256(key, 32, s->header.salt, sizeof(s->header.salt), info, sizeof(info) - 1, bytes, sizeof(bytes));
    aes_gcm_key_init(&s->key, bytes);
    memory_wipe(bytes, sizeof(bytes));
}

static struct chunk_aad chunk_aad(const struct stream *s, const struct stream_chunk *chunk)
{
    struct chunk_aad aad = {.size = chunk->size, .last = chunk->last};
    if (s->number == 0)
        aad.header = s->header;
    return aad;
}

static void chunk_nonce(uint64_t number, uint8_t ret_nonce[AES_GCM_NONCE_SIZE])
{
    memset(ret_nonce, 0, AES_GCM_NONCE_SIZE);
    memcpy(ret_nonce + 4, &number, sizeof(number));
}

int stream_write_begin(struct stream *s, FILE *file, const uint8_t key[32])
{
    s->file = file;
    s->number = s->used = s->at = 0;
    s->last = 0;
    s->header = (struct stream_header){.version = STREAM_VERSION};
    memcpy(s->header.magic, STREAM_MAGIC, sizeof(s->header.magic));
    if (getrandom(s->header.salt, sizeof(s->header.salt), 0) != sizeof(s->header.salt))
        return -EIO;
    key_init(s, key);
    return fwrite(&s->header, sizeof(s->header), 1, file) == 1 ? 0 : -errno;
}

static int chunk_write(struct stream *s, bool last)
{
    struct stream_chunk chunk = {.size = (uint32_t)s->used, .last = last};
    struct chunk_aad aad = chunk_aad(s, &chunk);
    uint8_t nonce[AES_GCM_NONCE_SIZE];
    chunk_nonce(s->number, nonce);
    aes_gcm_seal(&s->key, nonce, &aad, sizeof(aad), s->data, s->used, s->cipher, chunk.tag);
    s->number++;
    if (fwrite(&chunk, sizeof(chunk), 1, s->file) != 1 || (s->used > 0 && fwrite(s->cipher, s->used, 1, s->file) != 1))
        return -errno;
    s->used = 0;
    return 0;
}

int stream_write(struct stream *s, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (size > 0) {
        size_t room = sizeof(s->data) - s->used, n = size < room ? size : room;
        memcpy(s->data + s->used, from, n);
        s->used += n;
        from += n;
        size -= n;
        int err = s->used == sizeof(s->data) ? chunk_write(s, false) : 0;
        if (err < 0)
            return err;
    }
    return 0;
}

int stream_write_end(struct stream *s)
{
    int err = chunk_write(s, true);
    return err == 0 && fflush(s->file) != 0 ? -errno : err;
}

static int file_read(struct stream *s, void *data, size_t size)
{
    if (fread(data, 1, size, s->file) == size)
        return 0;
    return ferror(s->file) ? -EIO : -ENODATA;
}

int stream_read_begin(struct stream *s, FILE *file, const uint8_t key[32])
{
    s->file = file;
    s->number = s->used = s->at = 0;
    s->last = 0;
    int err = file_read(s, &s->header, sizeof(s->header));
    if (err == -ENODATA || (err == 0 && memcmp(s->header.magic, STREAM_MAGIC, sizeof(s->header.magic)) != 0))
        return -EINVAL;
    if (err == 0 && s->header.version != STREAM_VERSION)
        return -EOPNOTSUPP;
    if (err == 0)
        key_init(s, key);
    return err;
}

static int chunk_read(struct stream *s)
{
    struct stream_chunk chunk;
    uint8_t nonce[AES_GCM_NONCE_SIZE];
    int err = file_read(s, &chunk, sizeof(chunk));
    if (err < 0)
        return err;
    if (chunk.size > sizeof(s->cipher) || chunk.last > 1)
        return -EBADMSG;
    err = file_read(s, s->cipher, chunk.size);
    if (err < 0)
        return err;
    struct chunk_aad aad = chunk_aad(s, &chunk);
    chunk_nonce(s->number++, nonce);
    if (aes_gcm_open(&s->key, nonce, &aad, sizeof(aad), s->cipher, chunk.size, chunk.tag, s->data) < 0)
        return -EBADMSG;
    s->used = chunk.size;
    s->at = 0;
    s->last = (int)chunk.last;
    return 0;
}

int stream_read(struct stream *s, void *data, size_t size)
{
    uint8_t *to = data;
    while (size > 0) {
        if (s->at == s->used) {
            int err = s->last ? -EBADMSG : chunk_read(s);
            if (err < 0)
                return err;
            continue;
        }
        size_t n = s->used - s->at < size ? s->used - s->at : size;
        memcpy(to, s->data + s->at, n);
        s->at += n;
        to += n;
        size -= n;
    }
    return 0;
}

int stream_read_end(struct stream *s)
{
    if (!s->last && s->at == s->used) {
        int err = chunk_read(s);
        if (err < 0)
            return err;
    }
    return s->last && s->at == s->used && fgetc(s->file) == EOF ? 0 : -EBADMSG;
}

void stream_deinit(struct stream *s)
{
    memory_wipe(&s->key, sizeof(s->key));
    memory_wipe(s->data, sizeof(s->data));
}

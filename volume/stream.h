/*
 * Items (kernel/volume/replica.h) on their way: encrypted, authenticated, in order, and with an end.
 *   struct stream_header, in the clear
 *   chunks: struct stream_chunk, in the clear, and `size` bytes under AES-256-GCM; the last one says so
 * The key is HKDF-SHA256 of the stream key with the header's random salt, so no two streams share one; the nonce is the
 * number of the chunk; additional data: the chunk's head without its tag, and for the first one the header before it.
 */
#ifndef COFRE_VOLUME_STREAM_H
#define COFRE_VOLUME_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kernel/crypto/aes_gcm.h"

#define STREAM_MAGIC "CofreSnd"
#define STREAM_VERSION 1
#define STREAM_CHUNK_MAX (256 * 1024)

struct stream_header {
    char magic[8];
    uint32_t version, reserved;
    uint8_t salt[32];
};
struct stream_chunk {
    uint32_t size, last; /* last: 1, else 0 */
    uint8_t tag[16];
};

struct stream {
    FILE *file;
    struct aes_gcm_key key;
    struct stream_header header;
    uint64_t number; /* of the next chunk */
    size_t used, at; /* bytes in data; of them read */
    int last;
    uint8_t data[STREAM_CHUNK_MAX], cipher[STREAM_CHUNK_MAX];
};

/* All: 0 or negative errno. -EIO: the file; -EINVAL: not a stream; -EOPNOTSUPP: of a newer version; -EBADMSG: a chunk
 * does not verify (the wrong key, or changed); -ENODATA: it was cut short. */
int stream_write_begin(struct stream *s, FILE *file, const uint8_t key[32]);
int stream_write(struct stream *s, const void *data, size_t size);
int stream_write_end(struct stream *s);
int stream_read_begin(struct stream *s, FILE *file, const uint8_t key[32]);
int stream_read(struct stream *s, void *data, size_t size); /* all of them */
int stream_read_end(struct stream *s);                      /* and nothing more */
void stream_deinit(struct stream *s);

#endif

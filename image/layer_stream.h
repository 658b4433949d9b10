/*
 * One layer blob as a stream of tar bytes: read, hashed and decompressed in a thread of its own, within limits. The
 * digests are checked at the end; nothing that came out may be kept before layer_stream_finish() has said yes.
 */
#ifndef COFRE_IMAGE_LAYER_STREAM_H
#define COFRE_IMAGE_LAYER_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "image/progress.h"

struct blob { /* a stretch of an open file, which stays the owner's */
    int fd;
    uint64_t offset, size;
};

struct stream_limits {
    uint64_t size_max;  /* bytes that may come out */
    uint64_t ratio_max; /* times the compressed size, looked at once STREAM_RATIO_GRACE bytes are out */
};
#define STREAM_RATIO_GRACE (256ULL << 20)

struct layer_stream;

/* gzip, zstd, bzip2, xz or plain, told by content. progress counts compressed bytes. Never NULL. */
struct layer_stream *layer_stream_new(const struct blob *blob, const struct stream_limits *limits,
                                      struct progress *progress);
void layer_stream_free(struct layer_stream *stream);

/* The next bytes, valid until the next call; 0 at the end, -1 with *ret_error set on failure. */
ssize_t layer_stream_read(struct layer_stream *stream, const void **ret_data, char **ret_error);

/*
 * Reads on to the end, then compares: digest ("sha256:...", NULL = not known) of the blob, diff_id of what came out. A
 * wrong digest is the error even if something else had failed before: a damaged blob is the cause of what it breaks.
 */
int layer_stream_finish(struct layer_stream *stream, const char *digest, const char *diff_id, char **ret_error);

/* Bytes that came out so far. */
uint64_t layer_stream_size(const struct layer_stream *stream);

#endif

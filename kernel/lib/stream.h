/* A stream of bytes to or from somewhere: what images of memory are written to and read from. */
#ifndef COFRE_KERNEL_LIB_STREAM_H
#define COFRE_KERNEL_LIB_STREAM_H

#include "kernel/lib/types.h"

/* Exactly size bytes, or -errno, after which the stream is of no use. May sleep. */
struct stream {
    int (*write)(struct stream *stream, const void *data, size_t size);
    int (*read)(struct stream *stream, void *data, size_t size);
};

must_check static inline int stream_write(struct stream *stream, const void *data, size_t size)
{
    return stream->write(stream, data, size);
}

must_check static inline int stream_read(struct stream *stream, void *data, size_t size)
{
    return stream->read(stream, data, size);
}

#endif

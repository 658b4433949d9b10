/*
 * Applies layers, in order, to the merged tree, with the rules of the OCI image specification (layer.md): whiteouts,
 * opaque directories, hard links to earlier layers. Layers are hostile input: what leads out of the root, cannot be
 * stored, or goes beyond the limits is refused with an error that names the layer and the entry.
 */
#ifndef COFRE_IMAGE_LAYERS_H
#define COFRE_IMAGE_LAYERS_H

#include <stdint.h>

#include "image/layer_stream.h"

struct spool;
struct tree;

struct layer_limits {
    uint64_t size_max;  /* bytes, of all layers unpacked and of all files */
    uint64_t ratio_max; /* unpacked size / compressed size of a layer, see stream_limits */
    uint64_t entry_max; /* entries of all layers */
};
#define LAYER_LIMITS_DEFAULT ((struct layer_limits){.size_max = 64ULL << 30, .ratio_max = 400, .entry_max = 4 << 20})

struct layer_source {
    struct blob blob;
    const char *digest;  /* "sha256:..." of the blob; NULL = not known */
    const char *diff_id; /* of the uncompressed layer; NULL = not known */
};

struct layers {
    struct tree *tree;
    struct spool *spool;
    struct layer_limits limits;
    struct progress *progress; /* counts bytes of the blobs; may be NULL */
    /* results */
    uint32_t layer_count;
    uint64_t unpacked_size, file_size, entry_count;
    uint64_t xattrs_dropped; /* attributes that Linux could not store either */
};

/* Applies one more layer. After a failure tree and spool are good for nothing but being freed. */
int layers_apply(struct layers *layers, const struct layer_source *source, char **ret_error);

#endif

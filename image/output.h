/*
 * Where a converted image is written: an OCI layout folder or an OCI archive that appears whole or not at all. Until
 * the commit the layer is an unlinked file beside the target, so that whatever happens leaves nothing behind.
 */
#ifndef COFRE_IMAGE_OUTPUT_H
#define COFRE_IMAGE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/digest.h"

struct output {
    char *path;
    char *folder; /* that path is in */
    bool is_archive, replace;
    int fd;        /* the layer is written to it from layer_offset on; readable */
    char *fd_path; /* a name it has already, where files without one cannot be had; otherwise NULL */
    uint64_t layer_offset;
};

/*
 * path ends in ".tar" or begins with "oci-archive:" for an archive; otherwise it is a folder ("oci:" may precede it).
 * What is there already is an error, unless it is an empty folder, or replace is set and it is an image of that form.
 */
int output_open(struct output *output, const char *path, bool replace, char **ret_error);

struct output_blob {
    const char *digest;
    const void *data;
    size_t size;
};

/* Puts everything in place. The layer's bytes are in fd; blobs are the configuration and the manifest. */
int output_commit(struct output *output, const char *layer_digest, uint64_t layer_size, const struct output_blob *blobs,
                  size_t blob_count, const char *index, char **ret_error);

/* Ends it; without a commit nothing is left. */
void output_close(struct output *output);

#endif

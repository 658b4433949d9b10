/*
 * Reading container images: an OCI layout (folder or archive), what `docker save` writes, or anything that skopeo can
 * name. One linux/amd64 image is chosen, also out of nested indexes. Everything read is hostile: sizes are bounded,
 * types checked, digests verified.
 */
#ifndef COFRE_IMAGE_OCI_H
#define COFRE_IMAGE_OCI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/digest.h"
#include "image/layers.h"
#include "image/oci_store.h"
#include "image/policy.h"

#define OCI_LAYER_MAX 512

struct oci_config {
    struct string_list entrypoint, cmd, env, ports, volumes, diff_ids;
    char *user, *workdir, *stop_signal; /* NULL or not empty */
    json_t *labels;                     /* object of strings, or NULL */
};

struct oci_layer {
    char *name;                    /* in the store */
    char digest[DIGEST_TEXT_SIZE]; /* empty = not known (docker save) */
    uint64_t size;                 /* that the manifest says; UINT64_MAX = not known */
};

struct oci_image {
    struct oci_store store;
    char *temporary;                        /* folder that skopeo filled; removed on close */
    char manifest_digest[DIGEST_TEXT_SIZE]; /* empty: docker save has none */
    char config_digest[DIGEST_TEXT_SIZE];   /* of the image configuration's bytes: what Docker calls the image's ID */
    struct oci_config config;
    struct oci_layer *layers;
    size_t layer_count;
};

/*
 * source is a path, PATH:REFERENCE, oci:PATH[:REFERENCE], oci-archive:..., docker-archive:..., or any other name of
 * skopeo's ("docker://...", "containers-storage:...", ...), which is copied to a temporary folder first.
 */
int oci_image_open(struct oci_image *image, const char *source, const struct layer_limits *limits,
                   struct progress *progress, char **ret_error);
void oci_image_close(struct oci_image *image);

/* Fills in what layers_apply() wants; the blob's fd is the caller's to close. */
int oci_image_layer(const struct oci_image *image, size_t index, struct layer_source *ret_source, char **ret_error);

/* The parts, for tests and fuzzing. The configuration of an image for another machine is refused. */
int oci_config_parse(struct oci_config *config, const char *text, size_t size, char **ret_error);
void oci_config_free(struct oci_config *config);

/* Manifest JSON: config digest and size, layers. */
int oci_manifest_parse(struct oci_image *image, const json_t *manifest, char ret_config[DIGEST_TEXT_SIZE],
                       uint64_t *ret_config_size, char **ret_error);

/* The descriptor in an index that is for linux/amd64 (borrowed); reference may be NULL. NULL with *ret_error. */
const json_t *oci_index_choose(const json_t *index, const char *reference, char **ret_error);

#endif

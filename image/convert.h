/* OCI image in, confidential OCI image out. */
#ifndef COFRE_IMAGE_CONVERT_H
#define COFRE_IMAGE_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "image/digest.h"
#include "image/layers.h"

struct convert_options {
    const char *source;           /* see oci_image_open() */
    const char *target;           /* see output_open() */
    bool replace;                 /* a target that is an image already */
    const char *name;             /* reference of the image in the target */
    const char *policy_path;      /* YAML; NULL = what the image's configuration says */
    const char *key_path;         /* PEM private key; NULL = leave it unsigned */
    const char *image_key_path;   /* encrypt with the key in this file, made if it is not there; NULL = do not */
    const char *wrapped_key_path; /* encrypt with a new key that goes to this file for the key server alone; or NULL */
    const char *runtime_path, *kernel_path;
    struct layer_limits limits;
    struct progress *progress; /* may be NULL */
};

struct convert_result {
    uint8_t mrenclave[32], mrsigner[32]; /* mrsigner only if signed */
    uint8_t root_hash[32];
    uint64_t root_size;  /* bytes of the root image without its hash tree */
    uint64_t layer_size; /* bytes of the one layer */
    uint64_t file_count;
    uint64_t xattrs_dropped;
    bool image_key_made;
    char manifest_digest[DIGEST_TEXT_SIZE];
};

/*
 * The same source, options and program parts give the same bytes, wherever and whenever. The target appears whole or
 * not at all, and so does an image key that was made. Memory is bounded but for names and attributes of the files
 * (about 200 bytes a file).
 */
int convert(const struct convert_options *options, struct convert_result *ret_result, char **ret_error);

#endif

/* The JSON documents of a converted image. */
#ifndef COFRE_IMAGE_CONVERT_DOCUMENTS_H
#define COFRE_IMAGE_CONVERT_DOCUMENTS_H

#include <stdint.h>

#include "image/digest.h"

struct oci_image;

struct convert_facts {
    const struct oci_image *source;
    const char *name; /* reference */
    char layer_digest[DIGEST_TEXT_SIZE];
    uint64_t layer_size;
    const uint8_t *mrenclave, *mrsigner; /* mrsigner NULL = unsigned */
};

/* Canonical JSON, each malloc'd, with its digest. */
struct convert_documents {
    char *config, *manifest, *index;
    char config_digest[DIGEST_TEXT_SIZE], manifest_digest[DIGEST_TEXT_SIZE];
};

void convert_documents_make(struct convert_documents *documents, const struct convert_facts *facts);
void convert_documents_free(struct convert_documents *documents);

#endif

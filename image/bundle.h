/*
 * A converted image: where its kernel, policy, SIGSTRUCT and root image lie inside the one uncompressed layer. Nothing
 * is extracted. Everything in it is checked; nothing in it is trusted.
 */
#ifndef COFRE_IMAGE_BUNDLE_H
#define COFRE_IMAGE_BUNDLE_H

#include <jansson.h>
#include <stdint.h>

#include "image/enclave_layout.h"
#include "image/sgx_arch.h"

struct bundle_member {
    uint64_t offset, size; /* in the layer file; size 0 = absent */
};

struct bundle {
    char *path;                        /* as the user gave it */
    char *layer_path;                  /* file that holds the layer */
    uint64_t layer_offset, layer_size; /* where in that file (not 0 for an archive) */
    int layer_fd;
    struct bundle_member runtime, kernel, policy, sigstruct, root;
    void *kernel_data;          /* a copy, once bundle_parts() was called */
    struct policy *policy_data; /* a copy, checked by policy_check() */
    struct sgx_sigstruct sigstruct_data;
    int is_signed;
    json_t *config; /* the OCI image configuration */
    char *manifest_digest;
};

/* An OCI layout folder or OCI archive made by `cofre convert`. 0, or -1 with *ret_error. */
int bundle_open(struct bundle *bundle, const char *path, char **ret_error);
void bundle_close(struct bundle *bundle);
/* What is measured, which stays the bundle's. 0, or -1 with *ret_error. */
int bundle_parts(struct bundle *bundle, struct enclave_parts *ret_parts, char **ret_error);

#endif

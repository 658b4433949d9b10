/*
 * The anchor of a volume as a sealed file beside it (docs/volumes.md, "local"): whoever puts an older volume back, but
 * not this file, is found out.
 */
#ifndef COFRE_KERNEL_FS_VOLUME_ANCHOR_H
#define COFRE_KERNEL_FS_VOLUME_ANCHOR_H

#include "kernel/crypto/sgx_key.h"
#include "kernel/fs/volume_disk.h"

struct volume_local_anchor {
    struct volume_anchor anchor; /* for struct volume_options */
    struct volume_disk *disk;
    enum sgx_seal_policy policy;
    uint64_t counter; /* of the newest block there */
};

void volume_local_anchor_init(struct volume_local_anchor *anchor, struct volume_disk *disk,
                              enum sgx_seal_policy policy);

#endif

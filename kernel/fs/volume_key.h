/*
 * Wrapping keys of volumes (docs/volumes.md): sealed to this enclave or its signer, or given: by a file of the host, or
 * by the key server. A given key opens the slot of a key file, so that whoever has the server's file can open the
 * volume elsewhere with it.
 */
#ifndef COFRE_KERNEL_FS_VOLUME_KEY_H
#define COFRE_KERNEL_FS_VOLUME_KEY_H

#include "abi/policy.h"
#include "abi/volume.h"
#include "kernel/volume/volume.h"

struct volume_key_source {
    uint32_t key;     /* enum policy_volume_key */
    const char *name; /* of the policy: a volume of another name has another key */
    const uint8_t *given_key;
    bool is_given;
};

/* volume_unlock_fn; arg is a struct volume_key_source. -ESTALE: sealed by a newer version of CPU or enclave. */
int volume_key_unlock(void *arg, const struct volume_key_slot *slot, uint8_t ret_key[32]);
/* A slot for a new volume, and its key. 0 or -ENOKEY. */
must_check int volume_key_new(const struct volume_key_source *source, struct volume_key_slot *ret_slot,
                              uint8_t ret_key[32]);

#endif

/* Keys that are released to this enclave after attestation, by the key server that the policy names. */
#ifndef COFRE_KERNEL_ATTESTATION_KEY_RELEASE_H
#define COFRE_KERNEL_ATTESTATION_KEY_RELEASE_H

#include "kernel/lib/types.h"

/*
 * The key of that name, of key_size bytes, or the end of the container, which says that the key of `what` ("the volume
 * for /data") was not released, and why. A server that is not there, or is not itself, is asked again until the
 * policy's timeout is over. In the init enclave only; one at a time. Sleeps.
 */
void key_release(const char *what, const char *name, uint8_t *ret_key, size_t key_size);

#endif

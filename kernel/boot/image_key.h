/* The key of an encrypted root image. */
#ifndef COFRE_KERNEL_BOOT_IMAGE_KEY_H
#define COFRE_KERNEL_BOOT_IMAGE_KEY_H

#include "kernel/crypto/aes_xts.h"

/*
 * The key, released in the way that the measured policy says and checked against the policy's check value; NULL if the
 * image is not encrypted. Call once; a missing or wrong key ends the container with a message. Stays for ever.
 */
const struct aes_xts_key *image_key(void);

#endif

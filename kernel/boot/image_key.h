/* The key of an encrypted root image. */
#ifndef COFRE_KERNEL_BOOT_IMAGE_KEY_H
#define COFRE_KERNEL_BOOT_IMAGE_KEY_H

#include "abi/policy.h"
#include "kernel/crypto/aes_xts.h"

/*
 * The key, released in the way that the measured policy says and checked against the policy's check value; NULL if the
 * image is not encrypted. Call once; a missing or wrong key ends the container with a message. Stays for ever. Sleeps
 * if a key server has it.
 */
const struct aes_xts_key *image_key(void);

/* What a key server released to the init enclave, for its members; NULL: nothing. Stays for ever. */
const uint8_t *image_key_released(void);
/* A member got it: before image_key(). */
void image_key_receive(const uint8_t key[IMAGE_KEY_SIZE]);

#endif

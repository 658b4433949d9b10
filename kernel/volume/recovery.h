/*
 * Recovery keys: a key slot that is made with a public key (X25519) and opened with the private one, which stays
 * offline. The slot's wrapping key is HKDF-SHA-256 of what a fresh key pair and that public key have in common.
 */
#ifndef COFRE_KERNEL_VOLUME_RECOVERY_H
#define COFRE_KERNEL_VOLUME_RECOVERY_H

#include "kernel/volume/volume.h"

#define RECOVERY_KEY_SIZE 32

struct volume_recovery_params { /* of the slot */
    uint8_t ephemeral[RECOVERY_KEY_SIZE], recipient[RECOVERY_KEY_SIZE];
};

/* 64 hexadecimal digits; -EINVAL. */
must_check int volume_recovery_parse(const char *text, uint8_t ret_key[RECOVERY_KEY_SIZE]);
/*
 * A slot for whoever has the private half of `recipient`, and its wrapping key. fresh: 32 random bytes, wiped. -EINVAL:
 * that is no public key (a point of small order).
 */
must_check int volume_recovery_new(const uint8_t recipient[RECOVERY_KEY_SIZE], uint8_t fresh[RECOVERY_KEY_SIZE],
                                   struct volume_key_slot *ret_slot, uint8_t ret_key[32]);
/* The wrapping key of a slot: 0, or -ENOKEY if it is for another private key, or none of this kind. */
must_check int volume_recovery_open(const uint8_t private_key[RECOVERY_KEY_SIZE], const struct volume_key_slot *slot,
                                    uint8_t ret_key[32]);
/* Is it a slot for this public key? */
bool volume_recovery_is_for(const struct volume_key_slot *slot, const uint8_t recipient[RECOVERY_KEY_SIZE]);

#endif

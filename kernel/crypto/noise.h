/*
 * An authenticated channel between two parties that know each other's public key, or one of them only: the initiator's
 * side of Noise_IK_25519_AESGCM_SHA256 (The Noise Protocol Framework, revision 34). Nothing is sent here: messages are
 * made and read, whoever carries them.
 *
 * The responder is whom the initiator pinned; it learns the initiator's public key. Keys are fresh for each channel and
 * do not follow from the static ones. Messages of a channel are read in the order in which they were made, each once.
 */
#ifndef COFRE_KERNEL_CRYPTO_NOISE_H
#define COFRE_KERNEL_CRYPTO_NOISE_H

#include "kernel/crypto/aes_gcm.h"
#include "kernel/crypto/x25519.h"

#define NOISE_HELLO_SIZE (X25519_SIZE + X25519_SIZE + AES_GCM_TAG_SIZE + AES_GCM_TAG_SIZE)
#define NOISE_ANSWER_SIZE (X25519_SIZE + AES_GCM_TAG_SIZE)

struct noise_handshake {
    uint8_t own[X25519_SIZE], own_public[X25519_SIZE]; /* static */
    uint8_t ephemeral[X25519_SIZE];
    uint8_t chaining[32], hash[32];
    struct aes_gcm_key key;
    uint64_t nonce;
};

struct noise_channel {
    struct aes_gcm_key send, receive;
    uint64_t sent, received;
    uint8_t hash[32]; /* of the handshake: of this channel and no other. Both sides have it; it is not secret */
};

/* Make the first message. prologue is a string that both sides agree on. `ephemeral`: 32 fresh random bytes. */
void noise_begin(struct noise_handshake *handshake, const char *prologue, const uint8_t own[X25519_SIZE],
                 const uint8_t responder_public[X25519_SIZE], const uint8_t ephemeral[X25519_SIZE],
                 uint8_t ret_hello[NOISE_HELLO_SIZE]);
/* Read the second one: 0 and the channel, or -EBADMSG. The handshake is wiped. */
must_check int noise_finish(struct noise_handshake *handshake, const uint8_t answer[NOISE_ANSWER_SIZE],
                            struct noise_channel *ret_channel);
/* cipher is size + AES_GCM_TAG_SIZE bytes. */
void noise_seal(struct noise_channel *channel, const void *plain, size_t size, void *ret_cipher);
/* plain is size bytes, cipher size + AES_GCM_TAG_SIZE. 0 or -EBADMSG, after which the channel is of no more use. */
must_check int noise_open(struct noise_channel *channel, const void *cipher, size_t size, void *ret_plain);

#endif

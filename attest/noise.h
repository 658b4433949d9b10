/*
 * An authenticated channel between two parties of which the caller knows the other's public key: the responder's side
 * of Noise_IK_25519_AESGCM_SHA256 (The Noise Protocol Framework, revision 34). Nothing is sent here: messages are read
 * and made, whoever carries them. Messages of a channel are read in the order in which they were made, each once.
 */
#ifndef COFRE_ATTEST_NOISE_H
#define COFRE_ATTEST_NOISE_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#define ATTEST_NOISE_HELLO_SIZE 96
#define ATTEST_NOISE_ANSWER_SIZE 48
#define ATTEST_NOISE_TAG_SIZE 16

struct attest_noise_channel {
    uint8_t peer[32]; /* its static public key */
    uint8_t hash[32]; /* of the handshake: of this channel and no other */
    uint8_t receive_key[32], send_key[32];
    uint64_t received, sent;
};

/*
 * Read the first message and make the second. own is an X25519 key; prologue is a string that both sides agree on. 0
 * and the channel, or -1: the caller does not mean this key, or the message was changed (or OpenSSL failed).
 */
int attest_noise_respond(EVP_PKEY *own, const char *prologue, const uint8_t hello[ATTEST_NOISE_HELLO_SIZE],
                         uint8_t ret_answer[ATTEST_NOISE_ANSWER_SIZE], struct attest_noise_channel *ret_channel);
/* cipher is size + ATTEST_NOISE_TAG_SIZE bytes, plain size. 0, or -1, after which the channel is of no more use. */
int attest_noise_open(struct attest_noise_channel *channel, const uint8_t *cipher, size_t size, uint8_t *ret_plain);
int attest_noise_seal(struct attest_noise_channel *channel, const uint8_t *plain, size_t size, uint8_t *ret_cipher);

#endif

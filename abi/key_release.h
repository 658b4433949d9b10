/*
 * What an enclave and a key server say to each other (docs/key-release.md). Over TCP, each message behind its size in
 * two bytes, the more significant first:
 *
 *   enclave                                             key server
 *   Noise_IK_25519_AESGCM_SHA256, first message  ---->
 *                                                <----  second message
 *   struct key_request, quote (sealed)           ---->  verifies, appraises
 *                                                <----  struct key_answer (sealed)
 *
 * The enclave pins the server's static key; its own is made for this one channel. The quote's REPORTDATA is
 *
 *   SHA-256(KEY_RELEASE_LABEL | the handshake's hash | key_request.name) | 16 zero bytes | KEY_RELEASE_MARK
 *
 * so it is of this channel, hence fresh, and of no other key; and the mark is one that no program in an enclave can
 * have a report with. Numbers are little-endian.
 */
#ifndef COFRE_ABI_KEY_RELEASE_H
#define COFRE_ABI_KEY_RELEASE_H

#include <stdint.h>

#define KEY_RELEASE_PROLOGUE "cofre key release 1"
#define KEY_RELEASE_LABEL "cofre key release, version 1" /* without its NUL */
#define KEY_RELEASE_MARK "for a key server"              /* 16 bytes, without its NUL */
#define KEY_RELEASE_MARK_SIZE 16
#define KEY_RELEASE_MARK_OFFSET 48

#define KEY_NAME_SIZE 64          /* with at least one NUL */
#define KEY_SIZE_MAX 64           /* of a key */
#define KEY_QUOTE_SIZE_MAX 16384U /* of a quote */

enum key_request_type { KEY_REQUEST = 1 };

struct key_request {
    uint32_t type; /* enum key_request_type */
    uint32_t quote_size;
    char name[KEY_NAME_SIZE]; /* zeros behind it */
};                            /* then the quote, and nothing after it */

enum key_status {
    KEY_GRANTED = 0,
    KEY_DENIED = 1, /* it does not say why: its log does */
    KEY_FAILED = 2, /* the server has trouble of its own: ask again */
};

struct key_answer {
    uint32_t status;   /* enum key_status */
    uint32_t key_size; /* 0 unless it is granted */
    uint8_t key[KEY_SIZE_MAX];
};

#define KEY_TAG_SIZE 16 /* of AES-GCM, behind what is sealed */
#define KEY_MESSAGE_MAX (sizeof(struct key_request) + KEY_QUOTE_SIZE_MAX + KEY_TAG_SIZE)
#define KEY_ANSWER_MAX 128U

#endif

/* A counter's side of the protocol in memory, for one counter for each caller's key. */
#ifndef COFRE_TESTS_VOLUME_RESPONDER_H
#define COFRE_TESTS_VOLUME_RESPONDER_H

#include "kernel/volume/counter.h"

struct responder {
    uint8_t private[X25519_SIZE], public[X25519_SIZE];
    bool open;
    uint8_t caller[X25519_SIZE];
    struct noise_channel channel;
    uint8_t owner[X25519_SIZE]; /* of `value`: the first that raised it; others have 0 */
    uint64_t value;
};

void responder_init(struct responder *r, uint8_t ret_public[X25519_SIZE]);
/* Bytes of the answer; -ECONNRESET: it hangs up, because a message is not what it should be. */
ssize_t responder_answer(struct responder *r, bool fresh, const void *message, size_t size, void *ret_answer);

#endif

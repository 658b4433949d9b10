/*
 * The anchor of a volume as a counter elsewhere (docs/VOLUME-FORMAT.md, "The counter's protocol"): requests and answers
 * over an authenticated channel that someone carries who is not trusted.
 *
 * The request is MarbleRun's monotonic counter, version 2: "sets if greater, returns the previous value", with one
 * condition more: what the value has to be now.
 */
#ifndef COFRE_KERNEL_VOLUME_COUNTER_H
#define COFRE_KERNEL_VOLUME_COUNTER_H

#include "kernel/crypto/noise.h"
#include "kernel/volume/volume.h"

#define COUNTER_PROLOGUE "cofre counter 1"
#define COUNTER_MESSAGE_MAX 256

struct counter_request {
    uint32_t type; /* COUNTER_RAISE */
    uint32_t flags;
    uint8_t name[16]; /* of the counter, among those of the caller's public key */
    uint64_t expected, value;
};
enum { COUNTER_RAISE = 1 };
enum counter_flags { COUNTER_EXPECTED = 1 }; /* only if it is `expected` now */

struct counter_answer {
    uint32_t type;   /* as asked */
    uint32_t status; /* 0; else it was refused: enum counter_status */
    uint64_t previous;
};
enum counter_status { COUNTER_DONE, COUNTER_REFUSED, COUNTER_FAILED };

struct counter_client {
    /*
     * Carry a message to the counter and its answer back. `fresh`: over a new connection. Bytes of the answer, at most
     * COUNTER_MESSAGE_MAX, or negative errno. May sleep.
     */
    ssize_t (*exchange)(void *arg, bool fresh, const void *message, size_t size, void *ret_answer);
    void (*random)(void *arg, void *buf, size_t size);
    void *arg;
    uint8_t counter_public[X25519_SIZE]; /* pinned */
    bool open;
    struct noise_channel channel;
};

/*
 * One request, over the channel that is open or a new one. 0 and what the value was before; -EACCES: refused;
 * -EPROTO: who answers is not the counter, or not in order; or what exchange() said. After an error it may or may not
 * have been done, and the next request opens a new channel.
 */
must_check int counter_raise(struct counter_client *client, const struct volume_anchor_key *key, uint64_t expected,
                             uint64_t value, uint64_t *ret_previous);
/* The public key under which a volume's counter is kept. */
void counter_public_key(const struct volume_anchor_key *key, uint8_t ret_public[X25519_SIZE]);

#endif

/*
 * A key from a key server (abi/key_release.h): one question and its answer over an authenticated channel that someone
 * carries who is not trusted. What is said here is the whole protocol; who carries it, and how often it is tried, is
 * key_release.h's business.
 */
#ifndef COFRE_KERNEL_ATTESTATION_KEY_REQUEST_H
#define COFRE_KERNEL_ATTESTATION_KEY_REQUEST_H

#include "abi/key_release.h"
#include "kernel/crypto/x25519.h"

struct key_carrier {
    /*
     * Carry a message to the key server and its answer back. `fresh`: over a new connection. Bytes of the answer, at
     * most KEY_ANSWER_MAX, or negative errno. May sleep.
     */
    ssize_t (*exchange)(void *arg, bool fresh, const void *message, size_t size, void *ret_answer);
    void (*random)(void *arg, void *buf, size_t size);
    /* quote_make() */
    int (*quote)(void *arg, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size);
    void *arg;
};

enum key_outcome {
    KEY_RELEASED,
    KEY_NO_ANSWER,     /* nobody there, or not in time */
    KEY_NOT_SERVER,    /* who answers is not the server of the pinned key, or what it says was changed */
    KEY_NO_QUOTE,      /* the host brings none of this enclave */
    KEY_REFUSED,       /* for reasons that the server keeps to itself */
    KEY_SERVER_FAILED, /* it has trouble of its own */
    KEY_OTHER_SIZE,    /* a key of that name is there, and it is none of this size */
    KEY_NO_MEMORY,
};

/* The key of that name, of key_size bytes (at most KEY_SIZE_MAX). Unless it is released ret_key stays as it was. */
must_check enum key_outcome key_request(const struct key_carrier *carrier, const uint8_t server_public[X25519_SIZE],
                                        const char *name, uint8_t *ret_key, size_t key_size);
/* Why there is no key, for a message: "the key server refuses ..." */
const char *key_outcome_text(enum key_outcome outcome);

#endif

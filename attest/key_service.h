/*
 * Releasing keys to enclaves that have proved what they are: what a key server decides (abi/key_release.h). The keys
 * are files: NAME.key has the bytes, or NAME.wrapped has them encrypted to the server (image/key_wrap.h); NAME.yaml
 * says who gets them (an appraisal policy). They are read anew for each request, so that a change holds at once.
 */
#ifndef COFRE_ATTEST_KEY_SERVICE_H
#define COFRE_ATTEST_KEY_SERVICE_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "abi/key_release.h"
#include "attest/store.h"

struct attest_key_service {
    struct attest_store *store;
    const char *folder;
    EVP_PKEY *own; /* the server's X25519 key, for keys that are wrapped */
    int64_t time;  /* verify as of this time; 0: now */
};

/* What became of a request, for the log: no bytes of a key, and nothing that does not print. */
struct attest_key_event {
    enum key_status status;
    char name[KEY_NAME_SIZE]; /* "" if the request has none that could be one */
    bool simulation;          /* the quote ends in a root that is not Intel's */
    char enclave[160];        /* who asked, as far as the quote says; "" if it says nothing */
    char reason[768];         /* why not; "" if it was granted */
};

/*
 * Answers a request (already opened, of any bytes) of a channel with this handshake hash. The key is granted to a quote
 * that is genuine, made for this channel and this name, and accepted by the name's policy; ret_answer is to be wiped
 * after use. May be called by several threads.
 */
void attest_key_answer(const struct attest_key_service *service, const uint8_t channel_hash[32], const uint8_t *request,
                       size_t size, struct key_answer *ret_answer, struct attest_key_event *ret_event);

/* Looks through the folder: how many keys have both files; -1 with *ret_error for a policy that is none. */
int attest_key_service_check(const struct attest_key_service *service, char **ret_error);

#endif

/* What an enclave asks a key server for (abi/key_release.h): the parser, and what a quote must commit to. */
#ifndef COFRE_ATTEST_KEY_REQUEST_H
#define COFRE_ATTEST_KEY_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "abi/key_release.h"

/* Letters, digits, ".", "_", "-", no "." first, zeros behind it: it becomes part of a path. */
bool attest_key_name_ok(const char name[KEY_NAME_SIZE]);

struct attest_key_request {
    char name[KEY_NAME_SIZE];
    const uint8_t *quote; /* leads into the request */
    size_t quote_size;
};

/* 0, or -1 with *ret_reason (a literal). */
int attest_key_request_parse(const uint8_t *data, size_t size, struct attest_key_request *ret_request,
                             const char **ret_reason);

/* REPORTDATA that a quote for this name must have on a channel with this handshake hash. */
void attest_key_report_data(const uint8_t channel_hash[32], const char name[KEY_NAME_SIZE], uint8_t ret_data[64]);

#endif

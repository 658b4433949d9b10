/*
 * Messages of AESM, the service through which processes reach Intel's quoting enclave (linux-sgx, messages.proto): a
 * request or an answer holds one message in the field that is the call's number.
 */
#ifndef COFRE_HOST_QUOTE_AESM_MESSAGE_H
#define COFRE_HOST_QUOTE_AESM_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AESM_MESSAGE_SIZE_MAX (64U << 10)
#define AESM_KEY_ID_SIZE 256
#define AESM_PUBLIC_KEY_ID_SIZE 32
#define AESM_TIMEOUT_US 15000000U

enum aesm_call {
    AESM_INIT_QUOTE_EX = 15,     /* answer: TARGETINFO */
    AESM_GET_QUOTE_SIZE_EX = 16, /* answer: a number */
    AESM_GET_QUOTE_EX = 17,      /* answer: the quote, perhaps in a larger buffer */
    AESM_SELECT_ATT_KEY_ID = 19, /* answer: the identity of the key chosen */
};

/* Which attestation key is meant (sgx_att_key_id_ext_t): ECDSA over P-256 of Intel's quoting enclave QE3. */
extern const uint8_t aesm_key_id_ecdsa[AESM_KEY_ID_SIZE];

/*
 * Encodes a request. key_id is AESM_KEY_ID_SIZE bytes, for SELECT the only one in the list. report: 432 bytes, for
 * GET_QUOTE_EX, which also takes the quote's size. The size; 0 if it does not fit.
 */
size_t aesm_encode(enum aesm_call call, const uint8_t *key_id, const uint8_t *report, uint32_t quote_size, uint8_t *out,
                   size_t size);

struct aesm_answer {
    uint64_t error;       /* 0: done */
    uint64_t number;      /* GET_QUOTE_SIZE_EX */
    const uint8_t *bytes; /* the others; into the message */
    size_t size;
};

/* False unless the message is well-formed and the answer to call: an error, or what the call gives. */
bool aesm_decode(enum aesm_call call, const void *message, size_t size, struct aesm_answer *ret_answer);

#endif

/*
 * Answers of AESM. First byte: the call; the rest is the message.
 * fuzz-sources: host/quote/aesm_message.c host/quote/protobuf.c
 */
#include <stdlib.h>
#include <string.h>

#include "host/quote/aesm_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum aesm_call calls[] = {AESM_INIT_QUOTE_EX, AESM_GET_QUOTE_SIZE_EX, AESM_GET_QUOTE_EX,
                                           AESM_SELECT_ATT_KEY_ID};
    struct aesm_answer answer;

    if (size < 1)
        return 0;
    if (!aesm_decode(calls[data[0] % 4], data + 1, size - 1, &answer))
        return 0;
    /* What it points to lies in the message. */
    if (answer.bytes && (answer.bytes < data + 1 || answer.size > (size_t)(data + size - answer.bytes)))
        abort();
    if (answer.bytes) {
        void *copy = malloc(answer.size + 1);
        memcpy(copy, answer.bytes, answer.size);
        free(copy);
    }
    return 0;
}

/*
 * What MarbleRun's coordinator, or who has its key, answers: any bytes, arriving in any pieces.
 *
 * fuzz-sources: kernel/volume/marble_answer.c kernel/lib/string.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include <linux/errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/volume/marble.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct marble_answer whole = {0}, part;
    if (size > MARBLE_ANSWER_MAX)
        return 0;
    char *text = malloc(size ? size : 1); /* of just that size: no byte behind it is read */
    memcpy(text, data, size);
    int result = marble_answer_parse(text, size, &whole);
    if (result != 0 && result != -EAGAIN && result != -EPROTO)
        abort();
    if (result == 0 && (whole.status < 200 || whole.status > 599))
        abort();
    /* What is whole was not whole before its last byte, and what can still become something was never nothing. */
    for (size_t n = 0; n < size && result != -EPROTO; n += 1 + size / 64) {
        char *begin = malloc(n ? n : 1);
        memcpy(begin, text, n);
        if (marble_answer_parse(begin, n, &part) != -EAGAIN)
            abort();
        free(begin);
    }
    free(text);
    return 0;
}

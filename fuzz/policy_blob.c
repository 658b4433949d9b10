/*
 * A compiled policy of unknown origin: checked, then everything in it is read.
 * fuzz-sources: image/policy.c image/policy_compile.c image/digest.c image/error.c
 * fuzz-flags: -ljansson -lcrypto
 */
#include <stdlib.h>
#include <string.h>

#include "image/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *error = NULL;
    void *copy = malloc(size + 1);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (policy_check(copy, size, &error) == 0)
        json_decref(policy_to_json(copy));
    free(copy);
    free(error);
    return 0;
}

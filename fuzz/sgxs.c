/*
 * A foreign enclave's measurement stream.
 * fuzz-sources: image/measure.c image/enclave_layout.c image/error.c
 * fuzz-flags: -lcrypto
 */
#include <stdio.h>
#include <stdlib.h>

#include "image/measure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t mrenclave[32];
    char *error = NULL;
    FILE *f = size ? fmemopen((void *)data, size, "r") : NULL;
    if (f) {
        measure_sgxs(f, mrenclave, &error);
        fclose(f);
    }
    free(error);
    return 0;
}

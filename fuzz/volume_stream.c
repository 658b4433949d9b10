/*
 * The chunks of `cofre volume send` (volume/stream.h), with cryptography that agrees with everything: read in pieces of
 * several sizes, nothing may come out that was not put in.
 *
 * fuzz-sources: volume/stream.c
 * fuzz-flags: -DCOFRE_HOSTED -Wno-unused-parameter
 */
#include "volume/stream.h"

#include <stdbool.h>
#include <stdlib.h>

#include "fuzz/agreeing_cipher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stream s;
    static uint8_t out[3 * STREAM_CHUNK_MAX];
    static const size_t sizes[] = {1, 8, 4128, sizeof(out)};
    static const uint8_t key[32];
    FILE *file = size > 0 ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
    if (!file)
        return 0;
    int err = stream_read_begin(&s, file, key);
    size_t total = 0;
    for (unsigned i = 0; err == 0; i++) {
        size_t n = sizes[i % 4 == 3 && i < 20 ? 2 : i % 4];
        err = stream_read(&s, out, n);
        total += err == 0 ? n : 0;
    }
    if (total > size)
        abort();
    stream_deinit(&s);
    fclose(file);
    return 0;
}

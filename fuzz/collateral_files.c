/*
 * Files of the collateral cache, and bundles: a bundle that is taken, written and read again is the same.
 * fuzz-sources: attest/bundle.c attest/cache.c attest/crl.c attest/date.c attest/document.c attest/encode.c
 * fuzz-sources: attest/fetch.c attest/http.c image/error.c
 * fuzz-flags: -lcrypto -ljansson -lcurl
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attest/bundle.h"
#include "attest/cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attest_cache_entry entry;
    struct attest_bundle bundle, again;
    char *error = NULL;
    if (attest_cache_parse((const char *)data, size, "key", &entry, &error) == 0)
        attest_document_free(&entry.document);
    if (attest_bundle_parse((const char *)data, size, &bundle, &error) == 0) {
        char *text = attest_bundle_format(&bundle);
        if (!text || attest_bundle_parse(text, strlen(text), &again, &error) < 0)
            abort();
        attest_bundle_free(&again);
        attest_bundle_free(&bundle);
        free(text);
    } else if (!error) {
        abort();
    }
    free(error);
    return 0;
}

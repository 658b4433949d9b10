/*
 * Answers of a collateral service: the first byte chooses what was asked, the rest is a header's issuer chain, a NUL
 * and the body. Whatever is taken must be taken again from what was kept of it.
 * fuzz-sources: attest/crl.c attest/date.c attest/document.c attest/encode.c image/error.c
 * fuzz-flags: -lcrypto -ljansson
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attest/document.h"
#include "attest/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_chain(const char *header)
{
    char *error = NULL, *chain = attest_percent_decode(header);
    if (chain && attest_document_check_chain(chain, &error) < 0 && !error)
        abort();
    free(chain);
    free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t fmspc[6] = {0x00, 0xa0, 0x6d, 0x08, 0x00, 0x00};
    struct attest_document document, again;
    char *error = NULL;
    if (size < 2)
        return 0;
    struct attest_document_request request = {.kind = data[0] % ATTEST_DOCUMENT_KIND_COUNT,
                                              .tee = data[0] & 8 ? ATTEST_DOCUMENT_TDX : ATTEST_DOCUMENT_SGX,
                                              .ca = data[0] & 16 ? ATTEST_DOCUMENT_CA_PLATFORM
                                                                 : ATTEST_DOCUMENT_CA_PROCESSOR};
    memcpy(request.fmspc, fmspc, sizeof(fmspc));
    const uint8_t *end = memchr(data + 1, 0, size - 1);
    if (!end)
        return 0;
    try_chain((const char *)data + 1);
    if (attest_document_parse(&request, end + 1, size - (size_t)(end + 1 - data), &document, &error) == 0) {
        if (attest_document_parse(&request, document.data, document.size, &again, &error) < 0)
            abort();
        attest_document_free(&again);
        attest_document_free(&document);
    } else if (!error) {
        abort();
    }
    free(error);
    return 0;
}

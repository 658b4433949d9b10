/*
 * What somebody asks a key server for: any bytes. A request that parses has a name that is a file's, and its quote is
 * the rest of it.
 *
 * fuzz-sources: attest/key_request.c
 * fuzz-flags: -lcrypto
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attest/key_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attest_key_request request;
    const char *reason = NULL;
    uint8_t report_data[64];
    static const uint8_t hash[32];
    if (attest_key_request_parse(data, size, &request, &reason) < 0) {
        if (!reason)
            abort();
        return 0;
    }
    if (memchr(request.name, 0, sizeof(request.name)) == NULL || strchr(request.name, '/') || request.name[0] == '.' ||
        request.quote != data + sizeof(struct key_request) || request.quote + request.quote_size != data + size)
        abort();
    attest_key_report_data(hash, request.name, report_data);
    return 0;
}

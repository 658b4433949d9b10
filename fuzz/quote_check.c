/*
 * What the kernel takes for a quote of its own report. First byte: where the input has the report's body.
 * fuzz-sources: kernel/attestation/quote_check.c
 * fuzz-flags: -DCOFRE_HOSTED
 */
#include <stdlib.h>
#include <string.h>

#include "kernel/attestation/quote_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sgx_report_body body;
    static struct sgx_targetinfo target;

    if (size < 1)
        return 0;
    size_t at = data[0] & 1 ? 54 : 48;
    memset(&body, 0x5a, sizeof(body));
    if (size - 1 >= at + sizeof(body))
        memcpy(&body, data + 1 + at, sizeof(body));
    if (quote_is_of(data + 1, size - 1, &body) && size - 1 < at + sizeof(body) + 4 + 134)
        abort(); /* no quote is that short */
    if (size - 1 >= sizeof(target)) {
        memcpy(&target, data + 1, sizeof(target));
        (void)!targetinfo_ok(&target);
    }
    return 0;
}

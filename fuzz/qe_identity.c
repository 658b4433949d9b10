/*
 * Identities of quoting enclaves.
 * fuzz-sources: attest/date.c attest/encode.c attest/names.c attest/qe_identity.c attest/signed_json.c
 * fuzz-sources: attest/tcb_info.c image/error.c
 * fuzz-flags: -ljansson
 */
#include <stdint.h>
#include <stdlib.h>

#include "attest/qe_identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct attest_sgx_body report;
    struct signed_json document;
    struct qe_identity identity;
    char *error = NULL;
    if (signed_json_open(data, size, "enclaveIdentity", &document, &error) == 0) {
        if (qe_identity_parse(document.object, &identity, &error) == 0) {
            qe_identity_check(&identity, &report, &error);
            qe_identity_free(&identity);
        } else if (!error) {
            abort();
        }
        json_decref(document.object);
    } else if (!error) {
        abort();
    }
    free(error);
    return 0;
}

/*
 * The SGX extensions of PCK certificates; the first byte says whether the rest is their DER alone or a certificate's.
 * fuzz-sources: attest/certificate.c attest/certificate_cache.c attest/encode.c attest/pck.c attest/pem.c image/error.c
 * fuzz-flags: -lcrypto
 */
#include <stdint.h>
#include <stdlib.h>

#include "attest/pck.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attest_pck pck;
    struct certificate certificate;
    uint8_t serial[20];
    char *error = NULL;
    if (size < 1)
        return 0;
    if (!(data[0] & 1)) {
        if ((pck_extensions_parse(data + 1, size - 1, &pck, &error) < 0) != (error != NULL))
            abort();
    } else if (certificate_parse(data + 1, size - 1, &certificate, &error) == 0) {
        pck_extensions_of(&certificate, &pck, &error);
        pck_serial_of(&certificate, serial, &error);
        for (int role = CERTIFICATE_PCK; role <= CERTIFICATE_ROOT; role++)
            certificate_check_role(&certificate, (enum certificate_role)role, &error);
        certificate_check_issued(&certificate, &certificate, &error);
        certificate_free(&certificate);
    }
    free(error);
    return 0;
}

/*
 * Quotes: parsed, verified as far as it goes without collateral, their platform read. A quote that parses says its own
 * length, and one byte less of it is no quote.
 * fuzz-sources: attest/bundle.c attest/cache.c attest/certificate.c attest/certificate_cache.c attest/collateral.c
 * fuzz-sources: attest/crl.c attest/date.c attest/document.c attest/encode.c attest/evaluate.c attest/fetch.c
 * fuzz-sources: attest/file.c attest/http.c attest/names.c attest/p256.c attest/pck.c attest/pem.c
 * fuzz-sources: attest/qe_identity.c attest/quote.c attest/report.c attest/roots.c attest/signed_json.c
 * fuzz-sources: attest/tcb_info.c attest/verify.c image/error.c
 * fuzz-flags: -lcrypto -ljansson -lcurl
 */
#include <stdint.h>
#include <stdlib.h>

#include "attest/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct attest_result result;
    struct attest_quote quote;
    struct attest_ppid_data ppid;
    struct attest_pck pck;
    enum attest_pck_ca ca;
    uint32_t tee;
    char *error = NULL;
    int parsed = attest_quote_parse(data, size, &quote, &error);
    if ((parsed < 0) != (error != NULL))
        abort();
    if (parsed == 0) {
        if (attest_quote_length(data, size) != size || attest_quote_parse(data, size - 1, &quote, NULL) == 0)
            abort();
        if (quote.certification_type <= ATTEST_CERTIFICATION_PPID_RSA3072)
            attest_quote_ppid_data(&quote, &ppid, &error);
        attest_quote_platform(data, size, &pck, &ca, &tee, &error);
    }
    free(error);
    if (attest_verify_quote(data, size, NULL, NULL, 0, &result) == 0 ||
        (parsed < 0 && result.failed_check != ATTEST_CHECK_QUOTE_FORMAT))
        abort();
    return 0;
}

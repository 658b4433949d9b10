/*
 * RA-TLS. First byte 0: the CBOR of the interoperable extension. Else: a whole certificate.
 * fuzz-sources: attest/cbor.c attest/ratls_evidence.c attest/quote.c attest/report.c attest/names.c image/error.c
 * fuzz-flags: -lcrypto
 */
#include <openssl/x509.h>
#include <stdint.h>
#include <stdlib.h>

#include "attest/cbor.h"
#include "attest/ratls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_evidence(const uint8_t *data, size_t size)
{
    struct attest_ratls_evidence evidence;
    struct attest_cbor cbor = {data, data + size};
    char *error = NULL;
    if (attest_cbor_skip(&cbor) == 0 && (cbor.next <= data || cbor.next > data + size))
        abort();
    if (attest_ratls_evidence_parse(data, size, &evidence, &error) == 0) {
        if (evidence.quote < data || evidence.quote_size > size || evidence.claims + evidence.claims_size > data + size)
            abort();
    } else if (!error) {
        abort();
    }
    free(error);
}

static void try_certificate(const uint8_t *data, size_t size)
{
    struct attest_ratls_evidence evidence;
    char *error = NULL;
    X509 *certificate = d2i_X509(NULL, &data, (long)size);
    if (certificate && attest_ratls_evidence_get(certificate, &evidence, &error) < 0 && !error)
        abort();
    X509_free(certificate);
    free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 0)
        try_evidence(data + 1, size - 1);
    else
        try_certificate(data + 1, size - 1);
    return 0;
}

/*
 * RA-TLS: X.509 certificates that carry evidence about the enclave which holds their key, and TLS 1.3 with them. The
 * quote's report data commits to the key; the handshake proves that the peer has it. Forms of certificates:
 *   interoperable   "Interoperable RA-TLS" of the CCC: extension 2.23.133.5.4.9 with tagged CBOR 60000([quote, claims])
 *   Gramine         extension 1.2.840.113741.1337.6 (also as Gramine encodes it: 0.6.9.42.840.113741.1337.6), a quote
 *   Intel SDK       extension 1.2.840.113741.1.13.1, a quote
 *   Open Enclave    extensions 1.2.840.113556.10.1.1 and 1.3.6.1.4.1.311.105.1, a quote after a header of 16 bytes
 * The first is written and read, and Gramine's; the others are read.
 */
#ifndef COFRE_ATTEST_RATLS_H
#define COFRE_ATTEST_RATLS_H

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum attest_ratls_form {
    ATTEST_RATLS_INTEROPERABLE,
    ATTEST_RATLS_GRAMINE,
    ATTEST_RATLS_INTEL_SDK,
    ATTEST_RATLS_OPEN_ENCLAVE,
    ATTEST_RATLS_FORM_COUNT
};

#define ATTEST_RATLS_EXTENSION_SIZE_MAX (128U << 10)
#define ATTEST_RATLS_NONCE_SIZE_MAX 64

/* CBOR tags of the IANA registry: what the evidence is. */
#define ATTEST_RATLS_TAG_QUOTE 60000
#define ATTEST_RATLS_TAG_REPORT 60001
#define ATTEST_RATLS_TAG_SGX_REPORT 60002

/* Evidence in a certificate. Pointers lead into the certificate. */
struct attest_ratls_evidence {
    enum attest_ratls_form form;
    const uint8_t *quote;
    size_t quote_size;
    const uint8_t *claims; /* interoperable: the CBOR map that the report data commits to; else NULL */
    size_t claims_size;
    const uint8_t *nonce; /* a claim; or NULL */
    size_t nonce_size;
};

/* "interoperable", "gramine", "intel-sdk", "open-enclave". */
const char *attest_ratls_form_name(enum attest_ratls_form form);

/*
 * Finds the evidence of a certificate (the first form above that is there) and checks that it commits to the
 * certificate's key: the quote's report data to the claims and the claims to the key, or the report data to the key.
 * The quote itself is not verified. 0, or -1 with *ret_error.
 */
int attest_ratls_evidence_get(const X509 *certificate, struct attest_ratls_evidence *ret_evidence, char **ret_error);

/* The parser of the interoperable extension, apart: no binding is checked. */
int attest_ratls_evidence_parse(const uint8_t *data, size_t size, struct attest_ratls_evidence *ret_evidence,
                                char **ret_error);

/* Where quotes come from. Gives a malloc'd quote with this report data; -1 with *ret_error. */
struct attest_quote_provider {
    int (*quote)(void *context, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size, char **ret_error);
    void *context;
};

/* A folder with user_report_data and quote, as enclaves have in /dev/attestation. context: its path. */
int attest_quote_from_device(void *context, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size,
                             char **ret_error);
/* A program, run as `sh -c COMMAND sh REPORTDATA-IN-HEX`, that writes a quote to its output. context: the command. */
int attest_quote_from_command(void *context, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size,
                              char **ret_error);
/* A file with a quote made before, for a key made before: another report data is refused. context: its path. */
int attest_quote_from_file(void *context, const uint8_t report_data[64], uint8_t **ret_quote, size_t *ret_size,
                           char **ret_error);

struct attest_ratls_certificate_options {
    const struct attest_quote_provider *provider;
    bool gramine;            /* Gramine's extension too, for verifiers that know no other; it takes a second quote */
    const char *common_name; /* NULL: "RA-TLS" */
    int days;                /* of validity; 0: 30 */
    const uint8_t *nonce;    /* a claim; or NULL */
    size_t nonce_size;
};

/* The report data that a certificate with this key needs: zeros after SHA-256 of the claims. For quotes made
 * beforehand. */
int attest_ratls_report_data(EVP_PKEY *key, const uint8_t *nonce, size_t nonce_size, uint8_t ret_report_data[64],
                             char **ret_error);

/* A fresh key: "P-256" or "P-384". */
EVP_PKEY *attest_ratls_key_new(const char *curve, char **ret_error);

/* A self-signed certificate for the key, with evidence. NULL with *ret_error. */
X509 *attest_ratls_certificate_new(EVP_PKEY *key, const struct attest_ratls_certificate_options *options,
                                   char **ret_error);

#endif

/* Certificate revocation lists (RFC 5280, 5), parsed and verified by libcrypto. */
#ifndef COFRE_ATTEST_CRL_H
#define COFRE_ATTEST_CRL_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

#include "attest/certificate.h"

#define CRL_SIZE_MAX (1U << 20)

/* DER, PEM, or DER in hex digits as PCCS writes it; nothing may follow. NULL if it is none of these. */
X509_CRL *crl_read(const void *data, size_t size);

/* Reads a list and verifies that it is the issuer's. NULL with *ret_error. */
X509_CRL *crl_load(const void *data, size_t size, const struct certificate *issuer,
                   struct attest_validity *ret_validity, char **ret_error);

bool crl_revokes(X509_CRL *crl, const struct certificate *certificate);

#endif

/*
 * What the kernel checks of a quote that the host brings: that it is one, and of this enclave's own report. Whether its
 * signatures are good is for those who rely on it.
 */
#ifndef COFRE_KERNEL_ATTESTATION_QUOTE_CHECK_H
#define COFRE_KERNEL_ATTESTATION_QUOTE_CHECK_H

#include "kernel/crypto/sgx_key.h"

/*
 * Whether the bytes are an ECDSA quote of version 3, 4 or 5 of an SGX enclave with this report body, and nothing after
 * it (Intel, "SGX ECDSA QuoteLibReference DCAP API", A.4; "TDX DCAP Quoting Library API", A.3).
 */
must_check bool quote_is_of(const void *quote, size_t size, const struct sgx_report_body *body);

/* Whether a TARGETINFO has zero where EREPORT insists on it. */
must_check bool targetinfo_ok(const struct sgx_targetinfo *target);

#endif

/*
 * Verifying evidence: the whole of what Intel's "Quote Verification Library" (4.1.2.4) asks, in the order of enum
 * attest_check. All memory and time are bounded by the size of the quote, which is at most ATTEST_QUOTE_SIZE_MAX.
 */
#ifndef COFRE_ATTEST_VERIFY_H
#define COFRE_ATTEST_VERIFY_H

#include "attest/collateral.h"
#include "attest/result.h"

/*
 * Verifies a quote at a time (seconds since 1970). *ret_result is always filled. Without collateral (NULL) all that can
 * be checked is, and the outcome is INCOMPLETE at best; roots are those of the collateral, or, without it, the ones
 * given (NULL: Intel's). 0 if the outcome is VERIFIED, else -1: a caller that forgets to look at more is safe only so
 * far as identities go unasked. See attest/policy.h.
 */
int attest_verify_quote(const void *quote, size_t size, const struct attest_collateral *collateral,
                        const struct attest_roots *roots, int64_t time, struct attest_result *ret_result);

/*
 * Which collateral a quote needs: FMSPC, CA and TEE, out of the PCK certificate in it (certification data 4 or 5).
 * Nothing is verified: a lie leads to collateral that then does not fit. 0, or -1 with *ret_error.
 */
int attest_quote_platform(const void *quote, size_t size, struct attest_pck *ret_pck, enum attest_pck_ca *ret_ca,
                          uint32_t *ret_tee_type, char **ret_error);

#endif

/* From SVNs to a status: Intel's "Quote Verification Library" 4.1.2.4.17 with convergence of platform, module and QE.
 */
#ifndef COFRE_ATTEST_EVALUATE_H
#define COFRE_ATTEST_EVALUATE_H

#include "attest/qe_identity.h"
#include "attest/tcb_info.h"

/*
 * Whether the TDX module of a TD is one of Intel's: MRSIGNERSEAM and SEAMATTRIBUTES. 0, or -1 with *ret_error.
 */
int evaluate_tdx_module_check(const struct tcb_info *info, const struct attest_td_body *td, char **ret_error);

/*
 * Fills the TCB part of a result that holds the PCK's SVNs, the QE's report and, for TDX, the TD's. info and identity
 * are of the same TEE as the result.
 */
void evaluate_tcb(const struct tcb_info *info, const struct qe_identity *identity, struct attest_result *result);

#endif

/* The identity of a quoting enclave (Intel, "Enclave Identity" of the PCS API, version 2). */
#ifndef COFRE_ATTEST_QE_IDENTITY_H
#define COFRE_ATTEST_QE_IDENTITY_H

#include "attest/tcb_info.h"

struct qe_identity {
    bool is_tdx; /* "TD_QE", not "QE" */
    struct attest_validity validity;
    uint32_t evaluation_number;
    uint32_t miscselect, miscselect_mask;
    uint8_t attributes[16], attributes_mask[16];
    uint8_t mrsigner[32];
    uint16_t isv_product_id;
    size_t level_count;
    struct isvsvn_level *levels;
};

/* Of the signed object. 0, or -1 with *ret_error naming the member. */
int qe_identity_parse(const json_t *object, struct qe_identity *ret_identity, char **ret_error);
void qe_identity_free(struct qe_identity *identity);

/* Whether a report is of that enclave; its SVN is not looked at. 0, or -1 with *ret_error. */
int qe_identity_check(const struct qe_identity *identity, const struct attest_sgx_body *report, char **ret_error);

#endif

/*
 * Appraisal policies: whatever is taken judges a result, and accepts nothing that was not verified.
 * fuzz-sources: attest/date.c attest/encode.c attest/file.c attest/names.c attest/policy_evaluate.c
 * fuzz-sources: attest/policy_yaml.c image/error.c
 * fuzz-flags: -lyaml
 */
#include <stdint.h>
#include <stdlib.h>

#include "attest/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct attest_result result;
    static struct attest_appraisal appraisal;
    char *error = NULL;
    struct attest_policy *policy = attest_policy_parse((const char *)data, size, "policy", &error);
    if (!policy != (error != NULL))
        abort();
    free(error);
    if (!policy)
        return 0;
    result = (struct attest_result){.outcome = ATTEST_OUTCOME_VERIFIED,
                                    .body_type = size & 1 ? ATTEST_BODY_SGX : ATTEST_BODY_TD15,
                                    .tcb_status = ATTEST_TCB_UP_TO_DATE,
                                    .simulation = true};
    attest_policy_evaluate(policy, &result, NULL, &appraisal);
    result.outcome = ATTEST_OUTCOME_REJECTED;
    result.failed_check = ATTEST_CHECK_ROOT;
    if (attest_policy_evaluate(policy, &result, NULL, &appraisal) == 0)
        abort();
    attest_policy_free(policy);
    return 0;
}

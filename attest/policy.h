/*
 * Appraisal: is this verified evidence of what was wanted? A policy is YAML (or JSON, which is YAML): see
 * cofre-appraisal(5). Evaluating never allocates and never looks at anything but the result.
 */
#ifndef COFRE_ATTEST_POLICY_H
#define COFRE_ATTEST_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/result.h"

struct attest_policy; /* immutable once made; may be used by several threads */

/* What must match report data: set by the caller, who alone knows the key or nonce that is bound. */
struct attest_binding {
    const uint8_t *report_data; /* the bytes that REPORTDATA must begin with; NULL: no binding is asked for */
    size_t size;                /* at most 64 */
};

/* One rule of the policy that the result breaks. */
struct attest_violation {
    char rule[64];    /* the key in the policy: "tcb.statuses" */
    char reason[256]; /* what is, and what was wanted */
    char change[256]; /* the smallest change to the policy that would let it pass; "" if none should */
};

#define ATTEST_VIOLATION_COUNT_MAX 32

struct attest_appraisal {
    bool accepted;
    size_t violation_count;
    struct attest_violation violations[ATTEST_VIOLATION_COUNT_MAX];
};

/* Parses a policy; name is for messages. NULL with *ret_error naming line and key. */
struct attest_policy *attest_policy_parse(const char *text, size_t size, const char *name, char **ret_error);
struct attest_policy *attest_policy_load(const char *path, char **ret_error);
void attest_policy_free(struct attest_policy *policy);

/*
 * The policy of who gives none: evidence verified and not expired, TCB status UpToDate, neither debug nor simulation,
 * known attributes, any identity. NULL if there is no memory.
 */
struct attest_policy *attest_policy_default(void);

/*
 * Judges a result. All rules are looked at, so that ret_appraisal lists each violation. 0 if it is accepted, else -1.
 */
int attest_policy_evaluate(const struct attest_policy *policy, const struct attest_result *result,
                           const struct attest_binding *binding, struct attest_appraisal *ret_appraisal);

#endif

/*
 * Judging a result by a policy. Each rule is looked at, whatever the others say, and reports what is, what was wanted,
 * and the smallest change to the policy that would let it pass, where one can be wanted.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attest/date.h"
#include "attest/policy_parts.h"

struct judgement {
    const struct attest_policy *policy;
    const struct attest_result *result;
    const struct attest_binding *binding;
    struct attest_appraisal *appraisal;
    struct attest_violation *last; /* NULL if there was no room for it */
};

/* Adds a violation; the change is set by suggest(). Those past the limit are not told, but count. */
static void violate(struct judgement *j, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void suggest(struct judgement *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void violate(struct judgement *j, const char *rule, const char *format, ...)
{
    struct attest_appraisal *appraisal = j->appraisal;
    appraisal->accepted = false;
    j->last = NULL;
    if (appraisal->violation_count == ATTEST_VIOLATION_COUNT_MAX)
        return;
    struct attest_violation *violation = j->last = &appraisal->violations[appraisal->violation_count++];
    va_list args;
    va_start(args, format);
    snprintf(violation->rule, sizeof(violation->rule), "%s", rule);
    vsnprintf(violation->reason, sizeof(violation->reason), format, args);
    violation->change[0] = 0;
    va_end(args);
}

static void suggest(struct judgement *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (j->last)
        vsnprintf(j->last->change, sizeof(j->last->change), format, args);
    va_end(args);
}

static const char *hex(char *text, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", data[i]);
    return text;
}

static void judge_outcome(struct judgement *j)
{
    const struct attest_result *result = j->result;
    if (result->outcome == ATTEST_OUTCOME_VERIFIED ||
        (result->outcome == ATTEST_OUTCOME_EXPIRED && j->policy->allow_expired))
        return;
    violate(j, result->outcome == ATTEST_OUTCOME_EXPIRED ? "collateral.allow_expired" : "evidence", "%s: %s: %.200s",
            attest_outcome_name(result->outcome), attest_check_name(result->failed_check), result->reason);
    if (result->outcome == ATTEST_OUTCOME_EXPIRED)
        suggest(j, "collateral: {allow_expired: true} (better: fetch collateral again)");
}

static void judge_simulation(struct judgement *j)
{
    if (!j->result->simulation || j->policy->simulation)
        return;
    violate(j, "simulation", "the evidence ends in a root that is not Intel's: nothing is protected by hardware");
    suggest(j, "simulation: true (never in production)");
}

static void judge_debug(struct judgement *j)
{
    if (!attest_result_debug(j->result) || j->policy->debug)
        return;
    violate(j, "debug", "whoever runs it can read and change its memory (DEBUG)");
    suggest(j, "debug: true (never in production)");
}

static void judge_bits(struct judgement *j, const char *rule, uint64_t have, const struct policy_bits *bits)
{
    if ((have & bits->mask) == bits->value)
        return;
    violate(j, rule, "0x%lx under the mask 0x%lx is 0x%lx, not 0x%lx", (unsigned long)have, (unsigned long)bits->mask,
            (unsigned long)(have & bits->mask), (unsigned long)bits->value);
    suggest(j, "%s: {mask: 0x%lx, value: 0x%lx}", rule, (unsigned long)bits->mask, (unsigned long)(have & bits->mask));
}

static void judge_unknown(struct judgement *j, const char *what, uint64_t unknown)
{
    if (!unknown || j->policy->unknown_attributes)
        return;
    violate(j, "unknown_attributes", "%s has bits of unknown meaning: 0x%lx", what, (unsigned long)unknown);
    suggest(j, "unknown_attributes: true");
}

static void judge_attributes(struct judgement *j)
{
    const struct attest_policy *policy = j->policy;
    const struct attest_result *result = j->result;
    if (result->body_type == ATTEST_BODY_SGX) {
        judge_unknown(j, "ATTRIBUTES", result->sgx.attributes & ~ATTEST_SGX_ATTRIBUTES_KNOWN);
        judge_unknown(j, "XFRM", result->sgx.xfrm & ~ATTEST_SGX_XFRM_KNOWN);
        judge_unknown(j, "MISCSELECT", result->sgx.miscselect & ~ATTEST_SGX_MISCSELECT_KNOWN);
        judge_bits(j, "attributes", result->sgx.attributes, &policy->attributes);
        judge_bits(j, "xfrm", result->sgx.xfrm, &policy->xfrm);
        judge_bits(j, "miscselect", result->sgx.miscselect, &policy->miscselect);
        if (result->sgx.attributes & ATTEST_SGX_PROVISION_KEY && !policy->provision_key) {
            violate(j, "provision_key", "the enclave may use the provisioning key (PROVISIONKEY)");
            suggest(j, "provision_key: true");
        }
    } else {
        judge_unknown(j, "TDATTRIBUTES", result->td.td_attributes & ~ATTEST_TD_ATTRIBUTES_KNOWN);
        judge_unknown(j, "XFAM", result->td.xfam & ~ATTEST_TD_XFAM_KNOWN);
        judge_bits(j, "td_attributes", result->td.td_attributes, &policy->td_attributes);
        judge_bits(j, "xfam", result->td.xfam, &policy->xfam);
    }
}

/* What an identity compares: where the field is in the result, and in the policy. */
struct field_check {
    const char *name;
    enum policy_field field;
    const void *have, *want;
    size_t size;
};

static bool mismatch(const struct policy_identity *identity, const struct field_check *checks, size_t count,
                     const char **ret_name, const uint8_t **ret_have, size_t *ret_size)
{
    for (size_t i = 0; i < count; i++)
        if (identity->has & 1U << checks[i].field && memcmp(checks[i].have, checks[i].want, checks[i].size) != 0) {
            *ret_name = checks[i].name;
            *ret_have = checks[i].have;
            *ret_size = checks[i].size;
            return true;
        }
    return false;
}

/* The first thing in which an enclave is not the one wanted; false if it is. */
static bool differs_sgx(const struct attest_sgx_body *sgx, const struct policy_identity *identity, char *what,
                        size_t what_size, char *change, size_t change_size)
{
    const struct field_check checks[] = {
        {"mrenclave", POLICY_MRENCLAVE, sgx->mrenclave, identity->mrenclave, 32},
        {"mrsigner", POLICY_MRSIGNER, sgx->mrsigner, identity->mrsigner, 32},
        {"config_id", POLICY_CONFIG_ID, sgx->config_id, identity->config_id, 64},
        {"family_id", POLICY_FAMILY_ID, sgx->isv_family_id, identity->family_id, 16},
        {"extended_product_id", POLICY_EXTENDED_PRODUCT_ID, sgx->isv_ext_product_id, identity->extended_product_id, 16},
    };
    char text[2 * 64 + 1];
    const char *name;
    const uint8_t *have;
    size_t size;
    if (identity->has & 1U << POLICY_MRTD) {
        snprintf(what, what_size, "it is an enclave, not a TD");
        change[0] = 0;
        return true;
    }
    if (mismatch(identity, checks, sizeof(checks) / sizeof(checks[0]), &name, &have, &size)) {
        snprintf(what, what_size, "%s is %s", name, hex(text, have, size));
        snprintf(change, change_size, "%s: %s", name, text);
        return true;
    }
    const struct {
        const char *name;
        enum policy_field field;
        uint16_t have, want;
        bool minimum;
    } numbers[] = {
        {"product", POLICY_PRODUCT, sgx->isv_product_id, identity->product, false},
        {"minimum_svn", POLICY_MINIMUM_SVN, sgx->isv_svn, identity->minimum_svn, true},
        {"minimum_config_svn", POLICY_MINIMUM_CONFIG_SVN, sgx->config_svn, identity->minimum_config_svn, true}};
    for (size_t i = 0; i < 3; i++) {
        bool good = numbers[i].minimum ? numbers[i].have >= numbers[i].want : numbers[i].have == numbers[i].want;
        if (!(identity->has & 1U << numbers[i].field) || good)
            continue;
        snprintf(what, what_size, "%s: %u is wanted%s, it has %u", numbers[i].name, numbers[i].want,
                 numbers[i].minimum ? " at least" : "", numbers[i].have);
        snprintf(change, change_size, "%s: %u", numbers[i].name, numbers[i].have);
        return true;
    }
    return false;
}

static bool differs_td(const struct attest_td_body *td, const struct policy_identity *identity, char *what,
                       size_t what_size, char *change, size_t change_size)
{
    const struct field_check checks[] = {
        {"mrtd", POLICY_MRTD, td->mrtd, identity->mrtd, 48},
        {"rtmr0", POLICY_RTMR0, td->rtmr[0], identity->rtmr[0], 48},
        {"rtmr1", POLICY_RTMR1, td->rtmr[1], identity->rtmr[1], 48},
        {"rtmr2", POLICY_RTMR2, td->rtmr[2], identity->rtmr[2], 48},
        {"rtmr3", POLICY_RTMR3, td->rtmr[3], identity->rtmr[3], 48},
        {"mrconfig_id", POLICY_MRCONFIG_ID, td->mrconfig_id, identity->mrconfig_id, 48},
        {"mrowner", POLICY_MROWNER, td->mrowner, identity->mrowner, 48},
        {"mrowner_config", POLICY_MROWNER_CONFIG, td->mrowner_config, identity->mrowner_config, 48},
        {"mrseam", POLICY_MRSEAM, td->mrseam, identity->mrseam, 48},
    };
    char text[2 * 48 + 1];
    const char *name;
    const uint8_t *have;
    size_t size;
    if (!(identity->has & 1U << POLICY_MRTD)) {
        snprintf(what, what_size, "it is a TD, not an enclave");
        change[0] = 0;
        return true;
    }
    if (!mismatch(identity, checks, sizeof(checks) / sizeof(checks[0]), &name, &have, &size))
        return false;
    snprintf(what, what_size, "%s is %s", name, hex(text, have, size));
    snprintf(change, change_size, "%s: %s", name, text);
    return true;
}

/* One of the identities must be met; if none is, the first says why, for it is as good as any. */
static void judge_identity(struct judgement *j)
{
    const struct attest_policy *policy = j->policy;
    const struct attest_result *result = j->result;
    char what[200], change[200], first_what[200] = "", first_change[200] = "";
    for (size_t i = 0; i < policy->identity_count; i++) {
        const struct policy_identity *identity = &policy->identities[i];
        bool differs = result->body_type == ATTEST_BODY_SGX
                           ? differs_sgx(&result->sgx, identity, what, sizeof(what), change, sizeof(change))
                           : differs_td(&result->td, identity, what, sizeof(what), change, sizeof(change));
        if (!differs)
            return;
        if (i == 0) {
            memcpy(first_what, what, sizeof(what));
            memcpy(first_change, change, sizeof(change));
        }
    }
    if (policy->any_identity)
        return;
    const char *name = policy->identities[0].name;
    violate(j, "identities", "none of %zu is met; %s: %s", policy->identity_count, name[0] ? name : "the first",
            first_what);
    if (first_change[0])
        suggest(j, "identities[0].%s", first_change);
}

/* A service's token: what it does not say is the service's word. */
static void judge_token(struct judgement *j)
{
    if (j->policy->tokens)
        return;
    violate(j, "tokens", "it is the word of a service, which says nothing of TCB status, platform and collateral");
    suggest(j, "tokens: true");
}

static bool has_string(const struct policy_strings *strings, const char *text)
{
    for (size_t i = 0; i < strings->count; i++)
        if (strcmp(strings->items[i], text) == 0)
            return true;
    return false;
}

static void judge_advisories(struct judgement *j)
{
    const struct attest_policy *policy = j->policy;
    const struct attest_advisories *advisories = &j->result->advisories;
    for (size_t i = 0; i < advisories->count; i++) {
        const char *id = advisories->ids[i];
        if (has_string(&policy->rejected_advisories, id)) {
            violate(j, "tcb.reject_advisories", "the platform is affected by %s", id);
            suggest(j, "tcb.reject_advisories: without %s", id);
        } else if (policy->has_accepted_advisories && !has_string(&policy->accepted_advisories, id)) {
            violate(j, "tcb.accept_advisories", "the platform is affected by %s", id);
            suggest(j, "tcb.accept_advisories: [..., %s]", id);
        }
    }
}

static void judge_tcb(struct judgement *j)
{
    const struct attest_policy *policy = j->policy;
    const struct attest_result *result = j->result;
    uint32_t number = result->tcb_evaluation_number < result->qe_evaluation_number ? result->tcb_evaluation_number
                                                                                   : result->qe_evaluation_number;
    if (!(policy->statuses & 1U << result->tcb_status)) {
        violate(j, "tcb.statuses", "the TCB status is %s (platform %s, quoting enclave %s)",
                attest_tcb_status_name(result->tcb_status), attest_tcb_status_name(result->platform.status),
                attest_tcb_status_name(result->quoting_enclave.status));
        if (result->tcb_status > ATTEST_TCB_UNKNOWN && result->tcb_status < ATTEST_TCB_REVOKED)
            suggest(j, "tcb.statuses: [..., %s]", attest_tcb_status_name(result->tcb_status));
    }
    if (number < policy->minimum_evaluation_number) {
        violate(j, "tcb.minimum_evaluation_number", "the collateral is of TCB evaluation data number %u, not %u",
                number, policy->minimum_evaluation_number);
        suggest(j, "tcb.minimum_evaluation_number: %u (better: fetch newer collateral)", number);
    }
    if (policy->minimum_tcb_date && result->platform.date < policy->minimum_tcb_date) {
        char date[32];
        attest_time_format(result->platform.date, date);
        violate(j, "tcb.minimum_date", "the platform's TCB level is of %s", date);
        suggest(j, "tcb.minimum_date: %s", date);
    }
    judge_advisories(j);
}

static void judge_list(struct judgement *j, const char *rule, const struct policy_digests *digests, const uint8_t *have,
                       size_t size)
{
    char text[33];
    if (!digests->count)
        return;
    for (size_t i = 0; have && i < digests->count; i++)
        if (memcmp(digests->items[i], have, size) == 0)
            return;
    violate(j, rule, "%s is not on the list", have ? hex(text, have, size) : "what the PCK certificate does not say");
    if (have)
        suggest(j, "%s: [..., %s]", rule, text);
}

static void judge_platform(struct judgement *j)
{
    const struct attest_policy *policy = j->policy;
    const struct attest_pck *pck = &j->result->pck;
    judge_list(j, "platforms.fmspc", &policy->fmspcs, pck->fmspc, sizeof(pck->fmspc));
    judge_list(j, "platforms.ppid", &policy->ppids, pck->ppid, sizeof(pck->ppid));
    judge_list(j, "platforms.instance", &policy->platform_instances,
               pck->has_platform_instance_id ? pck->platform_instance_id : NULL, sizeof(pck->platform_instance_id));
    const struct {
        const char *rule, *what;
        bool is_so, allowed;
    } flags[] = {{"platforms.allow_smt", "hyper-threading is on", pck->smt_enabled, policy->allow_smt},
                 {"platforms.allow_dynamic_platform", "processors may be added to the platform", pck->dynamic_platform,
                  policy->allow_dynamic_platform},
                 {"platforms.allow_cached_keys", "Intel keeps the platform's keys", pck->cached_keys,
                  policy->allow_cached_keys}};
    for (size_t i = 0; i < 3; i++) {
        if (flags[i].allowed || (pck->has_configuration && !flags[i].is_so))
            continue;
        violate(j, flags[i].rule, "%s", pck->has_configuration ? flags[i].what : "the PCK certificate does not say");
        suggest(j, "%s: true", flags[i].rule);
    }
}

static void judge_age(struct judgement *j)
{
    /* Not the root's list, which Intel issues once a year. */
    static const enum attest_dated documents[] = {ATTEST_DATED_TCB_INFO, ATTEST_DATED_QE_IDENTITY,
                                                  ATTEST_DATED_PCK_CRL};
    for (size_t i = 0; i < 3 && j->policy->maximum_age_days; i++) {
        const struct attest_validity *validity = &j->result->validity[documents[i]];
        int64_t days = (j->result->time - validity->from + 86399) / 86400;
        if (!j->result->has_validity[documents[i]] || days <= (int64_t)j->policy->maximum_age_days)
            continue;
        violate(j, "collateral.maximum_age_days", "the %s was issued %ld days before", attest_dated_name(documents[i]),
                (long)days);
        suggest(j, "collateral.maximum_age_days: %ld (better: fetch collateral again)", (long)days);
    }
}

static void judge_report_data(struct judgement *j)
{
    const struct attest_policy *policy = j->policy;
    const uint8_t *have = attest_result_report_data(j->result);
    const struct attest_binding *binding = j->binding;
    bool is_bound = binding && binding->report_data;
    char text[129];
    if (policy->report_data_size && memcmp(have, policy->report_data, policy->report_data_size) != 0) {
        violate(j, "report_data.begins_with", "the report data begins with %s",
                hex(text, have, policy->report_data_size));
        suggest(j, "report_data.begins_with: %s", text);
    }
    if (is_bound && (binding->size > 64 || memcmp(have, binding->report_data, binding->size) != 0))
        violate(j, "report_data", "the report data is not bound to what is asked for: %s", hex(text, have, 64));
    if (policy->require_binding && !is_bound) {
        violate(j, "report_data.binding", "nothing was given that the report data must be bound to");
        suggest(j, "report_data.binding: false");
    }
}

int attest_policy_evaluate(const struct attest_policy *policy, const struct attest_result *result,
                           const struct attest_binding *binding, struct attest_appraisal *ret_appraisal)
{
    struct judgement j = {policy, result, binding, ret_appraisal, NULL};
    ret_appraisal->accepted = true;
    ret_appraisal->violation_count = 0;
    judge_outcome(&j);
    /* What was not established cannot be judged: all else would be said of a forgery. */
    if (result->outcome != ATTEST_OUTCOME_VERIFIED && result->outcome != ATTEST_OUTCOME_EXPIRED) {
        ret_appraisal->accepted = false;
        return -1;
    }
    judge_simulation(&j);
    judge_debug(&j);
    judge_identity(&j);
    judge_attributes(&j);
    if (result->has_tcb) {
        judge_tcb(&j);
        judge_platform(&j);
        judge_age(&j);
    } else {
        judge_token(&j);
    }
    judge_report_data(&j);
    return ret_appraisal->accepted ? 0 : -1;
}

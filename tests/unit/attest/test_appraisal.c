/* Appraisal policies: what each rule refuses, what it suggests, and that following the suggestion is enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attest/policy.h"

static struct attest_appraisal appraisal;

/* A result that the default policy accepts, of 2026-01-31. */
static struct attest_result good_sgx(void)
{
    struct attest_result result = {.outcome = ATTEST_OUTCOME_VERIFIED,
                                   .time = 1769817600,
                                   .has_quote = true,
                                   .body_type = ATTEST_BODY_SGX,
                                   .has_pck = true,
                                   .has_tcb = true,
                                   .tcb_status = ATTEST_TCB_UP_TO_DATE,
                                   .tcb_evaluation_number = 17,
                                   .qe_evaluation_number = 17};
    result.sgx.attributes = ATTEST_SGX_INIT | ATTEST_SGX_MODE64;
    result.sgx.xfrm = 3;
    result.sgx.isv_product_id = 7;
    result.sgx.isv_svn = 3;
    memset(result.sgx.mrenclave, 0xe1, 32);
    memset(result.sgx.mrsigner, 0x51, 32);
    memset(result.pck.ppid, 1, 16);
    result.platform = (struct attest_tcb){.status = ATTEST_TCB_UP_TO_DATE, .date = 1710288000}; /* 2024-03-13 */
    for (int i = 0; i < ATTEST_DATED_COUNT; i++) {
        result.has_validity[i] = true;
        result.validity[i] = (struct attest_validity){result.time - 10 * 86400, result.time + 86400};
    }
    return result;
}

static struct attest_result good_td(void)
{
    struct attest_result result = good_sgx();
    result.body_type = ATTEST_BODY_TD15;
    memset(result.td.mrtd, 0xd1, 48);
    memset(result.td.rtmr[3], 0x33, 48);
    result.td.td_attributes = ATTEST_TD_SEPT_VE_DISABLE;
    return result;
}

static struct attest_policy *parse(const char *text)
{
    char *error = NULL;
    struct attest_policy *policy = attest_policy_parse(text, strlen(text), "policy", &error);
    if (!policy)
        fail_msg("%s", error);
    return policy;
}

static int judge(const char *text, const struct attest_result *result, const struct attest_binding *binding)
{
    struct attest_policy *policy = parse(text);
    int status = attest_policy_evaluate(policy, result, binding, &appraisal);
    assert_int_equal(status == 0, appraisal.accepted);
    assert_int_equal(appraisal.accepted, appraisal.violation_count == 0);
    attest_policy_free(policy);
    return status;
}

static void expect_accepted(const char *text, const struct attest_result *result)
{
    if (judge(text, result, NULL) < 0)
        fail_msg("%s: %s: %s", text, appraisal.violations[0].rule, appraisal.violations[0].reason);
}

/* That rule alone is broken; the change, if one is given, is what is suggested. */
static void expect_refused(const char *text, const struct attest_result *result, const char *rule, const char *change)
{
    assert_int_equal(judge(text, result, NULL), -1);
    assert_int_equal(appraisal.violation_count, 1);
    assert_string_equal(appraisal.violations[0].rule, rule);
    assert_true(appraisal.violations[0].reason[0]);
    if (!change)
        assert_string_equal(appraisal.violations[0].change, "");
    else if (!strstr(appraisal.violations[0].change, change))
        fail_msg("\"%s\" suggests \"%s\", not \"%s\"", text, appraisal.violations[0].change, change);
}

#define ANY "any_identity: true\n"
#define E1 "e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1"
#define S51 "5151515151515151515151515151515151515151515151515151515151515151"
#define D1 "d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1"
#define R33 "333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333"

static void test_default(void **state)
{
    struct attest_policy *policy = attest_policy_default();
    struct attest_result result = good_sgx();
    assert_int_equal(attest_policy_evaluate(policy, &result, NULL, &appraisal), 0);
    attest_policy_free(policy);
    expect_accepted(ANY, &result);
    result.simulation = true;
    expect_refused(ANY, &result, "simulation", "simulation: true");
    expect_accepted(ANY "simulation: true", &result);
    result = good_sgx();
    result.sgx.attributes |= ATTEST_SGX_DEBUG;
    expect_refused(ANY, &result, "debug", "debug: true");
    expect_accepted(ANY "debug: true", &result);
    result = good_sgx();
    result.sgx.attributes |= 1ULL << 40;
    expect_refused(ANY, &result, "unknown_attributes", "unknown_attributes: true");
    expect_accepted(ANY "unknown_attributes: true", &result);
    result = good_sgx();
    result.sgx.xfrm = 0xe02ff;
    result.sgx.miscselect = 3;
    expect_accepted(ANY, &result);
    result.sgx.xfrm |= 1ULL << 8;
    expect_refused(ANY, &result, "unknown_attributes", "unknown_attributes: true");
    result = good_sgx();
    result.sgx.miscselect = 4;
    expect_refused(ANY, &result, "unknown_attributes", "unknown_attributes: true");
    result = good_sgx();
    result.sgx.attributes |= ATTEST_SGX_PROVISION_KEY;
    expect_refused(ANY, &result, "provision_key", "provision_key: true");
    expect_accepted(ANY "provision_key: true", &result);
    result = good_td();
    expect_accepted(ANY, &result);
    result.td.td_attributes |= 1;
    expect_refused(ANY, &result, "debug", "debug: true");
    result = good_td();
    result.td.td_attributes |= 1ULL << 50;
    expect_refused(ANY, &result, "unknown_attributes", "unknown_attributes: true");
    result = good_td();
    result.td.xfam |= 1ULL << 20;
    expect_refused(ANY, &result, "unknown_attributes", "unknown_attributes: true");
}

static void test_outcomes(void **state)
{
    const char *lenient = ANY "debug: true\nsimulation: true\ncollateral: {allow_expired: true}\n";
    struct attest_result result = good_sgx();
    result.outcome = ATTEST_OUTCOME_EXPIRED;
    result.failed_check = ATTEST_CHECK_VALIDITY;
    expect_refused(ANY, &result, "collateral.allow_expired", "allow_expired: true");
    expect_accepted(lenient, &result);
    result.outcome = ATTEST_OUTCOME_INCOMPLETE;
    expect_refused(lenient, &result, "evidence", NULL);
    result.outcome = ATTEST_OUTCOME_REJECTED;
    expect_refused(lenient, &result, "evidence", NULL);
    result = good_sgx();
    result.has_tcb = false; /* a service's token */
    result.tcb_status = ATTEST_TCB_UNKNOWN;
    expect_refused(lenient, &result, "tokens", "tokens: true");
    expect_accepted(ANY "tokens: true", &result);
}

static void test_identities(void **state)
{
    struct attest_result sgx = good_sgx(), td = good_td();
    expect_accepted("identities: [{mrenclave: " E1 "}]", &sgx);
    expect_accepted("identities: [{mrsigner: " S51 ", product: 7, minimum_svn: 3}]", &sgx);
    expect_accepted("identities: [{mrenclave: " S51 "}, {mrenclave: " E1 "}]", &sgx);
    expect_accepted("identities: [{mrtd: " D1 ", rtmr3: " R33 "}]", &td);
    expect_refused("identities: [{mrenclave: " S51 "}]", &sgx, "identities", "identities[0].mrenclave: " E1);
    expect_refused("identities: [{mrsigner: " S51 ", product: 8}]", &sgx, "identities", "product: 7");
    expect_refused("identities: [{mrsigner: " S51 ", product: 7, minimum_svn: 4}]", &sgx, "identities",
                   "minimum_svn: 3");
    expect_refused("identities: [{mrenclave: " E1 ", minimum_config_svn: 1}]", &sgx, "identities",
                   "minimum_config_svn: 0");
    expect_refused("identities: [{mrenclave: " E1 ", config_id: " E1 E1 "}]", &sgx, "identities", "config_id: 00");
    expect_refused("identities: [{mrtd: " D1 ", rtmr2: " R33 "}]", &td, "identities", "rtmr2: 00");
    expect_refused("identities: [{mrtd: " D1 "}]", &sgx, "identities", NULL);
    expect_refused("identities: [{mrenclave: " E1 "}]", &td, "identities", NULL);
}

static void test_tcb(void **state)
{
    struct attest_result result = good_sgx();
    for (int status = ATTEST_TCB_UNKNOWN; status < ATTEST_TCB_STATUS_COUNT; status++) {
        char text[256];
        const char *name = attest_tcb_status_name((enum attest_tcb_status)status);
        bool may_be_allowed = status > ATTEST_TCB_UP_TO_DATE && status < ATTEST_TCB_REVOKED;
        result.tcb_status = (enum attest_tcb_status)status;
        if (status == ATTEST_TCB_UP_TO_DATE)
            continue;
        expect_refused(ANY, &result, "tcb.statuses", may_be_allowed ? name : NULL);
        snprintf(text, sizeof(text), ANY "tcb: {statuses: [UpToDate, %s]}", name);
        if (may_be_allowed)
            expect_accepted(text, &result);
        else
            assert_null(attest_policy_parse(text, strlen(text), "policy", NULL));
    }
    result = good_sgx();
    attest_advisories_add(&result.advisories, "INTEL-SA-00001");
    expect_accepted(ANY "tcb: {accept_advisories: [INTEL-SA-00001]}", &result);
    expect_refused(ANY "tcb: {accept_advisories: []}", &result, "tcb.accept_advisories", "INTEL-SA-00001");
    expect_refused(ANY "tcb: {reject_advisories: [INTEL-SA-00001]}", &result, "tcb.reject_advisories",
                   "INTEL-SA-00001");
    expect_accepted(ANY "tcb: {minimum_evaluation_number: 17, minimum_date: 2024-03-13}", &result);
    expect_refused(ANY "tcb: {minimum_evaluation_number: 18}", &result, "tcb.minimum_evaluation_number", ": 17");
    expect_refused(ANY "tcb: {minimum_date: 2024-03-14}", &result, "tcb.minimum_date", "2024-03-13T00:00:00Z");
    result.qe_evaluation_number = 16;
    expect_refused(ANY "tcb: {minimum_evaluation_number: 17}", &result, "tcb.minimum_evaluation_number", ": 16");
}

static void test_bits(void **state)
{
    struct attest_result sgx = good_sgx(), td = good_td();
    expect_accepted(ANY "attributes: {mask: 0xff, value: 5}\nxfrm: {mask: 0xffffffffffffffff, value: 3}", &sgx);
    expect_refused(ANY "attributes: {mask: 0x80, value: 0x80}", &sgx, "attributes", "value: 0x0}");
    expect_refused(ANY "xfrm: {mask: 7, value: 7}", &sgx, "xfrm", "value: 0x3}");
    expect_refused(ANY "miscselect: {mask: 1, value: 1}", &sgx, "miscselect", "value: 0x0}");
    expect_refused(ANY "td_attributes: {mask: 0x10000000, value: 0}", &td, "td_attributes", "value: 0x10000000}");
    expect_accepted(ANY "td_attributes: {mask: 0x80, value: 0x80}", &sgx); /* of TDs only */
}

static void test_platform(void **state)
{
    struct attest_result result = good_sgx();
    expect_accepted(ANY "platforms: {fmspc: [\"000000000001\", \"000000000000\"]}", &result);
    expect_refused(ANY "platforms: {fmspc: [\"000000000001\"]}", &result, "platforms.fmspc", "000000000000");
    expect_refused(ANY "platforms: {ppid: [\"00000000000000000000000000000000\"]}", &result, "platforms.ppid", "0101");
    expect_refused(ANY "platforms: {instance: [\"00000000000000000000000000000000\"]}", &result, "platforms.instance",
                   NULL);
    expect_refused(ANY "platforms: {allow_smt: false}", &result, "platforms.allow_smt", "allow_smt: true");
    result.pck.has_configuration = true;
    expect_accepted(ANY "platforms: {allow_smt: false, allow_cached_keys: false}", &result);
    result.pck.smt_enabled = result.pck.cached_keys = true;
    expect_refused(ANY "platforms: {allow_cached_keys: false}", &result, "platforms.allow_cached_keys", "true");
}

static void test_age_and_report_data(void **state)
{
    struct attest_result result = good_sgx();
    static const uint8_t wanted[] = {0xc0, 0xff, 0xee};
    const struct attest_binding binding = {wanted, sizeof(wanted)};
    expect_accepted(ANY "collateral: {maximum_age_days: 10}", &result);
    assert_int_equal(judge(ANY "collateral: {maximum_age_days: 9}", &result, NULL), -1);
    assert_int_equal(appraisal.violation_count, 3);
    assert_non_null(strstr(appraisal.violations[0].change, ": 10"));
    expect_refused(ANY "report_data: {begins_with: c0ffee}", &result, "report_data.begins_with", "000000");
    expect_refused(ANY "report_data: {binding: true}", &result, "report_data.binding", "false");
    assert_int_equal(judge(ANY, &result, &binding), -1);
    assert_string_equal(appraisal.violations[0].rule, "report_data");
    memcpy(result.sgx.report_data, wanted, sizeof(wanted));
    assert_int_equal(judge(ANY "report_data: {begins_with: c0ffee, binding: true}", &result, &binding), 0);
}

static void test_bad_policies(void **state)
{
    static const char *const bad[][2] = {
        {"", "empty"},
        {"debug: true", "names no identity"},
        {ANY "identities: [{mrenclave: " E1 "}]", "any will do"},
        {ANY "debgu: true", "unknown key \"debgu\""},
        {ANY "debug: yes", "true or false"},
        {ANY "debug: true\ndebug: true", "twice"},
        {ANY "version: 2", "version 1"},
        {ANY "tcb: {statuses: UpToDate}", "a list"},
        {ANY "tcb: {statuses: [Fine]}", "TCB status"},
        {ANY "tcb: []", "a mapping"},
        {ANY "tcb: {minimum_date: tomorrow}", "a date"},
        {ANY "xfrm: {mask: 3, value: 4}", "nothing would ever match"},
        {ANY "xfrm: {mask: -3}", "64 bits"},
        {ANY "tcb: {minimum_evaluation_number: 4294967296}", "32 bits"},
        {ANY "report_data: {begins_with: c0ffe}", "hex digits"},
        {ANY "report_data: {begins_with: \"\"}", "hex digits"},
        {ANY "---\ndebug: true", "follows"},
        {"identities: [{mrenclave: e1}]", "64 hex digits"},
        {"identities: [{name: x}]", "needs mrenclave"},
        {"identities: [{mrsigner: " S51 "}]", "mrsigner without product"},
        {"identities: [{mrenclave: " E1 ", minimum_svn: 65536}]", "65535"},
        {"{", "not YAML"},
        {"[]", "a mapping"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *error = NULL;
        assert_null(attest_policy_parse(bad[i][0], strlen(bad[i][0]), "p.yaml", &error));
        if (!strstr(error, bad[i][1]) || !strstr(error, "p.yaml"))
            fail_msg("\"%s\" gives \"%s\"", bad[i][0], error);
        free(error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_identities),
        cmocka_unit_test(test_tcb),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_platform),
        cmocka_unit_test(test_age_and_report_data),
        cmocka_unit_test(test_bad_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Results as text and JSON. */
#include "cli/verify_print.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "attest/date.h"
#include "attest/encode.h"

#define LABEL "%-17s"

void verify_print_hex(const char *label, const void *data, size_t size)
{
    char *text = attest_hex_encode(data, size);
    printf(LABEL "%s\n", label, text ? text : "?");
    free(text);
}

static bool is_zero(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i])
            return false;
    return true;
}

static void print_unless_zero(const char *label, const uint8_t *data, size_t size)
{
    if (!is_zero(data, size))
        verify_print_hex(label, data, size);
}

static void print_sgx(const struct attest_sgx_body *sgx)
{
    verify_print_hex("mrenclave", sgx->mrenclave, sizeof(sgx->mrenclave));
    verify_print_hex("mrsigner", sgx->mrsigner, sizeof(sgx->mrsigner));
    printf(LABEL "%u\n" LABEL "%u\n", "product", sgx->isv_product_id, "svn", sgx->isv_svn);
    printf(LABEL "0x%lx, xfrm 0x%lx, miscselect 0x%x%s%s\n", "attributes", (unsigned long)sgx->attributes,
           (unsigned long)sgx->xfrm, sgx->miscselect, sgx->attributes & ATTEST_SGX_DEBUG ? ", DEBUG" : "",
           sgx->attributes & ATTEST_SGX_PROVISION_KEY ? ", PROVISIONKEY" : "");
    print_unless_zero("config id", sgx->config_id, sizeof(sgx->config_id));
    if (sgx->config_svn)
        printf(LABEL "%u\n", "config svn", sgx->config_svn);
    print_unless_zero("family id", sgx->isv_family_id, sizeof(sgx->isv_family_id));
    print_unless_zero("ext. product id", sgx->isv_ext_product_id, sizeof(sgx->isv_ext_product_id));
    verify_print_hex("report data", sgx->report_data, sizeof(sgx->report_data));
}

static void print_td(const struct attest_td_body *td)
{
    static const char *const labels[] = {"rtmr0", "rtmr1", "rtmr2", "rtmr3"};
    verify_print_hex("mrtd", td->mrtd, sizeof(td->mrtd));
    for (int i = 0; i < 4; i++)
        verify_print_hex(labels[i], td->rtmr[i], sizeof(td->rtmr[i]));
    print_unless_zero("mrconfig id", td->mrconfig_id, sizeof(td->mrconfig_id));
    print_unless_zero("mrowner", td->mrowner, sizeof(td->mrowner));
    print_unless_zero("mrowner config", td->mrowner_config, sizeof(td->mrowner_config));
    printf(LABEL "0x%lx, xfam 0x%lx%s\n", "td attributes", (unsigned long)td->td_attributes, (unsigned long)td->xfam,
           td->td_attributes & ATTEST_TD_TUD_MASK ? ", DEBUG" : "");
    verify_print_hex("tee tcb svn", td->tee_tcb_svn, sizeof(td->tee_tcb_svn));
    verify_print_hex("mrseam", td->mrseam, sizeof(td->mrseam));
    verify_print_hex("report data", td->report_data, sizeof(td->report_data));
}

static void print_platform(const struct attest_result *result)
{
    const struct attest_pck *pck = &result->pck;
    verify_print_hex("fmspc", pck->fmspc, sizeof(pck->fmspc));
    verify_print_hex("ppid", pck->ppid, sizeof(pck->ppid));
    if (pck->has_configuration)
        printf(LABEL "%s, %s, %s\n", "platform", pck->smt_enabled ? "hyper-threading" : "no hyper-threading",
               pck->dynamic_platform ? "processors may be added" : "fixed set of processors",
               pck->cached_keys ? "keys known to Intel" : "keys unknown to Intel");
}

static void print_advisories(const struct attest_advisories *advisories)
{
    if (!advisories->count)
        return;
    printf(LABEL, "advisories");
    for (size_t i = 0; i < advisories->count; i++)
        printf("%s%s", i ? " " : "", advisories->ids[i]);
    putchar('\n');
}

static void print_tcb(const struct attest_result *result)
{
    char date[32];
    printf(LABEL "%s (platform %s, quoting enclave %s", "tcb status", attest_tcb_status_name(result->tcb_status),
           attest_tcb_status_name(result->platform.status), attest_tcb_status_name(result->quoting_enclave.status));
    if (result->tdx_module.status != ATTEST_TCB_UNKNOWN)
        printf(", TDX module %s", attest_tcb_status_name(result->tdx_module.status));
    puts(")");
    if (result->platform.date) {
        attest_time_format(result->platform.date, date);
        printf(LABEL "%.10s, by TCB evaluation data number %u\n", "tcb date", date, result->tcb_evaluation_number);
    }
    print_advisories(&result->advisories);
}

/* The time in which the same would come out. */
static void print_validity(const struct attest_result *result)
{
    int64_t from = INT64_MIN, until = INT64_MAX;
    char from_text[32], until_text[32];
    for (int i = 0; i < ATTEST_DATED_COUNT; i++) {
        if (!result->has_validity[i])
            continue;
        from = result->validity[i].from > from ? result->validity[i].from : from;
        until = result->validity[i].until < until ? result->validity[i].until : until;
    }
    if (from == INT64_MIN)
        return;
    attest_time_format(from, from_text);
    attest_time_format(until, until_text);
    printf(LABEL "%s to %s\n", "valid", from_text, until_text);
}

static void print_appraisal(const struct verify_output *output)
{
    const struct attest_appraisal *appraisal = output->appraisal;
    const char *name = output->policy_name ? output->policy_name : "the built-in one (any identity)";
    printf(LABEL "%s: %s\n", "policy", name, appraisal->accepted ? "accepted" : "REFUSED");
    for (size_t i = 0; i < appraisal->violation_count; i++) {
        const struct attest_violation *violation = &appraisal->violations[i];
        printf("  %s: %s\n", violation->rule, violation->reason);
        if (output->dry_run && violation->change[0])
            printf("    would pass with  %s\n", violation->change);
    }
}

void verify_print_text(const struct verify_output *output)
{
    const struct attest_result *result = output->result;
    char time[32];
    attest_time_format(result->time, time);
    printf(LABEL "%s, as of %s\n", "evidence", attest_outcome_name(result->outcome), time);
    if (result->failed_check != ATTEST_CHECK_NONE)
        printf(LABEL "%s: %s\n", "failed check", attest_check_name(result->failed_check), result->reason);
    if (result->simulation)
        puts("WARNING: SIMULATION: this evidence is of no hardware and proves nothing");
    if (output->certificate_form)
        printf(LABEL "%s\n", "certificate", output->certificate_form);
    if (result->has_quote) {
        printf(LABEL "%s, version %u\n", "quote", result->body_type == ATTEST_BODY_SGX ? "SGX" : "TDX",
               result->quote_version);
        if (result->body_type == ATTEST_BODY_SGX)
            print_sgx(&result->sgx);
        else
            print_td(&result->td);
    }
    if (result->has_pck)
        print_platform(result);
    if (result->has_tcb)
        print_tcb(result);
    print_validity(result);
    print_appraisal(output);
}

static json_t *appraisal_json(const struct attest_appraisal *appraisal, bool dry_run)
{
    json_t *violations = json_array();
    for (size_t i = 0; i < appraisal->violation_count; i++) {
        const struct attest_violation *violation = &appraisal->violations[i];
        json_t *json = json_pack("{s:s,s:s}", "rule", violation->rule, "reason", violation->reason);
        if (dry_run && violation->change[0])
            json_object_set_new(json, "change", json_string(violation->change));
        json_array_append_new(violations, json);
    }
    return json_pack("{s:b,s:o}", "accepted", appraisal->accepted, "violations", violations);
}

int verify_print_json(const struct verify_output *output)
{
    char *text = attest_result_json(output->result);
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    if (!json)
        return -1;
    if (output->certificate_form)
        json_object_set_new(json, "certificate", json_pack("{s:s}", "form", output->certificate_form));
    json_object_set_new(json, "appraisal", appraisal_json(output->appraisal, output->dry_run));
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
    return 0;
}

/* The names of outcomes, checks, statuses and dates; results as plain structures. */
#include <string.h>

#include "attest/result.h"

static const char *const outcome_names[] = {
    [ATTEST_OUTCOME_VERIFIED] = "verified",
    [ATTEST_OUTCOME_EXPIRED] = "expired",
    [ATTEST_OUTCOME_INCOMPLETE] = "incomplete",
    [ATTEST_OUTCOME_REJECTED] = "rejected",
};

static const char *const check_names[ATTEST_CHECK_COUNT] = {
    [ATTEST_CHECK_NONE] = "none",
    [ATTEST_CHECK_CERTIFICATE] = "certificate",
    [ATTEST_CHECK_TOKEN] = "token",
    [ATTEST_CHECK_QUOTE_FORMAT] = "quote-format",
    [ATTEST_CHECK_QE_VENDOR] = "qe-vendor",
    [ATTEST_CHECK_CERTIFICATION_DATA] = "certification-data",
    [ATTEST_CHECK_QUOTE_SIGNATURE] = "quote-signature",
    [ATTEST_CHECK_QE_REPORT_DATA] = "qe-report-data",
    [ATTEST_CHECK_PCK_CHAIN] = "pck-chain",
    [ATTEST_CHECK_PCK_EXTENSIONS] = "pck-extensions",
    [ATTEST_CHECK_ROOT] = "root",
    [ATTEST_CHECK_QE_REPORT_SIGNATURE] = "qe-report-signature",
    [ATTEST_CHECK_ROOT_CRL] = "root-crl",
    [ATTEST_CHECK_PCK_CRL] = "pck-crl",
    [ATTEST_CHECK_REVOCATION] = "revocation",
    [ATTEST_CHECK_TCB_INFO] = "tcb-info",
    [ATTEST_CHECK_QE_IDENTITY] = "qe-identity",
    [ATTEST_CHECK_COLLATERAL_MATCH] = "collateral-match",
    [ATTEST_CHECK_QE_REPORT] = "qe-report",
    [ATTEST_CHECK_TDX_MODULE] = "tdx-module",
    [ATTEST_CHECK_REPORT_BODY] = "report-body",
    [ATTEST_CHECK_VALIDITY] = "validity",
};

static const char *const status_names[ATTEST_TCB_STATUS_COUNT] = {
    [ATTEST_TCB_UNKNOWN] = "Unknown",
    [ATTEST_TCB_UP_TO_DATE] = "UpToDate",
    [ATTEST_TCB_SW_HARDENING_NEEDED] = "SWHardeningNeeded",
    [ATTEST_TCB_CONFIGURATION_NEEDED] = "ConfigurationNeeded",
    [ATTEST_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED] = "ConfigurationAndSWHardeningNeeded",
    [ATTEST_TCB_TD_RELAUNCH_ADVISED] = "TDRelaunchAdvised",
    [ATTEST_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED] = "TDRelaunchAdvisedConfigurationNeeded",
    [ATTEST_TCB_OUT_OF_DATE] = "OutOfDate",
    [ATTEST_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED] = "OutOfDateConfigurationNeeded",
    [ATTEST_TCB_REVOKED] = "Revoked",
    [ATTEST_TCB_NOT_SUPPORTED] = "NotSupported",
    [ATTEST_TCB_UNRECOGNIZED] = "Unrecognized",
};

static const char *const dated_names[ATTEST_DATED_COUNT] = {
    [ATTEST_DATED_PCK_CERT] = "PCK certificate",
    [ATTEST_DATED_PCK_CA] = "PCK CA certificate",
    [ATTEST_DATED_ROOT] = "root certificate",
    [ATTEST_DATED_PCK_CRL] = "PCK CRL",
    [ATTEST_DATED_ROOT_CRL] = "root CRL",
    [ATTEST_DATED_TCB_SIGNER] = "TCB info signing certificate",
    [ATTEST_DATED_QE_IDENTITY_SIGNER] = "QE identity signing certificate",
    [ATTEST_DATED_TCB_INFO] = "TCB info",
    [ATTEST_DATED_QE_IDENTITY] = "QE identity",
};

const char *attest_outcome_name(enum attest_outcome outcome)
{
    return outcome_names[outcome];
}

const char *attest_check_name(enum attest_check check)
{
    return check_names[check];
}

const char *attest_tcb_status_name(enum attest_tcb_status status)
{
    return status_names[status];
}

const char *attest_dated_name(enum attest_dated dated)
{
    return dated_names[dated];
}

enum attest_tcb_status attest_tcb_status_parse(const char *name)
{
    for (int i = ATTEST_TCB_UP_TO_DATE; i <= ATTEST_TCB_REVOKED; i++)
        if (strcmp(name, status_names[i]) == 0)
            return (enum attest_tcb_status)i;
    return ATTEST_TCB_UNRECOGNIZED;
}

void attest_advisories_add(struct attest_advisories *advisories, const char *id)
{
    for (size_t i = 0; i < advisories->count; i++)
        if (strcmp(advisories->ids[i], id) == 0)
            return;
    if (advisories->count < ATTEST_ADVISORY_COUNT_MAX && strlen(id) < ATTEST_ADVISORY_SIZE_MAX)
        strcpy(advisories->ids[advisories->count++], id);
}

const uint8_t *attest_result_report_data(const struct attest_result *result)
{
    return result->body_type == ATTEST_BODY_SGX ? result->sgx.report_data : result->td.report_data;
}

bool attest_result_debug(const struct attest_result *result)
{
    return result->body_type == ATTEST_BODY_SGX ? (result->sgx.attributes & ATTEST_SGX_DEBUG) != 0
                                                : (result->td.td_attributes & ATTEST_TD_TUD_MASK) != 0;
}

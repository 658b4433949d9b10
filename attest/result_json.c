/* A result as JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "attest/date.h"
#include "attest/encode.h"
#include "attest/result.h"

static void put_hex(json_t *object, const char *name, const void *data, size_t size)
{
    char *hex = attest_hex_encode(data, size);
    json_object_set_new(object, name, hex ? json_string(hex) : NULL);
    free(hex);
}

static void put_number(json_t *object, const char *name, uint64_t number)
{
    json_object_set_new(object, name, json_integer((json_int_t)number));
}

/* Sets of 64 bits: as numbers they would not survive every reader of JSON. */
static void put_bits(json_t *object, const char *name, uint64_t bits)
{
    char text[20];
    snprintf(text, sizeof(text), "0x%016lx", (unsigned long)bits);
    json_object_set_new(object, name, json_string(text));
}

static void put_flag(json_t *object, const char *name, bool flag)
{
    json_object_set_new(object, name, json_boolean(flag));
}

static void put_date(json_t *object, const char *name, int64_t seconds)
{
    char text[32];
    attest_time_format(seconds, text);
    json_object_set_new(object, name, json_string(text));
}

static json_t *sgx_json(const struct attest_sgx_body *body)
{
    json_t *json = json_object();
    put_hex(json, "mrenclave", body->mrenclave, sizeof(body->mrenclave));
    put_hex(json, "mrsigner", body->mrsigner, sizeof(body->mrsigner));
    put_number(json, "isvProdId", body->isv_product_id);
    put_number(json, "isvSvn", body->isv_svn);
    put_flag(json, "debug", (body->attributes & ATTEST_SGX_DEBUG) != 0);
    put_bits(json, "attributes", body->attributes);
    put_bits(json, "xfrm", body->xfrm);
    put_bits(json, "miscSelect", body->miscselect);
    put_number(json, "cetAttributes", body->cet_attributes);
    put_hex(json, "cpuSvn", body->cpusvn, sizeof(body->cpusvn));
    put_flag(json, "kss", (body->attributes & ATTEST_SGX_KSS) != 0);
    put_hex(json, "configId", body->config_id, sizeof(body->config_id));
    put_number(json, "configSvn", body->config_svn);
    put_hex(json, "isvFamilyId", body->isv_family_id, sizeof(body->isv_family_id));
    put_hex(json, "isvExtProdId", body->isv_ext_product_id, sizeof(body->isv_ext_product_id));
    put_hex(json, "reportData", body->report_data, sizeof(body->report_data));
    return json;
}

static json_t *td_json(const struct attest_td_body *body, enum attest_body_type type)
{
    json_t *json = json_object(), *rtmr = json_array();
    put_hex(json, "mrtd", body->mrtd, sizeof(body->mrtd));
    for (int i = 0; i < 4; i++) {
        char *hex = attest_hex_encode(body->rtmr[i], sizeof(body->rtmr[i]));
        json_array_append_new(rtmr, hex ? json_string(hex) : NULL);
        free(hex);
    }
    json_object_set_new(json, "rtmr", rtmr);
    put_hex(json, "mrConfigId", body->mrconfig_id, sizeof(body->mrconfig_id));
    put_hex(json, "mrOwner", body->mrowner, sizeof(body->mrowner));
    put_hex(json, "mrOwnerConfig", body->mrowner_config, sizeof(body->mrowner_config));
    put_flag(json, "debug", (body->td_attributes & ATTEST_TD_TUD_MASK) != 0);
    put_bits(json, "tdAttributes", body->td_attributes);
    put_bits(json, "xfam", body->xfam);
    put_hex(json, "teeTcbSvn", body->tee_tcb_svn, sizeof(body->tee_tcb_svn));
    put_hex(json, "mrSeam", body->mrseam, sizeof(body->mrseam));
    put_hex(json, "mrSignerSeam", body->mrsigner_seam, sizeof(body->mrsigner_seam));
    put_bits(json, "seamAttributes", body->seam_attributes);
    if (type == ATTEST_BODY_TD15) {
        put_hex(json, "teeTcbSvn2", body->tee_tcb_svn2, sizeof(body->tee_tcb_svn2));
        put_hex(json, "mrServiceTd", body->mrservice_td, sizeof(body->mrservice_td));
    }
    put_hex(json, "reportData", body->report_data, sizeof(body->report_data));
    return json;
}

static json_t *pck_json(const struct attest_result *result)
{
    const struct attest_pck *pck = &result->pck;
    json_t *json = json_object();
    put_hex(json, "fmspc", pck->fmspc, sizeof(pck->fmspc));
    put_hex(json, "pceId", pck->pce_id, sizeof(pck->pce_id));
    put_number(json, "pceSvn", pck->pce_svn);
    put_hex(json, "cpuSvn", pck->cpusvn, sizeof(pck->cpusvn));
    put_hex(json, "tcbComponents", pck->components, sizeof(pck->components));
    put_hex(json, "ppid", pck->ppid, sizeof(pck->ppid));
    put_number(json, "sgxType", pck->sgx_type);
    if (pck->has_platform_instance_id)
        put_hex(json, "platformInstanceId", pck->platform_instance_id, sizeof(pck->platform_instance_id));
    if (pck->has_configuration) {
        put_flag(json, "dynamicPlatform", pck->dynamic_platform);
        put_flag(json, "cachedKeys", pck->cached_keys);
        put_flag(json, "smtEnabled", pck->smt_enabled);
    }
    json_object_set_new(json, "ca", json_string(result->pck_ca == ATTEST_PCK_CA_PLATFORM ? "platform" : "processor"));
    put_hex(json, "serial", result->pck_serial, sizeof(result->pck_serial));
    return json;
}

static json_t *advisories_json(const struct attest_advisories *advisories)
{
    json_t *json = json_array();
    for (size_t i = 0; i < advisories->count; i++)
        json_array_append_new(json, json_string(advisories->ids[i]));
    return json;
}

static json_t *level_json(const struct attest_tcb *tcb)
{
    json_t *json = json_object();
    json_object_set_new(json, "status", json_string(attest_tcb_status_name(tcb->status)));
    if (tcb->date)
        put_date(json, "date", tcb->date);
    json_object_set_new(json, "advisories", advisories_json(&tcb->advisories));
    return json;
}

static json_t *tcb_json(const struct attest_result *result)
{
    json_t *json = json_object();
    json_object_set_new(json, "status", json_string(attest_tcb_status_name(result->tcb_status)));
    json_object_set_new(json, "advisories", advisories_json(&result->advisories));
    json_object_set_new(json, "platform", level_json(&result->platform));
    json_object_set_new(json, "quotingEnclave", level_json(&result->quoting_enclave));
    if (result->tdx_module.status != ATTEST_TCB_UNKNOWN)
        json_object_set_new(json, "tdxModule", level_json(&result->tdx_module));
    put_number(json, "infoVersion", result->tcb_info_version);
    put_number(json, "evaluationDataNumber", result->tcb_evaluation_number);
    put_number(json, "qeEvaluationDataNumber", result->qe_evaluation_number);
    return json;
}

static json_t *validity_json(const struct attest_result *result)
{
    json_t *json = json_object();
    for (int i = 0; i < ATTEST_DATED_COUNT; i++) {
        if (!result->has_validity[i])
            continue;
        json_t *span = json_object();
        put_date(span, "from", result->validity[i].from);
        put_date(span, "until", result->validity[i].until);
        json_object_set_new(json, attest_dated_name((enum attest_dated)i), span);
    }
    return json;
}

static void put_quote(json_t *json, const struct attest_result *result)
{
    json_object_set_new(json, "tee", json_string(result->body_type == ATTEST_BODY_SGX ? "SGX" : "TDX"));
    put_number(json, "quoteVersion", result->quote_version);
    put_number(json, "certificationDataType", (uint64_t)result->certification_type);
    put_hex(json, "qeId", result->qe_id, sizeof(result->qe_id));
    if (result->body_type == ATTEST_BODY_SGX)
        json_object_set_new(json, "enclave", sgx_json(&result->sgx));
    else
        json_object_set_new(json, "td", td_json(&result->td, result->body_type));
    json_object_set_new(json, "quotingEnclave", sgx_json(&result->qe));
}

char *attest_result_json(const struct attest_result *result)
{
    json_t *json = json_object();
    json_object_set_new(json, "outcome", json_string(attest_outcome_name(result->outcome)));
    if (result->failed_check != ATTEST_CHECK_NONE) {
        json_object_set_new(json, "failedCheck", json_string(attest_check_name(result->failed_check)));
        json_object_set_new(json, "reason", json_string(result->reason));
    }
    put_date(json, "time", result->time);
    put_flag(json, "simulation", result->simulation);
    if (result->has_quote)
        put_quote(json, result);
    if (result->has_pck)
        json_object_set_new(json, "pck", pck_json(result));
    if (result->has_root)
        put_hex(json, "rootKeySha256", result->root_key_sha256, sizeof(result->root_key_sha256));
    if (result->has_tcb)
        json_object_set_new(json, "tcb", tcb_json(result));
    json_object_set_new(json, "validity", validity_json(result));
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    return text;
}

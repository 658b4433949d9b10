/* TCB evaluation. */
#include "attest/evaluate.h"

#include <string.h>

#include "image/error.h"

int evaluate_tdx_module_check(const struct tcb_info *info, const struct attest_td_body *td, char **ret_error)
{
    const struct tdx_module *module = &info->module;
    if (td->tee_tcb_svn[1] > 0)
        module = tcb_info_module(info, td->tee_tcb_svn[1]);
    if (!module)
        return error_set(ret_error, "the TCB info knows no TDX module of version %u", td->tee_tcb_svn[1]);
    if (memcmp(td->mrsigner_seam, module->mrsigner, sizeof(module->mrsigner)) != 0)
        return error_set(ret_error, "MRSIGNERSEAM is not that of Intel's TDX module");
    if ((td->seam_attributes & module->attributes_mask) != module->attributes)
        return error_set(ret_error, "SEAMATTRIBUTES are not those of Intel's TDX module");
    if (td->seam_attributes != 0) /* reserved: no bit of it is defined, the mask notwithstanding */
        return error_set(ret_error, "SEAMATTRIBUTES are not zero");
    return 0;
}

static bool all_at_least(const uint8_t *have, const uint8_t *wanted, size_t from)
{
    for (size_t i = from; i < 16; i++)
        if (have[i] < wanted[i])
            return false;
    return true;
}

static bool platform_reaches(const struct attest_pck *pck, const struct tcb_level *level)
{
    return all_at_least(pck->components, level->sgx, 0) && pck->pce_svn >= level->pce_svn;
}

/* SVNs 0 and 1 are the module's; where they have an identity of their own, its levels judge them. */
static bool td_reaches(const struct attest_td_body *td, const struct tcb_level *level)
{
    return all_at_least(td->tee_tcb_svn, level->tdx, td->tee_tcb_svn[1] > 0 ? 2 : 0);
}

/* The levels fall: the first that is reached. For a TD, *ret_sgx is the first that SGX's SVNs alone reach. */
static const struct tcb_level *find_level(const struct tcb_info *info, const struct attest_result *result,
                                          const struct tcb_level **ret_sgx)
{
    *ret_sgx = NULL;
    for (size_t i = 0; i < info->level_count; i++) {
        const struct tcb_level *level = &info->levels[i];
        if (!platform_reaches(&result->pck, level))
            continue;
        if (!*ret_sgx)
            *ret_sgx = level;
        if (!info->is_tdx || td_reaches(&result->td, level))
            return level;
    }
    return NULL;
}

/* A part that is not up to date makes the whole out of date, and keeps what is said of the configuration. */
static enum attest_tcb_status converge(enum attest_tcb_status whole, enum attest_tcb_status part)
{
    if (part == ATTEST_TCB_REVOKED || part == ATTEST_TCB_NOT_SUPPORTED || part == ATTEST_TCB_UNRECOGNIZED)
        return part;
    if (part == ATTEST_TCB_UP_TO_DATE)
        return whole;
    if (whole == ATTEST_TCB_UP_TO_DATE || whole == ATTEST_TCB_SW_HARDENING_NEEDED)
        return ATTEST_TCB_OUT_OF_DATE;
    if (whole == ATTEST_TCB_CONFIGURATION_NEEDED || whole == ATTEST_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED)
        return ATTEST_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED;
    return whole;
}

static bool is_configuration_needed(enum attest_tcb_status status)
{
    return status == ATTEST_TCB_CONFIGURATION_NEEDED || status == ATTEST_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED ||
           status == ATTEST_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED;
}

static bool is_good_platform(enum attest_tcb_status status)
{
    return status == ATTEST_TCB_UP_TO_DATE || status == ATTEST_TCB_SW_HARDENING_NEEDED ||
           status == ATTEST_TCB_CONFIGURATION_NEEDED || status == ATTEST_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED;
}

/*
 * TDX 1.5, 4.1.2.4.17.4.3: the TD was started under an older module than the one that runs now (TEE_TCB_SVN_2). If the
 * one that runs now is the latest, and only the old one is out of date, starting the TD again is all that is needed.
 */
static enum attest_tcb_status check_relaunch(const struct tcb_info *info, const struct attest_td_body *td,
                                             enum attest_tcb_status sgx, enum attest_tcb_status td_status,
                                             enum attest_tcb_status module, enum attest_tcb_status qe)
{
    const struct tcb_level *latest = &info->levels[0];
    const uint8_t *now = td->tee_tcb_svn2;
    if (qe != ATTEST_TCB_UP_TO_DATE || !is_good_platform(sgx) || module != ATTEST_TCB_OUT_OF_DATE ||
        (td_status != ATTEST_TCB_OUT_OF_DATE && td_status != ATTEST_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED))
        return td_status;
    uint16_t wanted = latest->tdx[0];
    if (now[1] > 0) {
        const struct tdx_module *identity = tcb_info_module(info, now[1]);
        if (!identity || identity->level_count == 0)
            return ATTEST_TCB_NOT_SUPPORTED;
        wanted = identity->levels[0].isvsvn;
    }
    if (now[0] < wanted || now[2] < latest->tdx[2])
        return td_status;
    return is_configuration_needed(sgx) || is_configuration_needed(td_status)
               ? ATTEST_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED
               : ATTEST_TCB_TD_RELAUNCH_ADVISED;
}

static void take_tcb(struct attest_tcb *tcb, const struct attest_tcb *level, struct attest_advisories *all)
{
    tcb->status = level ? level->status : ATTEST_TCB_NOT_SUPPORTED;
    tcb->date = level ? level->date : 0;
    tcb->advisories.count = 0;
    for (size_t i = 0; level && i < level->advisories.count; i++) {
        attest_advisories_add(&tcb->advisories, level->advisories.ids[i]);
        attest_advisories_add(all, level->advisories.ids[i]);
    }
}

static const struct attest_tcb *isvsvn_tcb(const struct isvsvn_level *levels, size_t count, uint16_t isvsvn)
{
    const struct isvsvn_level *level = isvsvn_level_find(levels, count, isvsvn);
    return level ? &level->tcb : NULL;
}

static enum attest_tcb_status evaluate_td(const struct tcb_info *info, enum attest_tcb_status sgx,
                                          struct attest_result *result)
{
    const struct attest_td_body *td = &result->td;
    enum attest_tcb_status module = ATTEST_TCB_UP_TO_DATE, status = result->platform.status;
    if (td->tee_tcb_svn[1] > 0) {
        const struct tdx_module *identity = tcb_info_module(info, td->tee_tcb_svn[1]);
        take_tcb(&result->tdx_module,
                 identity ? isvsvn_tcb(identity->levels, identity->level_count, td->tee_tcb_svn[0]) : NULL,
                 &result->advisories);
        module = result->tdx_module.status;
    }
    status = converge(status, module);
    if (result->body_type == ATTEST_BODY_TD15 && status != ATTEST_TCB_REVOKED)
        status = check_relaunch(info, td, sgx, status, module, result->quoting_enclave.status);
    return status;
}

void evaluate_tcb(const struct tcb_info *info, const struct qe_identity *identity, struct attest_result *result)
{
    const struct tcb_level *sgx, *level = find_level(info, result, &sgx);
    result->has_tcb = true;
    result->tcb_info_version = info->version;
    result->tcb_evaluation_number = info->evaluation_number;
    result->qe_evaluation_number = identity->evaluation_number;
    take_tcb(&result->platform, level ? &level->tcb : NULL, &result->advisories);
    take_tcb(&result->quoting_enclave, isvsvn_tcb(identity->levels, identity->level_count, result->qe.isv_svn),
             &result->advisories);
    enum attest_tcb_status status = result->platform.status;
    if (info->is_tdx && level)
        status = evaluate_td(info, sgx->tcb.status, result);
    if (status == ATTEST_TCB_NOT_SUPPORTED)
        result->tcb_status = status;
    else
        result->tcb_status = converge(status, result->quoting_enclave.status);
}

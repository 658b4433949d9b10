/*
 * TCB info: what is signed is what is read, so a document's body opened again gives the same; and what was read is
 * evaluated for an SGX platform and a TD.
 * fuzz-sources: attest/date.c attest/encode.c attest/evaluate.c attest/names.c attest/qe_identity.c
 * fuzz-sources: attest/signed_json.c attest/tcb_info.c image/error.c
 * fuzz-flags: -ljansson
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attest/evaluate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void evaluate(const struct tcb_info *info)
{
    static struct attest_result result;
    static const struct qe_identity identity;
    result = (struct attest_result){.body_type = ATTEST_BODY_TD15};
    memset(result.pck.components, 255, sizeof(result.pck.components));
    result.pck.pce_svn = UINT16_MAX;
    memset(result.td.tee_tcb_svn, 255, sizeof(result.td.tee_tcb_svn));
    evaluate_tcb(info, &identity, &result);
    result.td.tee_tcb_svn[1] = 0;
    result.td.tee_tcb_svn2[1] = 1;
    char *error = NULL;
    if (info->is_tdx)
        evaluate_tdx_module_check(info, &result.td, &error);
    evaluate_tcb(info, &identity, &result);
    free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct signed_json document;
    struct tcb_info info;
    char *error = NULL;
    if (signed_json_open(data, size, "tcbInfo", &document, &error) == 0) {
        if (document.body < (const char *)data || document.body + document.body_size > (const char *)data + size)
            abort();
        if (tcb_info_parse(document.object, &info, &error) == 0) {
            evaluate(&info);
            tcb_info_free(&info);
        } else if (!error) {
            abort();
        }
        json_decref(document.object);
    } else if (!error) {
        abort();
    }
    free(error);
    return 0;
}

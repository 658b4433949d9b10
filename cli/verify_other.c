/* Verifying SIGSTRUCTs and images, showing reports. */
#include "cli/verify_other.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/encode.h"
#include "attest/policy.h"
#include "cli/command.h"
#include "cli/verify_command.h"
#include "cli/verify_print.h"
#include "image/bundle.h"
#include "image/error.h"
#include "image/measure.h"
#include "image/sigstruct.h"

static void put_hex(json_t *json, const char *name, const void *data, size_t size)
{
    char *text = attest_hex_encode(data, size);
    json_object_set_new(json, name, text ? json_string(text) : NULL);
    free(text);
}

/* reason (freed here): why it does not hold; NULL if it does. */
static int print_sigstruct(const char *what, const struct sgx_sigstruct *sigstruct, char *reason, bool as_json)
{
    uint8_t mrsigner[32];
    sigstruct_mrsigner(sigstruct, mrsigner);
    if (as_json) {
        json_t *json = json_pack("{s:s,s:s,s:s*,s:i,s:i}", "kind", what, "outcome", reason ? "rejected" : "verified",
                                 "reason", reason, "isvProdId", sigstruct->isvprodid, "isvSvn", sigstruct->isvsvn);
        put_hex(json, "mrenclave", sigstruct->enclavehash, sizeof(sigstruct->enclavehash));
        put_hex(json, "mrsigner", mrsigner, sizeof(mrsigner));
        json_object_set_new(json, "debugAllowed", json_boolean(sigstruct->attributes_flags & ATTEST_SGX_DEBUG));
        json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
    } else {
        printf("%-17s%s%s%s\n", what, reason ? "rejected" : "verified", reason ? ": " : "", reason ? reason : "");
        verify_print_hex("mrenclave", sigstruct->enclavehash, sizeof(sigstruct->enclavehash));
        verify_print_hex("mrsigner", mrsigner, sizeof(mrsigner));
        printf("%-17s%u\n%-17s%u\n", "product", sigstruct->isvprodid, "svn", sigstruct->isvsvn);
        if (sigstruct->attributes_flags & ATTEST_SGX_DEBUG)
            puts("WARNING: signed for DEBUG: whoever runs it can read and change its memory");
    }
    int status = reason ? EXIT_NOT_SO : 0;
    free(reason);
    return status;
}

int verify_sigstruct(const void *data, bool as_json)
{
    struct sgx_sigstruct sigstruct;
    char *reason = NULL;
    memcpy(&sigstruct, data, sizeof(sigstruct));
    sigstruct_verify(&sigstruct, &reason);
    return print_sigstruct("sigstruct", &sigstruct, reason, as_json);
}

int verify_image(const char *path, bool as_json)
{
    struct bundle bundle;
    uint8_t mrenclave[32];
    char *error = NULL;
    if (bundle_open(&bundle, path, &error) < 0)
        return command_failed("verifying", error);
    struct enclave_parts parts;
    struct sgx_sigstruct sigstruct = bundle.sigstruct_data;
    int is_signed = bundle.is_signed, result = bundle_parts(&bundle, &parts, &error);
    if (result == 0)
        result = measure_enclave(&parts, mrenclave, &error);
    bundle_close(&bundle);
    if (result < 0)
        return command_failed("verifying", error);
    if (!is_signed)
        error_set(&error, "it is not signed");
    else if (sigstruct_verify(&sigstruct, &error) == 0 && memcmp(sigstruct.enclavehash, mrenclave, 32) != 0)
        error_set(&error, "it is signed for another measurement than its own");
    return print_sigstruct("image", &sigstruct, error, as_json);
}

int verify_report(const void *data, bool as_json)
{
    static struct attest_result result;
    static struct attest_appraisal appraisal;
    result = (struct attest_result){.outcome = ATTEST_OUTCOME_INCOMPLETE,
                                    .failed_check = ATTEST_CHECK_QUOTE_FORMAT,
                                    .has_quote = true,
                                    .body_type = ATTEST_BODY_SGX,
                                    .reason = "it is a report: only an enclave on the same machine can verify it"};
    memcpy(&result.sgx, data, sizeof(result.sgx));
    struct verify_output output = {.result = &result, .appraisal = &appraisal};
    if (as_json)
        return verify_print_json(&output) < 0 ? EXIT_COFRE : VERIFY_EXIT_INCOMPLETE;
    verify_print_text(&output);
    return VERIFY_EXIT_INCOMPLETE;
}

/*
 * Policy YAML, and what it compiles to: any text gives an error or a policy that checks.
 * fuzz-sources: image/policy.c image/policy_yaml.c image/policy_compile.c
 * fuzz-sources: image/root_certificate.c image/digest.c image/error.c
 * fuzz-flags: -lyaml -ljansson -lcrypto
 */
#include <stdlib.h>

#include "image/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_source source;
    struct policy_root root = {.size = 4096, .hash_offset = 4096};
    struct policy *policy = NULL;
    size_t policy_size = 0;
    char *error = NULL;
    policy_source_init(&source);
    if (policy_source_parse(&source, "fuzz", data, size, &error) == 0 &&
        policy_compile(&source, &root, &policy, &policy_size, &error) == 0) {
        if (policy_check(policy, policy_size, &error) < 0)
            abort();
        json_decref(policy_to_json(policy));
    }
    free(policy);
    free(error);
    policy_source_free(&source);
    return 0;
}

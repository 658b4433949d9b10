/*
 * The JSON of container images: index, manifest, configuration, and the policy made of the configuration.
 * fuzz-sources: image/convert_policy.c image/digest.c image/error.c image/file_io.c image/oci.c image/oci_config.c
 * fuzz-sources: image/oci_json.c image/oci_pull.c image/oci_store.c image/policy.c image/policy_compile.c
 * fuzz-sources: image/progress.c image/tree.c
 * fuzz-flags: -larchive -lcrypto -ljansson -lpthread
 */
#include <stdint.h>
#include <stdlib.h>

#include "image/convert_policy.h"
#include "image/oci.h"
#include "image/oci_json.h"
#include "image/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A policy that compiles must pass the check of compiled policies. */
static void try_policy(const struct oci_config *config)
{
    static const struct policy_root root = {.size = 8192, .hash_offset = 8192};
    struct policy_source source;
    struct policy *policy = NULL;
    size_t policy_size;
    char *error = NULL;

    policy_source_init(&source);
    if (convert_policy(&source, config, &error) == 0 &&
        policy_compile(&source, &root, &policy, &policy_size, &error) == 0 &&
        policy_check(policy, policy_size, &error) < 0)
        abort();
    free(policy);
    free(error);
    policy_source_free(&source);
}

static void try_documents(json_t *json)
{
    struct oci_image image = {.store.fd = -1};
    char digest[DIGEST_TEXT_SIZE], *error = NULL;
    uint64_t config_size;

    oci_index_choose(json, NULL, &error);
    oci_index_choose(json, "latest", &error);
    oci_manifest_parse(&image, json, digest, &config_size, &error);
    oci_image_close(&image);
    free(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oci_config config;
    char *error = NULL;

    json_t *json = oci_json_parse((const char *)data, size, "it", &error);
    if (json)
        try_documents(json);
    json_decref(json);
    if (oci_config_parse(&config, (const char *)data, size, &error) == 0) {
        try_policy(&config);
        oci_config_free(&config);
    } else if (!error) {
        abort();
    }
    free(error);
    return 0;
}

/* `cofre inspect`: everything a converted image says about itself, for a person or as JSON. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "image/bundle.h"
#include "image/digest.h"
#include "image/measure.h"
#include "image/policy.h"
#include "image/sigstruct.h"

static const char usage[] =
    "Usage: cofre inspect [--json] IMAGE\n\n"
    "Shows what a confidential image is: its measurement, who signed it, and the measured policy. IMAGE is an OCI\n"
    "layout folder or archive made by `cofre convert`. Values are computed from the image's contents, not read from\n"
    "its labels.\n\n  --json  print JSON\n\nExit status: 0; 1 if the signature does not hold; 2 usage; 125 on failure.";

static json_t *hex_json(const uint8_t *bytes, size_t size)
{
    char text[2 * 64 + 1];
    hex_encode(bytes, size, text);
    return json_string(text);
}

/* The signature's part; *ret_good says whether it is valid for this measurement. Unsigned is not an error here. */
static json_t *signature_json(const struct bundle *b, const uint8_t mrenclave[32], int *ret_good)
{
    *ret_good = 1;
    if (!b->is_signed)
        return json_pack("{s:s}", "status", "unsigned");
    char *reason = NULL;
    uint8_t mrsigner[32];
    const struct sgx_sigstruct *s = &b->sigstruct_data;
    sigstruct_mrsigner(s, mrsigner);
    *ret_good = sigstruct_verify(s, &reason) == 0 && memcmp(s->enclavehash, mrenclave, 32) == 0;
    json_t *json =
        json_pack("{s:s,s:o,s:i,s:i,s:o,s:o,s:o,s:b}", "status", *ret_good ? "valid" : "invalid", "mrsigner",
                  hex_json(mrsigner, 32), "product", s->isvprodid, "svn", s->isvsvn, "attributes",
                  json_sprintf("0x%016llx", (unsigned long long)s->attributes_flags), "xfrm",
                  json_sprintf("0x%016llx", (unsigned long long)s->attributes_xfrm), "miscselect",
                  json_sprintf("0x%08x", s->miscselect), "debug", (s->attributes_flags & SGX_ATTR_DEBUG) != 0);
    if (!*ret_good)
        json_object_set_new(json, "reason", json_string(reason ? reason : "it is for another measurement"));
    free(reason);
    return json;
}

static void print_value(const char *prefix, const char *name, const json_t *value);

static void print_object(const char *prefix, json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) print_value(prefix, key, value);
}

static void print_scalar(const json_t *value)
{
    if (json_is_string(value))
        fputs(json_string_value(value), stdout);
    else if (json_is_integer(value))
        printf("%lld", (long long)json_integer_value(value));
    else
        fputs(json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-", stdout);
}

static void print_value(const char *prefix, const char *name, const json_t *value)
{
    char label[128];
    snprintf(label, sizeof(label), "%s%s%s", prefix, prefix[0] ? "." : "", name);
    if (json_is_object(value)) {
        print_object(label, (json_t *)value);
        return;
    }
    printf("%-28s ", label);
    if (!json_is_array(value)) {
        print_scalar(value);
    } else {
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i)
                fputs(" ", stdout);
            json_t *item = json_array_get(value, i);
            if (json_is_object(item)) {
                char *text = json_dumps(item, 0);
                fputs(text ? text : "?", stdout);
                free(text);
            } else {
                print_scalar(item);
            }
        }
        if (json_array_size(value) == 0)
            fputs("-", stdout);
    }
    putchar('\n');
}

static int inspect(const char *path, int as_json)
{
    struct bundle b;
    char *error = NULL;
    uint8_t mrenclave[32];
    int good;
    if (bundle_open(&b, path, &error) < 0)
        return command_failed("inspecting", error);
    struct enclave_parts parts;
    if (bundle_parts(&b, &parts, &error) < 0 || measure_enclave(&parts, mrenclave, &error) < 0) {
        bundle_close(&b);
        return command_failed("measuring", error);
    }
    json_t *signature = signature_json(&b, mrenclave, &good);
    json_t *json = json_pack("{s:s,s:o,s:o,s:o,s:O}", "manifest", b.manifest_digest, "mrenclave",
                             hex_json(mrenclave, 32), "signature", signature, "policy", policy_to_json(b.policy_data),
                             "config", json_object_get(b.config, "config"));
    if (as_json) {
        json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        json_object_del(json, "config");
        print_object("", json);
        if (b.policy_data->flags & POLICY_DEBUG)
            puts("\nWARNING: a DEBUG policy: the host may read and change everything in the enclave.");
        if (b.policy_data->root_key_release == POLICY_KEY_FILE)
            puts("\nNOTE: the key of this encrypted image comes from a file on the machine that runs it. That is for "
                 "development:\nthe image is secret where it is stored, not from that machine.");
        if (b.policy_data->root_key_release == POLICY_KEY_SERVER)
            puts("\nNOTE: the key of this encrypted image is released after attestation, by whoever has the private "
                 "half "
                 "of key_server.key.");
    }
    json_decref(json);
    bundle_close(&b);
    return good ? 0 : EXIT_NOT_SO;
}

int cmd_inspect(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'}, {0}};
    int as_json = 0;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h') {
            puts(usage);
            return 0;
        }
        if (c != 'j')
            return EXIT_USAGE;
        as_json = 1;
    }
    if (argc - optind != 1)
        return command_usage("inspect", "one IMAGE is wanted");
    return inspect(argv[optind], as_json);
}

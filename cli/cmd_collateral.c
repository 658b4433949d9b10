/* `cofre collateral`: fetching, bundling, showing and checking what quotes are verified with. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/bundle.h"
#include "attest/cache.h"
#include "attest/collateral.h"
#include "attest/encode.h"
#include "attest/fetch.h"
#include "attest/file.h"
#include "attest/platform.h"
#include "cli/attest_argument.h"
#include "cli/attest_command.h"
#include "image/error.h"

static const char usage[] =
    "Usage: cofre collateral fetch  PLATFORM [SERVICE]\n"
    "       cofre collateral bundle PLATFORM [SERVICE] FILE\n"
    "       cofre collateral show   [--json] FILE\n"
    "       cofre collateral check  [--time TIME] [--root FILE] FILE\n\n"
    "Collateral is what a quote is verified with: TCB info, the identity of the quoting enclave, revocation lists and\n"
    "their certificates. `fetch` brings what one platform needs into the cache; `bundle` puts it into one dated file, "
    "to\n"
    "verify offline or to audit an old quote at its own time; `show` tells what a bundle holds; `check` whether all "
    "of\n"
    "it held at a time.\n\n"
    "PLATFORM:\n"
    "  --fmspc HEX           the platform's FMSPC, 12 hex digits\n"
    "  --pck-ca NAME         that issued its PCK certificate: processor (default) or platform\n"
    "  --tdx                 for TDX, not SGX\n"
    "SERVICE:\n"
    "  --url URL             a PCCS, or intel (default) or azure; .../sgx/certification/v3 chooses that version\n"
    "  --api VERSION         3 or 4 (default)\n"
    "  --ca FILE             PEM certificates that the service's TLS certificate must chain to\n"
    "  --api-key-file FILE   with the subscription key for PCK certificates\n"
    "  --root-crl-url URL    where the root CA's list is\n"
    "  --early               collateral of a TCB recovery before it is enforced\n"
    "  --evaluation N        of this TCB evaluation data number\n"
    "  --timeout SECONDS     for each document (default 30)\n"
    "  --cache FOLDER        shared by all processes (default: $XDG_CACHE_HOME/cofre/collateral)\n"
    "  --no-cache            ask the service for everything, keep nothing\n"
    "  --max-age DAYS        fetch again what was fetched longer ago\n"
    "CHECK:\n"
    "  --time TIME           2026-11-28T13:00:00Z, 2026-11-28 or seconds since 1970 (default: now)\n"
    "  --root FILE           trust the root in this PEM file too\n\n"
    "Exit status: 0; 1 if `check` finds that something did not hold; 2 usage; 125 on failure.";

struct options {
    struct attest_source_options source;
    struct attest_platform platform;
    bool has_fmspc, no_cache, as_json;
    const char *quote_file;
    const char *api_key_file;
    const char *cache_folder;
    const char *root_file;
    const char *time;
};

enum {
    OPTION_FMSPC = 256,
    OPTION_PCK_CA,
    OPTION_QUOTE,
    OPTION_ROOT,
    OPTION_TDX,
    OPTION_URL,
    OPTION_API,
    OPTION_CA,
    OPTION_API_KEY,
    OPTION_ROOT_CRL,
    OPTION_EARLY,
    OPTION_EVALUATION,
    OPTION_TIMEOUT,
    OPTION_CACHE,
    OPTION_NO_CACHE,
    OPTION_MAX_AGE,
    OPTION_JSON,
    OPTION_TIME,
};

static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                             {"fmspc", required_argument, NULL, OPTION_FMSPC},
                                             {"pck-ca", required_argument, NULL, OPTION_PCK_CA},
                                             {"quote", required_argument, NULL, OPTION_QUOTE},
                                             {"root", required_argument, NULL, OPTION_ROOT},
                                             {"tdx", no_argument, NULL, OPTION_TDX},
                                             {"url", required_argument, NULL, OPTION_URL},
                                             {"api", required_argument, NULL, OPTION_API},
                                             {"ca", required_argument, NULL, OPTION_CA},
                                             {"api-key-file", required_argument, NULL, OPTION_API_KEY},
                                             {"root-crl-url", required_argument, NULL, OPTION_ROOT_CRL},
                                             {"early", no_argument, NULL, OPTION_EARLY},
                                             {"evaluation", required_argument, NULL, OPTION_EVALUATION},
                                             {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                             {"cache", required_argument, NULL, OPTION_CACHE},
                                             {"no-cache", no_argument, NULL, OPTION_NO_CACHE},
                                             {"max-age", required_argument, NULL, OPTION_MAX_AGE},
                                             {"json", no_argument, NULL, OPTION_JSON},
                                             {"time", required_argument, NULL, OPTION_TIME},
                                             {0}};

static int usage_error(const char *message)
{
    return command_usage("collateral", message);
}

/* A whole number of 1 to most; -1 if it is something else. */
static long parse_number(const char *text, long most)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || end == text || *end || value < 1 || value > most ? -1 : value;
}

/* Options with a number. 0, or an exit code. */
static int set_number(struct options *options, int option)
{
    long value = parse_number(optarg, option == OPTION_TIMEOUT ? 86400 : 100000);
    if (option == OPTION_API && value != 3 && value != 4)
        return usage_error("--api takes 3 or 4");
    if (value < 0)
        return usage_error("--evaluation, --timeout and --max-age take a whole number above 0");
    if (option == OPTION_API)
        options->source.version = (int)value;
    else if (option == OPTION_EVALUATION)
        options->source.evaluation_number = (int)value;
    else if (option == OPTION_TIMEOUT)
        options->source.timeout_ms = value * 1000;
    else
        options->source.max_age = value * 86400;
    return 0;
}

static int set_platform(struct options *options, int option)
{
    if (option == OPTION_TDX) {
        options->platform.tee = ATTEST_DOCUMENT_TDX;
    } else if (option == OPTION_FMSPC) {
        if (attest_hex_decode(optarg, options->platform.fmspc, sizeof(options->platform.fmspc)) < 0)
            return usage_error("--fmspc takes 12 hex digits");
        options->has_fmspc = true;
    } else if (strcmp(optarg, "platform") == 0) {
        options->platform.ca = ATTEST_DOCUMENT_CA_PLATFORM;
    } else if (strcmp(optarg, "processor") == 0) {
        options->platform.ca = ATTEST_DOCUMENT_CA_PROCESSOR;
    } else {
        return usage_error("--pck-ca takes processor or platform");
    }
    return 0;
}

/* 0, or an exit code. */
static int set_option(struct options *options, int option)
{
    switch (option) {
    case OPTION_FMSPC:
    case OPTION_PCK_CA:
    case OPTION_TDX:
        return set_platform(options, option);
    case OPTION_API:
    case OPTION_EVALUATION:
    case OPTION_TIMEOUT:
    case OPTION_MAX_AGE:
        return set_number(options, option);
    case OPTION_URL:
        options->source.url = attest_service_url(optarg);
        return 0;
    case OPTION_CA:
        options->source.ca_file = optarg;
        return 0;
    case OPTION_API_KEY:
        options->api_key_file = optarg;
        return 0;
    case OPTION_ROOT_CRL:
        options->source.root_crl_url = optarg;
        return 0;
    case OPTION_EARLY:
        options->source.update_early = 1;
        return 0;
    case OPTION_CACHE:
        options->cache_folder = optarg;
        return 0;
    case OPTION_NO_CACHE:
        options->no_cache = true;
        return 0;
    case OPTION_JSON:
        options->as_json = true;
        return 0;
    case OPTION_TIME:
        options->time = optarg;
        return 0;
    case OPTION_QUOTE:
        options->quote_file = optarg;
        return 0;
    case OPTION_ROOT:
        options->root_file = optarg;
        return 0;
    default:
        return EXIT_USAGE;
    }
}

static void print_warning(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "cofre collateral: %s\n", text);
}

/* The documents of the options' platform, or of the quote's. */
static int fetch_from(const struct options *options, struct attest_source *source, struct attest_bundle *bundle,
                      char **ret_error)
{
    struct attest_platform_identity identity;
    size_t size;
    if (!options->quote_file)
        return attest_bundle_fetch(source, &options->platform, NULL, bundle, ret_error);
    char *quote = attest_file_read(options->quote_file, ATTEST_QUOTE_SIZE_MAX, &size, ret_error);
    int result = quote ? attest_platform_of_quote(quote, size, source, &identity, ret_error) : -1;
    if (result == 0)
        result = attest_bundle_fetch(source, &identity.platform, identity.needs_pck ? &identity.pck : NULL, bundle,
                                     ret_error);
    free(quote);
    return result;
}

static int fetch_all(struct options *options, struct attest_bundle *bundle, char **ret_error)
{
    char *folder = NULL, *key = NULL;
    size_t size;
    int result = -1;
    if (options->api_key_file &&
        !(key = attest_file_read(options->api_key_file, ATTEST_FILE_SIZE_MAX, &size, ret_error)))
        return -1;
    if (key)
        key[strcspn(key, "\r\n")] = 0;
    if (!options->no_cache)
        folder = options->cache_folder ? strdup(options->cache_folder) : attest_cache_default_folder();
    options->source.api_key = key;
    options->source.cache_folder = folder;
    options->source.warn = print_warning;
    struct attest_source *source = attest_source_new(&options->source, ret_error);
    if (source)
        result = fetch_from(options, source, bundle, ret_error);
    attest_source_free(source);
    free(folder);
    free(key);
    return result;
}

static json_t *bundle_summary(const struct attest_bundle *bundle)
{
    char created[32], from_text[32], until_text[32], *fmspc = attest_hex_encode(bundle->platform.fmspc, 6);
    int64_t from, until;
    attest_bundle_validity(bundle, &from, &until);
    attest_time_format(bundle->created, created);
    attest_time_format(from, from_text);
    attest_time_format(until, until_text);
    json_t *documents = json_array();
    for (int kind = 0; kind < ATTEST_DOCUMENT_KIND_COUNT; kind++) {
        const struct attest_document *document = &bundle->documents[kind];
        char issued[32], next[32];
        if (!document->data)
            continue;
        attest_time_format(document->issued, issued);
        attest_time_format(document->next_update, next);
        json_array_append_new(documents, json_pack("{s:s,s:s,s:s,s:I,s:b}", "name",
                                                   attest_document_kind_name((enum attest_document_kind)kind), "issued",
                                                   issued, "nextUpdate", next, "size", (json_int_t)document->size,
                                                   "cached", bundle->cached[kind]));
    }
    json_t *json =
        json_pack("{s:s,s:s*,s:s,s:s,s:s*,s:s,s:s,s:o}", "tee",
                  bundle->platform.tee == ATTEST_DOCUMENT_TDX ? "TDX" : "SGX", "fmspc", fmspc, "pckCa",
                  bundle->platform.ca == ATTEST_DOCUMENT_CA_PLATFORM ? "platform" : "processor", "created", created,
                  "source", bundle->source, "validFrom", from_text, "validUntil", until_text, "documents", documents);
    free(fmspc);
    return json;
}

static const char *string_of(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text ? text : "?";
}

static void print_summary(const struct attest_bundle *bundle, bool as_json, bool is_fetched)
{
    json_t *json = bundle_summary(bundle), *document;
    size_t i;
    if (as_json) {
        json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
        return;
    }
    printf("%-12s%s, FMSPC %s, PCK %s CA\n", "platform", string_of(json, "tee"), string_of(json, "fmspc"),
           string_of(json, "pckCa"));
    printf("%-12s%s, from %s\n", "made", string_of(json, "created"), string_of(json, "source"));
    json_array_foreach(json_object_get(json, "documents"), i, document)
    {
        const char *origin = json_is_true(json_object_get(document, "cached")) ? "cache" : "service";
        printf("%-16s%s to %s%s%s%s\n", string_of(document, "name"), string_of(document, "issued"),
               string_of(document, "nextUpdate"), is_fetched ? " (" : "", is_fetched ? origin : "",
               is_fetched ? ")" : "");
    }
    printf("%-12s%s to %s\n", "all hold", string_of(json, "validFrom"), string_of(json, "validUntil"));
    json_decref(json);
}

static int run_fetch(struct options *options, const char *target)
{
    struct attest_bundle bundle;
    char *error = NULL;
    int64_t from, until;
    if (options->has_fmspc == (options->quote_file != NULL))
        return usage_error("either --quote FILE or --fmspc HEX is wanted");
    if (fetch_all(options, &bundle, &error) < 0)
        return command_failed("fetching collateral", error);
    if (target && attest_bundle_save(&bundle, target, &error) < 0) {
        attest_bundle_free(&bundle);
        return command_failed("writing the bundle", error);
    }
    print_summary(&bundle, options->as_json, true);
    attest_bundle_validity(&bundle, &from, &until);
    if (until <= time(NULL))
        fputs("cofre collateral: the service handed out expired documents; quotes do not verify with them today\n",
              stderr);
    attest_bundle_free(&bundle);
    return 0;
}

static int run_show(const struct options *options, const char *path)
{
    struct attest_bundle bundle;
    char *error = NULL;
    if (attest_bundle_load(path, &bundle, &error) < 0)
        return command_failed("reading the bundle", error);
    print_summary(&bundle, options->as_json, false);
    attest_bundle_free(&bundle);
    return 0;
}

/* Each document that did not hold at a time. True if there is none. */
static bool check_dates(const struct attest_bundle *bundle, int64_t now)
{
    char when[32];
    bool good = true;
    attest_time_format(now, when);
    for (int kind = 0; kind < ATTEST_DOCUMENT_KIND_COUNT; kind++) {
        const struct attest_document *document = &bundle->documents[kind];
        const char *name = attest_document_kind_name((enum attest_document_kind)kind);
        if (!document->data || (document->issued <= now && now < document->next_update))
            continue;
        printf("%s: %s at %s\n", name, document->issued > now ? "not yet issued" : "expired", when);
        good = false;
    }
    return good;
}

/* Signatures, chains and revocation, by the roots. True if they are good. */
static bool check_signatures(const struct attest_bundle *bundle, const struct attest_roots *roots)
{
    struct attest_result result = {.outcome = ATTEST_OUTCOME_REJECTED, .reason = "out of memory"};
    struct attest_collateral *collateral = attest_collateral_from_bundle(bundle, roots);
    if (collateral)
        attest_collateral_status(collateral, &result);
    attest_collateral_free(collateral);
    if (result.outcome == ATTEST_OUTCOME_VERIFIED)
        return true;
    printf("%s: %s\n", attest_check_name(result.failed_check), result.reason);
    return false;
}

static int run_check(const struct options *options, const char *path)
{
    struct attest_bundle bundle;
    struct attest_roots roots;
    char *error = NULL, when[32];
    int64_t now = time(NULL);
    if (options->time && attest_time_parse(options->time, &now) < 0)
        return usage_error("--time takes 2026-11-28T13:00:00Z, 2026-11-28 or seconds since 1970");
    attest_roots_init(&roots);
    if ((options->root_file && attest_roots_add_file(&roots, options->root_file, true, &error) < 0) ||
        attest_bundle_load(path, &bundle, &error) < 0)
        return command_failed("checking the bundle", error);
    bool genuine = check_signatures(&bundle, &roots), in_time = check_dates(&bundle, now);
    attest_bundle_free(&bundle);
    if (!genuine || !in_time)
        return EXIT_NOT_SO;
    attest_time_format(now, when);
    printf("all documents are genuine and held at %s\n", when);
    return 0;
}

int cmd_collateral(int argc, char **argv)
{
    struct options options = {0};
    for (int c, code; (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (c == 'h') {
            puts(usage);
            return 0;
        }
        if ((code = set_option(&options, c)) != 0)
            return code;
    }
    const char *verb = optind < argc ? argv[optind] : "", *file = optind + 1 < argc ? argv[optind + 1] : NULL;
    int count = argc - optind;
    if (strcmp(verb, "fetch") == 0)
        return count == 1 ? run_fetch(&options, NULL) : usage_error("fetch takes no FILE");
    if (strcmp(verb, "bundle") != 0 && strcmp(verb, "show") != 0 && strcmp(verb, "check") != 0)
        return usage_error("fetch, bundle, show or check is wanted");
    if (count != 2)
        return usage_error("one FILE is wanted");
    if (verb[0] == 'b')
        return run_fetch(&options, file);
    return verb[0] == 's' ? run_show(&options, file) : run_check(&options, file);
}

/* `cofre verify`: whether evidence is what it says it is, and what was wanted. */
#include <errno.h>
#include <getopt.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "attest/cache.h"
#include "attest/encode.h"
#include "attest/fetch.h"
#include "attest/file.h"
#include "attest/maa.h"
#include "attest/policy.h"
#include "attest/ratls.h"
#include "attest/store.h"
#include "cli/attest_argument.h"
#include "cli/attest_command.h"
#include "cli/verify_command.h"
#include "cli/verify_other.h"
#include "cli/verify_print.h"
#include "image/error.h"
#include "image/sgx_arch.h"

#define COLLATERAL_COUNT_MAX 16

static const char usage[] =
    "Usage: cofre verify [OPTIONS] FILE\n\n"
    "Verifies evidence: an SGX or TDX quote, a certificate that carries one (RA-TLS), a token of Azure Attestation, "
    "the\n"
    "SIGSTRUCT of an enclave or a converted image. A report is shown: only an enclave can verify it. FILE \"-\" is\n"
    "standard input.\n\n"
    "  --policy FILE        judge by this appraisal policy (man cofre-appraisal); else: genuine, up to date, neither\n"
    "                       debug nor simulation, and any identity\n"
    "  --dry-run            say for each rule that is broken the smallest change that would let it pass\n"
    "  --report-data HEX    what the report data must begin with\n"
    "  --collateral FILE    a bundle of `cofre collateral`, or a folder; may be given again. Else it is fetched\n"
    "  --url URL            from this service: a PCCS, intel (default) or azure; a token: the instance it is of\n"
    "  --ca FILE            PEM certificates that the service's TLS certificate must chain to\n"
    "  --cache FOLDER       where fetched collateral is kept (default: $XDG_CACHE_HOME/cofre/collateral)\n"
    "  --offline            fetch nothing\n"
    "  --root FILE          trust this root beside Intel's; what ends in it is SIMULATION. May be given again\n"
    "  --keys FILE          a token: the instance's keys\n"
    "  --time TIME          as of this time (2026-11-28T13:00:00Z or seconds since 1970), not now\n"
    "  --json               every fact as JSON\n\n"
    "Exit status: 0 accepted; 1 rejected: it is not genuine; 3 genuine, but refused by the policy; 4 something was "
    "not\n"
    "valid at that time; 5 collateral is missing, or it cannot be verified here; 2 usage; 125 on failure.";

enum {
    OPTION_POLICY = 256,
    OPTION_DRY_RUN,
    OPTION_REPORT_DATA,
    OPTION_COLLATERAL,
    OPTION_URL,
    OPTION_CA,
    OPTION_CACHE,
    OPTION_OFFLINE,
    OPTION_ROOT,
    OPTION_KEYS,
    OPTION_TIME,
    OPTION_JSON,
};

static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                             {"policy", required_argument, NULL, OPTION_POLICY},
                                             {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
                                             {"report-data", required_argument, NULL, OPTION_REPORT_DATA},
                                             {"collateral", required_argument, NULL, OPTION_COLLATERAL},
                                             {"url", required_argument, NULL, OPTION_URL},
                                             {"ca", required_argument, NULL, OPTION_CA},
                                             {"cache", required_argument, NULL, OPTION_CACHE},
                                             {"offline", no_argument, NULL, OPTION_OFFLINE},
                                             {"root", required_argument, NULL, OPTION_ROOT},
                                             {"keys", required_argument, NULL, OPTION_KEYS},
                                             {"time", required_argument, NULL, OPTION_TIME},
                                             {"json", no_argument, NULL, OPTION_JSON},
                                             {0}};

struct options {
    const char *values[OPTION_JSON + 1 - OPTION_POLICY]; /* the last argument of each; "" for a flag that is given */
    const char *collateral[COLLATERAL_COUNT_MAX], *roots[ATTEST_ROOT_COUNT_MAX];
    size_t collateral_count, root_count;
    const char *file;
    int64_t time;
    uint8_t report_data[64];
    size_t report_data_size;
};

static const char *value(const struct options *options, int number)
{
    return options->values[number - OPTION_POLICY];
}

static int parse_options(int argc, char **argv, struct options *options)
{
    for (int c; (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (c == 'h') {
            puts(usage);
            exit(0);
        }
        if (c < OPTION_POLICY)
            return EXIT_USAGE;
        options->values[c - OPTION_POLICY] = optarg ? optarg : "";
        if (c == OPTION_COLLATERAL && options->collateral_count < COLLATERAL_COUNT_MAX)
            options->collateral[options->collateral_count++] = optarg;
        if (c == OPTION_ROOT && options->root_count < ATTEST_ROOT_COUNT_MAX)
            options->roots[options->root_count++] = optarg;
    }
    if (argc - optind != 1)
        return command_usage("verify", "one FILE is wanted");
    options->file = argv[optind];
    options->time = time(NULL);
    if (value(options, OPTION_TIME) && attest_time_parse(value(options, OPTION_TIME), &options->time) < 0)
        return command_usage("verify", "--time: a time is wanted, such as 2026-11-28T13:00:00Z");
    const char *hex = value(options, OPTION_REPORT_DATA);
    options->report_data_size = hex ? strlen(hex) / 2 : 0;
    if (hex && (!*hex || options->report_data_size > sizeof(options->report_data) ||
                attest_hex_decode(hex, options->report_data, options->report_data_size) < 0))
        return command_usage("verify", "--report-data: up to 128 hex digits are wanted");
    return 0;
}

static void warn(void *context, const char *text)
{
    fprintf(stderr, "cofre verify: %s\n", text);
}

/* Collateral and roots, as the options say. */
static struct attest_store *open_store(const struct options *options, struct attest_source_options *source,
                                       char **cache, char **ret_error)
{
    struct attest_roots roots;
    attest_roots_init(&roots);
    for (size_t i = 0; i < options->root_count; i++)
        if (attest_roots_add_file(&roots, options->roots[i], true, ret_error) < 0)
            return NULL;
    *cache = value(options, OPTION_CACHE) ? strdup(value(options, OPTION_CACHE)) : attest_cache_default_folder();
    *source = (struct attest_source_options){
        .url = value(options, OPTION_URL) ? attest_service_url(value(options, OPTION_URL)) : NULL,
        .ca_file = value(options, OPTION_CA),
        .cache_folder = *cache,
        .warn = warn};
    bool fetches = !value(options, OPTION_OFFLINE) && (!options->collateral_count || value(options, OPTION_URL));
    struct attest_store *store = attest_store_new(&roots, fetches ? source : NULL);
    if (!store) {
        error_set(ret_error, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < options->collateral_count; i++)
        if (attest_store_add_file(store, options->collateral[i], ret_error) < 0) {
            attest_store_free(store);
            return NULL;
        }
    return store;
}

static int exit_status(const struct attest_result *result, const struct attest_appraisal *appraisal)
{
    if (result->outcome == ATTEST_OUTCOME_REJECTED)
        return EXIT_NOT_SO;
    if (result->outcome == ATTEST_OUTCOME_INCOMPLETE)
        return VERIFY_EXIT_INCOMPLETE;
    if (appraisal->accepted)
        return 0;
    return result->outcome == ATTEST_OUTCOME_EXPIRED ? VERIFY_EXIT_EXPIRED : VERIFY_EXIT_REFUSED;
}

/* Judges and prints a result that is there. */
static int finish(const struct options *options, const struct attest_result *result, const char *form)
{
    static struct attest_appraisal appraisal;
    const char *path = value(options, OPTION_POLICY);
    char *error = NULL;
    struct attest_policy *policy = path ? attest_policy_load(path, &error) : attest_policy_default();
    if (!policy)
        return command_failed("reading the policy", error);
    const struct attest_binding binding = {options->report_data_size ? options->report_data : NULL,
                                           options->report_data_size};
    attest_policy_evaluate(policy, result, &binding, &appraisal);
    attest_policy_free(policy);
    const struct verify_output output = {.result = result,
                                         .appraisal = &appraisal,
                                         .certificate_form = form,
                                         .policy_name = path,
                                         .dry_run = value(options, OPTION_DRY_RUN) != NULL};
    if (!value(options, OPTION_JSON))
        verify_print_text(&output);
    else if (verify_print_json(&output) < 0)
        return command_failed("verifying", NULL);
    return exit_status(result, &appraisal);
}

static int verify_quote(const struct options *options, const uint8_t *quote, size_t size, const char *form)
{
    static struct attest_result result;
    struct attest_source_options source;
    char *cache = NULL, *error = NULL;
    struct attest_store *store = open_store(options, &source, &cache, &error);
    if (store && attest_store_add_quote(store, quote, size, &error) < 0) {
        warn(NULL, error); /* and the verification goes as far as it can */
        free(error);
    }
    if (store)
        attest_store_verify(store, quote, size, options->time, &result, NULL);
    attest_store_free(store);
    free(cache);
    return store ? finish(options, &result, form) : command_failed("reading collateral", error);
}

static X509 *read_certificate(const uint8_t *data, size_t size)
{
    if (data[0] == 0x30)
        return d2i_X509(NULL, &data, (long)size);
    BIO *bio = BIO_new_mem_buf(data, (int)size);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return certificate;
}

static int reject(const struct options *options, enum attest_check check, char *why)
{
    static struct attest_result rejected;
    rejected = (struct attest_result){.outcome = ATTEST_OUTCOME_REJECTED, .failed_check = check, .time = options->time};
    snprintf(rejected.reason, sizeof(rejected.reason), "%s", why ? why : "out of memory");
    free(why);
    return finish(options, &rejected, NULL);
}

static int verify_certificate(const struct options *options, const uint8_t *data, size_t size)
{
    struct attest_ratls_evidence evidence;
    X509 *certificate = read_certificate(data, size);
    char *error = NULL;
    int status;
    if (!certificate)
        error_set(&error, "it is not an X.509 certificate");
    if (certificate && attest_ratls_evidence_get(certificate, &evidence, &error) == 0)
        status = verify_quote(options, evidence.quote, evidence.quote_size, attest_ratls_form_name(evidence.form));
    else
        status = reject(options, ATTEST_CHECK_CERTIFICATE, error);
    X509_free(certificate);
    return status;
}

/* Its keys: of a file, or of the instance (which then owns them). */
static const struct attest_jwt_keys *token_keys(const struct options *options, struct attest_maa *maa,
                                                struct attest_jwt_keys **owned, char **ret_error)
{
    size_t size;
    if (!value(options, OPTION_KEYS))
        return attest_maa_keys(maa, ret_error);
    char *text = attest_file_read(value(options, OPTION_KEYS), ATTEST_FILE_SIZE_MAX, &size, ret_error);
    *owned = text ? attest_jwt_keys_parse(text, size, ret_error) : NULL;
    free(text);
    return *owned;
}

static int verify_token(const struct options *options, char *token)
{
    static struct attest_result result;
    const struct attest_maa_options instance = {.url = value(options, OPTION_URL),
                                                .ca_file = value(options, OPTION_CA)};
    struct attest_jwt_keys *owned = NULL;
    struct attest_maa_claims claims;
    char *error = NULL;
    if (!instance.url)
        return command_usage("verify", "a token: --url must name the instance that it is of");
    token[strcspn(token, "\r\n")] = 0;
    struct attest_maa *maa = attest_maa_new(&instance, &error);
    const struct attest_jwt_keys *keys = maa ? token_keys(options, maa, &owned, &error) : NULL;
    int status;
    if (!keys) {
        status = command_failed("verifying the token", error);
    } else if (attest_maa_verify(token, instance.url, keys, options->time, NULL, &claims, &error) < 0) {
        status = reject(options, ATTEST_CHECK_TOKEN, error);
    } else {
        attest_maa_result(&claims, options->time, &result);
        attest_maa_claims_free(&claims);
        status = finish(options, &result, NULL);
    }
    attest_jwt_keys_free(owned);
    attest_maa_free(maa);
    return status;
}

static bool begins(const uint8_t *data, size_t size, const void *with, size_t with_size)
{
    return size >= with_size && memcmp(data, with, with_size) == 0;
}

/* A quote in a buffer that is longer (as AESM gives it): zeros after its end are not part of it. */
static size_t without_padding(const uint8_t *data, size_t size)
{
    size_t length = attest_quote_length(data, size);
    if (length == 0 || length > size)
        return size;
    for (size_t i = length; i < size; i++)
        if (data[i])
            return size;
    return length;
}

static int verify_bytes(const struct options *options, uint8_t *data, size_t size)
{
    static const uint8_t sigstruct[] = {6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1};
    static const char pem[] = "-----BEGIN ", token[] = "eyJ";
    bool as_json = value(options, OPTION_JSON) != NULL;
    if (size == sizeof(struct sgx_sigstruct) && begins(data, size, sigstruct, sizeof(sigstruct)))
        return verify_sigstruct(data, as_json);
    if (size == ATTEST_SGX_REPORT_SIZE && memcmp(data + 12, attest_intel_qe_vendor_id, 16) != 0)
        return verify_report(data, as_json);
    if (begins(data, size, token, sizeof(token) - 1))
        return verify_token(options, (char *)data);
    if (begins(data, size, pem, sizeof(pem) - 1) || begins(data, size, "\x30\x82", 2))
        return verify_certificate(options, data, size);
    return verify_quote(options, data, without_padding(data, size), NULL);
}

/* A folder, or an archive too long to be anything else. */
static bool is_image(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_size > ATTEST_FILE_SIZE_MAX));
}

int cmd_verify(int argc, char **argv)
{
    static struct options options;
    size_t size;
    char *error = NULL;
    int status = parse_options(argc, argv, &options);
    if (status)
        return status;
    if (is_image(options.file))
        return verify_image(options.file, value(&options, OPTION_JSON) != NULL);
    char *data = attest_file_read(options.file, ATTEST_FILE_SIZE_MAX, &size, &error);
    if (!data)
        return command_failed("verifying", error);
    status = verify_bytes(&options, (uint8_t *)data, size);
    free(data);
    return status;
}

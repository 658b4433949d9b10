/* `cofre maa`: a quote verified by Microsoft Azure Attestation, its token verified here. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/encode.h"
#include "attest/file.h"
#include "attest/maa.h"
#include "cli/attest_argument.h"
#include "cli/attest_command.h"
#include "image/error.h"

static const char usage[] =
    "Usage: cofre maa --url URL [OPTIONS] QUOTE\n"
    "       cofre maa --url URL [OPTIONS] --token FILE\n\n"
    "Sends an SGX quote to an instance of Microsoft Azure Attestation and verifies the token that comes back: its\n"
    "signature by the instance's published keys, its issuer and dates, and that it is about this quote. With --token,\n"
    "verifies a token that was received before. Prints what the token says of the enclave.\n\n"
    "  --url URL            the instance, https://NAME.REGION.attest.azure.net; it must be the token's issuer\n"
    "  --ca FILE            PEM certificates that its TLS certificate must chain to\n"
    "  --bearer-file FILE   with an access token, for an instance that wants one\n"
    "  --keys FILE          the instance's keys (its /certs), to verify --token without a network\n"
    "  --runtime-data FILE  what the enclave bound: SHA-256 of it begins the quote's report data\n"
    "  --runtime-json       it is JSON: the token then has it as claims\n"
    "  --nonce TEXT         must come back in the token\n"
    "  --token-out FILE     write the token\n"
    "  --time TIME          verify the token as of this time (2026-11-28T13:00:00Z or seconds since 1970)\n"
    "  --json               print the token's claims as JSON\n\n"
    "Exit status: 0 if the token holds; 1 if it does not, or the service refuses the quote; 2 usage; 125 on failure.";

enum {
    OPTION_URL = 256,
    OPTION_CA,
    OPTION_BEARER,
    OPTION_KEYS,
    OPTION_DATA,
    OPTION_DATA_JSON,
    OPTION_NONCE,
    OPTION_TOKEN,
    OPTION_TOKEN_OUT,
    OPTION_TIME,
    OPTION_JSON,
};

static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                             {"url", required_argument, NULL, OPTION_URL},
                                             {"ca", required_argument, NULL, OPTION_CA},
                                             {"bearer-file", required_argument, NULL, OPTION_BEARER},
                                             {"keys", required_argument, NULL, OPTION_KEYS},
                                             {"runtime-data", required_argument, NULL, OPTION_DATA},
                                             {"runtime-json", no_argument, NULL, OPTION_DATA_JSON},
                                             {"nonce", required_argument, NULL, OPTION_NONCE},
                                             {"token", required_argument, NULL, OPTION_TOKEN},
                                             {"token-out", required_argument, NULL, OPTION_TOKEN_OUT},
                                             {"time", required_argument, NULL, OPTION_TIME},
                                             {"json", no_argument, NULL, OPTION_JSON},
                                             {0}};

struct options {
    const char *files[OPTION_JSON + 1 - OPTION_URL]; /* the argument of each option; "" for a flag that is given */
    const char *quote;
};

static const char *option(const struct options *options, int number)
{
    return options->files[number - OPTION_URL];
}

/* What the files hold; all malloc'd. */
struct inputs {
    char *quote, *runtime_data, *token, *bearer, *keys_text;
    struct attest_maa_request request;
    struct attest_jwt_keys *keys;
};

static void inputs_free(struct inputs *inputs)
{
    free(inputs->quote);
    free(inputs->runtime_data);
    free(inputs->token);
    free(inputs->bearer);
    free(inputs->keys_text);
    attest_jwt_keys_free(inputs->keys);
}

/* Reads a file if its option was given. */
static int load(const char *path, char **ret_data, size_t *ret_size, char **ret_error)
{
    return !path || (*ret_data = attest_file_read(path, ATTEST_FILE_SIZE_MAX, ret_size, ret_error)) ? 0 : -1;
}

static void trim(char *text)
{
    if (text)
        text[strcspn(text, "\r\n")] = 0;
}

static int inputs_load(const struct options *options, struct inputs *inputs, char **ret_error)
{
    size_t size = 0, data_size = 0, quote_size = 0;
    *inputs = (struct inputs){0};
    if (load(options->quote, &inputs->quote, &quote_size, ret_error) < 0 ||
        load(option(options, OPTION_DATA), &inputs->runtime_data, &data_size, ret_error) < 0 ||
        load(option(options, OPTION_TOKEN), &inputs->token, &size, ret_error) < 0 ||
        load(option(options, OPTION_BEARER), &inputs->bearer, &size, ret_error) < 0 ||
        load(option(options, OPTION_KEYS), &inputs->keys_text, &size, ret_error) < 0)
        return -1;
    trim(inputs->token);
    trim(inputs->bearer);
    if (inputs->keys_text && !(inputs->keys = attest_jwt_keys_parse(inputs->keys_text, size, ret_error)))
        return -1;
    inputs->request = (struct attest_maa_request){.quote = (uint8_t *)inputs->quote,
                                                  .quote_size = quote_size,
                                                  .runtime_data = inputs->runtime_data,
                                                  .runtime_data_size = data_size,
                                                  .runtime_is_json = option(options, OPTION_DATA_JSON) != NULL,
                                                  .nonce = option(options, OPTION_NONCE)};
    return 0;
}

static void print_hex(const char *label, const uint8_t *bytes, size_t size)
{
    char *text = attest_hex_encode(bytes, size);
    printf("%-14s%s\n", label, text ? text : "?");
    free(text);
}

static void print_claims(const struct attest_maa_claims *claims, bool as_json)
{
    if (as_json) {
        json_dumpf(claims->all, stdout, JSON_INDENT(2));
        putchar('\n');
        return;
    }
    print_hex("mrenclave", claims->mrenclave, 32);
    print_hex("mrsigner", claims->mrsigner, 32);
    printf("%-14s%u\n%-14s%u\n%-14s%s\n", "product", claims->product_id, "svn", claims->svn, "debug",
           claims->is_debuggable ? "yes" : "no");
    if (claims->has_report_data)
        print_hex("report data", claims->report_data, 64);
    if (claims->has_kss) {
        print_hex("config id", claims->config_id, 64);
        print_hex("family id", claims->family_id, 16);
        print_hex("ext. product", claims->extended_product_id, 16);
    }
    if (claims->is_debuggable)
        puts("\nWARNING: a DEBUG enclave: the host may read and change everything in it.");
}

static int write_token(const char *path, const char *token, char **ret_error)
{
    FILE *file = fopen(path, "we");
    if (!file || fprintf(file, "%s\n", token) < 0 || fclose(file) != 0)
        return error_set_errno(ret_error, errno, "%s", path);
    return 0;
}

/* 0, or an exit code. */
static int get_token(struct attest_maa *maa, const struct options *options, struct inputs *inputs, char **ret_error)
{
    if (inputs->token)
        return 0;
    int result = attest_maa_attest(maa, &inputs->request, &inputs->token, ret_error);
    if (result != 0)
        return result > 0 ? EXIT_NOT_SO : EXIT_COFRE;
    const char *path = option(options, OPTION_TOKEN_OUT);
    return path && write_token(path, inputs->token, ret_error) < 0 ? EXIT_COFRE : 0;
}

static int verify(struct attest_maa *maa, const struct options *options, struct inputs *inputs, char **ret_error)
{
    struct attest_maa_claims claims;
    int64_t now = time(NULL);
    if (option(options, OPTION_TIME) && attest_time_parse(option(options, OPTION_TIME), &now) < 0) {
        error_set(ret_error, "--time: not a time");
        return EXIT_USAGE;
    }
    int result = get_token(maa, options, inputs, ret_error);
    if (result != 0)
        return result;
    const struct attest_jwt_keys *keys = inputs->keys ? inputs->keys : attest_maa_keys(maa, ret_error);
    if (!keys)
        return EXIT_COFRE;
    if (attest_maa_verify(inputs->token, option(options, OPTION_URL), keys, now,
                          inputs->quote ? &inputs->request : NULL, &claims, ret_error) < 0)
        return EXIT_NOT_SO;
    print_claims(&claims, option(options, OPTION_JSON) != NULL);
    attest_maa_claims_free(&claims);
    return 0;
}

static int run(const struct options *options)
{
    struct inputs inputs;
    char *error = NULL;
    int code = EXIT_COFRE;
    if (inputs_load(options, &inputs, &error) == 0) {
        struct attest_maa_options client = {
            .url = option(options, OPTION_URL), .ca_file = option(options, OPTION_CA), .bearer_token = inputs.bearer};
        struct attest_maa *maa = attest_maa_new(&client, &error);
        if (maa)
            code = verify(maa, options, &inputs, &error);
        attest_maa_free(maa);
    }
    inputs_free(&inputs);
    if (code != 0)
        command_failed("attestation", error);
    return code;
}

int cmd_maa(int argc, char **argv)
{
    struct options options = {0};
    for (int c; (c = getopt_long(argc, argv, "h", long_options, NULL)) != -1;) {
        if (c == 'h') {
            puts(usage);
            return 0;
        }
        if (c == '?')
            return EXIT_USAGE;
        options.files[c - OPTION_URL] = optarg ? optarg : "";
    }
    if (!option(&options, OPTION_URL))
        return command_usage("maa", "--url is wanted");
    options.quote = optind < argc ? argv[optind] : NULL;
    if (argc - optind > 1 || (!options.quote && !option(&options, OPTION_TOKEN)))
        return command_usage("maa", "one QUOTE, or --token FILE, is wanted");
    return run(&options);
}

/*
 * `cofre quote`: a quote of an image's enclave, made by its kernel before any program of it runs. Like `cofre run` it
 * becomes cofre-runtime.
 */
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/run_layer.h"
#include "image/error.h"

static const char usage[] =
    "Usage: cofre quote [--report-data HEX|FILE] [--output FILE] [--sgx|--softsgx] IMAGE\n\n"
    "Starts the enclave of a confidential image, has its kernel make a quote, and ends it; no program of the image "
    "runs.\n"
    "Programs inside read /dev/attestation/quote instead.\n\n"
    "  --report-data HEX|FILE  up to 64 bytes that the quote shall bind, as hex digits or from a file (default: "
    "zeros)\n"
    "  -o, --output FILE       where to write the quote (default: standard output, unless that is a terminal)\n"
    "  --sgx, --softsgx        insist on hardware, or on the software enclave (which proves nothing)\n\n"
    "The host chose these bytes, so the quote says so: its REPORTDATA is SHA-256(\"cofre boot quote, version 1\", 64 "
    "bytes),\n"
    "then \"report data chosen by the host.\" and a zero byte. Such a quote shows what this machine runs and can "
    "attest; "
    "it never\n"
    "vouches for a key.\n\n"
    "Exit status: 0; 2 usage; 125 if there is no quote.";

#define REPORT_DATA_SIZE 64

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Whole pairs of digits, at most 64. */
static int parse_hex(const char *text, uint8_t ret_data[REPORT_DATA_SIZE])
{
    size_t length = strlen(text);

    if (length == 0 || length % 2 || length > 2 * REPORT_DATA_SIZE)
        return -1;
    for (size_t i = 0; i < length; i += 2) {
        int high = hex_value(text[i]), low = hex_value(text[i + 1]);
        if (high < 0 || low < 0)
            return -1;
        ret_data[i / 2] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

static int read_report_data(const char *value, uint8_t ret_data[REPORT_DATA_SIZE], char **ret_error)
{
    memset(ret_data, 0, REPORT_DATA_SIZE);
    if (!value || parse_hex(value, ret_data) == 0)
        return 0;
    FILE *file = fopen(value, "re");
    if (!file)
        return error_set_errno(ret_error, errno, "%s is neither up to 128 hex digits nor a file", value);
    uint8_t bytes[REPORT_DATA_SIZE + 1];
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    int failed = ferror(file);
    fclose(file);
    if (failed)
        return error_set(ret_error, "%s cannot be read", value);
    if (size > REPORT_DATA_SIZE)
        return error_set(ret_error, "%s has more than 64 bytes", value);
    memcpy(ret_data, bytes, size);
    return 0;
}

static int quote_image(const char *image, const char *report_data, const char *output, const char *kind)
{
    char *error = NULL, digits[2 * REPORT_DATA_SIZE + 1];
    uint8_t data[REPORT_DATA_SIZE];

    if (read_report_data(report_data, data, &error) < 0)
        return command_failed("reading the report data", error);
    for (size_t i = 0; i < sizeof(data); i++)
        sprintf(digits + 2 * i, "%02x", data[i]);
    char *options[] = {(char *)"--quote", (char *)output, (char *)"--quote-data", digits, (char *)kind};
    run_layer(image, kind ? 5 : 4, options, 0, NULL, &error);
    return command_failed("making a quote", error);
}

int cmd_quote(int argc, char **argv)
{
    static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                                 {"output", required_argument, NULL, 'o'},
                                                 {"report-data", required_argument, NULL, 'r'},
                                                 {"sgx", no_argument, NULL, 'd'},
                                                 {"softsgx", no_argument, NULL, 's'},
                                                 {0}};
    const char *report_data = NULL, *output = "-", *kind = NULL;
    int c;

    while ((c = getopt_long(argc, argv, "ho:", long_options, NULL)) >= 0) {
        switch (c) {
        case 'h':
            puts(usage);
            return 0;
        case 'o':
            output = optarg;
            break;
        case 'r':
            report_data = optarg;
            break;
        case 'd':
            kind = "--sgx";
            break;
        case 's':
            kind = "--softsgx";
            break;
        default:
            return EXIT_USAGE;
        }
    }
    if (argc - optind != 1)
        return command_usage("quote", "one IMAGE is wanted");
    if (strcmp(output, "-") == 0 && isatty(STDOUT_FILENO))
        return command_usage("quote", "a quote is no text: --output FILE is wanted");
    return quote_image(argv[optind], report_data, output, kind);
}

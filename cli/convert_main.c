/*
 * `cofre convert`: an ordinary OCI image in, a confidential one out. A program of its own, so that the libraries for
 * archives cost the other commands nothing when they start.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/locate.h"
#include "image/convert.h"
#include "image/error.h"
#include "image/progress.h"

static const char usage[] =
    "Usage: cofre convert (--key KEY.pem | --unsigned) [OPTIONS] SRC DST\n\n"
    "Turns an ordinary OCI image into a confidential one. No root rights and no container engine are needed. The same\n"
    "input gives the same bytes, and so the same MRENCLAVE, on any machine.\n\n"
    "SRC  PATH[:REFERENCE] of an OCI layout (folder or archive) or of what `docker save` wrote, or any image that\n"
    "     skopeo can name: docker://..., docker-daemon:..., containers-storage:..., dir:...\n"
    "DST  a new folder (OCI layout), or a new archive if the name ends in .tar or begins with oci-archive:\n\n"
    "  --policy FILE      what may differ from the image's own configuration (YAML; see cofre-policy(5))\n"
    "  --key FILE         sign with this key (`cofre keygen` makes one)\n"
    "  --unsigned         leave it unsigned, for `cofre sign`\n"
    "  --encrypt          encrypt the files (AES-256-XTS), with one of the keys below; see root.key in "
    "cofre-policy(5)\n"
    "  --image-key FILE   64 random bytes; made if FILE does not exist. Without it the image cannot run\n"
    "  --wrapped-key FILE a new key, which is written to FILE for the policy's key server alone (cofre key-server)\n"
    "  --name REFERENCE   the image's name in DST (default: latest)\n"
    "  --force            replace DST if it is an image already\n"
    "  --max-size SIZE    refuse an image that unpacks to more (default: 64G)\n"
    "  --max-ratio N      refuse a layer that unpacks to more than N times its size (default: 400)\n"
    "  -q, --quiet        print nothing but errors";

static volatile int interrupted;

static void interrupt(int number)
{
    interrupted = number;
}

/* "64G", "512M", "100K", "4096". */
static int parse_size(const char *text, uint64_t *ret_size)
{
    static const char units[] = "KMGT";
    char *end;

    errno = 0;
    unsigned long long size = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    if (errno || end == text || *text == '-' || (*end && (!unit || end[1])) || size == 0 || size > UINT64_MAX >> shift)
        return -1;
    *ret_size = size << shift;
    return 0;
}

static void print_hex(const char *label, const uint8_t *bytes)
{
    char text[SHA256_HEX_SIZE];

    hex_encode(bytes, SHA256_SIZE, text);
    printf("%-11s%s\n", label, text);
}

static void report(const struct convert_options *options, const struct convert_result *result)
{
    print_hex("mrenclave", result->mrenclave);
    if (options->key_path)
        print_hex("mrsigner", result->mrsigner);
    else
        printf("%-11s%s\n", "mrsigner", "unsigned");
    print_hex("root hash", result->root_hash);
    printf("%-11s%s\n", "image", result->manifest_digest);
    printf("%-11s%llu files, %.1f MB\n", "contents", (unsigned long long)result->file_count,
           (double)result->layer_size / 1e6);
    if (options->image_key_path)
        printf("%-11s%s%s\n", "image key", options->image_key_path,
               result->image_key_made ? " (made now: keep it, without it the image cannot run)" : "");
    if (options->wrapped_key_path)
        printf("%-11s%s, for the key server alone: bring it there, without it the image cannot run\n", "image key",
               options->wrapped_key_path);
    if (result->xattrs_dropped)
        fprintf(stderr, "cofre convert: %llu extended attributes that Linux cannot store were left out\n",
                (unsigned long long)result->xattrs_dropped);
}

/* Handlers without SA_RESTART, so that waiting for skopeo ends too. */
static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaction(numbers[i], &action, NULL);
    /* A limit on file sizes shows as an error of the write. */
    signal(SIGXFSZ, SIG_IGN);
}

static int run(struct convert_options *options, bool quiet)
{
    struct convert_result result;
    struct progress progress;
    char *error = NULL;

    char *runtime = locate_part("cofre-runtime", "COFRE_RUNTIME", &error);
    char *kernel = runtime ? locate_part("cofre-kernel", "COFRE_KERNEL", &error) : NULL;
    int status = -1;
    if (kernel) {
        options->runtime_path = runtime;
        options->kernel_path = kernel;
        progress_init(&progress, !quiet && isatty(STDERR_FILENO), &interrupted);
        options->progress = &progress;
        catch_signals();
        status = convert(options, &result, &error);
    }
    free(runtime);
    free(kernel);
    if (interrupted && status < 0) {
        fprintf(stderr, "cofre convert: interrupted; %s was not made\n", options->target);
        free(error);
        raise(interrupted);
        return 128 + interrupted;
    }
    if (status < 0)
        return command_failed("conversion", error);
    if (!quiet)
        report(options, &result);
    return 0;
}

enum {
    OPTION_POLICY = 256,
    OPTION_KEY,
    OPTION_UNSIGNED,
    OPTION_NAME,
    OPTION_FORCE,
    OPTION_SIZE,
    OPTION_RATIO,
    OPTION_ENCRYPT,
    OPTION_IMAGE_KEY,
    OPTION_WRAPPED_KEY
};

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                                 {"quiet", no_argument, NULL, 'q'},
                                                 {"policy", required_argument, NULL, OPTION_POLICY},
                                                 {"key", required_argument, NULL, OPTION_KEY},
                                                 {"unsigned", no_argument, NULL, OPTION_UNSIGNED},
                                                 {"encrypt", no_argument, NULL, OPTION_ENCRYPT},
                                                 {"image-key", required_argument, NULL, OPTION_IMAGE_KEY},
                                                 {"wrapped-key", required_argument, NULL, OPTION_WRAPPED_KEY},
                                                 {"name", required_argument, NULL, OPTION_NAME},
                                                 {"force", no_argument, NULL, OPTION_FORCE},
                                                 {"max-size", required_argument, NULL, OPTION_SIZE},
                                                 {"max-ratio", required_argument, NULL, OPTION_RATIO},
                                                 {0}};
    struct convert_options options = {.name = "latest", .limits = LAYER_LIMITS_DEFAULT};
    bool is_unsigned = false, quiet = false, encrypt = false;

    for (int c; (c = getopt_long(argc, argv, "hq", long_options, NULL)) != -1;) {
        switch (c) {
        case 'h':
            puts(usage);
            return 0;
        case 'q':
            quiet = true;
            break;
        case OPTION_POLICY:
            options.policy_path = optarg;
            break;
        case OPTION_KEY:
            options.key_path = optarg;
            break;
        case OPTION_UNSIGNED:
            is_unsigned = true;
            break;
        case OPTION_ENCRYPT:
            encrypt = true;
            break;
        case OPTION_IMAGE_KEY:
            options.image_key_path = optarg;
            break;
        case OPTION_WRAPPED_KEY:
            options.wrapped_key_path = optarg;
            break;
        case OPTION_NAME:
            options.name = optarg;
            break;
        case OPTION_FORCE:
            options.replace = true;
            break;
        case OPTION_SIZE:
            if (parse_size(optarg, &options.limits.size_max) < 0)
                return command_usage("convert", "--max-size takes a number of bytes, or with K, M, G, T");
            break;
        case OPTION_RATIO:
            if (parse_size(optarg, &options.limits.ratio_max) < 0)
                return command_usage("convert", "--max-ratio takes a number");
            break;
        default:
            return EXIT_USAGE;
        }
    }
    if (argc - optind != 2)
        return command_usage("convert", "SRC and DST are wanted");
    if ((options.key_path != NULL) == is_unsigned)
        return command_usage("convert", "either --key FILE or --unsigned is wanted");
    if (encrypt != (options.image_key_path || options.wrapped_key_path) ||
        (options.image_key_path && options.wrapped_key_path))
        return command_usage("convert", "--encrypt and either --image-key FILE or --wrapped-key FILE go together");
    options.source = argv[optind];
    options.target = argv[optind + 1];
    return run(&options, quiet);
}

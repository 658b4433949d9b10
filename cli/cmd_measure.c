/* `cofre measure`: MRENCLAVE (and who signed, as what) of an image, of loose parts, or of a foreign SGXS stream. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/command.h"
#include "image/bundle.h"
#include "image/digest.h"
#include "image/error.h"
#include "image/measure.h"
#include "image/policy.h"
#include "image/sigstruct.h"

static const char usage[] =
    "Usage: cofre measure [--json] IMAGE\n"
    "       cofre measure [--json] --kernel FILE --policy FILE [--sigstruct FILE]\n"
    "       cofre measure [--json] FILE.sgxs\n\n"
    "Computes MRENCLAVE as the processor would while the enclave is built. For a signed image also says who\n"
    "signed it (MRSIGNER) and as which product and security version.\n\n"
    "  --kernel FILE     the kernel's ELF file\n"
    "  --policy FILE     the compiled policy (from an image: cofre/policy)\n"
    "  --sigstruct FILE  a SIGSTRUCT to compare with\n"
    "  --json            print JSON\n\n"
    "Exit status: 0; 1 if a signature does not belong to the measurement; 2 usage; 125 on failure.";

struct result {
    uint8_t mrenclave[32];
    struct sgx_sigstruct sigstruct;
    int has_sigstruct;
};

static void *read_file(const char *path, size_t *ret_size, char **ret_error)
{
    FILE *f = fopen(path, "re");
    struct stat st;
    void *data = NULL;
    if (!f || fstat(fileno(f), &st) < 0) {
        error_set_errno(ret_error, errno, "%s", path);
    } else if (st.st_size > 64 << 20) {
        error_set(ret_error, "%s is larger than 64 MiB", path);
    } else if (!(data = malloc((size_t)st.st_size + 1)) ||
               fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
        error_set(ret_error, "%s cannot be read whole", path);
        free(data);
        data = NULL;
    } else {
        *ret_size = (size_t)st.st_size;
    }
    if (f)
        fclose(f);
    return data;
}

static int measure_parts(struct result *r, const char *kernel, const char *policy, const char *sigstruct,
                         char **ret_error)
{
    struct enclave_parts parts = {0};
    size_t size = 0;
    int ret = -1;
    void *sig = NULL, *kernel_data = read_file(kernel, &parts.kernel_size, ret_error);
    void *policy_data = kernel_data ? read_file(policy, &parts.policy_size, ret_error) : NULL;
    if (!policy_data || (sigstruct && !(sig = read_file(sigstruct, &size, ret_error))))
        goto out;
    if (sig && size != sizeof(r->sigstruct)) {
        error_set(ret_error, "%s has %zu bytes, a SIGSTRUCT has 1808", sigstruct, size);
        goto out;
    }
    if (sig)
        memcpy(&r->sigstruct, sig, sizeof(r->sigstruct));
    r->has_sigstruct = sig != NULL;
    parts.kernel = kernel_data;
    parts.policy = policy_data;
    ret = policy_check(policy_data, parts.policy_size, ret_error) < 0
              ? -1
              : measure_enclave(&parts, r->mrenclave, ret_error);
out:
    free(sig);
    free(kernel_data);
    free(policy_data);
    return ret;
}

static int measure_image(struct result *r, const char *path, char **ret_error)
{
    struct bundle b;
    if (bundle_open(&b, path, ret_error) < 0)
        return -1;
    struct enclave_parts parts;
    r->sigstruct = b.sigstruct_data;
    r->has_sigstruct = b.is_signed;
    int ret = bundle_parts(&b, &parts, ret_error);
    if (ret == 0)
        ret = measure_enclave(&parts, r->mrenclave, ret_error);
    bundle_close(&b);
    return ret;
}

static int measure_argument(struct result *r, const char *path, char **ret_error)
{
    struct stat st;
    char tag[8] = {0};
    if (stat(path, &st) < 0)
        return error_set_errno(ret_error, errno, "%s", path);
    FILE *f = S_ISREG(st.st_mode) ? fopen(path, "re") : NULL;
    if (f && fread(tag, 1, sizeof(tag), f) == sizeof(tag) && memcmp(tag, "ECREATE", 8) == 0) {
        rewind(f);
        int ret = measure_sgxs(f, r->mrenclave, ret_error);
        fclose(f);
        return ret < 0 ? error_wrap(ret_error, "%s", path) : 0;
    }
    if (f)
        fclose(f);
    return measure_image(r, path, ret_error);
}

/* Returns whether the signature, if any, belongs to the measurement. */
static int print_result(const struct result *r, int as_json)
{
    char mrenclave[65], mrsigner[65];
    uint8_t signer[32];
    char *reason = NULL;
    hex_encode(r->mrenclave, 32, mrenclave);
    if (!r->has_sigstruct) {
        if (as_json)
            printf("{\"mrenclave\": \"%s\"}\n", mrenclave);
        else
            printf("mrenclave  %s\n", mrenclave);
        return 1;
    }
    sigstruct_mrsigner(&r->sigstruct, signer);
    hex_encode(signer, 32, mrsigner);
    int good = sigstruct_verify(&r->sigstruct, &reason) == 0;
    if (good && memcmp(r->sigstruct.enclavehash, r->mrenclave, 32) != 0) {
        error_set(&reason, "it is the signature of another measurement");
        good = 0;
    }
    if (as_json)
        printf(
            "{\"mrenclave\": \"%s\", \"mrsigner\": \"%s\", \"isvprodid\": %u, \"isvsvn\": %u, \"signature\": \"%s\"}\n",
            mrenclave, mrsigner, r->sigstruct.isvprodid, r->sigstruct.isvsvn, good ? "valid" : "invalid");
    else
        printf("mrenclave  %s\nmrsigner   %s\nproduct    %u\nsvn        %u\nsignature  %s%s%s\n", mrenclave, mrsigner,
               r->sigstruct.isvprodid, r->sigstruct.isvsvn, good ? "valid" : "INVALID", good ? "" : ": ",
               good ? "" : reason);
    free(reason);
    return good;
}

int cmd_measure(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"kernel", required_argument, NULL, 'k'},
                                            {"policy", required_argument, NULL, 'p'},
                                            {"sigstruct", required_argument, NULL, 's'},
                                            {0}};
    const char *kernel = NULL, *policy = NULL, *sigstruct = NULL;
    int as_json = 0;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'h':
            puts(usage);
            return 0;
        case 'j':
            as_json = 1;
            break;
        case 'k':
            kernel = optarg;
            break;
        case 'p':
            policy = optarg;
            break;
        case 's':
            sigstruct = optarg;
            break;
        default:
            return EXIT_USAGE;
        }
    }
    if (kernel || policy ? !kernel || !policy || argc != optind : argc - optind != 1)
        return command_usage("measure", "one IMAGE, one FILE.sgxs, or --kernel with --policy is wanted");
    struct result r = {0};
    char *error = NULL;
    int ret =
        kernel ? measure_parts(&r, kernel, policy, sigstruct, &error) : measure_argument(&r, argv[optind], &error);
    if (ret < 0)
        return command_failed("measuring", error);
    return print_result(&r, as_json) ? 0 : EXIT_NOT_SO;
}

/* `cofre sign`: sign a converted image with a key here, or by exchanging files with a signer elsewhere. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "image/bundle.h"
#include "image/digest.h"
#include "image/error.h"
#include "image/measure.h"
#include "image/resign.h"
#include "image/sigstruct.h"

static const char usage[] =
    "Usage: cofre sign --key KEY.pem IMAGE\n"
    "       cofre sign --export FILE IMAGE\n"
    "       cofre sign --import SIGNATURE --public-key KEY.pem IMAGE\n\n"
    "Signs a confidential image (an OCI layout folder) in place. The key is yours: RSA-3072 with exponent 3.\n\n"
    "  --key FILE         private key (PEM; `cofre keygen` makes one)\n"
    "  --export FILE      write the 256 bytes to be signed; sign them elsewhere with\n"
    "                     openssl dgst -sha256 -sign KEY.pem FILE > SIGNATURE (or an HSM: RSA PKCS#1 v1.5, SHA-256)\n"
    "  --import FILE      put that signature in, with --public-key FILE (PEM)\n"
    "  --product N        product number (ISVPRODID); default: as before\n"
    "  --svn N            security version (ISVSVN); default: as before\n\n"
    "For --import give the same --product and --svn as for --export.";

struct arguments {
    const char *key, *export_path, *import_path, *public_key, *image;
    long product, svn; /* -1: as before */
};

static int export_bytes(const struct sgx_sigstruct *sig, const char *path, char **ret_error)
{
    uint8_t bytes[256];
    sigstruct_signed_bytes(sig, bytes);
    FILE *f = fopen(path, "we");
    int ok = f && fwrite(bytes, sizeof(bytes), 1, f) == 1;
    if (f && fclose(f) != 0)
        ok = 0;
    return ok ? 0 : error_set_errno(ret_error, errno, "%s", path);
}

static int import_signature(struct sgx_sigstruct *sig, const struct arguments *a, char **ret_error)
{
    uint8_t bytes[SGX_RSA_SIZE + 1];
    FILE *f = fopen(a->import_path, "re");
    if (!f)
        return error_set_errno(ret_error, errno, "%s", a->import_path);
    size_t size = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    EVP_PKEY *key = sigstruct_key_load(a->public_key, 0, ret_error);
    int r = key ? sigstruct_import(sig, key, bytes, size, ret_error) : -1;
    EVP_PKEY_free(key);
    return r;
}

static int sign_with_key(struct sgx_sigstruct *sig, const char *path, char **ret_error)
{
    EVP_PKEY *key = sigstruct_key_load(path, 1, ret_error);
    int r = key ? sigstruct_sign(sig, key, ret_error) : -1;
    EVP_PKEY_free(key);
    return r;
}

static void report(const struct sgx_sigstruct *sig)
{
    char text[65];
    uint8_t mrsigner[32];
    hex_encode(sig->enclavehash, 32, text);
    printf("mrenclave  %s\n", text);
    sigstruct_mrsigner(sig, mrsigner);
    hex_encode(mrsigner, 32, text);
    printf("mrsigner   %s\nproduct    %u\nsvn        %u\n", text, sig->isvprodid, sig->isvsvn);
}

static int sign(const struct arguments *a, char **ret_error)
{
    struct bundle b;
    struct sigstruct_params params;
    struct sgx_sigstruct sig;
    uint8_t mrenclave[32];
    if (bundle_open(&b, a->image, ret_error) < 0)
        return -1;
    struct enclave_parts parts;
    int r = bundle_parts(&b, &parts, ret_error);
    if (r == 0)
        r = measure_enclave(&parts, mrenclave, ret_error);
    if (r == 0) {
        sigstruct_params_for(&params, b.policy_data, mrenclave,
                             a->product < 0 ? b.sigstruct_data.isvprodid : (uint16_t)a->product,
                             a->svn < 0 ? b.sigstruct_data.isvsvn : (uint16_t)a->svn);
        sigstruct_fill(&sig, &params);
        if (a->export_path)
            r = export_bytes(&sig, a->export_path, ret_error);
        else
            r = a->key ? sign_with_key(&sig, a->key, ret_error) : import_signature(&sig, a, ret_error);
    }
    if (r == 0 && !a->export_path) {
        r = image_resign(&b, &sig, ret_error);
        if (r == 0)
            report(&sig);
    }
    bundle_close(&b);
    return r;
}

static int parse_u16(const char *text, long *ret_value)
{
    char *end;
    errno = 0;
    *ret_value = strtol(text, &end, 10);
    return errno || *end || end == text || *ret_value < 0 || *ret_value > 65535 ? -1 : 0;
}

int cmd_sign(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"export", required_argument, NULL, 'x'},
                                            {"import", required_argument, NULL, 'i'},
                                            {"public-key", required_argument, NULL, 'K'},
                                            {"product", required_argument, NULL, 'P'},
                                            {"svn", required_argument, NULL, 'S'},
                                            {0}};
    struct arguments a = {.product = -1, .svn = -1};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'h':
            puts(usage);
            return 0;
        case 'k':
            a.key = optarg;
            break;
        case 'x':
            a.export_path = optarg;
            break;
        case 'i':
            a.import_path = optarg;
            break;
        case 'K':
            a.public_key = optarg;
            break;
        case 'P':
        case 'S':
            if (parse_u16(optarg, c == 'P' ? &a.product : &a.svn) < 0)
                return command_usage("sign", "--product and --svn take a number from 0 to 65535");
            break;
        default:
            return EXIT_USAGE;
        }
    }
    if (argc - optind != 1 || (a.key != NULL) + (a.export_path != NULL) + (a.import_path != NULL) != 1 ||
        (a.import_path && !a.public_key))
        return command_usage("sign", "one of --key, --export, or --import with --public-key, and one IMAGE are wanted");
    a.image = argv[optind];
    char *error = NULL;
    return sign(&a, &error) < 0 ? command_failed("signing", error) : 0;
}

/* The `cofre` command: a table of commands. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/version.h"

static const struct command commands[] = {
    {"convert", "make a confidential image of an OCI image", cmd_convert},
    {"run", "run a confidential image in an enclave on this machine", cmd_run},
    {"ps", "list the containers that run on this machine", cmd_ps},
    {"exec", "run a command in a running container, if its policy allows", cmd_exec},
    {"inspect", "show what a confidential image is: policy, measurement, signature", cmd_inspect},
    {"measure", "compute MRENCLAVE of an image, of parts, or of an SGXS stream", cmd_measure},
    {"sign", "sign an image, or exchange digest and signature with an external signer", cmd_sign},
    {"keygen", "make an enclave signing key (RSA-3072, exponent 3)", cmd_keygen},
    {"quote", "have the enclave of an image attested: make a quote", cmd_quote},
    {"collateral", "fetch, bundle, show and check what quotes are verified with", cmd_attest},
    {"verify", "verify a quote, a certificate, a token, a signature or an image", cmd_attest},
    {"maa", "have a quote verified by Microsoft Azure Attestation", cmd_attest},
    {"ra-tls", "open and serve channels to attested peers", cmd_attest},
    {"key-server", "release keys to enclaves that prove what they are", cmd_attest},
    {"simulation", "what verifies the quotes of this machine's software enclave", cmd_attest},
    {"volume", "make encrypted volumes, look into them, check them", cmd_volume},
    {"gdb", "debug what runs in a software enclave", cmd_gdb},
    {"check", "say what this machine offers and what would be used", cmd_check},
};

static void help(FILE *out)
{
    fputs("Usage: cofre COMMAND [OPTIONS] [ARGUMENTS]\n\n"
          "Turns an ordinary OCI image into a confidential one that runs in an SGX enclave.\n\nCommands:\n",
          out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`cofre COMMAND --help` explains one; `cofre --version` tells the version.\n", out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0) {
        puts("cofre " COFRE_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].fn(argc - 1, argv + 1);
    fprintf(stderr, "cofre: unknown command \"%s\" (see `cofre --help`)\n", name);
    return EXIT_USAGE;
}

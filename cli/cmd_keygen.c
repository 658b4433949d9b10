/* `cofre keygen`: an enclave signing key. */
#include <getopt.h>
#include <stdio.h>

#include "cli/command.h"
#include "image/sigstruct.h"

int cmd_keygen(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c != 'h')
            return EXIT_USAGE;
        puts("Usage: cofre keygen FILE\n\nMakes an RSA-3072 key with exponent 3, which SGX demands, and writes it to "
             "FILE (PEM, mode 0600).\n"
             "FILE must not exist. Whoever has it can sign enclaves as you: MRSIGNER is this key.");
        return 0;
    }
    if (argc - optind != 1)
        return command_usage("keygen", "one FILE is wanted");
    char *error = NULL;
    return sigstruct_keygen(argv[optind], &error) < 0 ? command_failed("making a key", error) : 0;
}

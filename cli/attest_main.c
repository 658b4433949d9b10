/*
 * cofre-attest: the commands about evidence. A program of its own, so that the libraries for HTTP and TLS cost the
 * other commands nothing when they start. It is run under the name of a command, or with it as its first argument.
 */
#include <stdio.h>
#include <string.h>

#include "cli/attest_command.h"

static const struct {
    const char *name;
    int (*fn)(int argc, char **argv);
} commands[] = {
    {"collateral", cmd_collateral}, {"key-server", cmd_key_server}, {"maa", cmd_maa},
    {"ra-tls", cmd_ra_tls},         {"simulation", cmd_simulation}, {"verify", cmd_verify},
};

int main(int argc, char **argv)
{
    for (int skip = 0; skip < 2 && skip < argc; skip++)
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
            if (strcmp(argv[skip], commands[i].name) == 0)
                return commands[i].fn(argc - skip, argv + skip);
    fputs("cofre-attest: run it as `cofre COMMAND`\n", stderr);
    return EXIT_USAGE;
}

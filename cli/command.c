/* What every command says when it fails or is called wrongly. */
#include "cli/command.h"

#include <stdio.h>
#include <stdlib.h>

int command_failed(const char *what, char *why)
{
    fprintf(stderr, "cofre: %s failed: %s\n", what, why ? why : "unknown reason");
    free(why);
    return EXIT_COFRE;
}

int command_usage(const char *name, const char *message)
{
    fprintf(stderr, "cofre %s: %s (see `cofre %s --help`)\n", name, message, name);
    return EXIT_USAGE;
}

/*
 * Commands that are programs of their own: those about evidence (cli/attest_main.c) and about volumes (volume/main.c).
 */
#include <errno.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/locate.h"
#include "image/error.h"

static int become(const char *part, const char *variable, char **argv)
{
    char *error = NULL, *program = locate_part(part, variable, &error);
    if (!program)
        return command_failed(argv[0], error);
    execv(program, argv);
    error_set_errno(&error, errno, "%s", program);
    return command_failed(argv[0], error);
}

int cmd_attest(int argc, char **argv)
{
    (void)argc;
    return become("cofre-attest", "COFRE_ATTEST", argv);
}

int cmd_volume(int argc, char **argv)
{
    (void)argc;
    return become("cofre-volume", "COFRE_VOLUME", argv);
}

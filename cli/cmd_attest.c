/* The commands about evidence: each becomes the program cofre-attest (cli/attest_main.c). */
#include <errno.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/locate.h"
#include "image/error.h"

int cmd_attest(int argc, char **argv)
{
    char *error = NULL, *program = locate_part("cofre-attest", "COFRE_ATTEST", &error);
    (void)argc;
    if (!program)
        return command_failed(argv[0], error);
    execv(program, argv);
    error_set_errno(&error, errno, "%s", program);
    return command_failed(argv[0], error);
}

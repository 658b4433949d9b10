/* `cofre convert`: becomes the program cofre-convert (cli/convert_main.c). */
#include <errno.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/locate.h"
#include "image/error.h"

int cmd_convert(int argc, char **argv)
{
    char *error = NULL, *program = locate_part("cofre-convert", "COFRE_CONVERT", &error);
    (void)argc;
    if (!program)
        return command_failed("conversion", error);
    execv(program, argv);
    error_set_errno(&error, errno, "%s", program);
    return command_failed("conversion", error);
}

/* Error messages of the host program. */
#include "host/error.h"

#include "host/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fail(char **ret_error, int code, const char *format, ...)
{
    char *message = NULL;
    va_list ap;

    if (!ret_error)
        return -code;
    va_start(ap, format);
    if (vasprintf(&message, format, ap) < 0)
        message = NULL;
    va_end(ap);
    free(*ret_error);
    *ret_error = message;
    return -code;
}

static void complain_v(const char *format, va_list ap)
{
    char line[2048] = "cofre: ";
    size_t used = strlen(line);
    int n = vsnprintf(line + used, sizeof(line) - used - 1, format, ap);

    if (n < 0)
        return;
    used += (size_t)n < sizeof(line) - used - 1 ? (size_t)n : sizeof(line) - used - 2;
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0)
        return; /* nobody left to tell */
}

void complain(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    complain_v(format, ap);
    va_end(ap);
}

void die(const char *format, ...)
{
    va_list ap;

    terminal_restore();
    va_start(ap, format);
    complain_v(format, ap);
    va_end(ap);
    _exit(EXIT_RUNTIME_FAILED);
}

/* Error lines of hosted code. */
#include "image/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void replace(char **ret_error, char *text)
{
    if (!ret_error) {
        free(text);
        return;
    }
    free(*ret_error);
    *ret_error = text ? text : strdup("out of memory");
}

/* Control characters, which names out of hostile archives may hold, come out as '?'. */
static char *format_text(const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        return NULL;
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
    return text;
}

int error_set(char **ret_error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    replace(ret_error, format_text(format, args));
    va_end(args);
    return -1;
}

int error_set_errno(char **ret_error, int errno_value, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *what = format_text(format, args);
    va_end(args);
    error_set(ret_error, "%s: %s", what ? what : "failure", strerror(errno_value));
    free(what);
    return -1;
}

int error_wrap(char **ret_error, const char *format, ...)
{
    if (!ret_error)
        return -1;
    va_list args;
    va_start(args, format);
    char *context = format_text(format, args);
    va_end(args);
    char *cause = *ret_error;
    *ret_error = NULL;
    error_set(ret_error, "%s: %s", context ? context : "failure", cause ? cause : "unknown reason");
    free(context);
    free(cause);
    return -1;
}

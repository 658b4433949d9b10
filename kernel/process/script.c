/* "#!" lines, by the rules of Linux's binfmt_script. */
#include <asm-generic/errno.h>

#include "kernel/lib/string.h"
#include "kernel/process/exec.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The end of the line in head, or NULL if it was cut in the middle of the interpreter's name. */
static char *line_end(char head[SCRIPT_HEAD_SIZE])
{
    char *end = memchr(head, '\n', SCRIPT_HEAD_SIZE);
    if (end)
        return end;
    end = memchr(head, '\0', SCRIPT_HEAD_SIZE);
    if (end)
        return end; /* the file is that short */
    /* A cut argument is let through; a cut interpreter is not. */
    char *p = head + 2;
    end = head + SCRIPT_HEAD_SIZE - 1;
    while (p < end && is_blank(*p))
        p++;
    while (p < end && !is_blank(*p))
        p++;
    return p < end ? end : NULL;
}

int script_parse(char head[SCRIPT_HEAD_SIZE], char **ret_interp, char **ret_arg)
{
    if (head[0] != '#' || head[1] != '!')
        return 0;
    char *end = line_end(head);
    if (!end)
        return -ENOEXEC;
    while (end > head + 2 && is_blank(end[-1]))
        end--;
    *end = '\0';
    char *p = head + 2;
    while (is_blank(*p))
        p++;
    if (*p == '\0')
        return -ENOEXEC;
    *ret_interp = p;
    while (*p && !is_blank(*p))
        p++;
    *ret_arg = NULL;
    if (*p) {
        *p++ = '\0';
        while (is_blank(*p))
            p++;
        if (*p)
            *ret_arg = p;
    }
    return 1;
}

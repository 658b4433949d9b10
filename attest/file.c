/* Reading whole files. */
#include "attest/file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/error.h"

char *attest_file_read(const char *path, size_t size_max, size_t *ret_size, char **ret_error)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    if (!file) {
        error_set_errno(ret_error, errno, "%s", path);
        return NULL;
    }
    char *text = malloc(size_max + 1);
    size_t size = text ? fread(text, 1, size_max + 1, file) : 0;
    int failed = ferror(file) ? errno : 0;
    if (!is_stdin)
        fclose(file);
    if (text && !failed && size <= size_max) {
        char *smaller = realloc(text, size + 1);
        text = smaller ? smaller : text;
        text[size] = 0;
        *ret_size = size;
        return text;
    }
    free(text);
    if (failed)
        error_set_errno(ret_error, failed, "%s", path);
    else
        error_set(ret_error, text ? "%s: it is longer than %zu bytes" : "%s: no memory for %zu bytes", path, size_max);
    return NULL;
}

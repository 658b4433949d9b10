/* Files and times of the commands about evidence. */
#include "cli/attest_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "image/error.h"

#define FILE_SIZE_MAX (4U << 20)

char *attest_file_load(const char *path, size_t *ret_size, char **ret_error)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file) {
        error_set_errno(ret_error, errno, "%s", path);
        return NULL;
    }
    char *data = malloc(FILE_SIZE_MAX + 1);
    size_t size = data ? fread(data, 1, FILE_SIZE_MAX + 1, file) : 0;
    int failed = data ? ferror(file) : ENOMEM;
    if (file != stdin)
        fclose(file);
    if (failed || size > FILE_SIZE_MAX) {
        error_set(ret_error, failed ? "%s: it cannot be read" : "%s: it is too long", path);
        free(data);
        return NULL;
    }
    data[size] = 0;
    *ret_size = size;
    return data;
}

int attest_time_parse(const char *text, int64_t *ret_seconds)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, formats[i], &tm);
        if (!end || *end)
            continue;
        *ret_seconds = timegm(&tm);
        return 0;
    }
    char *end;
    errno = 0;
    *ret_seconds = strtoll(text, &end, 10);
    return errno || end == text || *end ? -1 : 0;
}

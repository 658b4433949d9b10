/* Finding the parts of Cofre. */
#include "cli/locate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/error.h"

char *locate_part(const char *name, const char *variable, char **ret_error)
{
    static const char *const places[] = {"",         "host/",      "kernel/",           "cli/",
                                         "../host/", "../kernel/", "../libexec/cofre/", "../lib/cofre/"};
    const char *chosen = getenv(variable);
    char self[4096], *path = NULL;

    if (chosen && *chosen)
        return strdup(chosen);
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (size < 0) {
        error_set_errno(ret_error, errno, "/proc/self/exe");
        return NULL;
    }
    self[size] = 0;
    *strrchr(self, '/') = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (asprintf(&path, "%s/%s%s", self, places[i], name) < 0)
            return NULL;
        if (access(path, R_OK) == 0)
            return path;
        free(path);
    }
    error_set(ret_error, "%s is not beside %s (%s may say where it is)", name, self, variable);
    return NULL;
}

/* The state folder (contract in state.h). */
#include "host/softsgx/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool base_path(char *ret_path, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && state[0] == '/')
        return snprintf(ret_path, size, "%s", state) < (int)size;
    if (geteuid() == 0)
        return snprintf(ret_path, size, "/var/lib") < (int)size;
    return home && home[0] == '/' && snprintf(ret_path, size, "%s/.local/state", home) < (int)size;
}

static void make_directories(char *path)
{
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        mkdir(path, 0700);
        *p = '/';
    }
    mkdir(path, 0700);
}

bool softsgx_state_path(const char *name, char *ret_path, size_t size)
{
    char base[4096], folder[4200];
    struct stat stat_now;

    if (!base_path(base, sizeof(base)) || snprintf(folder, sizeof(folder), "%s/cofre", base) >= (int)sizeof(folder))
        return false;
    if (stat(folder, &stat_now) < 0)
        make_directories(folder);
    return snprintf(ret_path, size, "%s/%s", folder, name) < (int)size;
}

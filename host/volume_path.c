/* Where named volumes are (contract in volume_path.h). */
#include "host/volume_path.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool volume_name_valid(const char *name)
{
    size_t size = strlen(name);

    if (size < 1 || size > 200 || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("_.-", name[i]))
            return false;
    return true;
}

char *volume_home(void)
{
    const char *own = getenv("COFRE_VOLUMES"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char *path = NULL;

    if (own && *own)
        return strdup(own);
    if (geteuid() == 0)
        return strdup("/var/lib/cofre/volumes");
    if (data && *data)
        return asprintf(&path, "%s/cofre/volumes", data) < 0 ? NULL : path;
    if (home && *home)
        return asprintf(&path, "%s/.local/share/cofre/volumes", home) < 0 ? NULL : path;
    return NULL;
}

char *volume_path(const char *name, const char *file)
{
    char *home = volume_home(), *path = NULL;

    if (home && asprintf(&path, "%s/%s%s%s", home, name, *file ? "/" : "", file) < 0)
        path = NULL;
    free(home);
    return path;
}

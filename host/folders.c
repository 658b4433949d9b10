/* Folders that the host program makes for itself (contract in folders.h). */
#include "host/folders.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int make_folders_above(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int ret = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
        *slash = '/';
        if (ret < 0)
            return ret;
    }
    return 0;
}

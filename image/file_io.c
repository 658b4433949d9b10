/* Whole reads and writes, temporary files. */
#include "image/file_io.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/error.h"

int file_read(int fd, uint64_t offset, void *data, size_t size, const char *what, char **ret_error)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(ret_error, errno, "cannot read %s", what);
        if (n == 0)
            return error_set(ret_error, "%s ends early", what);
        done += (size_t)n;
    }
    return 0;
}

int file_write(int fd, uint64_t offset, const void *data, size_t size, const char *what, char **ret_error)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(ret_error, errno, "cannot write %s", what);
        done += (size_t)n;
    }
    return 0;
}

int file_temporary(const char *folder, char **ret_error)
{
    char *path = NULL;
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
        return error_set_errno(ret_error, errno, "cannot make a temporary file in %s", folder);
    if (asprintf(&path, "%s/.cofre.XXXXXX", folder) < 0)
        err(1, "temporary file");
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        error_set_errno(ret_error, errno, "cannot make a temporary file in %s", folder);
    else
        unlink(path);
    free(path);
    return fd;
}

char *path_folder(const char *path)
{
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/')
        size--;
    while (size > 0 && path[size - 1] != '/')
        size--;
    while (size > 1 && path[size - 1] == '/')
        size--;
    char *folder = size ? strndup(path, size) : strdup(".");
    if (!folder)
        err(1, "path");
    return folder;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    remove(path);
    return 0;
}

void path_remove_all(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/*
 * A new file that has no name until it is whole: whatever ends this program before, nothing is left of it. Where the
 * file system knows no files without names it has a temporary one, which only a kill leaves behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "volume/hidden.h"

static int hidden_failed(const char *path, int error)
{
    fprintf(stderr, "cofre: creating %s failed: %s%s\n", path, strerror(error),
            error == EEXIST ? " (--force replaces it, and all in it is lost)" : "");
    return error == ENOSPC || error == EIO || error == EDQUOT ? EXIT_DISK : EXIT_COFRE;
}

/* Whoever uses what is to be replaced keeps it; the lock is held until it is. */
static int old_lock(struct hidden_file *h, bool force)
{
    struct stat status;
    if (lstat(h->path, &status) < 0)
        return errno == ENOENT ? 0 : hidden_failed(h->path, errno);
    if (!force)
        return hidden_failed(h->path, EEXIST);
    if (!S_ISREG(status.st_mode))
        return hidden_failed(h->path, EMEDIUMTYPE);
    int code = volume_file_open(&h->old, h->path, true);
    h->replaces = code == 0;
    return code;
}

static char *folder_of(const char *path)
{
    char *copy = strdup(path), *result = copy ? strdup(dirname(copy)) : NULL;
    free(copy);
    return result;
}

static int temporary_name(struct hidden_file *h)
{
    free(h->temporary);
    return asprintf(&h->temporary, "%s.XXXXXX", h->path) < 0 ? -1 : 0;
}

int hidden_create(struct hidden_file *h, const char *path, uint64_t size, bool force)
{
    *h = (struct hidden_file){.path = path};
    int code = old_lock(h, force);
    char *folder = code == 0 ? folder_of(path) : NULL;
    if (code != 0)
        return code;
    int fd = folder ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
    if (fd < 0 && folder && (errno == EOPNOTSUPP || errno == EISDIR) && temporary_name(h) == 0)
        fd = mkostemp(h->temporary, O_CLOEXEC);
    int err = fd < 0 ? errno : posix_fallocate(fd, 0, (off_t)size);
    free(folder);
    if (fd >= 0)
        code = volume_file_start(&h->file, path, fd, true);
    h->open = fd >= 0 && code == 0;
    if (err == 0 && code == 0)
        return 0;
    hidden_end(h, false);
    return code ? code : hidden_failed(path, err);
}

static int give_name(struct hidden_file *h)
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", h->file.fd);
    if (!h->replaces && !h->temporary)
        return linkat(AT_FDCWD, link, AT_FDCWD, h->path, AT_SYMLINK_FOLLOW) < 0 ? errno : 0;
    if (!h->temporary) { /* only a rename replaces */
        if (temporary_name(h) < 0)
            return ENOMEM;
        int fd = mkostemp(h->temporary, O_CLOEXEC); /* a name that is free */
        if (fd < 0 || close(fd) < 0 || unlink(h->temporary) < 0 ||
            linkat(AT_FDCWD, link, AT_FDCWD, h->temporary, AT_SYMLINK_FOLLOW) < 0)
            return errno;
    }
    int err = renameat2(AT_FDCWD, h->temporary, AT_FDCWD, h->path, h->replaces ? 0 : RENAME_NOREPLACE) < 0 ? errno : 0;
    if (err == 0) {
        free(h->temporary);
        h->temporary = NULL;
    }
    return err;
}

int hidden_end(struct hidden_file *h, bool keep)
{
    int code = 0;
    if (keep && h->open) {
        int err = fsync(h->file.fd) < 0 ? errno : give_name(h);
        code = err ? hidden_failed(h->path, err) : 0;
    }
    if (h->temporary)
        unlink(h->temporary);
    free(h->temporary);
    if (h->open)
        volume_file_close(&h->file);
    if (h->replaces)
        volume_file_close(&h->old);
    *h = (struct hidden_file){0};
    return code;
}

/* The target of a conversion, whole or not at all. */
#include "image/output.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/error.h"
#include "image/file_io.h"
#include "image/tar_write.h"

#define OCI_LAYOUT "{\"imageLayoutVersion\":\"1.0.0\"}"
#define ARCHIVE_SUFFIX ".tar"
#define BLOB_FOLDER "blobs/sha256/"

__attribute__((format(printf, 1, 2))) static char *format_path(const char *format, ...)
{
    va_list args;
    char *path = NULL;

    va_start(args, format);
    if (vasprintf(&path, format, args) < 0)
        err(1, "output");
    va_end(args);
    return path;
}

/* "PATH" out of "oci:PATH", "oci-archive:PATH", "PATH". */
static void parse_target(struct output *output, const char *target)
{
    size_t size = strlen(target), suffix = strlen(ARCHIVE_SUFFIX);

    output->is_archive = size > suffix && strcmp(target + size - suffix, ARCHIVE_SUFFIX) == 0;
    if (strncmp(target, "oci-archive:", 12) == 0) {
        output->is_archive = true;
        target += 12;
    } else if (strncmp(target, "oci:", 4) == 0) {
        output->is_archive = false;
        target += 4;
    }
    output->path = strdup(target);
    if (!output->path)
        err(1, "output");
    size = strlen(output->path);
    while (size > 1 && output->path[size - 1] == '/')
        output->path[--size] = 0;
    output->folder = path_folder(output->path);
}

static bool is_empty(const char *folder)
{
    DIR *dir = opendir(folder);
    int count = 0;

    while (dir && count < 3 && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return dir && count == 2;
}

/* Refuses to overwrite anything but an image of the same form, and that only if asked. */
static int check_target(const struct output *output, char **ret_error)
{
    struct stat status;
    bool is_image;

    if (!*output->path)
        return error_set(ret_error, "the target has no name");
    if (lstat(output->path, &status) < 0)
        return errno == ENOENT ? 0 : error_set_errno(ret_error, errno, "%s", output->path);
    if (output->is_archive) {
        is_image = S_ISREG(status.st_mode);
    } else {
        char *marker = format_path("%s/oci-layout", output->path);
        is_image = S_ISDIR(status.st_mode) && access(marker, F_OK) == 0;
        free(marker);
        if (S_ISDIR(status.st_mode) && !is_image && is_empty(output->path))
            return 0;
    }
    if (!is_image)
        return error_set(ret_error, "%s exists and is not an image that could be replaced", output->path);
    if (!output->replace)
        return error_set(ret_error, "%s exists already (--force replaces it)", output->path);
    return 0;
}

static int open_layer_file(struct output *output, char **ret_error)
{
    output->fd = open(output->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (output->fd >= 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != EISDIR)
        return error_set_errno(ret_error, errno, "cannot write in %s", output->folder);
    mode_t mask = umask(0);
    umask(mask);
    output->fd_path = format_path("%s/.cofre.XXXXXX", output->folder);
    output->fd = mkostemp(output->fd_path, O_CLOEXEC);
    if (output->fd >= 0 && fchmod(output->fd, 0666 & ~mask) == 0)
        return 0;
    return error_set_errno(ret_error, errno, "cannot write in %s", output->folder);
}

int output_open(struct output *output, const char *path, bool replace, char **ret_error)
{
    *output = (struct output){.fd = -1, .replace = replace};
    parse_target(output, path);
    output->layer_offset = output->is_archive ? TAR_ALIGNMENT : 0;
    if (check_target(output, ret_error) == 0 && open_layer_file(output, ret_error) == 0)
        return 0;
    output_close(output);
    return -1;
}

void output_close(struct output *output)
{
    if (output->fd >= 0)
        close(output->fd);
    if (output->fd_path)
        unlink(output->fd_path);
    free(output->fd_path);
    free(output->path);
    free(output->folder);
    *output = (struct output){.fd = -1};
}

/* Gives the layer's file a name. */
static int link_layer_file(struct output *output, const char *path, char **ret_error)
{
    char self[64];

    if (output->fd_path) {
        if (rename(output->fd_path, path) < 0)
            return error_set_errno(ret_error, errno, "cannot make %s", path);
        free(output->fd_path);
        output->fd_path = NULL;
        return 0;
    }
    snprintf(self, sizeof(self), "/proc/self/fd/%d", output->fd);
    if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
        return error_set_errno(ret_error, errno, "cannot make %s", path);
    return 0;
}

/* A folder */

static int write_small(const char *folder, const char *name, const void *data, size_t size, char **ret_error)
{
    char *path = format_path("%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), result;

    if (fd < 0) {
        result = error_set_errno(ret_error, errno, "cannot write %s", path);
    } else {
        result = file_write(fd, 0, data, size, path, ret_error);
        if (close(fd) < 0 && result == 0)
            result = error_set_errno(ret_error, errno, "cannot write %s", path);
    }
    free(path);
    return result;
}

static int make_folder(const char *folder, const char *name, char **ret_error)
{
    char *path = format_path("%s/%s", folder, name);
    int result = mkdir(path, 0777) < 0 ? error_set_errno(ret_error, errno, "cannot make %s", path) : 0;

    free(path);
    return result;
}

static int fill_folder(struct output *output, const char *folder, const char *layer_digest,
                       const struct output_blob *blobs, size_t blob_count, const char *index, char **ret_error)
{
    if (make_folder(folder, "blobs", ret_error) < 0 || make_folder(folder, "blobs/sha256", ret_error) < 0 ||
        write_small(folder, "oci-layout", OCI_LAYOUT, strlen(OCI_LAYOUT), ret_error) < 0 ||
        write_small(folder, "index.json", index, strlen(index), ret_error) < 0)
        return -1;
    for (size_t i = 0; i < blob_count; i++) {
        char *name = format_path(BLOB_FOLDER "%s", blobs[i].digest + strlen("sha256:"));
        int result = write_small(folder, name, blobs[i].data, blobs[i].size, ret_error);
        free(name);
        if (result < 0)
            return -1;
    }
    char *path = format_path("%s/" BLOB_FOLDER "%s", folder, layer_digest + strlen("sha256:"));
    int result = link_layer_file(output, path, ret_error);
    free(path);
    return result;
}

/* Swaps or renames the finished folder into place. */
static int publish_folder(const struct output *output, const char *folder, char **ret_error)
{
    /* A rename never replaces a folder with anything in it. */
    if (rename(folder, output->path) == 0)
        return 0;
    if ((errno != EEXIST && errno != ENOTEMPTY) || !output->replace)
        return error_set_errno(ret_error, errno, "cannot make %s", output->path);
    if (renameat2(AT_FDCWD, folder, AT_FDCWD, output->path, RENAME_EXCHANGE) < 0)
        return error_set_errno(ret_error, errno, "cannot replace %s", output->path);
    path_remove_all(folder);
    return 0;
}

static int commit_folder(struct output *output, const char *layer_digest, const struct output_blob *blobs,
                         size_t blob_count, const char *index, char **ret_error)
{
    char *folder = format_path("%s/.cofre.XXXXXX", output->folder);
    mode_t mask = umask(0);
    int result = -1;

    umask(mask);
    if (!mkdtemp(folder)) {
        error_set_errno(ret_error, errno, "cannot make %s", folder);
        free(folder);
        return -1;
    }
    if (chmod(folder, 0777 & ~mask) < 0)
        error_set_errno(ret_error, errno, "cannot make %s", folder);
    else if (fill_folder(output, folder, layer_digest, blobs, blob_count, index, ret_error) == 0)
        result = publish_folder(output, folder, ret_error);
    if (result < 0)
        path_remove_all(folder);
    free(folder);
    return result;
}

/* An archive: the layer lies first in the file, its header is put before it now that its name is known. */

static int append_member(const struct output *output, uint64_t *offset, const char *name, const void *data, size_t size,
                         char **ret_error)
{
    struct tar_member member = {.name = name, .mode = 0644, .size = size};
    static const uint8_t zeros[TAR_BLOCK_SIZE];
    uint8_t header[TAR_HEADER_MAX];
    size_t header_size = tar_header(header, &member, *offset);

    if (file_write(output->fd, *offset, header, header_size, output->path, ret_error) < 0 ||
        file_write(output->fd, *offset + header_size, data, size, output->path, ret_error) < 0 ||
        file_write(output->fd, *offset + header_size + size, zeros, tar_padding(size), output->path, ret_error) < 0)
        return -1;
    *offset += header_size + size + tar_padding(size);
    return 0;
}

static int fill_archive(struct output *output, const char *layer_digest, uint64_t layer_size,
                        const struct output_blob *blobs, size_t blob_count, const char *index, char **ret_error)
{
    char name[sizeof(BLOB_FOLDER) + 64];
    struct tar_member layer = {.name = name, .mode = 0644, .size = layer_size};
    static const uint8_t zeros[2 * TAR_BLOCK_SIZE];
    uint8_t header[TAR_HEADER_MAX];
    uint64_t offset = output->layer_offset + layer_size;

    snprintf(name, sizeof(name), BLOB_FOLDER "%s", layer_digest + strlen("sha256:"));
    if (file_write(output->fd, 0, header, tar_header(header, &layer, 0), output->path, ret_error) < 0 ||
        file_write(output->fd, offset, zeros, tar_padding(layer_size), output->path, ret_error) < 0)
        return -1;
    offset += tar_padding(layer_size);
    for (size_t i = 0; i < blob_count; i++) {
        snprintf(name, sizeof(name), BLOB_FOLDER "%s", blobs[i].digest + strlen("sha256:"));
        if (append_member(output, &offset, name, blobs[i].data, blobs[i].size, ret_error) < 0)
            return -1;
    }
    if (append_member(output, &offset, "index.json", index, strlen(index), ret_error) < 0 ||
        append_member(output, &offset, "oci-layout", OCI_LAYOUT, strlen(OCI_LAYOUT), ret_error) < 0)
        return -1;
    return file_write(output->fd, offset, zeros, sizeof(zeros), output->path, ret_error);
}

static int publish_archive(struct output *output, char **ret_error)
{
    if (!output->replace)
        return link_layer_file(output, output->path, ret_error);
    char *path = format_path("%s/.cofre.%ld", output->folder, (long)getpid());
    unlink(path);
    int result = link_layer_file(output, path, ret_error);
    if (result == 0 && rename(path, output->path) < 0) {
        result = error_set_errno(ret_error, errno, "cannot make %s", output->path);
        unlink(path);
    }
    free(path);
    return result;
}

int output_commit(struct output *output, const char *layer_digest, uint64_t layer_size, const struct output_blob *blobs,
                  size_t blob_count, const char *index, char **ret_error)
{
    if (!output->is_archive)
        return commit_folder(output, layer_digest, blobs, blob_count, index, ret_error);
    if (fill_archive(output, layer_digest, layer_size, blobs, blob_count, index, ret_error) < 0)
        return -1;
    return publish_archive(output, ret_error);
}

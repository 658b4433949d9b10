/* resize: larger or smaller, with all that is in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "volume/tool.h"

#define BLOCK ((uint64_t)VOLUME_BLOCK_SIZE)

static int resize_failed(const char *path, const char *why, int code)
{
    fprintf(stderr, "cofre: resizing %s failed: %s\n", path, why);
    return code;
}

/* The file gets room for so many blocks, or stays as it is. */
static int file_grow(const struct volume_file *file, uint64_t blocks)
{
    struct stat status;
    if (fstat(file->fd, &status) < 0)
        return resize_failed(file->path, strerror(errno), EXIT_COFRE);
    if (!S_ISREG(status.st_mode)) {
        if (file->io.block_count((void *)(uintptr_t)file) >= blocks)
            return 0;
        return resize_failed(file->path, "the device is smaller than that", EXIT_DISK);
    }
    int err = (uint64_t)status.st_size < blocks * BLOCK ? posix_fallocate(file->fd, 0, (off_t)(blocks * BLOCK)) : 0;
    if (err == 0 && fsync(file->fd) == 0)
        return 0;
    err = err ? err : errno;
    if (ftruncate(file->fd, status.st_size) < 0)
        err = errno;
    return resize_failed(file->path, strerror(err), err == ENOSPC || err == EIO ? EXIT_DISK : EXIT_COFRE);
}

/* What lies behind the end of the volume goes: of this shrinking, or of one that was killed just here. */
static int file_cut(const struct volume_file *file, uint64_t blocks)
{
    struct stat status;
    if (fstat(file->fd, &status) < 0)
        return resize_failed(file->path, strerror(errno), EXIT_COFRE);
    if (S_ISREG(status.st_mode) && (uint64_t)status.st_size > blocks * BLOCK &&
        (ftruncate(file->fd, (off_t)(blocks * BLOCK)) < 0 || fsync(file->fd) < 0))
        return resize_failed(file->path, strerror(errno), EXIT_DISK);
    return 0;
}

static int refused(const char *path, int err, const struct volume_info *info)
{
    char text[160];
    if (err == -EBUSY)
        return resize_failed(path, "it has snapshots, whose blocks cannot move (remove them to shrink it)", EXIT_COFRE);
    if (err != -ENOSPC)
        return tool_failed_doing("resizing", path, err);
    snprintf(text, sizeof(text),
             "what is in it does not fit: %lu KiB are in use, and some room is kept (it is as it was)",
             (unsigned long)(info->used_count * (BLOCK / 1024)));
    return resize_failed(path, text, EXIT_DISK);
}

static void report(const struct tool_options *options, const char *path, uint64_t was, uint64_t now)
{
    if (options->json)
        printf("{\"size\": %lu, \"was\": %lu}\n", (unsigned long)(now * BLOCK), (unsigned long)(was * BLOCK));
    else if (!options->quiet)
        printf("%s: %lu KiB, was %lu KiB\n", path, (unsigned long)(now * (BLOCK / 1024)),
               (unsigned long)(was * (BLOCK / 1024)));
}

static int resize(struct tool_options *options, struct volume_file *file, struct volume *v, uint64_t blocks)
{
    struct volume_info info;
    volume_get_info(v, &info);
    int code = file_grow(file, blocks), err = 0;
    if (code != 0) {
        volume_unmount(v);
        return code;
    }
    if (blocks != info.block_count) {
        tool_progress_begin(options, "moving blocks", 0);
        err = volume_resize(v, blocks, tool_progress, NULL);
        tool_progress_end();
    }
    int end = volume_unmount(v);
    if (err < 0 || end < 0)
        return refused(file->path, err < 0 ? err : end, &info);
    code = file_cut(file, blocks);
    if (code == 0)
        report(options, file->path, info.block_count, blocks);
    return code;
}

int volume_cmd_resize(struct tool_options *options, char **operands)
{
    struct volume_file file;
    struct volume *v;
    uint64_t blocks = options->size ? tool_size(options->size) / BLOCK : 0;
    if (blocks < VOLUME_BLOCKS_MIN || blocks > VOLUME_BLOCKS_MAX)
        return command_usage("volume resize", "--size between 2M and 16T is needed");
    int code = tool_mount_writing(&file, operands[0], options, NULL, &v);
    if (code != 0)
        return code;
    code = resize(options, &file, v, blocks);
    volume_file_close(&file);
    return code;
}

/* A host file below a volume: pread, pwrite, fdatasync, and a lock against accidents. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "volume/tool.h"

#define BLOCK ((uint64_t)VOLUME_BLOCK_SIZE)

static int file_read(void *arg, uint64_t block, uint64_t count, void *buf)
{
    struct volume_file *f = arg;
    for (size_t done = 0, size = count * BLOCK; done < size;) {
        ssize_t n = pread(f->fd, (char *)buf + done, size - done, (off_t)(block * BLOCK + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EIO;
        done += (size_t)n;
    }
    f->read_count += count;
    if (f->read_total > 0)
        tool_progress(NULL, f->read_count < f->read_total ? f->read_count : f->read_total, f->read_total);
    return 0;
}

static int file_flush(void *arg)
{
    return fdatasync(((const struct volume_file *)arg)->fd) < 0 ? -EIO : 0;
}

static int file_write(void *arg, uint64_t block, uint64_t count, const void *buf, bool durable)
{
    const struct volume_file *f = arg;
    for (size_t done = 0, size = count * BLOCK; done < size;) {
        ssize_t n = pwrite(f->fd, (const char *)buf + done, size - done, (off_t)(block * BLOCK + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EIO;
        done += (size_t)n;
    }
    return durable ? file_flush(arg) : 0;
}

static uint64_t file_block_count(void *arg)
{
    off_t size = lseek(((const struct volume_file *)arg)->fd, 0, SEEK_END); /* of a block device, too */
    return size < 0 ? 0 : (uint64_t)size / BLOCK;
}

static void file_random(void *arg, void *buf, size_t size)
{
    (void)arg;
    for (size_t done = 0; done < size;) {
        ssize_t n = getrandom((char *)buf + done, size - done, 0);
        if (n > 0)
            done += (size_t)n;
    }
}

static struct timespec_ns file_now(void *arg)
{
    struct timespec now;
    (void)arg;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct timespec_ns){now.tv_sec, (uint32_t)now.tv_nsec};
}

int volume_file_start(struct volume_file *file, const char *path, int fd, bool writing)
{
    struct flock lock = {.l_type = writing ? F_WRLCK : F_RDLCK};
    *file =
        (struct volume_file){.io = {file, file_read, file_write, file_flush, file_block_count, file_random, file_now},
                             .fd = fd,
                             .path = path};
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        fprintf(stderr, "cofre: opening %s failed: the volume is in use (stop what uses it)\n", path);
        close(fd);
        return EXIT_IN_USE;
    }
    return 0;
}

int volume_file_open(struct volume_file *file, const char *path, bool writing)
{
    int fd = open(path, (writing ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "cofre: opening %s failed: %s\n", path, strerror(errno));
        return EXIT_COFRE;
    }
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) { /* those are opened for reading */
        fprintf(stderr, "cofre: opening %s failed: %s\n", path, strerror(EISDIR));
        close(fd);
        return EXIT_COFRE;
    }
    return volume_file_start(file, path, fd, writing);
}

int volume_file_create(struct volume_file *file, const char *path, uint64_t size, bool force)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (force ? 0 : O_EXCL), 0600);
    if (fd < 0) {
        fprintf(stderr, "cofre: creating %s failed: %s%s\n", path, strerror(errno),
                errno == EEXIST ? " (--force formats it, and all in it is lost)" : "");
        return EXIT_COFRE;
    }
    int code = volume_file_start(file, path, fd, true);
    if (code != 0)
        return code;
    struct stat status;
    int err = fstat(fd, &status) < 0 ? errno : 0;
    if (err == 0 && S_ISREG(status.st_mode)) {
        err = ftruncate(fd, (off_t)size) < 0 ? errno : 0;
        if (err == 0) /* room now, not a failure later */
            err = posix_fallocate(fd, 0, (off_t)size);
    }
    if (err == 0)
        return 0;
    fprintf(stderr, "cofre: creating %s failed: %s\n", path, strerror(err));
    close(fd);
    if (!force)
        unlink(path);
    return err == ENOSPC || err == EIO ? EXIT_DISK : EXIT_COFRE;
}

int tool_output_open(const char *path, bool force, const char *volume)
{
    struct stat there, kept;
    bool exists = stat(path, &there) == 0, regular = !exists || S_ISREG(there.st_mode);
    if (exists && stat(volume, &kept) == 0 && there.st_dev == kept.st_dev && there.st_ino == kept.st_ino) {
        fprintf(stderr, "cofre: writing %s failed: it is the volume itself\n", path);
        return -1;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : regular ? O_EXCL : 0), 0600);
    if (fd < 0)
        fprintf(stderr, "cofre: creating %s failed: %s%s\n", path, strerror(errno),
                errno == EEXIST ? " (--force overwrites it)" : "");
    return fd;
}

void tool_output_drop(const char *path)
{
    struct stat status;
    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode))
        unlink(path);
}

void volume_file_progress(struct volume_file *file, uint64_t total)
{
    file->read_count = 0;
    file->read_total = total;
}

void volume_file_close(struct volume_file *file)
{
    close(file->fd);
}

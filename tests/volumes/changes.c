/*
 * Random changes of a tree of files, the same for a seed wherever it runs: what each call answered and what the tree is
 * afterwards goes to standard output.    changes FOLDER SEED COUNT | changes FOLDER
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t state;

static unsigned pick(unsigned below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 20) % below;
}

/* Few names, so that they meet: one to three parts. */
static void path_make(char *path)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "long-name-of-a-file"};
    unsigned parts = 1 + pick(3);
    path[0] = 0;
    for (unsigned i = 0; i < parts; i++) {
        strcat(path, i ? "/" : "");
        strcat(path, names[pick(6)]);
    }
}

static int file_write(const char *path, int flags)
{
    static char data[20000];
    int fd = open(path, O_WRONLY | O_NONBLOCK | flags, 0644);
    if (fd < 0)
        return -1;
    unsigned size = pick(3) ? pick(100) : pick(sizeof(data));
    memset(data, 'a' + (int)pick(26), size);
    off_t at = flags & (O_APPEND | O_TRUNC) ? 0 : pick(9000);
    int ret = pwrite(fd, data, size, at) == (ssize_t)size ? 0 : -1;
    if (pick(4) == 0)
        unlink(path); /* while it is open */
    if (pick(4) == 0)
        ret |= write(fd, "more", 4) == 4 ? 0 : -1;
    close(fd);
    return ret;
}

static int tmpfile_link(const char *path)
{
    char link_path[64];
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    if (fd < 0)
        return -1;
    snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
    int ret = write(fd, "nameless", 8) == 8 ? linkat(AT_FDCWD, link_path, AT_FDCWD, path, AT_SYMLINK_FOLLOW) : -1;
    int error = errno;
    close(fd);
    errno = error;
    return ret;
}

static int change(unsigned what, const char *a, const char *b)
{
    struct timespec times[2] = {{1000 + pick(1000), 0}, {1000 + pick(1000), 5}};
    switch (what) {
    case 0:
        return file_write(a, O_CREAT | O_TRUNC);
    case 1:
        return file_write(a, O_APPEND);
    case 2:
        return file_write(a, O_CREAT);
    case 3:
        return unlink(a);
    case 4:
        return rmdir(a);
    case 5:
        return mkdir(a, 0700 + pick(64));
    case 6:
    case 7:
    case 8:
        return rename(a, b);
    case 9:
        return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
    case 10:
        return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE);
    case 11:
    case 12:
        return link(a, b);
    case 13:
        return symlink(b, a);
    case 14:
        return fchmodat(AT_FDCWD, a, 0600 + pick(64), 0);
    case 15:
        return fchownat(AT_FDCWD, a, pick(3), pick(3), AT_SYMLINK_NOFOLLOW);
    case 16:
        return truncate(a, pick(12000));
    case 17:
        return utimensat(AT_FDCWD, a, times, AT_SYMLINK_NOFOLLOW);
    case 18:
        return mkfifoat(AT_FDCWD, a, 0640);
    default:
        return tmpfile_link(a);
    }
}

static uint64_t contents(const char *path, char *target)
{
    unsigned char buf[4096];
    uint64_t hash = 14695981039346656037U;
    ssize_t n = readlink(path, target, 255);
    target[n > 0 ? n : 0] = 0;
    int fd = n > 0 ? -1 : open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
        for (ssize_t i = 0; i < n; i++)
            hash = (hash ^ buf[i]) * 1099511628211U;
    if (fd >= 0)
        close(fd);
    return hash;
}

static struct inode_seen {
    ino_t ino;
    char first[300];
} seen[4096];
static unsigned seen_count;

/* The first name of the same file. */
static const char *same_file(ino_t ino, const char *path)
{
    for (unsigned i = 0; i < seen_count; i++)
        if (seen[i].ino == ino)
            return seen[i].first;
    seen[seen_count].ino = ino;
    snprintf(seen[seen_count].first, sizeof(seen[0].first), "%s", path);
    return seen[seen_count++].first;
}

static int name_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void show(const char *path)
{
    struct dirent **names;
    struct stat s;
    char target[256];
    if (lstat(path, &s) < 0) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    const char *same = same_file(s.st_ino, path);
    printf("%s %o %u:%u links %u", path, s.st_mode, s.st_uid, s.st_gid, (unsigned)s.st_nlink);
    if (!S_ISDIR(s.st_mode)) {
        uint64_t hash = S_ISREG(s.st_mode) || S_ISLNK(s.st_mode) ? contents(path, target) : 0;
        printf(" size %lld %016llx%s%s as %s%s", (long long)s.st_size, (unsigned long long)hash,
               S_ISLNK(s.st_mode) ? " -> " : "", S_ISLNK(s.st_mode) ? target : "", same,
               s.st_mtime < 3000 && s.st_mtime > 0 ? " old" : "");
    }
    printf("\n");
    int count = S_ISDIR(s.st_mode)
                    ? scandir(path, &names, NULL, (int (*)(const struct dirent **, const struct dirent **))name_order)
                    : 0;
    for (int i = 0; i < count; i++) {
        char below[300];
        snprintf(below, sizeof(below), "%s/%s", path, names[i]->d_name);
        if (strcmp(names[i]->d_name, ".") && strcmp(names[i]->d_name, ".."))
            show(below);
        free(names[i]);
    }
    if (count > 0)
        free(names);
}

int main(int argc, char **argv)
{
    umask(0);
    if (argc < 2 || chdir(argv[1]) < 0)
        return 2;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) * 2654435761U + 1 : 0;
    for (int i = 0; argc > 3 && i < atoi(argv[3]); i++) {
        char a[128], b[128];
        unsigned what = pick(20);
        path_make(a);
        path_make(b);
        errno = 0;
        int ret = change(what, a, b);
        printf("%d %u %s %s: %d %s\n", i, what, a, b, ret, ret < 0 ? strerror(errno) : "");
    }
    show(".");
    sync();
    printf("synced\n");
    fflush(stdout);
    if (getenv("STAY"))
        pause();
    return 0;
}

/* open, openat, openat2, creat: flags, modes, errors. */
#include "show.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static mode_t mode_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) < 0 ? 0 : st.st_mode;
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? -1 : st.st_size;
}

static int how(const char *path, unsigned long long flags, unsigned long long mode, unsigned long long resolve)
{
    struct open_how h = {.flags = flags, .mode = mode, .resolve = resolve};
    int fd = syscall(SYS_openat2, AT_FDCWD, path, &h, sizeof(h));
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int again(const char *path, int flags)
{
    int fd = open(path, flags, 0644);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static void create(void)
{
    umask(027);
    SHOW(again("a", O_RDONLY));
    SHOW(again("a", O_CREAT | O_WRONLY));
    printf("%o\n", mode_of("a"));
    SHOW(again("a", O_CREAT | O_EXCL | O_WRONLY));
    int fd = open("a", O_RDWR);
    SHOW(write(fd, "hello", 5));
    close(fd);
    SHOW(again("a", O_RDONLY | O_TRUNC));
    SHOW(size_of("a"));
    SHOW(again("a/", O_RDONLY));
    SHOW(again("a/b", O_RDONLY));
    SHOW(again("new/", O_CREAT | O_WRONLY));
    SHOW(again("no/such", O_CREAT | O_WRONLY));
    SHOW(again(".", O_CREAT | O_WRONLY));
    SHOW(again("", O_RDONLY));
    SHOW(again(".", O_RDONLY));
    SHOW(again(".", O_RDWR));
    SHOW(again(".", O_RDONLY | O_TRUNC));
    SHOW(again("a", O_DIRECTORY));
    SHOW(again(".", O_DIRECTORY));
    fd = creat("c", 04777);
    printf("%o\n", mode_of("c"));
    SHOW(read(fd, &fd, 1));
    close(fd);
    umask(022);
}

static void links(void)
{
    SHOW(symlink("a", "la"));
    SHOW(symlink("nowhere", "dangling"));
    SHOW(symlink("loop", "loop"));
    SHOW(again("la", O_RDONLY));
    SHOW(again("la", O_RDONLY | O_NOFOLLOW));
    SHOW(again("dangling", O_RDONLY));
    SHOW(again("dangling", O_CREAT | O_EXCL | O_WRONLY));
    SHOW(again("loop", O_RDONLY));
    SHOW(again("loop", O_CREAT | O_WRONLY));
    SHOW(again("dangling", O_CREAT | O_WRONLY));
    printf("%o %o\n", mode_of("nowhere"), mode_of("dangling") & S_IFMT);
    SHOW(again("la", O_DIRECTORY | O_NOFOLLOW));
    int fd = open("la", O_PATH | O_NOFOLLOW);
    char buf[16];
    SHOW(readlinkat(fd, "", buf, sizeof(buf)));
    struct stat st;
    SHOW(fstat(fd, &st));
    printf("%o\n", st.st_mode & S_IFMT);
    close(fd);
}

static void path_only(void)
{
    char c;
    struct stat st;
    int fd = open("a", O_PATH | O_RDWR | O_CREAT);
    SHOW(fcntl(fd, F_GETFL));
    SHOW(read(fd, &c, 1));
    SHOW(write(fd, &c, 1));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(fchmod(fd, 0600));
    SHOW(fstat(fd, &st));
    SHOW(fcntl(fd, F_SETFL, 0));
    int copy = fcntl(fd, F_DUPFD, 50);
    SHOW(copy);
    close(copy);
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    SHOW(again(path, O_RDWR));
    close(fd);
    fd = open(".", O_PATH);
    int inner = openat(fd, "a", O_RDONLY);
    SHOW(inner >= 0);
    close(inner);
    SHOW(fchdir(fd));
    close(fd);
}

static void flags(void)
{
    int fd = open("a", O_RDWR | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_SYNC);
    SHOW(fcntl(fd, F_GETFL) & ~0100000);
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_SETFL, O_NOATIME));
    SHOW(fcntl(fd, F_GETFL) & ~0100000);
    close(fd);
    SHOW(openat(99, "a", O_RDONLY));
    fd = open("a", O_RDONLY);
    SHOW(openat(fd, "a", O_RDONLY));
    close(fd);
    SHOW(open((char *)8, O_RDONLY));
}

static void tmpfile_(void)
{
    int fd = open(".", O_TMPFILE | O_RDWR, 0640);
    struct stat st;
    SHOW(fd >= 0);
    SHOW(write(fd, "abc", 3));
    SHOW(fstat(fd, &st));
    printf("%o %ld %ld\n", st.st_mode, (long)st.st_nlink, (long)st.st_size);
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    SHOW(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    SHOW(size_of("named"));
    close(fd);
    SHOW(open(".", O_TMPFILE | O_RDONLY, 0600));
    SHOW(open("a", O_TMPFILE | O_RDWR, 0600));
}

static void openat2_(void)
{
    mkdir("d", 0755);
    symlink("/tmp", "d/abs");
    symlink("../a", "d/up");
    SHOW(how("a", O_RDONLY, 0, 0));
    SHOW(how("a", O_RDONLY, 0644, 0));
    SHOW(how("a", O_RDONLY | (1ULL << 40), 0, 0));
    SHOW(how("a", O_RDONLY, 0, 0x1000));
    SHOW(how("la", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
    SHOW(how("d/../a", O_RDONLY, 0, RESOLVE_BENEATH));
    SHOW(how("../x", O_RDONLY, 0, RESOLVE_BENEATH));
    SHOW(how("/etc", O_RDONLY, 0, RESOLVE_BENEATH));
    SHOW(how("d/abs", O_RDONLY, 0, RESOLVE_BENEATH));
    SHOW(how("d/up", O_RDONLY, 0, RESOLVE_BENEATH));
    SHOW(how("/a", O_RDONLY, 0, RESOLVE_IN_ROOT));
    SHOW(how("../../../a", O_RDONLY, 0, RESOLVE_IN_ROOT));
    SHOW(how("d/abs", O_RDONLY, 0, RESOLVE_IN_ROOT));
    SHOW(how("/proc/self/fd/0", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
    SHOW(how("/proc/self", O_RDONLY, 0, RESOLVE_NO_XDEV));
    SHOW(how("b2", O_CREAT | O_WRONLY, 0600, 0));
    char big[64] = {0};
    SHOW(syscall(SYS_openat2, AT_FDCWD, "a", big, 64) >= 0);
    big[60] = 1;
    SHOW(syscall(SYS_openat2, AT_FDCWD, "a", big, 64));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "a", big, 8));
}

int main(void)
{
    mkdir("fs_open", 0755);
    if (chdir("fs_open") < 0)
        return 1;
    create();
    links();
    path_only();
    flags();
    tmpfile_();
    openat2_();
    return 0;
}

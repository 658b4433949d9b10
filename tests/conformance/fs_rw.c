/* Reading, writing, seeking, holes, sizes. */
#include "show.h"
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static long size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) < 0 ? -1 : (long)st.st_size;
}

static unsigned sum(int fd)
{
    unsigned char buf[1000];
    unsigned h = 2166136261u;
    ssize_t n;
    for (off_t pos = 0; (n = pread(fd, buf, sizeof(buf), pos)) > 0; pos += n)
        for (ssize_t i = 0; i < n; i++)
            h = (h ^ buf[i]) * 16777619u;
    return h;
}

static void basic(int fd)
{
    char buf[64] = "";
    SHOW(write(fd, "0123456789", 10));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(read(fd, buf, 5));
    SHOW(lseek(fd, 3, SEEK_SET));
    SHOW(read(fd, buf, 5));
    printf("%s\n", buf);
    SHOW(lseek(fd, -2, SEEK_END));
    SHOW(read(fd, buf, 50));
    SHOW(lseek(fd, -1, SEEK_SET));
    SHOW(lseek(fd, -100, SEEK_CUR));
    SHOW(lseek(fd, 0, 99));
    SHOW(lseek(fd, 0x7fffffffffffffff, SEEK_END));
    SHOW(pread(fd, buf, 4, 6));
    SHOW(pread(fd, buf, 4, 60));
    SHOW(pread(fd, buf, 4, -1));
    SHOW(pwrite(fd, "AB", 2, 4));
    SHOW(pwrite(fd, "AB", 2, -4));
    SHOW(read(fd, (void *)8, 5));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(read(fd, (void *)8, 5));
    SHOW(write(fd, (void *)8, 5));
    SHOW(write(fd, (void *)8, 0));
    SHOW(read(fd, buf, 0));
    SHOW(read(fd, buf, -1));
    SHOW(size_of(fd));
    int left = 0;
    SHOW(ioctl(fd, FIONREAD, &left));
    SHOW(left);
}

static void vectors(int fd)
{
    char a[4] = "", b[4] = "", c[20] = "";
    struct iovec in[] = {{"xx", 2}, {NULL, 0}, {"yyy", 3}};
    struct iovec out[] = {{a, 3}, {b, 0}, {b, 3}, {c, 10}};
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(writev(fd, in, 3));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(readv(fd, out, 4));
    printf("%.3s|%.3s|%s\n", a, b, c);
    SHOW(readv(fd, out, -1));
    SHOW(readv(fd, out, 1025));
    SHOW(readv(fd, out, 0));
    SHOW(preadv(fd, out, 2, 1));
    SHOW(pwritev(fd, in, 3, 100));
    SHOW(preadv2(fd, out, 2, 1, 0));
    SHOW(preadv2(fd, out, 2, -1, 0));
    SHOW(pwritev2(fd, in, 1, 0, RWF_APPEND));
    SHOW(size_of(fd));
    SHOW(preadv2(fd, out, 2, 1, 0x4000));
    in[1] = (struct iovec){(void *)8, 4};
    SHOW(pwritev(fd, in, 3, 200));
    SHOW(size_of(fd));
}

static void sparse(int fd)
{
    SHOW(ftruncate(fd, 0));
    SHOW(pwrite(fd, "end", 3, 100000));
    SHOW(size_of(fd));
    SHOW(lseek(fd, 0, SEEK_DATA));
    SHOW(lseek(fd, 0, SEEK_HOLE));
    SHOW(lseek(fd, 99000, SEEK_HOLE));
    SHOW(lseek(fd, 100003, SEEK_DATA));
    SHOW(lseek(fd, -1, SEEK_DATA));
    printf("%08x\n", sum(fd));
    SHOW(ftruncate(fd, 50000));
    SHOW(lseek(fd, 0, SEEK_DATA));
    SHOW(ftruncate(fd, 5));
    SHOW(pwrite(fd, "hello", 5, 0));
    SHOW(ftruncate(fd, 3));
    SHOW(ftruncate(fd, 8));
    printf("%08x\n", sum(fd));
    SHOW(ftruncate(fd, -1));
    SHOW(truncate("f", 10));
    SHOW(truncate("none", 10));
    SHOW(truncate(".", 10));
    SHOW(truncate("f", -10));
    int ro = open("f", O_RDONLY);
    SHOW(ftruncate(ro, 1));
    SHOW(write(ro, "x", 1));
    close(ro);
}

static void allocate(int fd)
{
    SHOW(ftruncate(fd, 0));
    SHOW(fallocate(fd, 0, 0, 20000));
    SHOW(size_of(fd));
    SHOW(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 40000));
    SHOW(size_of(fd));
    char buf[20000];
    memset(buf, 'z', sizeof(buf));
    SHOW(pwrite(fd, buf, sizeof(buf), 0));
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 9000));
    printf("%08x\n", sum(fd));
    SHOW(lseek(fd, 0, SEEK_HOLE));
    SHOW(lseek(fd, 5000, SEEK_DATA));
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
    SHOW(fallocate(fd, 0, -1, 10));
    SHOW(fallocate(fd, 0, 0, 0));
    SHOW(fallocate(fd, 0, 0x7fffffffffffff00, 0x1000));
    SHOW(fallocate(0x7777, 0, 0, 1));
    SHOW(fsync(fd));
    SHOW(fdatasync(fd));
    SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
    SHOW(posix_fadvise(fd, 10, 5000, POSIX_FADV_DONTNEED));
    printf("%08x\n", sum(fd));
    SHOW(posix_fadvise(fd, 0, 0, 77));
    SHOW(readahead(fd, 0, 100));
    SHOW(sync_file_range(fd, 0, 10, 0));
    SHOW(syncfs(fd));
}

static void append(void)
{
    int fd = open("f", O_RDWR | O_APPEND | O_TRUNC);
    char buf[16] = "";
    SHOW(write(fd, "aa", 2));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(write(fd, "bb", 2));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(pwrite(fd, "cc", 2, 0));
    SHOW(pread(fd, buf, 15, 0));
    printf("%s\n", buf);
    close(fd);
}

static void partial_fault(int fd)
{
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p + 4096, 4096, PROT_NONE);
    memset(p, 'p', 4096);
    SHOW(ftruncate(fd, 0));
    SHOW(pwrite(fd, p + 4090, 6, 0));
    SHOW(pread(fd, p + 4096, 6, 0));
    SHOW(size_of(fd));
    munmap(p, 8192);
}

static volatile int got_signal;
static void on_xfsz(int signal)
{
    got_signal = signal;
}

static void size_limit(int fd)
{
    struct rlimit limit = {100, RLIM_INFINITY};
    signal(SIGXFSZ, on_xfsz);
    SHOW(ftruncate(fd, 0));
    char buf[200] = "";
    long results[4];
    int signals[3];
    fflush(stdout);
    setrlimit(RLIMIT_FSIZE, &limit);
    results[0] = pwrite(fd, buf, 200, 0);
    signals[0] = got_signal;
    results[1] = pwrite(fd, buf, 1, 100);
    signals[1] = got_signal;
    got_signal = 0;
    results[2] = ftruncate(fd, 101);
    signals[2] = got_signal;
    results[3] = ftruncate(fd, 100);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 4; i++)
        printf("%ld %d\n", results[i], i < 3 ? signals[i] : 0);
}

int main(void)
{
    mkdir("fs_rw", 0755);
    if (chdir("fs_rw") < 0)
        return 1;
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    basic(fd);
    vectors(fd);
    sparse(fd);
    allocate(fd);
    append();
    partial_fault(fd);
    size_limit(fd);
    return 0;
}

/* System calls given bad addresses, partly bad buffers, and memory of oneself through process_vm_*. */
#include "show.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#define P 4096UL

int main(void)
{
    char *p = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *q;
    struct iovec local[2], remote[2];
    int fds[2], fd;
    struct stat st;

    munmap(p + 2 * P, 2 * P);
    pipe(fds);
    SHOW(write(fds[1], p + 2 * P - 10, 10));
    SHOW(write(fds[1], p + 2 * P, 1));
    SHOW(read(fds[0], p + 2 * P, 1));
    SHOW(read(fds[0], (void *)8, 10));
    SHOW(read(fds[0], p + 2 * P - 5, 5));
    SHOW(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, p + 2 * P));
    SHOW(syscall(SYS_newfstatat, AT_FDCWD, p + 2 * P, &st, 0));
    SHOW(stat((const char *)-1L, &st));
    SHOW(syscall(SYS_stat, "/", p + 2 * P - 8));
    SHOW(syscall(SYS_nanosleep, 0x1234000000000000, NULL));
    fd = open("mm_access.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    SHOW(write(fd, p + 2 * P - 100, 200));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(pread(fd, p + 2 * P - 60, 100, 0));
    mprotect(p, P, PROT_READ);
    SHOW(pread(fd, p, 10, 0));
    SHOW(pread(fd, p + P, 10, 0));
    local[0] = (struct iovec){p + P, 5};
    local[1] = (struct iovec){p + 2 * P, 5};
    SHOW(preadv(fd, local, 2, 0));
    local[0].iov_len = (size_t)-1;
    SHOW(preadv(fd, local, 2, 0));
    SHOW(preadv(fd, local, 2000, 0));
    SHOW(preadv(fd, (void *)8, 2, 0));
    SHOW(preadv(fd, local, 0, 0));
    /* A string that ends at the end of memory. */
    mprotect(p, P, PROT_READ | PROT_WRITE);
    q = p + 2 * P - 2;
    memcpy(q, "/", 2);
    SHOW(access(q, F_OK));
    memcpy(q, "//", 2);
    SHOW(access(q, F_OK));
    memcpy(p, "self-made", 10);
    local[0] = (struct iovec){p + P, 10};
    remote[0] = (struct iovec){p, 10};
    SHOW(process_vm_readv(getpid(), local, 1, remote, 1, 0));
    printf("%s\n", p + P);
    remote[0] = (struct iovec){p + 2 * P - 4, 100};
    local[0] = (struct iovec){p, 100};
    SHOW(process_vm_writev(getpid(), local, 1, remote, 1, 0));
    remote[0] = (struct iovec){p + 2 * P, 100};
    SHOW(process_vm_readv(getpid(), local, 1, remote, 1, 0));
    SHOW(process_vm_readv(999999, local, 1, remote, 1, 0));
    SHOW(process_vm_readv(getpid(), local, 1, remote, 1, 1));
    close(fd);
    unlink("mm_access.tmp");
    return 0;
}

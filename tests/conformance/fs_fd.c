/* Descriptors: dup and its kin, close_range, limits, fcntl's odds and ends. */
#include "show.h"
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int main(void)
{
    mkdir("fs_fd", 0755);
    if (chdir("fs_fd") < 0)
        return 1;
    int a = open("f", O_RDWR | O_CREAT, 0644);
    SHOW(a);
    SHOW(dup(a));
    SHOW(dup2(a, 10));
    SHOW(dup2(a, a));
    SHOW(dup2(99, 11));
    SHOW(dup2(99, 99));
    SHOW(dup2(a, -1));
    SHOW(dup3(a, 12, O_CLOEXEC));
    SHOW(dup3(a, a, 0));
    SHOW(dup3(a, 13, 7));
    SHOW(fcntl(12, F_GETFD));
    SHOW(fcntl(10, F_GETFD));
    SHOW(fcntl(a, F_DUPFD, 20));
    SHOW(fcntl(a, F_DUPFD_CLOEXEC, 20));
    SHOW(fcntl(21, F_GETFD));
    SHOW(fcntl(a, F_DUPFD, -1));
    SHOW(fcntl(a, F_DUPFD, 100000000));
    SHOW(fcntl(21, F_SETFD, 0));
    SHOW(fcntl(21, F_GETFD));
    SHOW(ioctl(21, FIOCLEX));
    SHOW(fcntl(21, F_GETFD));
    SHOW(ioctl(21, FIONCLEX));
    SHOW(fcntl(21, F_GETFD));
    /* One position for all copies. */
    SHOW(write(a, "abc", 3));
    SHOW(lseek(10, 0, SEEK_CUR));
    int other = open("f", O_RDONLY);
    SHOW(lseek(other, 0, SEEK_CUR));
    SHOW(fcntl(10, F_SETFL, O_APPEND));
    SHOW(fcntl(a, F_GETFL) & O_APPEND);
    SHOW(close(10));
    SHOW(close(10));
    SHOW(close(-1));
    SHOW(dup(a));
    SHOW(syscall(SYS_close_range, 20, 30, 0));
    SHOW(fcntl(20, F_GETFD));
    SHOW(syscall(SYS_close_range, 12, 12, CLOSE_RANGE_CLOEXEC));
    SHOW(fcntl(12, F_GETFD));
    SHOW(syscall(SYS_close_range, 30, 20, 0));
    SHOW(syscall(SYS_close_range, 30, 40, 64));
    SHOW(syscall(SYS_close_range, 4, ~0u, 0));
    SHOW(fcntl(12, F_GETFD));
    struct rlimit limit = {8, 8};
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(dup(a));
    SHOW(dup(a));
    SHOW(dup(a));
    SHOW(dup(a));
    SHOW(dup(a));
    SHOW(dup2(a, 8));
    SHOW(fcntl(a, F_DUPFD, 8));
    SHOW(open("f", O_RDONLY));
    SHOW(close(5));
    SHOW(open("f", O_RDONLY));
    int on = 1;
    SHOW(ioctl(a, FIONBIO, &on));
    SHOW(fcntl(a, F_GETFL) & O_NONBLOCK);
    SHOW(ioctl(a, FIONBIO, (void *)8));
    SHOW(ioctl(a, TCGETS, &limit));
    SHOW(ioctl(99, TCGETS, &limit));
    SHOW(fcntl(a, F_SETOWN, getpid()));
    SHOW(fcntl(a, F_GETOWN) == getpid());
    SHOW(fcntl(a, F_SETSIG, 10));
    SHOW(fcntl(a, F_GETSIG));
    SHOW(fcntl(a, F_SETSIG, 65));
    SHOW(fcntl(a, F_GETPIPE_SZ));
    SHOW(fcntl(a, 12345));
    SHOW(fcntl(99, F_GETFL));
    return 0;
}

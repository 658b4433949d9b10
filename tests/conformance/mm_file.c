/* Files in memory: private and shared mappings, truncation, what read and write see of them. */
#include "show.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define P 4096

static sigjmp_buf jump;
static int fault_code;

static void on_bus(int signal, siginfo_t *info, void *context)
{
    fault_code = info->si_code;
    siglongjmp(jump, signal);
}

static int touch(volatile char *p)
{
    int signal = sigsetjmp(jump, 1);

    if (!signal)
        (void)*p;
    return signal;
}

static int make_file(size_t size)
{
    int fd = open("mm_file.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char *bytes = malloc(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)('a' + i / P % 26);
    if (write(fd, bytes, size) != (ssize_t)size)
        printf("short write\n");
    free(bytes);
    return fd;
}

static void private_mapping(void)
{
    int fd = make_file(5 * P + 100);
    char byte, *p = mmap(NULL, 8 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

    printf("private: %c %c, after the end: %d\n", p[0], p[5 * P], p[5 * P + 100]);
    p[0] = 'X';
    SHOW(pread(fd, &byte, 1, 0));
    printf("file still %c\n", byte);
    printf("beyond: signal %d ", touch(p + 6 * P));
    printf("code %d\n", fault_code);
    SHOW(madvise(p, P, MADV_DONTNEED));
    printf("read again: %c\n", p[0]);
    munmap(p, 8 * P);
    p = mmap(NULL, P, PROT_READ, MAP_PRIVATE, fd, 4 * P);
    printf("offset: %c\n", p[0]);
    munmap(p, P);
    close(fd);
}

static void shared_mapping(void)
{
    int fd = make_file(4 * P);
    char text[8] = "", *p = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *q;

    memcpy(p + P, "hello", 5);
    SHOW(pread(fd, text, 5, P));
    printf("read sees: %s\n", text);
    SHOW(pwrite(fd, "WORLD", 5, 2 * P));
    printf("mapping sees: %.5s\n", p + 2 * P);
    q = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    printf("alias: %.5s %.5s\n", q + P, q + 2 * P);
    q[P] = 'J';
    printf("through the first: %.5s\n", p + P);
    p[P + 1] = 'E';
    printf("through the second: %.5s\n", q + P);
    SHOW(msync(p, 4 * P, MS_SYNC));
    munmap(q, 4 * P);
    printf("after: %.5s\n", p + P);
    munmap(p, 4 * P);
    SHOW(pread(fd, text, 5, P));
    printf("file keeps: %s\n", text);
    close(fd);
    fd = open("mm_file.tmp", O_RDONLY);
    SHOW(mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    p = mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 0);
    SHOW(mprotect(p, P, PROT_READ | PROT_WRITE));
    munmap(p, P);
    close(fd);
    fd = open("mm_file.tmp", O_WRONLY);
    SHOW(mmap(NULL, P, PROT_WRITE, MAP_PRIVATE, fd, 0));
    close(fd);
}

static void truncation(void)
{
    int fd = make_file(4 * P);
    char *p = mmap(NULL, 4 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    p[3 * P] = p[1] = p[200] = '!';
    SHOW(ftruncate(fd, 100));
    printf("tail of the last page: %d, kept: %c\n", p[200], p[1]);
    printf("cut: signal %d\n", touch(p + P));
    printf("cut: signal %d\n", touch(p + 3 * P));
    SHOW(ftruncate(fd, 4 * P));
    printf("grown: %d %d\n", p[3 * P], p[200]);
    munmap(p, 4 * P);
    close(fd);
}

/* What is stored behind the end of a file never becomes part of it, however it grows. */
static void growth(void)
{
    char byte, *p;
    for (int how = 0; how < 4; how++) {
        int fd = make_file(P);
        p = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        SHOW(ftruncate(fd, 100));
        p[101] = '!';
        if (how == 0)
            SHOW(ftruncate(fd, 2 * P));
        else if (how == 1)
            SHOW(pwrite(fd, "end", 3, 200));
        else if (how == 2)
            SHOW(fallocate(fd, 0, 0, 2 * P));
        else {
            munmap(p, P);
            p = MAP_FAILED;
            SHOW(ftruncate(fd, 2 * P));
        }
        SHOW(pread(fd, &byte, 1, 101));
        printf("grown %d: read %d, mapped %d\n", how, byte, p == MAP_FAILED ? 0 : p[101]);
        if (p != MAP_FAILED)
            munmap(p, P);
        close(fd);
    }
}

static void memfd(void)
{
    int fd = syscall(SYS_memfd_create, "test", 0);
    char *p, byte;

    SHOW(ftruncate(fd, 64 * P));
    p = mmap(NULL, 64 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (int i = 0; i < 64; i++)
        p[i * P] = (char)i;
    SHOW(pread(fd, &byte, 1, 63 * P));
    printf("%d\n", byte);
    close(fd);
    printf("mapping outlives the descriptor: %d\n", p[42 * P]);
    munmap(p, 64 * P);
    fd = open("/dev/zero", O_RDWR);
    p = mmap(NULL, 2 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    printf("/dev/zero: %d", p[0]);
    p[0] = 3;
    printf(" %d\n", p[0]);
    close(fd);
    fd = open("/dev/null", O_RDWR);
    SHOW(mmap(NULL, P, PROT_READ, MAP_PRIVATE, fd, 0));
    close(fd);
    fd = open("/", O_RDONLY);
    SHOW(mmap(NULL, P, PROT_READ, MAP_PRIVATE, fd, 0));
    close(fd);
}

static void own_program(void)
{
    int fd = open("/proc/self/exe", O_RDONLY);
    char head[4], *p = mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 0);

    SHOW(pread(fd, head, 4, 0));
    printf("same as read: %d\n", memcmp(p, head, 4) == 0 && memcmp(head, "\177ELF", 4) == 0);
    close(fd);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    private_mapping();
    shared_mapping();
    truncation();
    growth();
    memfd();
    own_program();
    unlink("mm_file.tmp");
    return 0;
}

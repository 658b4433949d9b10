/* memfd_create, seals, shared mappings of files. */
#include "show.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void seals(void)
{
    int plain = memfd_create("plain", 0);
    SHOW(fcntl(plain, F_GET_SEALS));
    SHOW(fcntl(plain, F_ADD_SEALS, F_SEAL_GROW));
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat st;
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fstat(fd, &st));
    printf("%o nlink %ld size %ld\n", st.st_mode & S_IFMT, (long)st.st_nlink, (long)st.st_size);
    char path[64], target[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    target[n > 0 ? n : 0] = 0;
    printf("%s\n", target);
    SHOW(write(fd, "0123456789", 10));
    SHOW(fcntl(fd, F_GET_SEALS));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    SHOW(ftruncate(fd, 20));
    SHOW(pwrite(fd, "x", 1, 10));
    SHOW(pwrite(fd, "x", 1, 9));
    SHOW(ftruncate(fd, 9));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    SHOW(ftruncate(fd, 5));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    SHOW(pwrite(fd, "x", 1, 0));
    SHOW((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    SHOW(fcntl(fd, F_GET_SEALS));
    SHOW(fcntl(fd, F_ADD_SEALS, 1 << 20));
    SHOW(memfd_create("x", 0x8000));
    char name[300];
    memset(name, 'm', 299);
    name[250] = 0;
    SHOW(memfd_create(name, 0));
    name[249] = 0;
    SHOW(memfd_create(name, 0) >= 0);
    SHOW(memfd_create((char *)8, 0));
}

static void mapping(int fd)
{
    SHOW(ftruncate(fd, 10000));
    char *p = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char buf[16] = "";
    SHOW(p != MAP_FAILED);
    memcpy(p + 4090, "through the map", 15);
    SHOW(pread(fd, buf, 15, 4090));
    printf("%s\n", buf);
    SHOW(pwrite(fd, "through the call", 16, 8000));
    printf("%.16s\n", p + 8000);
    char *q = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
    q[0] = 'Q';
    printf("%c\n", p[4096]);
    p[4097] = 'P';
    printf("%c\n", q[1]);
    char *r = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 4096);
    printf("%c\n", r[0]);
    r[0] = 'R';
    printf("%c %c\n", p[4096], r[0]);
    SHOW(msync(p, 12288, MS_SYNC));
    SHOW(munmap(p, 12288));
    SHOW(pread(fd, buf, 2, 4096));
    printf("%.2s\n", buf);
    q[2] = '!';
    SHOW(munmap(q, 4096));
    SHOW(pread(fd, buf, 3, 4096));
    printf("%.3s\n", buf);
    /* Cutting a mapped file, and growing it again. */
    p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memset(p, 'c', 8192);
    SHOW(ftruncate(fd, 100));
    SHOW(ftruncate(fd, 8192));
    printf("%d %d %d\n", p[99], p[100], p[5000]);
    p[5000] = 'z';
    SHOW(pread(fd, buf, 1, 5000));
    printf("%.1s\n", buf);
    munmap(p, 8192);
}

/* A program in a memfd runs although the descriptor that it was written by is open; opened anew for writing it keeps it
 * from that. */
static void execution(void)
{
    char *argv[] = {"fs_memfd", "from memory", NULL}, *envp[] = {NULL}, buf[4096], path[32];
    int fd = memfd_create("program", MFD_CLOEXEC), self = open("/proc/self/exe", O_RDONLY), status;
    for (ssize_t n; (n = read(self, buf, sizeof buf)) > 0;)
        if (write(fd, buf, n) != n)
            return;
    sprintf(path, "/proc/self/fd/%d", fd);
    for (int writer = -1, i = 0; i < 2; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            fexecve(fd, argv, envp);
            _exit(errno == ETXTBSY ? 26 : 1);
        }
        waitpid(pid, &status, 0);
        printf("executed: %x\n", status);
        writer = open(path, O_RDWR | O_CLOEXEC);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return 77;
    mkdir("fs_memfd", 0755);
    if (chdir("fs_memfd") < 0)
        return 1;
    seals();
    execution();
    mapping(memfd_create("map", 0));
    mapping(open("f", O_RDWR | O_CREAT, 0644));
    int ro = open("f", O_RDONLY);
    SHOW((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0));
    SHOW(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0) != MAP_FAILED);
    int wo = open("f", O_WRONLY);
    SHOW((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, wo, 0));
    SHOW((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, open(".", O_RDONLY), 0));
    SHOW((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, ro, 100));
    SHOW((long)mmap(NULL, 0, PROT_READ, MAP_SHARED, ro, 0));
    return 0;
}

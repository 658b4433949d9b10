/* Memory that processes share: anonymous and inherited, of files, of memfds, by shm_open. */
#define NEEDS_EDMM
#include "show.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PAGE 4096

static void *shared(size_t size)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static int wait_status(int pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

/* Turns: each process waits for its number, and passes the word on. */
static void turns(void)
{
    atomic_int *word = shared(PAGE);
    for (int me = 1; me <= 3; me++) {
        if (fork() == 0) {
            for (int round = 0; round < 20; round++) {
                while (atomic_load(word) != round * 3 + me - 1)
                    sched_yield();
                atomic_store(word, round * 3 + me);
            }
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        ;
    printf("turns: %d\n", atomic_load(word));
}

static void count(void)
{
    struct counts {
        atomic_int all;
        int each[4];
    } *c = shared(PAGE);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            for (int n = 0; n < 5000; n++) {
                atomic_fetch_add(&c->all, 1);
                c->each[i]++;
            }
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        ;
    printf("count: %d, each %d %d %d %d\n", atomic_load(&c->all), c->each[0], c->each[1], c->each[2], c->each[3]);
}

/* Many pages, written by one, read by another, and back. */
static void many_pages(void)
{
    const int pages = 300;
    unsigned char *m = shared(pages * PAGE);
    for (int i = 0; i < pages; i++)
        memset(m + i * PAGE, i, PAGE);
    int pid = fork();
    if (pid == 0) {
        int bad = 0;
        for (int i = 0; i < pages; i++) {
            for (int j = 0; j < PAGE; j++)
                bad += m[i * PAGE + j] != (unsigned char)i;
            m[i * PAGE + 7] = i + 1;
        }
        _exit(bad > 0);
    }
    printf("many pages: child %d", wait_status(pid));
    int bad = 0;
    for (int i = 0; i < pages; i++)
        bad += m[i * PAGE + 7] != (unsigned char)(i + 1) || m[i * PAGE + 8] != (unsigned char)i;
    printf(", bad %d\n", bad);
    SHOW(munmap(m, pages * PAGE));
}

/* A file that two processes map, and that is read and written besides. */
static void file(void)
{
    char buf[64] = "";
    int fd = open("shared-file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    SHOW(ftruncate(fd, 3 * PAGE));
    char *m = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    strcpy(m + 100, "parent");
    int pid = fork();
    if (pid == 0) {
        printf("child sees %s\n", m + 100);
        strcpy(m + PAGE, "child");
        pread(fd, buf, sizeof buf, PAGE);
        printf("child reads %s\n", buf);
        pwrite(fd, "written", 8, 2 * PAGE + 9);
        printf("child maps %s\n", m + 2 * PAGE + 9);
        int again = open("shared-file", O_RDONLY);
        char *r = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, again, 0);
        printf("child again %s %s\n", r + 100, r + PAGE);
        strcpy(m + PAGE, "twice");
        printf("child again %s\n", r + PAGE);
        SHOW(mprotect(r, PAGE, PROT_READ | PROT_WRITE));
        SHOW(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED ? -1 : 0);
        char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        printf("child private %s\n", p + PAGE);
        strcpy(p + PAGE, "private");
        printf("child shared still %s\n", m + PAGE);
        fflush(stdout);
        _exit(0);
    }
    printf("file: %d\n", wait_status(pid));
    printf("parent sees %s %s\n", m + PAGE, m + 2 * PAGE + 9);
    pread(fd, buf, sizeof buf, PAGE);
    printf("parent reads %s\n", buf);
    SHOW(msync(m, 3 * PAGE, MS_SYNC));
    SHOW(munmap(m, 3 * PAGE));
    close(fd);
    unlink("shared-file");
}

static sig_atomic_t faults;
static char *fault_page;
static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)context;
    faults++;
    printf("signal %d at +%ld\n", signal, (long)((char *)info->si_addr - fault_page));
    fflush(stdout);
    _exit(7);
}

/* What is cut off while others map it. */
static void truncated(void)
{
    int fd = memfd_create("cut", 0), go[2];
    char c;
    pipe(go);
    ftruncate(fd, 4 * PAGE);
    char *m = fault_page = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memset(m, 'x', 4 * PAGE);
    int pid = fork();
    if (pid == 0) {
        struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
        sigaction(SIGBUS, &action, NULL);
        memset(m, 'y', 4 * PAGE);
        write(go[1], "", 1);
        close(go[1]);
        while (*(volatile char *)(m + PAGE + 200) != 0)
            sched_yield();
        printf("cut: %c %d\n", m[PAGE + 99], m[PAGE + 100]);
        fflush(stdout);
        m[3 * PAGE + 5] = 1;
        _exit(0);
    }
    read(go[0], &c, 1);
    SHOW(ftruncate(fd, PAGE + 100));
    printf("truncated: %d\n", wait_status(pid));
    SHOW(ftruncate(fd, 4 * PAGE));
    printf("%c %d %d\n", m[PAGE + 99], m[PAGE + 100], m[3 * PAGE]);
    close(fd);
    munmap(m, 4 * PAGE);
}

static void send_fd(int socket, int fd)
{
    char control[CMSG_SPACE(sizeof fd)] = "", byte = 'f';
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    *CMSG_FIRSTHDR(&m) = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof fd);
    sendmsg(socket, &m, 0);
}

static int receive_fd(int socket)
{
    char control[CMSG_SPACE(sizeof(int))], byte;
    int fd;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    recvmsg(socket, &m, 0);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}

/* A memfd made by one child, sent to another, mapped by both. */
static void passed(void)
{
    int s[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    int one = fork();
    if (one == 0) {
        int fd = memfd_create("passed", 0);
        ftruncate(fd, PAGE);
        atomic_int *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        atomic_store(m, 41);
        send_fd(s[0], fd);
        while (atomic_load(m) != 42)
            sched_yield();
        atomic_store(m, 43);
        _exit(0);
    }
    int two = fork();
    if (two == 0) {
        int fd = receive_fd(s[1]);
        atomic_int *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        int first = atomic_load(m);
        atomic_store(m, 42);
        while (atomic_load(m) != 43)
            sched_yield();
        _exit(first);
    }
    printf("passed: %d %d\n", wait_status(one), WEXITSTATUS(wait_status(two)));
    close(s[0]);
    close(s[1]);
}

static void named(void)
{
    int fd = shm_open("/conformance", O_RDWR | O_CREAT | O_EXCL, 0600);
    SHOW(ftruncate(fd, PAGE));
    close(fd);
    int pid = fork();
    if (pid == 0) {
        int mine = shm_open("/conformance", O_RDWR, 0);
        char *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mine, 0);
        strcpy(m, "by name");
        _exit(0);
    }
    printf("named: %d\n", wait_status(pid));
    fd = shm_open("/conformance", O_RDONLY, 0);
    char *m = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    printf("%s\n", m);
    SHOW(shm_unlink("/conformance"));
    close(fd);
}

/* One that is killed gives back what it had written. */
static void killed(void)
{
    char *m = shared(64 * PAGE);
    int pipe_fd[2], status;
    char c;
    pipe(pipe_fd);
    int pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 64; i++)
            m[i * PAGE] = i + 1;
        write(pipe_fd[1], "", 1);
        for (;;)
            pause();
    }
    read(pipe_fd[0], &c, 1);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    int bad = 0;
    for (int i = 0; i < 64; i++)
        bad += m[i * PAGE] != i + 1;
    printf("killed: signal %d, bad %d\n", WTERMSIG(status), bad);
}

/* Moved, cut and protected by one process, used by the other. */
static void moved(void)
{
    char *m = shared(8 * PAGE);
    int pid = fork();
    if (pid == 0) {
        memset(m, 'c', 8 * PAGE);
        char *place = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        char *to = mremap(m, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
        int ok = to == place && to[5 * PAGE] == 'c';
        ok &= munmap(to + 2 * PAGE, 2 * PAGE) == 0;
        ok &= mprotect(to, PAGE, PROT_READ) == 0 && to[0] == 'c';
        ok &= mprotect(to, PAGE, PROT_NONE) == 0;
        _exit(!ok);
    }
    printf("moved: %d", wait_status(pid));
    int bad = 0;
    for (int i = 0; i < 8 * PAGE; i++)
        bad += m[i] != 'c';
    printf(", bad %d\n", bad);
}

/* A grandchild shares with its grandparent; a system call reads and writes shared memory. */
static void deep(void)
{
    char *m = shared(2 * PAGE);
    int p[2], pid = fork();
    if (pid == 0) {
        pipe(p);
        strcpy(m, "from the child");
        if (fork() == 0) {
            read(p[0], m + PAGE - 4, 16);
            _exit(0);
        }
        write(p[1], m, 15);
        wait(NULL);
        _exit(0);
    }
    printf("deep: %d, %s\n", wait_status(pid), m + PAGE - 4);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    turns();
    count();
    many_pages();
    file();
    truncated();
    passed();
    named();
    killed();
    moved();
    deep();
    return 0;
}

/* Writable shared mappings of files in several processes: what each writes the others see, and the file has it. */
#define NEEDS_EDMM
#define NOT_IN_FOLDERS /* ENODEV there, in processes other than the first */
#include "show.h"

#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PAGE 4096

static atomic_int *stage; /* what the processes go by */

static void reach(int n)
{
    atomic_store(stage, n);
}

static void await(int n)
{
    while (atomic_load(stage) < n)
        usleep(200);
}

static int start(void)
{
    fflush(stdout);
    atomic_store(stage, 0);
    return fork();
}

static void finish(int pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    printf("child: %s %d\n", WIFSIGNALED(status) ? "signal" : "exit",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    fflush(stdout);
}

static int make(const char *name, off_t size)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, size) < 0)
        perror(name);
    return fd;
}

static char *map(int fd, size_t size)
{
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        printf("mmap: %s\n", strerrorname_np(errno));
    return p;
}

static sigjmp_buf back;

static void on_bus(int signal)
{
    siglongjmp(back, signal);
}

static void touch(const char *what, volatile char *p)
{
    signal(SIGBUS, on_bus);
    int r = sigsetjmp(back, 1);
    if (r == 0)
        *p = *p + 1;
    printf("%s: %s\n", what, r ? "SIGBUS" : "there");
    signal(SIGBUS, SIG_DFL);
}

/* A child that opens the file itself, and its parent, with and without mappings of their own. */
static void coherence(void)
{
    int fd = make("coherent", 8 * PAGE), pid;
    char buf[64] = "";
    pwrite(fd, "written before", 14, PAGE);
    if ((pid = start()) == 0) {
        int own = open("coherent", O_RDWR);
        char *p = map(own, 8 * PAGE);
        close(own);
        printf("found %.14s, %d\n", p + PAGE, p[0]);
        strcpy(p, "of the child");
        strcpy(p + 3 * PAGE + 100, "in a hole");
        reach(1);
        await(2);
        printf("sees %s, %s, %s\n", p, p + 2 * PAGE, p + 8 * PAGE - 10);
        fflush(stdout);
        p[5 * PAGE] = 'x';
        reach(3);
        await(4);
        printf("and then %s\n", p + 3 * PAGE + 100);
        fflush(stdout);
        _exit(0);
    }
    await(1);
    SHOW(pread(fd, buf, 12, 0));
    printf("read %s\n", buf);
    pread(fd, buf, 20, 3 * PAGE + 98);
    printf("read %s\n", buf + 2);
    pwrite(fd, "OF", 2, 0);
    pwrite(fd, "two pages", 10, 2 * PAGE);
    pwrite(fd, "the end", 8, 8 * PAGE - 10);
    char *p = map(fd, 8 * PAGE);
    reach(2);
    await(3);
    printf("mapped %s, %c\n", p, p[5 * PAGE]);
    strcpy(p + 3 * PAGE + 100, "from above");
    reach(4);
    finish(pid);
    pread(fd, buf, 20, 3 * PAGE + 100);
    printf("after: %s, %s\n", buf, p);
    munmap(p, 8 * PAGE);
    SHOW(pread(fd, buf, 20, 0));
    printf("unmapped: %s\n", buf);
    close(fd);
}

/* Two children and their parent count in the same words, while somebody writes beside them. */
static void counting(void)
{
    int fd = make("counters", 4 * PAGE), children[3];
    atomic_int *all = (atomic_int *)map(fd, 4 * PAGE);
    for (int i = 0; i < 3; i++) {
        if ((children[i] = start()) == 0) {
            int own = open("counters", O_RDWR);
            atomic_int *words = i ? (atomic_int *)map(own, 4 * PAGE) : all; /* the first has its parent's mapping */
            for (int n = 0; n < 3000; n++)
                atomic_fetch_add(words + (n % 4) * 1024 + 1, 1);
            _exit(0);
        }
    }
    for (int n = 0; n < 200; n++) {
        char byte = (char)n;
        pwrite(fd, &byte, 1, (n % 4) * PAGE + 100);
        atomic_fetch_add(all + 2, 1);
        if (n % 50 == 0)
            fsync(fd);
    }
    for (int i = 0; i < 3; i++)
        finish(children[i]);
    printf("counted %d %d %d %d; %d\n", all[1], all[1025], all[2049], all[3073], all[2]);
    munmap(all, 4 * PAGE);
    int word = 0;
    pread(fd, &word, 4, PAGE + 4);
    printf("in the file %d\n", word);
    close(fd);
}

/* Words of a file that processes wait at, and one that is killed while it waits. */
static void waiting(void)
{
    int fd = make("words", PAGE), pid, sleeper;
    sem_t *sems = (sem_t *)map(fd, PAGE);
    sem_init(sems, 1, 0);
    sem_init(sems + 1, 1, 0);
    if ((pid = start()) == 0) {
        sem_t *own = (sem_t *)map(fd, PAGE);
        for (int i = 0; i < 20; i++) {
            sem_wait(own);
            sem_post(own + 1);
        }
        _exit(0);
    }
    for (int i = 0; i < 20; i++) {
        sem_post(sems);
        sem_wait(sems + 1);
    }
    finish(pid);
    if ((sleeper = start()) == 0) {
        reach(1);
        sem_wait(sems);
        _exit(0);
    }
    await(1);
    usleep(10000);
    kill(sleeper, SIGKILL);
    finish(sleeper);
    SHOW(sem_trywait(sems));
    close(fd);
}

static void syncing(void)
{
    int fd = make("synced", 4 * PAGE), pid;
    if ((pid = start()) == 0) {
        char *p = map(fd, 4 * PAGE);
        memset(p, 'a', 4 * PAGE);
        SHOW(msync(p, PAGE, MS_SYNC));
        SHOW(msync(p, 4 * PAGE, MS_ASYNC));
        SHOW(fsync(fd));
        memset(p + PAGE, 'b', PAGE);
        SHOW(msync(p, 4 * PAGE, MS_SYNC | MS_INVALIDATE));
        p[PAGE] = 'c';
        reach(1);
        pause();
    }
    await(1);
    char buf[2] = "";
    pread(fd, buf, 1, PAGE);
    printf("read %s\n", buf);
    SHOW(fsync(fd));
    SHOW(syncfs(fd));
    kill(pid, SIGKILL);
    finish(pid);
    pread(fd, buf, 1, PAGE);
    printf("read %s\n", buf);
    close(fd);
}

static void cutting(void)
{
    int fd = make("cut", 4 * PAGE), pid;
    if ((pid = start()) == 0) {
        char *p = map(fd, 6 * PAGE);
        memset(p, 'a', 4 * PAGE);
        touch("beyond the end", p + 4 * PAGE);
        reach(1);
        await(2);
        touch("where it was cut", p + PAGE + 10);
        printf("%d %d\n", p[PAGE + 99], p[PAGE + 100]);
        touch("cut off", p + 2 * PAGE);
        p[PAGE + 200] = 'z'; /* not of the file */
        fflush(stdout);
        reach(3);
        await(4);
        printf("%d %d %d %d\n", p[PAGE + 99], p[PAGE + 100], p[PAGE + 200], p[2 * PAGE]);
        touch("again", p + 3 * PAGE);
        fflush(stdout);
        reach(5);
        await(6);
        printf("%d %d %d\n", p[0], p[5], p[3 * PAGE]);
        fflush(stdout);
        _exit(0);
    }
    await(1);
    SHOW(ftruncate(fd, PAGE + 100));
    reach(2);
    await(3);
    SHOW(ftruncate(fd, 5 * PAGE));
    reach(4);
    await(5);
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5, 4 * PAGE));
    reach(6);
    finish(pid);
    close(fd);
}

/* What a process wrote that is killed is there. */
static void killed(void)
{
    int fd = make("killed", 16 * PAGE), writer, reader;
    char *p = map(fd, 16 * PAGE);
    if ((writer = start()) == 0) {
        for (int i = 0; i < 16; i++)
            memset(p + i * PAGE, 'A' + i, PAGE);
        reach(1);
        pause();
    }
    await(1);
    kill(writer, SIGKILL);
    finish(writer);
    for (int i = 0; i < 16; i += 5)
        printf("%c%c ", p[i * PAGE], p[i * PAGE + PAGE - 1]);
    printf("\n");
    if ((reader = start()) == 0) {
        int own = open("killed", O_RDONLY);
        const char *q = mmap(NULL, 16 * PAGE, PROT_READ, MAP_SHARED, own, 0);
        printf("read only: %c%c\n", q[PAGE], q[15 * PAGE]);
        SHOW(mprotect((void *)q, PAGE, PROT_READ | PROT_WRITE));
        reach(1);
        await(2);
        printf("and: %c%c\n", q[PAGE], q[2 * PAGE]);
        fflush(stdout);
        _exit(0);
    }
    await(1);
    p[PAGE] = '!';
    pwrite(fd, "?", 1, 2 * PAGE);
    reach(2);
    finish(reader);
    close(fd);
}

/* A file without a name, mapped by parent, child and grandchild. */
static void nameless(void)
{
    int fd = make("gone", 2 * PAGE), pid, status;
    struct stat st;
    if ((pid = start()) == 0) {
        char *p = map(fd, 2 * PAGE);
        close(fd);
        SHOW(unlink("gone"));
        strcpy(p, "nobody's");
        fflush(stdout);
        int grandchild = fork();
        if (grandchild == 0) {
            strcpy(p + PAGE, p);
            p[0] = 'N';
            _exit(0);
        }
        waitpid(grandchild, &status, 0);
        printf("%s %s\n", p, p + PAGE);
        SHOW(msync(p, 2 * PAGE, MS_SYNC));
        _exit(0);
    }
    finish(pid);
    char buf[20];
    SHOW(fstat(fd, &st));
    pread(fd, buf, 20, PAGE);
    printf("%d links, %s\n", (int)st.st_nlink, buf);
    close(fd);
}

/* More pages than are kept anywhere at once, and exec over a mapping. */
static void large(void)
{
    int pages = 1500, pid, fd = make("large", (off_t)pages * PAGE);
    if ((pid = start()) == 0) {
        char *p = map(fd, (size_t)pages * PAGE);
        for (int i = 0; i < pages; i++)
            memset(p + (size_t)i * PAGE, i % 251, 100);
        SHOW(msync(p, (size_t)pages * PAGE, MS_SYNC));
        for (int i = 0; i < pages; i += 7)
            p[(size_t)i * PAGE + 1] = 1;
        execl("/t/busybox", "busybox", "true", NULL);
        _exit(9);
    }
    finish(pid);
    int wrong = 0;
    for (int i = 0; i < pages; i++) {
        unsigned char buf[3];
        pread(fd, buf, 3, (off_t)i * PAGE);
        wrong += buf[0] != i % 251 || buf[1] != (i % 7 ? i % 251 : 1) || buf[2] != i % 251;
    }
    printf("%d wrong\n", wrong);
    close(fd);
}

int main(void)
{
    stage = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    setvbuf(stdout, NULL, _IOFBF, 8192);
    coherence();
    counting();
    waiting();
    syncing();
    cutting();
    killed();
    nameless();
    large();
    return 0;
}

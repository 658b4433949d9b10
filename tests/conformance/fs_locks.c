/* Record locks, description locks, flock. */
#include "show.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int lock(int fd, int command, int type, long start, long length)
{
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &fl);
}

static void query(int fd, int command, int type, long start, long length)
{
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    if (fcntl(fd, command, &fl) < 0)
        printf("query: %s\n", strerrorname_np(errno));
    else
        printf("query: type %d start %ld length %ld pid %s\n", fl.l_type, (long)fl.l_start, (long)fl.l_len,
               fl.l_pid == -1         ? "-1"
               : fl.l_pid == getpid() ? "self"
                                      : "other");
}

static int fds[2];

static void *waiter(void *arg)
{
    printf("waits\n");
    SHOW(lock(fds[1], F_OFD_SETLKW, F_WRLCK, 0, 10));
    SHOW(flock(fds[1], LOCK_EX));
    return arg;
}

/* Two processes that would wait for each other for ever. */
static void deadlock(void)
{
    int fd = open("deadlock", O_RDWR | O_CREAT, 0644), go[2];
    char byte;
    SHOW(pipe(go));
    SHOW(lock(fd, F_SETLK, F_WRLCK, 0, 10));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        lock(fd, F_SETLK, F_WRLCK, 20, 10);
        if (write(go[1], "x", 1) != 1)
            _exit(2);
        _exit(lock(fd, F_SETLKW, F_WRLCK, 5, 1) < 0);
    }
    if (read(go[0], &byte, 1) != 1)
        return;
    usleep(100000);
    SHOW(lock(fd, F_SETLKW, F_RDLCK, 29, 1));
    SHOW(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    int status;
    waitpid(pid, &status, 0);
    printf("the other one: %x\n", status);
    SHOW(lock(fd, F_SETLKW, F_RDLCK, 29, 1));
    close(fd);
}

int main(void)
{
    mkdir("fs_locks", 0755);
    if (chdir("fs_locks") < 0)
        return 1;
    int a = open("f", O_RDWR | O_CREAT, 0644), b = open("f", O_RDWR), ro = open("f", O_RDONLY),
        wo = open("f", O_WRONLY);
    /* POSIX locks of one process do not conflict. */
    SHOW(lock(a, F_SETLK, F_WRLCK, 0, 100));
    SHOW(lock(b, F_SETLK, F_WRLCK, 50, 100));
    query(a, F_GETLK, F_WRLCK, 0, 0);
    /* They do with description locks. */
    SHOW(lock(b, F_OFD_SETLK, F_RDLCK, 0, 10));
    query(b, F_OFD_GETLK, F_RDLCK, 0, 0);
    SHOW(lock(a, F_SETLK, F_UNLCK, 20, 10));
    SHOW(lock(b, F_OFD_SETLK, F_WRLCK, 20, 10));
    SHOW(lock(b, F_OFD_SETLK, F_WRLCK, 20, 11));
    query(a, F_GETLK, F_RDLCK, 0, 0);
    SHOW(lock(a, F_SETLK, F_UNLCK, 0, 0));
    SHOW(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
    SHOW(lock(a, F_OFD_SETLK, F_RDLCK, 1000000, 1));
    query(a, F_OFD_GETLK, F_RDLCK, 0, 0);
    SHOW(lock(b, F_OFD_SETLK, F_RDLCK, 5, 5));
    query(a, F_OFD_GETLK, F_RDLCK, 5, 5);
    query(a, F_OFD_GETLK, F_WRLCK, 5, 5);
    SHOW(lock(b, F_OFD_SETLK, F_UNLCK, 0, 0));
    query(a, F_OFD_GETLK, F_WRLCK, 0, 0);
    /* Closing any descriptor of the file drops the process's locks. */
    SHOW(lock(a, F_SETLK, F_WRLCK, 0, 0));
    SHOW(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
    close(open("f", O_RDONLY));
    SHOW(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
    int c = dup(b);
    close(b);
    SHOW(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0));
    close(c);
    SHOW(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0));
    SHOW(lock(a, F_OFD_SETLK, F_UNLCK, 0, 0));
    /* Refusals. */
    SHOW(lock(ro, F_SETLK, F_WRLCK, 0, 0));
    SHOW(lock(wo, F_SETLK, F_RDLCK, 0, 0));
    SHOW(lock(99, F_SETLK, F_RDLCK, 0, 0));
    SHOW(lock(a, F_SETLK, 7, 0, 0));
    SHOW(lock(a, F_SETLK, F_RDLCK, -1, 0));
    SHOW(lock(a, F_SETLK, F_RDLCK, 10, -5));
    SHOW(lock(a, F_SETLK, F_RDLCK, 3, -5));
    SHOW(fcntl(a, F_SETLK, (void *)8));
    struct flock fl = {.l_type = F_RDLCK, .l_pid = 5};
    SHOW(fcntl(a, F_OFD_SETLK, &fl));
    close(open("f", O_RDONLY));
    /* flock: by description. */
    b = open("f", O_RDWR);
    SHOW(flock(a, LOCK_SH));
    SHOW(flock(b, LOCK_SH | LOCK_NB));
    SHOW(flock(b, LOCK_EX | LOCK_NB));
    SHOW(flock(a, LOCK_UN));
    SHOW(flock(b, LOCK_EX | LOCK_NB));
    SHOW(flock(a, LOCK_SH | LOCK_NB));
    SHOW(flock(a, 0));
    SHOW(flock(a, 64));
    close(b);
    SHOW(flock(a, LOCK_EX | LOCK_NB));
    /* Waiting. */
    fds[0] = a;
    fds[1] = open("f", O_RDWR);
    SHOW(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0));
    pthread_t thread;
    pthread_create(&thread, NULL, waiter, NULL);
    usleep(50000);
    printf("lets go\n");
    fflush(stdout);
    SHOW(flock(a, LOCK_UN));
    lock(a, F_OFD_SETLK, F_UNLCK, 0, 0);
    pthread_join(thread, NULL);
    deadlock();
    return 0;
}

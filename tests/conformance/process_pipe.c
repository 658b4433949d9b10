/* What processes share: pipes, offsets, appends, locks, descriptors passed, and signals from one to another. */
#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

static void status(const char *what, int pid)
{
    int s = 0;
    if (waitpid(pid, &s, 0) != pid)
        printf("%s: not waited for\n", what);
    else if (WIFEXITED(s))
        printf("%s: exit %d\n", what, WEXITSTATUS(s));
    else
        printf("%s: signal %d\n", what, WTERMSIG(s));
    fflush(stdout);
}

static int child(void)
{
    fflush(stdout);
    return fork();
}

static void pipes(void)
{
    int there[2], back[2];
    char text[64] = "";
    pipe(there);
    pipe(back);
    int pid = child();
    if (pid == 0) {
        close(there[1]);
        close(back[0]);
        ssize_t n, total = 0;
        char buf[1000];
        while ((n = read(there[0], buf, sizeof buf)) > 0) {
            for (ssize_t i = 0; i < n; i++)
                total += buf[i];
        }
        dprintf(back[1], "sum %zd", total);
        _exit(1);
    }
    close(there[0]);
    close(back[1]);
    char block[100000];
    memset(block, 3, sizeof block);
    ssize_t sent = 0;
    for (int i = 0; i < 10; i++)
        sent += write(there[1], block, sizeof block);
    close(there[1]);
    read(back[0], text, sizeof text);
    printf("pipe: sent %zd, %s\n", sent, text);
    SHOW(read(back[0], text, sizeof text)); /* end: the child is gone */
    close(back[0]);
    status("pipe", pid);

    signal(SIGPIPE, SIG_IGN);
    pipe(there);
    pid = child();
    if (pid == 0)
        _exit(0);
    status("reader", pid);
    close(there[0]);
    SHOW(write(there[1], "x", 1));
    close(there[1]);
    signal(SIGPIPE, SIG_DFL);
}

/* As <(...) of a shell: by the time it is opened the writer may be gone. */
static void opened_again(void)
{
    int p[2];
    char path[64], text[16] = "";
    pipe(p);
    int pid = child();
    if (pid == 0) {
        write(p[1], "left behind", 11);
        _exit(0);
    }
    status("writer", pid);
    close(p[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
    int fd = open(path, O_RDONLY);
    SHOW(fd >= 0);
    SHOW(read(fd, text, sizeof text - 1));
    printf("%s\n", text);
    SHOW(read(fd, text, 1));
    close(fd);
    close(p[0]);
}

static void broken_pipe(void)
{
    int p[2];
    pipe(p);
    int pid = child();
    if (pid == 0) {
        close(p[0]);
        for (;;)
            write(p[1], "x", 1);
    }
    char c;
    close(p[1]);
    read(p[0], &c, 1);
    close(p[0]);
    status("SIGPIPE", pid);
}

static void offsets(void)
{
    char text[100] = "";
    int fd = open("/tmp/shared-offset", O_CREAT | O_TRUNC | O_RDWR, 0600);
    write(fd, "0123456789", 10);
    lseek(fd, 2, SEEK_SET);
    int pid = child();
    if (pid == 0) {
        char bytes[4] = "";
        read(fd, bytes, 3);
        _exit(bytes[0] == '2' && lseek(fd, 0, SEEK_CUR) == 5);
    }
    status("offset", pid);
    SHOW(lseek(fd, 0, SEEK_CUR));
    close(fd);

    fd = open("/tmp/shared-append", O_CREAT | O_TRUNC | O_RDWR | O_APPEND, 0600);
    int pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = child();
        if (pids[i] == 0) {
            for (int k = 0; k < 50; k++)
                dprintf(fd, "%c%c%c%c%c%c%c\n", 'a' + i, 'a' + i, 'a' + i, 'a' + i, 'a' + i, 'a' + i, 'a' + i);
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++)
        status("append", pids[i]);
    int whole = 0, lines = 0;
    FILE *f = fopen("/tmp/shared-append", "r");
    while (fgets(text, sizeof text, f)) {
        lines++;
        whole += strlen(text) == 8 && text[0] == text[6];
    }
    fclose(f);
    printf("append: %d lines, %d whole\n", lines, whole);
    close(fd);
}

static void locks(void)
{
    int fd = open("/tmp/shared-lock", O_CREAT | O_TRUNC | O_RDWR, 0600), ready[2];
    pipe(ready);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    SHOW(fcntl(fd, F_SETLK, &lock));
    int parent = getpid(), pid = child();
    if (pid == 0) {
        struct flock other = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
        SHOW(fcntl(fd, F_SETLK, &other));
        fcntl(fd, F_GETLK, &other);
        printf("held by the parent %d\n", other.l_pid == parent);
        fflush(stdout);
        write(ready[1], "x", 1);
        other = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
        SHOW(fcntl(fd, F_SETLKW, &other));
        _exit(0);
    }
    char c;
    read(ready[0], &c, 1);
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    lock.l_type = F_UNLCK;
    fcntl(fd, F_SETLK, &lock);
    status("record lock", pid);

    SHOW(flock(fd, LOCK_EX));
    pid = child();
    if (pid == 0) {
        int other = open("/tmp/shared-lock", O_RDWR);
        SHOW(flock(other, LOCK_EX | LOCK_NB));
        SHOW(flock(fd, LOCK_EX | LOCK_NB)); /* the same open file */
        _exit(0);
    }
    status("flock", pid);
    close(fd);
}

static void passing(void)
{
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    int pid = child();
    if (pid == 0) {
        int fd = open("/tmp/passed", O_CREAT | O_TRUNC | O_RDWR, 0600);
        write(fd, "from the child", 14);
        char space[CMSG_SPACE(sizeof fd)] = "";
        struct iovec iov = {"f", 1};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
        sendmsg(pair[1], &m, 0);
        _exit(0);
    }
    char space[CMSG_SPACE(sizeof(int))] = "", byte, text[32] = "";
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    SHOW(recvmsg(pair[0], &m, 0));
    int fd = *(int *)CMSG_DATA(CMSG_FIRSTHDR(&m));
    pread(fd, text, sizeof text - 1, 0);
    printf("passed: %s, offset %ld\n", text, (long)lseek(fd, 0, SEEK_CUR));
    status("passing", pid);
}

static volatile int caught, caught_pid, caught_value;
static void catch (int signal, siginfo_t *info, void *context)
{
    caught = signal;
    caught_pid = info->si_pid;
    caught_value = info->si_value.sival_int;
}

static void until_caught(int signal)
{
    for (int i = 0; i < 2000 && caught != signal; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void signals(void)
{
    struct sigaction action = {.sa_sigaction = catch, .sa_flags = SA_SIGINFO};
    int ready[2];
    char c;
    pipe(ready);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGRTMIN, &action, NULL);
    int parent = getpid(), pid = child();
    if (pid == 0) {
        write(ready[1], "x", 1);
        until_caught(SIGUSR1);
        int first = caught_pid == parent;
        until_caught(SIGRTMIN);
        printf("child: signals %d %d, value %d\n", first, caught == SIGRTMIN, caught_value);
        fflush(stdout);
        caught = 0;
        sigqueue(parent, SIGUSR1, (union sigval){7});
        pause();
        _exit(0);
    }
    read(ready[0], &c, 1);
    kill(pid, SIGUSR1);
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    sigqueue(pid, SIGRTMIN, (union sigval){77});
    until_caught(SIGUSR1);
    printf("parent: signal from the child %d, value %d\n", caught_pid == pid, caught_value);
    kill(pid, SIGTERM);
    status("SIGTERM", pid);
    SHOW(kill(pid, 0));

    pid = child();
    if (pid == 0)
        for (;;)
            ; /* no system calls */
    SHOW(kill(pid, 0));
    kill(pid, SIGKILL);
    status("SIGKILL", pid);

    pid = child();
    if (pid == 0)
        for (;;)
            pause();
    int s;
    kill(pid, SIGSTOP);
    SHOW(waitpid(pid, &s, WUNTRACED) == pid && WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP);
    kill(pid, SIGCONT);
    SHOW(waitpid(pid, &s, WCONTINUED) == pid && WIFCONTINUED(s));
    kill(pid, SIGINT);
    status("SIGINT", pid);
}

static volatile int chld;
static void on_chld(int signal)
{
    chld++;
}

static void sigchld(void)
{
    signal(SIGCHLD, on_chld);
    int pid = child();
    if (pid == 0)
        _exit(4);
    for (int i = 0; i < 2000 && !chld; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    printf("SIGCHLD %d\n", chld);
    status("with handler", pid);
    signal(SIGCHLD, SIG_IGN);
    pid = child();
    if (pid == 0)
        _exit(4);
    int s;
    SHOW(waitpid(pid, &s, 0));
    signal(SIGCHLD, SIG_DFL);
}

/* One large write goes whole to whoever reads slowly, and one large read is whole where there is no end. */
static void large(void)
{
    static char block[3 << 20];
    int socket[2], end[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, socket);
    for (int round = 0; round < 3; round++) {
        struct iovec parts[] = {{block, 1 << 20}, {block + (1 << 20), 2 << 20}};
        pipe(end);
        int out = round == 1 ? socket[1] : end[1], in = round == 1 ? socket[0] : end[0];
        int writer = child();
        if (writer == 0)
            _exit((round == 2 ? writev(out, parts, 2) : write(out, block, sizeof block)) == sizeof block);
        int reader = child();
        if (reader == 0) {
            ssize_t n, total = 0;
            char buf[70000];
            close(end[1]), close(socket[1]);
            while (total < (ssize_t)sizeof block && (n = read(in, buf, sizeof buf)) > 0)
                total += n;
            _exit(total == sizeof block);
        }
        close(end[0]), close(end[1]);
        status("large write", writer);
        status("and read", reader);
    }
    socketpair(AF_UNIX, SOCK_STREAM, 0, socket);
    int sender = child();
    if (sender == 0)
        _exit(send(socket[1], block, sizeof block, MSG_NOSIGNAL) == sizeof block);
    int receiver = child();
    if (receiver == 0)
        _exit(recv(socket[0], block, sizeof block, MSG_WAITALL) == sizeof block);
    close(socket[0]), close(socket[1]);
    status("large send", sender);
    status("and receive", receiver);
    int reader = child();
    if (reader == 0)
        _exit(read(open("/dev/zero", O_RDONLY), block, sizeof block) == sizeof block &&
              read(open("/dev/urandom", O_RDONLY), block, sizeof block) == sizeof block);
    status("large reads", reader);
}

int main(void)
{
    pipes();
    large();
    opened_again();
    broken_pipe();
    offsets();
    locks();
    passing();
    signals();
    sigchld();
    return 0;
}

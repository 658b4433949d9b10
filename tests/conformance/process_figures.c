/* What /proc says of a process made by fork, to its parent; and of the parent, to it. */
#include "show.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static char text[65536];

static int slurp(int pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY), size = 0, n;
    while (fd >= 0 && (n = read(fd, text + size, sizeof text - 1 - size)) > 0)
        size += n;
    close(fd);
    text[size] = 0;
    return fd < 0 ? -1 : size;
}

static void line(int pid, const char *key)
{
    slurp(pid, "status");
    const char *at = strstr(text, key);
    printf("%.*s\n", at ? (int)strcspn(at, "\n") : 7, at ? at : "missing");
    fflush(stdout);
}

/* Field n of stat, as proc(5) counts. */
static unsigned long field(int pid, int n)
{
    slurp(pid, "stat");
    char *at = strrchr(text, ')');
    for (int i = 2; at && i < n; i++)
        at = strchr(at + 1, ' ');
    return !at ? 0 : n == 3 ? at[1] : strtoul(at, NULL, 10);
}

static void threads(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    struct dirent *entry;
    for (int tid; dir && (entry = readdir(dir));) {
        if ((tid = atoi(entry->d_name)) == 0)
            continue;
        snprintf(path, sizeof path, "task/%d/comm", tid);
        slurp(pid, path);
        printf("thread %s %.*s", tid == pid ? "first" : "other", (int)sizeof text, text);
        snprintf(path, sizeof path, "task/%d/stat", tid);
        slurp(pid, path);
        printf("its stat %d %s\n", atoi(text) == tid, strchr(text, '(') ? strtok(strchr(text, '('), ")") : "");
        snprintf(path, sizeof path, "task/%d/status", tid);
        slurp(pid, path);
        printf("its status %d\n", strstr(text, "Pid:") && atoi(strstr(text, "\nPid:") + 5) == tid);
    }
    closedir(dir);
    snprintf(path, sizeof path, "/proc/%d/task/%d", pid, 1000000);
    SHOW(access(path, F_OK));
    fflush(stdout);
}

static int comes_to_sleep(int pid)
{
    for (int i = 0; i < 1000 && field(pid, 3) != 'S'; i++)
        usleep(1000);
    return field(pid, 3) == 'S';
}

static void nothing(int signal)
{
}

static void *wait_for_ever(void *arg)
{
    for (;;)
        pause();
}

static void burn(double seconds)
{
    struct timespec now;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while (now.tv_sec + now.tv_nsec / 1e9 < seconds);
}

static void child(int to_parent, int from_parent)
{
    sigset_t set;
    pthread_t thread;
    char byte;
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, nothing);
    signal(SIGINT, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pthread_create(&thread, NULL, wait_for_ever, NULL);
    SHOW(pthread_setname_np(thread, "the worker"));
    write(to_parent, "a", 1);
    read(from_parent, &byte, 1);
    burn(0.3);
    printf("own state %c\n", (char)field(getpid(), 3));
    fflush(stdout);
    write(to_parent, "b", 1);
    for (;;)
        burn(1e9);
}

int main(int argc, char **argv)
{
    int up[2], down[2];
    char byte;
    signal(SIGINT, SIG_IGN);
    pipe(up);
    pipe(down);
    int pid = fork();
    if (pid == 0)
        child(up[1], down[0]);
    read(up[0], &byte, 1);
    line(pid, "SigIgn:");
    line(pid, "SigBlk:");
    slurp(pid, "status");
    const char *caught = strstr(text, "SigCgt:"); /* others are the C library's */
    printf("caught: %d\n", caught && strtoull(caught + 7, NULL, 16) >> (SIGUSR2 - 1) & 1);
    line(pid, "Threads:");
    threads(pid);
    printf("asleep %d\n", comes_to_sleep(pid));
    write(down[1], "a", 1);
    read(up[0], &byte, 1);
    printf("runs %d, used %d, threads %lu\n", (char)field(pid, 3) == 'R', field(pid, 14) + field(pid, 15) >= 20,
           field(pid, 20));
    printf("stack and arguments known %d %d\n", field(pid, 28) != 0, field(pid, 48) == field(1, 48));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);

    setenv("LATER", "x", 1);
    fflush(stdout);
    if (fork() == 0) {
        printf("cmdline of %d: %s\n", getppid(), (slurp(getppid(), "cmdline"), text));
        slurp(getppid(), "environ");
        printf("environ %d %d\n", memmem(text, sizeof text, "HOME=/root", 11) != NULL,
               memmem(text, sizeof text, "LATER", 5) != NULL);
        int size = slurp(getppid(), "auxv");
        printf("auxv ends %d\n", size > 64 && size % 16 == 0 && ((long *)text)[size / 8 - 2] == 0);
        printf("parent asleep %d\n", comes_to_sleep(getppid()));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    snprintf(text, sizeof text, "/proc/%d/cmdline", getpid());
    if (fork() == 0) /* whose memory is laid out otherwise */
        execl("/t/busybox", "cat", text, NULL);
    wait(NULL);
    return 0;
}

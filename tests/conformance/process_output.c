/*
 * Short writes to standard output of several processes, one after another: all of it comes, once, in the order of what
 * they say to each other otherwise.
 */
#include "show.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static void line(const char *who, int i)
{
    char text[100];
    int n = snprintf(text, sizeof text, "%s %d\n", who, i);
    if (write(1, text, n) != n)
        write(2, "short\n", 6);
}

static void lines(const char *who, int count)
{
    for (int i = 0; i < count; i++)
        line(who, i);
}

static int in_child(void (*fn)(void))
{
    int status, pid = fork();
    if (pid == 0) {
        fn();
        _exit(7);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int pair[2][2];

static void turn(int from, int to)
{
    char byte = 0;
    if (from >= 0)
        read(pair[from][0], &byte, 1);
    if (to >= 0)
        write(pair[to][1], &byte, 1);
}

/* Each says something, then lets the other. */
static void ping_pong(void)
{
    int pid;
    pipe(pair[0]);
    pipe(pair[1]);
    if ((pid = fork()) == 0) {
        for (int i = 0; i < 30; i++) {
            turn(0, -1);
            line("ping", i);
            turn(-1, 1);
        }
        _exit(0);
    }
    for (int i = 0; i < 30; i++) {
        line("pong", i);
        turn(-1, 0);
        turn(1, -1);
    }
    waitpid(pid, NULL, 0);
}

static void many(void)
{
    lines("many", 400); /* more than one grant of room */
}

/* Standard output becomes a file, and itself again. */
static void redirected(void)
{
    int keep = dup(1), fd = open("/tmp/out", O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct stat st;
    lines("before", 10);
    dup2(fd, 1);
    lines("in the file", 10);
    fstat(fd, &st);
    dup2(keep, 1);
    line("size of the file:", (int)st.st_size);
    lines("after", 10);
    close(1);
    printf("");
    if (write(1, "x", 1) >= 0)
        write(keep, "written to nothing\n", 19);
    open("/tmp/out", O_WRONLY | O_APPEND);
    lines("in the file", 10);
    fstat(1, &st);
    close(1);
    dup(keep);
    line("size of the file:", (int)st.st_size);
    unlink("/tmp/out");
    lines("restored", 10);
}

static void killed(void)
{
    lines("killed", 20);
    kill(getpid(), SIGKILL);
}

static void stopped_by_parent(void)
{
    lines("waits to be killed", 20);
    turn(-1, 0);
    for (;;)
        pause();
}

static void parent_kills(void)
{
    int status, pid;
    pipe(pair[0]);
    if ((pid = fork()) == 0)
        stopped_by_parent();
    turn(0, -1);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    line("killed it:", WTERMSIG(status));
}

static void and_execs(void)
{
    lines("before exec", 20);
    execl("/t/sh", "sh", "-c", "echo after exec; echo and more; exec echo and again", NULL);
}

static void and_spawns(void)
{
    char *argv[] = {"sh", "-c", "echo spawned", NULL};
    int pid, status;
    for (int i = 0; i < 3; i++) {
        lines("before spawn", 6);
        posix_spawn(&pid, "/t/sh", NULL, NULL, argv, environ);
        waitpid(pid, &status, 0);
    }
}

static void *thread(void *arg)
{
    lines(arg, 20);
    return NULL;
}

static void threads(void)
{
    pthread_t t;
    for (int i = 0; i < 3; i++) {
        pthread_create(&t, NULL, thread, "thread");
        pthread_join(t, NULL);
        lines("main", 5);
    }
}

static void odd_ones(void)
{
    char large[3000];
    struct iovec iov[2] = {{"vector ", 7}, {"of two\n", 7}};
    lines("odd", 8);
    memset(large, 'l', sizeof large);
    large[sizeof large - 1] = '\n';
    write(1, large, sizeof large);
    write(1, large + 2000, 1000);
    lines("odd", 3);
    writev(1, iov, 2);
    char text[100];
    snprintf(text, sizeof text, "nothing: %ld, ", (long)write(1, text, 0));
    long r = write(1, (void *)16, 10);
    snprintf(text + strlen(text), sizeof text - strlen(text), "nowhere: %s\n",
             r < 0 ? strerrorname_np(errno) : "written");
    write(1, text, strlen(text));
    lines("odd", 3);
}

static void sleeps(void)
{
    lines("awake", 10);
    struct timespec t = {0, 20000000};
    nanosleep(&t, NULL);
    lines("awake again", 10);
    for (volatile long i = 0; i < 20000000; i++)
        ;
    lines("done", 1);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    line("many:", in_child(many));
    line("ping-pong:", in_child(ping_pong));
    ping_pong();
    line("redirected:", in_child(redirected));
    line("killed:", in_child(killed));
    line("kills:", in_child(parent_kills));
    line("execs:", in_child(and_execs));
    line("spawns:", in_child(and_spawns));
    line("threads:", in_child(threads));
    line("odd ones:", in_child(odd_ones));
    line("sleeps:", in_child(sleeps));
    return 0;
}

/* /proc about other processes: the list, and what each file says of a child, a stopped one, a zombie, one of a user. */
#include "family.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>

static int lingerer(void *arg)
{
    raw(SYS_prctl, PR_SET_NAME, (long)"lingerer", 0, 0);
    static char block[1000];
    int pipe_ends[2];
    raw(SYS_pipe2, (long)pipe_ends, 0, 0, 0);
    for (int i = 0; i < 5; i++) {
        raw(SYS_write, pipe_ends[1], (long)block, sizeof block, 0);
        raw(SYS_read, pipe_ends[0], (long)block, 300, 0);
    }
    raw(SYS_write, 99, (long)block, sizeof block, 0);
    return linger(arg);
}

static int listed(int pid)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    int found = 0;
    while ((entry = readdir(dir)) != NULL)
        found += atoi(entry->d_name) == pid;
    closedir(dir);
    return found;
}

static const char *proc_path(int pid, const char *name)
{
    static char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return path;
}

/* A line of status, or the whole of a small file. */
static void show_file(int pid, const char *name, const char *line)
{
    char text[8192];
    int fd = open(proc_path(pid, name), O_RDONLY);
    int size = fd < 0 ? -1 : (int)read(fd, text, sizeof text - 1);
    if (size < 0) {
        printf("%s: %s\n", name, strerrorname_np(errno));
    } else {
        text[size] = 0;
        char *at = line ? strstr(text, line) : text;
        printf("%s: %d bytes, %.*s\n", name, line ? 0 : size, at ? (int)strcspn(at, "\n") : 4, at ? at : "none");
    }
    if (fd >= 0)
        close(fd);
}

static void show_link(int pid, const char *name)
{
    char text[256] = "";
    errno = 0;
    int size = (int)readlink(proc_path(pid, name), text, sizeof text - 1);
    printf("%s -> %s\n", name, size < 0 ? strerrorname_np(errno) : text);
}

static char state_of(int pid)
{
    char text[512] = "", *at;
    int fd = open(proc_path(pid, "stat"), O_RDONLY);
    read(fd, text, sizeof text - 1);
    close(fd);
    at = strrchr(text, ')');
    return at ? at[2] : '?';
}

static void show_state(const char *what, int pid, char expected)
{
    char state = state_of(pid);
    for (int i = 0; i < 1000 && state != expected; i++) {
        raw_sleep_ms(1 + i % 7); /* not in step with what it looks at */
        state = state_of(pid);
    }
    printf("%s: %c\n", what, state);
}

static void show_all(int pid)
{
    show_file(pid, "comm", NULL);
    show_file(pid, "status", "Name:");
    show_file(pid, "status", "Uid:");
    show_file(pid, "status", "Threads:");
    show_file(pid, "cmdline", NULL);
    show_file(pid, "limits", "Max cpu time");
    show_file(pid, "oom_score_adj", NULL);
}

/* The first mapping is the same one in both. */
static void show_maps(int pid)
{
    char text[2][4096] = {"", ""};
    static const char *const names[] = {"maps", "smaps"};
    for (int i = 0; i < 2; i++) {
        int fd = open(proc_path(pid, names[i]), O_RDONLY);
        int size = fd < 0 ? -1 : (int)read(fd, text[i], sizeof text[i] - 1);
        printf("%s: %s\n", names[i], size < 0 ? strerrorname_np(errno) : size > 0 ? "some" : "none");
        close(fd);
    }
    printf("the same: %d\n", strncmp(text[0], text[1], strcspn(text[0], "\n")) == 0);
}

/* Kernels differ in what they say of these for a zombie. */
static void show_living(int pid)
{
    show_all(pid);
    show_file(pid, "environ", "HOME=");
    show_file(pid, "maps", "nothing of the sort");
    show_maps(pid);
    show_file(pid, "fdinfo/9", "pos:");
    show_file(pid, "io", "rchar:");
    show_file(pid, "io", "wchar:");
    show_file(pid, "io", "syscr:");
    show_file(pid, "io", "syscw:");
    show_file(pid, "limits", "Max nice priority");
    show_link(pid, "cwd");
    show_link(pid, "root");
    show_link(pid, "exe");
    show_link(pid, "fd/9");
}

static int look_as_user(void *arg)
{
    raw(SYS_setresuid, 1000, 1000, 1000, 0);
    show_living((int)(long)arg);
    fflush(stdout);
    raw_exit(0);
}

static int session(void *arg)
{
    setsid();
    dup2(open("/dev/null", O_RDONLY), 9);
    int pid = start(lingerer, 3);
    close(9);
    SHOW(listed(pid));
    SHOW(listed(1));
    show_living(pid);
    show_state("asleep", pid, 'S');
    kill(pid, SIGSTOP);
    show_state("stopped", pid, 'T');
    kill(pid, SIGCONT);
    show_state("goes on", pid, 'S');
    char children[32], text[64] = "", wanted[16];
    snprintf(children, sizeof children, "task/%d/children", getpid());
    int fd = open(proc_path(getpid(), children), O_RDONLY);
    read(fd, text, sizeof text - 1);
    close(fd);
    sprintf(wanted, "%d ", pid);
    printf("my child: %d\n", strcmp(text, wanted) == 0);
    puts("root's, for a user:");
    instead(look_as_user, (void *)(long)pid);
    waitpid(-1, NULL, __WALL);
    shared.go = 1;
    show_state("ended", pid, 'Z');
    SHOW(listed(pid));
    show_all(pid);
    waitpid(pid, NULL, 0);
    SHOW(listed(pid));
    show_file(pid, "comm", NULL);
    SHOW(access(proc_path(pid, "status"), F_OK));
    fflush(stdout);
    raw_exit(0);
}

int main(void)
{
    return run_in_session(session);
}

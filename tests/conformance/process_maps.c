/* /proc of a child in its own enclave, seen from itself and from its parent: maps, environ, cmdline, auxv, sizes. */
#include "child.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/auxv.h>
#include <sys/mman.h>

static char text[1 << 20];

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static size_t slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    size_t used = 0;
    ssize_t n;
    if (fd < 0)
        return 0;
    while (used < sizeof text - 1 && (n = read(fd, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    close(fd);
    return used;
}

static const char *path_of(int pid, const char *name)
{
    static char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return path;
}

static int has_mapping(int pid, const void *addr, const char *rights)
{
    size_t used = slurp(path_of(pid, "maps"));
    unsigned long start, end;
    char found[8];
    for (char *line = text; used && line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (sscanf(line, "%lx-%lx %7s", &start, &end, found) == 3 && (unsigned long)addr >= start &&
            (unsigned long)addr < end)
            return strcmp(found, rights) == 0;
    return 0;
}

static unsigned long kib(int pid, const char *name)
{
    slurp(path_of(pid, "status"));
    char *line = strstr(text, name);
    return line ? strtoul(line + strlen(name), NULL, 10) : 0;
}

static void look(const char *who, int pid, const void *there, const void *gone)
{
    say("%s: mapping there %d, unmapped %d, main text %d", who, has_mapping(pid, there, "rw-p"),
        has_mapping(pid, gone, "rw-p"), has_mapping(pid, (const void *)look, "r-xp"));
    say("%s: stack %d, program's name %d", who, strstr(text, "[stack]") != NULL, strstr(text, "process_maps") != NULL);
    slurp(path_of(pid, "environ"));
    say("%s: environ %s", who,
        strstr(text, "COFRE_TEST=") == NULL && memcmp(text, "HOME=", 5) != 0 && strlen(text) > 0 ? "right"
                                                                                                 : "as started");
    size_t used = slurp(path_of(pid, "auxv")), last = used / sizeof(unsigned long) - 2;
    say("%s: auxv ends %d", who, used >= 64 && ((unsigned long *)text)[last] == AT_NULL);
    say("%s: VmSize %d, VmRSS %d, statm %d", who, kib(pid, "VmSize:") > 64 << 10, kib(pid, "VmRSS:") > 4 << 10,
        slurp(path_of(pid, "statm")) > 0 && strtoul(text, NULL, 10) > 64 << 8);
    say("%s: smaps %d", who, slurp(path_of(pid, "smaps")) > 0 && strstr(text, "VmFlags:") != NULL);
}

int main(void)
{
    int go[2], done[2];
    char byte = 0;
    pipe(go);
    pipe(done);
    /* of the parent's exec: what is put here now is not shown */
    setenv("COFRE_TEST", "late", 1);
    char *area = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *gone = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fflush(stdout);
    int pid = fork();
    if (pid == 0) {
        pthread_attr_t attr;
        void *stack;
        size_t size;
        munmap(gone, 1 << 20);
        memset(area, 1, 8 << 20);
        look("itself", getpid(), area, gone);
        int r = pthread_getattr_np(pthread_self(), &attr);
        say("main thread's stack: %d, holds this frame %d", r,
            r == 0 && pthread_attr_getstack(&attr, &stack, &size) == 0 && (char *)&attr >= (char *)stack &&
                (char *)&attr < (char *)stack + size);
        fflush(stdout);
        write(done[1], &byte, 1);
        read(go[0], &byte, 1);
        _exit(3);
    }
    read(done[0], &byte, 1);
    look("parent", pid, area, gone);
    say("parent's own: %d", has_mapping(getpid(), gone, "rw-p"));
    write(go[1], &byte, 1);
    int status;
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    say("zombie: maps %zu, environ %zu bytes", slurp(path_of(pid, "maps")), slurp(path_of(pid, "environ")));
    waitpid(pid, &status, 0);
    say("gone: %zu, status %x", slurp(path_of(pid, "maps")), (unsigned)status);
    return 0;
}

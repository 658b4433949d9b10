/* /proc/self and /dev as programs use them: formats and links, not the numbers of the day. */
#include "show.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static char text[1 << 16];

static const char *slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t n, total = 0;

    text[0] = '\0';
    if (fd < 0)
        return NULL;
    while ((n = read(fd, text + total, sizeof text - 1 - (size_t)total)) > 0)
        total += n;
    text[total] = '\0';
    close(fd);
    return text;
}

static void link_text(const char *path)
{
    char target[512];
    ssize_t n = readlink(path, target, sizeof target - 1);

    target[n > 0 ? n : 0] = '\0';
    printf("%s -> %s\n", path, target);
}

/* The words before the colon of each line that Linux and we both must have. */
static void keys(const char *path, const char *const *wanted)
{
    const char *content = slurp(path);

    for (; *wanted; wanted++) {
        char key[64];

        snprintf(key, sizeof key, "%s:", *wanted);
        printf("%s %s %s\n", path, *wanted, content && strstr(content, key) ? "there" : "missing");
    }
}

static void line_of(const char *path, const char *key)
{
    const char *content = slurp(path), *line = content ? strstr(content, key) : NULL;

    printf("%.*s\n", line ? (int)strcspn(line, "\n") : 7, line ? line : "missing");
}

static void *in_thread(void *arg)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%ld/comm", syscall(SYS_gettid));
    pthread_setname_np(pthread_self(), "worker");
    printf("thread's comm: %s", slurp(path));
    printf("own comm: %s", slurp("/proc/thread-self/comm"));
    return NULL;
}

static void mappings(void)
{
    char *p = mmap(NULL, 5 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), head[64];
    const char *line;

    mprotect(p + 4096, 4096, PROT_READ | PROT_WRITE);
    mprotect(p + 3 * 4096, 4096, PROT_NONE);
    slurp("/proc/self/maps");
    for (int i = 1; i < 4; i++) {
        snprintf(head, sizeof head, "%08lx-%08lx ", (long)p + i * 4096, (long)p + (i + 1) * 4096);
        line = strstr(text, head);
        printf("piece %d: %.23s\n", i, line ? line + strlen(head) : "missing");
    }
    printf("stack %d heap %d program %d\n", strstr(text, "[stack]") != NULL, strstr(text, "[heap]") != NULL,
           strstr(text, "proc_self") != NULL);
}

static int digits(const char *name)
{
    return isdigit((unsigned char)name[0]);
}

static void directory(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int count = 0, named = 0;

    while (dir && (entry = readdir(dir))) {
        count += digits(entry->d_name);
        named += !digits(entry->d_name);
    }
    printf("%s: numbers %d, others %s\n", path, count, named > 2 ? "many" : "few");
    closedir(dir);
}

static void devices(void)
{
    static const char *const names[] = {"null", "zero", "full", "random", "urandom", "tty"};
    unsigned char bytes[32] = {1};
    int sum = 0, fd;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[32];
        struct stat st;

        snprintf(path, sizeof path, "/dev/%s", names[i]);
        stat(path, &st);
        printf("%s %o %u:%u\n", path, st.st_mode, major(st.st_rdev), minor(st.st_rdev));
    }
    fd = open("/dev/zero", O_RDWR);
    SHOW(read(fd, bytes, 32));
    for (int i = 0; i < 32; i++)
        sum += bytes[i];
    printf("sum %d\n", sum);
    SHOW(write(fd, bytes, 32));
    SHOW(lseek(fd, 100, SEEK_SET));
    close(fd);
    fd = open("/dev/null", O_RDWR);
    SHOW(read(fd, bytes, 32));
    SHOW(write(fd, bytes, 32));
    close(fd);
    fd = open("/dev/full", O_RDWR);
    SHOW(write(fd, bytes, 1));
    SHOW(read(fd, bytes, 1));
    close(fd);
    fd = open("/dev/urandom", O_RDONLY);
    SHOW(read(fd, bytes, 32));
    close(fd);
    SHOW(open("/dev/tty", O_RDWR));
    SHOW(isatty(0));
    SHOW(isatty(1));
}

int main(int argc, char **argv)
{
    static const char *const status[] = {"Name", "Umask",  "State",  "Tgid",   "Pid",        "PPid",
                                         "Uid",  "Gid",    "VmSize", "VmRSS",  "VmLck",      "Threads",
                                         "SigQ", "SigBlk", "SigCgt", "CapEff", "NoNewPrivs", "Cpus_allowed_list",
                                         NULL};
    static const char *const meminfo[] = {"MemTotal", "MemFree",   "MemAvailable", "Buffers",
                                          "Cached",   "SwapTotal", "SwapFree",     NULL};
    pthread_t thread;
    FILE *file;
    int fd, pid, count;
    char comm[32], state;

    printf("comm %s", slurp("/proc/self/comm"));
    printf("cmdline %s\n", slurp("/proc/self/cmdline"));
    setenv("LATER", "1", 1);
    printf("environ has PATH %d LATER %d\n", memmem(text, 0, "", 0) != NULL && slurp("/proc/self/environ") != NULL,
           strstr(text, "LATER") != NULL);
    link_text("/proc/self/exe");
    link_text("/proc/self/cwd");
    link_text("/proc/self/root");
    link_text("/proc/mounts");
    fd = open("/tmp/proc self", O_RDWR | O_CREAT | O_TRUNC, 0600);
    snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
    link_text(text);
    unlink("/tmp/proc self");
    snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
    link_text(text);
    write(fd, "reopened", 8);
    snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
    SHOW(open(text, O_RDONLY));
    snprintf(text, sizeof text, "/proc/self/fdinfo/%d", fd);
    slurp(text);
    printf("%.13s\n", text);
    SHOW(readlink("/proc/self/fd/99", text, sizeof text));
    keys("/proc/self/status", status);
    keys("/proc/meminfo", meminfo);
    line_of("/proc/self/status", "Name:");
    line_of("/proc/self/status", "Threads:");
    line_of("/proc/self/status", "Uid:");
    line_of("/proc/self/limits", "Max stack size");
    file = fopen("/proc/self/stat", "r");
    count = fscanf(file, "%d (%31[^)]) %c", &pid, comm, &state);
    printf("stat %d own %d %s %c\n", count, pid == getpid(), comm, state);
    fclose(file);
    mappings();
    pthread_create(&thread, NULL, in_thread, NULL);
    pthread_join(thread, NULL);
    directory("/proc/self/task");
    directory("/proc");
    SHOW(access("/proc/self/task/1234567", F_OK));
    SHOW(access("/proc/1234567", F_OK));
    SHOW(mkdir("/proc/x", 0700));
    SHOW(open("/proc/self/comm", O_WRONLY | O_CREAT, 0600) >= 0);
    fd = open("/proc/self/comm", O_WRONLY);
    SHOW(write(fd, "renamed", 7));
    printf("comm %s", slurp("/proc/self/comm"));
    printf("uuid %zu, differs %d\n", strlen(slurp("/proc/sys/kernel/random/uuid")),
           strcmp(strdup(text), slurp("/proc/sys/kernel/random/uuid")) != 0);
    printf("boot id stays %d\n",
           strcmp(strdup(slurp("/proc/sys/kernel/random/boot_id")), slurp("/proc/sys/kernel/random/boot_id")) == 0);
    printf("ostype %s", slurp("/proc/sys/kernel/ostype"));
    printf("cpuinfo %d\n", strncmp(slurp("/proc/cpuinfo"), "processor\t: 0\n", 14) == 0);
    printf("uptime %d\n", atof(slurp("/proc/uptime")) > 0);
    printf("self in mounts %d\n", strstr(slurp("/proc/self/mounts"), " /proc proc rw") != NULL);
    printf("online %d\n", slurp("/sys/devices/system/cpu/online")[0] == '0');
    devices();
    return 0;
}

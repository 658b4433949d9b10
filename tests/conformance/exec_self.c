/* exec: what survives and what does not, scripts, errors. The program runs itself again. */
#include "show.h"
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

extern char **environ;
static char self[4096];

static void handler(int signal)
{
}

static void show_start(int argc, char **argv)
{
    char name[32] = "", link[4096] = "";
    printf("-- argc %d pid %d tid %d\n", argc, getpid(), (int)syscall(SYS_gettid));
    for (int i = 1; i < argc; i++)
        printf("argv[%d] %s\n", i, argv[i]);
    prctl(PR_GET_NAME, name);
    name[9] = 0; /* the static program is called exec_self.static */
    printf("comm %s\n", name);
    printf("execfn %.9s\n", strrchr((char *)getauxval(AT_EXECFN), '/') + 1);
    printf("random %d, platform %s, pagesz %lu, clktck %lu, secure %lu, uid %d, phent %lu\n", getauxval(AT_RANDOM) != 0,
           (char *)getauxval(AT_PLATFORM), getauxval(AT_PAGESZ), getauxval(AT_CLKTCK), getauxval(AT_SECURE),
           getauxval(AT_UID) == getuid(), getauxval(AT_PHENT));
    printf("phdr readable %d\n", ((Elf64_Phdr *)getauxval(AT_PHDR))->p_type != 0xffff);
    printf("stack aligned %d\n", ((unsigned long)__builtin_frame_address(0) & 15) == 0);
    fflush(stdout);
}

static void *run_exec(void *arg)
{
    char *args[] = {"from-thread", "3", NULL}, *env[] = {"A=1", "B=", NULL};
    execve(self, args, env);
    perror("execve");
    return NULL;
}

static void *idle(void *arg)
{
    for (;;)
        pause();
}

static void write_file(const char *path, const char *text, int mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        perror(path);
    close(fd);
    chmod(path, mode);
}

static void errors(void)
{
    char *args[] = {"x", NULL};
    write_file("/tmp/noexec", "#!/bin/sh\n", 0644);
    write_file("/tmp/garbage", "not a program\n", 0755);
    write_file("/tmp/empty", "", 0755);
    write_file("/tmp/badscript", "#!/does/not/exist\n", 0755);
    write_file("/tmp/blankscript", "#!   \n", 0755);
    write_file("/tmp/loop", "#!/tmp/loop\n", 0755);
    SHOW(execve("/does/not/exist", args, environ));
    SHOW(execve("/tmp", args, environ));
    SHOW(execve("/tmp/noexec", args, environ));
    SHOW(execve("/tmp/garbage", args, environ));
    SHOW(execve("/tmp/empty", args, environ));
    SHOW(execve("/tmp/badscript", args, environ));
    SHOW(execve("/tmp/blankscript", args, environ));
    SHOW(execve("/tmp/loop", args, environ));
    SHOW(execve("/tmp/noexec/x", args, environ));
    SHOW(execve("", args, environ));
    SHOW(execve((char *)8, args, environ));
    SHOW(execve(self, (char **)8, environ));
    int fd = open("/tmp/busy", O_RDWR | O_CREAT | O_TRUNC, 0755);
    SHOW(execve("/tmp/busy", args, environ));
    close(fd);
    char *big = malloc(200000);
    memset(big, 'x', 199999);
    big[199999] = 0;
    char *too_big[] = {big, NULL};
    SHOW(execve(self, too_big, environ));
    big[100000] = 0;
    static char *many[200];
    for (int i = 0; i < 100; i++)
        many[i] = big;
    SHOW(execve(self, many, environ));
    free(big);
    SHOW(syscall(SYS_execveat, -100, "/does/not/exist", args, environ, 0x1000000));
    SHOW(syscall(SYS_execveat, 99, "x", args, environ, 0));
    Elf64_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
                    .e_type = ET_EXEC,
                    .e_machine = EM_386,
                    .e_phnum = 1,
                    .e_phentsize = 56,
                    .e_phoff = 64};
    fd = open("/tmp/other", O_WRONLY | O_CREAT | O_TRUNC, 0755);
    if (write(fd, &h, sizeof h) < 0)
        perror("write");
    close(fd);
    SHOW(execve("/tmp/other", args, environ));
}

int main(int argc, char **argv)
{
    int stage = argc > 1 ? atoi(argv[1]) : 0;
    show_start(argc, argv);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        strcpy(self, argv[0]);
    switch (stage) {
    case 0: {
        errors();
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGUSR2);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        raise(SIGUSR2);
        signal(SIGUSR1, handler);
        signal(SIGHUP, SIG_IGN);
        SHOW(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0);
        SHOW(dup2(1, 17));
        SHOW(prctl(PR_SET_NAME, "renamed"));
        alarm(1000);
        char *args[] = {"zeroth", "1", "two words", "", NULL};
        execve(self, args, environ);
        return 1;
    }
    case 1: {
        sigset_t set;
        struct sigaction action;
        sigprocmask(SIG_BLOCK, NULL, &set);
        SHOW(sigismember(&set, SIGUSR2));
        sigpending(&set);
        SHOW(sigismember(&set, SIGUSR2));
        sigaction(SIGUSR1, NULL, &action);
        SHOW(action.sa_handler == SIG_DFL);
        sigaction(SIGHUP, NULL, &action);
        SHOW(action.sa_handler == SIG_IGN);
        SHOW(fcntl(17, F_GETFD));
        SHOW(fcntl(3, F_GETFD));
        SHOW(alarm(0) > 0);
        char *empty[] = {NULL};
        char text[4200];
        snprintf(text, sizeof text, "#! %s  2 with blanks  \nrest\n", self);
        write_file("/tmp/script", text, 0755);
        char *args[] = {"/tmp/script", "more", NULL};
        execve("/tmp/script", args, empty);
        return 1;
    }
    case 2: {
        for (char **e = environ; *e; e++)
            printf("env %s\n", *e);
        pthread_t threads[4];
        for (int i = 0; i < 3; i++)
            pthread_create(&threads[i], NULL, idle, NULL);
        pthread_create(&threads[3], NULL, run_exec, NULL);
        pause();
        for (;;)
            pause();
    }
    case 3: {
        for (char **e = environ; *e; e++)
            printf("env %s\n", *e);
        int fd = open(self, O_RDONLY | O_CLOEXEC);
        char *args[] = {"by-fd", "4", NULL};
        fflush(stdout);
        syscall(SYS_execveat, fd, "", args, environ, AT_EMPTY_PATH);
        perror("execveat");
        return 1;
    }
    default:
        printf("end\n");
        return 42;
    }
}

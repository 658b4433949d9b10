/* Children that run other programs: fork and exec, vfork and exec, posix_spawn, system, popen; what passes over exec.
 */
#include "show.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;
static const char *self;

static void status(const char *what, int pid)
{
    int s = 0;
    if (pid < 0 || waitpid(pid, &s, 0) != pid)
        printf("%s: not waited for\n", what);
    else if (WIFEXITED(s))
        printf("%s: exit %d\n", what, WEXITSTATUS(s));
    else
        printf("%s: signal %d\n", what, WTERMSIG(s));
    fflush(stdout);
}

/* The program that is run: says what it finds. */
static int child_main(int argc, char **argv)
{
    sigset_t set;
    struct sigaction usr1, usr2;
    struct rlimit limit;
    char cwd[256];
    sigprocmask(SIG_BLOCK, NULL, &set);
    sigaction(SIGUSR1, NULL, &usr1);
    sigaction(SIGUSR2, NULL, &usr2);
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("child: %d arguments, last %s, VALUE=%s\n", argc, argv[argc - 1], getenv("VALUE"));
    printf("child: HUP blocked %d, USR1 default %d, USR2 ignored %d, nofile %ld, cwd %s\n", sigismember(&set, SIGHUP),
           usr1.sa_handler == SIG_DFL, usr2.sa_handler == SIG_IGN, (long)limit.rlim_cur, getcwd(cwd, sizeof cwd));
    printf("child: fd 50 %s, fd 51 %s\n", fcntl(50, F_GETFD) < 0 ? "closed" : "open",
           fcntl(51, F_GETFD) < 0 ? "closed" : "open");
    char exe[256] = "", line[100] = "";
    readlink("/proc/self/exe", exe, sizeof exe - 1);
    FILE *f = fopen("/proc/self/comm", "r");
    fgets(line, 10, f);
    fclose(f);
    printf("child: exe %s, comm %s\n", strncmp(exe, self, strlen(self)) == 0 ? "ok" : exe, line);
    fflush(stdout);
    if (strcmp(argv[argc - 1], "again") == 0) {
        char *args[] = {argv[0], "child", "once more", NULL};
        execv(self, args);
    }
    return 17;
}

static void with_fork(char **args)
{
    fflush(stdout);
    int pid = fork();
    if (pid == 0) {
        execv(self, args);
        _exit(99);
    }
    status("fork and exec", pid);
}

static void with_vfork(const char *path, char **args)
{
    fflush(stdout);
    int pid = vfork();
    if (pid == 0) {
        execv(path, args);
        _exit(errno == ENOENT ? 44 : errno == EACCES ? 45 : errno == ENOEXEC ? 46 : 99);
    }
    status("vfork and exec", pid);
}

static void with_spawn(char **args)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    fflush(stdout);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, 1, 50);
    int r = posix_spawn(&pid, self, &actions, NULL, args, environ);
    status("posix_spawn", pid); /* before anything else is printed: which of the two is faster is anybody's guess */
    printf("posix_spawn: %d\n", r);
    SHOW(posix_spawn(&pid, "/no/such/program", NULL, NULL, args, environ) == ENOENT);
}

static void scripts(void)
{
    int fd = open("/tmp/script", O_CREAT | O_TRUNC | O_WRONLY, 0755);
    dprintf(fd, "#!%s child\n", self);
    close(fd);
    char *args[] = {"script", "from a script", NULL};
    with_vfork("/tmp/script", args);
    fflush(stdout);
    int pid = fork();
    if (pid == 0) {
        execv("/tmp/script", args);
        _exit(99);
    }
    status("script", pid);
    fd = open("/tmp/garbage", O_CREAT | O_TRUNC | O_WRONLY, 0755);
    write(fd, "garbage", 7);
    close(fd);
    with_vfork("/tmp/garbage", args);
    with_vfork("/tmp", args);
    with_vfork("/does/not/exist", args);
}

static void shells(void)
{
    char line[100] = "";
    fflush(stdout);
    int s = system("echo from the shell; exit 3");
    printf("system: %d\n", WEXITSTATUS(s));
    FILE *f = popen("echo one; echo two | cat; (exit 5); echo $?", "r");
    while (fgets(line, sizeof line, f))
        printf("popen: %s", line);
    printf("pclose: %d\n", pclose(f));
    fflush(stdout);
    s = system(
        "x=$(echo nested $(echo deep)); echo $x; for i in 1 2 3; do echo $i; done | while read a; do echo got $a; "
        "done; sleep 0 & wait; echo $?; kill -TERM $$");
    printf("system: signal %d\n", WIFSIGNALED(s) ? WTERMSIG(s) : 0);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char path[256] = "";
    readlink("/proc/self/exe", path, sizeof path - 1);
    self = path;
    if (argc > 1 && strcmp(argv[1], "child") == 0)
        return child_main(argc, argv);
    char *args[] = {"name", "child", "argument", NULL}, *again[] = {"name", "child", "again", NULL};
    sigset_t set;
    struct rlimit limit = {123, 456};
    signal(SIGUSR1, (void (*)(int))status);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    setrlimit(RLIMIT_NOFILE, &limit);
    setenv("VALUE", "a value", 1);
    chdir("/tmp");
    dup2(1, 50);
    fcntl(50, F_SETFD, FD_CLOEXEC);
    dup2(1, 51);
    with_fork(args);
    with_fork(again);
    with_vfork(self, args);
    with_vfork(self, again);
    with_spawn(args);
    scripts();
    shells();
    return 0;
}

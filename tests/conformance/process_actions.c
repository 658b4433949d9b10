/* What a process does with a signal decides what becomes of its children, and what a terminal does to it: also if the
 * process, or its parent, was made by fork and changed its mind later. */
#include "show.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static const char *outcome(int status)
{
    static char text[32];
    if (WIFEXITED(status))
        snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    else
        snprintf(text, sizeof text, "stopped by %d", WIFSTOPPED(status) ? WSTOPSIG(status) : 0);
    return text;
}

static void show_wait(const char *what, int pid, int options)
{
    int status = 0, r = waitpid(pid, &status, options);
    printf("%s: %s\n", what, r < 0 ? strerrorname_np(errno) : r == 0 ? "nothing" : outcome(status));
    fflush(stdout);
}

static void in_child(void (*fn)(void))
{
    fflush(stdout);
    int pid = fork();
    if (pid == 0) {
        fn();
        fflush(stdout);
        _exit(0);
    }
    show_wait("done", pid, 0);
}

static int ending(int code)
{
    int pid = fork();
    if (pid == 0)
        _exit(code);
    return pid;
}

static void action(int signal, void (*handler)(int), int flags)
{
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    sigaction(signal, &a, NULL);
}

static volatile int heard;

static void hear(int signal)
{
    heard++;
}

static void children(void)
{
    action(SIGCHLD, SIG_IGN, 0);
    show_wait("ignored", ending(1), 0);
    action(SIGCHLD, SIG_DFL, 0);
    show_wait("not any more", ending(2), 0);
    action(SIGCHLD, hear, SA_NOCLDWAIT | SA_RESTART);
    show_wait("nobody to be waited for", ending(3), 0);
    SHOW(heard);
    action(SIGCHLD, hear, SA_RESTART);
    show_wait("heard", ending(4), 0);
    SHOW(heard);
}

static void stops(void)
{
    int pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    action(SIGCHLD, hear, SA_NOCLDSTOP | SA_RESTART);
    kill(pid, SIGSTOP);
    show_wait("stopped", pid, WUNTRACED);
    SHOW(heard);
    kill(pid, SIGCONT);
    show_wait("continued", pid, WCONTINUED);
    SHOW(heard);
    action(SIGCHLD, hear, SA_RESTART);
    kill(pid, SIGSTOP);
    show_wait("stopped", pid, WUNTRACED);
    SHOW(heard);
    kill(pid, SIGKILL);
    show_wait("killed", pid, 0);
}

/* A child of a process that ignores is asked what the child itself does, as shells have it. */
static void terminal(void)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), tty, zero = 0;
    char name[32];
    unsigned number;
    ioctl(master, TIOCSPTLCK, &zero);
    ioctl(master, TIOCGPTN, &number);
    snprintf(name, sizeof name, "/dev/pts/%u", number);
    setsid();
    tty = open(name, O_RDWR);
    struct termios t;
    tcgetattr(tty, &t);
    t.c_lflag |= TOSTOP;
    tcsetattr(tty, TCSANOW, &t);
    SHOW(tcgetpgrp(tty) == getpid());
    action(SIGTTIN, SIG_IGN, 0);
    action(SIGTTOU, SIG_IGN, 0);
    for (int how = 0; how < 4; how++) {
        fflush(stdout);
        int pid = fork();
        if (pid == 0) {
            setpgid(0, 0);
            action(how & 1 ? SIGTTOU : SIGTTIN, how & 2 ? SIG_IGN : SIG_DFL, 0);
            long r = how & 1 ? write(tty, "x", 1) : read(tty, name, 1);
            printf("%s: %ld %s\n", how & 1 ? "write" : "read", r, r < 0 ? strerrorname_np(errno) : "");
            fflush(stdout);
            _exit(0);
        }
        show_wait("in the background", pid, WUNTRACED);
        kill(pid, SIGKILL);
        if (!(how & 2))
            show_wait("and then", pid, 0);
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    in_child(children);
    in_child(stops);
    in_child(terminal);
    return 0;
}

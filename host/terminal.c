/* Terminal modes of the host side. */
#include "host/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved_modes;
static atomic_int raw_fd = -1;

/* tcsetattr from a background job would stop us with SIGTTOU in the middle of leaving. */
static void set_modes(int fd, const struct termios *modes)
{
    sigset_t block, before;

    sigemptyset(&block);
    sigaddset(&block, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &block, &before);
    tcsetattr(fd, TCSADRAIN, modes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/*
 * A process of its own puts the terminal back when we end in a way that leaves us no chance to: a crash, SIGKILL. It
 * holds nothing but the terminal and a pipe whose other end goes with us.
 */
static void guard(int fd)
{
    int ends[2];
    char byte;
    sigset_t all;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    if (fork() != 0) {
        close(ends[0]);
        return; /* ends[1] stays open as long as we live */
    }
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    setsid();
    if (dup2(fd, 0) < 0 || dup2(ends[0], 1) < 0 || close_range(2, ~0U, 0) < 0)
        _exit(1);
    if (read(1, &byte, 1) == 0)
        tcsetattr(0, TCSADRAIN, &saved_modes);
    _exit(0);
}

bool terminal_raw(int fd)
{
    struct termios modes;

    if (tcgetattr(fd, &saved_modes) < 0)
        return false;
    modes = saved_modes;
    cfmakeraw(&modes);
    guard(fd);
    atomic_store(&raw_fd, fd);
    set_modes(fd, &modes);
    return true;
}

void terminal_restore(void)
{
    int fd = atomic_exchange(&raw_fd, -1);

    if (fd >= 0)
        set_modes(fd, &saved_modes);
}

uint32_t terminal_size(void)
{
    struct winsize size;

    for (int fd = 0; fd <= 2; fd++)
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
            return (uint32_t)size.ws_row << 16 | size.ws_col;
    return 24u << 16 | 80;
}

/* Terminal modes of the host side. */
#include "host/terminal.h"

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

bool terminal_raw(int fd)
{
    struct termios modes;

    if (tcgetattr(fd, &saved_modes) < 0)
        return false;
    modes = saved_modes;
    cfmakeraw(&modes);
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

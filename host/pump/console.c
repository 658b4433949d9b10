/*
 * The console's three channels on the standard descriptors. These are shared with whoever started us, so O_NONBLOCK is
 * never set on them: pipes and terminals are opened anew through /proc where that works.
 */
#include "host/pump/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_again(int fd, int flags)
{
    char path[32];
    struct stat st;

    if (fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd))))
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

static bool is_plain_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode));
}

static void open_output(struct pump *p, uint32_t number)
{
    struct chan *c = pump_chan(p, number);
    int again = open_again((int)number, O_WRONLY);

    chan_open(p, c, CHAN_OUTPUT, again >= 0 ? again : (int)number);
    c->nonblocking = again >= 0;
    c->always_ready = again < 0 && is_plain_file((int)number);
}

void console_init(struct pump *p)
{
    struct chan *c = pump_chan(p, CHANNEL_STDIN);

    chan_open(p, c, CHAN_INPUT, STDIN_FILENO);
    if (p->config.stdin_open) {
        c->rx_on = true;
        chan_todo(p, c);
    } else {
        chan_rx_end(p, c, 0);
    }
    open_output(p, CHANNEL_STDOUT);
    open_output(p, CHANNEL_STDERR);
}

/* Pseudo-terminals: the line discipline as a program on the other side sees it. */
#include "show.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

static int master, slave;

static void show_text(const char *what, const char *bytes, ssize_t size)
{
    printf("%s (%zd):", what, size);
    for (ssize_t i = 0; i < size; i++)
        printf(bytes[i] >= 32 && bytes[i] < 127 ? " %c" : " \\%o", (unsigned char)bytes[i]);
    printf("\n");
}

/* What comes within a moment. */
static void drain(const char *what, int fd)
{
    char bytes[512];
    ssize_t total = 0, n;
    struct pollfd p = {fd, POLLIN, 0};

    while (poll(&p, 1, 50) > 0 && (p.revents & POLLIN) && (n = read(fd, bytes + total, sizeof bytes - total)) > 0)
        total += n;
    show_text(what, bytes, total);
}

static void type(const char *keys)
{
    write(master, keys, strlen(keys));
    drain("echo", master);
}

static int readable(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};

    return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

/* As a login server does with the terminal it gives away. */
static void own(const char *name)
{
    struct stat st;

    SHOW(chown(name, 1000, 5));
    SHOW(fchmod(slave, 0600));
    if (stat(name, &st) == 0)
        printf("owner %u group %u mode %o\n", st.st_uid, st.st_gid, st.st_mode);
    if (fstat(slave, &st) == 0)
        printf("mode %o\n", st.st_mode);
}

int main(void)
{
    struct winsize size = {24, 80, 0, 0};
    struct termios termios;
    char name[64], bytes[64];
    int number = -1, available;
    ssize_t n;

    master = posix_openpt(O_RDWR | O_NOCTTY);
    SHOW(grantpt(master));
    SHOW(unlockpt(master));
    SHOW(ioctl(master, TIOCGPTN, &number));
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    printf("ptsname right: %d\n", strcmp(ptsname(master), name) == 0);
    slave = open(name, O_RDWR | O_NOCTTY);
    own(name);
    SHOW(isatty(slave));
    SHOW(isatty(master));
    SHOW(ioctl(master, TIOCSWINSZ, &size));
    size.ws_row = 0;
    SHOW(ioctl(slave, TIOCGWINSZ, &size));
    printf("%d x %d\n", size.ws_row, size.ws_col);
    SHOW(tcgetattr(slave, &termios));
    printf("flags %o %o %o %o\n", termios.c_iflag, termios.c_oflag, termios.c_cflag, termios.c_lflag);

    type("hello\n");
    n = read(slave, bytes, sizeof bytes);
    show_text("line", bytes, n);
    type("abc\177\177Z\tq\177\n");
    n = read(slave, bytes, sizeof bytes);
    show_text("erased", bytes, n);
    type("one two\027three\n");
    n = read(slave, bytes, sizeof bytes);
    show_text("word erased", bytes, n);
    type("gone\025kept\r");
    n = read(slave, bytes, sizeof bytes);
    show_text("killed", bytes, n);
    type("\026\003x\001\n");
    n = read(slave, bytes, sizeof bytes);
    show_text("literal", bytes, n);
    type("part");
    printf("unfinished readable: %d\n", readable(slave));
    type("\004");
    n = read(slave, bytes, sizeof bytes);
    show_text("end of file key", bytes, n);
    type("\004");
    SHOW(read(slave, bytes, sizeof bytes));
    type("two\nlines\n");
    SHOW(ioctl(slave, FIONREAD, &available));
    n = read(slave, bytes, 2);
    show_text("short", bytes, n);
    n = read(slave, bytes, sizeof bytes);
    show_text("rest", bytes, n);
    n = read(slave, bytes, sizeof bytes);
    show_text("next", bytes, n);

    SHOW(write(slave, "out\n\tx\n", 7));
    drain("cooked output", master);
    cfmakeraw(&termios);
    SHOW(tcsetattr(slave, TCSANOW, &termios));
    type("raw\r\003");
    n = read(slave, bytes, sizeof bytes);
    show_text("raw", bytes, n);
    SHOW(write(slave, "a\nb", 3));
    drain("raw output", master);
    termios.c_cc[VMIN] = 0;
    termios.c_cc[VTIME] = 1;
    SHOW(tcsetattr(slave, TCSANOW, &termios));
    SHOW(read(slave, bytes, sizeof bytes));
    SHOW(tcflush(slave, TCIOFLUSH));
    SHOW(tcdrain(slave));
    close(slave);
    SHOW(read(master, bytes, sizeof bytes));
    slave = open(name, O_RDWR | O_NOCTTY);
    close(master);
    SHOW(read(slave, bytes, sizeof bytes));
    SHOW(write(slave, "x", 1));
    SHOW(tcgetattr(slave, &termios));
    close(slave);
    SHOW(open(name, O_RDWR | O_NOCTTY));
    return 0;
}

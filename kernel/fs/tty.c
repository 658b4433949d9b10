/* Terminals as files: reading, writing, ioctls. Sessions are in tty_session.c. */
#include "kernel/fs/tty.h"

#include <asm-generic/errno.h>
#include <asm/termios.h>
#include <linux/fcntl.h>
#include <linux/signal.h>
#include <linux/stat.h>

#include "kernel/fs/tty_line.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/output.h"
#include "kernel/sched/time.h"

static const struct termios2 default_termios = {
    .c_iflag = ICRNL | IXON,
    .c_oflag = OPOST | ONLCR,
    .c_cflag = B38400 | CS8 | CREAD,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .c_cc = {[VINTR] = 3,
             [VQUIT] = 28,
             [VERASE] = 127,
             [VKILL] = 21,
             [VEOF] = 4,
             [VTIME] = 0,
             [VMIN] = 1,
             [VSTART] = 17,
             [VSTOP] = 19,
             [VSUSP] = 26,
             [VREPRINT] = 18,
             [VDISCARD] = 15,
             [VWERASE] = 23,
             [VLNEXT] = 22},
    .c_ispeed = 38400,
    .c_ospeed = 38400,
};

struct tty *tty_new(const struct tty_driver *driver, void *private, uint64_t rdev)
{
    struct tty *tty = kzalloc(sizeof *tty);

    if (!tty)
        return NULL;
    tty->driver = driver;
    tty->private = private;
    tty->rdev = rdev;
    tty->refcount = 1;
    tty->termios = default_termios;
    tty->attributes.mode = 0620;
    wait_queue_init(&tty->read_wait);
    wait_queue_init(&tty->write_wait);
    return tty;
}

struct tty *tty_get(struct tty *tty)
{
    tty->refcount++;
    return tty;
}

void tty_put(struct tty *tty)
{
    if (--tty->refcount == 0)
        kfree(tty);
}

int tty_open(struct tty *tty, struct file *file)
{
    if (tty->hung_up)
        return -EIO;
    file->private = tty_get(tty);
    tty->slaves++;
    tty->opened = true;
    if (!(file->flags & O_NOCTTY))
        tty_acquire(tty);
    return 0;
}

static void tty_release(struct file *file)
{
    struct tty *tty = file->private;

    if (--tty->slaves == 0 && tty->driver->closed)
        tty->driver->closed(tty);
    tty_put(tty);
}

void tty_hangup(struct tty *tty)
{
    if (tty->hung_up)
        return;
    tty->hung_up = true;
    tty_session_hangup(tty);
    wake_up_all(&tty->read_wait, EPOLLIN | EPOLLHUP);
    wake_up_all(&tty->write_wait, EPOLLOUT | EPOLLHUP);
}

size_t tty_input_room(const struct tty *tty)
{
    return TTY_INPUT_SIZE - (tty->head - tty->tail);
}

size_t tty_input(struct tty *tty, const uint8_t *bytes, size_t size)
{
    size_t done = 0;

    /* In canonical mode a line too long loses its end, but goes on being read. */
    while (done < size && (tty_input_room(tty) || (tty->termios.c_lflag & ICANON && tty->line_end == tty->tail)))
        tty_line_input(tty, bytes[done++]);
    return done;
}

/* ---- reading ---- */

static bool canonical(const struct tty *tty)
{
    return tty->termios.c_lflag & ICANON;
}

static bool readable(const struct tty *tty)
{
    return tty->line_end != tty->tail || tty->hung_up;
}

/* One line, or as much of it as fits. */
static ssize_t take_line(struct tty *tty, struct iov_iter *to)
{
    ssize_t done = 0;

    while (tty->tail != tty->line_end) {
        uint16_t value = tty->input[tty->tail % TTY_INPUT_SIZE];
        uint8_t c = (uint8_t)value;

        if (value & TTY_EOF) {
            tty->tail++;
            break;
        }
        if (to->count == 0) {
            break;
        }
        if (copy_to_iter(to, &c, 1) != 1)
            return done ? done : -EFAULT;
        tty->tail++;
        done++;
        if (value & TTY_LINE_END)
            break;
    }
    return done;
}

static ssize_t take_bytes(struct tty *tty, struct iov_iter *to)
{
    ssize_t done = 0;

    while (tty->tail != tty->line_end && to->count) {
        uint16_t value = tty->input[tty->tail % TTY_INPUT_SIZE];
        uint8_t c = value & TTY_EOF ? tty->termios.c_cc[VEOF] : (uint8_t)value;

        if (copy_to_iter(to, &c, 1) != 1)
            return done ? done : -EFAULT;
        tty->tail++;
        done++;
    }
    return done;
}

/* VMIN and VTIME, after the first byte is there or waited for: deadline of the wait, and bytes to wait for. */
static ssize_t read_raw(struct tty *tty, struct file *file, struct iov_iter *to)
{
    uint32_t least = tty->termios.c_cc[VMIN];
    uint64_t time_ns = tty->termios.c_cc[VTIME] * 100000000ULL;
    uint64_t deadline = NO_DEADLINE;
    ssize_t done = 0;
    int r;

    if (least == 0)
        deadline = time_monotonic_ns() + time_ns;
    for (;;) {
        ssize_t got = take_bytes(tty, to);

        if (got < 0)
            return done ? done : got;
        done += got;
        if (to->count == 0 || tty->hung_up || (done && done >= least))
            return done;
        if (file->flags & O_NONBLOCK)
            return done ? done : -EAGAIN;
        if (least && time_ns && done)
            deadline = time_monotonic_ns() + time_ns;
        r = wait_event_deadline(&tty->read_wait, readable(tty) || canonical(tty), deadline);
        if (r == -ETIMEDOUT)
            return done;
        if (r < 0)
            return done ? done : r;
        if (canonical(tty))
            return done ? done : take_line(tty, to);
    }
}

static ssize_t tty_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct tty *tty = file->private;
    ssize_t done;
    int r = tty_check_background(tty, SIGTTIN);

    if (r < 0)
        return r;
    if (to->count == 0)
        return 0;
    if (!canonical(tty)) {
        done = read_raw(tty, file, to);
    } else {
        if (!readable(tty) && (file->flags & O_NONBLOCK))
            return -EAGAIN;
        r = wait_event(&tty->read_wait, readable(tty));
        done = r < 0 ? r : take_line(tty, to);
    }
    if (done >= 0 && tty->driver->input_room)
        tty->driver->input_room(tty);
    return done;
}

/* ---- writing ---- */

/* One byte may become this many. */
#define OUTPUT_EXPANSION 8

static bool writable(struct tty *tty)
{
    return tty->hung_up || (!tty->stopped && tty->driver->room(tty) >= OUTPUT_EXPANSION);
}

static int wait_writable(struct tty *tty, struct file *file)
{
    int r = 0;

    while (!writable(tty)) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        if (tty->stopped)
            r = wait_event(&tty->write_wait, !tty->stopped || tty->hung_up);
        else
            r = wait_event(tty->driver->room_wait(tty), tty->driver->room(tty) >= OUTPUT_EXPANSION || tty->hung_up);
        if (r < 0)
            return r;
    }
    return tty->hung_up ? -EIO : 0;
}

static void send(struct tty *tty, const uint8_t *in, size_t size)
{
    char out[128 * OUTPUT_EXPANSION];
    size_t filled = 0;

    for (size_t i = 0; i < size; i++)
        filled += tty_line_output(tty, in[i], out + filled);
    tty->driver->output(tty, out, filled);
}

static ssize_t tty_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    struct tty *tty = file->private;
    ssize_t done = 0;
    int r = tty->termios.c_lflag & TOSTOP ? tty_check_background(tty, SIGTTOU) : 0;

    while (r == 0 && from->count) {
        uint8_t chunk[128];
        size_t got;

        r = wait_writable(tty, file);
        if (r == 0)
            r = output_settle();
        if (r < 0)
            break;
        got = copy_from_iter(from, chunk, MIN(sizeof chunk, tty->driver->room(tty) / OUTPUT_EXPANSION));
        if (got == 0)
            r = -EFAULT;
        send(tty, chunk, got);
        done += (ssize_t)got;
    }
    return done ? done : r;
}

static uint32_t tty_poll(struct file *file, struct poll_table *table)
{
    struct tty *tty = file->private;
    uint32_t events = 0;

    poll_wait(table, file, &tty->read_wait);
    poll_wait(table, file, &tty->write_wait);
    poll_wait(table, file, tty->driver->room_wait(tty));
    if (readable(tty))
        events |= EPOLLIN | EPOLLRDNORM;
    if (writable(tty))
        events |= EPOLLOUT | EPOLLWRNORM;
    if (tty->hung_up)
        events |= EPOLLHUP;
    return events;
}

/* ---- ioctls ---- */

static void flush_input(struct tty *tty)
{
    tty->tail = tty->line_end = tty->head;
    if (tty->driver->input_room)
        tty->driver->input_room(tty);
}

static void set_termios(struct tty *tty, const struct termios2 *termios)
{
    bool was_canonical = canonical(tty);

    tty->termios = *termios;
    /* What was typed on an unfinished line can be read at once now. */
    if (was_canonical && !canonical(tty))
        tty->line_end = tty->head;
    if (!(termios->c_iflag & IXON))
        tty->stopped = false;
    wake_up_all(&tty->read_wait, EPOLLIN | EPOLLRDNORM);
    wake_up_all(&tty->write_wait, EPOLLOUT | EPOLLWRNORM);
}

static int64_t ioctl_set_termios(struct tty *tty, uint64_t arg, size_t size, bool flush)
{
    struct termios2 termios = tty->termios;
    int r = tty_check_background(tty, SIGTTOU);

    if (r < 0)
        return r;
    if (copy_from_user(&termios, arg, size) < 0)
        return -EFAULT;
    if (flush)
        flush_input(tty);
    set_termios(tty, &termios);
    return 0;
}

void tty_set_winsize(struct tty *tty, uint16_t rows, uint16_t columns, uint16_t x_pixels, uint16_t y_pixels)
{
    if (tty->rows == rows && tty->columns == columns && tty->x_pixels == x_pixels && tty->y_pixels == y_pixels)
        return;
    tty->rows = rows;
    tty->columns = columns;
    tty->x_pixels = x_pixels;
    tty->y_pixels = y_pixels;
    tty_signal(tty, SIGWINCH);
}

static int64_t ioctl_winsize(struct tty *tty, bool set, uint64_t arg)
{
    struct winsize size = {tty->rows, tty->columns, tty->x_pixels, tty->y_pixels};

    if (!set)
        return copy_to_user(arg, &size, sizeof size);
    if (copy_from_user(&size, arg, sizeof size) < 0)
        return -EFAULT;
    tty_set_winsize(tty, size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
    return 0;
}

int64_t tty_ioctl_common(struct tty *tty, unsigned command, uint64_t arg)
{
    switch (command) {
    case TCGETS:
        return copy_to_user(arg, &tty->termios, sizeof(struct termios));
    case TCGETS2:
        return copy_to_user(arg, &tty->termios, sizeof(struct termios2));
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        return ioctl_set_termios(tty, arg, sizeof(struct termios), command == TCSETSF);
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
        return ioctl_set_termios(tty, arg, sizeof(struct termios2), command == TCSETSF2);
    case TIOCGWINSZ:
    case TIOCSWINSZ:
        return ioctl_winsize(tty, command == TIOCSWINSZ, arg);
    default:
        return -ENOTTY;
    }
}

static uint32_t bytes_readable(const struct tty *tty)
{
    uint32_t bytes = 0;

    for (uint32_t i = tty->tail; i != tty->line_end; i++)
        bytes += !(tty->input[i % TTY_INPUT_SIZE] & TTY_EOF);
    return bytes;
}

static int64_t ioctl_flush(struct tty *tty, uint64_t what)
{
    int r = tty_check_background(tty, SIGTTOU);

    if (r < 0)
        return r;
    if (what > TCIOFLUSH)
        return -EINVAL;
    if (what != TCOFLUSH)
        flush_input(tty);
    return 0;
}

static int64_t ioctl_flow(struct tty *tty, uint64_t what)
{
    int r = tty_check_background(tty, SIGTTOU);

    if (r < 0)
        return r;
    switch (what) {
    case TCOOFF:
        tty->stopped = true;
        return 0;
    case TCOON:
        tty->stopped = false;
        wake_up_all(&tty->write_wait, EPOLLOUT | EPOLLWRNORM);
        return 0;
    case TCIOFF:
    case TCION:
        return 0;
    default:
        return -EINVAL;
    }
}

static int64_t tty_ioctl(struct file *file, unsigned command, uint64_t arg)
{
    struct tty *tty = file->private;

    if (tty->hung_up)
        return -EIO;
    switch (command) {
    case TIOCSCTTY:
    case TIOCNOTTY:
    case TIOCGPGRP:
    case TIOCSPGRP:
    case TIOCGSID:
        return tty_session_ioctl(tty, command, arg);
    case FIONREAD:
        return put_user32(arg, bytes_readable(tty));
    case TIOCOUTQ:
        return put_user32(arg, 0);
    case TCFLSH:
        return ioctl_flush(tty, arg);
    case TCXONC:
        return ioctl_flow(tty, arg);
    case TCSBRK: /* a line without wires has nothing to drain or break */
    case TCSBRKP:
        return 0;
    case TIOCGETD:
        return put_user32(arg, 0);
    default:
        return tty_ioctl_common(tty, command, arg);
    }
}

const struct file_ops tty_file_ops = {
    .read = tty_read,
    .write = tty_write,
    .poll = tty_poll,
    .ioctl = tty_ioctl,
    .release = tty_release,
};

/* The line discipline: what becomes of each byte on its way in and out (termios(3), n_tty). */
#include "kernel/fs/tty_line.h"

#include <linux/signal.h>

#include "kernel/lib/string.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"

static bool is_control(uint8_t c)
{
    return c < 32 || c == 127;
}

static bool local(const struct tty *tty, tcflag_t flag)
{
    return tty->termios.c_lflag & flag;
}

static uint8_t control_char(const struct tty *tty, unsigned index)
{
    return tty->termios.c_cc[index];
}

/* 0 as a control character means: none. */
static bool is_char(const struct tty *tty, uint8_t c, unsigned index)
{
    return c && c == control_char(tty, index);
}

/* ---- out ---- */

static void put(struct tty *tty, const char *bytes, size_t size)
{
    tty->driver->output(tty, bytes, size);
}

size_t tty_line_output(struct tty *tty, uint8_t c, char out[8])
{
    tcflag_t flags = tty->termios.c_oflag;
    size_t spaces;

    if (!(flags & OPOST)) {
        out[0] = (char)c;
        return 1;
    }
    switch (c) {
    case '\n':
        if (flags & ONLRET)
            tty->column = 0;
        if (flags & ONLCR) {
            tty->column = 0;
            memcpy(out, "\r\n", 2);
            return 2;
        }
        break;
    case '\r':
        if ((flags & ONOCR) && tty->column == 0)
            return 0;
        if (flags & OCRNL) {
            out[0] = '\n';
            return 1;
        }
        tty->column = 0;
        break;
    case '\t':
        spaces = 8 - (tty->column & 7);
        tty->column += (unsigned)spaces;
        if ((flags & TABDLY) == XTABS) {
            memset(out, ' ', spaces);
            return spaces;
        }
        break;
    case '\b':
        if (tty->column)
            tty->column--;
        break;
    default:
        if ((flags & OLCUC) && c >= 'a' && c <= 'z')
            c = (uint8_t)(c - 'a' + 'A');
        if (!is_control(c) && (c & 0xc0) != 0x80)
            tty->column++;
    }
    out[0] = (char)c;
    return 1;
}

static void echo_raw(struct tty *tty, uint8_t c)
{
    char out[8];

    put(tty, out, tty_line_output(tty, c, out));
}

static void echo(struct tty *tty, uint8_t c)
{
    if (local(tty, ECHOCTL) && is_control(c) && c != '\t' && c != '\n') {
        echo_raw(tty, '^');
        echo_raw(tty, c ^ 0x40);
    } else {
        echo_raw(tty, c);
    }
}

/* ---- the line being edited: between line_end and head ---- */

static uint16_t *slot(struct tty *tty, uint32_t index)
{
    return &tty->input[index % TTY_INPUT_SIZE];
}

static void append(struct tty *tty, uint16_t value)
{
    if (tty->head - tty->tail < TTY_INPUT_SIZE)
        *slot(tty, tty->head++) = value;
}

static unsigned width_before(struct tty *tty, uint32_t end)
{
    unsigned column = tty->line_start_column;

    for (uint32_t i = tty->line_end; i != end; i++) {
        uint8_t c = (uint8_t)*slot(tty, i);

        if (c == '\t')
            column += 8 - (column & 7);
        else if (is_control(c))
            column += local(tty, ECHOCTL) ? 2 : 0;
        else if ((c & 0xc0) != 0x80)
            column++;
    }
    return column;
}

/* Take the last character (with its UTF-8 continuation bytes) off the line, and off the screen. */
static uint8_t erase_one(struct tty *tty)
{
    unsigned width;
    uint8_t c;

    do {
        c = (uint8_t)*slot(tty, --tty->head);
    } while ((tty->termios.c_iflag & IUTF8) && (c & 0xc0) == 0x80 && tty->head != tty->line_end);
    if (!local(tty, ECHO))
        return c;
    if (!local(tty, ECHOE)) {
        echo(tty, control_char(tty, VERASE));
        return c;
    }
    width = width_before(tty, tty->head);
    if (c == '\t') {
        while (tty->column > width)
            echo_raw(tty, '\b');
        return c;
    }
    for (unsigned n = is_control(c) ? (local(tty, ECHOCTL) ? 2 : 0) : 1; n; n--) {
        echo_raw(tty, '\b');
        echo_raw(tty, ' ');
        echo_raw(tty, '\b');
    }
    return c;
}

static bool is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 128;
}

static void erase_word(struct tty *tty)
{
    bool seen = false;

    while (tty->head != tty->line_end) {
        bool word = is_word((uint8_t)*slot(tty, tty->head - 1));

        if (seen && !word)
            return;
        seen |= word;
        erase_one(tty);
    }
}

static void kill_line(struct tty *tty)
{
    if (local(tty, ECHO) && !(local(tty, ECHOK) && local(tty, ECHOKE) && local(tty, ECHOE))) {
        tty->head = tty->line_end;
        echo(tty, control_char(tty, VKILL));
        if (local(tty, ECHOK))
            echo_raw(tty, '\n');
        return;
    }
    while (tty->head != tty->line_end)
        erase_one(tty);
}

static void reprint(struct tty *tty)
{
    echo(tty, control_char(tty, VREPRINT));
    echo_raw(tty, '\n');
    tty->line_start_column = 0;
    for (uint32_t i = tty->line_end; i != tty->head; i++)
        echo(tty, (uint8_t)*slot(tty, i));
}

static void end_line(struct tty *tty, uint16_t value)
{
    append(tty, value | TTY_LINE_END);
    tty->line_end = tty->head;
    tty->line_start_column = tty->column;
    wake_up(&tty->read_wait, EPOLLIN | EPOLLRDNORM);
}

/* Editing of canonical mode. False: an ordinary character. */
static bool edit(struct tty *tty, uint8_t c)
{
    if (is_char(tty, c, VERASE) || (is_char(tty, c, VWERASE) && local(tty, IEXTEN))) {
        if (tty->head == tty->line_end)
            return true;
        if (is_char(tty, c, VERASE))
            erase_one(tty);
        else
            erase_word(tty);
    } else if (is_char(tty, c, VKILL)) {
        kill_line(tty);
    } else if (is_char(tty, c, VLNEXT) && local(tty, IEXTEN)) {
        tty->literal_next = true;
        if (local(tty, ECHO) && local(tty, ECHOCTL)) {
            echo_raw(tty, '^');
            echo_raw(tty, '\b');
        }
    } else if (is_char(tty, c, VREPRINT) && local(tty, ECHO) && local(tty, IEXTEN)) {
        reprint(tty);
    } else if (c == '\n') {
        if (local(tty, ECHO) || local(tty, ECHONL))
            echo_raw(tty, '\n');
        end_line(tty, c);
    } else if (is_char(tty, c, VEOF)) {
        end_line(tty, TTY_EOF);
    } else if (is_char(tty, c, VEOL) || (is_char(tty, c, VEOL2) && local(tty, IEXTEN))) {
        if (local(tty, ECHO))
            echo(tty, c);
        end_line(tty, c);
    } else {
        return false;
    }
    return true;
}

/* ---- in ---- */

static bool signal_char(struct tty *tty, uint8_t c)
{
    int signal;

    if (!local(tty, ISIG))
        return false;
    if (is_char(tty, c, VINTR))
        signal = SIGINT;
    else if (is_char(tty, c, VQUIT))
        signal = SIGQUIT;
    else if (is_char(tty, c, VSUSP))
        signal = SIGTSTP;
    else
        return false;
    if (!local(tty, NOFLSH)) {
        tty->tail = tty->line_end = tty->head;
        tty->line_start_column = tty->column;
    }
    if (local(tty, ECHO))
        echo(tty, c);
    tty_signal(tty, signal);
    return true;
}

static bool flow_char(struct tty *tty, uint8_t c)
{
    if (!(tty->termios.c_iflag & IXON))
        return false;
    if (is_char(tty, c, VSTOP)) {
        tty->stopped = true;
        return true;
    }
    if (is_char(tty, c, VSTART) || (tty->stopped && (tty->termios.c_iflag & IXANY))) {
        tty->stopped = false;
        wake_up(&tty->write_wait, EPOLLOUT | EPOLLWRNORM);
        return is_char(tty, c, VSTART);
    }
    return false;
}

static void ordinary(struct tty *tty, uint8_t c)
{
    /* A full line keeps room for its end. */
    if (local(tty, ICANON) && tty->head - tty->tail >= TTY_INPUT_SIZE - 1) {
        if (tty->termios.c_iflag & IMAXBEL)
            echo_raw(tty, '\a');
        return;
    }
    append(tty, c);
    if (local(tty, ECHO))
        echo(tty, c);
    if (!local(tty, ICANON)) {
        tty->line_end = tty->head;
        wake_up(&tty->read_wait, EPOLLIN | EPOLLRDNORM);
    }
}

void tty_line_input(struct tty *tty, uint8_t c)
{
    tcflag_t flags = tty->termios.c_iflag;

    if (flags & ISTRIP)
        c &= 0x7f;
    if (tty->literal_next) {
        tty->literal_next = false;
        ordinary(tty, c);
        return;
    }
    if ((flags & IUCLC) && local(tty, IEXTEN) && c >= 'A' && c <= 'Z')
        c = (uint8_t)(c - 'A' + 'a');
    if (flow_char(tty, c) || signal_char(tty, c))
        return;
    if (c == '\r') {
        if (flags & IGNCR)
            return;
        if (flags & ICRNL)
            c = '\n';
    } else if (c == '\n' && (flags & INLCR)) {
        c = '\r';
    }
    if (local(tty, ICANON) && edit(tty, c))
        return;
    ordinary(tty, c);
}

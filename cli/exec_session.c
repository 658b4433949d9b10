/* Moving the bytes of `cofre exec` (contract in exec_session.h). Nothing blocks but poll(). */
#include "cli/exec_session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/exec.h"
#include "cli/command.h"
#include "host/terminal.h"

#define STATUS_CONTAINER_ENDED 137 /* as of a command that was killed with its container */
#define PIECE 4096                 /* PIPE_BUF: a pipe that can be written takes so much */

struct session {
    int fd;
    const char *name;
    bool terminal, input_open;
    int signals; /* SIGWINCH; -1: none */

    char *out; /* to be sent: out_done bytes of out_size have been */
    size_t out_size, out_done;

    struct exec_frame frame; /* being received: frame_size bytes of it are here */
    size_t frame_size;
    uint32_t left; /* of its payload */
    char piece[PIECE];
    size_t piece_size, piece_done; /* of output, to be written to piece_fd */
    int piece_fd;
    char text[sizeof(struct exec_end) + EXEC_TEXT_MAX]; /* of EXEC_REFUSED and EXEC_ENDED */
    size_t text_size;

    int status; /* -1: not known yet */
};

/* ---- sending ---- */

static void queue(struct session *s, uint32_t type, const void *data, size_t size)
{
    struct exec_frame frame = {type, (uint32_t)size};
    char *more = realloc(s->out, s->out_size + sizeof(frame) + size);

    if (!more) {
        fputs("cofre: exec failed: out of memory\n", stderr);
        exit(EXIT_COFRE);
    }
    s->out = more;
    memcpy(s->out + s->out_size, &frame, sizeof(frame));
    memcpy(s->out + s->out_size + sizeof(frame), data, size);
    s->out_size += sizeof(frame) + size;
}

static void queue_window(struct session *s)
{
    uint32_t size = terminal_size();
    struct exec_window window = {(uint16_t)(size >> 16), (uint16_t)size};

    queue(s, EXEC_WINDOW, &window, sizeof(window));
}

/* False: the other side is gone; what it said before can still be read. */
static bool flush_out(struct session *s)
{
    ssize_t put = send(s->fd, s->out + s->out_done, s->out_size - s->out_done, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (put < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    s->out_done += put > 0 ? (size_t)put : 0;
    if (s->out_done == s->out_size)
        s->out_done = s->out_size = 0;
    return true;
}

static void read_input(struct session *s)
{
    char bytes[16384];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));

    if (got > 0)
        queue(s, EXEC_INPUT, bytes, (size_t)got);
    if (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN)))
        return;
    queue(s, EXEC_INPUT_END, "", 0);
    s->input_open = false;
}

/* ---- receiving ---- */

/* The host may have put anything there. */
static void print_reason(const struct session *s)
{
    fprintf(stderr, "cofre: exec in %s failed: ", s->name);
    for (size_t i = sizeof(struct exec_end); i < s->text_size; i++)
        putc((unsigned char)s->text[i] < ' ' || s->text[i] == 127 ? '?' : s->text[i], stderr);
    putc('\n', stderr);
}

static void take_end(struct session *s)
{
    struct exec_end end = {EXIT_COFRE};

    if (s->text_size >= sizeof(end))
        memcpy(&end, s->text, sizeof(end));
    s->status = (int)(end.status & 0xff);
    if (s->frame.type == EXEC_REFUSED)
        print_reason(s);
}

static bool is_text(const struct session *s)
{
    return s->frame.type == EXEC_REFUSED || s->frame.type == EXEC_ENDED;
}

/* False: that is not what a kernel says. */
static bool begin_frame(struct session *s)
{
    if (s->frame.size > EXEC_DATA_MAX || (is_text(s) && s->frame.size > sizeof(s->text)))
        return false;
    s->left = s->frame.size;
    s->text_size = 0;
    if (s->left == 0 && is_text(s))
        take_end(s);
    if (s->left == 0)
        s->frame_size = 0;
    return true;
}

/* A piece of the payload, of the size that was read. */
static void take_payload(struct session *s, size_t size)
{
    s->left -= (uint32_t)size;
    if (is_text(s)) {
        memcpy(s->text + s->text_size, s->piece, size);
        s->text_size += size;
        if (s->left == 0)
            take_end(s);
    } else if (s->frame.type == EXEC_OUTPUT || s->frame.type == EXEC_ERRORS) {
        s->piece_size = size;
        s->piece_done = 0;
        s->piece_fd = s->frame.type == EXEC_OUTPUT ? STDOUT_FILENO : STDERR_FILENO;
    }
    if (s->left == 0)
        s->frame_size = 0;
}

/* False: nothing more comes. */
static bool receive(struct session *s)
{
    bool head = s->frame_size < sizeof(s->frame);
    char *to = head ? (char *)&s->frame + s->frame_size : s->piece;
    size_t wanted = head ? sizeof(s->frame) - s->frame_size : s->left < PIECE ? s->left : PIECE;
    ssize_t got = recv(s->fd, to, wanted, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return false;
    if (!head) {
        take_payload(s, (size_t)got);
        return true;
    }
    s->frame_size += (size_t)got;
    return s->frame_size < sizeof(s->frame) || begin_frame(s);
}

/* Output that nobody takes is dropped; a closed pipe is SIGPIPE, which ends us and so the command's streams. */
static void write_output(struct session *s)
{
    ssize_t put = write(s->piece_fd, s->piece + s->piece_done, s->piece_size - s->piece_done);

    if (put < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    s->piece_done = put < 0 ? s->piece_size : s->piece_done + (size_t)put;
    if (s->piece_done == s->piece_size)
        s->piece_size = 0;
}

/* ---- all of it ---- */

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* False: the connection is over. */
static bool turn(struct session *s)
{
    bool writing = s->piece_size > 0, sending = s->out_size > 0;
    struct pollfd p[] = {
        {.fd = s->fd, .events = (short)((writing ? 0 : POLLIN) | (sending ? POLLOUT : 0))},
        {.fd = writing ? s->piece_fd : -1, .events = POLLOUT},
        {.fd = s->input_open && !sending ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = s->signals, .events = POLLIN},
    };
    struct signalfd_siginfo info;

    if (writing && !sending)
        p[0].fd = -1; /* its end can wait for the output before it */
    if (poll(p, 4, -1) < 0)
        return errno == EINTR;
    if (p[3].revents && read(s->signals, &info, sizeof(info)) > 0)
        queue_window(s);
    if (p[2].revents)
        read_input(s);
    if (p[1].revents)
        write_output(s);
    if ((p[0].revents & POLLOUT) && s->out_size && !flush_out(s)) {
        s->out_size = s->out_done = 0;
        s->input_open = false;
    }
    return s->piece_size || !(p[0].revents & (POLLIN | POLLHUP | POLLERR)) || receive(s);
}

int exec_session(int fd, const char *name, const void *request, size_t size, bool terminal, bool input)
{
    struct session s = {.fd = fd, .name = name, .terminal = terminal, .input_open = input, .signals = -1, .status = -1};

    queue(&s, EXEC_REQUEST, request, size);
    if (terminal) {
        s.signals = open_signals();
        if (input)
            terminal_raw(STDIN_FILENO);
    }
    while (s.status < 0 && turn(&s))
        ;
    while (s.piece_size)
        write_output(&s);
    terminal_restore();
    close(fd);
    free(s.out);
    if (s.status >= 0)
        return s.status;
    fprintf(stderr, "cofre: exec in %s failed: the container has ended\n", name);
    return STATUS_CONTAINER_ENDED;
}

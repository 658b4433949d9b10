/*
 * The standard streams: pipe-like files over the console's channels, or one terminal (run -t). The far side of the
 * terminal is the user's own, in raw mode: the line discipline here is the only one.
 */
#include "kernel/fs/console.h"

#include <asm-generic/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "abi/ring.h"
#include "kernel/arch/hostcall.h"
#include "kernel/boot/boot.h"
#include "kernel/fs/dev.h"
#include "kernel/fs/file.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tty.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/net/net.h"
#include "kernel/sched/output.h"
#include "kernel/sched/task.h"

#define CHUNK 1024

/* ---- streams ---- */

static const struct file_ops stream_file_ops;

/* The inodes of the streams that were opened, by channel. */
static struct inode *stream_inodes[3];

static unsigned channel_of(const struct file *file)
{
    return (unsigned)(uint64_t)file->private;
}

static ssize_t stream_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    unsigned channel = channel_of(file);
    uint8_t chunk[CHUNK];
    ssize_t done = 0, got;
    int r;

    while (to->count) {
        got = channel_read(channel, chunk, MIN(to->count, sizeof chunk));
        if (got == -EAGAIN && !done) {
            if (file->flags & O_NONBLOCK)
                return -EAGAIN;
            r = wait_event(channel_wait_queue(channel), channel_poll(channel) & (EPOLLIN | EPOLLHUP | EPOLLERR));
            if (r < 0)
                return r;
            continue;
        }
        if (got <= 0)
            return done ? done : got;
        if (copy_to_iter(to, chunk, (size_t)got) != (size_t)got)
            return done ? done : -EFAULT;
        done += got;
        if ((size_t)got < sizeof chunk)
            break;
    }
    return done;
}

/* Send all of it, waiting for room; bytes sent, or -errno if none. */
static ssize_t send_all(unsigned channel, const uint8_t *bytes, size_t size, bool nonblock)
{
    size_t sent = 0;
    int r;

    while (sent < size) {
        r = output_settle();
        if (r < 0)
            return sent ? (ssize_t)sent : r;
        ssize_t put = channel_write(channel, bytes + sent, size - sent);

        if (put == -EAGAIN) {
            if (nonblock)
                return sent ? (ssize_t)sent : -EAGAIN;
            r = wait_event(channel_wait_queue(channel), channel_poll(channel) & (EPOLLOUT | EPOLLERR));
            if (r < 0)
                return sent ? (ssize_t)sent : r;
            continue;
        }
        if (put < 0)
            return sent ? (ssize_t)sent : put;
        sent += (size_t)put;
    }
    return (ssize_t)sent;
}

static ssize_t stream_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    uint8_t chunk[CHUNK];
    ssize_t done = 0, sent = 0;

    while (from->count) {
        size_t got = copy_from_iter(from, chunk, sizeof chunk);

        if (got == 0)
            return done ? done : -EFAULT;
        sent = send_all(channel_of(file), chunk, got, file->flags & O_NONBLOCK);
        if (sent == -EPIPE)
            sigpipe_send();
        if (sent < 0)
            return done ? done : sent;
        done += sent;
        if ((size_t)sent < got)
            break;
    }
    return done;
}

static uint32_t stream_poll(struct file *file, struct poll_table *table)
{
    uint32_t events = channel_poll(channel_of(file));

    poll_wait(table, file, channel_wait_queue(channel_of(file)));
    if (!file_readable(file))
        events &= EPOLLOUT | EPOLLWRNORM | EPOLLERR;
    if (!file_writable(file))
        events &= EPOLLIN | EPOLLRDNORM | EPOLLHUP;
    return events;
}

/* Opened again by name (/proc/self/fd/1, /dev/stdout): the same stream. */
int console_reopen(struct inode *inode, struct file *file)
{
    for (unsigned channel = 0; channel < ARRAY_COUNT(stream_inodes); channel++) {
        if (stream_inodes[channel] != inode)
            continue;
        if (channel == CHANNEL_STDIN ? file_writable(file) : file_readable(file))
            return -EACCES;
        file->ops = &stream_file_ops;
        file->private = (void *)(uint64_t)channel;
        return 0;
    }
    return -ENOENT;
}

static const struct file_ops stream_file_ops = {
    .open = console_reopen,
    .read = stream_read,
    .write = stream_write,
    .poll = stream_poll,
};

int console_output_channel(const struct file *file)
{
    return file->ops == &stream_file_ops && file_writable(file) ? (int)channel_of(file) : -1;
}

static struct file *stream_open(unsigned channel)
{
    struct file *file = file_new_anon("pipe", &stream_file_ops, (void *)(uint64_t)channel,
                                      channel == CHANNEL_STDIN ? O_RDONLY : O_WRONLY);

    if (file) {
        file->inode->mode = S_IFIFO | 0600;
        stream_inodes[channel] = inode_get(file->inode);
    }
    return file;
}

/* ---- the terminal ---- */

static struct tty *terminal;

static size_t terminal_output(struct tty *tty, const char *bytes, size_t size)
{
    ssize_t put = channel_write(CHANNEL_STDOUT, bytes, size);

    return put > 0 ? (size_t)put : 0;
}

static size_t terminal_room(struct tty *tty)
{
    return channel_poll(CHANNEL_STDOUT) & EPOLLOUT ? CHUNK : 0;
}

static struct wait_queue *terminal_room_wait(struct tty *tty)
{
    return channel_wait_queue(CHANNEL_STDOUT);
}

static struct wait_queue input_room_wait;

static void terminal_input_room(struct tty *tty)
{
    wake_up_all(&input_room_wait, 0);
}

static const struct tty_driver terminal_driver = {
    .output = terminal_output,
    .room = terminal_room,
    .room_wait = terminal_room_wait,
    .input_room = terminal_input_room,
};

static void update_size(struct tty *tty)
{
    uint32_t size = (uint32_t)hostcall_console(CONSOLE_GET_WINSIZE, 0);

    tty_set_winsize(tty, (uint16_t)(size >> 16), (uint16_t)size, 0, 0);
}

/* Keys go through the line discipline as they come, read or not: ^C must work in a loop that never reads. */
static void terminal_reader(void *arg)
{
    struct tty *tty = arg;
    uint8_t chunk[256];

    for (;;) {
        ssize_t got = channel_read(CHANNEL_STDIN, chunk, sizeof chunk);
        size_t used = 0;

        if (channel_take_winsize(CHANNEL_STDIN))
            update_size(tty);
        if (got == -EAGAIN) {
            (void)wait_event(channel_wait_queue(CHANNEL_STDIN),
                             channel_poll(CHANNEL_STDIN) & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLPRI));
            continue;
        }
        if (got <= 0)
            break;
        while (used < (size_t)got) {
            used += tty_input(tty, chunk + used, (size_t)got - used);
            if (used < (size_t)got)
                (void)wait_event(&input_room_wait, tty_input_room(tty) > 0);
        }
    }
    tty_hangup(tty);
}

struct tty *console_tty(void)
{
    return terminal;
}

void console_init(void)
{
    const struct boot_params *params = boot_params();

    if (!(params->flags & BOOT_TTY))
        return;
    wait_queue_init(&input_room_wait);
    terminal = tty_new(&terminal_driver, NULL, DEV_PTS(0));
    if (!terminal)
        panic("no memory for the terminal");
    terminal->rows = params->tty_rows;
    terminal->columns = params->tty_cols;
    terminal->termios.c_iflag |= IUTF8;
}

/* ---- the first process's descriptors ---- */

static int install(struct file *file, int fd)
{
    int r;

    if (!file)
        return -ENOMEM;
    r = fd_install_at(file, fd, false);
    if (r < 0)
        file_put(file);
    return r < 0 ? r : 0;
}

static int open_terminal(void)
{
    struct file *file;
    int r = kernel_thread_start("tty", terminal_reader, terminal) ? 0 : -ENOMEM;

    if (r == 0)
        r = vfs_open(AT_FDCWD_, "/dev/pts/0", O_RDWR, 0, &file);
    if (r < 0)
        return r;
    for (int fd = 0; fd < 3 && r == 0; fd++)
        r = install(file_get(file), fd);
    file_put(file);
    return r;
}

int console_open_std(void)
{
    struct file *file;
    int r = 0;

    if (terminal)
        return open_terminal();
    if (boot_params()->flags & BOOT_STDIN_OPEN)
        file = stream_open(CHANNEL_STDIN);
    else
        r = vfs_open(AT_FDCWD_, "/dev/null", O_RDONLY, 0, &file);
    if (r == 0)
        r = install(file, 0);
    if (r == 0)
        r = install(stream_open(CHANNEL_STDOUT), 1);
    if (r == 0)
        r = install(stream_open(CHANNEL_STDERR), 2);
    return r;
}

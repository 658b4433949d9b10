/* Pseudo-terminals: /dev/ptmx gives a master, whose slave is /dev/pts/N. */
#include <asm-generic/errno.h>
#include <linux/fcntl.h>
#include <linux/signal.h>
#include <linux/stat.h>

#include "kernel/fs/console.h"
#include "kernel/fs/dev.h"
#include "kernel/fs/internal.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tty.h"
#include "kernel/fs/tty_line.h"
#include "kernel/fs/vfs.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscalls/syscall.h"

#define OUTPUT_SIZE 8192 /* what a slave may write ahead of its master */

struct pty {
    struct tty *slave;
    unsigned number;
    bool locked;
    uint32_t head, tail; /* of output; run freely */
    uint8_t output[OUTPUT_SIZE];
    struct wait_queue master_read, master_write;
};

static struct pty *ptys[PTY_MAX];

/* ---- the slave's far side ---- */

static size_t slave_room(struct tty *tty)
{
    struct pty *pty = tty->private;

    return pty ? OUTPUT_SIZE - (pty->head - pty->tail) : 0;
}

static size_t slave_output(struct tty *tty, const char *bytes, size_t size)
{
    struct pty *pty = tty->private;
    size_t taken = MIN(size, slave_room(tty));

    for (size_t i = 0; i < taken; i++)
        pty->output[pty->head++ % OUTPUT_SIZE] = (uint8_t)bytes[i];
    if (taken)
        wake_up(&pty->master_read, EPOLLIN | EPOLLRDNORM);
    return taken;
}

static struct wait_queue *slave_room_wait(struct tty *tty)
{
    return &tty->write_wait;
}

static void slave_input_room(struct tty *tty)
{
    struct pty *pty = tty->private;

    if (pty)
        wake_up(&pty->master_write, EPOLLOUT | EPOLLWRNORM);
}

static void slave_last_closed(struct tty *tty)
{
    struct pty *pty = tty->private;

    if (pty)
        wake_up_all(&pty->master_read, EPOLLIN | EPOLLHUP);
}

static const struct tty_driver slave_driver = {
    .closed = slave_last_closed,
    .output = slave_output,
    .room = slave_room,
    .room_wait = slave_room_wait,
    .input_room = slave_input_room,
};

/* ---- the master ---- */

static int master_open(struct inode *inode, struct file *file)
{
    unsigned number = console_tty() ? 1 : 0;
    struct pty *pty;

    while (number < PTY_MAX && ptys[number])
        number++;
    if (number == PTY_MAX)
        return -ENOSPC;
    pty = kzalloc(sizeof *pty);
    if (!pty)
        return -ENOMEM;
    pty->slave = tty_new(&slave_driver, pty, DEV_PTS(number));
    if (!pty->slave) {
        kfree(pty);
        return -ENOMEM;
    }
    pty->slave->attributes.uid = fs_credentials()->fsuid;
    pty->slave->attributes.gid = fs_credentials()->fsgid;
    pty->number = number;
    pty->locked = true;
    wait_queue_init(&pty->master_read);
    wait_queue_init(&pty->master_write);
    ptys[number] = pty;
    file->private = pty;
    return 0;
}

static void master_release(struct file *file)
{
    struct pty *pty = file->private;

    ptys[pty->number] = NULL;
    tty_hangup(pty->slave);
    pty->slave->private = NULL;
    tty_put(pty->slave);
    kfree(pty);
}

/* No slave is open, but one has been: the master reads the end. */
static bool slave_closed(const struct pty *pty)
{
    return pty->slave->slaves == 0 && pty->slave->opened;
}

static ssize_t take_output(struct pty *pty, struct iov_iter *to)
{
    ssize_t done = 0;

    if (pty->slave->packet && to->count) {
        uint8_t status = pty->slave->packet_status;

        if (copy_to_iter(to, &status, 1) != 1)
            return -EFAULT;
        pty->slave->packet_status = 0;
        done = 1;
        if (status)
            return done;
    }
    while (pty->head != pty->tail && to->count) {
        uint32_t at = pty->tail % OUTPUT_SIZE;
        size_t run = MIN(OUTPUT_SIZE - at, pty->head - pty->tail), wanted = MIN(run, to->count);
        size_t got = copy_to_iter(to, pty->output + at, wanted);

        pty->tail += (uint32_t)got;
        done += (ssize_t)got;
        if (got < wanted)
            return done ? done : -EFAULT;
    }
    return done;
}

static bool master_readable(const struct pty *pty)
{
    return pty->head != pty->tail || (pty->slave->packet && pty->slave->packet_status);
}

static ssize_t master_read(struct file *file, struct iov_iter *to, file_off_t *pos)
{
    struct pty *pty = file->private;
    ssize_t done;
    int r;

    if (!master_readable(pty)) {
        if (slave_closed(pty))
            return -EIO;
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        r = wait_event(&pty->master_read, master_readable(pty) || slave_closed(pty));
        if (r < 0)
            return r;
        if (!master_readable(pty))
            return -EIO;
    }
    done = take_output(pty, to);
    wake_up(&pty->slave->write_wait, EPOLLOUT | EPOLLWRNORM);
    return done;
}

static bool master_writable(const struct pty *pty)
{
    const struct tty *tty = pty->slave;

    return tty_input_room(tty) > 0 || ((tty->termios.c_lflag & ICANON) && tty->line_end == tty->tail);
}

static ssize_t master_write(struct file *file, struct iov_iter *from, file_off_t *pos)
{
    struct pty *pty = file->private;
    ssize_t done = 0;
    int r;

    while (from->count) {
        uint8_t byte;

        if (!master_writable(pty)) {
            if (done)
                return done;
            if (file->flags & O_NONBLOCK)
                return -EAGAIN;
            r = wait_event(&pty->master_write, master_writable(pty));
            if (r < 0)
                return r;
        }
        if (copy_from_iter(from, &byte, 1) != 1)
            return done ? done : -EFAULT;
        tty_input(pty->slave, &byte, 1);
        done++;
    }
    return done;
}

static uint32_t master_poll(struct file *file, struct poll_table *table)
{
    struct pty *pty = file->private;
    uint32_t events = 0;

    poll_wait(table, file, &pty->master_read);
    poll_wait(table, file, &pty->master_write);
    if (master_readable(pty))
        events |= EPOLLIN | EPOLLRDNORM;
    if (master_writable(pty))
        events |= EPOLLOUT | EPOLLWRNORM;
    if (slave_closed(pty))
        events |= EPOLLHUP;
    return events;
}

static int64_t open_peer(struct pty *pty, unsigned flags)
{
    char path[24];
    struct file *file;
    int r;

    snprintf(path, sizeof path, "/dev/pts/%u", pty->number);
    r = vfs_open(AT_FDCWD_, path, flags, 0, &file);
    if (r < 0)
        return r;
    r = fd_install(file, 0, flags & O_CLOEXEC);
    if (r < 0)
        file_put(file);
    return r;
}

static int64_t master_ioctl(struct file *file, unsigned command, uint64_t arg)
{
    struct pty *pty = file->private;
    struct tty *tty = pty->slave;
    uint32_t value;

    switch (command) {
    case TIOCGPTN:
        return put_user32(arg, pty->number);
    case TIOCSPTLCK:
        if (get_user32(&value, arg) < 0)
            return -EFAULT;
        pty->locked = value;
        return 0;
    case TIOCGPTLCK:
        return put_user32(arg, pty->locked);
    case TIOCGPTPEER:
        return open_peer(pty, (unsigned)arg);
    case TIOCPKT:
        if (get_user32(&value, arg) < 0)
            return -EFAULT;
        tty->packet = value;
        tty->packet_status = 0;
        return 0;
    case TIOCGPKT:
        return put_user32(arg, tty->packet);
    case TIOCSIG:
        if (arg < 1 || arg > 64)
            return -EINVAL;
        tty_signal(tty, (int)arg);
        return 0;
    case FIONREAD:
        return put_user32(arg, pty->head - pty->tail);
    case TIOCGPGRP:
        return put_user32(arg, (uint32_t)tty->foreground);
    case TIOCGSID:
        return tty->session ? put_user32(arg, (uint32_t)tty->session) : -ENOTTY;
    case TCFLSH:
        pty->tail = arg == TCIFLUSH ? pty->tail : pty->head;
        return 0;
    default:
        return tty_ioctl_common(tty, command, arg);
    }
}

static const struct file_ops master_file_ops = {
    .open = master_open,
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .ioctl = master_ioctl,
    .release = master_release,
};

int pty_new(unsigned flags, struct file **ret_master, unsigned *ret_number)
{
    static const struct file_ops unopened;
    struct file *file = file_new_anon("[pty]", &unopened, NULL, O_RDWR | flags);
    struct pty *pty;
    int r;

    if (!file)
        return -ENOMEM;
    r = master_open(NULL, file);
    if (r < 0) {
        file_put(file);
        return r;
    }
    file->ops = &master_file_ops;
    pty = file->private;
    pty->locked = false;
    *ret_master = file;
    *ret_number = pty->number;
    return 0;
}

/* ---- the slave by name ---- */

struct tty *pty_slave(unsigned number)
{
    if (number == 0 && console_tty())
        return console_tty();
    return number < PTY_MAX && ptys[number] ? ptys[number]->slave : NULL;
}

bool pty_next(uint64_t *number)
{
    for (uint64_t n = *number; n < PTY_MAX; n++) {
        if (pty_slave((unsigned)n)) {
            *number = n;
            return true;
        }
    }
    return false;
}

static int slave_open(struct inode *inode, struct file *file)
{
    unsigned number = (unsigned)(inode->rdev & 0xff);
    struct tty *tty = pty_slave(number);

    if (!tty || (ptys[number] && ptys[number]->locked))
        return -EIO;
    file->ops = &tty_file_ops;
    return tty_open(tty, file);
}

static const struct file_ops slave_file_ops = {.open = slave_open};

void pty_init(void)
{
    device_register(DEV_PTMX, &master_file_ops);
    device_register(DEV_PTS(0) | DEVICE_ANY_MINOR, &slave_file_ops);
}

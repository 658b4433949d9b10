/*
 * Terminals: termios, the line discipline (n_tty), sessions. What sits behind one (the console's channels, a
 * pseudo-terminal's master) is a struct tty_driver.
 */
#ifndef COFRE_KERNEL_FS_TTY_H
#define COFRE_KERNEL_FS_TTY_H

#include <asm/ioctls.h>
#include <asm/termbits.h>

#include "kernel/fs/file.h"
#include "kernel/fs/pseudofs.h"
#include "kernel/sched/wait.h"

struct winsize;
struct tty;

struct tty_driver {
    /* Send bytes to the far side without waiting; how many were taken. */
    size_t (*output)(struct tty *tty, const char *bytes, size_t size);
    /* Bytes that output would take now. */
    size_t (*room)(struct tty *tty);
    struct wait_queue *(*room_wait)(struct tty *tty);
    /* The reader made room in a full input buffer: bytes held back may come now. May be NULL. */
    void (*input_room)(struct tty *tty);
    /* The last file was closed. May be NULL. */
    void (*closed)(struct tty *tty);
};

#define TTY_INPUT_SIZE 4096

struct tty {
    const struct tty_driver *driver;
    void *private;
    unsigned refcount;
    uint64_t rdev;
    struct termios2 termios;
    uint16_t rows, columns, x_pixels, y_pixels;
    int session, foreground; /* 0: nobody's */
    bool hung_up;            /* the far side is gone: reads end, writes fail */
    bool stopped;            /* output, by ^S */
    bool packet;             /* master's TIOCPKT */
    uint8_t packet_status;
    unsigned slaves; /* open files */
    bool opened;     /* once */
    /* input: TTY_* flags above the byte */
    uint16_t input[TTY_INPUT_SIZE];
    uint32_t head, tail, line_end; /* free running; canonical reads stop at line_end */
    bool literal_next;
    unsigned column, line_start_column;
    struct wait_queue read_wait, write_wait;
    struct pseudo_attributes attributes; /* of its name in /dev/pts */
};

extern const struct file_ops tty_file_ops; /* private = struct tty, one reference each */

struct tty *tty_new(const struct tty_driver *driver, void *private, uint64_t rdev) must_check;
struct tty *tty_get(struct tty *tty);
void tty_put(struct tty *tty);
/* Bytes from the far side; how many were taken (fewer when the buffer is full). */
size_t tty_input(struct tty *tty, const uint8_t *bytes, size_t size);
size_t tty_input_room(const struct tty *tty);
void tty_hangup(struct tty *tty);
void tty_set_winsize(struct tty *tty, uint16_t rows, uint16_t columns, uint16_t x_pixels, uint16_t y_pixels);
/* Set up a struct file of tty that is being opened (takes a reference). */
int tty_open(struct tty *tty, struct file *file);
/* The current process's controlling terminal, or NULL (borrowed). */
struct tty *tty_controlling(void);

/*
 * A new pseudo-terminal, the current process's user its owner, not locked: its master, and the number of its slave's
 * name in /dev/pts. When the master goes the terminal hangs up. kernel/fs/pty.c. 0 or negative errno.
 */
must_check int pty_new(unsigned flags, struct file **ret_master, unsigned *ret_number);

/* kernel/fs/tty_session.c */
struct process;
/* The process has no terminal any more. */
void tty_forget(struct process *process);
/* Opening: a session leader without a terminal gets this one, if it is nobody's. */
void tty_acquire(struct tty *tty);
/* The far side is gone: its session loses it, the leader is told. */
void tty_session_hangup(struct tty *tty);
/* A session leader ends: its terminal is nobody's then, the foreground group is told. */
void tty_session_ends(struct process *leader);
/* Reading (SIGTTIN), and writing and settings (SIGTTOU), from the background: 0 = go on, -ERESTARTSYS = its group was
 * told to stop, -EIO = it cannot be. */
must_check int tty_check_background(struct tty *tty, int signal);
/* TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCGSID. */
int64_t tty_session_ioctl(struct tty *tty, unsigned command, uint64_t arg);
/* ioctls that masters share with slaves: -ENOTTY if unknown. */
int64_t tty_ioctl_common(struct tty *tty, unsigned command, uint64_t arg);

#endif

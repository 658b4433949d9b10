/*
 * Terminals and sessions. A terminal knows its session and its foreground group by number (tty->session, foreground);
 * a process knows its terminal (process->tty), which its children inherit. Both sides are cleared together.
 */
#include <asm-generic/errno.h>
#include <linux/capability.h>
#include <linux/signal.h>

#include "kernel/fs/tty.h"
#include "kernel/fs/tty_line.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/signal.h"
#include "kernel/process/table.h"
#include "kernel/sched/task.h"

struct tty *tty_controlling(void)
{
    return process_self()->tty;
}

void tty_forget(struct process *process)
{
    struct tty *tty = process->tty;

    process->tty = NULL;
    if (tty)
        tty_put(tty);
}

static void set_controlling(struct tty *tty)
{
    struct process *process = process_self();

    tty->session = process->sid;
    tty->foreground = process->pgid;
    process->tty = tty_get(tty);
}

void tty_acquire(struct tty *tty)
{
    const struct process *process = process_self();

    if (process->session_leader && !process->tty && !tty->session)
        set_controlling(tty);
}

/* Nobody of the session has the terminal any more. */
static void session_forget(int sid)
{
    struct process *process;

    TAILQ_FOREACH (process, &process_list, table_link)
        if (process->sid == sid)
            tty_forget(process);
}

static void signal_group(int pgid, int signal)
{
    struct signal_source source = {.signal = signal, .code = SI_KERNEL};

    if (pgid)
        group_signal(pgid, &source);
}

void tty_signal(struct tty *tty, int signal)
{
    signal_group(tty->foreground, signal);
}

static void disconnect(struct tty *tty)
{
    int sid = tty->session;

    tty->session = tty->foreground = 0;
    if (sid)
        session_forget(sid);
}

void tty_session_hangup(struct tty *tty)
{
    struct process *leader = tty->session ? process_find(tty->session) : NULL;
    struct signal_source source = {.signal = SIGHUP, .code = SI_KERNEL};

    if (leader && leader->session_leader && leader->tty == tty) {
        leader->tty_old_group = tty->foreground;
        signal_send_process(leader, &source);
        source.signal = SIGCONT;
        signal_send_process(leader, &source);
    }
    tty_get(tty);
    disconnect(tty);
    tty_put(tty);
}

void tty_session_ends(struct process *leader)
{
    struct tty *tty = leader->tty;

    if (!tty) {
        signal_group(leader->tty_old_group, SIGHUP);
        signal_group(leader->tty_old_group, SIGCONT);
        return;
    }
    tty_get(tty);
    signal_group(tty->foreground, SIGHUP);
    disconnect(tty);
    tty_put(tty);
}

/* TIOCNOTTY: a session leader takes the terminal from the whole session. */
static void give_up(struct tty *tty)
{
    struct process *process = process_self();

    tty_get(tty);
    if (process->session_leader) {
        tty_signal(tty, SIGHUP);
        tty_signal(tty, SIGCONT);
        disconnect(tty);
    } else {
        tty_forget(process);
    }
    tty_put(tty);
}

int tty_check_background(struct tty *tty, int signal)
{
    const struct process *process = process_self();
    struct signal_source source = {.signal = signal, .code = SI_KERNEL};

    if (process->tty != tty || !tty->foreground || tty->foreground == process->pgid)
        return 0;
    if (process->actions[signal - 1].handler == 1 /* SIG_IGN */ ||
        (task_current()->signals.blocked & SIGNAL_BIT(signal)))
        return signal == SIGTTIN ? -EIO : 0;
    if (group_orphaned(process->pgid))
        return -EIO;
    group_signal(process->pgid, &source);
    return -ERESTARTSYS;
}

static int64_t set_terminal(struct tty *tty, uint64_t steal)
{
    const struct process *process = process_self();

    if (process->session_leader && tty->session == process->sid)
        return 0;
    if (!process->session_leader || process->tty)
        return -EPERM;
    if (tty->session) {
        if (steal != 1 || !process_capable(CAP_SYS_ADMIN))
            return -EPERM;
        disconnect(tty);
    }
    set_controlling(tty);
    return 0;
}

static int64_t set_foreground(struct tty *tty, uint64_t arg)
{
    const struct process *self = process_self(), *process;
    uint32_t value;
    int sid, r = tty_check_background(tty, SIGTTOU);

    if (r < 0)
        return r == -EIO ? -ENOTTY : r;
    if (get_user32(&value, arg) < 0)
        return -EFAULT;
    if ((int)value < 0)
        return -EINVAL;
    if (self->tty != tty || tty->session != self->sid)
        return -ENOTTY;
    if (!group_exists((int)value, &sid)) {
        process = process_find((int)value);
        if (!process)
            return -ESRCH;
        sid = process->sid;
    }
    if (sid != self->sid)
        return -EPERM;
    tty->foreground = (int)value;
    return 0;
}

int64_t tty_session_ioctl(struct tty *tty, unsigned command, uint64_t arg)
{
    if (command == TIOCSCTTY)
        return set_terminal(tty, arg);
    if (command == TIOCSPGRP)
        return set_foreground(tty, arg);
    if (tty != tty_controlling())
        return -ENOTTY;
    switch (command) {
    case TIOCGPGRP:
        return put_user32(arg, (uint32_t)tty->foreground);
    case TIOCGSID:
        return put_user32(arg, (uint32_t)tty->session);
    default: /* TIOCNOTTY */
        give_up(tty);
        return 0;
    }
}

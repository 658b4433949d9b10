/* For tests of kernel/process whose processes have no folders, terminals, futexes, timers or System V IPC. */
#include "kernel/fs/fs_context.h"
#include "kernel/fs/pidfd.h"
#include "kernel/fs/tty.h"
#include "kernel/ipc/ipc.h"
#include "kernel/process/futex.h"
#include "kernel/process/itimer.h"
#include "kernel/process/posix_timer.h"
#include "kernel/process/siginfo.h"
#include "kernel/process/table.h"

struct fs_context *fs_context_copy(const struct fs_context *fs)
{
    return NULL;
}

struct fs_context *fs_context_get(struct fs_context *fs)
{
    return fs;
}

void fs_context_put(struct fs_context *fs)
{
}

struct tty *tty_get(struct tty *tty)
{
    return tty;
}

void tty_put(struct tty *tty)
{
}

struct process *pidfd_process(int fd, unsigned *ret_flags)
{
    return NULL;
}

void futex_exit_pi(struct task *task)
{
}

void futex_exit_robust(struct task *task)
{
}

int futex_wake_address(uaddr_t addr, int count)
{
    return 0;
}

void itimers_delete(struct process *process)
{
}

void itimers_limit(struct process *process)
{
}

void posix_timers_delete(struct process *process)
{
}

void posix_timer_dequeued(struct process *process, struct signal_source *source)
{
}

void process_vfork_done(struct process *process)
{
}

void ipc_process_ended(const struct process *process)
{
}

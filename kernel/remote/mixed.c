/* Calls that depend on their arguments (contract in mixed.h). */
#include "kernel/remote/mixed.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>
#include <linux/ioprio.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/resource.h>

#include "abi/stats.h"
#include "kernel/fs/file.h"
#include "kernel/fs/poll_time.h"
#include "kernel/ipc/ipc.h"
#include "kernel/lib/printk.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/process.h"
#include "kernel/process/signal.h"
#include "kernel/remote/calls.h"
#include "kernel/remote/client.h"
#include "kernel/remote/remote_file.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/table.h"

static syscall_fn table[STATS_SYSCALL_MAX];
static syscall_fn hook_execve, hook_execveat, hook_mmap;

/* Clocks of other processes: as in kernel/process/clock.c, their ids are ~pid << 3 | kind. */
static int64_t read_clock(struct trap_frame *frame)
{
    int clock = (int)frame->rdi, pid = ~(clock >> 3);
    bool of_another = clock < 0 && !(clock & 4 /* of a thread */) && pid != 0 && pid != process_self()->pid;
    return of_another ? remote_syscall(frame) : remote_local((uint32_t)frame->orig_rax, frame);
}

void mixed_init(void)
{
    const syscall_fn *functions = syscall_functions();
    for (uint64_t nr = 0; nr < STATS_SYSCALL_MAX; nr++) {
        unsigned place = remote_call_describe(nr)->place;
        if (!functions[nr])
            continue;
        ASSERT(place != CALL_NOWHERE);
        table[nr] = place == CALL_HERE ? functions[nr] : remote_syscall;
    }
    table[__NR_clock_gettime] = table[__NR_clock_getres] = read_clock; /* without delay where it is here */
    syscall_use(table);
}

int64_t remote_local(uint64_t nr, struct trap_frame *frame)
{
    return syscall_functions()[nr](frame);
}

void remote_mixed_set(uint64_t nr, syscall_fn fn)
{
    if (nr == __NR_execve)
        hook_execve = fn;
    else if (nr == __NR_execveat)
        hook_execveat = fn;
    else if (nr == __NR_mmap)
        hook_mmap = fn;
    else
        panic("system call %lu is not a mixed one", nr);
}

enum where { THERE, HERE, FIRST_THERE };

static int64_t run(enum where where, uint64_t nr, struct trap_frame *frame, const uint64_t args[6])
{
    int64_t r = where == HERE ? 0 : remote_call(nr, args);
    return r < 0 || where == THERE ? r : remote_local(nr, frame);
}

/* ---- whose process or thread it is ---- */

static bool is_mine(uint64_t id)
{
    return (int)id == process_self()->pid || thread_find((int)id) != NULL;
}

static bool is_mine_or_0(uint64_t id)
{
    return (int)id == 0 || is_mine(id);
}

static enum where capget_where(const uint64_t args[6])
{
    uint32_t pid;
    return get_user32(&pid, args[0] + 4) < 0 || is_mine_or_0(pid) ? HERE : THERE;
}

static enum where priority_where(uint64_t nr, const uint64_t args[6])
{
    if ((int)args[0] != PRIO_PROCESS || !is_mine_or_0(args[1]))
        return THERE;
    if (nr == __NR_setpriority)
        return FIRST_THERE;
    /* Others may have changed that of the first thread, which is the process's. */
    return task_current()->tid == process_self()->pid ? THERE : HERE;
}

static enum where prctl_where(const uint64_t args[6])
{
    switch ((int)args[0]) {
    case PR_SET_PDEATHSIG:
    case PR_GET_PDEATHSIG:
    case PR_SET_CHILD_SUBREAPER:
    case PR_GET_CHILD_SUBREAPER:
        return THERE;
    case PR_SET_NAME: /* the process's name is its first thread's */
        return task_current()->tid == process_self()->pid ? FIRST_THERE : HERE;
    case PR_SET_DUMPABLE:
    case PR_SET_NO_NEW_PRIVS:
    case PR_CAPBSET_DROP:
    case PR_CAP_AMBIENT:
    case PR_SET_SECUREBITS:
    case PR_SET_KEEPCAPS:
        return FIRST_THERE;
    default:
        return HERE;
    }
}

/* The caller's own time is known here, that of its children there. */
static int64_t times(struct trap_frame *frame, const uint64_t args[6])
{
    uint64_t children[2];
    int64_t r = remote_call(__NR_times, args);
    if (r < 0 || args[0] == 0)
        return r;
    if (copy_from_user(children, args[0] + 16, sizeof(children)) < 0 || (r = remote_local(__NR_times, frame)) < 0 ||
        copy_to_user(args[0] + 16, children, sizeof(children)) < 0)
        return -EFAULT;
    return r;
}

/* ---- waiting with another signal mask ---- */

static int64_t wait_masked(uint64_t nr, const uint64_t args[6], unsigned mask_arg, uint64_t mask, uint64_t mask_size)
{
    uint64_t there[6];
    for (unsigned i = 0; i < 6; i++)
        there[i] = i == mask_arg ? 0 : args[i];
    int r = signal_mask_temporary_user(mask, mask_size);
    if (r < 0)
        return r;
    int64_t result = remote_call(nr, there);
    signal_mask_restore_unless_interrupted(result);
    return result;
}

static int64_t pselect6(const uint64_t args[6])
{
    uint64_t mask[2] = {0, 0};
    if (args[5] && copy_from_user(mask, args[5], sizeof(mask)) < 0)
        return -EFAULT;
    return wait_masked(__NR_pselect6, args, 5, mask[0], mask[1]);
}

/* poll goes on to its deadline when it was interrupted and no handler ran. restart_args: fds, count, deadline. */
static int64_t poll_restart(struct task *task)
{
    uint64_t args[6] = {task->restart_args[0], task->restart_args[1], UINT64_MAX};
    if (task->restart_args[2] != NO_DEADLINE) {
        uint64_t now = time_monotonic_ns(), deadline = task->restart_args[2];
        args[2] = deadline > now ? (deadline - now + 999999) / 1000000 : 0;
    }
    int64_t result = remote_call(__NR_poll, args);
    if (result != -EINTR)
        return result;
    task->restart_fn = poll_restart;
    return -ERESTART_RESTARTBLOCK;
}

static int64_t poll(const uint64_t args[6])
{
    struct task *task = task_current();
    int timeout_ms = (int)args[2];
    task->restart_args[0] = args[0];
    task->restart_args[1] = (uint32_t)args[1];
    task->restart_args[2] = timeout_ms < 0 ? NO_DEADLINE : time_monotonic_ns() + (unsigned)timeout_ms * 1000000ULL;
    int64_t result = remote_call(__NR_poll, args);
    if (result != -EINTR)
        return result;
    task->restart_fn = poll_restart;
    return -ERESTART_RESTARTBLOCK;
}

/* ---- memory of the init enclave's ---- */

/* The segment comes as a descriptor, and that as a mapping. */
static int64_t shmat(const uint64_t args[6])
{
    struct file *file;
    int64_t fd = remote_call(__NR_shmat, args);
    if (fd < 0)
        return fd;
    int64_t r = remote_file_get((int)fd, &file);
    (void)!remote_call(__NR_close, (const uint64_t[6]){(uint64_t)fd});
    if (r < 0)
        return r;
    r = shm_map(file, args[1], (int)args[2]);
    file_put(file);
    return r;
}

/* ---- */

static int64_t hooked(syscall_fn hook, struct trap_frame *frame, int error)
{
    return hook ? hook(frame) : error;
}

int64_t remote_mixed(uint64_t nr, struct trap_frame *frame, const uint64_t args[6])
{
    switch (nr) {
    case __NR_mmap:
        return args[3] & MAP_ANONYMOUS ? remote_local(nr, frame) : hooked(hook_mmap, frame, -ENODEV);
    case __NR_shmat:
        return shmat(args);
    case __NR_execve:
        return hooked(hook_execve, frame, -ENOSYS);
    case __NR_execveat:
        return hooked(hook_execveat, frame, -ENOSYS);
    case __NR_kill:
    case __NR_tkill:
    case __NR_tgkill:
    case __NR_rt_sigqueueinfo:
    case __NR_rt_tgsigqueueinfo:
        return run((int)args[0] > 0 && is_mine(args[0]) ? HERE : THERE, nr, frame, args);
    case __NR_sched_getaffinity:
    case __NR_sched_setaffinity:
    case __NR_sched_getattr:
    case __NR_sched_setattr:
    case __NR_sched_getparam:
    case __NR_sched_setparam:
    case __NR_sched_getscheduler:
    case __NR_sched_setscheduler:
    case __NR_sched_rr_get_interval:
        return run(is_mine_or_0(args[0]) ? HERE : THERE, nr, frame, args);
    case __NR_prlimit64:
        return run(!is_mine_or_0(args[0]) ? THERE : args[2] ? FIRST_THERE : HERE, nr, frame, args);
    case __NR_capget:
        return run(capget_where(args), nr, frame, args);
    case __NR_getpriority:
    case __NR_setpriority:
        return run(priority_where(nr, args), nr, frame, args);
    case __NR_ioprio_get:
    case __NR_ioprio_set:
        return run((int)args[0] == IOPRIO_WHO_PROCESS && !is_mine_or_0(args[1]) ? THERE : HERE, nr, frame, args);
    case __NR_prctl:
        return run(prctl_where(args), nr, frame, args);
    case __NR_getrusage:
        return run((int)args[0] == RUSAGE_CHILDREN ? THERE : HERE, nr, frame, args);
    case __NR_times:
        return times(frame, args);
    case __NR_clock_gettime:
    case __NR_clock_getres:
        return run(THERE, nr, frame, args);
    case __NR_poll:
        return poll(args);
    case __NR_ppoll:
        return wait_masked(nr, args, 3, args[3], args[4]);
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2:
        return wait_masked(nr, args, 4, args[4], args[5]);
    case __NR_pselect6:
        return pselect6(args);
    default:
        panic("system call %lu is not a mixed one", nr);
    }
}

/* The dispatch table: every number of <asm/unistd_64.h>, by weak reference to sys_NAME; what nobody defines is ENOSYS.
 */
#include "kernel/syscalls/table.h"

#include <asm/unistd_64.h>
#include <linux/errno.h>

#include "abi/stats.h"
#include "kernel/arch/vcpu.h"
#include "kernel/boot/boot.h"
#include "kernel/sched/task.h"
#include "kernel/syscalls/trace.h"

#define SYSCALL(name, nr) int64_t sys_##name(struct trap_frame *frame) __attribute__((weak));
#include "kernel/syscalls/numbers.inc"
#undef SYSCALL

static const syscall_fn functions[STATS_SYSCALL_MAX] = {
#define SYSCALL(name, nr) [nr] = sys_##name,
#include "kernel/syscalls/numbers.inc"
#undef SYSCALL
};

static const syscall_fn *used = functions;

static const char *const names[STATS_SYSCALL_MAX] = {
#define SYSCALL(name, nr) [nr] = #name,
#include "kernel/syscalls/numbers.inc"
#undef SYSCALL
};

#define SYSCALL(name, nr) extern const char sys_##name##_arguments[] __attribute__((weak));
#include "kernel/syscalls/numbers.inc"
#undef SYSCALL

static const char *const arguments[STATS_SYSCALL_MAX] = {
#define SYSCALL(name, nr) [nr] = sys_##name##_arguments,
#include "kernel/syscalls/numbers.inc"
#undef SYSCALL
};

static const bool lockless[STATS_SYSCALL_MAX] = {
#define LOCKLESS(name) [__NR_##name] = true,
    SYSCALL_LOCKLESS(LOCKLESS)
#undef LOCKLESS
};

bool syscall_is_lockless(uint64_t nr)
{
    return nr < STATS_SYSCALL_MAX && lockless[nr];
}

const syscall_fn *syscall_functions(void)
{
    return functions;
}

void syscall_use(const syscall_fn *table)
{
    used = table;
}

const char *syscall_name(uint64_t nr)
{
    return nr < STATS_SYSCALL_MAX ? names[nr] : NULL;
}

const char *syscall_arguments(uint64_t nr)
{
    return nr < STATS_SYSCALL_MAX ? arguments[nr] : NULL;
}

enum { READS = 1, WRITES = 2 };

/* Calls that /proc/PID/io counts, as Linux: those of sockets alone are not. */
static const uint8_t io_kinds[STATS_SYSCALL_MAX] = {
    [__NR_read] = READS,      [__NR_pread64] = READS,           [__NR_readv] = READS,
    [__NR_preadv] = READS,    [__NR_preadv2] = READS,           [__NR_write] = WRITES,
    [__NR_pwrite64] = WRITES, [__NR_writev] = WRITES,           [__NR_pwritev] = WRITES,
    [__NR_pwritev2] = WRITES, [__NR_sendfile] = READS | WRITES, [__NR_copy_file_range] = READS | WRITES,
};

/* In the enclave of the thread that calls. */
static void count_io(struct task *task, unsigned kinds, int64_t result)
{
    uint64_t bytes = result > 0 ? (uint64_t)result : 0;

    if (result == -EBADF || task->agent)
        return;
    if (kinds & READS) {
        task->io.reads++;
        task->io.bytes_read += bytes;
    }
    if (kinds & WRITES) {
        task->io.writes++;
        task->io.bytes_written += bytes;
    }
}

static bool tracing;

void syscall_init(void)
{
    tracing = (boot_params()->flags & BOOT_TRACE) && policy_allows(POLICY_DIAGNOSTICS);
}

static int64_t call_traced(struct trap_frame *frame, uint64_t nr, syscall_fn fn)
{
    struct trace trace;
    trace_begin(&trace, nr, frame);
    if (nr == __NR_exit || nr == __NR_exit_group || nr == __NR_execve || nr == __NR_execveat || nr == __NR_rt_sigreturn)
        trace_print(&trace);
    int64_t result = fn ? fn(frame) : -ENOSYS;
    trace_end(&trace, result, fn != NULL);
    return result;
}

int64_t syscall_call(struct trap_frame *frame, uint64_t nr, bool slow)
{
    struct vcpu *vcpu = vcpu_self();
    syscall_fn fn;

    if (unlikely(nr >= STATS_SYSCALL_MAX))
        return -ENOSYS;
    vcpu->syscalls[nr]++;
    if (unlikely(slow))
        vcpu->syscalls_slow[nr]++;
    fn = used[nr];
    if (unlikely(!fn)) {
        vcpu->syscalls_enosys[nr]++;
        return unlikely(tracing) ? call_traced(frame, nr, NULL) : -ENOSYS;
    }
    /* An agent's call is in the trace of whom it acts for. */
    if (likely(!tracing) || task_current()->agent) {
        struct task *task = task_current();
        struct recent_call *call = task_call_begin(task, nr, frame->rdi);
        int64_t result = call->result = fn(frame);
        if (io_kinds[nr])
            count_io(task, io_kinds[nr], result);
        return result;
    }
    int64_t result = call_traced(frame, nr, fn);
    if (io_kinds[nr])
        count_io(task_current(), io_kinds[nr], result);
    return result;
}

void syscall_stats(struct run_stats *stats)
{
    for (unsigned v = 0; v < vcpu_count(); v++) {
        const struct vcpu *vcpu = vcpu_at(v);
        for (unsigned i = 0; i < STATS_SYSCALL_MAX; i++) {
            stats->syscalls[i] += vcpu->syscalls[i];
            stats->syscalls_slow[i] += vcpu->syscalls_slow[i];
            stats->syscalls_enosys[i] += vcpu->syscalls_enosys[i];
        }
    }
}

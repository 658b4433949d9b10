/*
 * System calls and exceptions of application code, and page faults of the kernel's own accesses to it.
 *
 * These run on the task's kernel stack with its user context in *frame. The kernel lock is taken here and released
 * before going back to user_return.
 */
#include "kernel/arch/trap.h"

#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/errno.h>

#include "kernel/arch/emulate.h"
#include "kernel/arch/extable.h"
#include "kernel/arch/hostcall.h"
#include "kernel/arch/vcpu.h"
#include "kernel/lib/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/signal.h"
#include "kernel/sched/lock.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/task.h"
#include "kernel/sched/time.h"
#include "kernel/syscalls/table.h"

/* Before the lock is given up and user_return entered: everything that waits for this moment. */
static void leave_to_user(struct trap_frame *frame)
{
    struct vcpu *vcpu = vcpu_self();
    struct task *task = vcpu->current;
    if (unlikely(timers_urgent))
        timers_run(time_monotonic_ns());
    /* a tick that came in the middle of a task switch marked the task before */
    while (unlikely(task->work_pending || vcpu->tick)) {
        task->work_pending = false;
        sched_user_work();
        signal_deliver(frame);
        vcpu = vcpu_self(); /* it may have moved */
    }
    sched_before_user();
    vcpu->user_returns++;
    kernel_unlock();
}

void task_first_run(struct trap_frame *frame)
{
    sched_finish_switch();
    leave_to_user(frame);
}

void user_return_work(struct trap_frame *frame)
{
    kernel_lock();
    leave_to_user(frame);
}

static void finish_syscall(struct trap_frame *frame, int64_t result)
{
    frame->rax = (uint64_t)result;
    if (unlikely(result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK))
        task_current()->work_pending = true; /* signal_deliver() turns it into EINTR or a restart */
}

void syscall_handle(struct trap_frame *frame)
{
    uint64_t nr = (uint32_t)frame->orig_rax;
    frame->orig_rax = (int64_t)nr;
    if (likely(syscall_is_lockless(nr))) {
        frame->rax = (uint64_t)syscall_call(frame, nr, false);
        return;
    }
    kernel_lock();
    finish_syscall(frame, syscall_call(frame, nr, false));
    leave_to_user(frame);
}

static void send_fault(const struct trap_frame *frame, int signal, int code, uint64_t addr)
{
    struct signal_source source = {
        .signal = signal,
        .code = code,
        .value = addr,
        .trap_no = (int)frame->vector,
        .trap_error = frame->error_code & 0x3f,
        .trap_addr = frame->fault_addr,
    };
    if (frame->vector == TRAP_PF)
        source.trap_error |= PF_USER;
    printk(LOG_DEBUG, "task %d: trap %lu error %lx at rip %lx addr %lx: signal %d\n", task_current()->tid,
           frame->vector, frame->error_code, frame->rip, frame->fault_addr, signal);
    signal_force(&source);
}

static void page_fault(struct trap_frame *frame)
{
    int code = SEGV_MAPERR;
    vcpu_self()->page_faults++;
    int r = mm_fault(frame->fault_addr, frame->error_code | PF_USER, &code);
    if (r == -EFAULT)
        send_fault(frame, SIGSEGV, code, frame->fault_addr);
    else if (r == -EIO)
        send_fault(frame, SIGBUS, BUS_ADRERR, frame->fault_addr);
    /* -ENOMEM: SIGKILL is on its way */
}

/* SIGFPE codes from the x87 status word or MXCSR: flags not masked, in the CPU's priority. */
static int fpu_code(unsigned flags)
{
    if (flags & 1)
        return FPE_FLTINV;
    if (flags & 4)
        return FPE_FLTDIV;
    if (flags & 8)
        return FPE_FLTOVF;
    if (flags & (2 | 16))
        return FPE_FLTUND;
    if (flags & 32)
        return FPE_FLTRES;
    return FPE_FLTINV;
}

static void fpu_fault(struct trap_frame *frame)
{
    unsigned flags;
    if (frame->vector == TRAP_MF) {
        uint16_t status, control;
        __asm__ volatile("fnstsw %0" : "=m"(status));
        __asm__ volatile("fnstcw %0" : "=m"(control));
        flags = status & ~control & 0x3f;
    } else {
        uint32_t mxcsr;
        __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
        flags = mxcsr & ~(mxcsr >> 7) & 0x3f;
    }
    send_fault(frame, SIGFPE, fpu_code(flags), frame->rip);
}

static void invalid_instruction(struct trap_frame *frame)
{
    switch (emulate_instruction(frame)) {
    case EMULATED_INSTRUCTION:
        return;
    case EMULATED_SYSCALL:
        frame->orig_rax = (uint32_t)frame->orig_rax;
        finish_syscall(frame, syscall_call(frame, (uint64_t)frame->orig_rax, true));
        return;
    case EMULATED_NOTHING:
        break;
    }
    if (frame->vector == TRAP_UD)
        send_fault(frame, SIGILL, ILL_ILLOPN, frame->rip);
    else
        send_fault(frame, SIGSEGV, SI_KERNEL, 0);
}

void trap_handle(struct trap_frame *frame)
{
    kernel_lock();
    switch (frame->vector) {
    case TRAP_TICK:
        sched_tick();
        break;
    case TRAP_PF:
        page_fault(frame);
        break;
    case TRAP_UD:
    case TRAP_GP:
        invalid_instruction(frame);
        break;
    case TRAP_DE:
        send_fault(frame, SIGFPE, FPE_INTDIV, frame->rip);
        break;
    case TRAP_DB:
        frame->rflags &= ~0x100ULL;
        send_fault(frame, SIGTRAP, TRAP_TRACE, frame->rip);
        break;
    case TRAP_BP: {
        uint8_t byte;
        /* reported with RIP at the int3 or after it; Linux always shows the latter */
        if (copy_from_user_partial(&byte, frame->rip, 1) == 1 && byte == 0xcc)
            frame->rip++;
        send_fault(frame, SIGTRAP, SI_KERNEL, 0);
        break;
    }
    case TRAP_BR:
        send_fault(frame, SIGSEGV, SI_KERNEL, 0);
        break;
    case TRAP_MF:
    case TRAP_XM:
        fpu_fault(frame);
        break;
    case TRAP_AC:
        send_fault(frame, SIGBUS, BUS_ADRALN, 0);
        break;
    default:
        send_fault(frame, SIGSEGV, SI_KERNEL, 0);
    }
    leave_to_user(frame);
}

/* A fault of kernel code. */
void nested_trap_handle(struct trap_frame *frame)
{
    const struct extable_entry *entry = extable_find(frame->rip);

    if (entry && entry->kind == EXTABLE_USER && frame->vector == TRAP_PF) {
        bool held = kernel_lock_held(); /* not in a lockless system call */
        int code;
        if (!held)
            kernel_lock();
        vcpu_self()->page_faults++;
        int r = mm_fault(frame->fault_addr, frame->error_code | PF_USER, &code);
        if (!held)
            kernel_unlock();
        if (r == 0)
            return;
    }
    if (entry) {
        frame->rip = entry->fixup;
        return;
    }
    if (frame->vector == TRAP_PF && kernel_lock_held() && mm_fault_spurious(frame->fault_addr, frame->error_code))
        return;
    panic("kernel fault: vector %lu error %lx rip %lx rsp %lx address %lx", frame->vector, frame->error_code,
          frame->rip, frame->rsp, frame->fault_addr);
}

/*
 * The exception entry: EENTER at CSSA = 1, on the vCPU's exception stack, after an asynchronous exit.
 *
 * It runs between an exit and the ERESUME that the host must do next, so it only rearranges: the interrupted context
 * goes from SSA[0] to a trap frame, and SSA[0] is made to continue in the kernel. Whether there was an exception is
 * read from EXITINFO alone, which is then cleared: a host that enters twice gets a second, harmless tick.
 * Nothing here may fault, sleep or call out.
 */
#include "kernel/arch/extable.h"
#include "kernel/arch/offsets.h"
#include "kernel/arch/ssa.h"
#include "kernel/sched/task.h"

extern char kernel_start[], kernel_text_end[];

const struct extable_entry *extable_find(uint64_t rip)
{
    extern const struct extable_entry exception_table_start[], exception_table_end[];
    for (const struct extable_entry *e = exception_table_start; e < exception_table_end; e++)
        if (e->site == rip)
            return e;
    return NULL;
}

static void frame_from_ssa(struct trap_frame *frame, const struct gprsgx *regs)
{
    *frame = (struct trap_frame){
        .r15 = regs->r15,
        .r14 = regs->r14,
        .r13 = regs->r13,
        .r12 = regs->r12,
        .rbp = regs->rbp,
        .rbx = regs->rbx,
        .r11 = regs->r11,
        .r10 = regs->r10,
        .r9 = regs->r9,
        .r8 = regs->r8,
        .rax = regs->rax,
        .rcx = regs->rcx,
        .rdx = regs->rdx,
        .rsi = regs->rsi,
        .rdi = regs->rdi,
        .orig_rax = -1,
        .rip = regs->rip,
        .rflags = regs->rflags,
        .rsp = regs->rsp,
    };
}

static void frame_set_cause(struct trap_frame *frame, const struct vcpu *vcpu, uint32_t exitinfo)
{
    frame->vector = exitinfo & EXITINFO_VECTOR;
    frame->error_code = 0;
    frame->fault_addr = 0;
    if (frame->vector == TRAP_PF || frame->vector == TRAP_GP) {
        const struct exinfo *info = ssa_exinfo(vcpu);
        frame->error_code = info->errcd;
        if (frame->vector == TRAP_PF)
            frame->fault_addr = info->maddr;
    }
}

static void resume_at(struct gprsgx *regs, void (*entry)(void), const struct trap_frame *frame)
{
    regs->rip = (uint64_t)entry;
    regs->rsp = (uint64_t)frame;
    regs->rflags = RFLAGS_FIXED;
    regs->rax = regs->rcx = regs->rdx = regs->rbx = regs->rbp = regs->rsi = regs->rdi = 0;
    regs->r8 = regs->r9 = regs->r10 = regs->r11 = regs->r12 = regs->r13 = regs->r14 = regs->r15 = 0;
}

static struct trap_frame *user_frame(const struct vcpu *vcpu)
{
    return (struct trap_frame *)(vcpu->kernel_stack - sizeof(struct trap_frame));
}

/* Kernel code was interrupted. Ticks leave a flag; faults get a nested frame under the interrupted stack. */
static void kernel_interrupted(struct vcpu *vcpu, struct gprsgx *regs, uint32_t exitinfo)
{
    bool leaving = regs->rip >= (uint64_t)user_return && regs->rip < (uint64_t)user_return_end;

    if (!(exitinfo & EXITINFO_VALID)) {
        vcpu->tick = true;
        vcpu->current->work_pending = true;
        if (leaving)
            resume_at(regs, user_return, user_frame(vcpu));
        return;
    }
    if (leaving) { /* the only fault there is: RIP or flags of the frame that the CPU refuses */
        struct trap_frame *frame = user_frame(vcpu);
        frame_set_cause(frame, vcpu, exitinfo);
        resume_at(regs, trap_entry, frame);
        return;
    }
    struct trap_frame *frame = (struct trap_frame *)ALIGN_DOWN(regs->rsp - sizeof(struct trap_frame), 16);
    frame_from_ssa(frame, regs);
    frame_set_cause(frame, vcpu, exitinfo);
    resume_at(regs, nested_trap_entry, frame);
}

void exception_handle(void)
{
    struct vcpu *vcpu = vcpu_self();
    struct gprsgx *regs = ssa_gprs(vcpu);
    uint32_t exitinfo = regs->exitinfo;

    regs->exitinfo = 0;
    regs->gsbase = (uint64_t)vcpu;
    if (!vcpu->current) { /* it boots: a tick finds nothing to look at yet */
        if (exitinfo & EXITINFO_VALID)
            exception_die();
        return;
    }
    if (regs->rip >= (uint64_t)kernel_start && regs->rip < (uint64_t)kernel_text_end) {
        kernel_interrupted(vcpu, regs, exitinfo);
        return;
    }
    if (vcpu->current == vcpu->idle) /* idle never runs user code: the kernel jumped away */
        exception_die();

    struct trap_frame *frame = user_frame(vcpu);
    frame_from_ssa(frame, regs);
    if (exitinfo & EXITINFO_VALID)
        frame_set_cause(frame, vcpu, exitinfo);
    else
        frame->vector = TRAP_TICK;
    resume_at(regs, trap_entry, frame);
}

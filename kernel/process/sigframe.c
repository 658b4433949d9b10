/*
 * rt_sigframe, exactly as Linux builds it on x86-64: return address, ucontext, siginfo, and above them (64-byte
 * aligned) the XSAVE image with the software-reserved bytes that say how large it is.
 */
#include <asm/processor-flags.h>
#include <asm/sigcontext.h>

#include <linux/errno.h>

#include "kernel/arch/rewrite.h"
#include "kernel/lib/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/process/siginfo.h"

#define RED_ZONE_SIZE 128
#define FXSAVE_SIZE 512
#define XSAVE_HEADER_SIZE 64
#define SW_RESERVED_OFFSET 464
#define MXCSR_OFFSET 24
#define MXCSR_RESERVED 0xffff0000U
#define USER_CS 0x33
#define USER_SS 0x2b

#ifndef UC_FP_XSTATE
#define UC_FP_XSTATE 0x1
#endif
#define UC_SIGCONTEXT_SS_ 0x2
#define UC_STRICT_RESTORE_SS_ 0x4

/* Flags a handler may change through sigreturn. TF stays out: nobody single-steps in here. */
#define FLAGS_SETTABLE                                                                                                 \
    (X86_EFLAGS_AC | X86_EFLAGS_OF | X86_EFLAGS_DF | X86_EFLAGS_SF | X86_EFLAGS_ZF | X86_EFLAGS_AF | X86_EFLAGS_PF |   \
     X86_EFLAGS_CF | X86_EFLAGS_RF)

struct sigframe {
    uint64_t return_address;
    struct {
        uint64_t flags, link;
        uint64_t stack_base;
        int32_t stack_flags, pad;
        uint64_t stack_size;
        struct sigcontext_64 context;
        uint64_t mask;
    } uc;
    siginfo_t info;
};
_Static_assert(sizeof(struct sigcontext_64) == 256, "Linux's sigcontext");
_Static_assert(sizeof(struct sigframe) == 440, "Linux's rt_sigframe");

size_t sigframe_size_max(void)
{
    return ALIGN_UP(sizeof(struct sigframe) + 64 + 16 + xsave_size + FP_XSTATE_MAGIC2_SIZE, 16UL);
}

static bool on_altstack(const struct task_signals *signals, uaddr_t sp)
{
    return sp > signals->altstack_base && sp - signals->altstack_base <= signals->altstack_size;
}

/* Where the frame goes: top of the free stack. Returns 0 when it does not fit on the alternate stack. */
static uaddr_t frame_place(const struct task_signals *signals, const struct signal_action *action, uaddr_t user_sp,
                           uaddr_t *ret_fpstate)
{
    uaddr_t sp = user_sp - RED_ZONE_SIZE;
    bool nested =
        signals->altstack_size && !(signals->altstack_flags & (int)SS_AUTODISARM) && on_altstack(signals, user_sp);
    bool entering = false;
    if ((action->flags & SA_ONSTACK) && signals->altstack_size && !nested) {
        sp = signals->altstack_base + signals->altstack_size;
        entering = true;
    }
    *ret_fpstate = ALIGN_DOWN(sp - (xsave_size + FP_XSTATE_MAGIC2_SIZE), 64UL);
    sp = ALIGN_DOWN(*ret_fpstate - sizeof(struct sigframe), 16UL) - 8;
    if ((nested || entering) && !on_altstack(signals, sp))
        return 0;
    return sp;
}

/* The live vector registers, as the XSAVE image of the frame. */
static int fpstate_push(uaddr_t at)
{
    uint8_t *image = page_alloc();
    if (!image)
        return -EFAULT;
    _Static_assert(sizeof(struct _fpx_sw_bytes) == FXSAVE_SIZE - SW_RESERVED_OFFSET, "software-reserved bytes");
    vector_state_save(image);
    uint64_t features;
    memcpy(&features, image + FXSAVE_SIZE, sizeof features);
    features |= 3; /* x87 and SSE are always there for the handler to read */
    memcpy(image + FXSAVE_SIZE, &features, sizeof features);
    struct _fpx_sw_bytes sw = {
        .magic1 = FP_XSTATE_MAGIC1,
        .extended_size = xsave_size + FP_XSTATE_MAGIC2_SIZE,
        .xfeatures = xfrm,
        .xstate_size = xsave_size,
    };
    memcpy(image + SW_RESERVED_OFFSET, &sw, sizeof sw);
    int r = copy_to_user(at, image, xsave_size);
    if (r == 0)
        r = put_user32(at + xsave_size, FP_XSTATE_MAGIC2);
    page_free(image);
    return r;
}

/* Bytes of extended state that the frame really holds: 0 if it is a plain FXSAVE image. */
static uint32_t fpstate_size(uaddr_t at, const struct _fpx_sw_bytes *sw)
{
    uint32_t magic2;
    if (sw->magic1 != FP_XSTATE_MAGIC1 || sw->xstate_size < FXSAVE_SIZE + XSAVE_HEADER_SIZE ||
        sw->xstate_size > xsave_size || sw->extended_size < sw->xstate_size + FP_XSTATE_MAGIC2_SIZE)
        return 0;
    if (get_user32(&magic2, at + sw->xstate_size) < 0 || magic2 != FP_XSTATE_MAGIC2)
        return 0;
    return sw->xstate_size;
}

static int fpstate_load(uint8_t *image, uaddr_t at)
{
    memset(image, 0, PAGE_SIZE);
    if (copy_from_user(image, at, FXSAVE_SIZE) < 0)
        return -EFAULT;
    struct _fpx_sw_bytes sw;
    memcpy(&sw, image + SW_RESERVED_OFFSET, sizeof sw);
    uint32_t size = fpstate_size(at, &sw);
    if (size > FXSAVE_SIZE && copy_from_user(image + FXSAVE_SIZE, at + FXSAVE_SIZE, size - FXSAVE_SIZE) < 0)
        return -EFAULT;

    /* Whatever XRSTOR would fault on is refused here. */
    uint64_t header[XSAVE_HEADER_SIZE / 8];
    memcpy(header, image + FXSAVE_SIZE, sizeof header);
    uint32_t mxcsr;
    memcpy(&mxcsr, image + MXCSR_OFFSET, sizeof mxcsr);
    if (mxcsr & MXCSR_RESERVED)
        return -EFAULT;
    if (size == 0) {
        memset(header, 0, sizeof header);
        header[0] = 3;
    } else {
        header[0] &= sw.xfeatures & xfrm;
        for (size_t i = 1; i < ARRAY_COUNT(header); i++) {
            if (header[i] != 0)
                return -EFAULT;
        }
    }
    memcpy(image + FXSAVE_SIZE, header, sizeof header);
    vector_state_load(image);
    return 0;
}

static int fpstate_pop(uaddr_t at)
{
    if (at == 0) {
        vector_state_reset();
        return 0;
    }
    uint8_t *image = page_alloc();
    if (!image)
        return -EFAULT;
    int r = fpstate_load(image, at);
    page_free(image);
    return r;
}

static void context_fill(struct sigcontext_64 *c, const struct trap_frame *f, const struct signal_source *source)
{
    *c = (struct sigcontext_64){
        .r8 = f->r8,
        .r9 = f->r9,
        .r10 = f->r10,
        .r11 = f->r11,
        .r12 = f->r12,
        .r13 = f->r13,
        .r14 = f->r14,
        .r15 = f->r15,
        .di = f->rdi,
        .si = f->rsi,
        .bp = f->rbp,
        .bx = f->rbx,
        .dx = f->rdx,
        .ax = f->rax,
        .cx = f->rcx,
        .sp = f->rsp,
        .ip = f->rip,
        .flags = f->rflags,
        .cs = USER_CS,
        .ss = USER_SS,
        .err = source->trap_error,
        .trapno = (uint64_t)source->trap_no,
        .cr2 = source->trap_addr,
    };
}

int sigframe_push(struct trap_frame *frame, const struct signal_action *action, const struct signal_source *source,
                  sigset64_t saved_mask)
{
    struct task_signals *signals = &task_current()->signals;
    uaddr_t fpstate;
    uaddr_t sp = frame_place(signals, action, frame->rsp, &fpstate);
    if (sp == 0 || !(action->flags & SA_RESTORER))
        return -EFAULT;

    rewrite_leave_stub(frame);
    struct sigframe s;
    memset(&s, 0, sizeof s);
    s.return_address = action->restorer;
    s.uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS_ | UC_STRICT_RESTORE_SS_;
    s.uc.stack_base = signals->altstack_base;
    s.uc.stack_size = signals->altstack_size;
    s.uc.stack_flags = signals->altstack_size ? signals->altstack_flags & ~SS_ONSTACK : SS_DISABLE;
    s.uc.mask = saved_mask;
    context_fill(&s.uc.context, frame, source);
    s.uc.context.oldmask = saved_mask;
    s.uc.context.fpstate = fpstate;
    siginfo_fill(&s.info, source);
    if (fpstate_push(fpstate) < 0 || copy_to_user(sp, &s, sizeof s) < 0)
        return -EFAULT;
    if (signals->altstack_flags & (int)SS_AUTODISARM) {
        signals->altstack_base = 0;
        signals->altstack_size = 0;
        signals->altstack_flags = SS_DISABLE;
    }

    frame->rdi = (uint64_t)source->signal;
    frame->rsi = sp + offsetof(struct sigframe, info);
    frame->rdx = sp + offsetof(struct sigframe, uc);
    frame->rax = 0;
    frame->rsp = sp;
    frame->rip = action->handler;
    frame->rflags &= ~(uint64_t)(X86_EFLAGS_DF | X86_EFLAGS_RF | X86_EFLAGS_TF);
    frame->orig_rax = -1;
    vector_state_reset();
    return 0;
}

int sigframe_pop(struct trap_frame *frame)
{
    struct sigframe s;
    /* The handler's return has popped the return address. */
    if (copy_from_user(&s, frame->rsp - 8, offsetof(struct sigframe, info)) < 0)
        return -EFAULT;
    const struct sigcontext_64 *c = &s.uc.context;
    if (!user_range_ok(c->ip, 1) || fpstate_pop(c->fpstate) < 0)
        return -EFAULT;

    struct trap_frame f = *frame;
    f.r8 = c->r8;
    f.r9 = c->r9;
    f.r10 = c->r10;
    f.r11 = c->r11;
    f.r12 = c->r12;
    f.r13 = c->r13;
    f.r14 = c->r14;
    f.r15 = c->r15;
    f.rdi = c->di;
    f.rsi = c->si;
    f.rbp = c->bp;
    f.rbx = c->bx;
    f.rdx = c->dx;
    f.rax = c->ax;
    f.rcx = c->cx;
    f.rsp = c->sp;
    f.rip = c->ip;
    f.rflags = (f.rflags & ~(uint64_t)FLAGS_SETTABLE) | (c->flags & FLAGS_SETTABLE);
    f.orig_rax = -1;
    *frame = f;

    struct task_signals *signals = &task_current()->signals;
    signal_set_blocked(s.uc.mask);
    int flags = s.uc.stack_flags & ~SS_ONSTACK;
    bool disable = flags & SS_DISABLE;
    signals->altstack_base = disable ? 0 : s.uc.stack_base;
    signals->altstack_size = disable ? 0 : s.uc.stack_size;
    signals->altstack_flags = flags;
    return 0;
}

/* cpuid, rdtsc, rdtscp, xgetbv and syscall in application code: #UD in an enclave (or #GP where a host traps them). */
#include "kernel/arch/emulate.h"

#include "kernel/arch/vcpu.h"
#include "kernel/boot/boot.h"
#include "kernel/lib/string.h"
#include "kernel/mm/uaccess.h"

static void finish_split(struct trap_frame *frame, uint64_t value)
{
    frame->rax = (uint32_t)value;
    frame->rdx = value >> 32;
}

enum emulated emulate_instruction(struct trap_frame *frame)
{
    struct vcpu *vcpu = vcpu_self();
    uint8_t code[4] = {0};
    size_t size = copy_from_user_partial(code, frame->rip, sizeof(code));
    /* instruction prefixes that assemblers add to these: none matter but REX */
    size_t skip = size > 2 && (code[0] & 0xf0) == 0x40 ? 1 : 0;
    if (size < skip + 2 || code[skip] != 0x0f)
        return EMULATED_NOTHING;
    size -= skip;
    uint8_t op = code[skip + 1], modrm = size > 2 ? code[skip + 2] : 0;

    switch (op) {
    case 0x05:
        if (frame->vector != TRAP_UD)
            return EMULATED_NOTHING;
        frame->orig_rax = (int64_t)frame->rax;
        frame->rip += skip + 2;
        frame->rcx = frame->rip;
        frame->r11 = frame->rflags;
        return EMULATED_SYSCALL;
    case 0xa2: {
        uint32_t regs[4];
        cpuid_query((uint32_t)frame->rax, (uint32_t)frame->rcx, regs);
        frame->rax = regs[0];
        frame->rbx = regs[1];
        frame->rcx = regs[2];
        frame->rdx = regs[3];
        frame->rip += skip + 2;
        vcpu->cpuid_emulated++;
        return EMULATED_INSTRUCTION;
    }
    case 0x31:
        finish_split(frame, tsc_read());
        frame->rip += skip + 2;
        vcpu->rdtsc_emulated++;
        return EMULATED_INSTRUCTION;
    case 0x01:
        if (modrm == 0xf9) { /* rdtscp */
            finish_split(frame, tsc_read());
            frame->rcx = vcpu->index;
            vcpu->rdtsc_emulated++;
        } else if (modrm == 0xd0 && (uint32_t)frame->rcx == 0) { /* xgetbv */
            finish_split(frame, xfrm);
        } else {
            return EMULATED_NOTHING;
        }
        frame->rip += skip + 3;
        return EMULATED_INSTRUCTION;
    }
    return EMULATED_NOTHING;
}

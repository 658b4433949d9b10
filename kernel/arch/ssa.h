/* The state save area of an enclave thread (SDM vol. 3D): what an asynchronous exit stored, what ERESUME will load. */
#ifndef COFRE_KERNEL_ARCH_SSA_H
#define COFRE_KERNEL_ARCH_SSA_H

#include "kernel/arch/vcpu.h"

struct gprsgx {
    uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rflags, rip, ursp, urbp;
    uint32_t exitinfo;
    uint32_t reserved;
    uint64_t fsbase, gsbase;
};
_Static_assert(sizeof(struct gprsgx) == 184, "SDM");

struct exinfo {
    uint64_t maddr;
    uint32_t errcd, reserved;
};

#define EXITINFO_VALID (1u << 31)
#define EXITINFO_VECTOR 0xff

static inline struct gprsgx *ssa_gprs(const struct vcpu *vcpu)
{
    uint64_t end = vcpu_block(vcpu) + VCPU_SSA + SSA_FRAME_PAGES * PAGE_SIZE;
    return (struct gprsgx *)(end - sizeof(struct gprsgx));
}

static inline struct exinfo *ssa_exinfo(const struct vcpu *vcpu)
{
    return (struct exinfo *)((uint64_t)ssa_gprs(vcpu) - sizeof(struct exinfo));
}

#endif

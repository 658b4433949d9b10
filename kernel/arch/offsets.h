/* Offsets that assembly uses; kernel/arch/vcpu.c asserts each against the C structures. */
#ifndef COFRE_KERNEL_ARCH_OFFSETS_H
#define COFRE_KERNEL_ARCH_OFFSETS_H

/* struct vcpu */
#define VCPU_SELF 0
#define VCPU_SYSCALL_ENTRY 8
#define VCPU_CURRENT 16
#define VCPU_KERNEL_STACK 24
#define VCPU_USER_RSP 32
#define VCPU_CANARY 40
#define VCPU_USER_RIP 48
#define VCPU_BOOTED 56
#define VCPU_HOSTCALL_RSP 64
#define VCPU_HOSTCALL_FS 72
#define VCPU_HOST 80    /* struct host_context at CSSA = 0: rcx, rsp, rbp, r12, r13, r14, r15 */
#define VCPU_HOST_X 136 /* the same at CSSA = 1 */

#define HOST_RCX 0
#define HOST_RSP 8
#define HOST_RBP 16
#define HOST_R12 24
#define HOST_R13 32
#define HOST_R14 40
#define HOST_R15 48

/* Stack tops, from GS base */
#define VCPU_IDLE_STACK_TOP 0xB000
#define VCPU_EXCEPTION_STACK_TOP 0x6000

/* struct task */
#define TASK_WORK_PENDING 0x10

/* struct trap_frame */
#define FRAME_R15 0
#define FRAME_R14 8
#define FRAME_R13 16
#define FRAME_R12 24
#define FRAME_RBP 32
#define FRAME_RBX 40
#define FRAME_R11 48
#define FRAME_R10 56
#define FRAME_R9 64
#define FRAME_R8 72
#define FRAME_RAX 80
#define FRAME_RCX 88
#define FRAME_RDX 96
#define FRAME_RSI 104
#define FRAME_RDI 112
#define FRAME_ORIG_RAX 120
#define FRAME_RIP 128
#define FRAME_RFLAGS 136
#define FRAME_RSP 144
#define FRAME_VECTOR 152
#define FRAME_ERROR 160
#define FRAME_ADDR 168
#define FRAME_SIZE 176

/* RFLAGS that "sahf and an addition" cannot restore: DF, NT, AC, ID */
#define RFLAGS_DF 0x400
#define RFLAGS_TF 0x100
#define RFLAGS_NT 0x4000
#define RFLAGS_AC 0x40000
#define RFLAGS_ID 0x200000
#define RFLAGS_RARE (RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID)
#define RFLAGS_FIXED 0x202

#endif

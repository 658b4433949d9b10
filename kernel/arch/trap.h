/*
 * The user context as the kernel sees it: what the system call entry or the exception entry stored at the top of the
 * task's kernel stack, and what the way back to user code loads. Same order as Linux's struct pt_regs, without cs and
 * ss.
 */
#ifndef COFRE_KERNEL_ARCH_TRAP_H
#define COFRE_KERNEL_ARCH_TRAP_H

#include "kernel/lib/types.h"

struct trap_frame {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    uint64_t r11, r10, r9, r8;
    uint64_t rax, rcx, rdx, rsi, rdi;
    int64_t orig_rax; /* system call number, or -1 when the frame is not from a system call */
    uint64_t rip, rflags, rsp;
    uint64_t vector;     /* enum trap_vector */
    uint64_t error_code; /* #PF: enum page_fault_error */
    uint64_t fault_addr; /* #PF: EXINFO.MADDR; otherwise 0 */
};

enum trap_vector {
    TRAP_SYSCALL = 256, /* through a rewritten site */
    TRAP_TICK = 257,
    TRAP_DE = 0,
    TRAP_DB = 1,
    TRAP_BP = 3,
    TRAP_BR = 5,
    TRAP_UD = 6,
    TRAP_GP = 13,
    TRAP_PF = 14,
    TRAP_MF = 16,
    TRAP_AC = 17,
    TRAP_XM = 19,
};

enum page_fault_error { PF_PRESENT = 1, PF_WRITE = 2, PF_USER = 4, PF_INSTRUCTION = 16, PF_PK = 32, PF_SGX = 1 << 15 };

/* Size of the XSAVE image (standard format) for the enclave's XFRM; filled at boot. */
extern uint32_t xsave_size;
extern uint64_t xfrm;

/*
 * The application's vector state. It is live in the registers whenever the kernel runs on behalf of a task (the kernel
 * itself uses general registers only), so these save and load the registers. buf is 64-byte aligned, xsave_size bytes.
 */
void vector_state_save(void *buf);
void vector_state_load(const void *buf);
void vector_state_reset(void); /* as after exec: x87 0x37f, MXCSR 0x1f80, all else zero */

/*
 * Bracket kernel code that uses vector registers (crypto): the lower 256 bits of registers 0 to 15, no others, no x87.
 * Not nestable; no sleeping inside. The wide bracket is for code that uses, and clears, all vector registers and
 * opmasks: only where XFRM has AVX-512 (CPUID as the kernel keeps it says so).
 */
void kernel_vector_begin(void);
void kernel_vector_begin_wide(void);
void kernel_vector_end(void);

/* FS base belongs to the application. */
uint64_t fs_base_get(void);
void fs_base_set(uint64_t base);

uint64_t tsc_read(void);

#endif

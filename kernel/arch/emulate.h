/* Instructions that fault in an enclave and that the kernel runs for the application. */
#ifndef COFRE_KERNEL_ARCH_EMULATE_H
#define COFRE_KERNEL_ARCH_EMULATE_H

#include "kernel/arch/trap.h"

enum emulated { EMULATED_NOTHING, EMULATED_INSTRUCTION, EMULATED_SYSCALL };

/*
 * The instruction at frame->rip raised #UD or #GP. cpuid, rdtsc, rdtscp and xgetbv are done and stepped over. For
 * `syscall`, RIP, RCX, R11 and orig_rax are set as the CPU and the entry would; the caller dispatches it.
 */
enum emulated emulate_instruction(struct trap_frame *frame);

#endif

/*
 * Walking up an application's stack by its unwind tables (.eh_frame; Linux Standard Base Core 5.0, 10.6; DWARF 4, 6.4),
 * for reports of crashes. All it reads is the application's and may be anything: a walk ends where it makes no sense,
 * after a bounded number of steps and bytes.
 */
#ifndef COFRE_KERNEL_PROCESS_UNWIND_H
#define COFRE_KERNEL_PROCESS_UNWIND_H

#include "kernel/lib/types.h"

/* DWARF's numbers of x86-64 registers (System V psABI, figure 3.36). */
enum { UNWIND_RBP = 6, UNWIND_RSP = 7, UNWIND_RIP = 16, UNWIND_REGISTERS = 17 };

struct unwind_space {
    /* size bytes (at most 16) at addr; false if they are not all there. */
    bool (*read)(void *context, uint64_t addr, void *buf, size_t size);
    /* Where the .eh_frame_hdr is of what is loaded at pc; false if nothing is, or it has none. */
    bool (*find)(void *context, uint64_t pc, uint64_t *ret_eh_frame_hdr);
    void *context;
};

struct unwind {
    uint64_t registers[UNWIND_REGISTERS];
    uint32_t known;  /* bit n: register n has its value */
    bool after_call; /* RIP is a return address: what called lies before it */
};

/* From a function's registers to its caller's. False: there is none, or it cannot be found. */
bool unwind_step(const struct unwind_space *space, struct unwind *unwind);
/* An address within the instruction that is being executed, for names. */
static inline uint64_t unwind_pc(const struct unwind *unwind)
{
    return unwind->registers[UNWIND_RIP] - (unwind->after_call ? 1 : 0);
}

#endif

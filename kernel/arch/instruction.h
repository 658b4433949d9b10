/* Just enough of a decoder to move plain instructions to a stub. */
#ifndef COFRE_KERNEL_ARCH_INSTRUCTION_H
#define COFRE_KERNEL_ARCH_INSTRUCTION_H

#include "kernel/lib/types.h"

struct plain {
    size_t size;
    size_t relative; /* offset of a RIP-relative displacement; 0 = none */
};

/*
 * Is there a plain instruction in bytes[0..max)? Plain: moves, lea and arithmetic on general registers and memory, no
 * change of RSP, no branch, no prefix but REX. False for everything else.
 */
bool plain_instruction(const uint8_t *bytes, size_t max, struct plain *ret_plain);

#endif

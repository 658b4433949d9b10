/*
 * The exception table: kernel instructions that may fault, and where to go on. A fault of an EXTABLE_USER instruction
 * is first resolved as the application's own access would be (mm_fault) and then retried.
 */
#ifndef COFRE_KERNEL_ARCH_EXTABLE_H
#define COFRE_KERNEL_ARCH_EXTABLE_H

#define EXTABLE_USER 1
#define EXTABLE_FIXUP 2

/* What a faulting EACCEPT or EACCEPTCOPY returns: no SGX error code. */
#define ENCLU_FAULT 0x7fffffff

#ifdef __ASSEMBLER__
/* clang-format off */
.macro EXTABLE site, fixup, kind
    .pushsection .ex_table, "a", @progbits
    .balign 8
    .quad \site, \fixup, \kind
    .popsection
.endm
/* clang-format on */
#else
#include "kernel/lib/types.h"
struct extable_entry {
    uint64_t site, fixup, kind;
};
const struct extable_entry *extable_find(uint64_t rip);
#endif

#endif

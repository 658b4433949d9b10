/*
 * What a debugger of a debug enclave needs to know of mappings, as ELF's r_debug tells of libraries (cli/cofre.gdb.py).
 * Nobody but a debugger can do anything here: it writes a variable in the enclave's memory.
 */
#ifndef COFRE_KERNEL_MM_DEBUGGER_H
#define COFRE_KERNEL_MM_DEBUGGER_H

#include "kernel/lib/types.h"

struct vma;

/* Set by a debugger. Then executable file pages are all brought in when they are mapped, so that it can put
 * breakpoints. */
extern volatile uint8_t debugger_attached;

/* A file was mapped executable, or an executable mapping came to be so; its pages are here. For a breakpoint. */
void debugger_mapped(uaddr_t start, uaddr_t end);
/* To be called by mm when [vma->start, vma->end) has become executable. */
void debugger_map(struct vma *vma);

#endif

/*
 * System call sites. mm calls rewrite_page() for every page of file-backed executable memory after its contents are in
 * place and before the application can run it; sites found there become jumps to stubs (patterns and hazards: docs).
 * The stub sets %eax, loads the return address in %rcx and jumps through %gs:VCPU_SYSCALL_ENTRY.
 */
#ifndef COFRE_KERNEL_ARCH_REWRITE_H
#define COFRE_KERNEL_ARCH_REWRITE_H

#include "kernel/lib/types.h"

/*
 * Scan and patch text in [start, start + size) (page aligned, writable now, all of it loaded). Instruction bytes that
 * straddle either end are left alone. May allocate a stub area within +-2 GiB through mm_stub_area(). Never fails: a
 * site that cannot be rewritten keeps working by the slow path.
 */
void rewrite_text(uaddr_t start, size_t size);
/* The same for text that is at `bytes` in kernel memory now and will be put at start before it runs. */
void rewrite_text_copy(uaddr_t start, uint8_t *bytes, size_t size);
/* The text is being unmapped or replaced: forget its stubs. */
void rewrite_forget(uaddr_t start, size_t size);

/* If rip is inside a stub: the site's address to restart at, and whether the displaced part has run; else 0. */
uaddr_t rewrite_stub_site(uaddr_t rip);

#endif

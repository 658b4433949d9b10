/*
 * System call sites. mm calls rewrite_text() for every piece of file-backed executable memory before the application
 * can run it; sites found there become jumps to stubs. The stub runs the displaced bytes, loads the return address in
 * %rcx and jumps through %gs:VCPU_SYSCALL_ENTRY. It never touches the user stack, changes no register but %rax, %rcx
 * and %r11, and no flag.
 */
#ifndef COFRE_KERNEL_ARCH_REWRITE_H
#define COFRE_KERNEL_ARCH_REWRITE_H

#include "kernel/lib/types.h"

struct trap_frame;

/*
 * Scan and patch text in [start, start + size) (page aligned, writable now, all of it loaded). Instruction bytes that
 * straddle either end are left alone. May allocate a stub area within +-2 GiB through mm_stub_area(). Never fails: a
 * site that cannot be rewritten keeps working by the slow path.
 */
void rewrite_text(uaddr_t start, size_t size);
/* The same for a copy of that text which has yet to be put at start. */
void rewrite_text_copy(uaddr_t start, void *text, size_t size);
/* The text is being unmapped or replaced: forget its stubs, and stub areas in this range themselves. */
void rewrite_forget(uaddr_t start, size_t size);
/* Forget the stubs of all call sites that are gone. */
void rewrite_forget_if(bool (*gone)(uaddr_t site));

/*
 * If rip is inside a stub: the address of its site, where running again repeats the system call (or, where the stub has
 * set %eax, both); else 0.
 */
uaddr_t rewrite_stub_site(uaddr_t rip);
/*
 * Before a signal frame shows *frame to the application: if it is inside a stub, move it to the site (nothing done yet)
 * or past it (finishing what the stub displaced), as if no stub existed.
 */
void rewrite_leave_stub(struct trap_frame *frame);

/* What is known of stubs, for a copy of the address space that has the same text and stub areas at the same addresses.
 * The copy's kernel has none before. 0 or -errno. */
struct stream;
must_check int rewrite_save(struct stream *stream, bool stubs); /* stubs: false if no rewritten text goes along */
must_check int rewrite_load(struct stream *stream);

/* Whether a site may have been rewritten whose bytes lie on both sides of this page boundary. */
bool rewrite_straddles(uaddr_t boundary);

/* Counts since boot, for statistics: sites that became jumps; `syscall` instructions seen and left as they are. */
void rewrite_counts(uint64_t *ret_rewritten, uint64_t *ret_left);

#endif

/* Set-up of vector state; its use is in kernel/arch/trap.h. */
#ifndef COFRE_KERNEL_ARCH_VECTOR_H
#define COFRE_KERNEL_ARCH_VECTOR_H

#include "kernel/lib/types.h"

#define XSAVE_LEGACY_SIZE 512
#define XSAVE_HEADER_SIZE 64

uint64_t xcr0_read(void);
void vector_init(uint64_t features, uint32_t size, bool xgetbv1);
/*
 * Task switch: the registers' state goes to `from`, that of `to` is loaded; either may be NULL. With from == NULL the
 * registers hold anything (the host's).
 */
void vector_switch(void *from, const void *to);
void vector_state_init(void *buf); /* an image of the state after vector_state_reset() */

#endif

/*
 * The only way to untrusted memory. Copies are whole and read once; every access checks that [addr, addr + size) lies
 * outside ELRANGE and does not wrap (else host_lied()). Bulk copies use aligned 8-byte accesses only
 * (CVE-2022-21166, CVE-2022-21233).
 */
#ifndef COFRE_KERNEL_ARCH_UNTRUSTED_H
#define COFRE_KERNEL_ARCH_UNTRUSTED_H

#include "kernel/lib/types.h"

extern uint64_t elrange_end; /* set once at boot, from the policy */

/* True if [p, p + size) lies wholly outside ELRANGE. */
bool untrusted_range_ok(host_ptr p, uint64_t size);
void untrusted_copy_in(void *dst, host_ptr src, size_t size);
void untrusted_copy_out(host_ptr dst, const void *src, size_t size);
uint32_t untrusted_load32(host_ptr p);              /* acquire */
void untrusted_store32(host_ptr p, uint32_t value); /* release */
uint32_t untrusted_exchange32(host_ptr p, uint32_t value);
uint32_t untrusted_or32(host_ptr p, uint32_t bits);
uint32_t untrusted_and32(host_ptr p, uint32_t bits);
uint64_t untrusted_load64(host_ptr p);
void untrusted_store64(host_ptr p, uint64_t value);

/*
 * For words of a range that untrusted_range_ok() has accepted, at addresses that are multiples of 8: no call, no check,
 * no lock. A store replaces the whole word, so its other half must be the kernel's too.
 */
static inline uint64_t untrusted_peek64(host_ptr p)
{
    return __atomic_load_n((const uint64_t *)p.addr, __ATOMIC_ACQUIRE);
}
static inline void untrusted_poke64(host_ptr p, uint64_t value)
{
    __atomic_store_n((uint64_t *)p.addr, value, __ATOMIC_RELEASE);
}
/* As untrusted_copy_out, for ranges in whose first and last word only the kernel writes: partial words are stored
 * without a lock, after reading them. */
void untrusted_copy_out_own(host_ptr dst, const void *src, size_t size);

static inline host_ptr host_ptr_add(host_ptr p, uint64_t offset)
{
    return (host_ptr){p.addr + offset};
}

#endif

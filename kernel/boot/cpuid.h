/* The CPUID table of the boot parameters, sanitised. */
#ifndef COFRE_KERNEL_BOOT_CPUID_H
#define COFRE_KERNEL_BOOT_CPUID_H

#include "abi/boot.h"
#include "kernel/lib/types.h"

/* Reads boot_params()->cpuid; sets the vector state layout (kernel/arch/trap.h) for the policy's XFRM. */
void cpuid_init(void);
/* Takes away what an enclave with this XFRM does not have. Exposed for tests. */
void cpuid_sanitise(struct boot_cpuid *entry, uint64_t xfrm_bits, uint32_t xsave_bytes);

#endif

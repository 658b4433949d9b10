/* Boot: the order in which the kernel comes up, the checked boot parameters, and the parsed policy. */
#ifndef COFRE_KERNEL_BOOT_BOOT_H
#define COFRE_KERNEL_BOOT_BOOT_H

#include "abi/boot.h"
#include "abi/policy.h"
#include "kernel/lib/types.h"

/* The measured policy, checked at boot: every offset is inside it and every string ends. Valid for ever. */
const struct policy *policy(void);
static inline bool policy_allows(uint64_t flag)
{
    return (policy()->flags & flag) != 0;
}
/* String number i of a list, or NULL past its end. */
const char *policy_string(struct policy_list list, uint32_t i);
const char *policy_string_at(uint32_t offset); /* "" for 0 */

/* Policy and boot parameters are both checked and may be read. */
bool boot_ready(void);

/* Boot parameters, copied in and range-checked once. Blobs still point to untrusted memory: use boot_blob_copy. */
const struct boot_params *boot_params(void);
/* A kmalloc'd copy with a NUL added, at most max bytes (else NULL with *ret_size = 0). Empty blob: "". */
char *boot_blob_copy(const struct boot_blob *blob, size_t max, size_t *ret_size) must_check;

/* CPUID as the application may see it (XFRM-sanitised). */
void cpuid_query(uint32_t leaf, uint32_t subleaf, uint32_t ret_regs[4]);

#endif

/* The host's boot parameters, checked. */
#ifndef COFRE_KERNEL_BOOT_PARAMS_H
#define COFRE_KERNEL_BOOT_PARAMS_H

#include "abi/boot.h"
#include "abi/policy.h"
#include "kernel/lib/types.h"

/* Which part of the boot parameters is not as abi/boot.h says, or NULL. */
const char *boot_params_check(const struct boot_params *p, const struct policy *policy);
/* Copies in and checks; ends the container if the host lied. */
void boot_params_init(uint64_t addr);

#endif

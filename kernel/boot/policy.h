/* Checking the compiled policy. */
#ifndef COFRE_KERNEL_BOOT_POLICY_H
#define COFRE_KERNEL_BOOT_POLICY_H

#include "abi/policy.h"
#include "kernel/lib/types.h"

/* 0 if the blob (8-byte aligned) is a policy of at most max_size bytes that is right in itself, else -EINVAL. */
must_check int policy_check(const void *blob, size_t max_size);

#endif

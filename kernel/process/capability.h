/* The capability part of prctl. */
#ifndef COFRE_KERNEL_PROCESS_CAPABILITY_H
#define COFRE_KERNEL_PROCESS_CAPABILITY_H
#include "kernel/lib/types.h"
int64_t capability_prctl(int option, const uint64_t args[4]);
#endif

/* Calling a system call by number. */
#ifndef COFRE_KERNEL_SYSCALLS_TABLE_H
#define COFRE_KERNEL_SYSCALLS_TABLE_H

#include "kernel/syscalls/syscall.h"

void syscall_init(void); /* after the boot parameters are known */
/* May run without the kernel lock. False for numbers that do not exist. */
bool syscall_is_lockless(uint64_t nr);
/* Counts, traces if asked, and runs. slow: it came as #UD. */
int64_t syscall_call(struct trap_frame *frame, uint64_t nr, bool slow);
/* "read"; NULL if Linux has no such number. */
const char *syscall_name(uint64_t nr);
/* "int fd,uaddr_t buf,uint64_t count,", as its definition has them; NULL if it is not implemented. */
const char *syscall_arguments(uint64_t nr);

/* This kernel's implementations, by number; and another table to be called instead (kernel/remote/mixed.c). */
const syscall_fn *syscall_functions(void);
void syscall_use(const syscall_fn *table);

struct run_stats;
void syscall_stats(struct run_stats *stats); /* adds all vCPUs' counts */

#endif

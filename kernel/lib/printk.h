/* Kernel messages and the end of the world. Messages leave the enclave only if the policy allows diagnostics. */
#ifndef COFRE_KERNEL_LIB_PRINTK_H
#define COFRE_KERNEL_LIB_PRINTK_H

#include "kernel/lib/types.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void printk(enum log_level level, const char *format, ...) printf_like(2, 3);

/* Our own bug, or no way to go on: report file, line and reason, end the container. */
noreturn_fn void panic_at(const char *file, int line, const char *format, ...) printf_like(3, 4);
#define panic(...) panic_at(__FILE_NAME__, __LINE__, __VA_ARGS__)

/* The host broke the contract of abi/: report what it lied about, end the container. Never leaks, never an assert. */
noreturn_fn void host_lied(const char *what);

/* Checked in every build. */
#define ASSERT(condition)                                                                                              \
    do {                                                                                                               \
        if (unlikely(!(condition)))                                                                                    \
            panic_at(__FILE_NAME__, __LINE__, "assertion failed: %s", #condition);                                     \
    } while (0)

#endif

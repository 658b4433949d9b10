/* What kernel/crypto/ needs from the rest of the kernel. */
#include <cpuid.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/arch/trap.h"
#include "kernel/boot/boot.h"
#include "kernel/lib/printk.h"

static int vector_depth;

void panic_at(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    va_end(args);
    abort();
}

void cpuid_query(uint32_t leaf, uint32_t subleaf, uint32_t ret_regs[4])
{
    __cpuid_count(leaf, subleaf, ret_regs[0], ret_regs[1], ret_regs[2], ret_regs[3]);
}

/* As in the kernel: brackets do not nest. */
void kernel_vector_begin(void)
{
    ASSERT(vector_depth++ == 0);
}

void kernel_vector_begin_wide(void)
{
    kernel_vector_begin();
}

void kernel_vector_end(void)
{
    ASSERT(--vector_depth == 0);
}

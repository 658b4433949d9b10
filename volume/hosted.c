/* What kernel/volume/ and kernel/crypto/ need from the kernel, as an ordinary program has it. */
#include <cpuid.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/arch/trap.h"
#include "kernel/boot/boot.h"
#include "kernel/lib/printk.h"

void panic_at(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

void cpuid_query(uint32_t leaf, uint32_t subleaf, uint32_t ret_regs[4])
{
    __cpuid_count(leaf, subleaf, ret_regs[0], ret_regs[1], ret_regs[2], ret_regs[3]);
    if (leaf == 7 && !__builtin_cpu_supports("avx512vl")) /* the system may have it switched off */
        ret_regs[1] &= ~(1u << 31);
}

void kernel_vector_begin(void)
{
}

void kernel_vector_begin_wide(void)
{
    kernel_vector_begin();
}

void kernel_vector_end(void)
{
}

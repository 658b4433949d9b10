/*
 * The instructions that touch application memory, in assembly with exception-table entries: a fault is resolved by
 * mm_fault() as the application's own would be (so these may sleep), else the primitive stops. No range is checked
 * here: only kernel/mm/uaccess.c calls these.
 */
#ifndef COFRE_KERNEL_ARCH_UACCESS_H
#define COFRE_KERNEL_ARCH_UACCESS_H

#include "kernel/lib/types.h"

must_check size_t raw_copy_user(void *dst, const void *src, size_t size); /* bytes NOT copied */
must_check size_t raw_clear_user(void *dst, size_t size);                 /* bytes NOT cleared */
/* Length without NUL; size if there is no NUL within size bytes; -EFAULT. */
must_check ssize_t raw_strncpy_user(char *dst, const char *src, size_t size);
/* Single loads and stores: 0 or -EFAULT. */
must_check int raw_get_user32(uint32_t *dst, const uint32_t *src);
must_check int raw_get_user64(uint64_t *dst, const uint64_t *src);
must_check int raw_put_user32(uint32_t *dst, uint32_t value);
must_check int raw_put_user64(uint64_t *dst, uint64_t value);
must_check int raw_cmpxchg_user32(uint32_t *p, uint32_t expected, uint32_t desired, uint32_t *ret_old);

#endif

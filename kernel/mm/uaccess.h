/*
 * Reading and writing application memory. Every function checks that the range is application memory (never the
 * kernel's), faults pages in as the application's own access would, and gives -EFAULT where that would be SIGSEGV or
 * SIGBUS.
 */
#ifndef COFRE_KERNEL_MM_UACCESS_H
#define COFRE_KERNEL_MM_UACCESS_H

#include "kernel/lib/types.h"

bool user_range_ok(uaddr_t addr, size_t size);
must_check int copy_from_user(void *dst, uaddr_t src, size_t size); /* 0 or -EFAULT */
/* The same from the program of this enclave, also for an agent, whose user memory is elsewhere: for /proc. */
must_check int copy_from_user_here(void *dst, uaddr_t src, size_t size);
must_check int copy_to_user(uaddr_t dst, const void *src, size_t size);
must_check int clear_user(uaddr_t dst, size_t size);
/* As many bytes as could be copied (for partial reads and writes). */
size_t copy_from_user_partial(void *dst, uaddr_t src, size_t size);
size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t size);
size_t clear_user_partial(uaddr_t dst, size_t size);
/*
 * Bring in the pages of [addr, addr + size) and return how many bytes from addr on may be read (written) without a
 * fault until the caller sleeps. 0: it faults; fewer than size: what follows faults, or is not here at this moment. May
 * sleep.
 */
size_t user_prepare(uaddr_t addr, size_t size, bool write);
/* Bytes from addr on that the application may write, without bringing any in. */
size_t user_probe_write(uaddr_t addr, size_t size);
/* Length without NUL, -EFAULT, or -ENAMETOOLONG if no NUL within size bytes. */
must_check ssize_t strncpy_from_user(char *dst, uaddr_t src, size_t size);

must_check int get_user32(uint32_t *dst, uaddr_t src);
must_check int get_user64(uint64_t *dst, uaddr_t src);
must_check int put_user32(uaddr_t dst, uint32_t value);
must_check int put_user64(uaddr_t dst, uint64_t value);
/* Atomic compare and exchange on an aligned word (futexes, robust lists). *ret_old = value found. */
must_check int cmpxchg_user32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *ret_old);

#endif

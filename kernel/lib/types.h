/* Types every part of the kernel uses. Constants of Linux's interface come from its own <linux/...> and <asm/...>
 * headers. */
#ifndef COFRE_KERNEL_LIB_TYPES_H
#define COFRE_KERNEL_LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/layout.h"

typedef uint64_t
    uaddr_t; /* an address the application gave: an integer, so that it cannot be dereferenced by accident */
typedef struct {
    uint64_t addr;
} host_ptr; /* an address in untrusted memory: only kernel/arch/untrusted.h reads or writes through it */

#ifndef COFRE_HOSTED
typedef int64_t ssize_t;
#elif !defined(__ssize_t_defined)
/* Not <sys/types.h>, whose time types collide with <linux/time.h>'s. */
typedef long ssize_t;
#define __ssize_t_defined
#endif
typedef int64_t file_off_t; /* byte offset or size in a file */

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define ALIGN_UP(x, a) ALIGN_DOWN((x) + ((__typeof__(x))(a)-1), (a))
#define MIN(a, b)                                                                                                      \
    ({                                                                                                                 \
        __typeof__(a) min_a_ = (a);                                                                                    \
        __typeof__(b) min_b_ = (b);                                                                                    \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                                             \
    })
#define MAX(a, b)                                                                                                      \
    ({                                                                                                                 \
        __typeof__(a) max_a_ = (a);                                                                                    \
        __typeof__(b) max_b_ = (b);                                                                                    \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                                             \
    })
/* The index of the first of `count` elements, which are in order, that is not below `value`. */
#define LOWER_BOUND(array, count, value)                                                                               \
    ({                                                                                                                 \
        size_t low_ = 0, high_ = (count);                                                                              \
        while (low_ < high_) {                                                                                         \
            size_t middle_ = (low_ + high_) / 2;                                                                       \
            if ((array)[middle_] < (value))                                                                            \
                low_ = middle_ + 1;                                                                                    \
            else                                                                                                       \
                high_ = middle_;                                                                                       \
        }                                                                                                              \
        low_;                                                                                                          \
    })
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define must_check __attribute__((warn_unused_result))
#define noreturn_fn __attribute__((noreturn))
#define printf_like(f, a) __attribute__((format(printf, f, a)))

/* Internal restart codes, as in Linux: never seen by the application; signal delivery turns them into EINTR or a
 * restart. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

#endif

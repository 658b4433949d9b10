/*
 * The kernel's sources as ordinary programs: what they need from the rest of the kernel, made of the C library. One
 * process with root's rights, a lock that does nothing, application memory that is the program's own.
 *
 * Sources are compiled with -DCOFRE_HOSTED. Tests include this and, for what needs the C library, hosted_libc.h; the
 * two worlds' headers do not mix in one file.
 */
#ifndef COFRE_TESTS_HOSTED_H
#define COFRE_TESTS_HOSTED_H

#include "kernel/boot/boot.h"
#include "kernel/process/process.h"
#include "kernel/syscalls/syscall.h"

#include "hosted_heap.h"
#include "hosted_libc.h"

extern struct process hosted_process;
extern struct policy hosted_policy;
extern struct boot_params hosted_boot_params;

/* A process with root's rights and an empty descriptor table; again at each call. */
void hosted_init(void);
void hosted_set_user(uint32_t uid, uint32_t gid); /* with capabilities only if uid is 0 */

/* The n-th copy from untrusted memory from now on brings one wrong byte, once; 0 = none. */
void hosted_spoil_copy(unsigned long n);
bool hosted_copy_spoiled(void); /* since hosted_spoil_copy */

/* If set, what host_lied() does instead of ending the test; does not return. */
extern void (*hosted_on_lie)(const char *what);

/* The last kernel message. */
extern char hosted_message[512];
extern unsigned hosted_message_count;

/* Root image for fs_init and friends: in hosted_boot_params and hosted_policy. */
void hosted_set_image(const struct hosted_image *image);

/* Call a system call: CALL(openat, AT_FDCWD, path, O_RDONLY, 0). Arguments are integers or pointers. */
#define HOSTED_ARG_(a) ((uint64_t)(a))
#define CALL1(name, a) CALL6(name, a, 0, 0, 0, 0, 0)
#define CALL2(name, a, b) CALL6(name, a, b, 0, 0, 0, 0)
#define CALL3(name, a, b, c) CALL6(name, a, b, c, 0, 0, 0)
#define CALL4(name, a, b, c, d) CALL6(name, a, b, c, d, 0, 0)
#define CALL5(name, a, b, c, d, e) CALL6(name, a, b, c, d, e, 0)
#define CALL6(name, a, b, c, d, e, f)                                                                                  \
    ({                                                                                                                 \
        SYSCALL_PROLOGUE_(name)                                                                                        \
        struct trap_frame frame_ = {.rdi = HOSTED_ARG_(a),                                                             \
                                    .rsi = HOSTED_ARG_(b),                                                             \
                                    .rdx = HOSTED_ARG_(c),                                                             \
                                    .r10 = HOSTED_ARG_(d),                                                             \
                                    .r8 = HOSTED_ARG_(e),                                                              \
                                    .r9 = HOSTED_ARG_(f)};                                                             \
        sys_##name(&frame_);                                                                                           \
    })

#endif

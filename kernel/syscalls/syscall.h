/*
 * Defining system calls. SYSCALL_DEFINEn(name, type1, arg1, ...) { ... } anywhere in the kernel makes a call known: the
 * table (kernel/syscalls/table.c) refers to every Linux number weakly; what no file defines is ENOSYS and counted by
 * name. Returns a value or negative errno; ERESTART* codes are handled on the way out.
 */
#ifndef COFRE_KERNEL_SYSCALLS_SYSCALL_H
#define COFRE_KERNEL_SYSCALLS_SYSCALL_H

#include "kernel/arch/trap.h"
#include "kernel/lib/types.h"

typedef int64_t (*syscall_fn)(struct trap_frame *frame);

#define SYSCALL_ARG_CAST_(type, reg) ((type)(reg))
#define SYSCALL_PROLOGUE_(name) int64_t sys_##name(struct trap_frame *frame);
/* What it is called with, for the trace: "type name," for each argument. */
#define SYSCALL_ARGUMENTS_(name, arguments)                                                                            \
    SYSCALL_PROLOGUE_(name)                                                                                            \
    extern const char sys_##name##_arguments[];                                                                        \
    const char sys_##name##_arguments[] = arguments;

#define SYSCALL_DEFINE0(name)                                                                                          \
    SYSCALL_ARGUMENTS_(name, "")                                                                                       \
    static inline int64_t do_sys_##name(void);                                                                         \
    int64_t sys_##name(struct trap_frame *frame)                                                                       \
    {                                                                                                                  \
        (void)frame;                                                                                                   \
        return do_sys_##name();                                                                                        \
    }                                                                                                                  \
    static inline int64_t do_sys_##name(void)
#define SYSCALL_DEFINE1(name, t1, a1)                                                                                  \
    SYSCALL_ARGUMENTS_(name, #t1 " " #a1 ",")                                                                          \
    static inline int64_t do_sys_##name(t1 a1);                                                                        \
    int64_t sys_##name(struct trap_frame *frame)                                                                       \
    {                                                                                                                  \
        return do_sys_##name((t1)frame->rdi);                                                                          \
    }                                                                                                                  \
    static inline int64_t do_sys_##name(t1 a1)
#define SYSCALL_DEFINE2(name, t1, a1, t2, a2)                                                                          \
    SYSCALL_ARGUMENTS_(name, #t1 " " #a1 "," #t2 " " #a2 ",")                                                          \
    static inline int64_t do_sys_##name(t1 a1, t2 a2);                                                                 \
    int64_t sys_##name(struct trap_frame *frame)                                                                       \
    {                                                                                                                  \
        return do_sys_##name((t1)frame->rdi, (t2)frame->rsi);                                                          \
    }                                                                                                                  \
    static inline int64_t do_sys_##name(t1 a1, t2 a2)
#define SYSCALL_DEFINE3(name, t1, a1, t2, a2, t3, a3)                                                                  \
    SYSCALL_ARGUMENTS_(name, #t1 " " #a1 "," #t2 " " #a2 "," #t3 " " #a3 ",")                                          \
    static inline int64_t do_sys_##name(t1 a1, t2 a2, t3 a3);                                                          \
    int64_t sys_##name(struct trap_frame *frame)                                                                       \
    {                                                                                                                  \
        return do_sys_##name((t1)frame->rdi, (t2)frame->rsi, (t3)frame->rdx);                                          \
    }                                                                                                                  \
    static inline int64_t do_sys_##name(t1 a1, t2 a2, t3 a3)
#define SYSCALL_DEFINE4(name, t1, a1, t2, a2, t3, a3, t4, a4)                                                          \
    SYSCALL_ARGUMENTS_(name, #t1 " " #a1 "," #t2 " " #a2 "," #t3 " " #a3 "," #t4 " " #a4 ",")                          \
    static inline int64_t do_sys_##name(t1 a1, t2 a2, t3 a3, t4 a4);                                                   \
    int64_t sys_##name(struct trap_frame *frame)                                                                       \
    {                                                                                                                  \
        return do_sys_##name((t1)frame->rdi, (t2)frame->rsi, (t3)frame->rdx, (t4)frame->r10);                          \
    }                                                                                                                  \
    static inline int64_t do_sys_##name(t1 a1, t2 a2, t3 a3, t4 a4)
#define SYSCALL_DEFINE5(name, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5)                                                  \
    SYSCALL_ARGUMENTS_(name, #t1 " " #a1 "," #t2 " " #a2 "," #t3 " " #a3 "," #t4 " " #a4 "," #t5 " " #a5 ",")          \
    static inline int64_t do_sys_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5);                                            \
    int64_t sys_##name(struct trap_frame *frame)                                                                       \
    {                                                                                                                  \
        return do_sys_##name((t1)frame->rdi, (t2)frame->rsi, (t3)frame->rdx, (t4)frame->r10, (t5)frame->r8);           \
    }                                                                                                                  \
    static inline int64_t do_sys_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5)
#define SYSCALL_DEFINE6(name, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5, t6, a6)                                          \
    SYSCALL_ARGUMENTS_(name, #t1 " " #a1 "," #t2 " " #a2 "," #t3 " " #a3 "," #t4 " " #a4 "," #t5 " " #a5 "," #t6       \
                                 " " #a6 ",")                                                                          \
    static inline int64_t do_sys_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5, t6 a6);                                     \
    int64_t sys_##name(struct trap_frame *frame)                                                                       \
    {                                                                                                                  \
        return do_sys_##name((t1)frame->rdi, (t2)frame->rsi, (t3)frame->rdx, (t4)frame->r10, (t5)frame->r8,            \
                             (t6)frame->r9);                                                                           \
    }                                                                                                                  \
    static inline int64_t do_sys_##name(t1 a1, t2 a2, t3 a3, t4 a4, t5 a5, t6 a6)

/* Which system calls may run without the kernel lock: they touch only the current task and constants. */
#define SYSCALL_LOCKLESS(SYSCALL)                                                                                      \
    SYSCALL(getpid)                                                                                                    \
    SYSCALL(gettid)                                                                                                    \
    SYSCALL(getppid)                                                                                                   \
    SYSCALL(getuid)                                                                                                    \
    SYSCALL(geteuid)                                                                                                   \
    SYSCALL(getgid) SYSCALL(getegid) SYSCALL(clock_gettime) SYSCALL(gettimeofday) SYSCALL(time) SYSCALL(getcpu)

#endif
